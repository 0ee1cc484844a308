//! Scoring as if some rows of the learning data were absent (docs/model.md §4, "Held out").

use std::collections::BTreeMap;

use crate::compile::{Options, sources};
use crate::count::{Source, merge};
use crate::cpu::Counts;
use crate::decay::decayed;
use crate::encode::EncodedBatch;
use crate::keys::{FLEET, HashKey, Pair, PairMap, context_start, join, pair, scoped};
use crate::segment::{Cell, Segment, Ticks, day_of, for_each_cell};
use crate::snapshot::Snapshot;

/// A snapshot less the contribution of some of the rows it was made from.
pub struct HeldOut<'a> {
    snapshot: &'a Snapshot,
    /// By scoped key, what to take from a slot's third and fourth word.
    less: PairMap<[u32; 2]>,
    /// V of each view.
    vocabulary: Vec<u32>,
}

/// What a snapshot was compiled from, by host and day: what its rows still weigh follows from that.
pub struct Learned<'a>(PairMap<Vec<Source<'a>>>);

impl<'a> Learned<'a> {
    /// The segments of one lens, and the options.
    pub fn new(key: &HashKey, segments: impl IntoIterator<Item = &'a Segment>, options: &Options) -> Self {
        let mut by_host: PairMap<Vec<Source<'a>>> = PairMap::default();
        for source in sources(key, segments, options) {
            by_host.entry(join(source.host)).or_default().push(source);
        }
        Self(by_host)
    }

    /// What the compiled table has less of a host without these cells of one day: with decay n rows of m are worth what m
    /// are less what m − n are.
    fn worth(&self, host: Pair, day: i32, cells: Vec<Cell>) -> Vec<Cell> {
        let sources = self.0.get(&join(host)).map(Vec::as_slice).unwrap_or_default();
        let of_day = || sources.iter().filter(|source| source.segment.day == day);
        let worth = |(context, cell, n): Cell| {
            // Of several segments of a day the first that has as many: they cannot be told apart.
            let counted = |source: &&Source<'_>| source.segment.count(context, cell);
            let source = of_day().find(|s| counted(s) >= n).or_else(|| of_day().max_by_key(counted))?;
            let all = counted(&source);
            let less = decayed(all, source.weight) - decayed(all.saturating_sub(n), source.weight);
            (less > 0).then_some((context, cell, less))
        };
        cells.into_iter().filter_map(worth).collect()
    }
}

impl Counts for HeldOut<'_> {
    #[inline]
    fn find(&self, _bare: Pair, key: Pair) -> [u32; 2] {
        HeldOut::find(self, key)
    }

    fn sketched(&self) -> bool {
        self.snapshot.sketched()
    }

    fn seen(&self, _bare: Pair, cell: Pair, total: u32) -> u32 {
        HeldOut::seen(self, cell, total)
    }

    fn group(&self, host: Pair) -> Pair {
        Counts::group(self.snapshot, host)
    }

    fn vocabulary(&self, view: usize) -> u32 {
        self.vocabulary[view]
    }
}

impl<'a> HeldOut<'a> {
    /// The snapshot without the given rows of `batch`, all of which `learned` has counted: the segments and options that it
    /// was compiled from. Where cells count once a tick, all ticks in which the rows have a cell are taken away, also those
    /// in which other rows have it.
    pub fn rows(
        snapshot: &'a Snapshot,
        learned: &Learned<'_>,
        batch: &EncodedBatch,
        rows: std::ops::Range<u32>,
    ) -> Self {
        let mut held_out = Self::nothing(snapshot);
        let place = |row: u32| (batch.host.codes[row as usize], day_of(batch.time[row as usize]));
        let mut places: Vec<(u32, i32)> = rows.clone().map(place).collect();
        places.sort_unstable();
        places.dedup();
        for (view, program) in snapshot.views.iter().enumerate() {
            // One view at a time: a busy unit has many cells.
            let mut cells: Vec<Vec<Cell>> = vec![Vec::new(); places.len()];
            let mut ticks: Vec<Ticks> = places.iter().filter_map(|_| Ticks::of(&snapshot.lens)).collect();
            for_each_cell(program, snapshot.seed, view as u32, batch, rows.clone(), |row, context, cell| {
                let at = places.partition_point(|p| *p < place(row));
                if ticks.get_mut(at).is_some_and(|ticks| !ticks.admit(cell, batch.time[row as usize])) {
                    return;
                }
                cells[at].push((context, cell, 1));
            });
            let mut of_hosts: BTreeMap<Pair, Vec<Cell>> = BTreeMap::new();
            for ((code, day), cells) in places.iter().zip(cells) {
                let host = batch.host.hashes[*code as usize];
                of_hosts.entry(host).or_default().extend(learned.worth(host, *day, merge(cells)));
            }
            held_out.take(of_hosts.into_iter().map(|(host, cells)| (host, merge(cells))).collect());
        }
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

    /// n of a cell in a context of which `total` remains.
    #[inline]
    pub fn seen(&self, cell: Pair, total: u32) -> u32 {
        let less = self.less.get(&join(cell)).map_or(0, |less| less[0]);
        self.snapshot.seen(cell, u32::MAX).saturating_sub(less).min(total)
    }

    fn nothing(snapshot: &'a Snapshot) -> Self {
        Self { snapshot, less: PairMap::default(), vocabulary: Vec::new() }
    }

    /// Takes away each host's merged cells, which are all there is to take of their contexts.
    fn take(&mut self, hosts: Vec<(Pair, Vec<Cell>)>) {
        let (mut fleet, mut groups) = (Vec::new(), BTreeMap::<Pair, Vec<Cell>>::new());
        for (host, cells) in hosts {
            let lost = self.take_scope(&cells, host);
            let once = lost.into_iter().map(|(context, cell, _)| (context, cell, 1));
            if let Some(group) = self.snapshot.group(host) {
                groups.entry(group).or_default().extend(once.clone());
            }
            fleet.extend(once);
        }
        for (group, cells) in groups {
            self.take_scope(&merge(cells), group);
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
                if self.snapshot.seen(key, u32::MAX) <= n {
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
    use crate::compile::{Group, compile_with};
    use crate::testing::{self, Plan, Rng};
    use crate::{Calibration, Lens};

    const DAY_NS: i64 = 86_400_000_000_000;

    /// Some hosts in groups, no decay.
    fn grouped() -> Options {
        let group =
            |n: u32| (format!("value {n}"), Group { name: ["web", "db"][n as usize % 2].into(), why: "".into() });
        Options { groups: [1, 2, 3, 5].map(group).into(), ..Options::default() }
    }

    fn learned(lens: &Lens, options: &Options, segments: &[Segment]) -> Snapshot {
        let compiled = compile_with(&testing::key(), segments, options);
        Snapshot::of(lens.clone(), &testing::key(), compiled, Calibration::identity(lens.views().len())).unwrap()
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
            let plan = Plan { learned: 400, hosts: 7, ..Plan::default() };
            let mut rng = Rng(seed);
            let lens = testing::lens(&plan, &mut rng);
            let batch = testing::batch(&plan, plan.learned, 0, &mut rng);
            let cut = rng.below(400) as usize;
            let (key, options) = (testing::key(), if seed % 2 == 0 { grouped() } else { Options::default() });
            let segments = testing::segments(&lens, &key, &batch);
            let whole = learned(&lens, &options, &segments);
            let rest = learned(&lens, &options, &testing::segments(&lens, &key, &only(&batch, cut..400)));
            let from = Learned::new(&key, &segments, &options);
            assert_equal(&HeldOut::rows(&whole, &from, &batch, 0..cut as u32), &whole, &rest);
        }
    }

    #[test]
    fn so_it_does_with_decay() {
        for seed in 0..8 {
            let plan = Plan { learned: 600, hosts: 6, ..Plan::default() };
            let mut rng = Rng(seed);
            let lens = testing::lens(&plan, &mut rng);
            let mut batch = testing::batch(&plan, plan.learned, 0, &mut rng);
            batch.time.iter_mut().for_each(|time| *time = i64::from(rng.below(12)) * DAY_NS);
            let (key, cut) = (testing::key(), 1 + rng.below(599) as usize);
            let options = Options { half_life_days: Some(1 + rng.below(3)), as_of: Some(11), ..grouped() };
            let segments = testing::segments(&lens, &key, &batch);
            let left = testing::segments(&lens, &key, &only(&batch, cut..600));
            let (whole, rest) = (learned(&lens, &options, &segments), learned(&lens, &options, &left));
            let from = Learned::new(&key, &segments, &options);
            assert_equal(&HeldOut::rows(&whole, &from, &batch, 0..cut as u32), &whole, &rest);
        }
    }

    #[test]
    fn holding_out_everything_leaves_nothing() {
        let plan = Plan::default();
        let mut rng = Rng(9);
        let lens = testing::lens(&plan, &mut rng);
        let batch = testing::batch(&plan, 500, 0, &mut rng);
        let (key, options) = (testing::key(), grouped());
        let segments = testing::segments(&lens, &key, &batch);
        let (whole, nothing) = (learned(&lens, &options, &segments), learned(&lens, &options, &[]));
        let from = Learned::new(&key, &segments, &options);
        assert_equal(&HeldOut::rows(&whole, &from, &batch, 0..500), &whole, &nothing);
    }
}
