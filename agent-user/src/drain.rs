//! Reads all rings and gives their records in the order in which the kernel saw them.
//!
//! A record's time is taken before it stands in its ring, so an older record can appear after a newer one. The newest
//! records therefore wait for a window of time, which widens when it was too narrow for one and narrows slowly. What
//! comes too late for it is given all the same, and counted.
//!
//! Records wait where they are: a ring has its room back when what was made of its records is in the journal
//! (`docs/decisions/0014-journal-first.md`). So no record is copied, and what waits is bounded by the rings.

mod ring;
#[cfg(test)]
mod tests;
mod window;

use crate::kernel;
use serde::{Deserialize, Serialize};
use std::{collections::HashSet, time::Duration};
use window::Window;

pub use ring::{Consumer, KernelRing};

/// Records given at once, at most.
pub const GIVEN: usize = 1024;
/// The time between rounds adapts within these.
const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_millis(100);

/// Where records come from. A position counts bytes since the ring was made.
pub trait Ring {
    /// Sees one record more, if there is one: its position.
    fn look(&mut self) -> Option<u64>;
    /// A record that was seen and is not committed.
    fn record(&self, position: u64) -> &[u8];
    /// Up to where records were seen.
    fn seen(&self) -> u64;
    /// Goes on from a position, if it is not behind the committed one. For the beginning.
    fn resume(&mut self, position: u64);
    /// Up to where its room was given back.
    fn committed(&self) -> u64;
    /// Its size in bytes.
    fn size(&self) -> u64;
}

/// How well records were put in order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Order {
    /// How long the newest records wait now, in nanoseconds.
    pub window_ns: u64,
    /// Records that came when a newer one had been given.
    pub late: u64,
    /// Records given before their time, because they took half a ring.
    pub early: u64,
    /// Most bytes of the rings that were ever waiting, for their order or for the journal.
    pub held_bytes_max: u64,
}

/// What was given of one ring.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Given {
    /// Every record before this position.
    pub until: u64,
    /// And these, which lie beyond it.
    pub ahead: Vec<u64>,
}

/// A record that waits.
#[derive(Clone, Copy)]
struct Entry {
    time: u64,
    position: u64,
    ring: usize,
}

/// The rings and what waits for a later round.
pub struct Drain<R = KernelRing> {
    rings: Vec<R>,
    /// In the order of time, after [`Drain::look`].
    waiting: Vec<Entry>,
    /// How many of them are due, from the first.
    due: usize,
    /// By ring, what was given and lies beyond the last cut.
    given: Vec<Given>,
    /// Ring and position of records that were given by the one before.
    skip: HashSet<(usize, u64)>,
    window: Window,
    order: Order,
}

impl<R: Ring> Drain<R> {
    /// Takes over the rings.
    #[must_use]
    pub fn new(rings: Vec<R>) -> Self {
        let given = rings.iter().map(|ring| Given { until: ring.committed(), ahead: Vec::new() }).collect();
        let (window, order) = Default::default();
        Self { rings, waiting: Vec::new(), due: 0, given, skip: HashSet::new(), window, order }
    }

    /// Goes on where another stopped: what it gave is not given again. For the beginning.
    #[must_use]
    pub fn resume(mut self, given: Vec<Given>) -> Self {
        for (at, given) in given.into_iter().enumerate().take(self.rings.len()) {
            self.rings[at].resume(given.until);
            self.skip.extend(given.ahead.iter().map(|position| (at, *position)));
            self.given[at] = given;
        }
        self
    }

    /// The rings.
    #[must_use]
    pub fn rings(&self) -> &[R] {
        &self.rings
    }

    /// How well records were put in order.
    #[must_use]
    pub fn order(&self) -> Order {
        Order { window_ns: self.window.width(), ..self.order }
    }

    /// Sees what the rings have now. What is older than the window is due.
    pub fn look(&mut self) {
        self.look_at(kernel::boot_time());
    }

    /// As [`Drain::look`], at `now` nanoseconds since boot.
    fn look_at(&mut self, now: u64) {
        self.see();
        self.make_due(self.window.line(now));
        if let Some(until) = self.crowded() {
            let due = self.due;
            self.make_due(until);
            self.order.early += (self.due - due) as u64;
        }
        self.window.narrow(now);
    }

    /// Everything that is in the rings and that waits is due. For when nothing is attached any more.
    pub fn rest(&mut self) {
        self.see();
        self.make_due(u64::MAX);
    }

    /// Gives records that are due, in order, [`GIVEN`] at most; returns how many.
    pub fn give(&mut self, each: &mut dyn FnMut(&[u8])) -> usize {
        let count = self.due.min(GIVEN);
        for entry in self.waiting.drain(..count) {
            each(self.rings[entry.ring].record(entry.position));
            self.given[entry.ring].ahead.push(entry.position);
        }
        self.due -= count;
        count
    }

    /// Whether so much of a ring waits for the journal that it should not wait for more.
    #[must_use]
    pub fn is_pressed(&self) -> bool {
        // Before the kernel wakes us for every record, which it does from a quarter on.
        self.rings.iter().any(|ring| ring.seen() - ring.committed() > ring.size() / 8)
    }

    /// What was given so far, for whoever goes on from here.
    pub fn cut(&mut self) -> Vec<Given> {
        for (given, ring) in self.given.iter_mut().zip(&self.rings) {
            given.until = ring.seen();
        }
        for entry in &self.waiting {
            let given = &mut self.given[entry.ring];
            given.until = given.until.min(entry.position);
        }
        for given in &mut self.given {
            given.ahead.retain(|position| *position >= given.until);
        }
        self.given.clone()
    }

    fn see(&mut self) {
        for (at, ring) in self.rings.iter_mut().enumerate() {
            while let Some(position) = ring.look() {
                if !self.skip.is_empty() && self.skip.remove(&(at, position)) {
                    continue;
                }
                // Every record has its time in the second word. What is too short to have one is not held back.
                let word = ring.record(position).get(8..16).and_then(|word| word.try_into().ok());
                let time = word.map_or(0, u64::from_le_bytes);
                self.waiting.push(Entry { time, position, ring: at });
            }
        }
        // What is in order already, which is most of it, is found to be so and costs little.
        self.waiting.sort_by_key(|entry| entry.time);
        let held = self.rings.iter().map(|ring| ring.seen() - ring.committed()).sum();
        self.order.held_bytes_max = self.order.held_bytes_max.max(held);
    }

    /// If what waits for its order takes half of a ring: the newest time of what must go now.
    fn crowded(&self) -> Option<u64> {
        let mut oldest: Vec<Option<u64>> = vec![None; self.rings.len()];
        let mut newest = vec![0; self.rings.len()];
        for entry in &self.waiting[self.due..] {
            let first = oldest[entry.ring].get_or_insert(entry.position);
            *first = (*first).min(entry.position);
            newest[entry.ring] = entry.time.max(newest[entry.ring]);
        }
        let crowded = |(at, ring): &(usize, &R)| oldest[*at].is_some_and(|first| ring.seen() - first > ring.size() / 2);
        self.rings.iter().enumerate().filter(crowded).map(|(at, _)| newest[at]).max()
    }

    /// What happened until a time is due.
    fn make_due(&mut self, until: u64) {
        // What is late already waits no longer, however wide the window has become.
        let until = until.max(self.window.given());
        let due = self.waiting.partition_point(|entry| entry.time <= until);
        let new = &self.waiting[self.due.min(due)..due];
        let timed = &new[new.partition_point(|entry| entry.time == 0)..];
        if let (Some(oldest), Some(newest)) = (timed.first(), timed.last()) {
            self.order.late += timed.partition_point(|entry| entry.time < self.window.given()) as u64;
            self.window.passed((oldest.time, newest.time));
        }
        self.due = due.max(self.due);
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
            // A round costs as much as some records do: a few alone are not worth one.
            1..64 => (self.0 * 5 / 4).min(LONGEST),
            64..512 => self.0,
            _ => (self.0 / 2).max(SHORTEST),
        };
    }
}
