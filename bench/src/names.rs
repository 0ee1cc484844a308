//! What is measured, by the names that tables, pages, comparisons, help and docs/bench.md have for it.

/// Memory, read in order.
pub const STREAMING: &str = "streaming";
/// Memory, read at random places.
pub const RANDOM: &str = "random 32-byte reads";
/// From the host to the device.
pub const COPY_TO: &str = "copy to the device";
/// From the device to the host.
pub const COPY_BACK: &str = "copy back";
/// From codes to scores.
pub const KERNEL: &str = "kernel only";
/// From Arrow columns to scores in memory.
pub const ARROW: &str = "Arrow in to scores out";
/// From codes to scores, by rows of a batch, copies included.
pub const BATCHES: &str = "batches";
/// Counting cells.
pub const LEARNING: &str = "learning";
/// From files to columns.
pub const READING: &str = "reading Parquet";
/// From files to a baseline.
pub const TO_BASELINE: &str = "Parquet to baseline";
/// From files to scores in files.
pub const TO_PARQUET: &str = "Parquet to Parquet";

/// All of them, in the order in which they are shown.
pub const ALL: [&str; 11] =
    [STREAMING, RANDOM, COPY_TO, COPY_BACK, KERNEL, ARROW, BATCHES, LEARNING, READING, TO_BASELINE, TO_PARQUET];
