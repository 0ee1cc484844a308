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
                // Nobody is to wait for it, and what it left behind is not relied on.
                self.put_back(backend.another().unwrap_or(backend));
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
mod tests {
    use super::*;
    use model::testing::{self, Plan};
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::{Duration, Instant};

    /// What a device that tests make up does.
    #[derive(Clone, Copy, PartialEq)]
    enum Fate {
        /// It is lost with its second batch.
        Lost,
        /// Its driver panics with the second.
        Panics,
        /// It has room for one backend, and is lost after so many batches.
        NoRoom(u32),
        /// It ends no batch before as many are at work as may be.
        AtOnce,
    }

    /// One of those that work on such a device.
    #[derive(Clone)]
    struct Card {
        snapshot: Arc<Snapshot>,
        fate: Fate,
        /// Batches of all of them.
        batches: Arc<AtomicU32>,
        is_first: bool,
        work: StageCounters,
    }

    impl Card {
        fn fails(&self) -> Option<&'static str> {
            let number = match self.fate {
                Fate::NoRoom(_) if !self.is_first => return Some("out of memory"),
                _ => self.batches.fetch_add(1, Ordering::SeqCst),
            };
            match self.fate {
                Fate::Lost if number > 0 => Some("lost"),
                Fate::NoRoom(enough) if number >= enough => Some("lost"),
                Fate::Panics if number > 0 => panic!("on purpose"),
                Fate::AtOnce => {
                    let begun = Instant::now();
                    while self.batches.load(Ordering::SeqCst) < BESIDE as u32 {
                        assert!(begun.elapsed() < Duration::from_secs(60), "one after the other");
                        std::thread::sleep(Duration::from_millis(1));
                    }
                    None
                }
                _ => None,
            }
        }
    }

    impl Backend for Card {
        fn name(&self) -> &str {
            "gpu"
        }

        fn device(&self) -> String {
            "a card".to_owned()
        }

        fn score(&mut self, batch: &EncodedBatch, out: &mut Scores) -> Result<(), BackendError> {
            if let Some(reason) = self.fails() {
                return Err(BackendError::Device { device: self.device(), reason: reason.to_owned() });
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
            Some(Box::new(Self { work: StageCounters::default(), is_first: false, ..self.clone() }))
        }
    }

    fn engine(snapshot: &Arc<Snapshot>, fate: Fate, relieved: bool) -> Engine {
        let (snapshot, key) = (snapshot.clone(), testing::key());
        let (batches, work) = (Arc::default(), StageCounters::default());
        let card = Card { snapshot: snapshot.clone(), fate, batches, is_first: true, work };
        let lens = snapshot.lens.clone();
        Engine {
            snapshot,
            encoder: Box::new(move || Encoder::new(&lens, &key)),
            views: Vec::new(),
            batch_rows: 1,
            relieved,
            state: Mutex::new(State::new(Box::new(card), "gpu: a card".to_owned())),
            returned: Condvar::new(),
        }
    }

    /// Many threads score a batch each; returns the look-ups that were counted, by the look-ups of one.
    fn at_once(engine: &Engine, case: &testing::Case) -> u64 {
        let (mut expected, mut cpu) = (Scores::of_rows(), CpuBackend::new(case.snapshot.clone()));
        cpu.score(&case.batch, &mut expected).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 * BESIDE {
                scope.spawn(|| {
                    let mut out = Scores::of_rows();
                    engine.score(&case.batch, &mut out).unwrap();
                    assert!(out == expected);
                });
            }
        });
        engine.counters().lookups / cpu.counters().lookups
    }

    #[test]
    fn the_cpu_goes_on_where_a_chosen_device_is_lost_and_that_is_said_once() {
        let case = testing::case("a lost device", Plan::default(), 1);
        let (mut first, mut second) = (Scores::default(), Scores::default());
        let chosen = engine(&case.snapshot, Fate::Lost, true);
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
        let asked_for = engine(&case.snapshot, Fate::Lost, false);
        asked_for.score(&case.batch, &mut Scores::default()).unwrap();
        let error = asked_for.score(&case.batch, &mut Scores::default()).unwrap_err();
        assert!(matches!(error, BackendError::Device { .. }));
        assert_eq!(asked_for.trouble(), None);
    }

    #[test]
    fn many_threads_lose_one_device_and_every_batch_is_scored_once() {
        let case = testing::case("a lost device", Plan::default(), 1);
        let chosen = engine(&case.snapshot, Fate::Lost, true);
        assert_eq!(at_once(&chosen, &case), 4 * BESIDE as u64);
        assert!(chosen.trouble().is_some() && chosen.trouble().is_none());
    }

    #[test]
    fn batches_of_several_threads_are_on_a_device_at_once() {
        let case = testing::case("at once", Plan::default(), 1);
        let card = engine(&case.snapshot, Fate::AtOnce, true);
        assert_eq!(at_once(&card, &case), 4 * BESIDE as u64);
        assert_eq!((card.trouble(), card.lock().idle.len()), (None, BESIDE));
    }

    #[test]
    fn a_device_with_room_for_one_batch_has_one_at_a_time() {
        let case = testing::case("no room", Plan::default(), 1);
        let card = engine(&case.snapshot, Fate::NoRoom(u32::MAX), true);
        assert_eq!(at_once(&card, &case), 4 * BESIDE as u64);
        assert_eq!((card.trouble(), card.lock().name.as_str()), (None, "gpu"));
        // The others go as they are tried.
        let lost = engine(&case.snapshot, Fate::NoRoom(3), true);
        assert_eq!(at_once(&lost, &case), 4 * BESIDE as u64);
        assert_eq!(lost.trouble().unwrap(), "device a card: lost; the CPU scores the rest");
    }

    #[test]
    fn nobody_waits_for_a_backend_that_panicked() {
        let case = testing::case("a driver that panics", Plan::default(), 1);
        let engine = engine(&case.snapshot, Fate::Panics, true);
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..3 * BESIDE)
                .map(|_| scope.spawn(|| engine.score(&case.batch, &mut Scores::of_rows()).unwrap()))
                .collect();
            let well = threads.into_iter().map(|thread| thread.join().is_ok()).filter(|well| *well).count();
            assert_eq!(well, 1);
        });
        assert_eq!(engine.lock().idle.len(), BESIDE);
    }
}
