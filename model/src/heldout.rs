//! Scoring as if part of the learning data were absent (docs/model.md §4, "Held out").

use crate::compile::merge;
use crate::cpu::Counts;
use crate::encode::EncodedBatch;
use crate::keys::{FLEET, HashKey, Pair, PairMap, context_start, join, pair, scoped};
use crate::segment::{Cell, Segment, for_each_cell};
use crate::snapshot::Snapshot;

/// A snapshot less the contribution of some of the rows it was made from.
pub struct HeldOut<'a> {
    snapshot: &'a Snapshot,
    /// By scoped key, what to take from a slot's third and fourth word.
    less: PairMap<[u32; 2]>,
    /// V of each view.
    vocabulary: Vec<u32>,
}

impl Counts for HeldOut<'_> {
    #[inline]
    fn find(&self, key: Pair) -> [u32; 2] {
        HeldOut::find(self, key)
    }

    fn group(&self, host: Pair) -> Pair {
        Counts::group(self.snapshot, host)
    }

    fn vocabulary(&self, view: usize) -> u32 {
        self.vocabulary[view]
    }
}

impl<'a> HeldOut<'a> {
    /// The snapshot without the given rows of `batch`, all of which it has counted.
    pub fn rows(snapshot: &'a Snapshot, batch: &EncodedBatch, rows: std::ops::Range<u32>) -> Self {
        let mut held_out = Self::nothing(snapshot);
        let mut hosts: Vec<u32> = batch.host.codes[rows.start as usize..rows.end as usize].to_vec();
        hosts.sort_unstable();
        hosts.dedup();
        for (view, program) in snapshot.views.iter().enumerate() {
            // One view at a time: a busy unit has many cells.
            let mut cells: Vec<Vec<Cell>> = vec![Vec::new(); hosts.len()];
            for_each_cell(program, snapshot.seed, view as u32, batch, rows.clone(), |row, context, cell| {
                let host = hosts.partition_point(|h| *h < batch.host.codes[row as usize]);
                cells[host].push((context, cell, 1));
            });
            let of_host = hosts.iter().zip(cells).map(|(h, cells)| (batch.host.hashes[*h as usize], merge(cells)));
            held_out.take(of_host.collect());
        }
        held_out.finish()
    }

    /// The snapshot without the given segments, all of which it was compiled from.
    pub fn segments(snapshot: &'a Snapshot, key: &HashKey, segments: &[&Segment]) -> Self {
        let mut by_host = std::collections::BTreeMap::<Option<&str>, Vec<Cell>>::new();
        for segment in segments {
            by_host.entry(segment.host.as_deref()).or_default().extend(segment.iter());
        }
        let mut held_out = Self::nothing(snapshot);
        held_out.take(by_host.into_iter().map(|(host, cells)| (key.value(host), merge(cells))).collect());
        held_out.finish()
    }

    /// (N, T) of a context, (n, 0) of a cell, of what remains; zeros if nothing does.
    #[inline]
    pub fn find(&self, key: Pair) -> [u32; 2] {
        let [count, kinds] = self.snapshot.find(key);
        match self.less.get(&join(key)) {
            Some(less) => [count.saturating_sub(less[0]), kinds.saturating_sub(less[1])],
            None => [count, kinds],
        }
    }

    fn nothing(snapshot: &'a Snapshot) -> Self {
        Self { snapshot, less: PairMap::default(), vocabulary: Vec::new() }
    }

    /// Takes away each host's merged cells, which are all there is to take of their contexts.
    fn take(&mut self, hosts: Vec<(Pair, Vec<Cell>)>) {
        let mut fleet: Vec<Cell> = Vec::new();
        for (host, cells) in hosts {
            let lost = self.take_scope(&cells, host);
            fleet.extend(lost.into_iter().map(|(context, cell, _)| (context, cell, 1)));
        }
        self.take_scope(&merge(fleet), FLEET);
    }

    /// Takes cells away in one scope; returns those of which nothing is left there.
    fn take_scope(&mut self, cells: &[Cell], scope: Pair) -> Vec<Cell> {
        let mut lost = Vec::new();
        for of_context in cells.chunk_by(|a, b| a.0 == b.0) {
            let before = lost.len();
            let mut total = 0u32;
            for &(context, cell, n) in of_context {
                let key = scoped(pair(cell), scope);
                if self.snapshot.find(key)[0] <= n {
                    lost.push((context, cell, n));
                }
                total = total.saturating_add(n);
                self.less.insert(join(key), [n, 0]);
            }
            let key = scoped(pair(of_context[0].0), scope);
            self.less.insert(join(key), [total, (lost.len() - before) as u32]);
        }
        lost
    }

    fn finish(mut self) -> Self {
        let vocabulary = |(view, program): (usize, &crate::ViewProgram)| {
            let last = program.contexts.len() - 1;
            let empty = context_start(self.snapshot.seed, view as u32, last as u32);
            self.find(scoped(empty, FLEET))[1]
        };
        self.vocabulary = self.snapshot.views.iter().enumerate().map(vocabulary).collect();
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::compile;
    use crate::testing::{self, Plan, Rng};
    use crate::{Calibration, Lens};

    fn learned(lens: &Lens, segments: &[Segment]) -> Snapshot {
        let slots = compile(&testing::key(), segments);
        Snapshot::new(lens.clone(), &testing::key(), slots, Calibration::identity(lens.views().len())).unwrap()
    }

    /// The batch with `rows` alone.
    fn only(batch: &EncodedBatch, rows: std::ops::Range<usize>) -> EncodedBatch {
        let mut batch = batch.clone();
        batch.rows = rows.len();
        for codes in batch.fields.iter_mut().chain([&mut batch.host]) {
            codes.codes = codes.codes[rows.clone()].to_vec();
        }
        batch.class = batch.class[rows.clone()].to_vec();
        batch.time = batch.time[rows.clone()].to_vec();
        batch.units.clear();
        batch
    }

    fn assert_equal(part: &HeldOut<'_>, whole: &Snapshot, rest: &Snapshot) {
        for slot in &whole.slots {
            let key = [slot[0], slot[1]];
            let [n, kinds] = part.find(key);
            let want = rest.find(key);
            assert_eq!((n, kinds), (want[0], want[1]));
        }
        let vocabulary: Vec<u32> = rest.views.iter().map(|v| v.vocabulary).collect();
        assert_eq!(part.vocabulary, vocabulary);
    }

    #[test]
    fn holding_out_equals_never_having_learned() {
        for seed in 0..6 {
            let plan = Plan { learned: 400, ..Plan::default() };
            let mut rng = Rng(seed);
            let lens = testing::lens(&plan, &mut rng);
            let batch = testing::batch(&plan, plan.learned, 0, &mut rng);
            let cut = rng.below(400) as usize;
            let key = testing::key();
            let whole = learned(&lens, &testing::segments(&lens, &key, &batch));
            let rest = learned(&lens, &testing::segments(&lens, &key, &only(&batch, cut..400)));
            assert_equal(&HeldOut::rows(&whole, &batch, 0..cut as u32), &whole, &rest);
        }
    }

    #[test]
    fn holding_out_everything_leaves_nothing() {
        let plan = Plan::default();
        let mut rng = Rng(9);
        let lens = testing::lens(&plan, &mut rng);
        let batch = testing::batch(&plan, 500, 0, &mut rng);
        let segments = testing::segments(&lens, &testing::key(), &batch);
        let (whole, nothing) = (learned(&lens, &segments), learned(&lens, &[]));
        let all: Vec<&Segment> = segments.iter().collect();
        assert_equal(&HeldOut::segments(&whole, &testing::key(), &all), &whole, &nothing);
        assert_equal(&HeldOut::segments(&whole, &testing::key(), &all[1..]), &whole, &learned(&lens, &segments[..1]));
        assert_equal(&HeldOut::rows(&whole, &batch, 0..500), &whole, &nothing);
    }
}
