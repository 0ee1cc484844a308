//! Which values the rows of each host and day showed, so that words are forgotten with them.

use std::collections::{BTreeMap, BTreeSet};

use crate::baseline::{Shown, Words};
use crate::encode::{Codes, EncodedBatch};
use crate::keys::join;
use crate::values::ValueCollector;

/// Most values that are kept of one segment: those with the smallest hashes.
const MAX_SHOWN: usize = 1 << 16;

/// Collects the values of one table after the other.
#[derive(Debug, Default)]
pub(crate) struct WordCollector {
    values: ValueCollector,
    open: BTreeMap<(Option<String>, i32), Hashes>,
    closed: BTreeMap<String, Hashes>,
}

/// Hashes of values, the smallest if there are too many.
#[derive(Debug, Default)]
struct Hashes {
    hashes: BTreeSet<u64>,
    cut: bool,
}

impl Hashes {
    fn add(&mut self, hash: u64) {
        if self.hashes.len() >= MAX_SHOWN && !self.hashes.contains(&hash) {
            self.cut = true;
            if self.hashes.last().is_none_or(|last| hash > *last) {
                return;
            }
            self.hashes.pop_last();
        }
        self.hashes.insert(hash);
    }
}

impl WordCollector {
    /// Adds what rows of one host and day show.
    pub(crate) fn add(&mut self, (host, day): (Option<&str>, i32), batch: &EncodedBatch, rows: &[u32]) {
        let open = self.open.entry((host.map(str::to_owned), day)).or_default();
        for codes in batch.fields.iter().chain([&batch.host]) {
            let used = used(codes, rows);
            self.values.add(codes, &used);
            let shown = codes.hashes.iter().zip(codes.values.iter()).zip(&used);
            shown
                .filter(|((_, value), used)| **used && value.is_some())
                .for_each(|((hash, _), _)| open.add(join(*hash)));
        }
    }

    /// The segment of a host and day is finished and has this id.
    pub(crate) fn closed(&mut self, place: (Option<String>, i32), segment: &str) {
        let hashes = self.open.remove(&place).unwrap_or_default();
        self.closed.insert(segment.to_owned(), hashes);
    }

    pub(crate) fn finish(self) -> Words {
        let values = self.values.finish();
        let shown = |hashes: Hashes| {
            let place = |hash: &u64| values.binary_search_by_key(hash, |v| join(v.0)).ok().map(|at| at as u32);
            let found: Vec<u32> = hashes.hashes.iter().filter_map(place).collect();
            Shown { complete: !hashes.cut && found.len() == hashes.hashes.len(), values: found }
        };
        let shown = self.closed.into_iter().map(|(id, hashes)| (id, shown(hashes))).collect();
        Words { values, shown }
    }
}

/// Which of the values rows have.
fn used(codes: &Codes, rows: &[u32]) -> Vec<bool> {
    let mut used = vec![false; codes.hashes.len()];
    rows.iter().for_each(|row| used[codes.codes[*row as usize] as usize] = true);
    used
}
