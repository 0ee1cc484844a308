//! A clock and devices that tests make up.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use model::cpu::Counted;
use model::{EncodedBatch, Lens, Scores, Snapshot};
use scorer_gpu::measure::{Clock, Spread};

use crate::device::{About, Counter, Cpu, Device, Failure, Kind, Limits, Scorer};
use crate::report::{DeviceReport, FORMAT, FileFigures, Identity, LeftOut, LimitsAt, Machine, Report, ScoreFigure};

/// A clock that goes on when it is told to.
#[derive(Debug, Default)]
pub struct FakeClock(AtomicU64);

impl FakeClock {
    /// Goes on.
    pub fn pass(&self, time: Duration) {
        self.0.fetch_add(time.as_nanos() as u64, Relaxed);
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Duration {
        Duration::from_nanos(self.0.load(Relaxed))
    }
}

/// What becomes of a made-up device.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fate {
    /// It works.
    Works,
    /// One bit of its scores is wrong, with so many views.
    Differs(usize),
    /// It is lost when it scores with so many views.
    Lost(usize),
    /// It has no room for so many views.
    OutOfMemory(usize),
    /// It never comes back with so many views.
    Hangs(usize),
    /// Its thread panics with so many views.
    Panics(usize),
}

/// A card that the processor plays.
pub struct FakeDevice {
    /// What becomes of it.
    pub fate: Fate,
    /// By which it takes its time.
    pub clock: Arc<FakeClock>,
    /// How long each batch takes.
    pub takes: Duration,
}

impl FakeDevice {
    /// One that takes a millisecond for each batch.
    pub fn new(fate: Fate, clock: &Arc<FakeClock>) -> Self {
        let takes = Duration::from_millis(1);
        Self { fate, clock: Arc::clone(clock), takes }
    }
}

struct FakeScorer {
    real: Box<dyn Scorer>,
    fate: Fate,
    clock: Arc<FakeClock>,
    takes: Duration,
}

impl Device for FakeDevice {
    fn about(&self) -> About {
        About { name: "a card".to_owned(), kind: Kind::Software, details: "made up".to_owned() }
    }

    fn limits(&self, slots: &[[u32; 4]]) -> Result<Limits, Failure> {
        let bytes = size_of_val(slots) as u64;
        Ok(Limits { bytes, stream: 1e9, gather: 1e7, copies: Some([1e8, 2e8]) })
    }

    fn open(&self, snapshot: &Arc<Snapshot>) -> Result<Box<dyn Scorer>, Failure> {
        let views = snapshot.views.len();
        if self.fate == Fate::OutOfMemory(views) {
            return Err(model::BackendError::Device { device: "a card".into(), reason: "out of memory".into() }.into());
        }
        let fate = match self.fate {
            Fate::Differs(n) | Fate::Lost(n) | Fate::Hangs(n) | Fate::Panics(n) if n == views => self.fate,
            _ => Fate::Works,
        };
        let real = Cpu.open(snapshot)?;
        Ok(Box::new(FakeScorer { real, fate, clock: Arc::clone(&self.clock), takes: self.takes }))
    }

    fn counter(&self, lens: &Lens, seed: [u32; 2]) -> Result<Box<dyn Counter>, Failure> {
        Ok(Box::new(FakeCounter(Cpu.counter(lens, seed)?, Arc::clone(&self.clock))))
    }
}

impl Scorer for FakeScorer {
    fn score(&mut self, batch: &EncodedBatch, out: &mut Scores) -> Result<(), Failure> {
        self.clock.pass(self.takes);
        match self.fate {
            Fate::Lost(_) => {
                return Err(model::BackendError::Device { device: "a card".into(), reason: "lost".into() }.into());
            }
            Fate::Hangs(_) => std::thread::sleep(Duration::from_secs(600)),
            Fate::Panics(_) => panic!("on purpose"),
            _ => {}
        }
        self.real.score(batch, out)?;
        if let (Fate::Differs(_), Some(bits)) = (self.fate, out.bits.last_mut()) {
            *bits ^= 1;
        }
        Ok(())
    }

    fn lookups(&self) -> u64 {
        self.real.lookups()
    }

    fn kernel_seconds(&self) -> Option<f64> {
        None
    }
}

struct FakeCounter(Box<dyn Counter>, Arc<FakeClock>);

impl Counter for FakeCounter {
    fn count(&mut self, batch: &EncodedBatch, rows: &[u32]) -> Result<Vec<Counted>, Failure> {
        self.1.pass(Duration::from_millis(1));
        self.0.count(batch, rows)
    }
}

/// A report with something in every place.
#[must_use]
pub fn report() -> Report {
    // Halves, which are read as they are written to the last bit.
    let spread = |median: f64| Spread { median, least: median * 0.5, most: median * 1.5, runs: 5 };
    let score = ScoreFigure {
        views: 8,
        table_bytes: 1 << 20,
        rows: 65_536,
        kernel_rows_per_s: spread(1e6),
        timed_by: "host".to_owned(),
        lookups_per_s: 3e7,
        share_of_gathers: 0.5,
        lookups_done: Some(0.25),
        arrow_rows_per_s: spread(5e5),
        share_of_stream: 0.01,
        share_of_copies: None,
        joules_per_million_rows: Some(12.5),
    };
    let limits = LimitsAt {
        table_bytes: 1 << 20,
        buffer_bytes: 1 << 20,
        stream_bytes_per_s: 1e10,
        gathers_per_s: 6e7,
        up_bytes_per_s: Some(1e9),
        down_bytes_per_s: None,
    };
    let files = FileFigures {
        rows: 1000,
        read_rows_per_s: spread(1e7),
        learn_rows_per_s: Some(spread(1e5)),
        score_rows_per_s: spread(2e5),
        share_of_read: 0.02,
    };
    let device = DeviceReport {
        name: "cpu".to_owned(),
        kind: Kind::Cpu,
        details: "2 threads".to_owned(),
        identity: Some(Identity { cases: 3, rows: 300 }),
        limits: vec![limits],
        scores: vec![score],
        batches: vec![scorer_gpu::measure::BatchFigure { rows: 256, rows_per_s: spread(3e5) }],
        crossover_rows: Some(1024),
        learn: vec![crate::report::LearnFigure {
            views: 8,
            rows: 1024,
            rows_per_s: spread(1e5),
            share_of_gathers: 0.1,
        }],
        files: Some(files),
    };
    let left_out = LeftOut { device: "a card".to_owned(), what: "8 views".to_owned(), why: "lost".to_owned() };
    Report {
        format: FORMAT,
        version: "0.1.0".to_owned(),
        quick: true,
        seed: 1,
        rows: 65_536,
        budget_seconds: 50.0,
        wall_seconds: 31.5,
        stopped: false,
        peak_memory_bytes: Some(1 << 28),
        machine: Machine { threads: 2, last_cache_bytes: 32 << 20, ..Machine::default() },
        devices: vec![device],
        left_out: vec![left_out],
    }
}
