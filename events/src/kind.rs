//! What an event is, why one was dropped, and how a connection ended.

use core::fmt;

/// What happened. The value is the record's `kind` and the row of the counters map.
#[repr(u16)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EventType {
    /// A process replaced its image.
    Exec = 0,
    /// A process was created.
    Fork = 1,
    /// The last thread of a process ended.
    Exit = 2,
    /// A socket was told to connect.
    Connect = 3,
    /// A connection was accepted.
    Accept = 4,
    /// The first datagram of a socket to one destination.
    Send = 5,
    /// A TCP connection, or the attempt at one, ended.
    Close = 6,
}

impl EventType {
    /// Every type, in the order of their values.
    pub const ALL: [Self; 7] =
        [Self::Exec, Self::Fork, Self::Exit, Self::Connect, Self::Accept, Self::Send, Self::Close];

    /// The name used in the tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Exec => "exec",
            Self::Fork => "fork",
            Self::Exit => "exit",
            Self::Connect => "connect",
            Self::Accept => "accept",
            Self::Send => "send",
            Self::Close => "close",
        }
    }

    /// Its place in [`EventType::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The row of the kernel's counters map that counts how many were produced.
    #[must_use]
    pub const fn produced_slot(self) -> u32 {
        self as u32 * 2
    }

    /// The row of the kernel's counters map that counts how many found the ring full.
    #[must_use]
    pub const fn ring_full_slot(self) -> u32 {
        self as u32 * 2 + 1
    }

    /// Rows in the kernel's counters map.
    pub const SLOTS: u32 = Self::ALL.len() as u32 * 2;
}

/// The number is not an event type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownEventType(pub u16);

impl fmt::Display for UnknownEventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no event type has the number {}", self.0)
    }
}

impl core::error::Error for UnknownEventType {}

impl TryFrom<u16> for EventType {
    type Error = UnknownEventType;

    fn try_from(value: u16) -> Result<Self, Self::Error> {
        Self::ALL.get(usize::from(value)).copied().ok_or(UnknownEventType(value))
    }
}

/// Why an event did not reach the archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DropReason {
    /// The kernel found no room in the ring.
    RingFull,
    /// The record could not be decoded.
    Malformed,
    /// The end of this process was already recorded.
    Duplicate,
    /// The writer could not store the row.
    WriteFailed,
}

impl DropReason {
    /// Every reason.
    pub const ALL: [Self; 4] = [Self::RingFull, Self::Malformed, Self::Duplicate, Self::WriteFailed];

    /// The name used in the tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RingFull => "ring_full",
            Self::Malformed => "malformed",
            Self::Duplicate => "duplicate",
            Self::WriteFailed => "write_failed",
        }
    }
}

/// How a TCP connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Both sides said goodbye.
    Closed,
    /// The other side refused the attempt.
    Refused,
    /// The other side did not answer in time.
    Timeout,
    /// Cut off: reset, or given up by its owner.
    Aborted,
}

impl Outcome {
    /// The name used in the tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Refused => "refused",
            Self::Timeout => "timeout",
            Self::Aborted => "aborted",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_slots_are_dense() {
        for (i, kind) in EventType::ALL.into_iter().enumerate() {
            assert_eq!(kind.index(), i);
            assert_eq!(EventType::try_from(i as u16), Ok(kind));
            assert!(kind.ring_full_slot() < EventType::SLOTS);
        }
        assert_eq!(EventType::try_from(7), Err(UnknownEventType(7)));
    }
}
