//! A device whose failures become errors: nothing here panics because a driver did something.

use crate::adapter::AdapterInfo;
use crate::error::{OpenError, one_line};
use model::BackendError;
use model::backend::OUT_OF_MEMORY;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{ThreadId, current};
use std::time::Duration;
use wgpu::{Buffer, BufferUsages};

/// A submission that takes longer than this is taken for hung. Long, because software adapters are for tests and slow.
pub(crate) const PATIENCE: Duration = Duration::from_secs(300);

#[derive(Default)]
struct Failure {
    /// Once lost, always lost.
    lost: Option<String>,
    /// By the thread that asked for what went wrong, which is the one that is told: others may work beside it. The first
    /// error counts, as others come of it.
    errors: HashMap<ThreadId, String>,
}

/// A device; a clone is the same one.
#[derive(Clone)]
pub(crate) struct Gpu {
    pub(crate) device: wgpu::Device,
    pub(crate) queue: wgpu::Queue,
    /// The most bytes of one storage binding.
    pub(crate) largest: u64,
    pub(crate) info: AdapterInfo,
    failure: Arc<Mutex<Failure>>,
}

impl Gpu {
    /// Opens a device with those of the features that it has.
    pub(crate) fn new(info: &AdapterInfo, adapter: &wgpu::Adapter, wanted: wgpu::Features) -> Result<Self, OpenError> {
        let limits = adapter.limits();
        let request = adapter.request_device(&wgpu::DeviceDescriptor {
            label: Some("ebbline"),
            required_features: adapter.features() & wanted,
            required_limits: limits.clone(),
            memory_hints: wgpu::MemoryHints::MemoryUsage,
            ..Default::default()
        });
        let (device, queue) = pollster::block_on(request)
            .map_err(|error| OpenError::Device { adapter: info.name.clone(), why: one_line(&error.to_string()) })?;
        let failure = Arc::<Mutex<Failure>>::default();
        watch(&device, &failure);
        Ok(Self {
            device,
            queue,
            // Offsets in shaders are u32 words, which reach 16 GiB; no driver binds so much today.
            largest: limits.max_storage_buffer_binding_size.min(limits.max_buffer_size).min(u64::from(u32::MAX)) & !3,
            info: info.clone(),
            failure,
        })
    }

    pub(crate) fn buffer(&self, label: &str, bytes: u64, usage: BufferUsages) -> Buffer {
        self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some(label),
            size: bytes.max(16),
            usage,
            mapped_at_creation: false,
        })
    }

    /// What went wrong on this thread since the last call, if anything did. A lost device stays lost.
    pub(crate) fn check(&self) -> Result<(), BackendError> {
        match self.failed() {
            None => Ok(()),
            Some(reason) => Err(self.error(&reason)),
        }
    }

    /// As `check`, after asking the driver whether the device is still there.
    pub(crate) fn look(&self) -> Result<(), BackendError> {
        // As in `wait`; that nothing is finished yet is no error.
        let _ = catch_unwind(AssertUnwindSafe(|| self.device.poll(wgpu::PollType::Poll)));
        self.check()
    }

    pub(crate) fn check_open(&self) -> Result<(), OpenError> {
        match self.failed() {
            None => Ok(()),
            Some(why) => Err(OpenError::Device { adapter: self.info.name.clone(), why }),
        }
    }

    fn failed(&self) -> Option<String> {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        let error = failure.errors.remove(&current().id());
        failure.lost.clone().or(error)
    }

    pub(crate) fn error(&self, reason: &str) -> BackendError {
        BackendError::Device { device: self.info.name.clone(), reason: reason.to_owned() }
    }

    /// Waits for a submission (or, with `None`, for all) and runs the map callbacks that it releases.
    pub(crate) fn wait(&self, submission: Option<wgpu::SubmissionIndex>) -> Result<(), BackendError> {
        let poll = wgpu::PollType::Wait { submission_index: submission, timeout: Some(PATIENCE) };
        // wgpu panics when the device is lost while it waits; a lost device is an error like others.
        let polled = catch_unwind(AssertUnwindSafe(|| self.device.poll(poll)));
        self.check()?;
        match polled {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(self.error(&one_line(&error.to_string()))),
            Err(_) => {
                let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
                let lost = failure.lost.insert("lost while waiting for it".to_owned());
                Err(self.error(lost))
            }
        }
    }
}

fn watch(device: &wgpu::Device, failure: &Arc<Mutex<Failure>>) {
    let note = Arc::clone(failure);
    device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
        let text = match error {
            wgpu::Error::OutOfMemory { .. } => OUT_OF_MEMORY.to_owned(),
            other => one_line(&other.to_string()),
        };
        let mut failure = note.lock().unwrap_or_else(PoisonError::into_inner);
        failure.errors.entry(current().id()).or_insert(text);
    }));
    let note = Arc::clone(failure);
    device.set_device_lost_callback(move |reason, message| {
        // Dropping the backend ends in this callback too; then nobody is left to ask.
        let text = one_line(&format!("lost ({reason:?}) {message}"));
        let mut failure = note.lock().unwrap_or_else(PoisonError::into_inner);
        failure.lost.get_or_insert(text);
    });
}
