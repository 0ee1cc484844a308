//! Tests of the whole crate, in one binary so that it links once.

mod baseline;
mod cpu;
mod dismissals;
mod drafts;
mod encode;
mod entities;
mod learn;
mod mistakes;
mod ops;
mod poison;
mod rows;
mod stateful;
mod stream;
mod subspace;
