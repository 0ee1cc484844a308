//! The canonical table, filled in any order (docs/model.md §3).

use crate::cpu::huge_pages;
use crate::keys::{Pair, join};
use crate::snapshot::MIN_SLOTS;

/// An open-addressing table in the making. Of two keys that want a place the lesser has it (Amble and Knuth 1974), which
/// comes to the same as filling it in ascending order, and needs no sorted copy.
pub(crate) struct Layout {
    slots: Vec<[u32; 4]>,
    mask: usize,
}

impl Layout {
    /// A table for so many entries.
    pub(crate) fn new(entries: u64) -> Self {
        let capacity = (entries.saturating_mul(2)).next_power_of_two().max(MIN_SLOTS as u64) as usize;
        let mut slots = vec![[0; 4]; capacity];
        huge_pages(&mut slots);
        Self { slots, mask: capacity - 1 }
    }

    /// Places an entry, whose count is not 0. The table must have room for it.
    pub(crate) fn insert(&mut self, mut entry: [u32; 4]) {
        let mut at = entry[0] as usize & self.mask;
        loop {
            let there = &mut self.slots[at];
            if there[2] == 0 {
                *there = entry;
                return;
            }
            let (old, new) = (key_of(there), key_of(&entry));
            if old == new {
                // Two keys that collide: 64 bits of chance.
                *there = entry.min(*there);
                return;
            }
            if new < old {
                std::mem::swap(there, &mut entry);
            }
            at = (at + 1) & self.mask;
        }
    }

    pub(crate) fn finish(self) -> Vec<[u32; 4]> {
        self.slots
    }
}

fn key_of(entry: &[u32; 4]) -> u64 {
    let key: Pair = [entry[0], entry[1]];
    join(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::lay_out;
    use crate::testing::Rng;

    #[test]
    fn any_order_gives_the_table_of_the_ascending_one() {
        let mut rng = Rng(3);
        for entries in [0u32, 1, 31, 32, 33, 1000, 20_000] {
            // Homes crowd at the end of the table, so that runs are long and wrap.
            let home = |rng: &mut Rng| if rng.below(3) == 0 { u32::MAX - rng.below(40) } else { rng.bits() as u32 };
            let mut all: Vec<[u32; 4]> =
                (0..entries).map(|_| [home(&mut rng), rng.bits() as u32, 1 + rng.below(9), rng.below(3)]).collect();
            let want = lay_out(all.clone());
            for _ in 0..3 {
                let mut table = Layout::new(all.len() as u64);
                all.iter().for_each(|entry| table.insert(*entry));
                assert_eq!(table.finish(), want);
                (1..all.len()).for_each(|i| all.swap(i, rng.below(i as u32 + 1) as usize));
            }
        }
    }

    #[test]
    fn of_two_with_one_key_the_lesser_stays() {
        for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
            let entries = [[5, 5, 9, 0], [5, 5, 3, 7], [5, 5, 3, 8]];
            let mut table = Layout::new(3);
            order.into_iter().for_each(|i: usize| table.insert(entries[i]));
            assert_eq!(table.finish(), lay_out(entries.to_vec()));
        }
    }
}
