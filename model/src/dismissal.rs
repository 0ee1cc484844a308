//! Dismissals: what somebody said is harmless, and what that teaches until a day (docs/model.md §3, "Dismissals").
//!
//! A dismissal is a part of a baseline beside its segments, never mixed into them: without it, everything is as if it had
//! never been said.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::compile::{Compiled, Options, compile_with};
use crate::encode::EncodedBatch;
use crate::keys::{HashKey, Pair, pair, scoped};
use crate::layout::Layout;
use crate::lens::Lens;
use crate::segment::{Cell, Segment, day_of, for_each_cell_of, hex_id};
use crate::snapshot::programs;

/// Who said it, of what, why, and for how long.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// The id of the incident.
    pub incident: String,
    /// Who answers for it.
    pub owner: String,
    /// Why it is harmless.
    pub why: String,
    /// When it was said, nanoseconds since 1970, UTC.
    pub at: i64,
    /// The last day, counted from 1970, on which it counts.
    pub until: i32,
}

/// Rows that somebody said are harmless. Immutable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dismissal {
    /// First 16 hex digits of the SHA-256 of what was said and of the ids of the lessons.
    pub id: String,
    /// Who said it, and so on.
    pub said: Said,
    /// The rows, counted by host, day and table; ascending by id, each once.
    pub(crate) lessons: Vec<Segment>,
}

impl Dismissal {
    /// A dismissal of rows that were counted by host, day and table.
    #[must_use]
    pub fn new(said: Said, mut lessons: Vec<Segment>) -> Self {
        lessons.sort_by(|a, b| a.id.cmp(&b.id));
        lessons.dedup_by(|a, b| a.id == b.id);
        let mut this = Self { id: String::new(), said, lessons };
        this.id = this.computed_id();
        this
    }

    /// How many rows it is about.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.lessons.iter().fold(0, |sum, lesson| sum.saturating_add(lesson.rows))
    }

    /// The hosts that it is about.
    #[must_use]
    pub fn hosts(&self) -> BTreeSet<Option<&str>> {
        self.lessons.iter().map(|lesson| lesson.host.as_deref()).collect()
    }

    /// Whether it counts on a day: from that on which it was said.
    #[must_use]
    pub fn counts_on(&self, day: i32) -> bool {
        (day_of(self.said.at)..=self.said.until).contains(&day)
    }

    /// The same without some lessons; `None` if there are no others.
    pub(crate) fn without(self, named: impl Fn(&Segment) -> bool) -> Option<Self> {
        let lessons: Vec<Segment> = self.lessons.into_iter().filter(|lesson| !named(lesson)).collect();
        (!lessons.is_empty()).then(|| Self::new(self.said, lessons))
    }

    /// Whether its parts fit together: a file may hold anything.
    pub(crate) fn is_consistent(&self) -> bool {
        !self.lessons.is_empty()
            && self.lessons.is_sorted_by(|a, b| a.id < b.id)
            && self.lessons.iter().all(Segment::is_consistent)
            && self.id == self.computed_id()
    }

    fn computed_id(&self) -> String {
        let ids: Vec<&str> = self.lessons.iter().map(|lesson| lesson.id.as_str()).collect();
        // Encoding to memory has nothing to fail on; an id of nothing would fit no content.
        hex_id(&Sha256::digest(postcard::to_allocvec(&(&self.said, ids)).unwrap_or_default()))
    }
}

/// Rows being counted as what was dismissed: by host, day and lens, of each view the cell in its finest context.
pub struct Lessons<'a> {
    key: &'a HashKey,
    counted: BTreeMap<Place, Counted>,
}

/// Host, day and digest of the lens.
type Place = (Option<String>, i32, [u8; 32]);

/// Rows of a place.
#[derive(Default)]
struct Counted {
    rows: u64,
    /// Context and cell.
    cells: BTreeSet<(u64, u64)>,
}

impl<'a> Lessons<'a> {
    /// None yet.
    #[must_use]
    pub fn new(key: &'a HashKey) -> Self {
        Self { key, counted: BTreeMap::new() }
    }

    /// Adds rows of a batch.
    pub fn add(&mut self, lens: &Lens, batch: &EncodedBatch, rows: &[u32]) {
        let (digest, programs) = (lens.digest(), programs(lens));
        let seed = self.key.seed(&digest);
        for row in rows {
            let (host, time) = (batch.host.value(*row as usize).map(str::to_owned), batch.time[*row as usize]);
            let counted = self.counted.entry((host, day_of(time), digest)).or_default();
            counted.rows += 1;
            for (view, program) in (0..).zip(&programs) {
                let row = std::iter::once(*row);
                for_each_cell_of(program, seed, view, 0, batch, row, |_, context, cell| {
                    _ = counted.cells.insert((context, cell))
                });
            }
        }
    }

    /// A segment for each host, day and lens.
    #[must_use]
    pub fn finish(self) -> Vec<Segment> {
        let lesson = |((host, day, digest), Counted { rows, cells }): (Place, Counted)| {
            let cells: Vec<Cell> = cells.into_iter().map(|(context, cell)| (context, cell, 1)).collect();
            Segment::of_cells(host, day, digest, rows, &cells)
        };
        self.counted.into_iter().map(lesson).collect()
    }
}

/// What compiling makes of the segments of one lens, and of what was dismissed of it.
pub(crate) fn compile(
    key: &HashKey,
    lens: [u8; 32],
    segments: &[&Segment],
    dismissals: &[Dismissal],
    options: &Options,
) -> Compiled {
    let mut compiled = compile_with(key, segments.iter().copied(), options);
    let raised = raised(key, lens, &compiled.slots, dismissals);
    if !raised.is_empty() {
        compiled.slots = with(&compiled.slots, &raised);
    }
    compiled
}

/// By scoped key.
type Slots = BTreeMap<Pair, [u32; 4]>;

/// The slots that dismissals give another content. A dismissed cell has all of its context, whose N and T stay, so that
/// nothing else becomes odder; a context that its host never had has been seen once.
fn raised(key: &HashKey, lens: [u8; 32], slots: &[[u32; 4]], dismissals: &[Dismissal]) -> Slots {
    let mut raised = Slots::new();
    for lesson in dismissals.iter().flat_map(|one| &one.lessons).filter(|lesson| lesson.lens_digest == lens) {
        let host = key.value(lesson.host.as_deref());
        for (context, cell, _) in lesson.iter() {
            let [context, cell] = [context, cell].map(|number| scoped(pair(number), host));
            let total = find(slots, context);
            if total == 0 {
                raised.insert(context, [context[0], context[1], 1, 1]);
            }
            raised.insert(cell, [cell[0], cell[1], total.max(1), 0]);
        }
    }
    raised
}

/// The third word of the slot with this key.
fn find(slots: &[[u32; 4]], key: Pair) -> u32 {
    let mask = slots.len().saturating_sub(1);
    let places = (0..slots.len()).map(|further| slots[(key[0] as usize).wrapping_add(further) & mask]);
    let mut probed = places.take_while(|slot| slot[2] != 0);
    probed.find(|slot| [slot[0], slot[1]] == key).map_or(0, |slot| slot[2])
}

/// The table with some slots in place of those with the same keys.
fn with(slots: &[[u32; 4]], raised: &Slots) -> Vec<[u32; 4]> {
    let stay = || slots.iter().filter(|slot| slot[2] != 0 && !raised.contains_key(&[slot[0], slot[1]]));
    let mut table = Layout::new((stay().count() + raised.len()) as u64);
    stay().chain(raised.values()).for_each(|slot| table.insert(*slot));
    table.finish()
}
