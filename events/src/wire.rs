//! Records as they lie in the rings: a fixed head, then a variable tail. Little endian, no padding.
//!
//! Times are nanoseconds since boot, suspend included. Addresses are 16 bytes; IPv4 is written as `::ffff:a.b.c.d`.

use crate::{EventType, Outcome};
use bytemuck::{Pod, Zeroable};
use core::mem::offset_of;

/// Argument bytes that a record holds at most.
pub const ARGS_MAX: usize = 4095;
/// Bytes of each path that a record holds at most.
pub const PATH_MAX: usize = 255;

/// Head of every process record, and all of a fork.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct TaskHead {
    /// [`EventType`] as a number.
    pub kind: u16,
    /// Zero.
    pub flags: u16,
    /// Thread group id.
    pub tgid: u32,
    /// When it happened.
    pub time: u64,
    /// When the process started.
    pub start: u64,
    /// When its parent started.
    pub parent_start: u64,
    /// Id of the cgroup it is in.
    pub cgroup: u64,
    /// Thread group id of its parent, 0 if it has none.
    pub parent_tgid: u32,
    /// Session id.
    pub session: u32,
    /// Real user id.
    pub uid: u32,
    /// Real group id.
    pub gid: u32,
    /// Task name, ends at the first NUL.
    pub comm: [u8; 16],
}

/// Head of an exec record. The tail holds filename, interpreter, leaf and arguments, in this order.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct ExecHead {
    /// The process.
    pub task: TaskHead,
    /// True length of the arguments in bytes, NULs included.
    pub args_len: u32,
    /// Hard links of the image: 0 if it is deleted or a memory file.
    pub nlink: u32,
    /// Bytes of the file named to execve.
    pub filename_len: u16,
    /// Bytes of the file that runs.
    pub interp_len: u16,
    /// Bytes of the image's directory entry name.
    pub leaf_len: u16,
    /// Bytes of arguments that follow.
    pub args_got: u16,
}

/// An exit record.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct Exit {
    /// The process.
    pub task: TaskHead,
    /// What the process returned.
    pub code: u32,
    /// The signal that ended it, 0 if none.
    pub signal: u32,
}

/// Head of every socket record, and all of connect, accept and send.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct SocketHead {
    /// [`EventType`] as a number.
    pub kind: u16,
    /// IP protocol: 6 for TCP, 17 for UDP.
    pub protocol: u8,
    /// One of the `DIRECTION_` constants.
    pub direction: u8,
    /// Thread group id of the owner, 0 if it was not seen.
    pub tgid: u32,
    /// When it happened.
    pub time: u64,
    /// When the owner started.
    pub start: u64,
    /// The kernel's socket cookie.
    pub cookie: u64,
    /// Real user id of the owner.
    pub uid: u32,
    /// Host byte order, 0 if unknown.
    pub local_port: u16,
    /// Host byte order, 0 if unknown.
    pub remote_port: u16,
    /// All zero if unknown.
    pub local_ip: [u8; 16],
    /// All zero if unknown.
    pub remote_ip: [u8; 16],
}

/// The kernel side saw neither connect nor accept.
pub const DIRECTION_UNKNOWN: u8 = 0;
/// The owner reached out.
pub const DIRECTION_OUTBOUND: u8 = 1;
/// The other side reached in.
pub const DIRECTION_INBOUND: u8 = 2;

/// A close record: counters as the kernel keeps them, see [`Close::bytes_out`].
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct Close {
    /// The socket.
    pub socket: SocketHead,
    /// When the owner took the socket; 0 if that was not seen.
    pub claimed: u64,
    /// Sequence numbers of ours that the other side acknowledged.
    pub acked: u64,
    /// Sequence numbers of the other side that arrived.
    pub received: u64,
    /// TCP state before the close.
    pub old_state: u8,
    /// `CLOSE_` bits.
    pub flags: u8,
    /// The socket's error number, 0 if none.
    pub error: u16,
    /// Segments sent again.
    pub retransmits: u32,
}

/// The other side acknowledged our FIN.
pub const CLOSE_FIN_ACKED: u8 = 1;
/// The other side's FIN arrived.
pub const CLOSE_FIN_RECEIVED: u8 = 2;

/// TCP states, as the kernel numbers them.
pub mod tcp_state {
    /// Connection is up.
    pub const ESTABLISHED: u8 = 1;
    /// SYN is out.
    pub const SYN_SENT: u8 = 2;
    /// SYN came in.
    pub const SYN_RECV: u8 = 3;
    /// Our FIN is out.
    pub const FIN_WAIT1: u8 = 4;
    /// Our FIN is acknowledged.
    pub const FIN_WAIT2: u8 = 5;
    /// Nothing is left.
    pub const CLOSE: u8 = 7;
    /// The other side's FIN came, ours is out.
    pub const LAST_ACK: u8 = 9;
    /// Waits for connections.
    pub const LISTEN: u8 = 10;
    /// Both FINs crossed.
    pub const CLOSING: u8 = 11;
}

const ETIMEDOUT: u16 = 110;
const ECONNREFUSED: u16 = 111;

impl Close {
    /// Payload bytes that the other side acknowledged; `None` if it is not known who opened the connection.
    ///
    /// `acked` counts a sequence number for the SYN of the side that opened, and one for an acknowledged FIN.
    #[must_use]
    pub fn bytes_out(&self) -> Option<u64> {
        let syn = match self.socket.direction {
            DIRECTION_OUTBOUND => u64::from(self.old_state != tcp_state::SYN_SENT),
            DIRECTION_INBOUND => 0,
            _ => return None,
        };
        Some(self.acked.saturating_sub(syn + u64::from(self.flags & CLOSE_FIN_ACKED != 0)))
    }

    /// Payload bytes that arrived. `received` counts a sequence number for the other side's FIN.
    #[must_use]
    pub fn bytes_in(&self) -> u64 {
        self.received.saturating_sub(u64::from(self.flags & CLOSE_FIN_RECEIVED != 0))
    }

    /// Nanoseconds since the socket was claimed, if that was seen.
    #[must_use]
    pub fn duration(&self) -> Option<u64> {
        (self.claimed != 0).then(|| self.socket.time.saturating_sub(self.claimed))
    }

    /// How it ended, from the state before, the error and the retransmissions.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        let fin_acked = self.flags & CLOSE_FIN_ACKED != 0;
        match (self.old_state, self.error) {
            (_, ECONNREFUSED) => Outcome::Refused,
            (_, ETIMEDOUT) => Outcome::Timeout,
            // Owners that give up early leave no error; one that waited long enough has sent its SYN again.
            (tcp_state::SYN_SENT, 0) if self.retransmits > 0 => Outcome::Timeout,
            (tcp_state::FIN_WAIT1 | tcp_state::FIN_WAIT2 | tcp_state::CLOSING | tcp_state::LAST_ACK, 0)
                if fin_acked =>
            {
                Outcome::Closed
            }
            _ => Outcome::Aborted,
        }
    }
}

/// Who owns a socket: value of the kernel's owner map, key is the cookie.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct Owner {
    /// When the owner started; 0 while nobody has accepted the connection.
    pub start: u64,
    /// When the owner took the socket.
    pub claimed: u64,
    /// Thread group id; 0 while nobody has accepted the connection.
    pub tgid: u32,
    /// Real user id.
    pub uid: u32,
    /// One of the `DIRECTION_` constants.
    pub direction: u64,
}

/// A destination of an unconnected socket: key of the kernel's map of flows already reported.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct Flow {
    /// The kernel's socket cookie.
    pub cookie: u64,
    /// Destination address.
    pub remote_ip: [u8; 16],
    /// Destination port, host byte order.
    pub remote_port: u64,
}

/// Which processes are in scope: those in one cgroup or below it.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Pod, Zeroable)]
pub struct Scope {
    /// Cgroup id; 0 for the whole machine.
    pub cgroup: u64,
    /// Its depth below the root of the hierarchy.
    pub level: u64,
}

const _: () = {
    assert!(size_of::<TaskHead>() == 72 && offset_of!(TaskHead, time) == 8 && offset_of!(TaskHead, start) == 16);
    assert!(offset_of!(TaskHead, parent_start) == 24 && offset_of!(TaskHead, cgroup) == 32);
    assert!(offset_of!(TaskHead, parent_tgid) == 40 && offset_of!(TaskHead, session) == 44);
    assert!(offset_of!(TaskHead, uid) == 48 && offset_of!(TaskHead, gid) == 52 && offset_of!(TaskHead, comm) == 56);
    assert!(size_of::<ExecHead>() == 88 && offset_of!(ExecHead, args_len) == 72 && offset_of!(ExecHead, nlink) == 76);
    assert!(offset_of!(ExecHead, filename_len) == 80 && offset_of!(ExecHead, args_got) == 86);
    assert!(size_of::<Exit>() == 80 && offset_of!(Exit, code) == 72 && offset_of!(Exit, signal) == 76);
    assert!(size_of::<SocketHead>() == 72 && offset_of!(SocketHead, tgid) == 4 && offset_of!(SocketHead, time) == 8);
    assert!(offset_of!(SocketHead, start) == 16 && offset_of!(SocketHead, cookie) == 24);
    assert!(offset_of!(SocketHead, uid) == 32 && offset_of!(SocketHead, local_port) == 36);
    assert!(offset_of!(SocketHead, local_ip) == 40 && offset_of!(SocketHead, remote_ip) == 56);
    assert!(size_of::<Close>() == 104 && offset_of!(Close, claimed) == 72 && offset_of!(Close, acked) == 80);
    assert!(offset_of!(Close, received) == 88 && offset_of!(Close, old_state) == 96 && offset_of!(Close, error) == 98);
    assert!(offset_of!(Close, retransmits) == 100);
    assert!(size_of::<Owner>() == 32 && size_of::<Flow>() == 32 && size_of::<Scope>() == 16);
    assert!(EventType::Close as u16 == 6);
};

#[cfg(test)]
mod tests {
    use super::*;

    fn close(direction: u8, old_state: u8, error: u16, flags: u8) -> Close {
        Close { socket: SocketHead { direction, ..Zeroable::zeroed() }, old_state, error, flags, ..Zeroable::zeroed() }
    }

    #[test]
    fn control_segments_are_not_payload() {
        // Seen on a live kernel: 1000 bytes out and 5000 in read 1002/5001 on the side that opened, 5001/1001 on the other.
        let both = CLOSE_FIN_ACKED | CLOSE_FIN_RECEIVED;
        let active = Close { acked: 1002, received: 5001, ..close(DIRECTION_OUTBOUND, tcp_state::FIN_WAIT2, 0, both) };
        let passive = Close { acked: 5001, received: 1001, ..close(DIRECTION_INBOUND, tcp_state::LAST_ACK, 0, both) };
        assert_eq!((active.bytes_out(), active.bytes_in()), (Some(1000), 5000));
        assert_eq!((passive.bytes_out(), passive.bytes_in()), (Some(5000), 1000));
        assert_eq!(close(DIRECTION_UNKNOWN, 5, 0, both).bytes_out(), None);
    }

    #[test]
    fn outcomes() {
        let of = |state, error, flags| close(DIRECTION_OUTBOUND, state, error, flags).outcome();
        assert_eq!(of(tcp_state::SYN_SENT, ECONNREFUSED, 0), Outcome::Refused);
        assert_eq!(of(tcp_state::SYN_SENT, ETIMEDOUT, 0), Outcome::Timeout);
        assert_eq!(of(tcp_state::SYN_SENT, 0, 0), Outcome::Aborted);
        assert_eq!(of(tcp_state::FIN_WAIT2, 0, CLOSE_FIN_ACKED), Outcome::Closed);
        assert_eq!(of(tcp_state::LAST_ACK, 0, CLOSE_FIN_ACKED), Outcome::Closed);
        assert_eq!(of(tcp_state::ESTABLISHED, 104, 0), Outcome::Aborted);
        assert_eq!(of(tcp_state::ESTABLISHED, 0, 0), Outcome::Aborted);
    }
}
