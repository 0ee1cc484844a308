//! What every backend promises: encoded rows in, scores out, equal bits everywhere.

use crate::encode::EncodedBatch;
use crate::lens::View;

/// The number of reasons kept for a row.
pub const REASONS: usize = 3;

/// Scores rows against one snapshot.
pub trait Backend: Send {
    /// A short fixed name: `cpu`, `gpu`.
    fn name(&self) -> &str;

    /// The device in words for people.
    fn device(&self) -> String;

    /// Scores every row of `batch` into `out`, whatever scores `out` held before.
    fn score(&mut self, batch: &EncodedBatch, out: &mut Scores) -> Result<(), BackendError>;

    /// Work done since this backend was made, counted where it was done.
    fn counters(&self) -> StageCounters;

    /// One more for the same snapshot, to score other batches at the same time; `None` where there is none.
    fn another(&self) -> Option<Box<dyn Backend>> {
        None
    }
}

/// The scores of one batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scores {
    /// The surprisals of the views are not wanted: of many views they are nearly all that a device gives back.
    pub only_rows: bool,
    /// Surprisal in 1/1024 bit, view-major (`view * rows + row`); 0 where the view does not apply. Empty if it is not wanted.
    pub surprisal: Vec<u16>,
    /// Per row the sum of its views' calibrated bits, in 1/1024 bit.
    pub bits: Vec<u32>,
    /// Per row: rows like this are expected 1 in 2^(log2_n/1024).
    pub log2_n: Vec<u16>,
    /// Per row the views with the most calibrated bits.
    pub reasons: Vec<[Reason; REASONS]>,
}

impl Scores {
    /// To be filled with what is known of rows, without the surprisals of their views: all that files of scores have.
    #[must_use]
    pub fn of_rows() -> Self {
        Self { only_rows: true, ..Self::default() }
    }

    /// Empties and sizes the columns for `rows` rows and `views` views.
    pub fn reset(&mut self, rows: usize, views: usize) {
        self.surprisal.clear();
        self.surprisal.resize(if self.only_rows { 0 } else { rows * views }, 0);
        self.bits.clear();
        self.bits.resize(rows, 0);
        self.log2_n.clear();
        self.log2_n.resize(rows, 0);
        self.reasons.clear();
        self.reasons.resize(rows, [Reason::NONE; REASONS]);
    }
}

/// One view's share of a row's bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct Reason {
    /// Number of the view in the lens; `u16::MAX` where there is none.
    pub view: u16,
    /// Its calibrated bits, in 1/1024 bit.
    pub bits: u16,
}

impl Reason {
    /// No reason.
    pub const NONE: Reason = Reason { view: u16::MAX, bits: 0 };

    /// The view this names in a lens, if any.
    pub fn view_of<'a>(&self, views: &'a [View]) -> Option<&'a View> {
        views.get(usize::from(self.view))
    }
}

/// Work counters, equal on every backend for equal input where each row is scored by itself; the CPU looks up less where
/// rows repeat. For an applicable (row, view) the levels are visited in
/// order until n > 0: each visited level builds its context key and looks it up (one key, one look-up) and, if the
/// context is there, builds its cell key and looks that up (one of each again). The group level of a host without a
/// group is not visited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StageCounters {
    /// Scoped keys built.
    pub keys: u64,
    /// Table look-ups.
    pub lookups: u64,
    /// (row, view) surprisals finished.
    pub backoffs: u64,
    /// Rows combined.
    pub sums: u64,
}

impl std::ops::AddAssign for StageCounters {
    fn add_assign(&mut self, other: Self) {
        self.keys += other.keys;
        self.lookups += other.lookups;
        self.backoffs += other.backoffs;
        self.sums += other.sums;
    }
}

/// What a device says that has no room.
pub const OUT_OF_MEMORY: &str = "out of memory";

/// Why a batch could not be scored.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// The batch does not fit the snapshot: it was encoded with another lens, or is inconsistent in itself.
    #[error("the batch does not fit the snapshot: {0}")]
    Batch(String),
    /// The device refused or was lost.
    #[error("device {device}: {reason}")]
    Device {
        /// Which device.
        device: String,
        /// What it said.
        reason: String,
    },
}

impl BackendError {
    /// Whether a device had no room: it goes on with less.
    #[must_use]
    pub fn is_memory(&self) -> bool {
        matches!(self, Self::Device { reason, .. } if reason.contains(OUT_OF_MEMORY))
    }
}
