//! `--backend auto`: a short measurement of the processor and an adapter, remembered, and the faster of both.

mod decide;
mod like;

use std::sync::Arc;
use std::time::Duration;

use model::{Backend, BackendError, CpuBackend, EncodedBatch, Scores, Snapshot};

use crate::adapter::AdapterInfo;
use crate::error::OpenError;
use crate::measure::{BatchFigure, Clock, Gone, SystemClock, Timing, difference, processor, sizes, sweep, within};
pub use decide::{Batches, Decision, Measured, decide};
pub use like::Size;
use like::like;

/// Time for the figures of one device, its start not included.
const SHARE: Duration = Duration::from_millis(600);
/// Runs of a figure, at most.
const RUNS: usize = 9;

/// Makes an adapter ready for a snapshot.
pub(crate) type Open = Arc<dyn Fn(&Arc<Snapshot>) -> Result<Box<dyn Backend>, OpenError> + Send + Sync>;

/// How long an adapter is waited for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// Until it is measured: drivers compile shaders meanwhile.
    pub(crate) measured: Duration,
    /// Until it has the table in use.
    pub(crate) opened: Duration,
}

impl Patience {
    /// For tests.
    pub(crate) fn long() -> Self {
        Self { measured: Duration::from_secs(120), opened: Duration::from_secs(120) }
    }
}

impl Default for Patience {
    fn default() -> Self {
        Self { measured: Duration::from_secs(5), opened: Duration::from_secs(30) }
    }
}

/// What figures are about. Other figures are of no use: whatever of it changes, it is measured again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// The adapter.
    pub adapter: AdapterInfo,
    /// What the processor calls itself.
    pub processor: String,
    /// Threads that score.
    pub threads: usize,
    /// Size of the model.
    pub size: Size,
}

/// Figures that were measured before.
#[derive(Debug, Clone, PartialEq)]
pub struct Recalled {
    /// The figures.
    pub measured: Measured,
    /// When, in words: a day.
    pub when: String,
}

/// Remembers what was measured on this machine.
pub trait Memory {
    /// What is known about this; whatever cannot be used is as if it were not there.
    fn recall(&mut self, about: &About) -> Option<Recalled>;
    /// Keeps figures.
    ///
    /// # Errors
    /// Why it cannot, in words with the place.
    fn keep(&mut self, about: &About, measured: &Measured) -> Result<(), String>;
    /// Where, in words.
    fn place(&self) -> String;
}

/// Remembers nothing.
pub struct Forgets;

impl Memory for Forgets {
    fn recall(&mut self, _about: &About) -> Option<Recalled> {
        None
    }

    fn keep(&mut self, _about: &About, _measured: &Measured) -> Result<(), String> {
        Err("no place was given".to_owned())
    }

    fn place(&self) -> String {
        "nowhere".to_owned()
    }
}

/// What was decided about a snapshot.
pub(crate) struct Decided {
    pub(crate) decision: Decision,
    /// Where the figures are from, in words.
    pub(crate) note: String,
}

/// The faster of the processor and an adapter for a model of this size: by what is remembered, else measured now.
///
/// # Errors
/// Why the adapter is of no use, in words.
pub(crate) fn decided(
    (about, open): (&About, &Open),
    batches: Batches,
    memory: &mut dyn Memory,
    patience: Patience,
) -> Result<Decided, String> {
    if let Some(Recalled { measured, when }) = memory.recall(about) {
        let note = format!("measured {when}, kept in {}", memory.place());
        return Ok(Decided { decision: decide(&measured, batches), note });
    }
    let measured = measure(about.size, open, patience.measured, Arc::new(SystemClock::default()))?;
    let note = match memory.keep(about, &measured) {
        Ok(()) => format!("measured now, kept in {}", memory.place()),
        Err(why) => format!("measured now, not kept: {why}"),
    };
    Ok(Decided { decision: decide(&measured, batches), note })
}

/// What figures of this adapter are about, here and for this snapshot.
pub(crate) fn about(adapter: &AdapterInfo, snapshot: &Snapshot) -> About {
    let threads = model::cpu::threads();
    About { adapter: adapter.clone(), processor: processor(), threads, size: Size::of(snapshot) }
}

/// Measures both with a model of a size: the processor, then the adapter on a thread that is left behind if it does not
/// answer. The adapter's scores must be the processor's, bit for bit.
fn measure(size: Size, open: &Open, patience: Duration, clock: Arc<dyn Clock>) -> Result<Measured, String> {
    let case = Arc::new(like(size));
    let mut processor = CpuBackend::new(Arc::clone(&case.snapshot));
    let mut expected = Scores::default();
    let mut keep = |_: usize, got: &Scores| {
        expected.clone_from(got);
        Ok(())
    };
    let cpu = figures(&mut processor, &case.batch, clock.as_ref(), &mut keep).map_err(|error| error.to_string())?;
    let open = Arc::clone(open);
    let adapter = within(patience, &|| false, move || {
        let mut backend = open(&case.snapshot).map_err(|error| error.to_string())?;
        let mut check = |rows: usize, got: &Scores| match difference(&expected, got, rows) {
            None => Ok(()),
            Some(what) => Err(BackendError::Batch(format!("its scores are not the CPU's: {what}"))),
        };
        let figures = figures(backend.as_mut(), &case.batch, clock.as_ref(), &mut check);
        figures.map_err(|error| match error {
            BackendError::Batch(what) | BackendError::Device { reason: what, .. } => what,
        })
    });
    Ok(Measured { cpu, gpu: adapter.map_err(|gone: Gone| gone.to_string()).flatten()? })
}

fn figures(
    backend: &mut dyn Backend,
    batch: &EncodedBatch,
    clock: &dyn Clock,
    check: &mut dyn FnMut(usize, &Scores) -> Result<(), BackendError>,
) -> Result<Vec<BatchFigure>, BackendError> {
    let timing = Timing { clock, share: SHARE, runs: RUNS };
    sweep(&mut |batch, out| backend.score(batch, out), batch, &sizes(batch.rows), &timing, check)
}
