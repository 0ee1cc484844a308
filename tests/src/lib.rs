//! End-to-end, kernel, fault and golden tests.
