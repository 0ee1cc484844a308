//! `auto` with cards that the processor plays.

use super::super::*;
use crate::auto::{About, Forgets, Measured, Recalled};
use model::testing::{self, Plan};
use model::{BackendError, EncodedBatch, Scores, StageCounters};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// What becomes of a card.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    /// It is faster than the processor.
    Fast,
    /// It is slower.
    Slow,
    /// It never comes back from a batch.
    Hangs,
    /// Its thread falls over.
    Panics,
    /// It is lost with a batch.
    Lost,
    /// One bit is wrong.
    Differs,
    /// It cannot be opened.
    Refuses,
    /// It is fast, and has no room for the table in use.
    IsSmall,
    /// It is fast, and never has the table in use.
    HangsLater,
}

struct Card {
    cpu: CpuBackend,
    fate: Fate,
    /// Rows of the batch before, and whether those alone were wanted: the caller still has the scores.
    before: (usize, bool),
}

impl Backend for Card {
    fn name(&self) -> &str {
        "gpu"
    }

    fn device(&self) -> String {
        "a card".to_owned()
    }

    fn score(&mut self, batch: &EncodedBatch, out: &mut Scores) -> Result<(), BackendError> {
        match self.fate {
            Fate::Hangs => sleep(Duration::from_secs(600)),
            Fate::Panics => panic!("on purpose"),
            Fate::Lost => return Err(BackendError::Device { device: "a card".into(), reason: "lost\nit".into() }),
            Fate::Slow => sleep(Duration::from_millis(2)),
            _ if self.before == (batch.rows, out.only_rows) => return Ok(()),
            _ => self.before = (batch.rows, out.only_rows),
        }
        self.cpu.score(batch, out)?;
        out.bits[0] ^= u32::from(self.fate == Fate::Differs);
        Ok(())
    }

    fn counters(&self) -> StageCounters {
        self.cpu.counters()
    }
}

fn info() -> AdapterInfo {
    let name = "a card".to_owned();
    AdapterInfo { name, kind: AdapterKind::Hardware, backend: "vulkan".to_owned(), driver: "1.0".to_owned() }
}

/// A machine with one card, and how often that was opened.
fn machine(fate: Fate) -> (Found, Arc<AtomicUsize>) {
    let opened = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&opened);
    let open = move |snapshot: &Arc<Snapshot>| -> Result<Box<dyn Backend>, OpenError> {
        let is_second = count.fetch_add(1, Relaxed) > 0;
        let refused = |why: &str| OpenError::Device { adapter: "a card".to_owned(), why: why.to_owned() };
        match fate {
            Fate::Refuses => return Err(refused("no device")),
            Fate::IsSmall if is_second => return Err(refused("out of memory")),
            Fate::HangsLater if is_second => sleep(Duration::from_secs(600)),
            _ => {}
        }
        Ok(Box::new(Card { cpu: CpuBackend::new(Arc::clone(snapshot)), fate, before: (0, false) }))
    };
    (Found { info: info(), open: Arc::new(open) }, opened)
}

/// Keeps figures in memory, or nowhere.
#[derive(Default)]
struct Notes {
    kept: Vec<(About, Measured)>,
    refuses: bool,
}

impl Memory for Notes {
    fn recall(&mut self, about: &About) -> Option<Recalled> {
        let (_, measured) = self.kept.iter().find(|(known, _)| known == about)?;
        Some(Recalled { measured: measured.clone(), when: "2026-11-23".to_owned() })
    }

    fn keep(&mut self, about: &About, measured: &Measured) -> Result<(), String> {
        if self.refuses {
            return Err("/cache: it is full".to_owned());
        }
        self.kept.push((about.clone(), measured.clone()));
        Ok(())
    }

    fn place(&self) -> String {
        "/cache".to_owned()
    }
}

fn snapshot(views: u32) -> Arc<Snapshot> {
    testing::case("auto", Plan { views, ..Plan::default() }, 1).snapshot
}

/// A machine whose card is given up soon, for batches of 256 rows.
fn opener(found: Found, memory: &mut dyn Memory) -> Opener<'_> {
    let patience = Patience { measured: Duration::from_secs(20), opened: Duration::from_millis(200) };
    let wish = Wish::new(Choice::Auto, Batches::UpTo(65_536));
    Opener { patience, found: Some(vec![found]), ..Opener::new(wish, memory) }
}

#[test]
fn the_faster_is_taken_and_what_was_measured_is_said_and_kept() {
    for (fate, name) in [(Fate::Fast, "gpu"), (Fate::Slow, "cpu")] {
        let (mut notes, snapshot) = (Notes::default(), snapshot(9));
        let first = opener(machine(fate).0, &mut notes).open(Arc::clone(&snapshot)).unwrap();
        assert_eq!(first.backend.name(), name, "{}", first.reason);
        assert!(first.reason.starts_with(name) && first.reason.contains("a card (vulkan, 1.0)"), "{}", first.reason);
        assert!(first.reason.contains(" rows/s at 65,536 rows a batch, "), "{}", first.reason);
        assert_eq!((first.note.as_deref(), notes.kept.len()), (Some("measured now, kept in /cache"), 1));
        let about = &notes.kept[0].0;
        assert_eq!((&about.adapter, about.size.views, about.threads), (&info(), 9, model::cpu::threads()));
        assert_eq!(about.size.table_bytes, 16 * snapshot.slots.len());

        let (found, opened) = machine(fate);
        let again = opener(found, &mut notes).open(Arc::clone(&snapshot)).unwrap();
        assert_eq!((again.reason, again.batch_rows), (first.reason, 65_536));
        assert_eq!(again.note.as_deref(), Some("measured 2026-11-23, kept in /cache"));
        assert_eq!(opened.load(Relaxed), usize::from(fate == Fate::Fast), "nothing is measured again");
        opener(machine(fate).0, &mut notes).open(self::snapshot(10)).unwrap();
        assert_eq!(notes.kept.len(), 2, "another model is another figure");
    }
}

#[test]
fn where_nothing_can_be_kept_it_is_measured_each_time() {
    let (mut notes, snapshot) = (Notes { refuses: true, ..Notes::default() }, snapshot(9));
    for _ in 0..2 {
        let (found, opened) = machine(Fate::Slow);
        let given = opener(found, &mut notes).open(Arc::clone(&snapshot)).unwrap();
        assert_eq!(given.note.as_deref(), Some("measured now, not kept: /cache: it is full"));
        assert_eq!(opened.load(Relaxed), 1);
    }
}

#[test]
fn a_card_that_fails_is_left_behind_for_the_cpu() {
    let cases = [
        (Fate::Panics, "cpu: a card: its driver panicked", true),
        (Fate::Lost, "cpu: a card: lost it", true),
        (Fate::Differs, "cpu: a card: its scores are not the CPU's: row 0: ", true),
        (Fate::Refuses, "cpu: a card: no device: update the driver, or use --backend cpu", true),
        (Fate::IsSmall, "cpu: a card: out of memory: ", false),
        (Fate::HangsLater, "cpu: a card: no answer within 1 s", true),
    ];
    for (fate, why, for_good) in cases {
        let mut notes = Notes::default();
        let (found, opened) = machine(fate);
        let mut opener = opener(found, &mut notes);
        let given = opener.open(snapshot(9)).unwrap();
        assert_eq!(given.backend.name(), "cpu", "{fate:?}");
        assert!(given.reason.starts_with(why) && !given.reason.contains('\n'), "{fate:?}: {}", given.reason);
        let before = opened.load(Relaxed);
        assert_eq!(opener.open(snapshot(10)).unwrap().backend.name(), "cpu");
        assert_eq!(opened.load(Relaxed) == before, for_good, "{fate:?}: asked again");
    }
}

#[test]
fn a_card_that_hangs_costs_its_patience_and_no_more() {
    let (mut notes, begun) = (Notes::default(), Instant::now());
    let mut opener = opener(machine(Fate::Hangs).0, &mut notes);
    opener.patience.measured = Duration::from_millis(200);
    for views in 9..12 {
        let given = opener.open(snapshot(views)).unwrap();
        assert_eq!((given.backend.name(), given.reason.as_str()), ("cpu", "cpu: a card: no answer within 1 s"));
    }
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
    assert!(notes.kept.is_empty(), "what failed is tried again by the next process");
}

#[test]
fn who_asks_for_one_gets_it_unmeasured() {
    for (choice, name) in [(Choice::Gpu, "gpu"), (Choice::Cpu, "cpu")] {
        let mut forgets = Forgets;
        let mut opener = opener(machine(Fate::Slow).0, &mut forgets);
        opener.wish.choice = choice;
        let given = opener.open(snapshot(9)).unwrap();
        assert_eq!((given.backend.name(), given.note), (name, None));
    }
}
