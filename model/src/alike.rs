//! Rows with equal codes in some columns, found by integers alone: what holds for one of them holds for all, and is worked
//! out once.

/// After so many rows it is seen whether rows repeat at all.
const PROBED: usize = 2048;
/// Keys below so many times the rows are looked up in a table by themselves.
const DENSE: u64 = 4;
/// No kind.
const NONE: u32 = u32::MAX;
/// A place of the hash table without one.
const EMPTY: [u32; 2] = [0, NONE];

/// Which rows are alike.
#[derive(Default)]
pub(crate) struct Alike {
    /// Of each row the number of its kind; kinds are numbered in the order in which they come.
    pub(crate) of: Vec<u32>,
    /// Of each kind the first row.
    pub(crate) first: Vec<u32>,
    /// The codes of each row as one number.
    keys: Vec<u64>,
    /// Numbers of kinds by key, where keys are few.
    dense: Vec<u32>,
    /// Tags of keys and numbers of kinds, by hash.
    hashed: Vec<[u32; 2]>,
}

impl Alike {
    /// Sorts the rows of some columns, each given by its codes and how many values it has.
    pub(crate) fn find<'a>(&mut self, columns: impl Iterator<Item = (&'a [u32], usize)>, rows: usize) {
        self.sort(columns, rows, PROBED);
    }

    /// As [`Alike::find`], unless most rows are like no other: then it ends early and returns `false`.
    pub(crate) fn find_repeats<'a>(&mut self, columns: impl Iterator<Item = (&'a [u32], usize)>, rows: usize) -> bool {
        self.sort(columns, rows, PROBED - PROBED / 4)
    }

    /// Of each kind how many rows are of it.
    pub(crate) fn counts(&self) -> Vec<u32> {
        let mut counts = vec![0u32; self.first.len()];
        self.of.iter().for_each(|kind| counts[*kind as usize] += 1);
        counts
    }

    /// `most`: with more kinds than this among the first [`PROBED`] rows it is not worth it.
    fn sort<'a>(&mut self, columns: impl Iterator<Item = (&'a [u32], usize)>, rows: usize, most: usize) -> bool {
        self.keys.clear();
        self.keys.resize(rows, 0);
        // Keys are below this.
        let mut below = 1u64;
        for (codes, values) in columns.filter(|(_, values)| *values > 1) {
            let values = values as u64;
            if below.checked_mul(values).is_none() {
                if !self.number(below, most) {
                    return false;
                }
                let Self { keys, of, first, .. } = self;
                keys.iter_mut().zip(of).for_each(|(key, of)| *key = (*of).into());
                below = first.len() as u64;
            }
            // Codes are below `values`, so nothing wraps.
            let keys = self.keys.iter_mut().zip(codes);
            keys.for_each(|(key, code)| *key = key.wrapping_add(below.wrapping_mul((*code).into())));
            below = below.saturating_mul(values);
        }
        self.number(below, most)
    }

    /// Numbers the kinds by their keys, which are below `below`.
    fn number(&mut self, below: u64, most: usize) -> bool {
        self.of.clear();
        self.first.clear();
        let rows = self.keys.len();
        let is_dense = below <= DENSE.saturating_mul(rows as u64);
        if is_dense {
            self.dense.clear();
            self.dense.resize(below as usize, NONE);
        } else {
            // Most rows are like others: a small table stays near the processor.
            self.hashed.clear();
            self.hashed.resize((rows / 4).next_power_of_two().clamp(64, 1 << 14), EMPTY);
        }
        let probed = rows.min(PROBED);
        for range in [0..probed, probed..rows] {
            match is_dense {
                true => self.by_place(range),
                false => self.by_hash(range, below <= 1 << 32),
            }
            if self.of.len() == PROBED && self.first.len() > most {
                return false;
            }
        }
        true
    }

    fn by_place(&mut self, rows: std::ops::Range<usize>) {
        let Self { of, first, keys, dense, .. } = self;
        for (row, key) in (rows.start as u32..).zip(&keys[rows]) {
            let number = &mut dense[*key as usize];
            if *number == NONE {
                *number = first.len() as u32;
                first.push(row);
            }
            of.push(*number);
        }
    }

    fn by_hash(&mut self, rows: std::ops::Range<usize>, is_short: bool) {
        let Self { of, first, keys, hashed, .. } = self;
        for (row, key) in (rows.start as u32..).zip(&keys[rows]) {
            let tag = tag_of(*key);
            let mut place = home(*key, hashed.len());
            let number = loop {
                let there = hashed[place];
                if there == EMPTY {
                    let number = first.len() as u32;
                    hashed[place] = [tag, number];
                    first.push(row);
                    if 2 * first.len() > hashed.len() {
                        *hashed = grown(first, keys, 4 * hashed.len());
                    }
                    break number;
                }
                // Short keys are their own tags.
                if there[0] == tag && (is_short || keys[first[there[1] as usize] as usize] == *key) {
                    break there[1];
                }
                place = (place + 1) & (hashed.len() - 1);
            };
            of.push(number);
        }
    }
}

#[inline]
fn tag_of(key: u64) -> u32 {
    (key ^ key >> 32) as u32
}

/// Where a key is looked for first, in so many places.
#[inline]
fn home(key: u64, places: usize) -> usize {
    (key.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - places.ilog2())) as usize
}

/// All kinds in a table of so many places.
fn grown(first: &[u32], keys: &[u64], places: usize) -> Vec<[u32; 2]> {
    let mut hashed = vec![EMPTY; places];
    for (number, row) in (0..).zip(first) {
        let key = keys[*row as usize];
        let mut place = home(key, places);
        while hashed[place] != EMPTY {
            place = (place + 1) & (places - 1);
        }
        hashed[place] = [tag_of(key), number];
    }
    hashed
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

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
            let (mut known, mut counts) = (HashMap::new(), Vec::new());
            for row in 0..rows {
                let tuple: Vec<u32> = columns.iter().map(|(codes, _)| codes[row]).collect();
                let next = known.len() as u32;
                let kind = *known.entry(tuple).or_insert(next);
                prop_assert_eq!(alike.of[row], kind);
                if kind == next {
                    prop_assert_eq!(alike.first[kind as usize], row as u32);
                    counts.push(0);
                }
                counts[kind as usize] += 1;
            }
            prop_assert_eq!(alike.of.len(), rows);
            prop_assert_eq!(alike.counts(), counts);
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
