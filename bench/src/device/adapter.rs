//! An adapter that Vulkan reaches.

use std::sync::Arc;

use model::cpu::Counted;
use model::snapshot::programs;
use model::{Backend, EncodedBatch, Lens, Scores, Snapshot};
use scorer_gpu::{AdapterInfo, GpuBackend, GpuCounter, open_adapter_timed, roofline};

use super::{About, Counter, Device, Failure, Limits, Scorer};

/// An adapter, by its name.
#[derive(Debug)]
pub(super) struct Adapter(pub(super) AdapterInfo);

impl Device for Adapter {
    fn about(&self) -> About {
        let AdapterInfo { name, kind, backend, driver } = &self.0;
        About { name: name.clone(), kind: (*kind).into(), details: format!("{backend}, {driver}") }
    }

    fn limits(&self, slots: &[[u32; 4]]) -> Result<Limits, Failure> {
        let rates = roofline::measure(&self.0.name, size_of_val(slots) as u64)?;
        let copies = Some([rates.up, rates.down]);
        Ok(Limits { bytes: rates.buffer, stream: rates.stream, gather: rates.gather, copies })
    }

    fn open(&self, snapshot: &Arc<Snapshot>) -> Result<Box<dyn Scorer>, Failure> {
        Ok(Box::new(OfAdapter(open_adapter_timed(&self.0.name, snapshot)?)))
    }

    fn counter(&self, lens: &Lens, seed: [u32; 2]) -> Result<Box<dyn Counter>, Failure> {
        let counter = GpuCounter::open(&self.0.name, &programs(lens), lens.fields().len(), seed)?;
        Ok(Box::new(CountsOfAdapter(counter)))
    }
}

struct OfAdapter(GpuBackend);

impl Scorer for OfAdapter {
    fn score(&mut self, batch: &EncodedBatch, out: &mut Scores) -> Result<(), Failure> {
        Ok(self.0.score(batch, out)?)
    }

    fn lookups(&self) -> u64 {
        self.0.counters().lookups
    }

    fn kernel_seconds(&self) -> Option<f64> {
        self.0.kernel_seconds()
    }
}

struct CountsOfAdapter(GpuCounter);

impl Counter for CountsOfAdapter {
    fn count(&mut self, batch: &EncodedBatch, rows: &[u32]) -> Result<Vec<Counted>, Failure> {
        Ok(self.0.count(batch, rows)?)
    }
}
