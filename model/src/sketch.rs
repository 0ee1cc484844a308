//! What is left of cells that the table has no room for: a count-min sketch (docs/model.md §3, "Overflow").

use crate::keys::{Pair, absorb, finish};

/// What the places of a key in the sketch start from.
const SKETCH: Pair = [0x5CE7_C400, 0xC0DE_C0DE];
/// The fewest counters of a sketch that is needed at all.
const MIN_COUNTERS: u64 = 64;
/// The most counters: 256 MiB of them.
const MAX_COUNTERS: u64 = 1 << 26;

/// The number of counters for so many cells: a power of two, four or more for a cell, as far as allowed.
pub(crate) fn counters_for(cells: u64) -> usize {
    match cells {
        0 => 0,
        _ => (cells.saturating_mul(4)).clamp(MIN_COUNTERS, MAX_COUNTERS).next_power_of_two() as usize,
    }
}

/// The two places of a scoped key among `mask + 1` counters.
#[inline]
pub fn places(key: Pair, mask: u32) -> [u32; 2] {
    let [low, high] = finish(absorb(key, SKETCH));
    [low & mask, high & mask]
}

/// Enters a cell, which comes once and with its full count: so the greater of two counts in a place is enough, where a
/// sum would promise too much.
pub(crate) fn enter(sketch: &mut [u32], key: Pair, n: u32) {
    for place in places(key, sketch.len() as u32 - 1) {
        let counter = &mut sketch[place as usize];
        *counter = n.max(*counter);
    }
}

/// The sketch of some cells with different keys.
pub fn sketch(cells: &[(Pair, u32)]) -> Vec<u32> {
    let mut counters = vec![0; counters_for(cells.len() as u64)];
    cells.iter().for_each(|(key, n)| enter(&mut counters, *key, *n));
    counters
}

/// At least the count of a cell that was entered; for others most likely 0. An empty sketch knows nothing.
#[inline]
pub fn count(sketch: &[u32], key: Pair) -> u32 {
    if sketch.is_empty() {
        return 0;
    }
    let [a, b] = places(key, sketch.len() as u32 - 1);
    sketch[a as usize].min(sketch[b as usize])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::pair;
    use crate::testing::Rng;

    #[test]
    fn never_too_little_and_seldom_something_for_nothing() {
        for cells in [1u64, 10, 1000, 50_000] {
            let mut rng = Rng(cells);
            let entered: Vec<(Pair, u32)> = (0..cells).map(|_| (pair(rng.bits()), 1 + rng.skewed(9))).collect();
            let sketch = sketch(&entered);
            let greatest = entered.iter().map(|e| e.1).max().unwrap();
            for (key, n) in &entered {
                assert!((*n..=greatest).contains(&count(&sketch, *key)));
            }
            // At least four counters a cell, two of which it takes: (1 − e^(−1/2))² = 0.155 of strangers find two.
            let seen = (0..20_000).filter(|_| count(&sketch, pair(rng.bits())) > 0).count();
            assert!(seen < 20_000 * 17 / 100, "{seen} of 20,000 with {cells} cells");
        }
        assert_eq!(count(&[], [1, 2]), 0);
    }

    #[test]
    fn the_order_of_entering_does_not_matter() {
        let mut rng = Rng(7);
        let cells: Vec<(Pair, u32)> = (0..500).map(|_| (pair(rng.bits()), rng.below(100))).collect();
        let (mut forwards, mut backwards) = (vec![0; 512], vec![0; 512]);
        cells.iter().for_each(|(key, n)| enter(&mut forwards, *key, *n));
        cells.iter().rev().for_each(|(key, n)| enter(&mut backwards, *key, *n));
        assert_eq!(forwards, backwards);
    }

    #[test]
    fn its_size_is_bounded() {
        assert_eq!([counters_for(0), counters_for(1), counters_for(17)], [0, 64, 128]);
        assert_eq!([counters_for(1 << 30), counters_for(u64::MAX)], [1 << 26, 1 << 26]);
    }
}
