//! One scope of one context for all rows of a view that are still undecided (docs/model.md §4).
//!
//! A table larger than the caches answers a look-up from memory, which takes as long as making several keys. So rows pass
//! through three steps, a chunk at a time: their contexts' slots are asked for; those are read and the cells' slots asked
//! for; those are read and the rows decided. The steps work on chunks `AHEAD` apart, so that memory is busy throughout.

use super::lanes::{CHUNK, Keys, Mask, Path, Scopes};
use super::part::Counts;
use crate::backend::StageCounters;
use crate::keys::{NO_GROUP, Pair};

/// Chunks between two steps: what memory can have under way at a time, and some.
const AHEAD: usize = 3;
/// Chunks that are in some step.
const UNDER_WAY: usize = 2 * AHEAD + 1;

/// The rows of a view still undecided. Columns are padded to whole chunks, with anything.
#[derive(Default)]
pub(super) struct Open {
    length: usize,
    /// Rows, counted from the start of the part.
    rows: Vec<u32>,
    /// The surprisals so far, Q16.
    sums: Vec<u32>,
    /// The keys of the current context and cell, without scope.
    contexts: Vec<Keys>,
    cells: Vec<Keys>,
}

impl Open {
    /// Begins a view with these rows.
    pub(super) fn begin(&mut self, rows: impl Iterator<Item = u32>) {
        self.rows.clear();
        self.rows.extend(rows);
        self.length = self.rows.len();
        let chunks = self.length.div_ceil(CHUNK);
        self.rows.resize(chunks * CHUNK, 0);
        self.sums.clear();
        self.sums.resize(chunks * CHUNK, 0);
        self.contexts.resize(chunks, Keys::EMPTY);
        self.cells.resize(chunks, Keys::EMPTY);
    }

    pub(super) fn length(&self) -> usize {
        self.length
    }

    /// Writes the surprisals of rows that no level decided, each with what the end costs.
    pub(super) fn finish(&mut self, end: u32, out: &mut [u16]) {
        for (row, sum) in self.rows.iter().zip(&self.sums).take(self.length) {
            out[*row as usize] = rounded(sum.wrapping_add(end));
        }
    }
}

/// How the keys of one context are made.
pub(super) struct ContextKeys<'a> {
    pub(super) start: Pair,
    /// Codes by row, and hashes by code, of the context's fields and of the child's.
    pub(super) context: Vec<(&'a [u32], &'a [Pair])>,
    pub(super) child: Vec<(&'a [u32], &'a [Pair])>,
}

/// Where keys without scope come from.
#[derive(Clone, Copy)]
pub(super) enum Made<'a> {
    /// This is the context's first scope.
    Now(&'a ContextKeys<'a>),
    /// An earlier scope left them in [`Open`].
    Before,
}

/// A chunk on its way through the steps.
#[derive(Clone, Copy)]
struct Chunk {
    rows: [u32; CHUNK],
    sums: [u32; CHUNK],
    /// Without scope.
    context: Keys,
    cell: Keys,
    /// Which rows look this level up: at first those that have such a scope, then those whose context is known.
    asked: Mask,
    /// The scoped keys that were asked for: of contexts, then of cells.
    keys: Keys,
    /// (N, T).
    totals: Keys,
}

impl Chunk {
    const EMPTY: Self = Self {
        rows: [0; CHUNK],
        sums: [0; CHUNK],
        context: Keys::EMPTY,
        cell: Keys::EMPTY,
        asked: [0; CHUNK],
        keys: Keys::EMPTY,
        totals: Keys::EMPTY,
    };
}

/// One scope of one context.
pub(super) struct Level<'a, C> {
    pub(super) counts: &'a C,
    pub(super) path: Path,
    pub(super) made: Made<'a>,
    pub(super) scopes: Scopes<'a>,
}

impl<C: Counts> Level<'_, C> {
    /// Decides the rows whose cell is known: writes their surprisals to `out`, and keeps the others open. Rows that have
    /// no such scope stay as they are.
    pub(super) fn run(&self, open: &mut Open, out: &mut [u16], counters: &mut StageCounters) {
        match self.path {
            Path::Plain => self.steps(open, out, counters),
            #[cfg(target_arch = "x86_64")]
            Path::Avx2(avx2) => avx2.level(self, open, out, counters),
        }
    }

    /// `run`, compiled anew for each sort of processor.
    #[inline(always)]
    pub(super) fn steps(&self, open: &mut Open, out: &mut [u16], counters: &mut StageCounters) {
        let chunks = open.length.div_ceil(CHUNK);
        let mut ring = [Chunk::EMPTY; UNDER_WAY];
        let (mut lookups, mut kept) = (0, 0);
        for number in 0..chunks + 2 * AHEAD {
            if number < chunks {
                lookups += self.ask(&mut ring[number % UNDER_WAY], open, number);
            }
            if let Some(number) = number.checked_sub(AHEAD).filter(|n| *n < chunks) {
                lookups += self.ask_for_cells(&mut ring[number % UNDER_WAY]);
            }
            if let Some(number) = number.checked_sub(2 * AHEAD) {
                kept = self.decide(&mut ring[number % UNDER_WAY], open, number, kept, out);
            }
        }
        open.length = kept;
        counters.keys += lookups;
        counters.lookups += lookups;
    }

    /// Takes a chunk of the open rows and asks for the slots of their contexts; returns how many.
    #[inline(always)]
    fn ask(&self, chunk: &mut Chunk, open: &Open, number: usize) -> u64 {
        let from = number * CHUNK;
        chunk.rows.copy_from_slice(&open.rows[from..][..CHUNK]);
        chunk.sums.copy_from_slice(&open.sums[from..][..CHUNK]);
        match self.made {
            Made::Before => (chunk.context, chunk.cell) = (open.contexts[number], open.cells[number]),
            Made::Now(ContextKeys { start, context, child }) => {
                chunk.context = Keys::all(*start);
                context.iter().for_each(|f| self.path.absorb(&mut chunk.context, &chunk.rows, f.0, f.1));
                chunk.cell = chunk.context;
                child.iter().for_each(|f| self.path.absorb(&mut chunk.cell, &chunk.rows, f.0, f.1));
            }
        }
        let length = open.length - from;
        for (i, (asked, row)) in chunk.asked.iter_mut().zip(&chunk.rows).enumerate() {
            let scoped = match self.scopes {
                Scopes::One(_) | Scopes::Each(_) => true,
                Scopes::OfMembers(groups) => groups[*row as usize] != NO_GROUP,
            };
            *asked = 0u32.wrapping_sub(u32::from((i < length) & scoped));
        }
        self.path.scoped(&mut chunk.keys, &chunk.context, &chunk.rows, self.scopes);
        self.counts.expect_chunk(&chunk.context, &chunk.keys, &chunk.asked);
        many(&chunk.asked)
    }

    /// Reads (N, T) of the contexts and asks for the slots of the cells in those that are known; returns how many.
    #[inline(always)]
    fn ask_for_cells(&self, chunk: &mut Chunk) -> u64 {
        self.counts.find_chunk(&chunk.context, &chunk.keys, &chunk.asked, &mut chunk.totals);
        for (asked, total) in chunk.asked.iter_mut().zip(&chunk.totals.lo) {
            *asked = 0u32.wrapping_sub(u32::from(*total > 0));
        }
        self.path.scoped(&mut chunk.keys, &chunk.cell, &chunk.rows, self.scopes);
        self.counts.expect_chunk(&chunk.cell, &chunk.keys, &chunk.asked);
        many(&chunk.asked)
    }

    /// Reads n of the cells, adds what the level costs, and keeps the rows open whose cell is not known.
    #[inline(always)]
    fn decide(&self, chunk: &mut Chunk, open: &mut Open, number: usize, mut kept: usize, out: &mut [u16]) -> usize {
        let mut seen = Keys::EMPTY;
        self.counts.find_chunk(&chunk.cell, &chunk.keys, &chunk.asked, &mut seen);
        if self.counts.sketched() {
            for (i, n) in seen.lo.iter_mut().enumerate().filter(|(i, n)| chunk.asked[*i] != 0 && **n == 0) {
                *n = self.counts.seen(chunk.cell.pair(i), chunk.keys.pair(i), chunk.totals.lo[i]);
            }
        }
        self.path.add_costs(&mut chunk.sums, &chunk.totals, &seen.lo);
        let length = CHUNK.min(open.length - number * CHUNK);
        for (row, sum) in chunk.rows.iter().zip(&chunk.sums).take(length) {
            // Of a row that stays open this is not the last word.
            out[*row as usize] = rounded(*sum);
        }
        let mut left =
            seen.lo.iter().rev().fold(0u32, |bits, n| bits << 1 | u32::from(*n == 0)) & (u32::MAX >> (32 - length));
        while left != 0 {
            let i = left.trailing_zeros() as usize % CHUNK;
            left &= left - 1;
            open.rows[kept] = chunk.rows[i];
            open.sums[kept] = chunk.sums[i];
            let (at, lane) = (kept / CHUNK, kept % CHUNK);
            let (context, cell) = (&mut open.contexts[at], &mut open.cells[at]);
            (context.lo[lane], context.hi[lane]) = (chunk.context.lo[i], chunk.context.hi[i]);
            (cell.lo[lane], cell.hi[lane]) = (chunk.cell.lo[i], chunk.cell.hi[i]);
            kept += 1;
        }
        kept
    }
}

fn many(mask: &Mask) -> u64 {
    u64::from(mask.iter().map(|asked| asked & 1).sum::<u32>())
}

/// Q16 to 1/1024 bit.
#[inline]
fn rounded(sum: u32) -> u16 {
    (sum.wrapping_add(32) >> 6).min(u32::from(u16::MAX)) as u16
}
