//! The value hashes of all columns in one buffer, uploaded again only where a column's dictionary is another one.

use crate::device::Gpu;
use bytemuck::cast_slice;
use model::BackendError;
use std::sync::Arc;
use wgpu::{Buffer, BufferUsages};

/// Value hashes of one column; the same `Arc` means the same hashes.
pub(crate) type Hashes = Arc<Vec<[u32; 2]>>;

const PAIR: u64 = 8;

#[derive(Clone, Default)]
struct Region {
    first: u64,
    capacity: u64,
    /// Kept alive, so that its address cannot be another dictionary's.
    held: Option<Hashes>,
}

/// What bringing the card up to date took.
pub(crate) struct Update {
    /// The buffer is a new one, which bind groups must follow.
    pub(crate) is_grown: bool,
    /// Uploaded.
    pub(crate) bytes: u64,
}

pub(crate) struct Dictionary {
    buffer: Option<Buffer>,
    regions: Vec<Region>,
}

impl Dictionary {
    pub(crate) fn new(columns: usize) -> Self {
        Self { buffer: None, regions: vec![Region::default(); columns] }
    }

    /// Brings the card up to `columns`.
    pub(crate) fn update(&mut self, gpu: &Gpu, columns: &[&Hashes]) -> Result<Update, BackendError> {
        let fits = |(region, hashes): (&Region, &&Hashes)| hashes.len() as u64 <= region.capacity;
        let is_grown = self.buffer.is_none() || !self.regions.iter().zip(columns).all(fits);
        if is_grown {
            self.lay_out(gpu, columns)?;
        }
        let mut bytes = 0;
        let Some(buffer) = &self.buffer else {
            return Ok(Update { is_grown, bytes });
        };
        for (region, &hashes) in self.regions.iter_mut().zip(columns) {
            if region.held.as_ref().is_some_and(|held| Arc::ptr_eq(held, hashes)) {
                continue;
            }
            gpu.queue.write_buffer(buffer, region.first * PAIR, cast_slice(hashes));
            bytes += PAIR * hashes.len() as u64;
            region.held = Some(Arc::clone(hashes));
        }
        Ok(Update { is_grown, bytes })
    }

    pub(crate) fn buffer(&self) -> Option<&Buffer> {
        self.buffer.as_ref()
    }

    /// The first entry of a column's hashes.
    pub(crate) fn first(&self, column: usize) -> u32 {
        self.regions[column].first as u32
    }

    /// Forgets what is on the card, after an error.
    pub(crate) fn forget(&mut self) {
        *self = Self::new(self.regions.len());
    }

    fn lay_out(&mut self, gpu: &Gpu, columns: &[&Hashes]) -> Result<(), BackendError> {
        let roomy =
            |(region, hashes): (&Region, &&Hashes)| (hashes.len() as u64).next_power_of_two().max(region.capacity);
        let mut capacities: Vec<u64> = self.regions.iter().zip(columns).map(roomy).collect();
        if capacities.iter().sum::<u64>() * PAIR > gpu.largest {
            capacities = columns.iter().map(|hashes| hashes.len() as u64).collect();
        }
        let bytes = capacities.iter().sum::<u64>() * PAIR;
        if bytes > gpu.largest {
            return Err(gpu.error(&format!(
                "the distinct values of this batch need {bytes} bytes and the adapter takes at most {}",
                gpu.largest
            )));
        }
        let usage = BufferUsages::STORAGE | BufferUsages::COPY_DST;
        self.buffer = Some(gpu.buffer("value hashes", bytes, usage));
        let mut first = 0;
        for (region, capacity) in self.regions.iter_mut().zip(capacities) {
            *region = Region { first, capacity, held: None };
            first += capacity;
        }
        gpu.check()
    }
}
