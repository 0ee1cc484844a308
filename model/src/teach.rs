//! How much one process may teach: caps for each unit, while a segment is counted (docs/model.md §3, "Caps").

use crate::keys::{PairMap, absorb, join, pair};

/// What one unit, such as a process tree in an hour, may add to a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caps {
    /// Most occurrences of one cell.
    pub max_count: u32,
    /// Most cells of one context of a view that the segment had not before.
    pub max_new: u32,
}

impl Default for Caps {
    fn default() -> Self {
        Self { max_count: 1000, max_new: 256 }
    }
}

/// Rows of a unit that are not followed cell by cell. They are taken to have been all of one cell and all new.
const UNFOLLOWED: u32 = 64;
/// Units and contexts remembered of a view, and as many again that were used before.
const MAX_UNITS: usize = 4096;
/// Cells of units remembered of a view, and as many again that were used before.
const MAX_CELLS: usize = 1 << 16;

/// Why something did not count, as [`crate::Segment::withheld`] has it.
pub(crate) const REASONS: [&str; 2] = ["one unit, the same too often", "one unit, too much that is new"];

/// What the units of one view have taught.
#[derive(Debug)]
pub(crate) struct Teachers {
    caps: Caps,
    /// Rows of a unit in a context, and new cells beyond the rows that were not followed.
    units: Recent<[u32; 2]>,
    /// Occurrences of a cell beyond them.
    cells: Recent<u32>,
    /// Occurrences refused, by [`REASONS`].
    pub(crate) withheld: [u64; 2],
}

impl Teachers {
    pub(crate) fn new(caps: Caps) -> Self {
        Self { caps, units: Recent::new(MAX_UNITS), cells: Recent::new(MAX_CELLS), withheld: [0; 2] }
    }

    /// Whether a cell of context number `context` may count once more; `known` if the segment has it.
    pub(crate) fn admits(&mut self, teacher: u64, context: u32, cell: u64, known: bool) -> bool {
        let [rows, new] = self.units.of(teacher ^ u64::from(context) << 32);
        *rows = rows.saturating_add(1);
        if *rows <= UNFOLLOWED {
            return true;
        }
        if !known && *new + UNFOLLOWED >= self.caps.max_new {
            self.withheld[1] += 1;
            return false;
        }
        *new += u32::from(!known);
        let count = self.cells.of(join(absorb(pair(teacher), pair(cell))));
        if *count + UNFOLLOWED >= self.caps.max_count {
            self.withheld[0] += 1;
            return false;
        }
        *count += 1;
        true
    }
}

/// A map that forgets what was not used for a while.
#[derive(Debug)]
struct Recent<V> {
    limit: usize,
    young: PairMap<V>,
    old: PairMap<V>,
}

impl<V: Default> Recent<V> {
    fn new(limit: usize) -> Self {
        Self { limit, young: PairMap::default(), old: PairMap::default() }
    }

    /// What is remembered under a key, or a new beginning.
    fn of(&mut self, key: u64) -> &mut V {
        if !self.young.contains_key(&key) {
            let known = self.old.remove(&key).unwrap_or_default();
            if self.young.len() >= self.limit {
                self.old = std::mem::take(&mut self.young);
            }
            self.young.insert(key, known);
        }
        self.young.entry(key).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn one_unit_adds_so_much_and_no_more() {
        let caps = Caps { max_count: 100, max_new: 70 };
        let mut teachers = Teachers::new(caps);
        let same = (0..1_000_000).filter(|i| teachers.admits(1, 0, 5, *i > 0)).count();
        assert_eq!((same, teachers.withheld), (100, [999_900, 0]));
        let new: BTreeSet<u64> = (0..100_000).filter(|i| teachers.admits(2, 0, *i, false)).collect();
        assert_eq!((new.len(), teachers.withheld[1]), (70, 99_930));
        assert!(teachers.admits(3, 0, 5, true), "another unit may");
        assert!(teachers.admits(2, 1, 5, false), "another context may");
        assert!(!teachers.admits(1, 0, 5, true), "it is remembered");
        assert!(teachers.admits(2, 0, 5, true), "what the segment has is not new");
    }

    #[test]
    fn what_is_used_stays_and_memory_is_bounded() {
        let mut recent = Recent::new(100);
        *recent.of(7) = 1;
        for key in 1000..100_000 {
            recent.of(key);
            assert_eq!(*recent.of(7), 1);
            assert!(recent.young.len() + recent.old.len() <= 200);
        }
        (0..300).for_each(|key| *recent.of(1 << 40 | key) = 1);
        assert_eq!(*recent.of(7), 0);
    }
}
