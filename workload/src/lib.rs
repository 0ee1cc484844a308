//! The deterministic generator of realistic events, as live processes and as columns.

pub mod columns;
