//! Reads all rings and gives their records in the order in which the kernel saw them.
//!
//! A record's time is taken before it stands in its ring, so an older record can appear after a newer one. The newest
//! records therefore wait for a window of time, which widens when it was too narrow for one and narrows slowly. What
//! comes too late for it is given all the same, and counted.

mod held;
#[cfg(test)]
mod tests;
mod window;

use crate::kernel;
use aya::maps::{MapData, RingBuf};
use held::Held;
use std::time::Duration;
use window::Window;

/// Bytes that wait at most, of all rings together; one record of each ring may come on top.
const HELD_MAX: usize = 8 << 20;
/// The time between rounds adapts within these.
const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_millis(100);

/// Where records come from.
pub trait Ring {
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

/// How well records were put in order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Order {
    /// How long the newest records wait now, in nanoseconds.
    pub window_ns: u64,
    /// Records that came when a newer one had been given.
    pub late: u64,
    /// Records given before their time, because too many bytes waited.
    pub early: u64,
    /// Most bytes that ever waited.
    pub held_bytes_max: u64,
}

/// The rings and what waits for a later round.
pub struct Drain<R = RingBuf<MapData>> {
    rings: Vec<R>,
    held: Held,
    window: Window,
    order: Order,
}

impl<R: Ring> Drain<R> {
    /// Takes over the rings.
    #[must_use]
    pub fn new(rings: Vec<R>) -> Self {
        let held = Held::new(rings.len());
        Self { rings, held, window: Window::default(), order: Order::default() }
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

    /// One round; returns how many records it gave.
    pub fn round(&mut self, each: &mut dyn FnMut(&[u8])) -> usize {
        self.round_at(kernel::boot_time(), each)
    }

    /// One round at `now` nanoseconds since boot: takes in what the rings have, gives what is older than the window.
    pub fn round_at(&mut self, now: u64, each: &mut dyn FnMut(&[u8])) -> usize {
        let share = HELD_MAX / self.rings.len().max(1);
        // Of the rings that have more than their share, the one that is furthest behind: when its newest record was.
        let mut behind: Option<(u64, usize)> = None;
        for (at, ring) in self.rings.iter_mut().enumerate() {
            while self.held.of(at) < share && ring.pull(|record| self.held.push(at, record)) {}
            if self.held.of(at) >= share {
                let newest = (self.held.newest(at), at);
                behind = Some(behind.map_or(newest, |other| other.min(newest)));
            }
        }
        let until = behind.map_or(now, |(newest, _)| newest.min(now));
        let mut given = self.release(self.window.line(until), each);
        if let Some((newest, at)) = behind
            && self.held.of(at) > share / 2
        {
            let early = self.release(newest, each);
            self.order.early += early as u64;
            given += early;
        }
        self.window.narrow(now);
        given
    }

    /// Everything that is in the rings and that waits, in order. For when nothing is attached any more: the rings
    /// bound it then.
    pub fn rest(&mut self, each: &mut dyn FnMut(&[u8])) -> usize {
        for (at, ring) in self.rings.iter_mut().enumerate() {
            while ring.pull(|record| self.held.push(at, record)) {}
        }
        self.release(u64::MAX, each)
    }

    fn release(&mut self, until: u64, each: &mut dyn FnMut(&[u8])) -> usize {
        self.order.held_bytes_max = self.order.held_bytes_max.max(self.held.bytes() as u64);
        // What is late already waits no longer, however wide the window has become.
        let (given, span) = self.held.sort(until.max(self.window.given()));
        if let Some(span) = span {
            self.order.late += self.held.older(self.window.given()) as u64;
            self.window.passed(span);
        }
        self.held.release(given, each);
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
            // A round costs as much as some records do: a few alone are not worth one.
            1..64 => (self.0 * 5 / 4).min(LONGEST),
            64..512 => self.0,
            _ => (self.0 / 2).max(SHORTEST),
        };
    }
}
