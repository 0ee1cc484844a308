//! Lens, field kinds, segments, snapshot, calibration, reasons and the CPU backend of the scoring model.
//!
//! What a score is, is written in `docs/model.md`; each module names the section it implements.

pub mod backend;
pub mod compile;
pub mod cpu;
pub mod encode;
pub mod keys;
pub mod kind;
pub mod lens;
mod lens_text;
pub mod log2;
mod pod;
mod raw;
pub mod segment;
pub mod snapshot;
#[doc(hidden)]
pub mod testing;

pub use backend::{Backend, BackendError, Reason, Scores, StageCounters};
pub use cpu::CpuBackend;
pub use encode::{Codes, EncodeError, EncodedBatch, Encoder, UnitColumn};
pub use keys::HashKey;
pub use lens::{Lens, View, builtin};
pub use lens_text::LensError;
pub use segment::{Segment, SegmentBuilder};
pub use snapshot::{Basis, Calibration, Snapshot, ViewProgram};
