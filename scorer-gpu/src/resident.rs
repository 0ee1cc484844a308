//! What stays on the card: the count table, the logarithm, the view programs and the calibration.

use crate::device::Gpu;
use crate::dictionary::Hashes;
use crate::error::OpenError;
use crate::kernels::{Kernels, SLICES};
use bytemuck::cast_slice;
use model::keys::{NO_GROUP, Pair, join, pair};
use model::log2::LOG;
use model::snapshot::{ROW_BINS, VIEW_BINS};
use model::{Calibration, Snapshot, ViewProgram};
use std::collections::BTreeMap;
use std::sync::Arc;
use wgpu::{BindGroup, Buffer, BufferUsages};

/// Uploads go in pieces, so that staging never holds a second copy of a large table.
const PIECE: usize = 16 << 20;
/// Bytes of a slot, and counters of the sketch in the place of one.
const SLOT: u64 = 16;
const COUNTERS_OF_SLOT: usize = 4;

/// The columns the views read and where the card has them: fields in ascending order, then host, then class.
pub(crate) struct ColumnPlan {
    /// Numbers of the lens fields that travel.
    pub(crate) fields: Vec<usize>,
}

impl ColumnPlan {
    pub(crate) fn new(views: &[ViewProgram]) -> Self {
        let mut fields: Vec<usize> = views
            .iter()
            .flat_map(|view| view.child.iter().chain(view.contexts.iter().flatten()))
            .map(|&field| field as usize)
            .collect();
        fields.sort_unstable();
        fields.dedup();
        Self { fields }
    }

    pub(crate) fn host(&self) -> u32 {
        self.fields.len() as u32
    }

    pub(crate) fn class(&self) -> u32 {
        self.host() + 1
    }

    /// Fields, host and class.
    pub(crate) fn columns(&self) -> usize {
        self.fields.len() + 2
    }

    /// Those of them that have values, the groups of hosts and where their calibrations are.
    pub(crate) fn dictionaries(&self) -> usize {
        self.fields.len() + 3
    }

    fn column(&self, field: u32) -> u32 {
        // Every field of a program is in the plan, which was made from the programs.
        self.fields.partition_point(|&f| f < field as usize) as u32
    }
}

pub(crate) struct Resident {
    pub(crate) bind: BindGroup,
    pub(crate) plan: ColumnPlan,
    pub(crate) views: usize,
    /// Fields of the lens, those that no view reads included.
    pub(crate) lens_fields: usize,
    pub(crate) seed: [u32; 2],
    pub(crate) mask: u32,
    /// Counters of the overflow sketch less one; 0 if there is none.
    pub(crate) sketch_mask: u32,
    pub(crate) slices: Slices,
    /// First word of the calibration among the programs.
    pub(crate) calibration_at: u32,
    groups: Option<OfHosts>,
    sets: Option<OfHosts>,
}

/// What goes beside the hash of each host value of a batch.
struct OfHosts {
    /// By joined value hash of the host.
    known: BTreeMap<u64, Pair>,
    /// Of all other hosts.
    other: Pair,
}

/// What went beside the hosts that were asked for last, kept so that the answer is the same `Arc` for the same hosts.
#[derive(Default)]
pub(crate) struct Beside(Option<(Hashes, Hashes)>);

impl OfHosts {
    /// One entry for each of `hosts`.
    fn of(&self, hosts: &Hashes, last: &mut Beside) -> Hashes {
        if let Some((same, entries)) = &last.0
            && Arc::ptr_eq(same, hosts)
        {
            return Arc::clone(entries);
        }
        let entry = |host: &Pair| self.known.get(&join(*host)).copied().unwrap_or(self.other);
        let entries = Arc::new(hosts.iter().map(entry).collect());
        last.0 = Some((Arc::clone(hosts), Arc::clone(&entries)));
        entries
    }
}

/// The first word of each host's calibration, less that of the first; `None` if all have the same.
fn sets(snapshot: &Snapshot) -> Option<OfHosts> {
    let stages = snapshot.stages.as_ref().filter(|_| snapshot.calibrations().len() > 1)?;
    let words = calibration_words(snapshot.views.len()) as u32;
    let entry = |host: Pair| [snapshot.set(host) as u32 * words, 0];
    let known = stages.keys().map(|host| (*host, entry(pair(*host)))).collect();
    // Stages know every host but new ones.
    let new = 1 + u32::from(snapshot.learning.is_some());
    let other = if snapshot.newcomers.is_some() { [new * words, 0] } else { [0, 0] };
    Some(OfHosts { known, other })
}

/// How the table and the sketch behind it are cut into bindings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slices {
    pub(crate) number: usize,
    /// log2 of the slots of one.
    pub(crate) bits: u32,
}

impl Slices {
    /// As few as the adapter's limit on a binding allows.
    pub(crate) fn of(gpu: &Gpu, snapshot: &Snapshot) -> Result<Self, OpenError> {
        let slots = snapshot.slots.len() as u64 + sketch(snapshot).len().div_ceil(COUNTERS_OF_SLOT) as u64;
        let bits = (gpu.largest / SLOT).checked_ilog2().unwrap_or(0).min(31);
        let number = slots.div_ceil(1 << bits);
        if number > SLICES as u64 {
            let limit = (SLICES as u64) << bits;
            return Err(OpenError::TooLarge {
                adapter: gpu.info.name.clone(),
                what: "count table",
                needed: slots * SLOT,
                limit: limit * SLOT,
            });
        }
        Ok(Self { number: number as usize, bits })
    }
}

impl Resident {
    pub(crate) fn new(gpu: &Gpu, kernels: &Kernels, slices: Slices, snapshot: &Snapshot) -> Result<Self, OpenError> {
        let plan = ColumnPlan::new(&snapshot.views);
        let table = upload_table(gpu, slices, snapshot)?;
        let mut words = programs(&snapshot.views, &plan);
        let calibration_at = words.len() as u32;
        words.extend(calibration(snapshot));
        let program = upload(gpu, "view programs", cast_slice(&words))?;
        // Bindings that the table does not need are there all the same, and never read.
        let slices_bound = (0..SLICES).map(|slice| table.get(slice).unwrap_or(&table[0]));
        let entries: Vec<_> = (0..)
            .zip(slices_bound.chain([&program]))
            .map(|(binding, buffer)| wgpu::BindGroupEntry { binding, resource: buffer.as_entire_binding() })
            .collect();
        let bind = gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("resident"),
            layout: &kernels.resident,
            entries: &entries,
        });
        gpu.check_open()?;
        Ok(Self {
            bind,
            plan,
            views: snapshot.views.len(),
            lens_fields: snapshot.lens.fields().len(),
            seed: snapshot.seed,
            mask: snapshot.mask,
            sketch_mask: sketch(snapshot).len().saturating_sub(1) as u32,
            slices,
            calibration_at,
            groups: (!snapshot.groups.is_empty()).then(|| OfHosts { known: snapshot.groups.clone(), other: NO_GROUP }),
            sets: sets(snapshot),
        })
    }

    /// Whether any host has a group.
    pub(crate) fn grouped(&self) -> bool {
        self.groups.is_some()
    }

    /// Whether hosts differ in how they are calibrated.
    pub(crate) fn has_sets(&self) -> bool {
        self.sets.is_some()
    }

    /// The scope of the group of each of `hosts`, [`NO_GROUP`] for those without; `None` if no host at all has one.
    pub(crate) fn groups(&self, hosts: &Hashes, last: &mut Beside) -> Option<Hashes> {
        self.groups.as_ref().map(|groups| groups.of(hosts, last))
    }

    /// Where the calibration of each of `hosts` is, in words from the first; `None` if all have that.
    pub(crate) fn sets(&self, hosts: &Hashes, last: &mut Beside) -> Option<Hashes> {
        self.sets.as_ref().map(|sets| sets.of(hosts, last))
    }
}

fn sketch(snapshot: &Snapshot) -> &[u32] {
    &snapshot.sketch
}

/// The table and the sketch behind it, one buffer a slice.
fn upload_table(gpu: &Gpu, slices: Slices, snapshot: &Snapshot) -> Result<Vec<Buffer>, OpenError> {
    let (table, sketch): (&[u8], &[u8]) = (cast_slice(&snapshot.slots), cast_slice(sketch(snapshot)));
    let slice = (SLOT << slices.bits) as usize;
    let end = table.len() + sketch.len();
    let part = |from: usize| {
        let to = end.min(from + slice);
        let of_table = &table[from.min(table.len())..to.min(table.len())];
        let of_sketch = &sketch[from.max(table.len()) - table.len()..to.max(table.len()) - table.len()];
        upload_parts(gpu, "count table", &[of_table, of_sketch])
    };
    (0..end).step_by(slice).map(part).collect()
}

pub(crate) fn upload(gpu: &Gpu, what: &'static str, bytes: &[u8]) -> Result<Buffer, OpenError> {
    upload_parts(gpu, what, &[bytes])
}

/// Puts the parts one behind the other into a buffer.
fn upload_parts(gpu: &Gpu, what: &'static str, parts: &[&[u8]]) -> Result<Buffer, OpenError> {
    let needed = parts.iter().map(|part| part.len() as u64).sum();
    if needed > gpu.largest {
        return Err(OpenError::TooLarge { adapter: gpu.info.name.clone(), what, needed, limit: gpu.largest });
    }
    let buffer = gpu.buffer(what, needed, BufferUsages::STORAGE | BufferUsages::COPY_DST);
    gpu.check_open()?;
    let mut at = 0;
    for piece in parts.iter().flat_map(|part| part.chunks(PIECE)) {
        gpu.queue.write_buffer(&buffer, at, piece);
        gpu.queue.submit([]);
        at += piece.len() as u64;
    }
    gpu.check_open()?;
    Ok(buffer)
}

/// LOG, one offset per view, then the programs (`shaders/common.wgsl`).
pub(crate) fn programs(views: &[ViewProgram], plan: &ColumnPlan) -> Vec<u32> {
    let mut words = LOG.to_vec();
    let mut program = Vec::new();
    let base = LOG.len() + views.len();
    for view in views {
        words.push((base + program.len()) as u32);
        program.extend([view.class_mask, view.vocabulary]);
        push_columns(&mut program, &view.child, plan);
        program.push(view.contexts.len() as u32);
        for context in &view.contexts {
            push_columns(&mut program, context, plan);
        }
    }
    words.extend(program);
    words
}

fn push_columns(program: &mut Vec<u32>, fields: &[u32], plan: &ColumnPlan) {
    program.push(fields.len() as u32);
    program.extend(fields.iter().map(|&field| plan.column(field)));
}

/// The calibrations one after the other, as [`Snapshot::calibrations`] has them.
fn calibration(snapshot: &Snapshot) -> Vec<u32> {
    snapshot.calibrations().into_iter().flat_map(of_calibration).collect()
}

/// The tables of the views one after the other, then the table of rows, two u16 a word.
fn of_calibration(calibration: &Calibration) -> Vec<u32> {
    let tables = calibration.views.iter().chain([&calibration.rows]);
    let entries: Vec<u16> = tables.flatten().copied().collect();
    entries.chunks(2).map(|pair| pair.iter().rev().fold(0, |word, entry| word << 16 | u32::from(*entry))).collect()
}

/// Words of one calibration.
fn calibration_words(views: usize) -> usize {
    (views * VIEW_BINS + ROW_BINS) / 2
}
