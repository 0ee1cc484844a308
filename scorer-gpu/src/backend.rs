//! The backend: a batch is cut into parts, and while one part computes the next is packed and uploaded.

use crate::adapter::AdapterInfo;
use crate::columns::Packer;
use crate::device::Gpu;
use crate::dictionary::{Dictionary, Hashes};
use crate::error::OpenError;
use crate::kernels::Kernels;
use crate::resident::Resident;
use crate::slot::{Flight, Job, Results, Slot, rows_that_fit};
use model::{Backend, BackendError, Codes, EncodedBatch, Scores, Snapshot, StageCounters};
use std::collections::VecDeque;
use std::ops::Range;

/// The most rows of one dispatch.
const ROWS: usize = 262_144;
/// Parts in flight.
const SLOTS: usize = 2;

/// Scores on one adapter.
pub struct GpuBackend {
    gpu: Gpu,
    kernels: Kernels,
    resident: Resident,
    dictionary: Dictionary,
    slots: Vec<Slot>,
    /// Rows that the slots have room for.
    room: usize,
    /// Rows of a part at most.
    part: usize,
    packed: Vec<u32>,
    counters: StageCounters,
}

impl GpuBackend {
    pub(crate) fn new(info: &AdapterInfo, adapter: &wgpu::Adapter, snapshot: &Snapshot) -> Result<Self, OpenError> {
        let gpu = Gpu::new(info, adapter)?;
        let kernels = Kernels::new(&gpu.device);
        gpu.check_open()?;
        let resident = Resident::new(&gpu, &kernels, snapshot)?;
        let part = rows_that_fit(&gpu, &resident, ROWS);
        if part == 0 {
            return Err(OpenError::TooLarge {
                adapter: info.name.clone(),
                what: "a block of rows with all views",
                needed: crate::slot::result_bytes(resident.views) * u64::from(crate::kernels::BLOCK),
                limit: gpu.largest,
            });
        }
        Ok(Self {
            dictionary: Dictionary::new(resident.plan.columns() - 1),
            gpu,
            kernels,
            resident,
            slots: Vec::new(),
            room: 0,
            part,
            packed: Vec::new(),
            counters: StageCounters::default(),
        })
    }

    /// Cuts batches into parts of at most `rows` rows (rounded up to blocks of 256, and only as far as the adapter allows).
    pub fn limit_rows(&mut self, rows: usize) {
        self.part = rows_that_fit(&self.gpu, &self.resident, rows.clamp(1, ROWS));
    }

    fn score_parts(&mut self, batch: &EncodedBatch, columns: &[&Codes], out: &mut Scores) -> Result<(), BackendError> {
        self.prepare(batch.rows, columns)?;
        let mut flights = VecDeque::new();
        let starts = (0..batch.rows).step_by(self.part);
        for (number, start) in starts.enumerate() {
            if flights.len() == SLOTS {
                self.land(&mut flights, out)?;
            }
            let rows = start..batch.rows.min(start + self.part);
            flights.push_back(self.launch(batch, columns, number % SLOTS, rows)?);
        }
        while !flights.is_empty() {
            self.land(&mut flights, out)?;
        }
        Ok(())
    }

    /// The columns that travel: fields that views read, then host.
    fn columns<'a>(&self, batch: &'a EncodedBatch) -> Result<Vec<&'a Codes>, BackendError> {
        if !batch.is_consistent(self.resident.lens_fields) {
            return Err(BackendError::Batch("its columns do not match the lens".to_owned()));
        }
        let fields = self.resident.plan.fields.iter();
        Ok(fields.map(|&field| &batch.fields[field]).chain([&batch.host]).collect())
    }

    /// Hashes and room on the card for a batch of `rows` rows.
    fn prepare(&mut self, rows: usize, columns: &[&Codes]) -> Result<(), BackendError> {
        let hashes: Vec<&Hashes> = columns.iter().map(|column| &column.hashes).collect();
        if self.dictionary.update(&self.gpu, &hashes)? {
            self.slots.iter_mut().for_each(Slot::unbind);
        }
        let needed = rows.min(self.part);
        if needed > self.room || self.slots.is_empty() {
            self.slots.clear();
            self.room = needed.next_power_of_two().max(crate::kernels::BLOCK as usize).min(self.part);
            self.slots =
                (0..SLOTS).map(|_| Slot::new(&self.gpu, &self.resident, self.room)).collect::<Result<_, _>>()?;
        }
        Ok(())
    }

    fn launch(
        &mut self,
        batch: &EncodedBatch,
        columns: &[&Codes],
        slot: usize,
        rows: Range<usize>,
    ) -> Result<Flight, BackendError> {
        let mut packer = Packer::new(&mut self.packed, self.resident.plan.columns());
        for (number, column) in columns.iter().enumerate() {
            let first = self.dictionary.first(number);
            packer.codes(&column.codes[rows.clone()], column.hashes.len(), first);
        }
        packer.bytes(&batch.class[rows.clone()]);
        let Some(hashes) = self.dictionary.buffer() else {
            return Err(self.gpu.error("the value hashes are not on the card"));
        };
        let job = Job { gpu: &self.gpu, kernels: &self.kernels, resident: &self.resident, hashes };
        self.slots[slot].launch(&job, packer.finish(), (slot, rows))
    }

    fn land(&mut self, flights: &mut VecDeque<Flight>, out: &mut Scores) -> Result<(), BackendError> {
        let Some(flight) = flights.pop_front() else {
            return Ok(());
        };
        let rows = flight.rows.clone();
        let counters = &mut self.counters;
        self.slots[flight.slot].land(&self.gpu, flight, |work, results| {
            *counters += work;
            take_results(&results, rows, out);
        })
    }

    /// After an error nothing on the card is relied on but the resident tables.
    fn recover(&mut self) {
        // Parts may still be running in these buffers; an error here is the one already being reported.
        let _ = self.gpu.wait(None);
        self.slots.clear();
        self.room = 0;
        self.dictionary.forget();
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
        self.gpu.check()?;
        let columns = self.columns(batch)?;
        out.reset(batch.rows, self.resident.views);
        let scored = self.score_parts(batch, &columns, out);
        if scored.is_err() {
            self.recover();
        }
        scored
    }

    fn counters(&self) -> StageCounters {
        self.counters
    }
}
