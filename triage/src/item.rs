//! What is grouped: findings, what they carry, and what the archive says of that.

use std::collections::{BTreeSet, HashMap};

use ahash::RandomState;
use events::ProcessKey;

/// Maps with fast hashing; nothing depends on their order.
pub type Map<K, V> = HashMap<K, V, RandomState>;

/// A value that more trees than this carry is common, whatever else is true.
pub const RARE_TREES: usize = 32;

/// A finding, as far as grouping needs it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Item {
    /// Its id, as a number.
    pub id: u64,
    /// What an incident is called of which its unit is the anchor, as a number.
    pub name: u64,
    /// Kind and key of its unit.
    pub subject: u64,
    /// Start of the unit's window, nanoseconds, UTC.
    pub window: i64,
    /// Time of its most surprising row.
    pub time: i64,
    /// Units like this are 1 in 2^log2_n.
    pub log2_n: f32,
    /// Number of its host, in the order of names.
    pub host: u32,
    /// The process tree, if the unit is one.
    pub tree: Option<ProcessKey>,
}

/// Something that findings can share. Text is kept elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Value {
    /// A process tree: that of the finding, or one above it.
    Tree(ProcessKey),
    /// Where a surprising connection went, or where connections were accepted.
    Destination {
        /// Address, IPv4 as v4-mapped.
        ip: [u8; 16],
        /// Port.
        port: u16,
        /// The host, of addresses that mean another machine on each: loopback.
        host: Option<u32>,
    },
    /// A DNS name, by its hash.
    Name(u64),
    /// Who logged in, else a user id that is a person's.
    User(u32),
}

/// The first trees that carried a value, and when.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// Hash of the tree and its first time, the earliest first; [`RARE_TREES`] and one more at most.
    first: Vec<(i64, u64)>,
}

impl Seen {
    /// A tree carried it at a time.
    pub fn add(&mut self, tree: u64, time: i64) {
        let full = self.first.len() > RARE_TREES;
        if full && self.first.last().is_some_and(|last| (time, tree) >= *last) {
            return;
        }
        match self.first.iter().position(|(_, known)| *known == tree) {
            Some(at) if self.first[at].0 <= time => return,
            Some(at) => drop(self.first.remove(at)),
            None => {}
        }
        let at = self.first.partition_point(|known| *known < (time, tree));
        self.first.insert(at, (time, tree));
        self.first.truncate(RARE_TREES + 1);
    }

    /// As if what the other saw had been added.
    pub fn merge(&mut self, other: &Self) {
        other.first.iter().for_each(|(time, tree)| self.add(*tree, *time));
    }

    /// How many trees carried it up to a time; [`RARE_TREES`] and one stand for all that are more.
    #[must_use]
    pub fn until(&self, time: i64) -> usize {
        self.first.partition_point(|(first, _)| *first <= time)
    }
}

/// What findings carry, and how common that is.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    /// Values by finding (its place among the items), in any order.
    pub carried: Vec<(Value, u32)>,
    /// Destinations that a finding's tree served in its window.
    pub served: BTreeSet<(Value, u32)>,
    /// How common values are that several findings carry.
    pub seen: Map<Value, Seen>,
    /// The tree that a tree was started from.
    pub up: Map<ProcessKey, ProcessKey>,
    /// Process trees in the archive.
    pub trees: u64,
}

/// Trees above one are followed no further than this.
pub const LEVELS: usize = 4;

impl Evidence {
    /// The trees above one, the nearest first.
    pub fn above(&self, tree: ProcessKey) -> impl Iterator<Item = ProcessKey> + '_ {
        let mut at = tree;
        std::iter::from_fn(move || {
            at = *self.up.get(&at)?;
            Some(at)
        })
        .take(LEVELS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn trees_are_counted_to_the_moment_whatever_the_order(
            adds in proptest::collection::vec((0u64..60, 0i64..1000), 0..300),
            split in 0usize..300,
        ) {
            let (mut whole, mut left, mut right) = (Seen::default(), Seen::default(), Seen::default());
            let mut first: std::collections::BTreeMap<u64, i64> = std::collections::BTreeMap::new();
            for (at, (tree, time)) in adds.iter().enumerate() {
                whole.add(*tree, *time);
                if at < split { left.add(*tree, *time) } else { right.add(*tree, *time) }
                let known = first.entry(*tree).or_insert(*time);
                *known = (*known).min(*time);
            }
            right.merge(&left);
            proptest::prop_assert_eq!(&whole, &right);
            for time in [0, 10, 500, 999] {
                let exact = first.values().filter(|t| **t <= time).count();
                proptest::prop_assert_eq!(whole.until(time), exact.min(RARE_TREES + 1));
            }
        }
    }
}
