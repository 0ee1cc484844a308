//! What differs between two baselines, in words, view by view (docs/model.md §3). Counts are those of the segments, unweighted.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use crate::baseline::Baseline;
use crate::keys::{Pair, absorb, context_start, join, pair};
use crate::lens::View;
use crate::normal::{Seen, cells, of_table, values_in_words};
use crate::ops::{OpsError, comparable};
use crate::reading::{MAX_READ_WIDTH, Reader};
use crate::segment::Segment;
use crate::snapshot::Snapshot;

/// Most contexts of one view that are tried.
const MAX_CONTEXTS_TRIED: usize = 4_000_000;

/// Something that is counted otherwise in one baseline than in another.
#[derive(Debug, Clone)]
pub struct Change {
    /// `parent_exe=/usr/sbin/nginx`; empty for the empty context.
    pub context: String,
    /// `exe=/usr/bin/curl`.
    pub child: String,
    /// In the first, and in all of its context there.
    pub before: Seen,
    /// The same in rows.
    pub rows_before: u64,
    /// In the second, and in all of its context there.
    pub after: Seen,
    /// The same in rows.
    pub rows_after: u64,
}

impl Change {
    /// The share of its context's rows, before and after.
    pub fn shares(&self) -> [f64; 2] {
        let share = |rows: u64, all: u64| if all == 0 { 0.0 } else { rows as f64 / all as f64 };
        [share(self.before.rows, self.rows_before), share(self.after.rows, self.rows_after)]
    }

    fn difference(&self) -> f64 {
        let [before, after] = self.shares();
        (after - before).abs()
    }
}

/// What differs in one view.
#[derive(Debug, Clone)]
pub struct ViewDiff {
    /// The table.
    pub table: String,
    /// The view.
    pub view: String,
    /// Seen in the second only, most rows first.
    pub came: Vec<Change>,
    /// Seen in the first only, most rows first.
    pub went: Vec<Change>,
    /// Seen in both; the greatest change of their share first.
    pub changed: Vec<Change>,
    /// What is not in either dictionary.
    pub unknown: usize,
}

/// What differs between two baselines, view by view: at the empty context, and at the coarsest other one, where a child is
/// left out that the view has or lacks altogether.
pub fn diff(first: &Baseline, second: &Baseline) -> Result<Vec<ViewDiff>, OpsError> {
    comparable(first, second)?;
    let mut all = Vec::new();
    let tables: BTreeSet<&str> = [first, second].iter().flat_map(|b| b.snapshots()).map(|s| s.lens.table()).collect();
    for table in tables {
        let Some(snapshot) = first.snapshot(table).or_else(|| second.snapshot(table)) else { continue };
        let sides = [first, second].map(|baseline| of_table(baseline, &snapshot, |_| true));
        let words = vec![&first.parts().words, &second.parts().words];
        let mut both = Sides { snapshot: &snapshot, sides, reader: Reader::new(first.hash_key(), words) };
        // Views without context come first: what they read, contexts are searched with.
        let readable = |view: &View| view.child.len() <= MAX_READ_WIDTH;
        let numbers: Vec<usize> =
            (0..snapshot.views.len()).filter(|view| readable(&snapshot.lens.views()[*view])).collect();
        let mut diffs: Vec<(ViewDiff, Known)> = numbers.iter().map(|view| both.at_empty(*view)).collect();
        let keys: HashSet<u64> = both.sides.iter().flatten().flat_map(|s| s.contexts()).map(join).collect();
        for (view, (diff, known)) in numbers.iter().zip(&mut diffs) {
            both.at_coarsest(*view, &keys, diff, known);
            sort(diff);
        }
        all.extend(diffs.into_iter().map(|(diff, _)| diff));
    }
    Ok(all)
}

fn sort(diff: &mut ViewDiff) {
    let words = |change: &Change| (change.context.clone(), change.child.clone());
    diff.came.sort_by_cached_key(|c| (std::cmp::Reverse(c.after.rows), words(c)));
    diff.went.sort_by_cached_key(|c| (std::cmp::Reverse(c.before.rows), words(c)));
    diff.changed.sort_by(|a, b| b.difference().total_cmp(&a.difference()).then_with(|| words(a).cmp(&words(b))));
}

/// The children of the empty context that only one side has.
type Known = HashSet<Vec<Pair>>;

/// One table of two baselines.
struct Sides<'a> {
    snapshot: &'a Snapshot,
    sides: [Vec<&'a Segment>; 2],
    reader: Reader<'a>,
}

impl Sides<'_> {
    fn at_empty(&mut self, view: usize) -> (ViewDiff, Known) {
        let lens_view = &self.snapshot.lens.views()[view];
        let mut diff = ViewDiff {
            table: self.snapshot.lens.table().to_owned(),
            view: lens_view.name.clone(),
            came: Vec::new(),
            went: Vec::new(),
            changed: Vec::new(),
            unknown: 0,
        };
        let mut one_sided = Known::new();
        let context = context_start(self.snapshot.seed, view as u32, lens_view.contexts.len() as u32 - 1);
        self.compare(view, context, "", &mut diff, &mut |values, sides| {
            if sides.contains(&0) {
                one_sided.insert(values.to_vec());
            }
            true
        });
        (diff, one_sided)
    }

    fn at_coarsest(&mut self, view: usize, keys: &HashSet<u64>, diff: &mut ViewDiff, one_sided: &Known) {
        let contexts = &self.snapshot.lens.views()[view].contexts;
        let Some(at) = contexts.len().checked_sub(2) else { return };
        let fields = contexts[at].clone();
        let mut tried = vec![(context_start(self.snapshot.seed, view as u32, at as u32), Vec::new())];
        for field in &fields {
            let known = self.reader.known(*field);
            if tried.len().saturating_mul(known.len()) > MAX_CONTEXTS_TRIED {
                return;
            }
            let longer = |(state, values): &(Pair, Vec<Pair>)| {
                let (state, values) = (*state, values.clone());
                known.iter().map(move |v| (absorb(state, *v), [values.as_slice(), &[*v]].concat())).collect::<Vec<_>>()
            };
            tried = tried.iter().flat_map(longer).collect();
        }
        for (context, values) in tried.into_iter().filter(|(context, _)| keys.contains(&join(*context))) {
            let words = values_in_words(self.snapshot, &self.reader, &fields, &values);
            self.compare(view, context, &words, diff, &mut |values, _| !one_sided.contains(values));
        }
    }

    /// Enters the cells of a context that `wanted` allows. Of a context that only one side has, nothing is entered: it
    /// is a child of other views.
    fn compare(
        &mut self,
        view: usize,
        context: Pair,
        words: &str,
        diff: &mut ViewDiff,
        wanted: &mut dyn FnMut(&[Pair], [u64; 2]) -> bool,
    ) {
        let [(before, all_before), (after, all_after)] = [0, 1].map(|side: usize| cells(&self.sides[side], context));
        if !words.is_empty() && (before.is_empty() || after.is_empty()) {
            return;
        }
        let child = &self.snapshot.lens.views()[view].child;
        for cell in before.keys().chain(after.keys().filter(|cell| !before.contains_key(*cell))) {
            let of = |side: &BTreeMap<u64, Seen>| side.get(cell).copied().unwrap_or_default();
            let (before, after) = (of(&before), of(&after));
            let Some(values) = self.reader.read(context, child, pair(*cell)) else {
                diff.unknown += usize::from(before.rows == 0 || after.rows == 0);
                continue;
            };
            if !wanted(&values, [before.rows, after.rows]) {
                continue;
            }
            let change = Change {
                context: words.to_owned(),
                child: values_in_words(self.snapshot, &self.reader, child, &values),
                before,
                rows_before: all_before.rows,
                after,
                rows_after: all_after.rows,
            };
            match (before.rows, after.rows) {
                (0, _) => diff.came.push(change),
                (_, 0) => diff.went.push(change),
                _ => diff.changed.push(change),
            }
        }
    }
}
