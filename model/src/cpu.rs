//! The CPU backend: rayon over views and ranges of rows, each view level by level (docs/model.md §4, §5). Rows that a view
//! cannot tell apart are scored once.

#[cfg(target_arch = "x86_64")]
mod avx2;
mod lanes;
mod learn;
mod level;
mod memory;
mod part;
mod probe;
mod trace;
mod view;

use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;

use crate::backend::{Backend, BackendError, REASONS, Reason, Scores, StageCounters};
use crate::encode::EncodedBatch;
use crate::snapshot::Snapshot;
use lanes::Path;

pub(crate) use lanes::{Keys, Mask};
pub use learn::{CellCounter, Counted};
pub(crate) use memory::huge_pages;
pub(crate) use part::{Counts, Part, Scratch};
pub(crate) use probe::{expect, find};
pub(crate) use trace::traced;
use view::{Asked, FEWEST, Work};

/// Rows scored at a time by one thread: what is known of them stays in its second-level cache.
const BLOCK: usize = 1024;

/// Threads that score.
#[must_use]
pub fn threads() -> usize {
    rayon::current_num_threads()
}

/// Scores on the processor's cores.
#[derive(Debug)]
pub struct CpuBackend {
    snapshot: Arc<Snapshot>,
    path: Path,
    /// Whether rows that a view cannot tell apart are scored once.
    by_kind: bool,
    counters: StageCounters,
    /// Surprisals that nobody wants but the sums.
    surprisal: Vec<u16>,
}

impl CpuBackend {
    /// A backend for one snapshot.
    pub fn new(snapshot: Arc<Snapshot>) -> Self {
        let (counters, surprisal) = (StageCounters::default(), Vec::new());
        Self { snapshot, path: Path::detect(), by_kind: true, counters, surprisal }
    }

    /// A backend that uses no vector instructions and scores each row by itself: to test the others by.
    #[doc(hidden)]
    pub fn plain(snapshot: Arc<Snapshot>) -> Self {
        Self { path: Path::Plain, by_kind: false, ..Self::new(snapshot) }
    }
}

impl Backend for CpuBackend {
    fn name(&self) -> &str {
        "cpu"
    }

    fn device(&self) -> String {
        let threads = threads();
        format!("{threads} thread{}, {}", if threads == 1 { "" } else { "s" }, self.path.name())
    }

    fn score(&mut self, batch: &EncodedBatch, out: &mut Scores) -> Result<(), BackendError> {
        if !batch.is_consistent(self.snapshot.lens.fields().len()) {
            return Err(BackendError::Batch("its columns do not match the lens".to_owned()));
        }
        let snapshot = &*self.snapshot;
        out.reset(batch.rows, snapshot.views.len());
        let mut surprisal = std::mem::take(if out.only_rows { &mut self.surprisal } else { &mut out.surprisal });
        // Every view writes all of its rows.
        surprisal.resize(batch.rows * snapshot.views.len(), 0);
        let asked = Asked { snapshot, batch, by_kind: self.by_kind };
        // A few rows are not worth waking other threads for.
        let together = if batch.rows < FEWEST { usize::MAX } else { 1 };
        let work = asked.of(&mut surprisal).into_par_iter().with_min_len(together);
        let work = work.map_init(|| Work::new(self.path), |work, of_view| of_view.score(&asked, work));
        self.counters += work.reduce(StageCounters::default, |mut a, b| {
            a += b;
            a
        });
        self.counters.sums += batch.rows as u64;
        let sets: Vec<u8> = batch.host.hashes.iter().map(|host| snapshot.set(*host) as u8).collect();
        let blocks = blocks(batch.rows, &surprisal, out);
        blocks.into_par_iter().for_each(|block| block.add_up(snapshot, batch, &sets));
        *if out.only_rows { &mut self.surprisal } else { &mut out.surprisal } = surprisal;
        Ok(())
    }

    fn counters(&self) -> StageCounters {
        self.counters
    }
}

/// What the views say of one range of rows, and what comes of it.
struct Block<'a> {
    rows: Range<usize>,
    surprisal: Vec<&'a [u16]>,
    bits: &'a mut [u32],
    log2_n: &'a mut [u16],
    reasons: &'a mut [[Reason; REASONS]],
}

/// Cuts the scores into blocks that threads can own.
fn blocks<'a>(rows: usize, surprisal: &'a [u16], out: &'a mut Scores) -> Vec<Block<'a>> {
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
    for view in surprisal.chunks(rows) {
        for (block, part) in blocks.iter_mut().zip(view.chunks(BLOCK)) {
            block.surprisal.push(part);
        }
    }
    blocks
}

impl Block<'_> {
    /// Adds up the calibrated bits of each row's views, and names those with the most. `sets` says by code of a host which
    /// calibration it has.
    fn add_up(self, snapshot: &Snapshot, batch: &EncodedBatch, sets: &[u8]) {
        let (classes, hosts) = (&batch.class[self.rows.clone()], &batch.host.codes[self.rows.clone()]);
        let calibrations = snapshot.calibrations();
        let mut bits_of_view = [0u32; BLOCK];
        let mut top = [[0u32; BLOCK]; REASONS];
        for (view, (program, surprisal)) in (0u32..).zip(snapshot.views.iter().zip(&self.surprisal)) {
            let tables: Vec<&[u16]> = calibrations.iter().map(|of| &of.views[view as usize][..]).collect();
            let bits = bits_of_view.iter_mut().zip(*surprisal);
            if let [table] = tables[..] {
                bits.for_each(|(bits, s)| *bits = table[usize::from(s >> 6)].into());
            } else {
                let table = |host: u32| tables[usize::from(sets[host as usize])];
                bits.zip(hosts).for_each(|((bits, s), host)| *bits = table(*host)[usize::from(s >> 6)].into());
            }
            for (bits, class) in bits_of_view.iter_mut().zip(classes) {
                *bits &= 0u32.wrapping_sub(program.class_mask >> class & 1);
            }
            // 512 views of 16 bits each do not overflow.
            self.bits.iter_mut().zip(&bits_of_view).for_each(|(sum, bits)| *sum = sum.wrapping_add(*bits));
            rank(&mut top, view, &bits_of_view[..classes.len()]);
        }
        for (((log2_n, bits), reasons), row) in self.log2_n.iter_mut().zip(&*self.bits).zip(self.reasons).zip(0..) {
            *log2_n = calibrations[usize::from(sets[hosts[row] as usize])].row_log2_n(*bits);
            *reasons = top.each_ref().map(|of_rank| reason(of_rank[row]));
        }
    }
}

/// Places a view among the rows' reasons, each a number that is the greater the sooner it is named: bits, then of equals the
/// view that comes first. Without a branch, for vector instructions.
fn rank(top: &mut [[u32; BLOCK]; REASONS], view: u32, bits: &[u32]) {
    let [first, second, third] = top;
    let rows = first.iter_mut().zip(second).zip(third).zip(bits);
    for (((first, second), third), bits) in rows {
        let here = if *bits > 0 { bits << 16 | (u32::from(u16::MAX) - view) } else { 0 };
        let rest = here.min(*first);
        *first = here.max(*first);
        let last = rest.min(*second);
        *second = rest.max(*second);
        *third = last.max(*third);
    }
}

/// A reason from its number.
fn reason(number: u32) -> Reason {
    match number {
        0 => Reason::NONE,
        number => Reason { view: u16::MAX - number as u16, bits: (number >> 16) as u16 },
    }
}
