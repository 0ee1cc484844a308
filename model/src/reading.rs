//! From hashes back to words: which values a context or cell was made of.
//!
//! `absorb(s, v)` is a bijection of `s ^ v` (docs/model.md §2), so the last value of a key needs no search: it is what the
//! inverse leaves, if the dictionary knows it. Values before it are tried, those first that were read before.

use std::collections::HashMap;

use crate::baseline::Words;
use crate::keys::{HashKey, Pair, absorb, join};

/// Most look-ups over all that one reader reads; a key that would need more is not read.
const MAX_LOOKUPS: u64 = 100_000_000;
/// Most fields that are searched for.
pub(crate) const MAX_READ_WIDTH: usize = 3;

/// `s ^ v` of `absorb(s, v)`.
pub(crate) const fn unabsorb(mixed: Pair) -> Pair {
    let a = mixed[0].wrapping_mul(inverse(0xC2B2_AE3D));
    let b = mixed[1].wrapping_mul(inverse(0x27D4_EB2F));
    let b = (b ^ a).rotate_right(13);
    let a = a.wrapping_sub(b).rotate_right(15);
    [a.wrapping_mul(inverse(0x9E37_79B1)), b.wrapping_mul(inverse(0x85EB_CA77))]
}

/// The inverse of an odd number modulo 2^32, by Newton's iteration: each step doubles the bits that are right.
const fn inverse(odd: u32) -> u32 {
    let mut x = odd;
    let mut step = 0;
    while step < 4 {
        x = x.wrapping_mul(2u32.wrapping_sub(odd.wrapping_mul(x)));
        step += 1;
    }
    x
}

/// Reads keys with the words of some baselines of one hash key.
pub(crate) struct Reader<'a> {
    words: Vec<&'a Words>,
    /// The hash of null, which is in no dictionary.
    null: Pair,
    /// Values of each field that were read before, those first that were read first.
    known: HashMap<usize, Vec<Pair>>,
    lookups: u64,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(key: &HashKey, words: Vec<&'a Words>) -> Self {
        Self { words, null: key.value(None), known: HashMap::new(), lookups: 0 }
    }

    /// The text of a value.
    pub(crate) fn text(&self, value: Pair) -> Option<&'a str> {
        if value == self.null {
            return Some("(none)");
        }
        self.words.iter().find_map(|words| words.value(value))
    }

    /// The values that lead from `start` to `key`, one for each field.
    pub(crate) fn read(&mut self, start: Pair, fields: &[usize], key: Pair) -> Option<Vec<Pair>> {
        if fields.len() > MAX_READ_WIDTH {
            return None;
        }
        let values = self.search(start, fields, key, false).or_else(|| self.search(start, fields, key, true))?;
        for (field, value) in fields.iter().zip(&values) {
            let known = self.known.entry(*field).or_default();
            if !known.contains(value) {
                known.push(*value);
            }
        }
        Some(values)
    }

    /// Values of a field that were read so far.
    pub(crate) fn known(&self, field: usize) -> &[Pair] {
        self.known.get(&field).map_or(&[], Vec::as_slice)
    }

    /// Tries what is known of the first fields, or all words.
    fn search(&mut self, start: Pair, fields: &[usize], key: Pair, all: bool) -> Option<Vec<Pair>> {
        let [field, rest @ ..] = fields else { return (start == key).then(Vec::new) };
        self.lookups += 1;
        if rest.is_empty() {
            let mixed = unabsorb(key);
            let value = [mixed[0] ^ start[0], mixed[1] ^ start[1]];
            return self.text(value).map(|_| vec![value]);
        }
        let candidates: Vec<Pair> = if all {
            let words = self.words.iter().flat_map(|words| words.values()).map(|v| v.0);
            words.chain([self.null]).collect()
        } else {
            self.known(*field).to_vec()
        };
        for value in candidates {
            if self.lookups > MAX_LOOKUPS {
                return None;
            }
            if let Some(mut values) = self.search(absorb(start, value), rest, key, all) {
                values.insert(0, value);
                return Some(values);
            }
        }
        None
    }
}

/// A key of which the words are not known.
pub(crate) fn unknown(key: Pair) -> String {
    format!("(not in the dictionary: {:016x})", join(key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::Shown;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn mixing_can_be_undone(s: Pair, v: Pair) {
            prop_assert_eq!(unabsorb(absorb(s, v)), [s[0] ^ v[0], s[1] ^ v[1]]);
        }
    }

    #[test]
    fn keys_of_up_to_three_values_are_read() {
        let key = crate::testing::key();
        let mut values: Vec<(Pair, String)> =
            (0..50).map(|i| format!("value {i}")).map(|text| (key.value(Some(&text)), text)).collect();
        values.sort_by_key(|v| join(v.0));
        let words = Words { values: values.clone(), shown: [("s".to_owned(), Shown::default())].into() };
        let mut reader = Reader::new(&key, vec![&words]);
        let start = [1, 2];
        let made = |of: &[Pair]| of.iter().fold(start, |state, value| absorb(state, *value));
        for of in [vec![values[7].0], vec![values[7].0, key.value(None)], vec![values[1].0, values[1].0, values[9].0]] {
            let fields: Vec<usize> = (0..of.len()).collect();
            assert_eq!(reader.read(start, &fields, made(&of)), Some(of));
        }
        let other = key.value(Some("never seen"));
        assert_eq!(reader.read(start, &[0], made(&[other])), None);
        assert_eq!(reader.read(start, &[0, 1, 2, 3], made(&[other; 4])), None, "too wide");
        assert_eq!(reader.text(other), None);
    }
}
