//! Which slots look-ups read, for the benchmark that says how many of them come from memory.

use std::sync::Mutex;

use super::BLOCK;
use super::part::{Counts, Part, Scratch};
use crate::encode::EncodedBatch;
use crate::keys::Pair;
use crate::snapshot::Snapshot;

/// A snapshot that writes down what is looked up.
struct Traced<'a> {
    snapshot: &'a Snapshot,
    slots: Mutex<Vec<u32>>,
}

impl Counts for Traced<'_> {
    fn find(&self, _bare: Pair, key: Pair) -> [u32; 2] {
        let mut slots = self.slots.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        slots.push(key[0] & self.snapshot.mask);
        self.snapshot.find(key)
    }

    fn sketched(&self) -> bool {
        self.snapshot.sketched()
    }

    fn seen(&self, _bare: Pair, cell: Pair, total: u32) -> u32 {
        self.snapshot.seen(cell, total)
    }

    fn group(&self, host: Pair) -> Pair {
        Counts::group(self.snapshot, host)
    }

    fn vocabulary(&self, view: usize) -> u32 {
        Counts::vocabulary(self.snapshot, view)
    }
}

/// The first slot of every look-up of a batch, in order.
pub(crate) fn traced(snapshot: &Snapshot, batch: &EncodedBatch) -> Vec<u32> {
    let traced = Traced { snapshot, slots: Mutex::default() };
    let (mut scratch, mut out) = (Scratch::default(), Vec::new());
    for start in (0..batch.rows).step_by(BLOCK) {
        let rows = start..batch.rows.min(start + BLOCK);
        out.resize(rows.len(), 0);
        let mut part = Part::new(&traced, snapshot.seed, batch, rows, &mut scratch);
        for (view, program) in (0..).zip(&snapshot.views) {
            part.score(view, program, &mut out);
        }
    }
    traced.slots.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
}
