//! What stays on the card: the count table, the logarithm, the view programs and the calibration.

use crate::device::Gpu;
use crate::dictionary::Hashes;
use crate::error::OpenError;
use crate::kernels::Kernels;
use bytemuck::cast_slice;
use model::Snapshot;
use model::keys::{NO_GROUP, Pair, join};
use model::log2::LOG;
use std::collections::BTreeMap;
use std::sync::Arc;
use wgpu::{BindGroup, Buffer, BufferUsages};

/// Uploads go in pieces, so that staging never holds a second copy of a large table.
const PIECE: usize = 16 << 20;

/// The columns the views read and where the card has them: fields in ascending order, then host, then class.
pub(crate) struct ColumnPlan {
    /// Numbers of the lens fields that travel.
    pub(crate) fields: Vec<usize>,
}

impl ColumnPlan {
    fn new(snapshot: &Snapshot) -> Self {
        let mut fields: Vec<usize> = snapshot
            .views
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

    /// Those of them that have values, and the groups of hosts.
    pub(crate) fn dictionaries(&self) -> usize {
        self.fields.len() + 2
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
    groups: Groups,
}

/// The scope of the group of each host value of a batch.
struct Groups {
    /// By joined value hash of the host.
    scopes: BTreeMap<u64, Pair>,
    /// The host values that were asked for last, kept alive so that their address cannot be another dictionary's, and
    /// the answer.
    last: Option<(Hashes, Hashes)>,
}

impl Resident {
    pub(crate) fn new(gpu: &Gpu, kernels: &Kernels, snapshot: &Snapshot) -> Result<Self, OpenError> {
        let plan = ColumnPlan::new(snapshot);
        let parts = [
            upload(gpu, "count table", cast_slice(&snapshot.slots))?,
            upload(gpu, "view programs", cast_slice(&programs(snapshot, &plan)))?,
            upload(gpu, "calibration", cast_slice(&calibration(snapshot)))?,
        ];
        let entries: Vec<_> = (0..)
            .zip(&parts)
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
            groups: Groups { scopes: snapshot.groups.clone(), last: None },
        })
    }

    /// Whether any host has a group.
    pub(crate) fn grouped(&self) -> bool {
        !self.groups.scopes.is_empty()
    }

    /// The scope of the group of each of `hosts`, [`NO_GROUP`] for those without; `None` if no host at all has one.
    pub(crate) fn groups(&mut self, hosts: &Hashes) -> Option<Hashes> {
        let Groups { scopes, last } = &mut self.groups;
        if scopes.is_empty() {
            return None;
        }
        if let Some((same, groups)) = last
            && Arc::ptr_eq(same, hosts)
        {
            return Some(Arc::clone(groups));
        }
        let scope = |host: &Pair| scopes.get(&join(*host)).copied().unwrap_or(NO_GROUP);
        let groups = Arc::new(hosts.iter().map(scope).collect());
        *last = Some((Arc::clone(hosts), Arc::clone(&groups)));
        Some(groups)
    }
}

fn upload(gpu: &Gpu, what: &'static str, bytes: &[u8]) -> Result<Buffer, OpenError> {
    let needed = bytes.len() as u64;
    if needed > gpu.largest {
        return Err(OpenError::TooLarge { adapter: gpu.info.name.clone(), what, needed, limit: gpu.largest });
    }
    let buffer = gpu.buffer(what, needed, BufferUsages::STORAGE | BufferUsages::COPY_DST);
    gpu.check_open()?;
    for (piece, at) in bytes.chunks(PIECE).zip((0..).step_by(PIECE)) {
        gpu.queue.write_buffer(&buffer, at, piece);
        gpu.queue.submit([]);
    }
    gpu.check_open()?;
    Ok(buffer)
}

/// LOG, one offset per view, then the programs (`shaders/common.wgsl`).
fn programs(snapshot: &Snapshot, plan: &ColumnPlan) -> Vec<u32> {
    let mut words = LOG.to_vec();
    let mut program = Vec::new();
    let base = LOG.len() + snapshot.views.len();
    for view in &snapshot.views {
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

/// The tables of the views one after the other, then the table of rows, as u16.
fn calibration(snapshot: &Snapshot) -> Vec<u16> {
    let tables = snapshot.calibration.views.iter().chain([&snapshot.calibration.rows]);
    tables.flatten().copied().collect()
}
