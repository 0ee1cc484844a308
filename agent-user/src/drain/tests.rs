//! Records in memory instead of rings.

use super::*;
use std::collections::VecDeque;

/// Records as `(appears, bytes)`: a ring shows them in their order, none before its time.
struct Script {
    records: VecDeque<(u64, Vec<u8>)>,
    now: u64,
}

impl Ring for Script {
    fn pull(&mut self, take: impl FnOnce(&[u8])) -> bool {
        let there = self.records.front().is_some_and(|(appears, _)| *appears <= self.now);
        there.then(|| self.records.pop_front()).flatten().map(|(_, record)| take(&record)).is_some()
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
        Script { records: records.collect(), now: 0 }
    };
    Drain::new(rings.iter().map(ring).collect())
}

fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

/// Runs a round at each time, then the rest; returns times and numbers as they came.
fn play(drain: &mut Drain<Script>, rounds: impl Iterator<Item = u64>) -> Vec<(u64, u64)> {
    let mut came = Vec::new();
    let mut each = |bytes: &[u8]| came.push((word(bytes, 8), word(bytes, 0)));
    for now in rounds {
        drain.rings.iter_mut().for_each(|ring| ring.now = now);
        drain.round_at(now, &mut each);
    }
    drain.rings.iter_mut().for_each(|ring| ring.now = u64::MAX);
    drain.rest(&mut each);
    came
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
fn a_ring_far_ahead_waits_in_the_kernel() {
    // 24 MiB in each ring, one all after the other: in order, and never more in memory than may be.
    let many = |from: u64| (from..from + 24 * 1024).map(|time| (time, 0, 1024)).collect::<Vec<_>>();
    let rings = [many(1_000_000), many(1)];
    let mut drain = drain(&rings);
    let came = play(&mut drain, (0..200).map(|at| 100 * MS + at * MS));
    assert_whole(&rings, &came);
    assert!(came.is_sorted_by_key(|(time, _)| *time));
    let order = drain.order();
    assert!(order.held_bytes_max <= (HELD_MAX + 2048) as u64 && order.late == 0, "{order:?}");
}

#[test]
fn too_much_for_the_window_is_given_early() {
    // Everything happens at once, within the window: memory stays bounded all the same.
    let rings = [(1..40_000).map(|time| (100 * MS + time, 0, 1024)).collect::<Vec<_>>()];
    let mut drain = drain(&rings);
    let came = play(&mut drain, (0..20).map(|at| 100 * MS + 40_000 + at));
    assert_whole(&rings, &came);
    let order = drain.order();
    assert!(order.early > 0 && order.held_bytes_max <= (HELD_MAX + 1024) as u64, "{order:?}");
}

#[test]
fn what_has_no_time_is_not_held_back() {
    let mut drain = drain(&[vec![(0, 0, 16), (50 * MS, 0, 16)]]);
    let mut came = 0;
    assert_eq!(drain.round_at(50 * MS, &mut |_: &[u8]| came += 1), 1);
    assert_eq!((came, drain.order().late), (1, 0));
}

#[test]
fn the_pace_stays_in_its_bounds() {
    let mut pace = Pace::default();
    (0..20).for_each(|_| pace.adapt(0));
    assert_eq!(pace.wait(), LONGEST);
    (0..20).for_each(|_| pace.adapt(1000));
    assert_eq!(pace.wait(), SHORTEST);
}
