//! Scoring as if one host had taught nothing (docs/model.md §4, "Held out"). Nothing is taken away beforehand: what the host
//! has is in the table, beside what others have, and follows from it but for the cells that it has alone.

use crate::count::{Alone, of_alone};
use crate::cpu::{Counts, Keys, Mask, expect, find};
use crate::keys::{FLEET, NO_GROUP, Pair, context_start, scoped};
use crate::snapshot::Snapshot;

/// A snapshot less all that one host taught.
pub(crate) struct WithoutHost<'a> {
    snapshot: &'a Snapshot,
    host: Pair,
    alone: &'a Alone,
    /// V of each view.
    vocabulary: Vec<u32>,
}

impl<'a> WithoutHost<'a> {
    /// `alone` is what compiling the snapshot said of the host.
    pub(crate) fn new(snapshot: &'a Snapshot, alone: &'a Alone, host: Pair) -> Self {
        let mut without = Self { snapshot, host, alone, vocabulary: Vec::new() };
        let vocabulary = |(view, program): (u32, &crate::ViewProgram)| {
            let empty = context_start(snapshot.seed, view, program.contexts.len() as u32 - 1);
            without.find(empty, scoped(empty, FLEET))[1]
        };
        without.vocabulary = (0..).zip(&snapshot.views).map(vocabulary).collect();
        without
    }

    /// What is left in a scope of several hosts, each of which counts once, where there was `found`: of a context its cells
    /// go, and those kinds that nobody else has; of a cell the host itself. A sketch may say that the host has a cell where
    /// it has not.
    #[inline]
    fn left(&self, bare: Pair, key: Pair, found: [u32; 2]) -> [u32; 2] {
        let own = scoped(bare, self.host);
        if found[1] == 0 {
            let has = self.snapshot.seen(own, u32::MAX) > 0;
            return [found[0].saturating_sub(u32::from(has)), 0];
        }
        match self.snapshot.find(own)[1] {
            0 => found,
            cells => {
                let alone = self.alone.get(&of_alone(key, self.host)).copied().unwrap_or(0);
                [found[0].saturating_sub(cells), found[1].saturating_sub(alone)]
            }
        }
    }
}

impl Counts for WithoutHost<'_> {
    /// The host of the rows has none, and no other host is asked for.
    fn has_hosts(&self) -> bool {
        false
    }

    fn find(&self, bare: Pair, key: Pair) -> [u32; 2] {
        match self.snapshot.find(key) {
            [0, _] => [0, 0],
            found => self.left(bare, key, found),
        }
    }

    #[inline(always)]
    fn expect_chunk(&self, bare: &Keys, keys: &Keys, asked: &Mask) {
        expect(&self.snapshot.slots, self.snapshot.mask, keys, asked);
        expect(&self.snapshot.slots, self.snapshot.mask, &bare.of_scope(self.host), asked);
    }

    #[inline(always)]
    fn find_chunk(&self, bare: &Keys, keys: &Keys, asked: &Mask, found: &mut Keys) {
        find(&self.snapshot.slots, self.snapshot.mask, keys, asked, found);
        for i in 0..asked.len() {
            if found.lo[i] > 0 {
                [found.lo[i], found.hi[i]] = self.left(bare.pair(i), keys.pair(i), found.pair(i));
            }
        }
    }

    fn sketched(&self) -> bool {
        self.snapshot.sketched()
    }

    fn seen(&self, bare: Pair, cell: Pair, total: u32) -> u32 {
        match self.snapshot.seen(cell, u32::MAX) {
            0 => 0,
            n => self.left(bare, cell, [n, 0])[0].min(total),
        }
    }

    fn group(&self, host: Pair) -> Pair {
        self.snapshot.group(host).unwrap_or(NO_GROUP)
    }

    fn vocabulary(&self, view: usize) -> u32 {
        self.vocabulary[view]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Lens;
    use crate::compile::{Group, Options, compile_sources, compile_with, sources};
    use crate::cpu::{Part, Scratch};
    use crate::keys::{join, pair};
    use crate::segment::Segment;
    use crate::snapshot::Calibration;
    use crate::testing::{self, Plan, Rng};

    const DAY_NS: i64 = 86_400_000_000_000;

    fn snapshot(lens: &Lens, compiled: crate::compile::Compiled) -> Snapshot {
        Snapshot::of(lens.clone(), &testing::key(), compiled, Calibration::identity(lens.views().len())).unwrap()
    }

    fn options(rng: &mut Rng) -> Options {
        let group = |n: u32| (format!("value {n}"), Group { name: format!("g{}", n % 2), why: String::new() });
        Options {
            half_life_days: Some(1 + rng.below(4)).filter(|h| *h < 4),
            as_of: Some(11),
            max_entries: None,
            groups: (1..1 + rng.below(6)).map(group).collect(),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// Every count of every scope that a row can ask for, and the surprisals of all rows, are those of a table that
        /// never had the host.
        #[test]
        fn nothing_is_left_of_the_host(seed: u64, rows in 1usize..500) {
            let mut rng = Rng(seed);
            let plan = Plan { fields: 3, views: 4, hosts: 6, values: 9, ..Plan::default() };
            let lens = testing::lens(&plan, &mut rng);
            let mut batch = testing::batch(&plan, rows, 0, &mut rng);
            batch.time.iter_mut().for_each(|time| *time = i64::from(rng.below(12)) * DAY_NS);
            let (key, options) = (testing::key(), options(&mut rng));
            let segments = testing::segments(&lens, &key, &batch);
            let mut of = sources(&key, &segments, &options);
            of.iter_mut().for_each(|source| source.is_asked = true);
            let (compiled, alone) = compile_sources(&of, &options);
            let whole = snapshot(&lens, compiled);
            for host in segments.iter().map(|s| &s.host).collect::<std::collections::BTreeSet<_>>() {
                let others: Vec<&Segment> = segments.iter().filter(|s| s.host != *host).collect();
                let rest = snapshot(&lens, compile_with(&key, others, &options));
                let scope = key.value(host.as_deref());
                let without = WithoutHost::new(&whole, &alone, scope);
                for (context, cell, _) in segments.iter().flat_map(Segment::iter) {
                    for shared in [Some(FLEET), whole.group(scope)].into_iter().flatten() {
                        for bare in [pair(context), pair(cell)] {
                            let key = scoped(bare, shared);
                            prop_assert_eq!(without.find(bare, key), rest.find(key));
                        }
                    }
                }
                for (view, program) in rest.views.iter().enumerate() {
                    prop_assert_eq!(without.vocabulary[view], program.vocabulary);
                    let of_host: Vec<usize> = (0..batch.rows).filter(|row| join(batch.host.hash(*row)) == join(scope)).collect();
                    for row in of_host {
                        let (mut got, mut want, mut scratch) = ([0], [0], Scratch::default());
                        Part::new(&without, whole.seed, &batch, row..row + 1, &mut scratch).score(view as u32, program, &mut got);
                        Part::new(&rest, rest.seed, &batch, row..row + 1, &mut scratch).score(view as u32, program, &mut want);
                        prop_assert_eq!(got, want);
                    }
                }
            }
        }
    }
}
