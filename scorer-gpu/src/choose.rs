//! From a wish and what the machine has to one backend, with the reason in words.

use crate::adapter::{AdapterInfo, AdapterKind};
use crate::backend::GpuBackend;
use crate::error::OpenError;
use model::{Backend, CpuBackend, Snapshot};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The value of `--backend`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// A hardware GPU if there is one, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// A GPU; a software adapter only if it is named.
    Gpu,
}

impl FromStr for Choice {
    type Err = OpenError;

    fn from_str(text: &str) -> Result<Self, OpenError> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "gpu" => Ok(Self::Gpu),
            other => Err(OpenError::UnknownChoice(other.to_owned())),
        }
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Cpu => "cpu",
            Self::Gpu => "gpu",
        })
    }
}

/// A backend and why it was chosen, for example
/// `cpu: no hardware GPU found (llvmpipe is a software adapter)`.
pub struct Opened {
    /// The backend, ready to score.
    pub backend: Box<dyn Backend>,
    /// What was chosen and why, one line.
    pub reason: String,
}

/// Opens the backend that `choice` and `adapter_name` ask for. A name matches exactly or, failing that, as a part in any case.
pub fn open(choice: Choice, adapter_name: Option<&str>, snapshot: Arc<Snapshot>) -> Result<Opened, OpenError> {
    if choice == Choice::Cpu {
        return Ok(cpu(snapshot, "asked for"));
    }
    let mut found = crate::adapter::enumerate();
    let infos: Vec<_> = found.iter().map(|(info, _)| info.clone()).collect();
    match pick(choice, adapter_name, &infos) {
        Ok(index) => {
            let (info, adapter) = found.swap_remove(index);
            match GpuBackend::new(&info, &adapter, &snapshot) {
                Ok(gpu) => Ok(Opened { reason: format!("gpu: {info}"), backend: Box::new(gpu) }),
                Err(error) if choice == Choice::Auto => Ok(cpu(snapshot, &error.to_string())),
                Err(error) => Err(error),
            }
        }
        Err(error) if choice == Choice::Auto => Ok(cpu(snapshot, &error.why())),
        Err(error) => Err(error),
    }
}

/// Opens the adapter with this name on the GPU backend itself, where its settings are wanted.
pub fn open_adapter(name: &str, snapshot: &Snapshot) -> Result<GpuBackend, OpenError> {
    open_adapter_with_limit(name, snapshot, u64::MAX)
}

/// As if the adapter took at most `limit` bytes in a binding: how a table larger than that is scored with.
#[doc(hidden)]
pub fn open_adapter_with_limit(name: &str, snapshot: &Snapshot, limit: u64) -> Result<GpuBackend, OpenError> {
    let (info, adapter) = find(name)?;
    GpuBackend::with_limit(&info, &adapter, snapshot, limit)
}

/// The adapter with this name.
pub(crate) fn find(name: &str) -> Result<(AdapterInfo, wgpu::Adapter), OpenError> {
    let mut found = crate::adapter::enumerate();
    let infos: Vec<_> = found.iter().map(|(info, _)| info.clone()).collect();
    let index = pick(Choice::Gpu, Some(name), &infos)?;
    Ok(found.swap_remove(index))
}

fn cpu(snapshot: Arc<Snapshot>, why: &str) -> Opened {
    Opened { backend: Box::new(CpuBackend::new(snapshot)), reason: format!("cpu: {why}") }
}

/// The index of the adapter to open. `found` is in order of preference.
fn pick(choice: Choice, name: Option<&str>, found: &[AdapterInfo]) -> Result<usize, OpenError> {
    let matching: Vec<usize> = match name {
        None => (0..found.len()).collect(),
        Some(name) => matches(name, found),
    };
    if let (true, Some(name)) = (matching.is_empty(), name) {
        return Err(OpenError::NoSuchAdapter { name: name.to_owned(), found: found.to_vec() });
    }
    let software_allowed = choice == Choice::Gpu && name.is_some();
    matching
        .into_iter()
        .find(|&index| software_allowed || found[index].kind == AdapterKind::Hardware)
        .ok_or_else(|| OpenError::NoHardware { found: found.to_vec() })
}

fn matches(name: &str, found: &[AdapterInfo]) -> Vec<usize> {
    let by = |test: &dyn Fn(&str) -> bool| -> Vec<usize> {
        (0..found.len()).filter(|&index| test(&found[index].name)).collect()
    };
    let exact = by(&|candidate| candidate == name);
    if !exact.is_empty() {
        return exact;
    }
    let name = name.to_lowercase();
    by(&|candidate| candidate.to_lowercase().contains(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adapter(name: &str, kind: AdapterKind) -> AdapterInfo {
        AdapterInfo { name: name.to_owned(), kind, backend: "vulkan".to_owned(), driver: "test 1.0".to_owned() }
    }

    fn both() -> Vec<AdapterInfo> {
        vec![adapter("Radeon 780M", AdapterKind::Hardware), adapter("llvmpipe (LLVM 15)", AdapterKind::Software)]
    }

    #[test]
    fn auto_and_gpu_take_hardware_only() {
        assert_eq!(pick(Choice::Auto, None, &both()).unwrap(), 0);
        assert_eq!(pick(Choice::Gpu, None, &both()).unwrap(), 0);
        let software = &both()[1..];
        for choice in [Choice::Auto, Choice::Gpu] {
            let error = pick(choice, None, software).unwrap_err();
            assert!(matches!(error, OpenError::NoHardware { .. }));
            assert_eq!(error.why(), "no hardware GPU found (llvmpipe (LLVM 15) is a software adapter)");
        }
        assert!(pick(Choice::Auto, Some("llvmpipe"), software).is_err());
    }

    #[test]
    fn a_named_software_adapter_is_taken_by_gpu() {
        assert_eq!(pick(Choice::Gpu, Some("LLVMPIPE"), &both()).unwrap(), 1);
        assert_eq!(pick(Choice::Gpu, Some("Radeon 780M"), &both()).unwrap(), 0);
    }

    #[test]
    fn errors_are_one_line_with_the_next_step() {
        let errors = [
            pick(Choice::Gpu, None, &[]).unwrap_err(),
            pick(Choice::Gpu, None, &both()[1..]).unwrap_err(),
            pick(Choice::Gpu, Some("H100"), &both()).unwrap_err(),
            "fpga".parse::<Choice>().unwrap_err(),
        ];
        for error in errors {
            let text = error.to_string();
            assert!(!text.contains('\n') && text.contains("--"), "{text}");
        }
    }

    #[test]
    fn what_was_opened_says_why() {
        let snapshot = model::testing::case("open", model::testing::Plan::default(), 1).snapshot;
        let hardware = crate::adapters().iter().any(|adapter| adapter.kind == AdapterKind::Hardware);
        let auto = open(Choice::Auto, None, Arc::clone(&snapshot)).unwrap();
        assert_eq!(auto.backend.name(), if hardware { "gpu" } else { "cpu" });
        assert!(
            auto.reason.starts_with(if hardware { "gpu: " } else { "cpu: no hardware GPU found" }),
            "{}",
            auto.reason
        );
        assert_eq!(open(Choice::Gpu, None, Arc::clone(&snapshot)).is_ok(), hardware);
        let cpu = open(Choice::Cpu, Some("ignored"), Arc::clone(&snapshot)).unwrap();
        assert_eq!((cpu.backend.name(), cpu.reason.as_str()), ("cpu", "cpu: asked for"));
        for adapter in crate::adapters() {
            let named = open(Choice::Gpu, Some(&adapter.name), Arc::clone(&snapshot)).unwrap();
            assert_eq!((named.backend.name(), named.reason), ("gpu", format!("gpu: {adapter}")));
        }
    }
}
