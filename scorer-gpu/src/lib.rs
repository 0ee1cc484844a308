//! The wgpu backend of the model: devices, limits, buffers, dispatch.
//!
//! [`Opener`] turns `--backend` and `--adapter` into a [`model::Backend`] and says why it chose it; `auto` measures, and
//! [`measure`] is what that means. Keys, look-up, back-off, sum
//! and calibration run in `shaders/`; this crate packs columns, moves them and reads results back. Scores are bit for bit
//! those of the CPU backend (docs/model.md).

mod adapter;
mod auto;
mod backend;
mod choose;
mod columns;
mod device;
mod dictionary;
mod error;
mod kernels;
mod learn;
pub mod measure;
mod resident;
pub mod roofline;
mod slot;

pub use adapter::{AdapterInfo, AdapterKind, adapters, quiet_drivers};
pub use auto::{About, Batches, Decision, Forgets, Measured, Memory, Recalled, Size, decide};
pub use backend::{GpuBackend, Traffic};
pub use choose::{Choice, Opened, Opener, Wish, open_adapter, open_adapter_timed, open_adapter_with_limit, open_noop};
pub use error::OpenError;
pub use learn::GpuCounter;
