//! What an event is, why one was dropped, and how a connection ended.

use core::fmt;

macro_rules! event_types {
    ($($(#[$doc:meta])* $variant:ident = $number:literal, $name:literal, $table:ident;)*) => {
        /// What happened. The value is the record's `kind` and the row of the counters map.
        #[repr(u16)]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum EventType {
            $($(#[$doc])* $variant = $number,)*
        }

        impl EventType {
            /// Every type, in the order of their values.
            pub const ALL: [Self; [$($number),*].len()] = [$(Self::$variant),*];

            /// The name used in the tables.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// The table that its rows are in.
            #[must_use]
            pub const fn table(self) -> Table {
                match self {
                    $(Self::$variant => Table::$table,)*
                }
            }
        }
    };
}

/// The tables of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Table {
    /// What processes do.
    Process,
    /// What sockets do.
    Connection,
    /// Names asked for and answers.
    Dns,
}

event_types! {
    /// A process replaced its image.
    Exec = 0, "exec", Process;
    /// A process was created.
    Fork = 1, "fork", Process;
    /// The last thread of a process ended.
    Exit = 2, "exit", Process;
    /// A process was there when the agent started.
    Running = 3, "running", Process;
    /// A process changed its credentials.
    Credential = 4, "credential", Process;
    /// A process began to trace another.
    Ptrace = 5, "ptrace", Process;
    /// A process tried to load a kernel module.
    Module = 6, "module", Process;
    /// A process tried to load a BPF program.
    Bpf = 7, "bpf", Process;
    /// A process began or ceased to be summarised, because it made too many events.
    Throttle = 8, "throttle", Process;
    /// A socket was told to connect.
    Connect = 9, "connect", Connection;
    /// A connection was accepted.
    Accept = 10, "accept", Connection;
    /// The first datagram of a socket to one destination.
    Send = 11, "send", Connection;
    /// A socket was given an address of this machine.
    Bind = 12, "bind", Connection;
    /// A socket began to wait for connections.
    Listen = 13, "listen", Connection;
    /// A TCP connection, or the attempt at one, ended.
    Close = 14, "close", Connection;
    /// A UDP flow ended or fell silent.
    Flow = 15, "flow", Connection;
    /// A socket was there when the agent started.
    Open = 16, "open", Connection;
    /// A DNS message.
    Dns = 17, "dns", Dns;
}

impl EventType {
    /// Its place in [`EventType::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Whether a process that makes too many has them counted instead of reported.
    ///
    /// What says who a process is and that it is gone never is; nor is what only the agent itself makes.
    #[must_use]
    pub const fn may_be_summarised(self) -> bool {
        !matches!(self, Self::Exec | Self::Exit | Self::Running | Self::Open | Self::Throttle | Self::Flow)
    }

    /// The row of the kernel's counters map for a count of this type.
    #[must_use]
    pub const fn slot(self, count: Count) -> u32 {
        self as u32 * Count::ALL.len() as u32 + count as u32
    }

    /// Rows in the kernel's counters map. The last is that of [`UNIX_SLOT`].
    pub const SLOTS: u32 = (Self::ALL.len() * Count::ALL.len()) as u32 + 1;
}

/// The row of the kernel's counters map that counts unix sockets made. They are not events.
pub const UNIX_SLOT: u32 = EventType::SLOTS - 1;

/// What the kernel side counts of each event type: everything, and what became of it other than a record in a ring.
#[repr(u32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    /// Happened in scope.
    Produced = 0,
    /// Found no room in its ring.
    RingFull = 1,
    /// Found no room in a table of the kernel side.
    TableFull = 2,
    /// Belongs to a process that made too many.
    Summarised = 3,
}

impl Count {
    /// Every count.
    pub const ALL: [Self; 4] = [Self::Produced, Self::RingFull, Self::TableFull, Self::Summarised];
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
    /// The kernel found no room in its table of flows.
    TableFull,
    /// The record could not be decoded.
    Malformed,
    /// The same is already recorded: a second end of a process, or what is both in the start-up snapshot and live.
    Duplicate,
    /// The writer could not store the row.
    WriteFailed,
    /// The journal alone had more bytes than the archive may have.
    SpoolFull,
    /// The agent was killed with its loader before the row was in the journal.
    Killed,
}

impl DropReason {
    /// Every reason.
    pub const ALL: [Self; 7] = [
        Self::RingFull,
        Self::TableFull,
        Self::Malformed,
        Self::Duplicate,
        Self::WriteFailed,
        Self::SpoolFull,
        Self::Killed,
    ];

    /// The name used in the tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RingFull => "ring_full",
            Self::TableFull => "table_full",
            Self::Malformed => "malformed",
            Self::Duplicate => "duplicate",
            Self::WriteFailed => "write_failed",
            Self::SpoolFull => "spool_full",
            Self::Killed => "killed",
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
    /// There is no way to the other side.
    Unreachable,
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
            Self::Unreachable => "unreachable",
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
            assert!(Count::ALL.into_iter().all(|count| kind.slot(count) < UNIX_SLOT));
        }
        assert_eq!(EventType::try_from(18), Err(UnknownEventType(18)));
    }
}
