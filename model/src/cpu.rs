//! The CPU backend: rayon over blocks of rows, each view level by level (docs/model.md §4, §5).

use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;

use crate::backend::{Backend, BackendError, REASONS, Reason, Scores, StageCounters};
use crate::encode::{Codes, EncodedBatch};
use crate::keys::{FLEET, Pair, absorb, context_start, scoped};
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
        for (view, program) in snapshot.views.iter().enumerate() {
            let out = &mut *self.surprisal[view];
            let task = Task {
                counts: snapshot,
                seed: snapshot.seed,
                view: view as u32,
                program,
                batch,
                rows: self.rows.clone(),
            };
            counters += task.run(scratch, out);
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
    /// V of a view.
    fn vocabulary(&self, view: usize) -> u32;
}

impl Counts for Snapshot {
    #[inline]
    fn find(&self, key: Pair) -> [u32; 2] {
        Snapshot::find(self, key)
    }

    fn vocabulary(&self, view: usize) -> u32 {
        self.views[view].vocabulary
    }
}

/// One view of a range of rows.
pub(crate) struct Task<'a, C> {
    pub(crate) counts: &'a C,
    pub(crate) seed: Pair,
    pub(crate) view: u32,
    pub(crate) program: &'a ViewProgram,
    pub(crate) batch: &'a EncodedBatch,
    pub(crate) rows: Range<usize>,
}

/// Working memory of a thread: the rows still undecided, and for each its sum and keys.
#[derive(Default)]
pub(crate) struct Scratch {
    open: Vec<Open>,
    totals: Vec<[u32; 2]>,
}

#[derive(Clone, Copy)]
struct Open {
    /// Row, counted from the start of the range.
    row: u32,
    /// The surprisal so far, Q16.
    sum: u32,
    host: Pair,
    context: Pair,
    cell: Pair,
}

impl<C: Counts> Task<'_, C> {
    /// Writes the view's surprisals to `out`, 0 where it does not apply.
    pub(crate) fn run(&self, scratch: &mut Scratch, out: &mut [u16]) -> StageCounters {
        self.start(scratch, out);
        let mut counters = StageCounters { backoffs: scratch.open.len() as u64, ..StageCounters::default() };
        for (number, fields) in self.program.contexts.iter().enumerate() {
            if scratch.open.is_empty() {
                break;
            }
            self.keys(number as u32, fields, &mut scratch.open);
            self.level(scratch, false, out, &mut counters);
            self.level(scratch, true, out, &mut counters);
        }
        let end = lg(self.counts.vocabulary(self.view as usize).saturating_add(1));
        for open in &scratch.open {
            out[open.row as usize] = rounded(open.sum.wrapping_add(end));
        }
        counters
    }

    fn start(&self, scratch: &mut Scratch, out: &mut [u16]) {
        out.fill(0);
        scratch.open.clear();
        let classes = &self.batch.class[self.rows.clone()];
        let hosts = &self.batch.host.codes[self.rows.clone()];
        for (row, (class, host)) in classes.iter().zip(hosts).enumerate() {
            if self.program.class_mask >> class & 1 == 1 {
                let host = self.batch.host.hashes[*host as usize];
                scratch.open.push(Open { row: row as u32, sum: 0, host, context: [0; 2], cell: [0; 2] });
            }
        }
    }

    /// Builds each open row's context and cell of context number `number`, still without scope.
    fn keys(&self, number: u32, fields: &[u32], open: &mut [Open]) {
        let start = context_start(self.seed, self.view, number);
        open.iter_mut().for_each(|o| o.context = start);
        for field in fields {
            let (codes, hashes) = self.field(*field);
            open.iter_mut().for_each(|o| o.context = absorb(o.context, hashes[codes[o.row as usize] as usize]));
        }
        open.iter_mut().for_each(|o| o.cell = o.context);
        for field in &self.program.child {
            let (codes, hashes) = self.field(*field);
            open.iter_mut().for_each(|o| o.cell = absorb(o.cell, hashes[codes[o.row as usize] as usize]));
        }
    }

    fn field(&self, field: u32) -> (&[u32], &[Pair]) {
        let Codes { codes, hashes, .. } = &self.batch.fields[field as usize];
        (&codes[self.rows.clone()], hashes)
    }

    /// One scope of the current context: rows whose cell is known are decided, the others stay open.
    fn level(&self, scratch: &mut Scratch, fleet: bool, out: &mut [u16], counters: &mut StageCounters) {
        let scope = |open: &Open| if fleet { FLEET } else { open.host };
        // Two passes, so that the processor can have many look-ups in flight.
        scratch.totals.clear();
        scratch.totals.extend(scratch.open.iter().map(|o| self.counts.find(scoped(o.context, scope(o)))));
        let present = scratch.totals.iter().filter(|t| t[0] > 0).count() as u64;
        counters.keys += scratch.open.len() as u64 + present;
        counters.lookups += scratch.open.len() as u64 + present;
        let mut kept = 0;
        for i in 0..scratch.open.len() {
            let (mut open, [total, kinds]) = (scratch.open[i], scratch.totals[i]);
            if total > 0 {
                let [seen, _] = self.counts.find(scoped(open.cell, scope(&open)));
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
    }
}

/// Q16 to 1/1024 bit.
#[inline]
fn rounded(sum: u32) -> u16 {
    (sum.wrapping_add(32) >> 6).min(u32::from(u16::MAX)) as u16
}
