//! One part of a batch on its way through the card: its buffers, its dispatches and its results.

use crate::columns::words_at_most;
use crate::device::{Gpu, PATIENCE};
use crate::kernels::{BLOCK, Kernels};
use crate::resident::Resident;
use bytemuck::cast_slice;
use model::{BackendError, StageCounters};
use std::ops::Range;
use std::sync::mpsc::{Receiver, channel};
use wgpu::{BindGroup, Buffer, BufferUsages, CommandEncoder};

/// The shader's `Params`.
#[repr(C)]
#[derive(Clone, Copy, Default, bytemuck::Pod, bytemuck::Zeroable)]
pub(crate) struct Params {
    pub(crate) rows: u32,
    pub(crate) stride: u32,
    pub(crate) views: u32,
    pub(crate) mask: u32,
    pub(crate) seed: [u32; 2],
    pub(crate) host: u32,
    pub(crate) class_column: u32,
    /// First entry of the groups' scopes, or [`NO_GROUPS`].
    pub(crate) groups: u32,
    /// First word of the calibration among the programs.
    pub(crate) calibration: u32,
    pub(crate) slice_bits: u32,
    /// 0 if there is no sketch.
    pub(crate) sketch_mask: u32,
    /// First entry of where hosts' calibrations are, or [`NO_SETS`].
    pub(crate) sets: u32,
    pub(crate) unused: u32,
}

/// In the place of the groups' first entry: no host has a group.
const NO_GROUPS: u32 = u32::MAX;
/// In the place of that entry: all hosts have the first calibration.
const NO_SETS: u32 = u32::MAX;

/// Bytes that come back of each row: bits, three reasons, log2_n.
const ROW: u64 = 4 + 12 + 2;
/// Bytes that come back of each block: keys, look-ups, back-offs and sums.
const WORK: u64 = 16;

/// Bytes of results of a block of rows: those that come back, a surprisal per view for each row, and what each view counts.
pub(crate) fn result_bytes(views: usize) -> u64 {
    let views = views as u64;
    (ROW + 2 * views) * u64::from(BLOCK) + WORK + 12 * views
}

/// Those of them that come back, which is how they begin.
fn returned_bytes(views: usize, only_rows: bool) -> u64 {
    let views = if only_rows { 0 } else { views as u64 };
    (ROW + 2 * views) * u64::from(BLOCK) + WORK
}

/// The rows one dispatch can take: at most `wanted`, in whole blocks, as the adapter's limits allow. 0 if not even one block fits.
pub(crate) fn rows_that_fit(gpu: &Gpu, resident: &Resident, wanted: usize) -> usize {
    let block = BLOCK as usize;
    let fits = |rows: &usize| {
        let columns = 4 * words_at_most(resident.plan.columns(), *rows) as u64;
        let results = result_bytes(resident.views) * (rows / block) as u64;
        columns.max(results) <= gpu.largest
    };
    let wanted = wanted.div_ceil(block).max(1) * block;
    let halvings = std::iter::successors(Some(wanted), |rows| Some(rows / 2 / block * block));
    halvings.take_while(|&rows| rows > 0).find(fits).unwrap_or(0)
}

/// When the kernels of a part begin and end, by the device's own clock.
struct Stamps {
    queries: wgpu::QuerySet,
    resolved: Buffer,
}

/// Bytes of two stamps; they lie behind the results, which are whole words of 16 bytes.
const STAMPS: u64 = 16;

impl Stamps {
    fn new(gpu: &Gpu) -> Self {
        let queries = gpu.device.create_query_set(&wgpu::QuerySetDescriptor {
            label: Some("stamps"),
            ty: wgpu::QueryType::Timestamp,
            count: 2,
        });
        Self { queries, resolved: gpu.buffer("stamps", STAMPS, BufferUsages::QUERY_RESOLVE | BufferUsages::COPY_SRC) }
    }
}

/// What a slot has room for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Room {
    pub(crate) rows: usize,
    /// Only what is known of rows comes back, and no surprisals of views.
    pub(crate) only_rows: bool,
}

pub(crate) struct Slot {
    params: Buffer,
    columns: Buffer,
    results: Buffer,
    readback: Buffer,
    bind: Option<BindGroup>,
    stamps: Option<Stamps>,
}

/// A submitted part whose results are still to come.
pub(crate) struct Flight {
    pub(crate) slot: usize,
    pub(crate) rows: Range<usize>,
    submission: wgpu::SubmissionIndex,
    mapped: Receiver<Result<(), wgpu::BufferAsyncError>>,
    /// That come back.
    pub(crate) bytes: u64,
    /// Whether stamps lie behind the results.
    is_stamped: bool,
}

impl Slot {
    /// Buffers for parts with this room; with `timed`, the device stamps when kernels begin and end.
    pub(crate) fn new(gpu: &Gpu, resident: &Resident, room: Room, timed: bool) -> Result<Self, BackendError> {
        let columns = 4 * words_at_most(resident.plan.columns(), room.rows) as u64;
        let blocks = room.rows.div_ceil(BLOCK as usize) as u64;
        let results = result_bytes(resident.views) * blocks;
        let returned = returned_bytes(resident.views, room.only_rows) * blocks;
        let storage = BufferUsages::STORAGE;
        let slot = Self {
            params: gpu.buffer("params", size_of::<Params>() as u64, BufferUsages::UNIFORM | BufferUsages::COPY_DST),
            columns: gpu.buffer("columns", columns, storage | BufferUsages::COPY_DST),
            results: gpu.buffer("results", results, storage | BufferUsages::COPY_SRC),
            readback: gpu.buffer("readback", returned + STAMPS, BufferUsages::MAP_READ | BufferUsages::COPY_DST),
            bind: None,
            stamps: timed.then(|| Stamps::new(gpu)),
        };
        gpu.check()?;
        Ok(slot)
    }

    /// The hashes are in another buffer now.
    pub(crate) fn unbind(&mut self) {
        self.bind = None;
    }

    /// Uploads packed columns, starts both kernels on them and asks for what comes back.
    pub(crate) fn launch(
        &mut self,
        job: &Job<'_>,
        packed: &[u8],
        (slot, rows): (usize, Range<usize>),
    ) -> Result<Flight, BackendError> {
        let (gpu, resident) = (job.gpu, job.resident);
        let blocks = (rows.len() as u32).div_ceil(BLOCK);
        let params = Params {
            rows: rows.len() as u32,
            stride: blocks * BLOCK,
            views: resident.views as u32,
            mask: resident.mask,
            seed: resident.seed,
            host: resident.plan.host(),
            class_column: resident.plan.class(),
            groups: job.groups.unwrap_or(NO_GROUPS),
            calibration: resident.calibration_at,
            slice_bits: resident.slices.bits,
            sketch_mask: resident.sketch_mask,
            sets: job.sets.unwrap_or(NO_SETS),
            unused: 0,
        };
        gpu.queue.write_buffer(&self.params, 0, bytemuck::bytes_of(&params));
        gpu.queue.write_buffer(&self.columns, 0, packed);
        let bytes = returned_bytes(resident.views, job.only_rows) * u64::from(blocks);
        let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        self.encode(&mut encoder, job, blocks);
        encoder.copy_buffer_to_buffer(&self.results, 0, &self.readback, 0, bytes);
        let is_stamped = self.stamps.is_some();
        if let Some(stamps) = &self.stamps {
            encoder.resolve_query_set(&stamps.queries, 0..2, &stamps.resolved, 0);
            encoder.copy_buffer_to_buffer(&stamps.resolved, 0, &self.readback, bytes, STAMPS);
        }
        let mapped_bytes = if is_stamped { bytes + STAMPS } else { bytes };
        let submission = gpu.queue.submit([encoder.finish()]);
        gpu.check()?;
        let (send, mapped) = channel();
        self.readback.map_async(wgpu::MapMode::Read, 0..mapped_bytes, move |result| {
            // The receiver is gone only when the batch has already failed.
            let _ = send.send(result);
        });
        Ok(Flight { slot, rows, submission, mapped, bytes: mapped_bytes, is_stamped })
    }

    fn encode(&mut self, encoder: &mut CommandEncoder, job: &Job<'_>, blocks: u32) {
        let bind = match self.bind.take() {
            Some(bind) => bind,
            None => self.bind_group(job),
        };
        let timestamp_writes = self.stamps.as_ref().map(|stamps| wgpu::ComputePassTimestampWrites {
            query_set: &stamps.queries,
            beginning_of_pass_write_index: Some(0),
            end_of_pass_write_index: Some(1),
        });
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor { label: None, timestamp_writes });
        pass.set_bind_group(0, &job.resident.bind, &[]);
        pass.set_bind_group(1, &bind, &[]);
        pass.set_pipeline(&job.kernels.surprisal);
        pass.dispatch_workgroups(blocks, job.resident.views as u32, 1);
        pass.set_pipeline(&job.kernels.combine);
        pass.dispatch_workgroups(blocks, 1, 1);
        drop(pass);
        self.bind = Some(bind);
    }

    fn bind_group(&self, job: &Job<'_>) -> BindGroup {
        let buffers = [&self.params, job.hashes, &self.columns, &self.results];
        let entries: Vec<_> = (0..)
            .zip(buffers)
            .map(|(binding, buffer)| wgpu::BindGroupEntry { binding, resource: buffer.as_entire_binding() })
            .collect();
        job.gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("batch"),
            layout: &job.kernels.batch,
            entries: &entries,
        })
    }

    /// Waits for a part and hands its results to `take`.
    pub(crate) fn land(&self, gpu: &Gpu, flight: Flight, take: impl FnOnce(Results<'_>)) -> Result<(), BackendError> {
        gpu.wait(Some(flight.submission))?;
        // Whoever waits for another part may be the one that is told of this one.
        match flight.mapped.recv_timeout(PATIENCE) {
            Ok(Ok(())) => {}
            _ => return Err(gpu.error("results could not be mapped")),
        }
        {
            let view =
                self.readback.get_mapped_range(0..flight.bytes).map_err(|error| gpu.error(&error.to_string()))?;
            let rows = flight.rows.len();
            let stride = rows.div_ceil(BLOCK as usize) * BLOCK as usize;
            take(Results { bytes: &view, stride, is_stamped: flight.is_stamped });
        }
        self.readback.unmap();
        gpu.check()
    }
}

/// What launching a part needs besides the part.
pub(crate) struct Job<'a> {
    pub(crate) gpu: &'a Gpu,
    pub(crate) kernels: &'a Kernels,
    pub(crate) resident: &'a Resident,
    pub(crate) hashes: &'a Buffer,
    /// First entry of the groups' scopes among the hashes, if any host has a group.
    pub(crate) groups: Option<u32>,
    /// First entry of where hosts' calibrations are, if they differ.
    pub(crate) sets: Option<u32>,
    /// No surprisals of views come back.
    pub(crate) only_rows: bool,
}

/// The results of one part, as the shaders lay them out.
pub(crate) struct Results<'a> {
    bytes: &'a [u8],
    stride: usize,
    is_stamped: bool,
}

impl Results<'_> {
    /// How long the kernels took, in ticks of the device; 0 if it was not asked.
    pub(crate) fn ticks(&self) -> u64 {
        let stamps = self.bytes.len().checked_sub(STAMPS as usize).filter(|_| self.is_stamped);
        let stamps: &[u64] = stamps.map_or(&[], |at| self.part(at, 2));
        stamps.last().zip(stamps.first()).map_or(0, |(end, begin)| end.saturating_sub(*begin))
    }

    /// The work of all blocks.
    pub(crate) fn counters(&self) -> StageCounters {
        let mut counters = StageCounters::default();
        for of_block in self.part::<[u32; 4]>(ROW as usize * self.stride, self.blocks()) {
            let [keys, lookups, backoffs, sums] = of_block.map(u64::from);
            counters += StageCounters { keys, lookups, backoffs, sums };
        }
        counters
    }

    fn blocks(&self) -> usize {
        self.stride / BLOCK as usize
    }

    pub(crate) fn bits(&self, rows: usize) -> &[u32] {
        self.part(0, rows)
    }

    pub(crate) fn reasons(&self, rows: usize) -> &[[model::Reason; 3]] {
        self.part(4 * self.stride, rows)
    }

    pub(crate) fn log2_n(&self, rows: usize) -> &[u16] {
        self.part(16 * self.stride, rows)
    }

    pub(crate) fn surprisal(&self, view: usize, rows: usize) -> &[u16] {
        let behind_rows = ROW as usize * self.stride + WORK as usize * self.blocks();
        self.part(behind_rows + 2 * view * self.stride, rows)
    }

    /// Parts start at multiples of 16 bytes and mappings at multiples of 8, so the casts hold.
    fn part<T: bytemuck::Pod>(&self, at: usize, rows: usize) -> &[T] {
        cast_slice(&self.bytes[at..at + rows * size_of::<T>()])
    }
}
