//! Counting rows into cells by several threads: keys are made in parallel and dealt out by their highest bits, and each
//! share of the keys has one writer. No lock, and the counts do not depend on the number of threads.

use rayon::prelude::*;

use super::lanes::{CHUNK, Keys, Path};
use crate::encode::{Codes, EncodedBatch};
use crate::keys::{Pair, PairMap, context_start, join, pair};
use crate::lens::Lens;
use crate::snapshot::{ViewProgram, programs};

/// Shares of the keys: more than processors, so that none waits long for another.
const SHARDS: usize = 64;
/// Rows whose keys are made at a time by one thread.
const BLOCK: usize = 4096;
/// Blocks dealt out before the shares are counted, which bounds what waits.
const BLOCKS: usize = 16;

/// Counts of one view: cell to its context and count.
type Cells = PairMap<(u64, u32)>;

/// What was counted of a view: context, cell and how often, without scope.
pub type Counted = Vec<(Pair, Pair, u32)>;

/// What rows have of each cell, of all views of a lens, without scope and without caps on what a unit may teach.
pub struct CellCounter {
    programs: Vec<ViewProgram>,
    seed: Pair,
    path: Path,
    /// Per share of the keys, per view.
    shards: Vec<Vec<Cells>>,
}

/// (view, context, cell) of some rows, by share.
type Dealt = Vec<Vec<(u32, u64, u64)>>;

impl CellCounter {
    /// Counts nothing yet.
    pub fn new(lens: &Lens, seed: Pair) -> Self {
        let programs = programs(lens);
        let empty = || programs.iter().map(|_| Cells::default()).collect();
        Self { shards: (0..SHARDS).map(|_| empty()).collect(), programs, seed, path: Path::detect() }
    }

    /// Counts the given rows of a batch.
    pub fn count_into(&mut self, batch: &EncodedBatch, rows: &[u32]) {
        for rows in rows.chunks(BLOCK * BLOCKS) {
            let dealt: Vec<Dealt> = rows.par_chunks(BLOCK).map(|rows| self.deal(batch, rows)).collect();
            self.shards.par_iter_mut().enumerate().for_each(|(shard, views)| {
                for (view, context, cell) in dealt.iter().flat_map(|dealt| &dealt[shard]) {
                    let count = views[*view as usize].entry(*cell).or_insert((*context, 0));
                    count.1 = count.1.saturating_add(1);
                }
            });
        }
    }

    /// What was counted of each view, in no order.
    pub fn finish(self) -> Vec<Counted> {
        let mut views: Vec<Counted> = vec![Vec::new(); self.programs.len()];
        for shard in self.shards {
            for (view, cells) in views.iter_mut().zip(shard) {
                view.extend(cells.into_iter().map(|(cell, (context, n))| (pair(context), pair(cell), n)));
            }
        }
        views
    }

    fn deal(&self, batch: &EncodedBatch, rows: &[u32]) -> Dealt {
        let mut dealt: Dealt = vec![Vec::new(); SHARDS];
        for (view, program) in (0..).zip(&self.programs) {
            let applies = |row: &u32| program.class_mask >> batch.class[*row as usize] & 1 == 1;
            let rows: Vec<u32> = rows.iter().copied().filter(applies).collect();
            for (number, fields) in (0..).zip(&program.contexts) {
                let start = Keys::all(context_start(self.seed, view, number));
                for rows in rows.chunks(CHUNK) {
                    // What a last chunk lacks repeats a row that there is.
                    let whole = std::array::from_fn(|i| rows[i.min(rows.len() - 1)]);
                    let absorb = |state: &mut Keys, field: &u32| {
                        let Codes { codes, hashes, .. } = &batch.fields[*field as usize];
                        self.path.absorb(state, &whole, codes, hashes);
                    };
                    let mut context = start;
                    fields.iter().for_each(|field| absorb(&mut context, field));
                    let mut cell = context;
                    program.child.iter().for_each(|field| absorb(&mut cell, field));
                    for i in 0..rows.len() {
                        let shard = cell.hi[i] as usize >> (32 - SHARDS.ilog2());
                        let context = join([context.lo[i], context.hi[i]]);
                        dealt[shard].push((view, context, join([cell.lo[i], cell.hi[i]])));
                    }
                }
            }
        }
        dealt
    }
}
