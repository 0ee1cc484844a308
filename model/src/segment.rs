//! Segments: the additive counts of one host, UTC day and lens (docs/model.md §3).

use std::collections::BTreeMap;
use std::fmt::Write;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::encode::EncodedBatch;
use crate::keys::{Pair, PairMap, absorb, context_start, join, pair};
use crate::pod;
use crate::snapshot::{ViewProgram, programs};
use crate::{HashKey, Lens};

const DAY_NS: i64 = 86_400_000_000_000;

/// The UTC day, counted from 1970, of a time in ns.
pub fn day_of(time: i64) -> i32 {
    time.div_euclid(DAY_NS) as i32
}

/// How often each cell occurred on one host and day. Immutable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// First 16 hex digits of the SHA-256 of all that follows: equal counts have equal ids.
    pub id: String,
    /// The host; `None` if the table names none.
    pub host: Option<String>,
    /// Days since 1970.
    pub day: i32,
    /// The lens it was counted under.
    pub lens_digest: [u8; 32],
    /// Rows counted.
    pub rows: u64,
    /// Rows not counted, by reason.
    pub withheld: BTreeMap<String, u64>,
    /// Contexts without scope, ascending by (high, low).
    #[serde(with = "pod")]
    contexts: Vec<Pair>,
    /// Where each context's cells end.
    #[serde(with = "pod")]
    ends: Vec<u32>,
    /// Cells without scope, ascending within their context.
    #[serde(with = "pod")]
    cells: Vec<Pair>,
    /// Occurrences of each cell.
    #[serde(with = "pod")]
    counts: Vec<u32>,
}

/// A cell of a segment: its context, itself (both as numbers, without scope) and how often it occurred.
pub(crate) type Cell = (u64, u64, u32);

impl Segment {
    /// Number of distinct cells.
    pub fn cells(&self) -> usize {
        self.cells.len()
    }

    /// Every cell, ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Cell> + '_ {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let ranges = self.contexts.iter().zip(starts.zip(&self.ends));
        ranges.flat_map(move |(context, (start, end))| {
            let range = start as usize..*end as usize;
            self.cells[range.clone()].iter().zip(&self.counts[range]).map(|(cell, n)| (join(*context), join(*cell), *n))
        })
    }

    /// Whether its parts fit together: a file may hold anything.
    pub(crate) fn is_consistent(&self) -> bool {
        self.contexts.len() == self.ends.len()
            && self.cells.len() == self.counts.len()
            && self.ends.is_sorted()
            && self.ends.last().map_or(0, |e| *e as usize) == self.cells.len()
            && self.id == self.computed_id()
    }

    fn computed_id(&self) -> String {
        let mut hash = Sha256::new();
        match &self.host {
            None => hash.update([0]),
            Some(host) => {
                hash.update([1]);
                hash.update((host.len() as u64).to_le_bytes());
                hash.update(host);
            }
        }
        hash.update(self.day.to_le_bytes());
        hash.update(self.lens_digest);
        hash.update(self.rows.to_le_bytes());
        for (reason, rows) in &self.withheld {
            hash.update((reason.len() as u64).to_le_bytes());
            hash.update(reason);
            hash.update(rows.to_le_bytes());
        }
        hash.update((self.contexts.len() as u64).to_le_bytes());
        for part in
            [pod::bytes(&self.contexts), pod::bytes(&self.ends), pod::bytes(&self.cells), pod::bytes(&self.counts)]
        {
            hash.update(part);
        }
        hex_id(&hash.finalize())
    }
}

/// The first 16 hex digits of a digest.
pub(crate) fn hex_id(digest: &[u8]) -> String {
    digest.iter().take(8).fold(String::with_capacity(16), |mut hex, b| {
        let _ = write!(hex, "{b:02x}");
        hex
    })
}

/// Counts rows of one host and day under one lens.
pub struct SegmentBuilder {
    host: Option<String>,
    day: i32,
    lens_digest: [u8; 32],
    seed: Pair,
    rows: u64,
    views: Vec<ViewCounts>,
}

/// The cells of one view: cell to its context and count.
struct ViewCounts {
    program: ViewProgram,
    cells: PairMap<(u64, u32)>,
}

impl SegmentBuilder {
    /// An empty segment.
    pub fn new(lens: &Lens, key: &HashKey, host: Option<&str>, day: i32) -> Self {
        let view = |program| ViewCounts { program, cells: PairMap::default() };
        Self {
            host: host.map(str::to_owned),
            day,
            lens_digest: lens.digest(),
            seed: key.seed(&lens.digest()),
            rows: 0,
            views: programs(lens).into_iter().map(view).collect(),
        }
    }

    /// Counts the given rows of a batch, which must be of this host and day.
    pub fn add(&mut self, batch: &EncodedBatch, rows: &[u32]) {
        self.rows += rows.len() as u64;
        let seed = self.seed;
        self.views.par_iter_mut().enumerate().for_each(|(view, counts)| {
            let ViewCounts { program, cells } = counts;
            for_each_cell(program, seed, view as u32, batch, rows.iter().copied(), |_, context, cell| {
                let count = cells.entry(cell).or_insert((context, 0));
                count.1 = count.1.saturating_add(1);
            });
        });
    }

    /// The finished segment.
    pub fn finish(self) -> Segment {
        let cells = self.views.into_iter().flat_map(|v| v.cells);
        let mut all: Vec<Cell> = cells.map(|(cell, (context, n))| (context, cell, n)).collect();
        all.par_sort_unstable();
        let mut segment = Segment {
            id: String::new(),
            host: self.host,
            day: self.day,
            lens_digest: self.lens_digest,
            rows: self.rows,
            withheld: BTreeMap::new(),
            contexts: Vec::new(),
            ends: Vec::new(),
            cells: all.iter().map(|c| pair(c.1)).collect(),
            counts: all.iter().map(|c| c.2).collect(),
        };
        let mut end = 0;
        for context in all.chunk_by(|a, b| a.0 == b.0) {
            end += context.len() as u32;
            segment.contexts.push(pair(context[0].0));
            segment.ends.push(end);
        }
        segment.id = segment.computed_id();
        segment
    }
}

/// Calls `f(row, context, cell)` for every context of a view and every row it applies to; keys are without scope.
pub(crate) fn for_each_cell(
    program: &ViewProgram,
    seed: Pair,
    view: u32,
    batch: &EncodedBatch,
    rows: impl Iterator<Item = u32> + Clone,
    mut f: impl FnMut(u32, u64, u64),
) {
    let applies = |row: &u32| program.class_mask >> batch.class[*row as usize] & 1 == 1;
    for (number, fields) in program.contexts.iter().enumerate() {
        let start = context_start(seed, view, number as u32);
        for row in rows.clone().filter(applies) {
            let take = |state, field: &u32| absorb(state, batch.fields[*field as usize].hash(row as usize));
            let context = fields.iter().fold(start, take);
            let cell = program.child.iter().fold(context, take);
            f(row, join(context), join(cell));
        }
    }
}
