//! From a wish and what the machine has to one backend, with the reason in words.

use crate::adapter::{AdapterInfo, AdapterKind};
use crate::auto::{self, Batches, Decided, Memory, Open, Patience};
use crate::backend::GpuBackend;
use crate::error::{OpenError, one_line};
use crate::measure::within;
use model::{Backend, CpuBackend, Snapshot};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The value of `--backend`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// A hardware GPU if it is faster here than the CPU, else the CPU.
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

/// What scores are wanted from, and in which batches.
#[derive(Debug, Clone)]
pub struct Wish {
    /// CPU, GPU, or the faster.
    pub choice: Choice,
    /// An adapter by its name, or a part of it in any case.
    pub adapter: Option<String>,
    /// Batches that the caller makes.
    pub batches: Batches,
    /// Takes software adapters for hardware: how tests come to what `auto` does with a card.
    #[doc(hidden)]
    pub software_too: bool,
}

impl Wish {
    /// Without an adapter's name.
    #[must_use]
    pub fn new(choice: Choice, batches: Batches) -> Self {
        Self { choice, adapter: None, batches, software_too: false }
    }

    /// Whether the adapter that is named is there, of whatever kind: `auto` takes the CPU where it is not, without an error.
    ///
    /// # Errors
    /// [`OpenError::NoSuchAdapter`].
    pub fn check(&self) -> Result<(), OpenError> {
        check(self, crate::adapter::adapters())
    }
}

/// A backend and why it was chosen, for example
/// `cpu: no hardware GPU found (llvmpipe is a software adapter)`.
pub struct Opened {
    /// The backend, ready to score.
    pub backend: Box<dyn Backend>,
    /// What was chosen and why, one line.
    pub reason: String,
    /// Where figures in the reason are from.
    pub note: Option<String>,
    /// Rows of a batch that suit it.
    pub batch_rows: usize,
}

/// An adapter, and how it is opened.
struct Found {
    info: AdapterInfo,
    open: Open,
}

/// Opens backends for the snapshots of a run. An adapter that failed or hung is not asked again.
pub struct Opener<'a> {
    wish: Wish,
    memory: &'a mut dyn Memory,
    patience: Patience,
    /// What this machine has, once that was asked for.
    found: Option<Vec<Found>>,
    /// Why an adapter is of no use.
    gone: Option<String>,
}

impl<'a> Opener<'a> {
    /// Nothing is looked for before it is needed.
    pub fn new(wish: Wish, memory: &'a mut dyn Memory) -> Self {
        // Programs that act as adapters are slow.
        let patience = if wish.software_too { Patience::long() } else { Patience::default() };
        Self { wish, memory, patience, found: None, gone: None }
    }

    /// What is wished.
    #[must_use]
    pub fn choice(&self) -> Choice {
        self.wish.choice
    }

    /// Opens the backend that is wished for a snapshot.
    ///
    /// # Errors
    /// What was asked for by name is not there, or fails. `auto` never fails: there is always the CPU.
    pub fn open(&mut self, snapshot: Arc<Snapshot>) -> Result<Opened, OpenError> {
        let choice = self.wish.choice;
        if choice == Choice::Cpu {
            return Ok(self.cpu(snapshot, "cpu: asked for".to_owned()));
        }
        let found = self.found.get_or_insert_with(found);
        let infos: Vec<_> = found.iter().map(|found| found.info.clone()).collect();
        match pick(&self.wish, &infos) {
            Ok(index) => {
                let Found { info, open } = &found[index];
                let (info, open) = (info.clone(), Arc::clone(open));
                match choice {
                    Choice::Auto => Ok(self.faster(&info, &open, snapshot)),
                    _ => {
                        let reason = format!("gpu: {info}");
                        Ok(Opened { backend: open(&snapshot)?, reason, note: None, batch_rows: self.batch_rows() })
                    }
                }
            }
            Err(error) if choice == Choice::Auto => Ok(self.cpu(snapshot, format!("cpu: {}", error.why()))),
            Err(error) => Err(error),
        }
    }

    /// The faster of the CPU and this adapter; the CPU where the adapter fails.
    fn faster(&mut self, info: &AdapterInfo, open: &Open, snapshot: Arc<Snapshot>) -> Opened {
        if let Some(why) = &self.gone {
            let reason = format!("cpu: {why}");
            return self.cpu(snapshot, reason);
        }
        let about = auto::about(info, &snapshot);
        let decided = auto::decided((&about, open), self.wish.batches, self.memory, self.patience);
        let Decided { decision, note } = match decided {
            Ok(decided) => decided,
            Err(why) => return self.without(info, &why, snapshot),
        };
        let reason = decision.words(&format!("{} ({}, {})", info.name, info.backend, info.driver));
        let (batch_rows, note) = (decision.batch_rows, Some(note));
        if !decision.is_gpu {
            return Opened { batch_rows, note, ..self.cpu(snapshot, reason) };
        }
        let (work, table) = (Arc::clone(open), Arc::clone(&snapshot));
        match within(self.patience.opened, &|| false, move || work(&table)) {
            Ok(Ok(backend)) => Opened { backend, reason, note, batch_rows },
            // It may have no room for this table and have some for the next.
            Ok(Err(error)) => self.cpu(snapshot, format!("cpu: {error}")),
            Err(gone) => self.without(info, &gone.to_string(), snapshot),
        }
    }

    /// The CPU, now and for all snapshots that are to come.
    fn without(&mut self, info: &AdapterInfo, why: &str, snapshot: Arc<Snapshot>) -> Opened {
        let named = format!("{}: ", info.name);
        let why = format!("{named}{}", one_line(why.strip_prefix(&named).unwrap_or(why)));
        let reason = format!("cpu: {why}");
        self.gone = Some(why);
        self.cpu(snapshot, reason)
    }

    fn cpu(&self, snapshot: Arc<Snapshot>, reason: String) -> Opened {
        let backend = Box::new(CpuBackend::new(snapshot));
        Opened { backend, reason, note: None, batch_rows: self.batch_rows() }
    }

    fn batch_rows(&self) -> usize {
        match self.wish.batches {
            Batches::UpTo(rows) | Batches::Of(rows) => rows,
        }
    }
}

/// The adapters of this machine, the ones `auto` prefers first.
fn found() -> Vec<Found> {
    let all = crate::adapter::enumerate().into_iter();
    let found = all.map(|(info, adapter)| {
        let of = info.clone();
        let open = move |snapshot: &Arc<Snapshot>| -> Result<Box<dyn Backend>, OpenError> {
            Ok(Box::new(GpuBackend::new(&of, &adapter, snapshot)?))
        };
        Found { info, open: Arc::new(open) }
    });
    found.collect()
}

/// Opens the adapter with this name on the GPU backend itself, where its settings are wanted.
pub fn open_adapter(name: &str, snapshot: &Snapshot) -> Result<GpuBackend, OpenError> {
    open_adapter_with_limit(name, snapshot, u64::MAX)
}

/// As [`open_adapter`], on a device that is asked how long its kernels take, if it can tell.
pub fn open_adapter_timed(name: &str, snapshot: &Snapshot) -> Result<GpuBackend, OpenError> {
    let (info, adapter) = find(name)?;
    GpuBackend::timed(&info, &adapter, snapshot)
}

/// As if the adapter took at most `limit` bytes in a binding: how a table larger than that is scored with.
#[doc(hidden)]
pub fn open_adapter_with_limit(name: &str, snapshot: &Snapshot, limit: u64) -> Result<GpuBackend, OpenError> {
    let (info, adapter) = find(name)?;
    GpuBackend::with_limit(&info, &adapter, snapshot, limit)
}

/// The adapter that computes nothing: what it takes is the host's work.
#[doc(hidden)]
pub fn open_noop(snapshot: &Snapshot) -> Result<GpuBackend, OpenError> {
    let found = crate::adapter::noop();
    let (info, adapter) =
        found.ok_or_else(|| OpenError::NoSuchAdapter { name: "noop".to_owned(), found: Vec::new() })?;
    GpuBackend::new(&info, &adapter, snapshot)
}

/// The adapter with this name.
pub(crate) fn find(name: &str) -> Result<(AdapterInfo, wgpu::Adapter), OpenError> {
    let mut found = crate::adapter::enumerate();
    let infos: Vec<_> = found.iter().map(|(info, _)| info.clone()).collect();
    let any = Wish { adapter: Some(name.to_owned()), ..Wish::new(Choice::Gpu, Batches::Of(1)) };
    let index = pick(&any, &infos)?;
    Ok(found.swap_remove(index))
}

fn check(wish: &Wish, found: Vec<AdapterInfo>) -> Result<(), OpenError> {
    match &wish.adapter {
        Some(name) if matches(name, &found).is_empty() => Err(OpenError::NoSuchAdapter { name: name.clone(), found }),
        _ => Ok(()),
    }
}

/// The index of the adapter to open. `found` is in order of preference.
fn pick(wish: &Wish, found: &[AdapterInfo]) -> Result<usize, OpenError> {
    let name = wish.adapter.as_deref();
    let matching: Vec<usize> = match name {
        None => (0..found.len()).collect(),
        Some(name) => matches(name, found),
    };
    if let (true, Some(name)) = (matching.is_empty(), name) {
        return Err(OpenError::NoSuchAdapter { name: name.to_owned(), found: found.to_vec() });
    }
    let software_allowed = wish.software_too || (wish.choice == Choice::Gpu && name.is_some());
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
mod tests;
