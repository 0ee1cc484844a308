//! Untrusted bytes to values: DNS messages, cgroup paths, container runtime files, kernel type information, `/proc`
//! files; no I/O.
//!
//! Whatever the bytes hold, nothing here panics, and what comes out is no larger than a small multiple of what went in.
#![forbid(unsafe_code)]

pub mod btf;
pub mod container;
pub mod dns;
pub mod proc_files;
pub mod proc_stat;
