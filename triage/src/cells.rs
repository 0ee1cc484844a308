//! Cells of batches: what is not there, or not of the type, is none.

use std::net::IpAddr;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, TimestampNanosecondType, UInt16Type, UInt32Type};
use arrow_array::{Array, DictionaryArray, FixedSizeBinaryArray, PrimitiveArray, RecordBatch, StringArray};
use events::ProcessKey;

/// A column of texts that repeat.
pub(crate) struct Words<'a>(Option<(&'a DictionaryArray<Int32Type>, &'a StringArray)>);

impl<'a> Words<'a> {
    pub(crate) fn of(batch: &'a RecordBatch, column: &str) -> Self {
        let found = batch.column_by_name(column).and_then(|column| column.as_dictionary_opt::<Int32Type>());
        Self(found.and_then(|words| Some((words, words.values().as_string_opt::<i32>()?))))
    }

    /// Number of the distinct word in a row.
    pub(crate) fn code(&self, row: usize) -> Option<usize> {
        self.0.and_then(|(words, _)| words.key(row))
    }

    /// The text in a row.
    pub(crate) fn at(&self, row: usize) -> Option<&'a str> {
        let (words, values) = self.0?;
        words.key(row).filter(|code| values.is_valid(*code)).map(|code| values.value(code))
    }

    /// Something made of each distinct word.
    pub(crate) fn map<T>(&self, make: impl Fn(Option<&'a str>) -> T) -> Vec<T> {
        self.0.map(|(_, values)| values.iter().map(make).collect()).unwrap_or_default()
    }
}

/// A column of process keys.
pub(crate) struct Keys<'a>(Option<&'a FixedSizeBinaryArray>);

impl<'a> Keys<'a> {
    pub(crate) fn of(batch: &'a RecordBatch, column: &str) -> Self {
        Self(batch.column_by_name(column).and_then(|column| column.as_fixed_size_binary_opt()))
    }

    pub(crate) fn at(&self, row: usize) -> Option<ProcessKey> {
        let keys = self.0.filter(|keys| keys.is_valid(row))?;
        keys.value(row).try_into().ok().map(ProcessKey::from_bytes)
    }
}

/// A column of times; 0 where there is none.
pub(crate) struct Times<'a>(Option<&'a PrimitiveArray<TimestampNanosecondType>>);

impl<'a> Times<'a> {
    pub(crate) fn of(batch: &'a RecordBatch, column: &str) -> Self {
        Self(batch.column_by_name(column).and_then(|column| column.as_primitive_opt()))
    }

    pub(crate) fn at(&self, row: usize) -> i64 {
        self.0.map_or(0, |times| times.value(row))
    }
}

/// A number of 16 or 32 bits.
pub(crate) fn number(batch: &RecordBatch, column: &str, row: usize) -> Option<u32> {
    let column = batch.column_by_name(column).filter(|column| column.is_valid(row))?;
    let short = || column.as_primitive_opt::<UInt16Type>().map(|numbers| u32::from(numbers.value(row)));
    column.as_primitive_opt::<UInt32Type>().map(|numbers| numbers.value(row)).or_else(short)
}

/// An address as 16 bytes, IPv4 as v4-mapped, and whether it is loopback.
pub(crate) fn address(text: Option<&str>) -> Option<([u8; 16], bool)> {
    let ip: IpAddr = text?.parse().ok()?;
    let bytes = match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    };
    Some((bytes, ip.is_loopback()))
}

/// A hash that is the same everywhere and always.
pub(crate) fn hash64(bytes: &[u8]) -> u64 {
    use std::hash::Hasher;
    let mut hash = siphasher::sip::SipHasher13::new_with_keys(0, 0);
    hash.write(bytes);
    hash.finish()
}
