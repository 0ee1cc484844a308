//! The CPU backend: rayon over blocks of rows, each view level by level (docs/model.md §4, §5).

use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;

use crate::backend::{Backend, BackendError, REASONS, Reason, Scores, StageCounters};
use crate::encode::{Codes, EncodedBatch};
use crate::keys::{FLEET, NO_GROUP, Pair, absorb, context_start, scoped};
use crate::log2::lg;
use crate::snapshot::{Snapshot, ViewProgram};

/// Rows scored at a time by one thread: a block's columns stay in its cache.
const BLOCK: usize = 8192;

/// Scores on the processor's cores.
#[derive(Debug)]
pub struct CpuBackend {
    snapshot: Arc<Snapshot>,
    counters: StageCounters,
}

impl CpuBackend {
    /// A backend for one snapshot.
    pub fn new(snapshot: Arc<Snapshot>) -> Self {
        Self { snapshot, counters: StageCounters::default() }
    }
}

impl Backend for CpuBackend {
    fn name(&self) -> &str {
        "cpu"
    }

    fn device(&self) -> String {
        format!("{} threads", rayon::current_num_threads())
    }

    fn score(&mut self, batch: &EncodedBatch, out: &mut Scores) -> Result<(), BackendError> {
        if !batch.is_consistent(self.snapshot.lens.fields().len()) {
            return Err(BackendError::Batch("its columns do not match the lens".to_owned()));
        }
        let snapshot = &*self.snapshot;
        out.reset(batch.rows, snapshot.views.len());
        let blocks: Vec<Block<'_>> = blocks(batch.rows, out);
        let work =
            blocks.into_par_iter().map_init(Scratch::default, |scratch, block| block.score(snapshot, batch, scratch));
        self.counters += work.reduce(StageCounters::default, |mut a, b| {
            a += b;
            a
        });
        Ok(())
    }

    fn counters(&self) -> StageCounters {
        self.counters
    }
}

/// The output columns of one range of rows.
struct Block<'a> {
    rows: Range<usize>,
    surprisal: Vec<&'a mut [u16]>,
    bits: &'a mut [u32],
    log2_n: &'a mut [u16],
    reasons: &'a mut [[Reason; REASONS]],
}

/// Cuts the output into blocks that threads can own.
fn blocks(rows: usize, out: &mut Scores) -> Vec<Block<'_>> {
    if rows == 0 {
        return Vec::new();
    }
    let columns = out.bits.chunks_mut(BLOCK).zip(out.log2_n.chunks_mut(BLOCK)).zip(out.reasons.chunks_mut(BLOCK));
    let mut blocks: Vec<Block<'_>> = columns
        .enumerate()
        .map(|(i, ((bits, log2_n), reasons))| {
            let rows = i * BLOCK..i * BLOCK + bits.len();
            Block { rows, surprisal: Vec::new(), bits, log2_n, reasons }
        })
        .collect();
    for view in out.surprisal.chunks_mut(rows) {
        for (block, part) in blocks.iter_mut().zip(view.chunks_mut(BLOCK)) {
            block.surprisal.push(part);
        }
    }
    blocks
}

impl Block<'_> {
    fn score(mut self, snapshot: &Snapshot, batch: &EncodedBatch, scratch: &mut Scratch) -> StageCounters {
        let mut counters = StageCounters { sums: self.rows.len() as u64, ..StageCounters::default() };
        let mut part = Part::new(snapshot, snapshot.seed, batch, self.rows.clone(), scratch);
        for (view, program) in snapshot.views.iter().enumerate() {
            let out = &mut *self.surprisal[view];
            counters += part.score(view as u32, program, out);
            for ((row, s), class) in out.iter().enumerate().zip(&batch.class[self.rows.clone()]) {
                if program.class_mask >> class & 1 == 1 {
                    let bits = snapshot.calibration.view_bits(view, *s);
                    self.bits[row] += u32::from(bits);
                    rank(&mut self.reasons[row], view, bits);
                }
            }
        }
        for (log2_n, bits) in self.log2_n.iter_mut().zip(&*self.bits) {
            *log2_n = snapshot.calibration.row_log2_n(*bits);
        }
        counters
    }
}

/// Places a view among a row's reasons. Views come in order, so that the first of equals stays ahead.
#[inline]
fn rank(reasons: &mut [Reason; REASONS], view: usize, bits: u16) {
    if bits > reasons[REASONS - 1].bits {
        let at = reasons.iter().position(|r| bits > r.bits).unwrap_or(REASONS - 1);
        reasons[at..].rotate_right(1);
        reasons[at] = Reason { view: view as u16, bits };
    }
}

/// Where counts come from: a snapshot, or a snapshot less what is held out.
pub(crate) trait Counts: Sync {
    /// (N, T) of a context, (n, 0) of a cell, by scoped key; zeros if absent.
    fn find(&self, key: Pair) -> [u32; 2];
    /// The scope of a host's peer group, by the host's value hash; [`NO_GROUP`] if it has none.
    fn group(&self, host: Pair) -> Pair;
    /// V of a view.
    fn vocabulary(&self, view: usize) -> u32;
}

impl Counts for Snapshot {
    #[inline]
    fn find(&self, key: Pair) -> [u32; 2] {
        Snapshot::find(self, key)
    }

    fn group(&self, host: Pair) -> Pair {
        Snapshot::group(self, host).unwrap_or(NO_GROUP)
    }

    fn vocabulary(&self, view: usize) -> u32 {
        self.views[view].vocabulary
    }
}

/// Working memory of a thread: the scopes of a part's rows, and the rows of a view still undecided.
#[derive(Default)]
pub(crate) struct Scratch {
    hosts: Vec<Pair>,
    groups: Vec<Pair>,
    open: Vec<Open>,
    totals: Vec<[u32; 2]>,
}

#[derive(Clone, Copy)]
struct Open {
    /// Row, counted from the start of the part.
    row: u32,
    /// The surprisal so far, Q16.
    sum: u32,
    context: Pair,
    cell: Pair,
}

/// A range of rows, whose views are scored one after the other.
pub(crate) struct Part<'a, C> {
    counts: &'a C,
    seed: Pair,
    batch: &'a EncodedBatch,
    rows: Range<usize>,
    scratch: &'a mut Scratch,
    /// Whether any row's host has a group: else there is no such level.
    grouped: bool,
}

/// One view of a part.
struct View<'a> {
    number: u32,
    program: &'a ViewProgram,
}

impl<'a, C: Counts> Part<'a, C> {
    pub(crate) fn new(
        counts: &'a C,
        seed: Pair,
        batch: &'a EncodedBatch,
        rows: Range<usize>,
        scratch: &'a mut Scratch,
    ) -> Self {
        scratch.hosts.clear();
        scratch.groups.clear();
        let mut last = None;
        for code in &batch.host.codes[rows.clone()] {
            let host = batch.host.hashes[*code as usize];
            // Rows come by host, as a rule.
            let group = match last {
                Some((same, group)) if same == *code => group,
                _ => counts.group(host),
            };
            last = Some((*code, group));
            scratch.hosts.push(host);
            scratch.groups.push(group);
        }
        let grouped = scratch.groups.iter().any(|g| *g != NO_GROUP);
        Self { counts, seed, batch, rows, scratch, grouped }
    }

    /// Writes a view's surprisals to `out`, 0 where it does not apply.
    pub(crate) fn score(&mut self, number: u32, program: &ViewProgram, out: &mut [u16]) -> StageCounters {
        let view = View { number, program };
        self.start(&view, out);
        let mut counters = StageCounters { backoffs: self.scratch.open.len() as u64, ..StageCounters::default() };
        for (number, fields) in program.contexts.iter().enumerate() {
            if self.scratch.open.is_empty() {
                break;
            }
            self.keys(&view, number as u32, fields);
            self.level(|scratch, row| scratch.hosts[row], out, &mut counters);
            if self.grouped {
                self.level(|scratch, row| scratch.groups[row], out, &mut counters);
            }
            self.level(|_, _| FLEET, out, &mut counters);
        }
        let end = lg(self.counts.vocabulary(view.number as usize).saturating_add(1));
        for open in &self.scratch.open {
            out[open.row as usize] = rounded(open.sum.wrapping_add(end));
        }
        counters
    }

    fn start(&mut self, view: &View<'_>, out: &mut [u16]) {
        out.fill(0);
        let open = &mut self.scratch.open;
        open.clear();
        for (row, class) in self.batch.class[self.rows.clone()].iter().enumerate() {
            if view.program.class_mask >> class & 1 == 1 {
                open.push(Open { row: row as u32, sum: 0, context: [0; 2], cell: [0; 2] });
            }
        }
    }

    /// Builds each open row's context and cell of context number `number`, still without scope.
    fn keys(&mut self, view: &View<'_>, number: u32, fields: &[u32]) {
        let start = context_start(self.seed, view.number, number);
        let (batch, rows) = (self.batch, self.rows.clone());
        let field = |field: &u32| {
            let Codes { codes, hashes, .. } = &batch.fields[*field as usize];
            (&codes[rows.clone()], &**hashes)
        };
        let open = &mut self.scratch.open;
        open.iter_mut().for_each(|o| o.context = start);
        for (codes, hashes) in fields.iter().map(field) {
            open.iter_mut().for_each(|o| o.context = absorb(o.context, hashes[codes[o.row as usize] as usize]));
        }
        open.iter_mut().for_each(|o| o.cell = o.context);
        for (codes, hashes) in view.program.child.iter().map(field) {
            open.iter_mut().for_each(|o| o.cell = absorb(o.cell, hashes[codes[o.row as usize] as usize]));
        }
    }

    /// One scope of the current context: rows whose cell is known are decided, the others stay open, and so do those
    /// that have no such scope.
    fn level(&mut self, scope: impl Fn(&Scratch, usize) -> Pair, out: &mut [u16], counters: &mut StageCounters) {
        let counts = self.counts;
        let scratch = &mut *self.scratch;
        // Two passes, so that the processor can have many look-ups in flight.
        let mut totals = std::mem::take(&mut scratch.totals);
        totals.clear();
        let mut visited = 0;
        totals.extend(scratch.open.iter().map(|open| match scope(scratch, open.row as usize) {
            NO_GROUP => [0; 2],
            scope => {
                visited += 1;
                counts.find(scoped(open.context, scope))
            }
        }));
        let present = totals.iter().filter(|t| t[0] > 0).count() as u64;
        counters.keys += visited + present;
        counters.lookups += visited + present;
        let mut kept = 0;
        for i in 0..scratch.open.len() {
            let (mut open, [total, kinds]) = (scratch.open[i], totals[i]);
            if total > 0 {
                let [seen, _] = counts.find(scoped(open.cell, scope(scratch, open.row as usize)));
                let bits = lg(total.saturating_add(kinds)).wrapping_sub(lg(if seen > 0 { seen } else { kinds }));
                open.sum = open.sum.wrapping_add(bits);
                if seen > 0 {
                    out[open.row as usize] = rounded(open.sum);
                    continue;
                }
            }
            scratch.open[kept] = open;
            kept += 1;
        }
        scratch.open.truncate(kept);
        scratch.totals = totals;
    }
}

/// Q16 to 1/1024 bit.
#[inline]
fn rounded(sum: u32) -> u16 {
    (sum.wrapping_add(32) >> 6).min(u32::from(u16::MAX)) as u16
}
