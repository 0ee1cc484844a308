//! The binary ebbline-agent: load, attach, drain, enrich, batch, hand on.
//!
//! ```text
//! rings ─▶ drain ─▶ enrich (lineage, rows) ─▶ cut ─▶ bounded channel ─▶ writer (sink) ─▶ journal ─▶ Parquet
//! ```
//! Each stage keeps books; once the agent has stopped, what the kernel produced is what was written plus what was dropped,
//! by reason.

pub mod before;
pub mod books;
pub mod calls;
pub mod channel;
pub mod cli;
pub mod config;
pub mod cut;
pub mod doctor;
pub mod drain;
pub mod enrich;
pub mod error;
pub mod exposed;
pub mod facts;
pub mod gap;
pub mod hashes;
mod heartbeat;
pub mod images;
pub mod kernel;
pub mod lineage;
pub mod load;
pub mod notify;
pub mod pins;
pub mod places;
pub mod plain;
pub mod proc;
mod ready;
pub mod repeat;
pub mod rows;
pub mod run;
pub mod sandbox;
pub mod scoring;
pub mod sink;
pub mod snapshot;
pub mod status;
pub mod sweep;
pub mod upload;
pub mod usage;
pub mod writer;
