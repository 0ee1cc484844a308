//! The deterministic generator of realistic events: as live processes, as columns, and as other programs log them.

pub mod columns;
pub mod foreign;
mod random;
