//! A column of text in which values repeat.

use ahash::RandomState;
use arrow_array::{
    DictionaryArray,
    builder::{ArrayBuilder, PrimitiveBuilder, StringBuilder},
    types::Int32Type,
};
use std::{borrow::Cow, sync::Arc};

/// A value that is known: its hash, its number, and the bytes that it is recognised by.
#[derive(Clone, Copy)]
struct Known {
    hash: u64,
    key: i32,
    start: u32,
    len: u32,
}

/// Builds a dictionary column. Arrow's own builder hashes every value; here one that is equal to the last costs a
/// comparison, and a value can be recognised by bytes from which its text is made only once.
pub(crate) struct Dict {
    keys: PrimitiveBuilder<Int32Type>,
    values: StringBuilder,
    /// What values are recognised by, one after the other.
    bytes: Vec<u8>,
    /// Open addressing, at most half full; a key below 0 is a free place.
    places: Vec<Known>,
    distinct: usize,
    last: Known,
    hasher: RandomState,
}

const FREE: Known = Known { hash: 0, key: -1, start: 0, len: 0 };
const PLACES: usize = 64;

impl Dict {
    pub(crate) fn new() -> Self {
        Self {
            keys: PrimitiveBuilder::new(),
            values: StringBuilder::new(),
            bytes: Vec::new(),
            places: vec![FREE; PLACES],
            distinct: 0,
            last: FREE,
            hasher: RandomState::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    pub(crate) fn append_null(&mut self) {
        self.keys.append_null();
    }

    pub(crate) fn append_nulls(&mut self, count: usize) {
        self.keys.append_nulls(count);
    }

    pub(crate) fn append_value(&mut self, value: impl AsRef<str>) {
        let value = value.as_ref();
        self.append_as(value.as_bytes(), || Cow::Borrowed(value));
    }

    pub(crate) fn append_option(&mut self, value: Option<impl AsRef<str>>) {
        match value {
            Some(value) => self.append_value(value),
            None => self.append_null(),
        }
    }

    /// Appends the text that belongs to these bytes; it is made only if they are new to the column.
    pub(crate) fn append_as<'a>(&mut self, bytes: &[u8], text: impl FnOnce() -> Cow<'a, str>) {
        if self.last.key < 0 || self.of(self.last) != bytes {
            self.last = self.find(bytes, text);
        }
        self.keys.append_value(self.last.key);
    }

    fn of(&self, known: Known) -> &[u8] {
        &self.bytes[known.start as usize..(known.start + known.len) as usize]
    }

    fn find<'a>(&mut self, bytes: &[u8], text: impl FnOnce() -> Cow<'a, str>) -> Known {
        let hash = self.hasher.hash_one(bytes);
        let mut at = hash as usize & (self.places.len() - 1);
        while self.places[at].key >= 0 {
            let known = self.places[at];
            if known.hash == hash && self.of(known) == bytes {
                return known;
            }
            at = (at + 1) & (self.places.len() - 1);
        }
        let (key, start) = (self.distinct as i32, self.bytes.len() as u32);
        let known = Known { hash, key, start, len: bytes.len() as u32 };
        self.places[at] = known;
        self.bytes.extend_from_slice(bytes);
        self.values.append_value(text());
        self.distinct += 1;
        if self.distinct * 2 > self.places.len() {
            self.grow();
        }
        known
    }

    fn grow(&mut self) {
        let places = vec![FREE; self.places.len() * 2];
        for known in std::mem::replace(&mut self.places, places).into_iter().filter(|known| known.key >= 0) {
            let mut at = known.hash as usize & (self.places.len() - 1);
            while self.places[at].key >= 0 {
                at = (at + 1) & (self.places.len() - 1);
            }
            self.places[at] = known;
        }
    }

    /// Takes the column out.
    pub(crate) fn finish(&mut self) -> DictionaryArray<Int32Type> {
        // The next batch is about as large.
        let next = PrimitiveBuilder::with_capacity(self.keys.len());
        let (keys, values) = (std::mem::replace(&mut self.keys, next).finish(), self.values.finish());
        self.bytes.clear();
        self.places.fill(FREE);
        (self.distinct, self.last) = (0, FREE);
        // Every key was given out with its value: this cannot fail.
        DictionaryArray::new(keys, Arc::new(values))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{Array, cast::AsArray};

    fn text(array: &DictionaryArray<Int32Type>) -> Vec<Option<String>> {
        let values = array.values().as_string::<i32>();
        array.keys().iter().map(|key| key.map(|key| values.value(key as usize).to_owned())).collect()
    }

    #[test]
    fn values_come_back_and_are_stored_once() {
        let mut dict = Dict::new();
        for _ in 0..2 {
            let mut said = Vec::new();
            for at in 0..1000 {
                let value = (at % 7 > 0).then(|| format!("v{}", at * at % 300));
                dict.append_option(value.as_deref());
                said.push(value);
            }
            let array = dict.finish();
            assert_eq!(text(&array), said);
            let mut distinct: Vec<_> = said.iter().flatten().collect();
            distinct.sort();
            distinct.dedup();
            assert_eq!(array.values().len(), distinct.len());
        }
    }

    #[test]
    fn text_is_made_once() {
        let mut dict = Dict::new();
        let mut made = 0;
        for byte in [1, 1, 2, 1, 2] {
            dict.append_as(&[byte], || {
                made += 1;
                Cow::Owned(byte.to_string())
            });
        }
        assert_eq!((made, text(&dict.finish()).last().unwrap().as_deref()), (2, Some("2")));
    }
}
