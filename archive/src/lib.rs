//! Learn and score over files: one engine-free step, file to sidecar and summary.
//!
//! [`learn`] builds a baseline, [`score`] runs the step over many files, [`LiveScorer`] runs it on batches as they are
//! captured, and [`explain_row`] takes one row apart. Results depend on inputs and baseline alone, never on threads,
//! backend or time; those go to the manifest.

mod condition;
mod engine;
mod error;
mod evidence;
mod expect;
mod explain;
mod file;
mod filter;
mod finished;
mod inputs;
mod job;
mod kept;
mod learn;
mod lessons;
mod live;
mod look;
mod part;
mod remaining;
mod rows;
mod score;
mod split;
mod tables;
mod words;

pub use condition::{Comparison, Condition, ConditionError, Value};
pub use engine::{Engine, Engines};
pub use error::ArchiveError;
pub use expect::{LAST_DAYS, enter, last_days, stranger};
pub use explain::{ExplainedRow, explain_row};
pub use file::{Against, Encoders, FileSummary, Step, score_file};
pub use filter::{Filter, time_bound};
pub use kept::{BackendWish, Kept};
pub use learn::{Counter, LearnOptions, Learned, count_part, learn, learn_by};
pub use lessons::{Lessons, lessons};
pub use live::{LiveFile, LiveScorer};
pub use look::{CHECK_ROWS, check_lens, suggest_lens};
pub use part::{Done, PartReport, PartTask, Runner, Worker, score_part};
pub use rows::{Numbers, Rows};
pub use score::{ScoreOptions, Scored, score, score_all, score_by};
pub use scorer_gpu::measure::left_behind;
pub use scorer_gpu::quiet_drivers;
pub use scorer_gpu::{Choice, Wish};
pub use tables::Known;
pub use words::reason_in_words;

/// Rows handed to a backend at a time. Archive files have row groups of this size, so a batch meets one dictionary.
pub const SCORE_ROWS: usize = 65_536;

/// How far a run is; called from many threads.
pub trait Progress: Sync {
    /// The run will go over this many rows.
    fn total(&self, _rows: u64) {}
    /// That many more rows are done.
    fn advance(&self, _rows: u64) {}
    /// The run will go over files of this many bytes.
    fn total_bytes(&self, _bytes: u64) {}
    /// Files of that many bytes more are done.
    fn advance_bytes(&self, _bytes: u64) {}
    /// Asks for how many units so far are as rare as one in 2^(line/1024), to whom wants to know.
    fn units(&self, _over: &dyn Fn(u16) -> usize) {}
    /// A new stage began, in words.
    fn stage(&self, _name: &str) {}
    /// An input was passed over.
    fn skipped(&self, _path: &str, _reason: &str) {}
    /// Files that folders of sources hold were left out by their names, in words.
    fn passed_over(&self, _text: &str) {}
    /// Something people should know, one line.
    fn note(&self, _text: &str) {}
}

/// Reports nothing.
pub struct Silent;
impl Progress for Silent {}
