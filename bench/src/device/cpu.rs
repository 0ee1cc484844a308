//! The processor.

use std::sync::Arc;

use model::cpu::Counted;
use model::{Backend, CellCounter, CpuBackend, EncodedBatch, Lens, Scores, Snapshot};
use scorer_gpu::measure::processor;

use super::{About, Counter, Device, Failure, Kind, Limits, Scorer};
use crate::memory;

/// Each limit is the best of so many tries.
const TRIES: usize = 3;
/// Random reads of each thread.
const READS: usize = 1 << 21;

/// The processor, all of its cores.
#[derive(Debug)]
pub(crate) struct Cpu;

impl Device for Cpu {
    fn about(&self) -> About {
        let details = format!("{}, {}", processor(), words());
        About { name: "cpu".to_owned(), kind: Kind::Cpu, details }
    }

    fn limits(&self, slots: &[[u32; 4]]) -> Result<Limits, Failure> {
        let gathers = (0..TRIES).map(|_| memory::gathers_per_s(slots, READS));
        Ok(Limits {
            bytes: size_of_val(slots) as u64,
            stream: memory::stream_bytes_per_s(slots, TRIES),
            gather: gathers.fold(0.0, f64::max),
            copies: None,
        })
    }

    fn open(&self, snapshot: &Arc<Snapshot>) -> Result<Box<dyn Scorer>, Failure> {
        Ok(Box::new(OfCpu(CpuBackend::new(Arc::clone(snapshot)))))
    }

    fn counter(&self, lens: &Lens, seed: [u32; 2]) -> Result<Box<dyn Counter>, Failure> {
        Ok(Box::new(CountsOfCpu { lens: lens.clone(), seed }))
    }
}

/// Threads and instructions, as the backend says.
fn words() -> String {
    let lens = crate::case::lens(1);
    let case = lens.ok().and_then(|lens| {
        let calibration = model::Calibration::identity(lens.views().len());
        Snapshot::new(lens, &crate::case::key(), vec![[0; 4]; model::snapshot::MIN_SLOTS], calibration)
    });
    case.map_or_else(String::new, |snapshot| CpuBackend::new(Arc::new(snapshot)).device())
}

struct OfCpu(CpuBackend);

impl Scorer for OfCpu {
    fn score(&mut self, batch: &EncodedBatch, out: &mut Scores) -> Result<(), Failure> {
        Ok(self.0.score(batch, out)?)
    }

    fn lookups(&self) -> u64 {
        self.0.counters().lookups
    }

    fn kernel_seconds(&self) -> Option<f64> {
        None
    }
}

struct CountsOfCpu {
    lens: Lens,
    seed: [u32; 2],
}

impl Counter for CountsOfCpu {
    fn count(&mut self, batch: &EncodedBatch, rows: &[u32]) -> Result<Vec<Counted>, Failure> {
        let mut counter = CellCounter::new(&self.lens, self.seed);
        counter.count_into(batch, rows);
        Ok(counter.finish())
    }
}
