//! The wgpu backend of the model: devices, limits, buffers, dispatch.
//!
//! [`open`] turns `--backend` and `--adapter` into a [`model::Backend`] and says why it chose it. Keys, look-up, back-off, sum
//! and calibration run in `shaders/`; this crate packs columns, moves them and reads results back. Scores are bit for bit
//! those of the CPU backend (docs/model.md).

mod adapter;
mod backend;
mod choose;
mod columns;
mod device;
mod dictionary;
mod error;
mod kernels;
mod learn;
mod resident;
pub mod roofline;
mod slot;

pub use adapter::{AdapterInfo, AdapterKind, adapters, quiet_drivers};
pub use backend::GpuBackend;
pub use choose::{Choice, Opened, open, open_adapter, open_adapter_with_limit};
pub use error::OpenError;
pub use learn::GpuCounter;
