//! From segments to the table that is scored with: a pure function of their set (docs/model.md §3).

use std::collections::BTreeMap;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::keys::{FLEET, HashKey, Pair, pair, scoped};
use crate::pod;
use crate::segment::{Cell, Segment};
use crate::snapshot::lay_out;

/// What compiling is told beside the segments. The default counts all of them in full.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// The day, counted from 1970, from which the age of a segment is measured; the newest of the set if `None`.
    pub as_of: Option<i32>,
    /// Days in which what was counted loses half of its weight; none is lost if `None`.
    pub half_life_days: Option<u32>,
    /// Most entries of a table; `None` for the default.
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
    /// The peer group of each host that has one.
    pub groups: BTreeMap<String, Group>,
}

/// The table of a set of segments of one lens, and its groups; a segment named twice counts once.
pub fn compile_with<'a>(key: &HashKey, segments: impl IntoIterator<Item = &'a Segment>, options: &Options) -> Compiled {
    let _ = options;
    Compiled { slots: compile(key, segments), groups: BTreeMap::new() }
}

/// The table of a set of segments of one lens; a segment named twice counts once.
pub fn compile<'a>(key: &HashKey, segments: impl IntoIterator<Item = &'a Segment>) -> Vec<[u32; 4]> {
    let by_id: BTreeMap<&str, &Segment> = segments.into_iter().map(|s| (s.id.as_str(), s)).collect();
    let mut by_host: BTreeMap<Option<&str>, Vec<&Segment>> = BTreeMap::new();
    for segment in by_id.into_values() {
        by_host.entry(segment.host.as_deref()).or_default().push(segment);
    }
    let mut entries = Vec::new();
    let mut fleet: Vec<Cell> = Vec::new();
    for (host, segments) in by_host {
        let cells = merge(segments.iter().flat_map(|s| s.iter()).collect());
        emit(&cells, key.value(host), &mut entries);
        fleet.extend(cells.into_iter().map(|(context, cell, _)| (context, cell, 1)));
    }
    emit(&merge(fleet), FLEET, &mut entries);
    lay_out(entries)
}

/// Sorts cells and adds up those that are equal.
pub(crate) fn merge(mut cells: Vec<Cell>) -> Vec<Cell> {
    cells.par_sort_unstable();
    cells.dedup_by(|next, kept| {
        let same = next.0 == kept.0 && next.1 == kept.1;
        if same {
            kept.2 = kept.2.saturating_add(next.2);
        }
        same
    });
    cells
}

/// Appends the slots of sorted, distinct cells and of their contexts in one scope.
fn emit(cells: &[Cell], scope: Pair, entries: &mut Vec<[u32; 4]>) {
    for of_context in cells.chunk_by(|a, b| a.0 == b.0) {
        let total = of_context.iter().fold(0u32, |sum, c| sum.saturating_add(c.2));
        let kinds = u32::try_from(of_context.len()).unwrap_or(u32::MAX);
        let [low, high] = scoped(pair(of_context[0].0), scope);
        entries.push([low, high, total, kinds]);
        for (_, cell, n) in of_context {
            let [low, high] = scoped(pair(*cell), scope);
            entries.push([low, high, *n, 0]);
        }
    }
}
