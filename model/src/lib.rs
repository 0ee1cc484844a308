//! Lens, field kinds, segments, snapshot, calibration, reasons and the CPU backend of the scoring model.
