//! Reads all rings and gives their records in the order in which the kernel saw them.
//!
//! A round notes the time, then empties the socket rings, then the lifecycle ring. Records up to the noted time are then all
//! there, whichever ring they are in; later ones wait for the next round.

use crate::{kernel, load::Rings};
use aya::maps::{MapData, RingBuf};
use std::time::Duration;

/// Records taken from one ring in one round, at most.
const ROUND: usize = 65_536;
/// The time between rounds adapts within these.
const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_millis(100);

/// The rings and what waits for the next round.
pub struct Drain {
    rings: Rings,
    held: Held,
}

impl Drain {
    /// Takes over the rings.
    #[must_use]
    pub fn new(rings: Rings) -> Self {
        Self { rings, held: Held::default() }
    }

    /// The rings.
    #[must_use]
    pub fn rings(&self) -> &Rings {
        &self.rings
    }

    /// One round; returns how many records it gave.
    pub fn round(&mut self, each: &mut dyn FnMut(&[u8])) -> usize {
        round(&mut self.held, &mut self.rings.sockets, &mut self.rings.lifecycle, each)
    }

    /// Rounds until all rings are empty, all records given. For when nothing is attached any more.
    pub fn rest(&mut self, each: &mut dyn FnMut(&[u8])) -> usize {
        rest(&mut self.held, &mut self.rings.sockets, &mut self.rings.lifecycle, each)
    }
}

/// Where records come from.
trait Ring {
    /// Takes one record, if there is one.
    fn pull(&mut self, take: impl FnOnce(&[u8])) -> bool;
}

impl Ring for RingBuf<MapData> {
    fn pull(&mut self, take: impl FnOnce(&[u8])) -> bool {
        self.next().is_some_and(|record| {
            take(&record);
            true
        })
    }
}

fn round<R: Ring>(held: &mut Held, sockets: &mut [R], lifecycle: &mut R, each: &mut dyn FnMut(&[u8])) -> usize {
    let mut until = kernel::boot_time();
    for ring in sockets.iter_mut().chain([lifecycle]) {
        until = until.min(held.fill(ring));
    }
    held.release(until, each)
}

fn rest<R: Ring>(held: &mut Held, sockets: &mut [R], lifecycle: &mut R, each: &mut dyn FnMut(&[u8])) -> usize {
    let mut given = 0;
    loop {
        match round(held, sockets, lifecycle, each) {
            // Only now nothing older can come: a round takes a bounded number from each ring.
            0 => return given + held.release(u64::MAX, each),
            some => given += some,
        }
    }
}

/// Records in one stretch of memory, which is used again.
#[derive(Default)]
struct Held {
    bytes: Vec<u8>,
    /// Time, start and end of each.
    index: Vec<(u64, usize, usize)>,
    spare: Vec<u8>,
}

impl Held {
    /// Empties a ring; returns until when its records are all here.
    fn fill(&mut self, ring: &mut impl Ring) -> u64 {
        for _ in 0..ROUND {
            if !ring.pull(|record| self.push(record)) {
                return u64::MAX;
            }
        }
        self.index.last().map_or(u64::MAX, |(time, ..)| *time)
    }

    fn push(&mut self, record: &[u8]) {
        // Every record has its time in the second word. What is too short to have one is not held back.
        let time = record.get(8..16).and_then(|word| word.try_into().ok()).map_or(0, u64::from_le_bytes);
        let start = self.bytes.len();
        self.bytes.extend_from_slice(record);
        self.index.push((time, start, self.bytes.len()));
    }

    /// Gives the records up to a time, oldest first, and keeps the others.
    fn release(&mut self, until: u64, each: &mut dyn FnMut(&[u8])) -> usize {
        self.index.sort_by_key(|(time, ..)| *time);
        let given = self.index.partition_point(|(time, ..)| *time <= until);
        for (_, start, end) in self.index.drain(..given) {
            each(&self.bytes[start..end]);
        }
        let mut kept = std::mem::take(&mut self.spare);
        for (_, start, end) in &mut self.index {
            let at = kept.len();
            kept.extend_from_slice(&self.bytes[*start..*end]);
            (*start, *end) = (at, kept.len());
        }
        self.spare = std::mem::replace(&mut self.bytes, kept);
        self.spare.clear();
        given
    }
}

/// How long to wait before the next round: short while there is much to do, long when there is nothing.
#[derive(Debug, Clone, Copy)]
pub struct Pace(Duration);

impl Default for Pace {
    fn default() -> Self {
        Self(SHORTEST)
    }
}

impl Pace {
    /// The wait.
    #[must_use]
    pub fn wait(self) -> Duration {
        self.0
    }

    /// Adapts to what a round gave.
    pub fn adapt(&mut self, given: usize) {
        self.0 = match given {
            0 => (self.0 * 2).min(LONGEST),
            1..64 => self.0,
            _ => (self.0 / 2).max(SHORTEST),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(time: u64, mark: u8) -> Vec<u8> {
        let mut bytes = vec![mark; 8];
        bytes.extend(time.to_le_bytes());
        bytes
    }

    #[test]
    fn records_come_in_the_kernels_order_and_later_ones_wait() {
        let mut held = Held::default();
        let mut seen = Vec::new();
        [(30, b's'), (50, b't'), (10, b'a'), (30, b'l'), (60, b'z')]
            .iter()
            .for_each(|(time, mark)| held.push(&record(*time, *mark)));
        held.push(b"short");
        assert_eq!(held.release(40, &mut |bytes: &[u8]| seen.push(bytes[0])), 4);
        held.push(&record(55, b'n'));
        assert_eq!(held.release(u64::MAX, &mut |bytes: &[u8]| seen.push(bytes[0])), 3);
        assert_eq!(seen, b"saslt nz".iter().filter(|b| **b != b' ').copied().collect::<Vec<_>>());
        assert_eq!(held.release(u64::MAX, &mut |_: &[u8]| panic!("nothing is left")), 0);
    }

    impl Ring for std::vec::IntoIter<Vec<u8>> {
        fn pull(&mut self, take: impl FnOnce(&[u8])) -> bool {
            self.next().map(|record| take(&record)).is_some()
        }
    }

    #[test]
    fn the_rest_comes_in_order_even_if_it_is_more_than_a_round() {
        let many = 3 * ROUND as u64;
        let records = |times: std::ops::Range<u64>, mark| times.map(|time| record(time, mark)).collect::<Vec<_>>();
        // One ring is much further in time than the other after a round.
        let mut sockets = [records(many - 10..many + 10, b's').into_iter()];
        let mut lifecycle = records(0..many, b'l').into_iter();
        let mut times = Vec::new();
        let mut each = |bytes: &[u8]| times.push(u64::from_le_bytes(bytes[8..].try_into().unwrap()));
        assert_eq!(rest(&mut Held::default(), &mut sockets, &mut lifecycle, &mut each), 3 * ROUND + 20);
        assert!(times.is_sorted());
    }

    #[test]
    fn the_pace_stays_in_its_bounds() {
        let mut pace = Pace::default();
        (0..20).for_each(|_| pace.adapt(0));
        assert_eq!(pace.wait(), LONGEST);
        (0..20).for_each(|_| pace.adapt(1000));
        assert_eq!(pace.wait(), SHORTEST);
    }
}
