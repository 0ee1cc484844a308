//! The value dictionary: hash to text, for saying what a baseline knows in words. Bounded, whatever is learned.

use std::collections::BTreeMap;

use crate::encode::Codes;
use crate::keys::{Pair, join, pair};
use crate::kind::mask::cut;

/// Most values kept.
pub(crate) const MAX_VALUES: usize = 1_000_000;
/// Most bytes of text kept.
pub(crate) const MAX_BYTES: usize = 64 << 20;
/// Bytes kept of one value.
const VALUE_BYTES: usize = 512;

/// Collects values. When there are too many, those with the smallest hashes stay, so that what is kept does not depend
/// on the order of learning.
#[derive(Debug, Default)]
pub(crate) struct ValueCollector {
    values: BTreeMap<u64, String>,
    bytes: usize,
    /// The smallest hash turned away so far.
    limit: Option<u64>,
}

impl ValueCollector {
    /// Adds the distinct values of a column that are marked.
    pub(crate) fn add(&mut self, codes: &Codes, used: &[bool]) {
        for ((hash, value), _) in codes.hashes.iter().zip(codes.values.iter()).zip(used).filter(|v| *v.1) {
            let (hash, Some(value)) = (join(*hash), value) else { continue };
            if self.limit.is_none_or(|l| hash < l) && !self.values.contains_key(&hash) {
                let kept = cut(value, VALUE_BYTES);
                self.bytes += kept.len();
                self.values.insert(hash, kept.to_owned());
                self.shrink();
            }
        }
    }

    fn shrink(&mut self) {
        while self.values.len() > MAX_VALUES || self.bytes > MAX_BYTES {
            let Some((hash, value)) = self.values.pop_last() else { return };
            self.bytes -= value.len();
            self.limit = Some(hash);
        }
    }

    /// The values, ascending by hash.
    pub(crate) fn finish(self) -> Vec<(Pair, String)> {
        self.values.into_iter().map(|(hash, value)| (pair(hash), value)).collect()
    }
}
