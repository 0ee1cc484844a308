//! Criterion and peer benchmarks live in `benches/`.
