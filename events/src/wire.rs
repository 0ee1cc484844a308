//! Records as they lie in the rings: a fixed head, then a variable tail. Little endian, no padding.
//!
//! Times are nanoseconds since boot, suspend included. Addresses are 16 bytes; IPv4 is written as `::ffff:a.b.c.d`.

use crate::{Call, EventType, Outcome};
use bytemuck::{Pod, Zeroable};
use core::mem::offset_of;

/// Argument bytes that a record holds at most.
pub const ARGS_MAX: usize = 4095;
/// Bytes of the file named to execve that a record holds at most.
pub const NAME_MAX: usize = 255;
/// Bytes of each path that a record holds at most.
pub const PATH_MAX: usize = 1023;
/// Folders of a path that the kernel side follows at most.
pub const PATH_DEPTH: usize = 24;
/// Bytes of a DNS message that a record holds at most.
pub const DNS_MAX: usize = 1232;

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
    /// Effective capabilities, one bit each.
    pub capabilities: u64,
    /// Thread group id of its parent, 0 if it has none.
    pub parent_tgid: u32,
    /// Session id.
    pub session: u32,
    /// Real user id.
    pub uid: u32,
    /// Real group id.
    pub gid: u32,
    /// Effective user id.
    pub euid: u32,
    /// Effective group id.
    pub egid: u32,
    /// User who logged in, `u32::MAX` if nobody did or the kernel does not say.
    pub login_uid: u32,
    /// Id of the thread that did it.
    pub tid: u32,
    /// Task name, ends at the first NUL.
    pub comm: [u8; 16],
}

/// Head of a record about an image: exec and running. The tail holds name, image, folder and arguments, in this order.
///
/// Image and folder are paths as the kernel walked them: from the last name to the first, each followed by `/`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct ImageHead {
    /// The process.
    pub task: TaskHead,
    /// Inode of the image.
    pub inode: u64,
    /// Device that the image is on, as the kernel numbers it: major in the upper 12 bits, minor in the lower 20.
    pub device: u32,
    /// Hard links of the image: 0 if it is deleted or a memory file.
    pub nlink: u32,
    /// True length of the arguments in bytes, NULs included.
    pub args_len: u32,
    /// `IMAGE_` bits.
    pub flags: u16,
    /// Bytes of the file named to execve.
    pub name_len: u16,
    /// Bytes of the path of the image.
    pub image_len: u16,
    /// Bytes of the path of the current folder.
    pub folder_len: u16,
    /// Bytes of arguments that follow.
    pub args_got: u16,
    /// Zero.
    pub reserved: u16,
}

/// The file named to execve is run by an interpreter.
pub const IMAGE_SCRIPT: u16 = 1;
/// The path of the image was too long or too deep to be followed to its root.
pub const IMAGE_CUT: u16 = 2;
/// The same of the current folder.
pub const IMAGE_FOLDER_CUT: u16 = 4;

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
    /// Time on processors, in nanoseconds.
    pub cpu: u64,
    /// Of it, as the kernel accounts it: in user mode, in nanoseconds.
    pub cpu_user: u64,
    /// And in the kernel.
    pub cpu_system: u64,
    /// Most memory it ever had, in pages.
    pub max_rss: u64,
    /// Page faults without a read.
    pub minor_faults: u64,
    /// Page faults with one.
    pub major_faults: u64,
}

/// Head of a record about a system call: credential, ptrace, module and bpf. The tail is `text`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct CallHead {
    /// The process, after the call.
    pub task: TaskHead,
    /// [`Call`] as a number.
    pub call: u16,
    /// Bytes of text that follow: a path as in [`ImageHead`] for a module file, the name of a BPF program.
    pub text_len: u16,
    /// What the call returned: negative numbers are errors.
    pub result: i32,
    /// ptrace: thread id of the other process as the caller names it. bpf: program type.
    pub target: u32,
    /// ptrace: the request. bpf: number of instructions. module: [`CALL_PATH_CUT`] or 0.
    pub detail: u32,
}

/// The path of a module file was too long or too deep to be followed to its root.
pub const CALL_PATH_CUT: u32 = 1;

/// Head of every socket record, and all of connect, accept, send, bind and listen.
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

/// A record of a socket that was there when the agent started.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct Open {
    /// The socket.
    pub socket: SocketHead,
    /// TCP state; for UDP 1 if connected, 7 if not.
    pub state: u32,
    /// Zero.
    pub reserved: u32,
}

/// The end of a UDP flow. User space makes it from the kernel's table, [`Flow`] to [`FlowState`].
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct FlowEnd {
    /// The socket. Its time is that of the last datagram.
    pub socket: SocketHead,
    /// When the first datagram was seen.
    pub first: u64,
    /// Payload bytes sent.
    pub bytes_out: u64,
    /// Payload bytes received.
    pub bytes_in: u64,
    /// Datagrams sent.
    pub packets_out: u64,
    /// Datagrams received.
    pub packets_in: u64,
}

/// Head of a DNS record. The tail is the message, or its beginning.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct DnsHead {
    /// The socket.
    pub socket: SocketHead,
    /// True length of the message in bytes.
    pub len: u16,
    /// Bytes that follow. The record may be longer: what comes after them means nothing.
    pub got: u16,
    /// 1 if it was sent, 0 if it came in.
    pub sent: u8,
    /// Zero.
    pub reserved: [u8; 3],
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
const ENETUNREACH: u16 = 101;
const EHOSTUNREACH: u16 = 113;

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
            (_, ENETUNREACH | EHOSTUNREACH) => Outcome::Unreachable,
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
    pub direction: u32,
    /// 1 from a call to connect until the connection's end was reported.
    pub connecting: u32,
    /// Address that the owner last named in a call to connect or send.
    pub peer_ip: [u8; 16],
    /// Port that it named, host byte order.
    pub peer_port: u64,
}

/// One UDP socket and one peer: key of the kernel's table of flows.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Pod, Zeroable)]
pub struct Flow {
    /// The kernel's socket cookie.
    pub cookie: u64,
    /// Address of the peer.
    pub remote_ip: [u8; 16],
    /// Port of the peer, host byte order.
    pub remote_port: u64,
}

/// What is known of a flow: value of the kernel's table of flows.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct FlowState {
    /// When the owner started, 0 if it was not seen.
    pub start: u64,
    /// Thread group id of the owner, 0 if it was not seen.
    pub tgid: u32,
    /// Real user id of the owner.
    pub uid: u32,
    /// When the first datagram was seen.
    pub first: u64,
    /// When the last one was.
    pub last: u64,
    /// Payload bytes sent.
    pub bytes_out: u64,
    /// Payload bytes received.
    pub bytes_in: u64,
    /// Datagrams sent.
    pub packets_out: u64,
    /// Datagrams received.
    pub packets_in: u64,
    /// All zero if unknown.
    pub local_ip: [u8; 16],
    /// Host byte order, 0 if unknown.
    pub local_port: u16,
    /// One of the `DIRECTION_` constants: who sent first.
    pub direction: u16,
    /// Zero.
    pub reserved: u32,
}

/// One process: key of the kernel's tables of rates. In the table of those that count, the event type is in the upper
/// half of the number.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Pod, Zeroable)]
pub struct Maker {
    /// When it started.
    pub start: u64,
    /// Thread group id.
    pub tgid: u64,
}

/// How many events a process makes: value of the kernel's table of rates.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct Rate {
    /// Which second it is since boot.
    pub second: u64,
    /// Events in it.
    pub events: u64,
}

/// A process that makes too many events: value of the kernel's table of those.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct Throttled {
    /// When it first did.
    pub first: u64,
    /// When an event of it was last summarised.
    pub last: u64,
    /// How many were, by event type, since it first did.
    pub summarised: [u64; EventType::ALL.len()],
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

/// What user space decided for the kernel side before it was loaded.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Pod, Zeroable)]
pub struct Settings {
    /// Events of one type of one process in one second, above which they are summarised; 0 for no limit.
    pub rate_limit: u64,
    /// Rings of socket events, less one; their number is a power of two.
    pub shard_mask: u32,
    /// 1 if the exit tracepoint says whether the last thread went, 0 if the kernel is older than that.
    pub exit_says_last: u32,
    /// Numbers of the calls in [`Call::ALL`] on this architecture, `u32::MAX` where it has none.
    pub calls: [u32; Call::ALL.len()],
    /// Where a call's number and its first three arguments lie in `pt_regs` on this architecture, in bytes.
    pub registers: [u32; 4],
    /// 1 if the kernel lends iterators the helper that makes a socket's cookie, 0 if it is older than that.
    pub socket_cookies: u32,
    /// The same numbers as `calls`, one bit each, so that every other call is told apart at once.
    pub followed: [u64; 8],
}

const _: () = {
    assert!(size_of::<TaskHead>() == 96 && offset_of!(TaskHead, time) == 8 && offset_of!(TaskHead, start) == 16);
    assert!(offset_of!(TaskHead, parent_start) == 24 && offset_of!(TaskHead, cgroup) == 32);
    assert!(offset_of!(TaskHead, capabilities) == 40 && offset_of!(TaskHead, parent_tgid) == 48);
    assert!(offset_of!(TaskHead, session) == 52 && offset_of!(TaskHead, uid) == 56 && offset_of!(TaskHead, gid) == 60);
    assert!(offset_of!(TaskHead, euid) == 64 && offset_of!(TaskHead, login_uid) == 72);
    assert!(offset_of!(TaskHead, tid) == 76 && offset_of!(TaskHead, comm) == 80);
    assert!(
        size_of::<ImageHead>() == 128 && offset_of!(ImageHead, inode) == 96 && offset_of!(ImageHead, device) == 104
    );
    assert!(offset_of!(ImageHead, nlink) == 108 && offset_of!(ImageHead, args_len) == 112);
    assert!(offset_of!(ImageHead, flags) == 116 && offset_of!(ImageHead, name_len) == 118);
    assert!(offset_of!(ImageHead, args_got) == 124);
    assert!(size_of::<Exit>() == 152 && offset_of!(Exit, code) == 96 && offset_of!(Exit, cpu) == 104);
    assert!(offset_of!(Exit, max_rss) == 128 && offset_of!(Exit, major_faults) == 144);
    assert!(size_of::<CallHead>() == 112 && offset_of!(CallHead, call) == 96 && offset_of!(CallHead, result) == 100);
    assert!(size_of::<SocketHead>() == 72 && offset_of!(SocketHead, tgid) == 4 && offset_of!(SocketHead, time) == 8);
    assert!(offset_of!(SocketHead, start) == 16 && offset_of!(SocketHead, cookie) == 24);
    assert!(offset_of!(SocketHead, uid) == 32 && offset_of!(SocketHead, local_port) == 36);
    assert!(offset_of!(SocketHead, local_ip) == 40 && offset_of!(SocketHead, remote_ip) == 56);
    assert!(size_of::<Close>() == 104 && offset_of!(Close, claimed) == 72 && offset_of!(Close, acked) == 80);
    assert!(offset_of!(Close, received) == 88 && offset_of!(Close, old_state) == 96 && offset_of!(Close, error) == 98);
    assert!(offset_of!(Close, retransmits) == 100);
    assert!(size_of::<Open>() == 80 && offset_of!(Open, state) == 72);
    assert!(size_of::<FlowEnd>() == 112 && offset_of!(FlowEnd, first) == 72);
    assert!(size_of::<DnsHead>() == 80 && offset_of!(DnsHead, len) == 72 && offset_of!(DnsHead, sent) == 76);
    assert!(size_of::<Owner>() == 56 && size_of::<Flow>() == 32 && size_of::<FlowState>() == 88);
    assert!(size_of::<Maker>() == 16 && size_of::<Rate>() == 16 && size_of::<Throttled>() == 16 + 18 * 8);
    assert!(size_of::<Scope>() == 16 && size_of::<Settings>() == 16 + 24 * 4 + 64);
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
