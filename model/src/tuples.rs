//! Rows with equal codes, found by integers alone: what is counted or hashed then is done once for each distinct tuple.

use std::cell::RefCell;

use crate::encode::EncodedBatch;

/// Most rows that are looked at together, which bounds what is held.
pub(crate) const MOST_ROWS: usize = 1 << 16;
/// No tuple.
const NONE: u32 = u32::MAX;
/// A place without one.
const EMPTY: [u32; 2] = [0, NONE];

/// The distinct tuples of some rows, in the order in which they come first.
#[derive(Default)]
pub(crate) struct Tuples {
    /// Of each tuple the position of its first row and how many rows have it.
    pub(crate) all: Vec<Tuple>,
    /// The tuple of each row.
    pub(crate) of_row: Vec<u32>,
    keys: Vec<u64>,
    /// Numbers of tuples by key, where keys are few.
    dense: Vec<u32>,
    /// Tags of keys and numbers of tuples, by hash.
    hashed: Vec<[u32; 2]>,
}

/// Rows that are equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tuple {
    /// The position of the first.
    pub(crate) first: u32,
    /// How many there are.
    pub(crate) rows: u32,
}

thread_local! {
    /// Each thread has one, so that no memory is asked for batch by batch.
    static TUPLES: RefCell<Tuples> = RefCell::default();
}

/// Lends this thread's tuples; `f` must not ask for them again.
pub(crate) fn with<R>(f: impl FnOnce(&mut Tuples) -> R) -> R {
    TUPLES.with_borrow_mut(f)
}

impl Tuples {
    /// Finds the tuples of these fields of the rows, and of what `also` says of each by its position: a number below
    /// `also_below`. `false` if there are too many different ones to tell them apart by an integer.
    pub(crate) fn find(
        &mut self,
        batch: &EncodedBatch,
        rows: &[u32],
        fields: impl Iterator<Item = u32>,
        (also, also_below): (&[u32], usize),
    ) -> bool {
        let (keys, mut below) = (&mut self.keys, 1u64);
        keys.clear();
        keys.resize(rows.len(), 0);
        if also_below > 0 {
            keys.iter_mut().zip(also).for_each(|(key, also)| *key = u64::from(*also));
            below = also_below as u64;
        }
        let run = rows.first().zip(rows.last()).filter(|(first, last)| (*last - *first) as usize + 1 == rows.len());
        for field in fields {
            let codes = &batch.fields[field as usize];
            let stride = below;
            let Some(product) = below.checked_mul(codes.hashes.len().max(1) as u64) else { return false };
            below = product;
            match run {
                Some((first, last)) => {
                    let codes = &codes.codes[*first as usize..=*last as usize];
                    keys.iter_mut().zip(codes).for_each(|(key, code)| *key += stride * u64::from(*code));
                }
                None => {
                    let code = |row: &u32| u64::from(codes.codes[*row as usize]);
                    keys.iter_mut().zip(rows).for_each(|(key, row)| *key += stride * code(row));
                }
            }
        }
        self.all.clear();
        self.of_row.clear();
        match below <= 2 * rows.len() as u64 {
            true => self.by_place(below as usize),
            false => self.by_hash(below <= 1 << 32),
        }
        true
    }

    fn by_place(&mut self, below: usize) {
        let Self { all, of_row, keys, dense, .. } = self;
        dense.clear();
        dense.resize(below, NONE);
        for (at, key) in (0..).zip(keys.iter()) {
            let number = &mut dense[*key as usize];
            if *number == NONE {
                *number = all.len() as u32;
                all.push(Tuple { first: at, rows: 0 });
            }
            all[*number as usize].rows += 1;
            of_row.push(*number);
        }
    }

    fn by_hash(&mut self, is_short: bool) {
        let Self { all, of_row, keys, hashed, .. } = self;
        // Most rows repeat what others have: a small table stays near the processor.
        let places = (keys.len() / 4).next_power_of_two().clamp(64, 1 << 14);
        hashed.clear();
        hashed.resize(places, EMPTY);
        of_row.reserve(keys.len());
        for (at, key) in (0..).zip(keys.iter()) {
            // Short keys are their own tags.
            let is_it = |number: u32, all: &[Tuple]| is_short || keys[all[number as usize].first as usize] == *key;
            let tag = tag_of(*key);
            let mut place = home(*key, hashed.len());
            let number = loop {
                let there = hashed[place];
                if there == EMPTY {
                    let number = all.len() as u32;
                    hashed[place] = [tag, number];
                    all.push(Tuple { first: at, rows: 0 });
                    if 2 * all.len() > hashed.len() {
                        *hashed = grown(all, keys, 4 * hashed.len());
                    }
                    break number;
                }
                if there[0] == tag && is_it(there[1], all.as_slice()) {
                    break there[1];
                }
                place = (place + 1) & (hashed.len() - 1);
            };
            all[number as usize].rows += 1;
            of_row.push(number);
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

/// All tuples in a table of so many places.
fn grown(all: &[Tuple], keys: &[u64], places: usize) -> Vec<[u32; 2]> {
    let mut hashed = vec![EMPTY; places];
    for (number, tuple) in (0..).zip(all) {
        let key = keys[tuple.first as usize];
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
    use std::sync::Arc;

    use super::*;
    use crate::encode::Codes;
    use proptest::prelude::*;

    fn batch(columns: &[Vec<u32>]) -> EncodedBatch {
        let codes = |codes: &Vec<u32>| {
            let below = codes.iter().max().map_or(0, |most| most + 1) as usize;
            Codes { codes: codes.clone(), hashes: Arc::new(vec![[0; 2]; below]), values: Arc::default() }
        };
        let rows = columns.first().map_or(0, Vec::len);
        EncodedBatch { rows, fields: columns.iter().map(codes).collect(), ..EncodedBatch::default() }
    }

    proptest! {
        #[test]
        fn tuples_are_those_of_a_map(
            rows in prop::collection::vec((0u32..6, 0u32..400, 0u32..3, any::<bool>()), 1..300),
            some in any::<bool>(),
        ) {
            let column = |f: &dyn Fn(&(u32, u32, u32, bool)) -> u32| rows.iter().map(f).collect::<Vec<u32>>();
            let batch = batch(&[column(&|r| r.0), column(&|r| r.1)]);
            let picked: Vec<u32> = (0..rows.len() as u32).filter(|row| !some || rows[*row as usize].3).collect();
            let also: Vec<u32> = picked.iter().map(|row| rows[*row as usize].2).collect();
            let mut tuples = Tuples::default();
            for fields in [vec![], vec![0], vec![1, 0], vec![0, 1]] {
                for below in [0, 3] {
                    prop_assert!(tuples.find(&batch, &picked, fields.iter().copied(), (&also, below)));
                    let mut known: HashMap<Vec<u32>, u32> = HashMap::new();
                    let mut wanted: Vec<Tuple> = Vec::new();
                    for (at, row) in picked.iter().enumerate() {
                        let code = |field: &u32| batch.fields[*field as usize].codes[*row as usize];
                        let mut tuple: Vec<u32> = fields.iter().map(code).collect();
                        tuple.extend((below > 0).then_some(also[at]));
                        let next = known.len() as u32;
                        let number = *known.entry(tuple).or_insert(next);
                        if number == next {
                            wanted.push(Tuple { first: at as u32, rows: 0 });
                        }
                        wanted[number as usize].rows += 1;
                        prop_assert_eq!(tuples.of_row[at], number);
                    }
                    prop_assert_eq!(&tuples.all, &wanted);
                }
            }
        }
    }

    #[test]
    fn what_no_integer_holds_is_refused() {
        let batch = batch(&vec![vec![70_000, 1]; 4]);
        assert!(!Tuples::default().find(&batch, &[0, 1], 0..4, (&[], 0)));
        assert!(Tuples::default().find(&batch, &[0, 1], 0..3, (&[], 0)));
    }
}
