//! Backends, opened once per table and lent to whoever scores.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::baseline::Baseline;
use model::{Backend, BackendError, CpuBackend, EncodedBatch, Encoder, Lens, Scores, Snapshot, StageCounters};
use scorer_gpu::{Choice, Opened, Opener};

use crate::error::ArchiveError;

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
}

/// What is open now.
struct State {
    name: String,
    device: String,
    reason: String,
    /// Where figures in the reason are from.
    note: Option<String>,
    /// On the CPU one backend per thread that asks; on a GPU the only one, kept locked while it works.
    backends: Vec<Box<dyn Backend>>,
    /// Work of a backend that failed.
    before: StageCounters,
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
    /// all that follow, to the same bits, and [`Engine::trouble`] says so.
    ///
    /// # Errors
    /// What the backend reports.
    pub fn score(&self, batch: &EncodedBatch, out: &mut Scores) -> Result<(), BackendError> {
        let mut state = self.lock();
        if state.name != "cpu" {
            let scored = match state.backends.first_mut() {
                Some(backend) => backend.score(batch, out),
                None => Err(BackendError::Batch("no backend is open".into())),
            };
            match scored {
                Err(BackendError::Device { device, reason }) if self.relieved => {
                    let cpu = Box::new(CpuBackend::new(self.snapshot.clone()));
                    state.relieve(cpu, format!("device {device}: {reason}; the CPU scores the rest"));
                }
                done => return done,
            }
        }
        let idle = state.backends.pop();
        drop(state);
        let mut backend = idle.unwrap_or_else(|| Box::new(CpuBackend::new(self.snapshot.clone())));
        let result = backend.score(batch, out);
        self.lock().backends.push(backend);
        result
    }

    /// Why the CPU went on in the place of a device, once.
    pub fn trouble(&self) -> Option<String> {
        self.lock().trouble.take()
    }

    /// Work done so far by all backends of the table.
    #[must_use]
    pub fn counters(&self) -> StageCounters {
        let state = self.lock();
        let mut sum = state.before;
        for backend in &state.backends {
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
        Self {
            name: backend.name().to_owned(),
            device: backend.device(),
            reason,
            note: None,
            backends: vec![backend],
            before: StageCounters::default(),
            trouble: None,
        }
    }

    /// Lets another backend go on.
    fn relieve(&mut self, backend: Box<dyn Backend>, trouble: String) {
        let mut before = self.before;
        self.backends.iter().for_each(|failed| before += failed.counters());
        let reason = format!("{}; {trouble}", self.reason);
        let note = self.note.take();
        *self = Self { before, note, trouble: Some(trouble), ..Self::new(backend, reason) };
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
mod tests {
    use super::*;
    use model::testing::{self, Plan};

    /// A device that is lost with its second batch.
    struct Failing {
        cpu: CpuBackend,
        batches: u32,
    }

    impl Backend for Failing {
        fn name(&self) -> &str {
            "gpu"
        }

        fn device(&self) -> String {
            "a card".to_owned()
        }

        fn score(&mut self, batch: &EncodedBatch, out: &mut Scores) -> Result<(), BackendError> {
            self.batches += 1;
            if self.batches > 1 {
                return Err(BackendError::Device { device: "a card".to_owned(), reason: "lost".to_owned() });
            }
            self.cpu.score(batch, out)
        }

        fn counters(&self) -> StageCounters {
            self.cpu.counters()
        }
    }

    fn engine(snapshot: &Arc<Snapshot>, relieved: bool) -> Engine {
        let (lens, key) = (snapshot.lens.clone(), testing::key());
        let failing = Failing { cpu: CpuBackend::new(snapshot.clone()), batches: 0 };
        Engine {
            snapshot: snapshot.clone(),
            encoder: Box::new(move || Encoder::new(&lens, &key)),
            views: Vec::new(),
            batch_rows: 1,
            relieved,
            state: Mutex::new(State::new(Box::new(failing), "gpu: a card".to_owned())),
        }
    }

    #[test]
    fn the_cpu_goes_on_where_a_chosen_device_is_lost_and_that_is_said_once() {
        let case = testing::case("a lost device", Plan::default(), 1);
        let (mut first, mut second) = (Scores::default(), Scores::default());
        let chosen = engine(&case.snapshot, true);
        chosen.score(&case.batch, &mut first).unwrap();
        let of_one = chosen.counters();
        chosen.score(&case.batch, &mut second).unwrap();
        assert_eq!((&first.bits, &first.surprisal), (&second.bits, &second.surprisal));
        assert_eq!(chosen.trouble().unwrap(), "device a card: lost; the CPU scores the rest");
        assert_eq!(chosen.trouble(), None);
        assert_eq!(chosen.counters().lookups, 2 * of_one.lookups);
        let (name, _, reason) = Engines(BTreeMap::from([("t".to_owned(), chosen)])).describe();
        assert_eq!(
            (name.as_str(), reason.as_str()),
            ("cpu", "gpu: a card; device a card: lost; the CPU scores the rest")
        );
    }

    #[test]
    fn a_device_that_was_asked_for_is_not_replaced() {
        let case = testing::case("a lost device", Plan::default(), 1);
        let asked_for = engine(&case.snapshot, false);
        asked_for.score(&case.batch, &mut Scores::default()).unwrap();
        let error = asked_for.score(&case.batch, &mut Scores::default()).unwrap_err();
        assert!(matches!(error, BackendError::Device { .. }));
        assert_eq!(asked_for.trouble(), None);
    }
}
