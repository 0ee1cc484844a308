//! Serde for large arrays of 32-bit numbers as little-endian bytes, where a varint each would cost time and space.

use serde::de::{Error, Visitor};
use serde::{Deserializer, Serializer};

/// Something made of a fixed number of 32-bit words.
pub(crate) trait Words: Copy {
    const WORDS: usize;
    fn put(self, out: &mut Vec<u8>);
    fn take(words: &[u8]) -> Self;
}

impl Words for u32 {
    const WORDS: usize = 1;

    fn put(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_le_bytes());
    }

    fn take(words: &[u8]) -> Self {
        words.iter().rev().fold(0, |x, b| x << 8 | u32::from(*b))
    }
}

impl<const N: usize> Words for [u32; N] {
    const WORDS: usize = N;

    fn put(self, out: &mut Vec<u8>) {
        self.iter().for_each(|w| w.put(out));
    }

    fn take(words: &[u8]) -> Self {
        std::array::from_fn(|i| u32::take(&words[4 * i..4 * i + 4]))
    }
}

/// The bytes of an array.
pub(crate) fn bytes<T: Words>(array: &[T]) -> Vec<u8> {
    let mut out = Vec::with_capacity(array.len() * T::WORDS * 4);
    array.iter().for_each(|x| x.put(&mut out));
    out
}

/// The array of these bytes; `None` if they do not come out even.
pub(crate) fn array<T: Words>(bytes: &[u8]) -> Option<Vec<T>> {
    let whole = bytes.len().is_multiple_of(T::WORDS * 4);
    whole.then(|| bytes.chunks_exact(T::WORDS * 4).map(T::take).collect())
}

pub(crate) fn serialize<T: Words, S: Serializer>(array: &[T], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(&bytes(array))
}

pub(crate) fn deserialize<'de, T: Words, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    struct Bytes<T>(std::marker::PhantomData<T>);

    impl<T: Words> Visitor<'_> for Bytes<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "bytes in groups of {}", T::WORDS * 4)
        }

        fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
            array(bytes).ok_or_else(|| E::invalid_length(bytes.len(), &self))
        }
    }

    deserializer.deserialize_bytes(Bytes(std::marker::PhantomData))
}
