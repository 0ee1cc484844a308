//! Rows with equal codes in some columns: what holds for one of them holds for all, and is worked out once.
//!
//! Codes of several columns become one number: by multiplying while that stays small, by a map of the pairs that occur where
//! it does not.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// After so many rows it is seen whether rows repeat at all.
const PROBED: usize = 2048;
/// Numbers below this are looked up in a table.
const TABLE: u64 = 1 << 18;

/// Which rows are alike.
#[derive(Default)]
pub(crate) struct Alike {
    /// Of each row the number of its kind; kinds are numbered in the order in which they come.
    pub(crate) of: Vec<u32>,
    /// Of each kind the first row.
    pub(crate) first: Vec<u32>,
    table: Vec<u32>,
    map: HashMap<u64, u32, ahash::RandomState>,
}

impl Alike {
    /// Sorts the rows of some columns, each given by its codes and how many values it has.
    pub(crate) fn find<'a>(&mut self, columns: impl Iterator<Item = (&'a [u32], usize)>, rows: usize) {
        self.sort(columns, rows, rows);
    }

    /// As [`Alike::find`], unless most rows are like no other: then it ends early and returns `false`.
    pub(crate) fn find_repeats<'a>(&mut self, columns: impl Iterator<Item = (&'a [u32], usize)>, rows: usize) -> bool {
        self.sort(columns, rows, PROBED - PROBED / 4)
    }

    /// `most`: with more kinds than this among the first [`PROBED`] rows it is not worth it.
    fn sort<'a>(&mut self, columns: impl Iterator<Item = (&'a [u32], usize)>, rows: usize, most: usize) -> bool {
        self.of.clear();
        self.of.resize(rows, 0);
        // Numbers so far are below this, and are those of kinds.
        let (mut range, mut numbered) = (1u64, false);
        for (codes, values) in columns.filter(|(_, values)| *values > 1) {
            let values = values as u64;
            if range.saturating_mul(values) <= TABLE {
                let step = values as u32;
                let numbers = self.of.iter_mut().zip(codes);
                numbers.for_each(|(of, code)| *of = of.wrapping_mul(step).wrapping_add(*code)); // stays below TABLE
                (range, numbered) = (range * values, false);
                continue;
            }
            if !self.number_pairs(codes, most) {
                return false;
            }
            (range, numbered) = (self.first.len() as u64, true);
        }
        numbered || self.number(range, most)
    }

    /// Numbers the kinds that numbers so far and another column make.
    fn number_pairs(&mut self, codes: &[u32], most: usize) -> bool {
        self.first.clear();
        self.map.clear();
        for (row, (of, code)) in (0u32..).zip(self.of.iter_mut().zip(codes)) {
            if row as usize == PROBED && self.first.len() > most {
                return false;
            }
            *of = match self.map.entry(u64::from(*of) << 32 | u64::from(*code)) {
                Entry::Occupied(known) => *known.get(),
                Entry::Vacant(place) => {
                    self.first.push(row);
                    *place.insert(self.first.len() as u32 - 1)
                }
            };
        }
        true
    }

    /// Numbers the kinds, where they are numbers below `range` so far, which is small.
    fn number(&mut self, range: u64, most: usize) -> bool {
        const NONE: u32 = u32::MAX;
        self.first.clear();
        self.table.clear();
        self.table.resize(range as usize, NONE);
        for (row, of) in (0u32..).zip(&mut self.of) {
            if row as usize == PROBED && self.first.len() > most {
                return false;
            }
            let known = &mut self.table[*of as usize];
            if *known == NONE {
                *known = self.first.len() as u32;
                self.first.push(row);
            }
            *of = *known;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn rows_are_alike_if_all_their_codes_are(
            values in prop::collection::vec(prop_oneof![1usize..4, 1usize..40, Just(70_000), Just(1 << 32)], 0..6),
            rows in 0usize..3000,
            seed in any::<u64>(),
        ) {
            let mut state = seed | 1;
            let mut draw = |below: usize| {
                state = state.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(1);
                let few = (state >> 33) as usize % below.min(5);
                // Low codes and high ones.
                (if state >> 63 == 0 { few } else { below - 1 - few }) as u32
            };
            let columns: Vec<(Vec<u32>, usize)> =
                values.iter().map(|of| ((0..rows).map(|_| draw(*of)).collect(), *of)).collect();
            let mut alike = Alike::default();
            alike.find(columns.iter().map(|(codes, values)| (&codes[..], *values)), rows);
            let mut known = HashMap::new();
            for row in 0..rows {
                let tuple: Vec<u32> = columns.iter().map(|(codes, _)| codes[row]).collect();
                let next = known.len() as u32;
                let kind = *known.entry(tuple).or_insert(next);
                prop_assert_eq!(alike.of[row], kind);
                if kind == next {
                    prop_assert_eq!(alike.first[kind as usize], row as u32);
                }
            }
            prop_assert_eq!(alike.first.len(), known.len());
        }
    }

    #[test]
    fn rows_that_hardly_repeat_are_left() {
        let codes: Vec<u32> = (0..5000).collect();
        let mut alike = Alike::default();
        assert!(!alike.find_repeats([(&codes[..], 5000)].into_iter(), 5000));
        assert!(!alike.find_repeats([(&codes[..], 1 << 20)].into_iter(), 5000));
        assert!(alike.find_repeats([(&vec![7; 5000][..], 5000)].into_iter(), 5000));
    }
}
