//! Counting rows into cells on an adapter: keys, table and counts are in `shaders/learn.wgsl`, the sums of the parts here.

use crate::choose::find;
use crate::columns::{Packer, words_at_most};
use crate::device::Gpu;
use crate::dictionary::{Dictionary, Hashes};
use crate::error::OpenError;
use crate::kernels::{BLOCK, COMMON, bindings, bindings_from, pipeline};
use crate::resident::{ColumnPlan, programs, upload};
use crate::slot::Params;
use bytemuck::cast_slice;
use model::cpu::Counted;
use model::{BackendError, Codes, EncodedBatch, ViewProgram};
use std::sync::mpsc::channel;
use wgpu::{BindGroup, BindGroupLayout, Buffer, BufferBindingType, BufferUsages, CommandEncoder, ComputePipeline};

pub(crate) const LEARN: &str = include_str!("../../shaders/learn.wgsl");
/// The most items, each a row in a context, of a part.
const ITEMS: usize = 1 << 20;
/// Rounds between two looks at what is still open.
const ROUNDS: usize = 8;

pub(crate) struct Kernels {
    keys: ComputePipeline,
    claim: ComputePipeline,
    settle: ComputePipeline,
    /// Group 0: program. Group 1: params, hashes, columns. Group 2: places, item keys, claims, slot keys.
    groups: [BindGroupLayout; 3],
}

impl Kernels {
    pub(crate) fn new(device: &wgpu::Device) -> Self {
        const READ: BufferBindingType = BufferBindingType::Storage { read_only: true };
        const WRITE: BufferBindingType = BufferBindingType::Storage { read_only: false };
        let groups = [
            bindings_from(device, "learned programs", 4, &[READ]),
            bindings(device, "rows to learn", &[BufferBindingType::Uniform, READ, READ]),
            bindings(device, "counts", &[WRITE; 4]),
        ];
        let layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some("learn"),
            bind_group_layouts: &groups.each_ref().map(Some),
            immediate_size: 0,
        });
        let source = [COMMON, LEARN].concat();
        let kernel = |entry: &str| pipeline(device, &layout, entry, &source, entry, &[]);
        Self { keys: kernel("keys"), claim: kernel("claim"), settle: kernel("settle"), groups }
    }
}

/// Counts the cells of a lens on one adapter.
pub struct GpuCounter {
    gpu: Gpu,
    kernels: Kernels,
    plan: ColumnPlan,
    seed: [u32; 2],
    lens_fields: usize,
    /// The view of each context.
    view_of: Vec<usize>,
    views: usize,
    program: Buffer,
    contexts_at: u32,
    dictionary: Dictionary,
    /// Rows of a part.
    part: usize,
    room: Room,
    packed: Vec<u32>,
}

/// The buffers of a part.
struct Room {
    slots: u64,
    params: Buffer,
    columns: Buffer,
    places: Buffer,
    item_keys: Buffer,
    claims: Buffer,
    slot_keys: Buffer,
    readback: Buffer,
}

impl GpuCounter {
    /// Opens the adapter with this name for views of a lens of so many fields, whose keys start from `seed`.
    pub fn open(name: &str, views: &[ViewProgram], lens_fields: usize, seed: [u32; 2]) -> Result<Self, OpenError> {
        let (info, adapter) = find(name)?;
        let gpu = Gpu::new(&info, &adapter, wgpu::Features::empty())?;
        let kernels = Kernels::new(&gpu.device);
        gpu.check_open()?;
        let plan = ColumnPlan::new(views);
        let (words, contexts_at, view_of) = program_of(views, &plan);
        let program = upload(&gpu, "view programs", cast_slice(&words))?;
        let block = BLOCK as usize;
        let part = (ITEMS / view_of.len().max(1) / block).clamp(1, 256) * block;
        let room = Room::new(&gpu, part, view_of.len(), plan.columns())?;
        Ok(Self {
            dictionary: Dictionary::new(plan.dictionaries()),
            gpu,
            kernels,
            plan,
            seed,
            lens_fields,
            view_of,
            views: views.len(),
            program,
            contexts_at,
            part,
            room,
            packed: Vec::new(),
        })
    }

    /// What the given rows of a batch have of each cell, by view, without scope.
    pub fn count(&mut self, batch: &EncodedBatch, rows: &[u32]) -> Result<Vec<Counted>, BackendError> {
        self.gpu.look()?;
        if !batch.is_consistent(self.lens_fields) || rows.iter().any(|row| *row as usize >= batch.rows) {
            return Err(BackendError::Batch("its columns do not match the lens".to_owned()));
        }
        let columns: Vec<&Codes> =
            self.plan.fields.iter().map(|&field| &batch.fields[field]).chain([&batch.host]).collect();
        let hashes: Vec<&Hashes> = columns.iter().map(|column| &column.hashes).collect();
        self.dictionary.update(&self.gpu, &hashes)?;
        let mut counted = vec![Counted::new(); self.views];
        for rows in rows.chunks(self.part) {
            self.pack(batch, &columns, rows);
            self.count_part(rows.len(), &mut counted)?;
        }
        Ok(counted)
    }

    fn pack(&mut self, batch: &EncodedBatch, columns: &[&Codes], rows: &[u32]) {
        let mut packer = Packer::new(&mut self.packed, self.plan.columns());
        for (number, column) in columns.iter().enumerate() {
            let codes: Vec<u32> = rows.iter().map(|row| column.codes[*row as usize]).collect();
            packer.codes(&codes, column.hashes.len(), self.dictionary.first(number));
        }
        packer.bytes(&rows.iter().map(|row| batch.class[*row as usize]).collect::<Vec<_>>());
        let packed = packer.finish();
        self.gpu.queue.write_buffer(&self.room.columns, 0, packed);
    }

    fn count_part(&self, rows: usize, counted: &mut [Counted]) -> Result<(), BackendError> {
        let blocks = (rows as u32).div_ceil(BLOCK);
        let params = Params {
            rows: rows as u32,
            stride: blocks * BLOCK,
            views: self.views as u32,
            mask: (self.room.slots - 1) as u32,
            seed: self.seed,
            class_column: self.plan.class(),
            calibration: self.contexts_at,
            ..Params::default()
        };
        self.gpu.queue.write_buffer(&self.room.params, 0, bytemuck::bytes_of(&params));
        let groups = self.bind_groups()?;
        let mut first = true;
        loop {
            let mut encoder = self.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            if first {
                encoder.clear_buffer(&self.room.claims, 0, None);
                self.pass(&mut encoder, &groups, blocks, &[&self.kernels.keys]);
            }
            first = false;
            for _ in 1..ROUNDS {
                self.pass(&mut encoder, &groups, blocks, &[&self.kernels.claim, &self.kernels.settle]);
            }
            encoder.clear_buffer(&self.room.claims, self.room.open_at(), Some(4));
            self.pass(&mut encoder, &groups, blocks, &[&self.kernels.claim, &self.kernels.settle]);
            encoder.copy_buffer_to_buffer(&self.room.claims, self.room.open_at(), &self.room.readback, 0, 4);
            if self.read(encoder, 4)? == [0] {
                return self.take(params.stride, counted);
            }
        }
    }

    fn pass(&self, encoder: &mut CommandEncoder, groups: &[BindGroup; 3], blocks: u32, kernels: &[&ComputePipeline]) {
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        for (number, group) in (0..).zip(groups) {
            pass.set_bind_group(number, group, &[]);
        }
        for kernel in kernels {
            pass.set_pipeline(kernel);
            pass.dispatch_workgroups(blocks, self.view_of.len() as u32, 1);
        }
    }

    /// Adds what the slots hold to the counts of the views.
    fn take(&self, stride: u32, counted: &mut [Counted]) -> Result<(), BackendError> {
        let Room { slots, claims, slot_keys, readback, .. } = &self.room;
        let mut encoder = self.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        encoder.copy_buffer_to_buffer(claims, 0, readback, 0, 8 * slots);
        encoder.copy_buffer_to_buffer(slot_keys, 0, readback, 8 * slots, 16 * slots);
        let words = self.read(encoder, 24 * slots)?;
        let (claims, keys) = words.split_at(2 * *slots as usize);
        for (claim, key) in claims.as_chunks::<2>().0.iter().zip(keys.as_chunks::<4>().0) {
            if let Some(item) = claim[0].checked_sub(1) {
                let view = self.view_of[(item / stride) as usize];
                counted[view].push(([key[0], key[1]], [key[2], key[3]], claim[1]));
            }
        }
        Ok(())
    }

    /// Submits, waits, and gives the first bytes of the readback buffer as words.
    fn read(&self, encoder: CommandEncoder, bytes: u64) -> Result<Vec<u32>, BackendError> {
        let submission = self.gpu.queue.submit([encoder.finish()]);
        self.gpu.check()?;
        let (send, mapped) = channel();
        self.room.readback.map_async(wgpu::MapMode::Read, 0..bytes, move |result| {
            // The receiver is gone only when the batch has already failed.
            let _ = send.send(result);
        });
        self.gpu.wait(Some(submission))?;
        match mapped.try_recv() {
            Ok(Ok(())) => {}
            _ => return Err(self.gpu.error("counts could not be mapped")),
        }
        let view = self.room.readback.get_mapped_range(0..bytes);
        let words = view
            .map_err(|error| self.gpu.error(&error.to_string()))
            .map(|view| cast_slice::<u8, u32>(&view).to_vec())?;
        self.room.readback.unmap();
        self.gpu.check()?;
        Ok(words)
    }

    fn bind_groups(&self) -> Result<[BindGroup; 3], BackendError> {
        let Some(hashes) = self.dictionary.buffer() else {
            return Err(self.gpu.error("the value hashes are not on the card"));
        };
        let Room { params, columns, places, item_keys, claims, slot_keys, .. } = &self.room;
        let group = |number: usize, first: u32, buffers: &[&Buffer]| {
            let entries: Vec<_> = (first..)
                .zip(buffers)
                .map(|(binding, buffer)| wgpu::BindGroupEntry { binding, resource: buffer.as_entire_binding() })
                .collect();
            self.gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: Some("learn"),
                layout: &self.kernels.groups[number],
                entries: &entries,
            })
        };
        Ok([
            group(0, 4, &[&self.program]),
            group(1, 0, &[params, hashes, columns]),
            group(2, 0, &[places, item_keys, claims, slot_keys]),
        ])
    }
}

impl Room {
    fn new(gpu: &Gpu, rows: usize, contexts: usize, columns: usize) -> Result<Self, OpenError> {
        let items = (rows * contexts) as u64;
        let slots = (2 * items).next_power_of_two();
        let columns = 4 * words_at_most(columns, rows) as u64;
        let needed = (16 * slots).max(columns);
        if needed > gpu.largest {
            let adapter = gpu.info.name.clone();
            return Err(OpenError::TooLarge { adapter, what: "a part of learning", needed, limit: gpu.largest });
        }
        let (storage, copied) = (BufferUsages::STORAGE, BufferUsages::STORAGE | BufferUsages::COPY_SRC);
        let room = Self {
            slots,
            params: gpu.buffer("params", size_of::<Params>() as u64, BufferUsages::UNIFORM | BufferUsages::COPY_DST),
            columns: gpu.buffer("columns", columns, storage | BufferUsages::COPY_DST),
            places: gpu.buffer("places", 4 * items, storage),
            item_keys: gpu.buffer("item keys", 16 * items, storage),
            claims: gpu.buffer("claims", 8 * slots + 4, copied | BufferUsages::COPY_DST),
            slot_keys: gpu.buffer("slot keys", 16 * slots, copied),
            readback: gpu.buffer("readback", 24 * slots, BufferUsages::MAP_READ | BufferUsages::COPY_DST),
        };
        gpu.check_open()?;
        Ok(room)
    }

    /// Where the number of open items is.
    fn open_at(&self) -> u64 {
        8 * self.slots
    }
}

/// LOG and the view programs, then per context its view, its number and where its columns are; where that list begins; and
/// the view of each context.
fn program_of(views: &[ViewProgram], plan: &ColumnPlan) -> (Vec<u32>, u32, Vec<usize>) {
    let mut words = programs(views, plan);
    let (mut contexts, mut view_of) = (Vec::new(), Vec::new());
    for (number, view) in views.iter().enumerate() {
        // Behind the mask, the vocabulary, the child columns and the number of contexts.
        let mut at = words[model::log2::LOG.len() + number] + 4 + view.child.len() as u32;
        for (context, fields) in view.contexts.iter().enumerate() {
            contexts.extend([number as u32, context as u32, at]);
            view_of.push(number);
            at += 1 + fields.len() as u32;
        }
    }
    let contexts_at = words.len() as u32;
    words.extend(contexts);
    (words, contexts_at, view_of)
}
