//! What can score and learn: the processor, an adapter, or one that a test makes up.

mod adapter;
mod cpu;

use std::sync::Arc;
use std::time::Duration;

use model::cpu::Counted;
use model::{BackendError, EncodedBatch, Lens, Scores, Snapshot};
use scorer_gpu::measure::Gone;
use scorer_gpu::{AdapterKind, OpenError};
use serde::{Deserialize, Serialize};

use adapter::Adapter;
pub(crate) use cpu::Cpu;

/// What a device is; in the order in which devices are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The processor.
    Cpu,
    /// An adapter of silicon.
    Hardware,
    /// A program on the processor that acts as an adapter: its figures say nothing about GPUs.
    Software,
}

/// A device in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// Its name: `cpu`, or an adapter's.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// More: threads and instructions, or driver and version.
    pub details: String,
}

/// What a device's memory gives at best.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Bytes of the memory that was read.
    pub bytes: u64,
    /// Bytes a second, read in order.
    pub stream: f64,
    /// 32-byte reads a second from random places.
    pub gather: f64,
    /// Bytes a second from host to device and back, where that is a way.
    pub copies: Option<[f64; 2]>,
}

/// Why a figure is not there.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Failure {
    /// The device does not do this; it may do something else.
    #[error("{0}")]
    Refused(String),
    /// The device is of no use any more.
    #[error("{0}; nothing more is asked of it")]
    Lost(String),
    /// It does not answer; a thread waits for it still.
    #[error("no answer within {:.0} s; nothing more is asked of it", .0.as_secs_f64().max(1.0))]
    Silent(Duration),
    /// Its scores or counts are wrong: no time of it means anything.
    #[error("differs from the CPU: {0}; nothing of it is timed")]
    Differs(String),
    /// The time was over before.
    #[error("no time was left: give more with --seconds")]
    NoTime,
    /// Somebody asked to stop.
    #[error("stopped before")]
    Stopped,
}

impl Failure {
    /// Whether nothing more can be had of the device.
    #[must_use]
    pub fn ends_device(&self) -> bool {
        matches!(self, Self::Lost(_) | Self::Silent(_) | Self::Differs(_))
    }
}

impl From<Gone> for Failure {
    fn from(gone: Gone) -> Self {
        match gone {
            Gone::Silent(limit) => Self::Silent(limit),
            Gone::Stopped => Self::Stopped,
            Gone::Panicked => Self::Lost(gone.to_string()),
            Gone::NoThread(_) => Self::Refused(gone.to_string()),
        }
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        Self::Refused(error.to_string())
    }
}

impl From<BackendError> for Failure {
    fn from(error: BackendError) -> Self {
        let is_memory = error.is_memory();
        match error {
            BackendError::Device { reason, .. } if is_memory => {
                Self::Refused(format!("{reason}: take smaller ones of --table-mib or --views"))
            }
            BackendError::Device { reason, .. } => Self::Lost(reason),
            batch @ BackendError::Batch(_) => Self::Refused(batch.to_string()),
        }
    }
}

/// Something that can be measured.
pub trait Device: Send + Sync {
    /// What it is.
    fn about(&self) -> About;

    /// What its memory gives at best; the processor reads `slots` themselves, others as many bytes of their own.
    ///
    /// # Errors
    /// It refuses, or is lost.
    fn limits(&self, slots: &[[u32; 4]]) -> Result<Limits, Failure>;

    /// Makes it ready to score with a snapshot.
    ///
    /// # Errors
    /// It refuses, for example what has no room, or is lost.
    fn open(&self, snapshot: &Arc<Snapshot>) -> Result<Box<dyn Scorer>, Failure>;

    /// Makes it ready to count cells of a lens, of keys from `seed` on.
    ///
    /// # Errors
    /// As of [`Device::open`].
    fn counter(&self, lens: &Lens, seed: [u32; 2]) -> Result<Box<dyn Counter>, Failure>;
}

/// A device with a snapshot.
pub trait Scorer {
    /// Scores a batch, all ways to and from the device included.
    ///
    /// # Errors
    /// The device refuses or is lost.
    fn score(&mut self, batch: &EncodedBatch, out: &mut Scores) -> Result<(), Failure>;

    /// Look-ups made so far.
    fn lookups(&self) -> u64;

    /// Seconds that the device says its kernels took so far, where it says anything.
    fn kernel_seconds(&self) -> Option<f64>;
}

/// A device that counts.
pub trait Counter {
    /// The cells of these rows, by view.
    ///
    /// # Errors
    /// The device refuses or is lost.
    fn count(&mut self, batch: &EncodedBatch, rows: &[u32]) -> Result<Vec<Counted>, Failure>;
}

/// The processor and every adapter of the machine, or those that `wanted` names: `all`, `cpu`, or a part of an adapter's
/// name in any case. Empty if there is none of that name.
#[must_use]
pub fn devices(wanted: &str) -> Vec<Arc<dyn Device>> {
    let mut found: Vec<Arc<dyn Device>> = Vec::new();
    if matches!(wanted, "all" | "cpu") {
        found.push(Arc::new(Cpu));
    }
    let named = |name: &str| wanted == "all" || name.to_lowercase().contains(&wanted.to_lowercase());
    if wanted != "cpu" {
        let adapters = scorer_gpu::adapters().into_iter().filter(|adapter| named(&adapter.name));
        adapters.for_each(|adapter| found.push(Arc::new(Adapter(adapter))));
    }
    found
}

impl From<AdapterKind> for Kind {
    fn from(kind: AdapterKind) -> Self {
        match kind {
            AdapterKind::Hardware => Self::Hardware,
            AdapterKind::Software => Self::Software,
        }
    }
}
