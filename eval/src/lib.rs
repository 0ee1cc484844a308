//! Protocols and metrics: how right the scores are on labelled sets. The only crate that reads labels.
//!
//! A *set* is a Parquet file with labels; its *protocol* says which rows are learned, which are scored, and what a label
//! belongs to (`docs/accuracy.md`). Labels go into metrics alone: what the model is given has no label column, and that is
//! checked. The sets themselves are no part of this project.

mod bootstrap;
mod data;
mod error;
pub mod metrics;
pub mod peers;
pub mod poisson;
pub mod report;
mod scoring;
pub mod sets;
pub mod study;

pub use error::EvalError;
pub use peers::Peers;
pub use report::{Measure, SetReport};
pub use sets::{Options, Set, compare, evaluate, evaluate_rows};
