//! From segments to the table that is scored with: a pure function of their set (docs/model.md §3).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::count::{Alone, Counted, PART_CELLS, Source, for_each_part};
use crate::decay::{FULL, weight};
use crate::keys::{HashKey, PairMap, join, pair};
use crate::layout::Layout;
use crate::segment::Segment;
use crate::{pod, sketch};

/// What compiling is told beside the segments. The default counts all of them in full.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// The day, counted from 1970, from which the age of a segment is measured; the newest of the set if `None`.
    pub as_of: Option<i32>,
    /// Days in which what was counted loses half of its weight, 1 to [`crate::decay::MAX_HALF_LIFE`]; none is lost if `None`.
    pub half_life_days: Option<u32>,
    /// Most entries of a table; [`MAX_ENTRIES`] if `None`. The cells counted least go first, into a sketch.
    pub max_entries: Option<u64>,
    /// The peer group of each host, as given by whoever runs the hosts.
    pub groups: BTreeMap<String, Group>,
}

/// A host's peer group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Why the host is in it, in words.
    pub why: String,
}

/// What compiling makes of the segments of one lens.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compiled {
    /// [`crate::Snapshot::slots`].
    #[serde(with = "pod")]
    pub slots: Vec<[u32; 4]>,
    /// [`crate::Snapshot::sketch`].
    #[serde(with = "pod")]
    pub sketch: Vec<u32>,
    /// The peer group of each host that has one.
    pub groups: BTreeMap<String, Group>,
}

/// Most entries of a table, contexts and cells of all scopes together, unless the options say otherwise.
pub const MAX_ENTRIES: u64 = 1 << 28;
/// The most entries that options may ask for: a table has at most 2^32 slots.
const MOST_ENTRIES: u64 = 1 << 31;
/// Up to so many cells of all segments, what is counted is kept; beyond, counted twice: 48 bytes each would not fit.
const KEPT_CELLS: usize = 1 << 21;

/// The table of a set of segments of one lens, and its groups; a segment named twice counts once.
pub fn compile_with<'a>(key: &HashKey, segments: impl IntoIterator<Item = &'a Segment>, options: &Options) -> Compiled {
    compile_sources(&sources(key, segments, options), options).0
}

/// The table of a set of segments of one lens, all of which count in full.
pub fn compile<'a>(key: &HashKey, segments: impl IntoIterator<Item = &'a Segment>) -> Vec<[u32; 4]> {
    compile_with(key, segments, &Options::default()).slots
}

/// The table of what counts, and what hosts that are asked for have alone.
pub(crate) fn compile_sources(sources: &[Source<'_>], options: &Options) -> (Compiled, Alone) {
    compile_in_parts(sources, options, PART_CELLS, KEPT_CELLS)
}

fn compile_in_parts(
    sources: &[Source<'_>],
    options: &Options,
    part_cells: usize,
    kept_cells: usize,
) -> (Compiled, Alone) {
    let all: usize = sources.iter().map(|s| s.segment.cells()).sum();
    let mut sizes = Sizes::new(options.max_entries.unwrap_or(MAX_ENTRIES).min(MOST_ENTRIES), all);
    let mut kept = Vec::new();
    for_each_part(sources, part_cells, &mut |mut part| {
        sizes.add(&mut part);
        if all <= kept_cells {
            kept.push(part);
        }
    });
    let alone = std::mem::take(&mut sizes.alone);
    let mut table = Filling::new(sizes);
    if all <= kept_cells {
        kept.iter().for_each(|part| table.add(part));
    } else {
        for_each_part(sources, part_cells, &mut |part| table.add(&part));
    }
    (table.finish(options.groups.clone()), alone)
}

/// The segments that count, each once, a host's after each other, with the weight of their days.
pub(crate) fn sources<'a>(
    key: &HashKey,
    segments: impl IntoIterator<Item = &'a Segment>,
    options: &Options,
) -> Vec<Source<'a>> {
    let by_id: BTreeMap<&str, &Segment> = segments.into_iter().map(|s| (s.id.as_str(), s)).collect();
    let as_of = options.as_of.or(by_id.values().map(|s| s.day).max()).unwrap_or(0);
    let mut segments: Vec<&Segment> = by_id.into_values().collect();
    segments.sort_by_key(|s| s.host.as_deref()); // stable: by id within a host
    let source = |segment: &'a Segment| {
        // What is newer than `as_of` counts in full: a clock that is ahead must not make anything vanish.
        let age = (i64::from(as_of) - i64::from(segment.day)).clamp(0, i64::from(u32::MAX)) as u32;
        let group = segment.host.as_ref().and_then(|host| options.groups.get(host));
        Source {
            segment,
            host: key.value(segment.host.as_deref()),
            group: group.map(|group| key.group(&group.name)),
            weight: options.half_life_days.map_or(FULL, |half_life| weight(age, half_life)),
            is_asked: false,
        }
    };
    segments.into_iter().map(source).filter(|s| s.weight > 0).collect()
}

/// The ranks of cells, of which the lowest go when there are too many: by count, and for equal counts by the key's
/// highest bits.
const RANKS: usize = 1 << 22;

fn rank(cell: &[u32; 4]) -> usize {
    (cell[2].min(1023) << 12 | cell[1] >> 20) as usize
}

/// How much there is to enter.
struct Sizes {
    max_entries: u64,
    contexts: u64,
    cells: u64,
    /// N and T of the contexts that lie in several parts, by scoped key.
    cut: PairMap<[u32; 2]>,
    /// Cells by rank; empty if all fit for certain.
    ranks: Vec<u64>,
    alone: Alone,
}

impl Sizes {
    fn new(max_entries: u64, cells: usize) -> Self {
        // A cell of a segment makes at most a context and a cell in each of three scopes.
        let ranks = if cells as u64 * 6 > max_entries { vec![0; RANKS] } else { Vec::new() };
        Self { max_entries, contexts: 0, cells: 0, cut: PairMap::default(), ranks, alone: Alone::default() }
    }

    fn add(&mut self, part: &mut Counted) {
        self.contexts += part.contexts.len() as u64;
        self.cells += part.cells.len() as u64;
        for [low, high, total, kinds] in &part.cut {
            let sum = self.cut.entry(join([*low, *high])).or_default();
            *sum = [sum[0].saturating_add(*total), sum[1].saturating_add(*kinds)];
        }
        if !self.ranks.is_empty() {
            part.cells.iter().for_each(|cell| self.ranks[rank(cell)] += 1);
        }
        if self.alone.is_empty() {
            self.alone = std::mem::take(&mut part.alone);
        }
        for (key, cells) in part.alone.drain() {
            *self.alone.entry(key).or_default() += cells;
        }
    }

    /// The lowest rank that stays, and how many cells go.
    fn lowest_kept(&self) -> (usize, u64) {
        let room = self.max_entries.saturating_sub(self.contexts + self.cut.len() as u64);
        let (mut from, mut stay) = (self.ranks.len(), 0);
        while from > 0 && stay + self.ranks[from - 1] <= room {
            from -= 1;
            stay += self.ranks[from];
        }
        (from, if self.ranks.is_empty() { 0 } else { self.cells - stay })
    }
}

/// The table and the sketch being filled.
struct Filling {
    table: Layout,
    sketch: Vec<u32>,
    /// Cells of lower ranks go into the sketch.
    from: usize,
}

impl Filling {
    fn new(sizes: Sizes) -> Self {
        let (from, gone) = sizes.lowest_kept();
        let entries = sizes.contexts + sizes.cut.len() as u64 + sizes.cells - gone;
        let mut table = Layout::new(entries);
        for (key, [total, kinds]) in sizes.cut {
            let [low, high] = pair(key);
            table.insert([low, high, total, kinds]);
        }
        Self { table, sketch: vec![0; sketch::counters_for(gone)], from }
    }

    fn add(&mut self, part: &Counted) {
        part.contexts.iter().for_each(|context| self.table.insert(*context));
        for cell in &part.cells {
            if self.from > 0 && rank(cell) < self.from {
                sketch::enter(&mut self.sketch, [cell[0], cell[1]], cell[2]);
            } else {
                self.table.insert(*cell);
            }
        }
    }

    fn finish(self, groups: BTreeMap<String, Group>) -> Compiled {
        Compiled { slots: self.table.finish(), sketch: self.sketch, groups }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;
    use crate::decay::decayed;
    use crate::keys::{FLEET, Pair, scoped};
    use crate::snapshot::lay_out;
    use crate::testing::{self, Plan, Rng};

    fn key() -> HashKey {
        testing::key()
    }

    /// Segments of up to six hosts and twelve days, and options that decay and group.
    fn some(seed: u64, rows: usize) -> (Vec<Segment>, Options) {
        let plan = Plan { fields: 3, views: 4, hosts: 6, values: 9, ..Plan::default() };
        let mut rng = Rng(seed);
        let lens = testing::lens(&plan, &mut rng);
        let mut batch = testing::batch(&plan, rows, 0, &mut rng);
        batch.time.iter_mut().for_each(|time| *time = i64::from(rng.below(12)) * 86_400_000_000_000);
        let group = |n: u32| (format!("value {n}"), Group { name: format!("g{}", n % 2), why: String::new() });
        let options = Options {
            half_life_days: Some(1 + rng.below(4)).filter(|h| *h < 4),
            as_of: Some(8 + rng.below(9) as i32).filter(|day| *day < 14),
            max_entries: None,
            groups: (1..1 + rng.below(5)).map(group).collect(),
        };
        (testing::segments(&lens, &key(), &batch), options)
    }

    /// docs/model.md §3, word by word, with maps.
    fn plainly(segments: &[Segment], options: &Options) -> Vec<[u32; 4]> {
        let mut seen = BTreeSet::new();
        let segments: Vec<&Segment> = segments.iter().filter(|s| seen.insert(&s.id)).collect();
        let newest = segments.iter().map(|s| s.day).max().unwrap_or(0);
        let as_of = options.as_of.unwrap_or(newest);
        type Cells = BTreeMap<(u64, u64), u32>;
        let mut of_host: BTreeMap<(Pair, Option<&str>), Cells> = BTreeMap::new();
        for segment in &segments {
            let age = (as_of - segment.day).max(0) as u32;
            let weight = options.half_life_days.map_or(256, |h| weight(age, h));
            let host = (key().value(segment.host.as_deref()), segment.host.as_deref());
            for (context, cell, n) in segment.iter().filter(|_| weight > 0) {
                *of_host.entry(host).or_default().entry((context, cell)).or_default() += decayed(n, weight);
            }
        }
        let mut scopes: BTreeMap<Pair, Cells> = BTreeMap::new();
        for ((scope, host), cells) in of_host {
            let group = host.and_then(|host| options.groups.get(host)).map(|group| key().group(&group.name));
            for cell in cells.keys() {
                for scope in group.into_iter().chain([FLEET]) {
                    *scopes.entry(scope).or_default().entry(*cell).or_default() += 1;
                }
            }
            scopes.insert(scope, cells);
        }
        let mut slots = Vec::new();
        for (scope, cells) in scopes {
            let mut contexts: BTreeMap<u64, [u32; 2]> = BTreeMap::new();
            for ((context, cell), n) in cells {
                let sum = contexts.entry(context).or_default();
                *sum = [sum[0] + n, sum[1] + 1];
                let [low, high] = scoped(pair(cell), scope);
                slots.push([low, high, n, 0]);
            }
            for (context, [total, kinds]) in contexts {
                let [low, high] = scoped(pair(context), scope);
                slots.push([low, high, total, kinds]);
            }
        }
        lay_out(slots)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn equals_the_plain_way(seed: u64, rows in 0usize..400) {
            let (segments, options) = some(seed, rows);
            prop_assert_eq!(compile_with(&key(), &segments, &options).slots, plainly(&segments, &options));
        }

        #[test]
        fn order_parts_and_repetition_do_not_matter(seed: u64, swaps in proptest::collection::vec(any::<(u8, u8)>(), 1..30), part in 1usize..400) {
            let (mut segments, options) = some(seed, 300);
            let want = compile_with(&key(), &segments, &options);
            for (a, b) in swaps {
                let n = segments.len();
                segments.swap(usize::from(a) % n, usize::from(b) % n);
                segments.push(segments[usize::from(a) % n].clone());
            }
            for kept in [0, usize::MAX] {
                prop_assert_eq!(&compile_in_parts(&sources(&key(), &segments, &options), &options, part, kept).0, &want);
            }
        }

        #[test]
        fn decay_commutes_with_merge(seed: u64, at in any::<proptest::sample::Index>()) {
            // Weighted part by part and added up, or all at once: the hosts' cells come to the same.
            let (segments, options) = some(seed, 300);
            let options = Options { half_life_days: Some(2), as_of: Some(11), ..options };
            let mut sum: BTreeMap<Pair, BTreeMap<(u64, u64), u32>> = BTreeMap::new();
            let (left, right) = segments.split_at(at.index(segments.len() + 1));
            for part in [left, right] {
                for of_host in sources(&key(), part, &options).chunk_by(|a, b| a.host == b.host) {
                    for (context, cell, n) in crate::count::contributions(of_host) {
                        *sum.entry(of_host[0].host).or_default().entry((context, cell)).or_default() += n;
                    }
                }
            }
            let whole = sources(&key(), &segments, &options);
            for of_host in whole.chunk_by(|a, b| a.host == b.host) {
                let cells: BTreeMap<_, _> =
                    crate::count::contributions(of_host).into_iter().map(|(context, cell, n)| ((context, cell), n)).collect();
                prop_assert_eq!(sum.remove(&of_host[0].host).unwrap_or_default(), cells);
            }
            prop_assert!(sum.is_empty());
        }

        #[test]
        fn the_table_keeps_its_limit_and_the_sketch_never_says_too_little(seed: u64, room in 0.0f64..1.1) {
            let (segments, options) = some(seed, 400);
            let whole = compile_with(&key(), &segments, &options);
            prop_assert!(whole.sketch.is_empty());
            let used = |slots: &[[u32; 4]]| -> Vec<[u32; 4]> { slots.iter().copied().filter(|s| s[2] > 0).collect() };
            let all = used(&whole.slots);
            let contexts = all.iter().filter(|s| s[3] > 0).count();
            let max_entries = (all.len() as f64 * room) as u64;
            let small = Options { max_entries: Some(max_entries), ..options };
            for (part, kept) in [(7, 0), (PART_CELLS, KEPT_CELLS)] {
                let limited = compile_in_parts(&sources(&key(), &segments, &small), &small, part, kept).0;
                let stay = used(&limited.slots);
                prop_assert!(stay.len() as u64 <= max_entries.max(contexts as u64));
                prop_assert_eq!(stay.iter().filter(|s| s[3] > 0).count(), contexts, "contexts stay");
                let stayed: BTreeSet<[u32; 4]> = stay.iter().copied().collect();
                let (least, gone): (u32, Vec<_>) = (
                    stay.iter().filter(|s| s[3] == 0).map(|s| s[2]).min().unwrap_or(u32::MAX),
                    all.iter().filter(|s| !stayed.contains(*s)).collect(),
                );
                let most = gone.iter().map(|s| s[2]).max().unwrap_or(0);
                prop_assert!(most <= least, "those counted least go first");
                for slot in &gone {
                    let n = sketch::count(&limited.sketch, [slot[0], slot[1]]);
                    prop_assert!(slot[2] <= n && n <= most);
                }
                prop_assert_eq!(limited.sketch.len(), sketch::counters_for(gone.len() as u64));
            }
        }
    }

    #[test]
    fn what_has_decayed_is_as_if_never_learned() {
        let (segments, _) = some(5, 400);
        let options = Options { half_life_days: Some(1), as_of: Some(11), ..Options::default() };
        let young: Vec<&Segment> = segments.iter().filter(|s| 11 - s.day < 8).collect();
        assert!(young.len() < segments.len());
        assert_eq!(compile_with(&key(), &segments, &options), compile_with(&key(), young, &options));
    }
}
