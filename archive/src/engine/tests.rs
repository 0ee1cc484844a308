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
    assert_eq!((name.as_str(), reason.as_str()), ("cpu", "gpu: a card; device a card: lost; the CPU scores the rest"));
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
