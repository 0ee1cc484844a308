//! Backends, opened once per table and lent to whoever scores.

use std::collections::{BTreeMap, BTreeSet};
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
    /// Those that nobody works with: on the CPU in all one per thread that asks, on a GPU [`BESIDE`].
    idle: Vec<Box<dyn Backend>>,
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
    /// all that follow, to the same bits, and [`Engine::trouble`] says so.
    ///
    /// # Errors
    /// What the backend reports.
    pub fn score(&self, batch: &EncodedBatch, out: &mut Scores) -> Result<(), BackendError> {
        let mut lent = Lent { engine: self, backend: Some(self.idle()), failed: None };
        let Some(backend) = &mut lent.backend else { return Ok(()) };
        match backend.score(batch, out) {
            Err(BackendError::Device { device, reason }) if self.relieved => {
                lent.failed = Some(format!("device {device}: {reason}; the CPU scores the rest"));
                drop(lent);
                self.score(batch, out)
            }
            scored => scored,
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

    /// Takes a backend back, or lets the CPU go on where it failed.
    fn put_back(&self, backend: Box<dyn Backend>, failed: Option<String>) {
        let mut state = self.lock();
        // What else worked on the device then comes back later.
        let is_over = state.is_relieved && backend.name() != "cpu";
        match failed {
            Some(trouble) if !is_over => state.relieve(backend.as_ref(), self.cpu(), trouble),
            _ if is_over => state.before += backend.counters(),
            _ => state.idle.push(backend),
        }
        drop(state);
        self.returned.notify_all();
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

/// A backend at work. It is given back however that ends, lest others wait for it.
struct Lent<'a> {
    engine: &'a Engine,
    backend: Option<Box<dyn Backend>>,
    /// Why the CPU is to go on in its place.
    failed: Option<String>,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        if let Some(backend) = self.backend.take() {
            self.engine.put_back(backend, self.failed.take());
        }
    }
}

impl State {
    fn new(backend: Box<dyn Backend>, reason: String) -> Self {
        let (name, device) = (backend.name().to_owned(), backend.device());
        let others = if name == "cpu" { 0 } else { BESIDE - 1 };
        let others: Vec<_> = (0..others).map_while(|_| backend.another()).collect();
        let idle = [backend].into_iter().chain(others).collect();
        let before = StageCounters::default();
        Self { name, device, reason, note: None, idle, before, is_relieved: false, trouble: None }
    }

    /// Lets the CPU go on where a backend failed.
    fn relieve(&mut self, failed: &dyn Backend, cpu: Box<dyn Backend>, trouble: String) {
        let mut before = self.before;
        before += failed.counters();
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
mod tests {
    use super::*;
    use model::testing::{self, Plan};
    use std::sync::atomic::{AtomicU32, Ordering};

    /// A device that is lost with its second batch, whoever of those on it scores that; or whose driver panics then.
    #[derive(Clone)]
    struct Failing {
        snapshot: Arc<Snapshot>,
        batches: Arc<AtomicU32>,
        panics: bool,
        work: StageCounters,
    }

    impl Backend for Failing {
        fn name(&self) -> &str {
            "gpu"
        }

        fn device(&self) -> String {
            "a card".to_owned()
        }

        fn score(&mut self, batch: &EncodedBatch, out: &mut Scores) -> Result<(), BackendError> {
            if self.batches.fetch_add(1, Ordering::SeqCst) > 0 {
                assert!(!self.panics, "on purpose");
                return Err(BackendError::Device { device: "a card".to_owned(), reason: "lost".to_owned() });
            }
            let mut cpu = CpuBackend::new(self.snapshot.clone());
            cpu.score(batch, out)?;
            self.work += cpu.counters();
            Ok(())
        }

        fn counters(&self) -> StageCounters {
            self.work
        }

        fn another(&self) -> Option<Box<dyn Backend>> {
            Some(Box::new(Self { work: StageCounters::default(), ..self.clone() }))
        }
    }

    fn engine(snapshot: &Arc<Snapshot>, relieved: bool) -> Engine {
        let (snapshot_of, batches, work) = (snapshot.clone(), Arc::default(), StageCounters::default());
        engine_on(Failing { snapshot: snapshot_of, batches, panics: false, work }, relieved)
    }

    fn engine_on(failing: Failing, relieved: bool) -> Engine {
        let (snapshot, key) = (failing.snapshot.clone(), testing::key());
        let lens = snapshot.lens.clone();
        Engine {
            snapshot,
            encoder: Box::new(move || Encoder::new(&lens, &key)),
            views: Vec::new(),
            batch_rows: 1,
            relieved,
            state: Mutex::new(State::new(Box::new(failing), "gpu: a card".to_owned())),
            returned: Condvar::new(),
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

    #[test]
    fn many_threads_lose_one_device_and_every_batch_is_scored_once() {
        let case = testing::case("a lost device", Plan::default(), 1);
        let mut expected = Scores::of_rows();
        let mut cpu = CpuBackend::new(case.snapshot.clone());
        cpu.score(&case.batch, &mut expected).unwrap();
        let chosen = engine(&case.snapshot, true);
        std::thread::scope(|scope| {
            for _ in 0..4 * BESIDE {
                scope.spawn(|| {
                    let mut out = Scores::of_rows();
                    chosen.score(&case.batch, &mut out).unwrap();
                    assert!(out == expected);
                });
            }
        });
        assert_eq!(chosen.counters().lookups, 4 * BESIDE as u64 * cpu.counters().lookups);
        assert!(chosen.trouble().is_some() && chosen.trouble().is_none());
    }

    #[test]
    fn nobody_waits_for_a_backend_that_panicked() {
        let case = testing::case("a driver that panics", Plan::default(), 1);
        let (snapshot, work) = (case.snapshot.clone(), StageCounters::default());
        let engine = engine_on(Failing { snapshot, batches: Arc::default(), panics: true, work }, true);
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..3 * BESIDE)
                .map(|_| scope.spawn(|| engine.score(&case.batch, &mut Scores::of_rows()).unwrap()))
                .collect();
            let well = threads.into_iter().map(|thread| thread.join().is_ok()).filter(|well| *well).count();
            assert_eq!(well, 1);
        });
    }
}
