//! What measuring means in this project: how often, for how long, of what, and when an answer is waited for no longer.
//! `ebbline bench` and `--backend auto` measure by the same.

mod patience;
mod stats;
mod sweep;
mod timing;

pub use patience::{Gone, left_behind, within};
pub use stats::Spread;
pub use sweep::{BatchFigure, crossover, difference, fitting, head, processor, sizes, sweep};
#[cfg(test)]
pub(crate) use timing::tests::FakeClock;
pub use timing::{Clock, SystemClock, Timing};
