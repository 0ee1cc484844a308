//! Backends, opened once per table and lent to whoever scores.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use model::baseline::Baseline;
use model::{Backend, BackendError, CpuBackend, EncodedBatch, Encoder, Lens, Scores, Snapshot, StageCounters};
use scorer_gpu::{Choice, Opened, Opener};

use crate::error::ArchiveError;

/// Backends on one device: while one waits for its batch, others pack the next and take what came of the last.
const BESIDE: usize = 4;

/// What scores the rows of one table.
pub struct Engine {
    snapshot: Arc<Snapshot>,
    encoder: Box<dyn Fn() -> Encoder + Send + Sync>,
    views: Vec<String>,
    /// Rows of a batch that suit what was opened.
    batch_rows: usize,
    /// Whether the CPU may go on where a device fails: not where a GPU was asked for by name.
    relieved: bool,
    state: Mutex<State>,
    /// A backend is idle again.
    returned: Condvar,
}

/// What is open now.
struct State {
    name: String,
    device: String,
    reason: String,
    /// Where figures in the reason are from.
    note: Option<String>,
    /// Those that nobody works with: on the CPU in all one per thread that asks, on a device [`BESIDE`].
    idle: Vec<Box<dyn Backend>>,
    /// On a device, how many there are with those at work; fewer where it had no room.
    open: usize,
    /// Work of backends that are gone.
    before: StageCounters,
    /// Whether the CPU took the place of a device.
    is_relieved: bool,
    /// Why the CPU went on, until that was said.
    trouble: Option<String>,
}

impl Engine {
    /// Opens a backend for the table, if the baseline knows it.
    ///
    /// # Errors
    /// [`ArchiveError::Open`] when the wished backend is not there.
    pub fn open(opener: &mut Opener<'_>, baseline: &Baseline, table: &str) -> Result<Option<Self>, ArchiveError> {
        let Some(snapshot) = baseline.snapshot(table) else { return Ok(None) };
        let Opened { backend, reason, note, batch_rows } = opener.open(snapshot.clone())?;
        let (lens, key) = (snapshot.lens.clone(), baseline.hash_key().clone());
        Ok(Some(Self {
            views: snapshot.lens.views().iter().map(|view| view.name.clone()).collect(),
            encoder: Box::new(move || Encoder::new(&lens, &key)),
            batch_rows,
            relieved: opener.choice() == Choice::Auto,
            state: Mutex::new(State { note, ..State::new(backend, reason) }),
            returned: Condvar::new(),
            snapshot,
        }))
    }

    /// The compiled baseline of the table.
    #[must_use]
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    /// A fresh encoder for the table; one per file, since it caches dictionaries.
    #[must_use]
    pub fn encoder(&self) -> Encoder {
        (self.encoder)()
    }

    /// Rows of a batch that suit the backend.
    #[must_use]
    pub fn batch_rows(&self) -> usize {
        self.batch_rows
    }

    /// Names of the views, by number.
    #[must_use]
    pub fn views(&self) -> &[String] {
        &self.views
    }

    /// Scores a batch on this table's backend. Where the machine chose a GPU and that fails, the CPU scores this batch and
    /// all that begin later, to the same bits, and [`Engine::trouble`] says so.
    ///
    /// # Errors
    /// What the backend reports.
    pub fn score(&self, batch: &EncodedBatch, out: &mut Scores) -> Result<(), BackendError> {
        let mut backend = self.idle();
        match catch_unwind(AssertUnwindSafe(|| backend.score(batch, out))) {
            Ok(Ok(())) => {
                self.put_back(backend);
                Ok(())
            }
            Ok(Err(error)) => {
                self.failed(backend, error)?;
                self.score(batch, out)
            }
            Err(panic) => {
                // Nobody is to wait for it, and what it left behind on a device is not relied on.
                match backend.another() {
                    Some(fresh) => self.put_back(fresh),
                    None => self.put_back(backend),
                }
                resume_unwind(panic)
            }
        }
    }

    /// A backend that nobody works with, as soon as there is one.
    fn idle(&self) -> Box<dyn Backend> {
        let mut state = self.lock();
        loop {
            match state.idle.pop() {
                Some(backend) => return backend,
                None if state.name == "cpu" => return self.cpu(),
                None => state = self.returned.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    /// Takes a backend back.
    fn put_back(&self, backend: Box<dyn Backend>) {
        self.lock().take(backend);
        self.returned.notify_all();
    }

    /// Takes a backend back that failed; without an error the batch can be scored all the same, by another.
    fn failed(&self, backend: Box<dyn Backend>, error: BackendError) -> Result<(), BackendError> {
        let mut state = self.lock();
        let (is_over, has_others) = (state.is_over(backend.as_ref()), state.open > 1);
        match &error {
            _ if is_over => state.take(backend),
            _ if error.is_memory() && has_others => {
                state.open -= 1;
                state.before += backend.counters();
            }
            BackendError::Device { device, reason } if self.relieved => {
                state.before += backend.counters();
                state.relieve(self.cpu(), format!("device {device}: {reason}; the CPU scores the rest"));
            }
            _ => {
                state.take(backend);
                drop(state);
                self.returned.notify_all();
                return Err(error);
            }
        }
        drop(state);
        self.returned.notify_all();
        Ok(())
    }

    fn cpu(&self) -> Box<dyn Backend> {
        Box::new(CpuBackend::new(self.snapshot.clone()))
    }

    /// Why the CPU went on in the place of a device, once.
    pub fn trouble(&self) -> Option<String> {
        self.lock().trouble.take()
    }

    /// Work done so far by all backends of the table that are not at work.
    #[must_use]
    pub fn counters(&self) -> StageCounters {
        let state = self.lock();
        let mut sum = state.before;
        for backend in &state.idle {
            sum += backend.counters();
        }
        sum
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn new(backend: Box<dyn Backend>, reason: String) -> Self {
        let (name, device) = (backend.name().to_owned(), backend.device());
        let others = if name == "cpu" { 0 } else { BESIDE - 1 };
        let others: Vec<_> = (0..others).map_while(|_| backend.another()).collect();
        let idle: Vec<_> = [backend].into_iter().chain(others).collect();
        let (open, before) = (idle.len(), StageCounters::default());
        Self { name, device, reason, note: None, idle, open, before, is_relieved: false, trouble: None }
    }

    /// Whether the CPU took the place of the device that a backend works on.
    fn is_over(&self, backend: &dyn Backend) -> bool {
        self.is_relieved && backend.name() != "cpu"
    }

    /// Takes back what was lent; of a device that is gone only the work it did.
    fn take(&mut self, backend: Box<dyn Backend>) {
        match self.is_over(backend.as_ref()) {
            true => self.before += backend.counters(),
            false => self.idle.push(backend),
        }
    }

    /// Lets the CPU go on where a backend failed.
    fn relieve(&mut self, cpu: Box<dyn Backend>, trouble: String) {
        let mut before = self.before;
        self.idle.iter().for_each(|idle| before += idle.counters());
        let reason = format!("{}; {trouble}", self.reason);
        let note = self.note.take();
        *self = Self { before, note, is_relieved: true, trouble: Some(trouble), ..Self::new(cpu, reason) };
    }
}

/// The engines of all tables of a run.
pub struct Engines(BTreeMap<String, Engine>);

impl Engines {
    /// Opens an engine for each of the tables that the baseline knows.
    ///
    /// # Errors
    /// As [`Engine::open`].
    pub fn open<S: AsRef<str>>(
        opener: &mut Opener<'_>,
        baseline: &Baseline,
        tables: impl IntoIterator<Item = S>,
    ) -> Result<Self, ArchiveError> {
        let mut engines = BTreeMap::new();
        for table in tables {
            if let Some(engine) = Engine::open(opener, baseline, table.as_ref())? {
                engines.insert(table.as_ref().to_owned(), engine);
            }
        }
        Ok(Self(engines))
    }

    /// The engine of a table.
    #[must_use]
    pub fn get(&self, table: &str) -> Option<&Engine> {
        self.0.get(table)
    }

    /// The lenses of all tables.
    pub fn lenses(&self) -> impl Iterator<Item = &Lens> {
        self.0.values().map(|engine| &engine.snapshot().lens)
    }

    /// Name of the backend, device in words and the reason for the choice.
    #[must_use]
    pub fn describe(&self) -> (String, String, String) {
        let joined = |of: fn(&State) -> &str| {
            let mut all: Vec<String> = self.0.values().map(|engine| of(&engine.lock()).to_owned()).collect();
            all.dedup();
            all.join(" + ")
        };
        let notes: BTreeSet<String> = self.0.values().filter_map(|engine| engine.lock().note.clone()).collect();
        let reason = [vec![joined(|e| &e.reason)], notes.into_iter().collect()].concat().join("; ");
        (joined(|e| &e.name), joined(|e| &e.device), reason)
    }

    /// [`Engine::trouble`] of any table.
    pub fn trouble(&self) -> Option<String> {
        self.0.values().find_map(Engine::trouble)
    }

    /// Work done so far, by stage.
    #[must_use]
    pub fn work(&self) -> BTreeMap<String, u64> {
        let mut sum = StageCounters::default();
        for engine in self.0.values() {
            sum += engine.counters();
        }
        let stages = [("keys", sum.keys), ("lookups", sum.lookups), ("backoffs", sum.backoffs), ("sums", sum.sums)];
        stages.into_iter().map(|(stage, count)| (stage.to_owned(), count)).collect()
    }
}

#[cfg(test)]
mod tests;
