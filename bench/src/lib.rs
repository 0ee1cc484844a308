//! What a device does with a model, and what would be the most it could.
//!
//! [`run`] goes over a [`Plan`]: for each device first whether its scores are the CPU's, bit for bit, then what its memory
//! gives, then how fast it scores and learns. What cannot be measured is left out by name; what was measured stays, whatever
//! happens later. [`compare`] sets two reports side by side.

mod budget;
mod case;
mod compare;
mod device;
mod energy;
mod files;
mod identity;
mod measure;
mod memory;
pub mod names;
mod plan;
mod report;
mod room;
mod run;
#[doc(hidden)]
pub mod testing;

pub use budget::Budget;
pub use compare::{Comparison, Pair, compare};
pub use device::{About, Counter, Device, Failure, Kind, Limits, Scorer, devices};
pub use memory::{best, gathers_per_s, last_cache, stream_bytes_per_s};
pub use plan::Plan;
pub use report::{
    DeviceReport, FORMAT, FileFigures, Identity, LearnFigure, LeftOut, LimitsAt, MAKE, Machine, Report, ReportError,
    ScoreFigure,
};
pub use run::{Watch, run};
pub use scorer_gpu::measure::{BatchFigure, Clock, Spread, SystemClock};
