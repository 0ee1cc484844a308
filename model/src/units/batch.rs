//! Units of one batch, by number: names and places are looked up for the rows alone that a unit keeps.

use std::cmp::Reverse;
use std::collections::HashMap;

use crate::backend::Scores;
use crate::encode::{EncodedBatch, NO_UNIT, UnitColumn};
use crate::lens::UnitSpec;
use crate::top::{Row, Sameness, Top};

/// What a batch has of a unit.
pub(super) struct Part {
    /// Number of its key.
    pub(super) code: u32,
    /// Start of its window, ns since 1970 UTC.
    pub(super) window: i64,
    pub(super) top: Top<InBatch>,
    /// Rows with so few bits are not kept any more.
    floor: u32,
}

/// A row of the batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct InBatch {
    pub(super) bits: u32,
    pub(super) same: u64,
    pub(super) row: u32,
}

impl Row for InBatch {
    type Rank = (Reverse<u32>, u32);

    fn same(&self) -> u64 {
        self.same
    }

    fn rank(&self) -> Self::Rank {
        (Reverse(self.bits), self.row)
    }

    fn bits(&self) -> u32 {
        self.bits
    }
}

/// The units of one kind, in the order in which they come.
pub(super) fn in_batch(
    spec: &UnitSpec,
    column: &UnitColumn,
    batch: &EncodedBatch,
    scores: &Scores,
    sameness: &Sameness,
) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    let mut known: HashMap<(u32, i64), u32, ahash::RandomState> = HashMap::default();
    // Rows come by time, as a rule.
    let mut window = spec.window_start(0)..spec.window_start(0);
    for (row, ((code, bits), time)) in (0u32..).zip(column.codes.iter().zip(&scores.bits).zip(&batch.time)) {
        if *code == NO_UNIT || *bits == 0 {
            continue;
        }
        if !window.contains(time) {
            let start = spec.window_start(*time);
            window = start..start.saturating_add(spec.window_ns);
        }
        let at = *known.entry((*code, window.start)).or_insert_with(|| {
            parts.push(Part { code: *code, window: window.start, top: Top::default(), floor: 0 });
            (parts.len() - 1) as u32
        });
        let part = &mut parts[at as usize];
        // Of rows with equal bits the first is kept.
        if *bits > part.floor {
            part.top.insert(InBatch { bits: *bits, same: sameness.of(batch, row as usize), row });
            part.floor = part.top.least();
        }
    }
    parts
}
