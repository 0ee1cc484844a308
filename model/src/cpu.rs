//! The CPU backend: rayon over blocks of rows, each view level by level (docs/model.md §4, §5).

#[cfg(target_arch = "x86_64")]
mod avx2;
mod lanes;
mod learn;
mod level;
mod memory;
mod part;
mod probe;
mod trace;

use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;

use crate::backend::{Backend, BackendError, REASONS, Reason, Scores, StageCounters};
use crate::encode::EncodedBatch;
use crate::snapshot::{Calibration, Snapshot};
use lanes::Path;

pub use learn::{CellCounter, Counted};
pub(crate) use memory::huge_pages;
pub(crate) use part::{Counts, Part, Scratch};
pub(crate) use trace::traced;

/// Rows scored at a time by one thread: what is known of them stays in its second-level cache.
const BLOCK: usize = 1024;

/// Scores on the processor's cores.
#[derive(Debug)]
pub struct CpuBackend {
    snapshot: Arc<Snapshot>,
    path: Path,
    counters: StageCounters,
}

impl CpuBackend {
    /// A backend for one snapshot.
    pub fn new(snapshot: Arc<Snapshot>) -> Self {
        Self { snapshot, path: Path::detect(), counters: StageCounters::default() }
    }

    /// A backend that uses no vector instructions: to test the others by, and on processors without any.
    #[doc(hidden)]
    pub fn plain(snapshot: Arc<Snapshot>) -> Self {
        Self { path: Path::Plain, ..Self::new(snapshot) }
    }
}

impl Backend for CpuBackend {
    fn name(&self) -> &str {
        "cpu"
    }

    fn device(&self) -> String {
        format!("{} threads, {}", rayon::current_num_threads(), self.path.name())
    }

    fn score(&mut self, batch: &EncodedBatch, out: &mut Scores) -> Result<(), BackendError> {
        if !batch.is_consistent(self.snapshot.lens.fields().len()) {
            return Err(BackendError::Batch("its columns do not match the lens".to_owned()));
        }
        let snapshot = &*self.snapshot;
        out.reset(batch.rows, snapshot.views.len());
        let blocks: Vec<Block<'_>> = blocks(batch.rows, out);
        let scratch = || Scratch::new(self.path);
        let work = blocks.into_par_iter().map_init(scratch, |scratch, block| block.score(snapshot, batch, scratch));
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
        let calibrations = self.calibrations(snapshot, batch);
        let mut part = Part::new(snapshot, snapshot.seed, batch, self.rows.clone(), scratch);
        for (view, program) in snapshot.views.iter().enumerate() {
            let out = &mut *self.surprisal[view];
            counters += part.score(view as u32, program, out);
            for ((row, s), class) in out.iter().enumerate().zip(&batch.class[self.rows.clone()]) {
                if program.class_mask >> class & 1 == 1 {
                    let bits = calibrations[row].view_bits(view, *s);
                    self.bits[row] += u32::from(bits);
                    rank(&mut self.reasons[row], view, bits);
                }
            }
        }
        for ((log2_n, bits), calibration) in self.log2_n.iter_mut().zip(&*self.bits).zip(&calibrations) {
            *log2_n = calibration.row_log2_n(*bits);
        }
        counters
    }

    /// By row, its host's.
    fn calibrations<'a>(&self, snapshot: &'a Snapshot, batch: &EncodedBatch) -> Vec<&'a Calibration> {
        let mut last = (u32::MAX, &snapshot.calibration);
        let of_host = |code: &u32| {
            // Rows come by host, as a rule.
            if last.0 != *code {
                last = (*code, snapshot.calibration_of(batch.host.hashes[*code as usize]));
            }
            last.1
        };
        batch.host.codes[self.rows.clone()].iter().map(of_host).collect()
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
