//! The backend: a batch is cut into parts, and while one part computes the next is packed and uploaded.

use crate::adapter::AdapterInfo;
use crate::columns::Packer;
use crate::device::Gpu;
use crate::dictionary::{Dictionary, Hashes};
use crate::error::OpenError;
use crate::kernels::{BLOCK, Kernels};
use crate::resident::{Beside, Resident, Slices};
use crate::slot::{Flight, Job, Results, Room, Slot, rows_that_fit};
use model::{Backend, BackendError, Codes, EncodedBatch, Scores, Snapshot, StageCounters};
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

/// The most rows of one dispatch: enough to fill a card, few enough that a batch is several parts.
const ROWS: usize = 65_536;
/// Parts in flight: one computes, one waits for it, one is being packed or read.
const SLOTS: usize = 3;

/// Scores on one adapter.
pub struct GpuBackend {
    gpu: Gpu,
    card: Arc<Card>,
    dictionary: Dictionary,
    /// Groups of hosts, and where their calibrations are.
    beside: [Beside; 2],
    slots: Vec<Slot>,
    /// Of each slot.
    room: Room,
    /// Rows of a part at most.
    part: usize,
    packed: Vec<u32>,
    counters: StageCounters,
    traffic: Traffic,
    /// Nanoseconds of a tick of the device's clock, if it is asked how long kernels take.
    tick: Option<f32>,
    ticks: u64,
}

/// What is on the card once, whoever works with it.
struct Card {
    kernels: Kernels,
    resident: Resident,
}

/// Bytes between host and device.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Codes of rows, to the device.
    pub codes: u64,
    /// Hashes of distinct values, to the device.
    pub hashes: u64,
    /// Scores, back from it.
    pub back: u64,
}

impl GpuBackend {
    pub(crate) fn new(info: &AdapterInfo, adapter: &wgpu::Adapter, snapshot: &Snapshot) -> Result<Self, OpenError> {
        Self::with_limit(info, adapter, snapshot, u64::MAX)
    }

    /// The device stamps when kernels begin and end, if it can.
    pub(crate) fn timed(info: &AdapterInfo, adapter: &wgpu::Adapter, snapshot: &Snapshot) -> Result<Self, OpenError> {
        let gpu = Gpu::new(info, adapter, wgpu::Features::TIMESTAMP_QUERY)?;
        let can = gpu.device.features().contains(wgpu::Features::TIMESTAMP_QUERY);
        let tick = can.then(|| gpu.queue.get_timestamp_period()).filter(|tick| *tick > 0.0);
        Ok(Self { tick, ..Self::on(gpu, snapshot)? })
    }

    /// As if the adapter took at most `limit` bytes in a binding.
    pub(crate) fn with_limit(
        info: &AdapterInfo,
        adapter: &wgpu::Adapter,
        snapshot: &Snapshot,
        limit: u64,
    ) -> Result<Self, OpenError> {
        let mut gpu = Gpu::new(info, adapter, wgpu::Features::empty())?;
        gpu.largest = gpu.largest.min(limit);
        Self::on(gpu, snapshot)
    }

    fn on(gpu: Gpu, snapshot: &Snapshot) -> Result<Self, OpenError> {
        let slices = Slices::of(&gpu, snapshot)?;
        let kernels = Kernels::new(&gpu.device, slices.number);
        gpu.check_open()?;
        let resident = Resident::new(&gpu, &kernels, slices, snapshot)?;
        let part = rows_that_fit(&gpu, &resident, ROWS);
        if part == 0 {
            return Err(OpenError::TooLarge {
                adapter: gpu.info.name.clone(),
                what: "a block of rows with all views",
                needed: crate::slot::result_bytes(resident.views),
                limit: gpu.largest,
            });
        }
        Ok(Self::of(gpu, Arc::new(Card { kernels, resident }), part))
    }

    /// With nothing of its own yet.
    fn of(gpu: Gpu, card: Arc<Card>, part: usize) -> Self {
        Self {
            dictionary: Dictionary::new(card.resident.plan.dictionaries()),
            beside: Default::default(),
            slots: Vec::new(),
            room: Room { rows: 0, only_rows: true },
            packed: Vec::new(),
            counters: StageCounters::default(),
            traffic: Traffic::default(),
            tick: None,
            ticks: 0,
            gpu,
            card,
            part,
        }
    }

    /// One more on the same device and tables, to score other batches at the same time.
    #[must_use]
    pub fn another_here(&self) -> Self {
        Self { tick: self.tick, ..Self::of(self.gpu.clone(), Arc::clone(&self.card), self.part) }
    }

    /// Cuts batches into parts of at most `rows` rows (rounded up to blocks of 256, and only as far as the adapter allows).
    pub fn limit_rows(&mut self, rows: usize) {
        self.part = rows_that_fit(&self.gpu, &self.card.resident, rows.clamp(1, ROWS));
    }

    /// Seconds that kernels took so far, by the device's own clock; `None` where it has none, and unless it was opened by
    /// [`crate::open_adapter_timed`].
    pub fn kernel_seconds(&self) -> Option<f64> {
        self.tick.map(|tick| self.ticks as f64 * f64::from(tick) / 1e9)
    }

    /// What went between host and device so far, the tables aside.
    pub fn traffic(&self) -> Traffic {
        self.traffic
    }

    /// The bindings that the table takes.
    #[doc(hidden)]
    pub fn slices(&self) -> usize {
        self.card.resident.slices.number
    }

    fn score_parts(&mut self, batch: &EncodedBatch, columns: &[&Codes], out: &mut Scores) -> Result<(), BackendError> {
        self.prepare(batch.rows, columns, out.only_rows)?;
        let mut flights = VecDeque::new();
        let starts = (0..batch.rows).step_by(self.part);
        for (number, start) in starts.enumerate() {
            if flights.len() == SLOTS {
                self.land(&mut flights, out)?;
            }
            let rows = start..batch.rows.min(start + self.part);
            flights.push_back(self.launch(batch, columns, number % SLOTS, (rows, out.only_rows))?);
        }
        while !flights.is_empty() {
            self.land(&mut flights, out)?;
        }
        Ok(())
    }

    /// The columns that travel: fields that views read, then host.
    fn columns<'a>(&self, batch: &'a EncodedBatch) -> Result<Vec<&'a Codes>, BackendError> {
        if !batch.is_consistent(self.card.resident.lens_fields) {
            return Err(BackendError::Batch("its columns do not match the lens".to_owned()));
        }
        let fields = self.card.resident.plan.fields.iter();
        Ok(fields.map(|&field| &batch.fields[field]).chain([&batch.host]).collect())
    }

    /// Hashes and room on the card for a batch of `rows` rows.
    fn prepare(&mut self, rows: usize, columns: &[&Codes], only_rows: bool) -> Result<(), BackendError> {
        let resident = &self.card.resident;
        let mut hashes: Vec<&Hashes> = columns.iter().map(|column| &column.hashes).collect();
        let [of_groups, of_sets] = &mut self.beside;
        // Beside the hash of each host value goes the scope of its group.
        let groups = columns.last().and_then(|host| resident.groups(&host.hashes, of_groups));
        hashes.extend(&groups);
        // And where its calibration is.
        let sets = columns.last().and_then(|host| resident.sets(&host.hashes, of_sets));
        hashes.extend(&sets);
        let update = self.dictionary.update(&self.gpu, &hashes)?;
        self.traffic.hashes += update.bytes;
        if update.is_grown {
            self.slots.iter_mut().for_each(Slot::unbind);
        }
        let needed = rows.min(self.part);
        if needed > self.room.rows || self.room.only_rows && !only_rows {
            self.slots.clear();
            let rows = needed.max(self.room.rows).next_power_of_two().max(BLOCK as usize).min(self.part);
            self.room = Room { rows, only_rows: self.room.only_rows && only_rows };
        }
        while self.slots.len() < rows.div_ceil(self.part).clamp(1, SLOTS) {
            self.slots.push(Slot::new(&self.gpu, resident, self.room, self.tick.is_some())?);
        }
        Ok(())
    }

    fn launch(
        &mut self,
        batch: &EncodedBatch,
        columns: &[&Codes],
        slot: usize,
        (rows, only_rows): (Range<usize>, bool),
    ) -> Result<Flight, BackendError> {
        let Card { kernels, resident } = &*self.card;
        let mut packer = Packer::new(&mut self.packed, resident.plan.columns());
        for (number, column) in columns.iter().enumerate() {
            let first = self.dictionary.first(number);
            packer.codes(&column.codes[rows.clone()], column.hashes.len(), first);
        }
        packer.bytes(&batch.class[rows.clone()]);
        let Some(hashes) = self.dictionary.buffer() else {
            return Err(self.gpu.error("the value hashes are not on the card"));
        };
        let groups = resident.grouped().then(|| self.dictionary.first(columns.len()));
        let behind = columns.len() + usize::from(resident.grouped());
        let sets = resident.has_sets().then(|| self.dictionary.first(behind));
        let job = Job { gpu: &self.gpu, kernels, resident, hashes, groups, sets, only_rows };
        let packed = packer.finish();
        self.traffic.codes += packed.len() as u64;
        self.slots[slot].launch(&job, packed, (slot, rows))
    }

    fn land(&mut self, flights: &mut VecDeque<Flight>, out: &mut Scores) -> Result<(), BackendError> {
        let Some(flight) = flights.pop_front() else {
            return Ok(());
        };
        let rows = flight.rows.clone();
        let (counters, ticks) = (&mut self.counters, &mut self.ticks);
        self.traffic.back += flight.bytes;
        self.slots[flight.slot].land(&self.gpu, flight, |results| {
            *counters += results.counters();
            *ticks += results.ticks();
            take_results(&results, rows, out);
        })
    }

    /// After an error nothing on the card is relied on but the resident tables.
    fn recover(&mut self) {
        // Parts may still be running in these buffers; an error here is the one already being reported.
        let _ = self.gpu.wait(None);
        self.slots.clear();
        self.dictionary.forget();
    }
}

/// Says what an error means for the batch: of a part that came back before it, nothing is used either.
fn unscored(error: BackendError, rows: usize) -> BackendError {
    match error {
        BackendError::Device { device, reason } => BackendError::Device {
            device,
            reason: format!("{reason}: none of the {rows} rows of this batch is scored"),
        },
        other => other,
    }
}

fn take_results(results: &Results<'_>, rows: Range<usize>, out: &mut Scores) {
    let total = out.bits.len();
    let views = out.surprisal.len() / total.max(1);
    out.bits[rows.clone()].copy_from_slice(results.bits(rows.len()));
    out.reasons[rows.clone()].copy_from_slice(results.reasons(rows.len()));
    out.log2_n[rows.clone()].copy_from_slice(results.log2_n(rows.len()));
    for view in 0..views {
        let part = view * total + rows.start..view * total + rows.end;
        out.surprisal[part].copy_from_slice(results.surprisal(view, rows.len()));
    }
}

impl Backend for GpuBackend {
    fn name(&self) -> &str {
        "gpu"
    }

    fn device(&self) -> String {
        self.gpu.info.to_string()
    }

    fn score(&mut self, batch: &EncodedBatch, out: &mut Scores) -> Result<(), BackendError> {
        self.gpu.look().map_err(|error| unscored(error, batch.rows))?;
        let columns = self.columns(batch)?;
        out.reset(batch.rows, self.card.resident.views);
        let before = (self.counters, self.ticks);
        let scored = self.score_parts(batch, &columns, out);
        scored.map_err(|error| {
            // Whoever scores the batch then counts it.
            (self.counters, self.ticks) = before;
            self.recover();
            unscored(error, batch.rows)
        })
    }

    fn counters(&self) -> StageCounters {
        self.counters
    }

    fn another(&self) -> Option<Box<dyn Backend>> {
        Some(Box::new(self.another_here()))
    }
}

#[cfg(test)]
mod tests;
