//! Lens, field kinds, segments, snapshot, calibration, reasons and the CPU backend of the scoring model.
//!
//! What a score is, is written in `docs/model.md`; each module names the section it implements.

pub mod backend;
pub mod baseline;
pub mod budget;
mod calibrate;
mod channel;
pub mod compile;
mod count;
pub mod cpu;
pub mod days;
pub mod decay;
pub mod diff;
pub mod encode;
pub mod evidence;
pub mod explain;
pub mod groups;
pub mod heldout;
pub mod keys;
pub mod kind;
mod layout;
pub mod learn;
pub mod lens;
mod lens_keys;
mod lens_state;
mod lens_text;
pub mod log2;
pub mod nearest;
pub mod normal;
pub mod ops;
mod pass;
mod pod;
mod presence;
mod raw;
mod reading;
mod sample;
pub mod segment;
pub mod sketch;
pub mod snapshot;
pub mod stage;
pub mod stream;
mod subspace;
mod tally;
pub mod teach;
#[doc(hidden)]
pub mod testing;
pub mod units;
mod values;
mod words;

pub use backend::{Backend, BackendError, Reason, Scores, StageCounters};
pub use baseline::{Baseline, BaselineError, Parts};
pub use budget::{Budget, Line};
pub use cpu::{CellCounter, CpuBackend};
pub use encode::{Codes, EncodeError, EncodedBatch, Encoder, UnitColumn};
pub use evidence::Evidence;
pub use explain::{LevelExplanation, Scope, ViewExplanation, explain};
pub use keys::HashKey;
pub use learn::{LearnError, LearnStage, RowSource, learn, learn_onto, learn_with};
pub use lens::{Lens, View, builtin};
pub use lens_text::LensError;
pub use segment::{Segment, SegmentBuilder};
pub use snapshot::{Basis, Calibration, Snapshot, ViewProgram};
pub use stage::Stage;
pub use stream::Stream;
pub use units::{RowRef, UnitScore, UnitTable};
