//! Segments: the additive counts of one host, UTC day and lens (docs/model.md §3).

use std::collections::BTreeMap;
use std::fmt::Write;
use std::ops::Range;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::cells::{Taught, ViewCounts};
use crate::cpu::Counted;
use crate::encode::EncodedBatch;
use crate::keys::{Pair, PairMap, absorb, context_start, join, pair};
use crate::lens::UnitSpec;
use crate::pod;
use crate::snapshot::{ViewProgram, programs};
use crate::teach::{Caps, REASONS, Teachers};
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
    /// What was not counted, by reason; of the caps, occurrences of cells.
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

    /// Its contexts, ascending.
    pub(crate) fn contexts(&self) -> impl Iterator<Item = Pair> + '_ {
        self.contexts.iter().copied()
    }

    /// Every cell, ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Cell> + '_ {
        self.range(0..self.cells.len())
    }

    /// The cells at some positions.
    pub(crate) fn range(&self, range: Range<usize>) -> impl Iterator<Item = Cell> + '_ {
        let mut context = self.ends.partition_point(|end| *end as usize <= range.start);
        range.map(move |at| {
            while self.ends[context] as usize <= at {
                context += 1;
            }
            (join(self.contexts[context]), join(self.cells[at]), self.counts[at])
        })
    }

    /// Where a context's cells are.
    pub(crate) fn of_context(&self, context: u64) -> Range<usize> {
        let at = self.contexts.partition_point(|c| join(*c) < context);
        match self.contexts.get(at) {
            Some(found) if join(*found) == context => {
                at.checked_sub(1).map_or(0, |before| self.ends[before] as usize)..self.ends[at] as usize
            }
            _ => 0..0,
        }
    }

    /// How often a cell of a context occurred.
    pub(crate) fn count(&self, context: u64, cell: u64) -> u32 {
        let range = self.of_context(context);
        let start = range.start;
        let at = self.cells[range].binary_search_by_key(&cell, |c| join(*c));
        at.map_or(0, |at| self.counts[start + at])
    }

    /// Where the first cell is that is not before (context, cell), both as one number.
    pub(crate) fn position(&self, key: u128) -> usize {
        let (context, cell) = ((key >> 64) as u64, key as u64);
        let at = self.contexts.partition_point(|c| join(*c) < context);
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before] as usize);
        match self.contexts.get(at) {
            Some(found) if join(*found) == context => {
                start + self.cells[start..self.ends[at] as usize].partition_point(|c| join(*c) < cell)
            }
            _ => start,
        }
    }

    /// A segment of these cells, which rise.
    pub(crate) fn of_cells(host: Option<String>, day: i32, lens_digest: [u8; 32], rows: u64, cells: &[Cell]) -> Self {
        Self { rows, ..Self::of(host, day, lens_digest, cells) }.named()
    }

    /// The same without an id yet.
    fn of(host: Option<String>, day: i32, lens_digest: [u8; 32], all: &[Cell]) -> Self {
        let (mut contexts, mut ends, mut end) = (Vec::new(), Vec::new(), 0);
        for context in all.chunk_by(|a, b| a.0 == b.0) {
            end += context.len() as u32;
            contexts.push(pair(context[0].0));
            ends.push(end);
        }
        Self {
            id: String::new(),
            host,
            day,
            lens_digest,
            rows: 0,
            withheld: BTreeMap::new(),
            contexts,
            ends,
            cells: all.iter().map(|c| pair(c.1)).collect(),
            counts: all.iter().map(|c| c.2).collect(),
        }
    }

    fn named(mut self) -> Self {
        self.id = self.computed_id();
        self
    }

    /// Whether its parts fit together: a file may hold anything.
    pub(crate) fn is_consistent(&self) -> bool {
        self.contexts.len() == self.ends.len()
            && self.cells.len() == self.counts.len()
            && self.ends.is_sorted()
            && self.ends.last().map_or(0, |e| *e as usize) == self.cells.len()
            && self.iter().is_sorted_by(|a, b| (a.0, a.1) < (b.0, b.1))
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
    key: HashKey,
    seed: Pair,
    rows: u64,
    /// The unit kind whose units may each teach so much, by number; a lens without units has no caps.
    teacher: Option<(usize, UnitSpec)>,
    views: Vec<ViewCounts>,
}

/// In which tick each cell counted last: it counts again in a later one only.
#[derive(Debug)]
pub(crate) struct Ticks {
    length_ns: i64,
    last: PairMap<i64>,
}

impl Ticks {
    /// Of a lens whose cells count once a tick.
    pub(crate) fn of(lens: &Lens) -> Option<Self> {
        lens.counted_ticks().map(|length_ns| Self { length_ns, last: PairMap::default() })
    }

    /// Whether a row of this time counts for a cell; then no other of the same tick or an earlier one does.
    pub(crate) fn admit(&mut self, cell: u64, time: i64) -> bool {
        let tick = time.div_euclid(self.length_ns);
        match self.last.get_mut(&cell) {
            Some(last) if tick <= *last => false,
            Some(last) => {
                *last = tick;
                true
            }
            None => {
                self.last.insert(cell, tick);
                true
            }
        }
    }
}

impl SegmentBuilder {
    /// An empty segment.
    pub fn new(lens: &Lens, key: &HashKey, host: Option<&str>, day: i32) -> Self {
        Self::with_caps(lens, key, host, day, Caps::default())
    }

    /// An empty segment to which each unit may add as much as `caps` say.
    pub fn with_caps(lens: &Lens, key: &HashKey, host: Option<&str>, day: i32, caps: Caps) -> Self {
        let view = |program| ViewCounts::new(program, Ticks::of(lens), Teachers::new(caps));
        Self {
            host: host.map(str::to_owned),
            day,
            lens_digest: lens.digest(),
            key: key.clone(),
            seed: key.seed(&lens.digest()),
            rows: 0,
            teacher: lens.teacher().map(|(number, unit)| (number, unit.clone())),
            views: programs(lens).into_iter().map(view).collect(),
        }
    }

    /// Counts the given rows of a batch, ascending, which must be of this host and day.
    pub fn add(&mut self, batch: &EncodedBatch, rows: &[u32]) {
        let taught = self.teacher.as_ref().and_then(|teacher| Taught::of(&self.key, teacher, batch));
        self.add_taught(batch, rows, taught.as_ref());
    }

    /// As [`SegmentBuilder::add`], where the units that teach the rows of the batch are known: [`Taught::new`].
    pub fn add_taught(&mut self, batch: &EncodedBatch, rows: &[u32], taught: Option<&Taught>) {
        self.rows += rows.len() as u64;
        let (seed, taught) = (self.seed, taught.map(|taught| taught.of_rows(rows)));
        self.views.par_iter_mut().enumerate().for_each(|(view, counts)| {
            counts.add(seed, view as u32, batch, rows, taught.as_ref());
        });
    }

    /// Adds what was counted elsewhere, per view, of so many rows of this host and day. Where units teach under caps that
    /// cannot be done, because what a unit may add depends on the order of its rows, nor where cells count once a tick: nothing
    /// is added and `false` returned.
    pub fn add_counted(&mut self, rows: u64, views: Vec<Counted>) -> bool {
        let by_rows = self.views.iter().all(ViewCounts::counts_rows);
        if self.teacher.is_some() || !by_rows || views.len() != self.views.len() {
            return false;
        }
        self.rows += rows;
        self.views.par_iter_mut().zip(views).for_each(|(view, counted)| view.add_counted(counted));
        true
    }

    /// The finished segment.
    pub fn finish(self) -> Segment {
        let mut withheld = BTreeMap::new();
        for (at, reason) in REASONS.iter().enumerate() {
            let occurrences: u64 = self.views.iter().map(|v| v.teachers.withheld[at]).sum();
            if occurrences > 0 {
                withheld.insert((*reason).to_owned(), occurrences);
            }
        }
        let mut all: Vec<Cell> = self.views.into_iter().flat_map(ViewCounts::into_cells).collect();
        all.par_sort_unstable();
        let Self { host, day, lens_digest, rows, .. } = self;
        Segment { rows, withheld, ..Segment::of(host, day, lens_digest, &all) }.named()
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
    for number in 0..program.contexts.len() as u32 {
        for_each_cell_of(program, seed, view, number, batch, rows.clone(), &mut f);
    }
}

/// As [`for_each_cell`], for one context.
pub(crate) fn for_each_cell_of(
    program: &ViewProgram,
    seed: Pair,
    view: u32,
    number: u32,
    batch: &EncodedBatch,
    rows: impl Iterator<Item = u32>,
    mut f: impl FnMut(u32, u64, u64),
) {
    let start = context_start(seed, view, number);
    for row in rows.filter(|row| program.class_mask >> batch.class[*row as usize] & 1 == 1) {
        let take = |state, field: &u32| absorb(state, batch.fields[*field as usize].hash(row as usize));
        let context = program.contexts[number as usize].iter().fold(start, take);
        let cell = program.child.iter().fold(context, take);
        f(row, join(context), join(cell));
    }
}
