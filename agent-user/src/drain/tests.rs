//! Records in memory instead of rings.

use super::*;

/// Records as `(appears, bytes)`: a ring shows them in their order, none before its time. A record's position is its
/// number in the ring, times [`STEP`].
#[derive(Clone)]
struct Script {
    records: Vec<(u64, Vec<u8>)>,
    now: u64,
    seen: usize,
    committed: u64,
    size: u64,
}

const STEP: u64 = 1024;

impl Ring for Script {
    fn look(&mut self) -> Option<u64> {
        let there = self.records.get(self.seen).is_some_and(|(appears, _)| *appears <= self.now);
        there.then(|| {
            self.seen += 1;
            (self.seen as u64 - 1) * STEP
        })
    }

    fn record(&self, position: u64) -> &[u8] {
        assert!(position >= self.committed, "given back");
        &self.records[(position / STEP) as usize].1
    }

    fn seen(&self) -> u64 {
        self.seen as u64 * STEP
    }

    fn resume(&mut self, position: u64) {
        self.committed = self.committed.max(position);
        self.seen = (self.committed / STEP) as usize;
    }

    fn committed(&self) -> u64 {
        self.committed
    }

    fn size(&self) -> u64 {
        self.size
    }
}

fn record(time: u64, number: u64, len: usize) -> Vec<u8> {
    let mut bytes = number.to_le_bytes().to_vec();
    bytes.extend(time.to_le_bytes());
    bytes.resize(len.max(16), 0);
    bytes
}

/// When a record happened, when it appears, and its length.
type Told = (u64, u64, usize);

/// A drain over rings of these, every record with its own number.
fn drain(rings: &[Vec<Told>]) -> Drain<Script> {
    let mut number = 0;
    let ring = |times: &Vec<Told>| {
        let records = times.iter().map(|(time, appears, len)| {
            number += 1;
            (*appears, record(*time, number, *len))
        });
        Script { records: records.collect(), now: 0, seen: 0, committed: 0, size: 1 << 40 }
    };
    Drain::new(rings.iter().map(ring).collect())
}

fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

/// Runs a round at each time, then the rest; returns times and numbers as they came.
fn play(drain: &mut Drain<Script>, rounds: impl Iterator<Item = u64>) -> Vec<(u64, u64)> {
    let mut came = Vec::new();
    for now in rounds {
        round(drain, now, &mut came);
    }
    drain.rings.iter_mut().for_each(|ring| ring.now = u64::MAX);
    drain.rest();
    give(drain, &mut came);
    came
}

fn round(drain: &mut Drain<Script>, now: u64, came: &mut Vec<(u64, u64)>) {
    drain.rings.iter_mut().for_each(|ring| ring.now = now);
    drain.look_at(now);
    give(drain, came);
}

fn give(drain: &mut Drain<Script>, came: &mut Vec<(u64, u64)>) {
    while drain.give(&mut |bytes: &[u8]| came.push((word(bytes, 8), word(bytes, 0)))) > 0 {}
}

const MS: u64 = 1_000_000;

/// The same numbers each time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// Rings whose records appear up to `late` nanoseconds after their time, and the time between rounds.
fn rings(seed: u64, late: u64) -> (Vec<Vec<Told>>, usize) {
    let mut numbers = Numbers(seed);
    let mut rings = Vec::new();
    for _ in 0..=numbers.below(5) {
        let mut ring: Vec<_> = (0..numbers.below(200))
            .map(|_| {
                let time = MS + numbers.below(60 * MS);
                (time, time + numbers.below(late), 16 + numbers.below(400) as usize)
            })
            .collect();
        // A ring shows its records in the order in which they were written to it.
        ring.sort_by_key(|(_, appears, _)| *appears);
        rings.push(ring);
    }
    (rings, 1 + numbers.below(5 * MS) as usize)
}

fn assert_whole(rings: &[Vec<Told>], came: &[(u64, u64)]) {
    let mut numbers: Vec<u64> = came.iter().map(|(_, number)| *number).collect();
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq(1..=rings.iter().map(Vec::len).sum::<usize>() as u64));
}

#[test]
fn what_appears_within_the_window_comes_in_order() {
    for seed in 0..200 {
        let (rings, every) = rings(seed, MS / 2);
        let mut drain = drain(&rings);
        let came = play(&mut drain, (0..70 * MS).step_by(every.max(MS as usize / 50)));
        assert_whole(&rings, &came);
        assert!(came.is_sorted_by_key(|(time, _)| *time), "{seed}");
        assert_eq!((drain.order().late, drain.order().early), (0, 0), "{seed}");
    }
}

#[test]
fn what_is_too_late_is_given_and_counted() {
    for seed in 0..200 {
        let (rings, every) = rings(seed, 40 * MS);
        let mut drain = drain(&rings);
        let came = play(&mut drain, (0..105 * MS).step_by(every.max(MS as usize / 50)));
        assert_whole(&rings, &came);
        let mut newest = 0;
        let mut late = 0;
        for (time, _) in came {
            late += u64::from(time < newest);
            newest = newest.max(time);
        }
        assert_eq!(drain.order().late, late, "{seed}");
        assert!(drain.order().window_ns <= 50 * MS, "{seed}");
    }
}

#[test]
fn everything_left_at_the_end_comes_in_order() {
    for seed in 0..200 {
        let (rings, _) = rings(seed, 40 * MS);
        let mut drain = drain(&rings);
        let came = play(&mut drain, std::iter::empty());
        assert_whole(&rings, &came);
        assert!(came.is_sorted_by_key(|(time, _)| *time), "{seed}");
    }
}

#[test]
fn the_window_learns() {
    // One ring is 5 ms behind the other all the time.
    let times = |delay: u64| (1..4000).map(|at| (at * MS / 4, at * MS / 4 + delay, 100)).collect::<Vec<_>>();
    let mut drain = drain(&[times(0), times(5 * MS)]);
    let came = play(&mut drain, (0..1000).map(|at| at * MS));
    assert_eq!(came.len(), 2 * 3999);
    let order = drain.order();
    assert!(order.late > 0 && order.late < 100, "{order:?}");
    assert!((5 * MS..50 * MS).contains(&order.window_ns), "{order:?}");
}

#[test]
fn what_was_cut_is_not_given_again() {
    for seed in 0..200 {
        let (rings, every) = rings(seed, 4 * MS);
        let mut numbers = Numbers(seed);
        let mut drain = drain(&rings);
        // What a journal holds, and what was given since.
        let (mut stored, mut came, mut last) = (Vec::new(), Vec::new(), drain.cut());
        for now in (0..70 * MS).step_by(every.max(MS as usize / 50)) {
            round(&mut drain, now, &mut came);
            if numbers.below(4) == 0 {
                stored.append(&mut came);
                last = drain.cut();
                // Room may be given back later, or never before the end.
                if numbers.below(2) == 0 {
                    drain.rings.iter_mut().zip(&last).for_each(|(ring, given)| ring.committed = given.until);
                }
            }
            if numbers.below(20) == 0 {
                came.clear();
                let left =
                    drain.rings.iter().cloned().map(|ring| Script { seen: (ring.committed / STEP) as usize, ..ring });
                drain = Drain::new(left.collect()).resume(last.clone());
            }
        }
        stored.append(&mut came);
        stored.extend(play(&mut drain, std::iter::empty()));
        assert_whole(&rings, &stored);
    }
}

#[test]
fn a_ring_far_ahead_waits_for_the_other() {
    let many = |from: u64| (from..from + 4096).map(|time| (time, 0, 16)).collect::<Vec<_>>();
    let rings = [many(1_000_000), many(1)];
    let mut drain = drain(&rings);
    let came = play(&mut drain, (0..20).map(|at| 100 * MS + at * MS));
    assert_whole(&rings, &came);
    assert!(came.is_sorted_by_key(|(time, _)| *time));
    assert_eq!(drain.order().late, 0);
}

#[test]
fn what_takes_half_a_ring_is_given_early() {
    // Everything happens at once, within the window.
    let rings = [(1..64).map(|time| (100 * MS + time, 0, 16)).collect::<Vec<_>>()];
    for (size, early) in [(256, 0), (128, 0), (64, 63)] {
        let mut drain = drain(&rings);
        drain.rings[0].size = size * STEP;
        let mut came = Vec::new();
        round(&mut drain, 100 * MS + 64, &mut came);
        assert_eq!((came.len() as u64, drain.order().early), (early, early), "{size}");
        assert_eq!(drain.order().held_bytes_max, 63 * STEP);
        assert_eq!(drain.is_pressed(), size < 512, "{size}");
    }
}

#[test]
fn what_has_no_time_is_not_held_back() {
    let mut drain = drain(&[vec![(0, 0, 16), (50 * MS, 0, 16)]]);
    let mut came = Vec::new();
    round(&mut drain, 50 * MS, &mut came);
    assert_eq!((came.len(), drain.order().late), (1, 0));
}

#[test]
fn the_pace_stays_in_its_bounds() {
    let mut pace = Pace::default();
    (0..20).for_each(|_| pace.adapt(0));
    assert_eq!(pace.wait(), LONGEST);
    (0..20).for_each(|_| pace.adapt(1000));
    assert_eq!(pace.wait(), SHORTEST);
}
