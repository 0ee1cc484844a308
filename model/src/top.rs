//! The most surprising rows of a unit, of which equal ones count once (docs/model.md §6).

use std::cmp::Reverse;

use crate::encode::EncodedBatch;
use crate::keys::{HashKey, join};
use crate::lens::Lens;

/// How many rows make up a unit's bits.
pub const UNIT_ROWS: usize = 10;

/// A row as a unit sees it.
pub(crate) trait Row {
    /// More surprising rows have a smaller rank; no two rows that differ have the same.
    type Rank: Ord;
    /// Equal for rows that say the same.
    fn same(&self) -> u64;
    /// Where it stands among the others.
    fn rank(&self) -> Self::Rank;
    /// 1/1024 bit.
    fn bits(&self) -> u32;
}

/// The first [`UNIT_ROWS`] by rank of the rows added, of equal ones the first alone. What is kept does not depend on the
/// order of adding: a row that is pushed out has that many others before it, which can only be replaced by better ones.
#[derive(Debug)]
pub(crate) struct Top<T>(Vec<T>);

impl<T> Default for Top<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Row> Top<T> {
    /// Whether the row is kept.
    pub(crate) fn insert(&mut self, row: T) -> bool {
        if let Some(at) = self.0.iter().position(|known| known.same() == row.same()) {
            if self.0[at].rank() <= row.rank() {
                return false;
            }
            self.0.remove(at);
        }
        let at = self.0.partition_point(|known| known.rank() < row.rank());
        if at < UNIT_ROWS {
            self.0.insert(at, row);
            self.0.truncate(UNIT_ROWS);
        }
        at < UNIT_ROWS
    }

    /// Bits of the last of as many as are kept: rows with fewer are not. 0 while there is room.
    pub(crate) fn least(&self) -> u32 {
        self.0.get(UNIT_ROWS - 1).map_or(0, T::bits)
    }

    pub(crate) fn bits(&self) -> u32 {
        self.0.iter().fold(0, |sum, row| sum.saturating_add(row.bits()))
    }

    /// The most surprising first.
    pub(crate) fn rows(&self) -> &[T] {
        &self.0
    }

    pub(crate) fn into_rows(self) -> Vec<T> {
        self.0
    }
}

/// Bits of a row, and what it says: all that calibration needs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bits {
    pub(crate) bits: u32,
    pub(crate) same: u64,
}

impl Row for Bits {
    type Rank = (Reverse<u32>, u64);

    fn same(&self) -> u64 {
        self.same
    }

    fn rank(&self) -> Self::Rank {
        (Reverse(self.bits), self.same)
    }

    fn bits(&self) -> u32 {
        self.bits
    }
}

/// What the rows of a table say, as numbers: equal for rows of the same host and class with the same values in every field
/// that a row alone gives. What depends on the rows before it (rates, orders, fan-outs) makes no row another one.
pub(crate) struct Sameness {
    fields: Vec<usize>,
    seed: u64,
}

impl Sameness {
    pub(crate) fn new(lens: &Lens) -> Self {
        let fields = (0..lens.fields().len()).filter(|field| lens.fields()[*field].state.is_none()).collect();
        Self { fields, seed: join(HashKey([0; 32]).value(Some(lens.table()))) }
    }

    pub(crate) fn of(&self, batch: &EncodedBatch, row: usize) -> u64 {
        let mix = |mixed: u64, value: u64| (mixed ^ value).wrapping_mul(0xD134_2543_DE82_EF95).rotate_left(31);
        let start = mix(mix(self.seed, join(batch.host.hash(row))), batch.class[row].into());
        self.fields.iter().fold(start, |mixed, field| mix(mixed, join(batch.fields[*field].hash(row))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn kept(rows: impl Iterator<Item = Bits>) -> Vec<(u32, u64)> {
        let mut top = Top::default();
        rows.for_each(|row| {
            top.insert(row);
        });
        top.rows().iter().map(|row| (row.bits, row.same)).collect()
    }

    proptest! {
        #[test]
        fn the_order_of_rows_does_not_matter(
            rows in prop::collection::vec((0u32..50, 0u64..30), 0..80),
            turns in prop::collection::vec(any::<prop::sample::Index>(), 80),
        ) {
            let bits = |(bits, same): &(u32, u64)| Bits { bits: *bits, same: *same };
            let mut other = rows.clone();
            for at in (1..other.len()).rev() {
                other.swap(at, turns[at].index(at + 1));
            }
            let mut best = std::collections::BTreeMap::new();
            rows.iter().for_each(|(bits, same)| {
                let most = best.entry(*same).or_insert(0u32);
                *most = (*most).max(*bits);
            });
            let mut best: Vec<(u32, u64)> = best.into_iter().map(|(same, bits)| (bits, same)).collect();
            best.sort_by_key(|(bits, same)| (Reverse(*bits), *same));
            best.truncate(UNIT_ROWS);
            prop_assert_eq!(kept(rows.iter().map(bits)), best.clone());
            prop_assert_eq!(kept(other.iter().map(bits)), best);
        }
    }
}
