//! Sockets where a process calls in: creation, connect, bind, accept, release.
//!
//! The process that uses a socket is known here only. It is kept by socket cookie for the programs that run in any
//! context: state changes (`tcp`) and packets (`udp`).
//!
//! The kernel runs these programs for sockets made in the cgroup. A socket can be handed to a process outside, which is
//! none of ours: where a process calls in, it must be in scope too.

use crate::{
    maps::{OWNERS, RELEASED, Ring, emit_all, offset},
    raw::Sock,
    task,
};
use aya_ebpf::{
    bindings::{bpf_sock, bpf_sock_addr},
    helpers::generated::bpf_get_socket_cookie,
    macros::{cgroup_sock, cgroup_sock_addr},
    programs::{SockAddrContext, SockContext},
};
use core::mem::offset_of;
use events::{
    Close, DIRECTION_INBOUND, DIRECTION_OUTBOUND, DIRECTION_UNKNOWN, EventType, Maker, Owner, SocketHead, tcp_state,
};

pub const AF_INET: u32 = 2;
pub const TCP: u8 = 6;
pub const UDP: u8 = 17;
const SOCK_RAW: u32 = 3;
pub const BPF_ANY: u64 = 0;
pub const BPF_NOEXIST: u64 = 1;
/// What a map says to [`BPF_NOEXIST`] if the key is there.
pub const EEXIST: i32 = 17;

/// Lets the call or the packet go on, as all programs here do.
pub const ALLOW: i32 = 1;

pub type Ip = [u8; 16];

/// One field of a context or socket. The compiler must not join or move such reads: the verifier wants each as it is.
macro_rules! field {
    ($base:expr, $($path:tt)+) => {
        // SAFETY: the verifier checks every access to a context; the callers tested socket pointers for null.
        unsafe { core::ptr::read_volatile(&raw const (*$base).$($path)+) }
    };
}
pub(crate) use field;

macro_rules! ip6 {
    ($base:expr, $($path:tt)+) => {
        $crate::socket::words([
            field!($base, $($path)+[0]), field!($base, $($path)+[1]),
            field!($base, $($path)+[2]), field!($base, $($path)+[3]),
        ])
    };
}
pub(crate) use ip6;

/// An address from its words in network order.
#[inline(always)]
pub fn words(words: [u32; 4]) -> Ip {
    bytemuck::cast(words)
}

/// An IPv4 address as `::ffff:a.b.c.d`.
#[inline(always)]
pub fn mapped(ip: u32) -> Ip {
    words([0, 0, 0xffff_u32.to_be(), ip])
}

/// As [`mapped`]; all zero, which is unknown, for no address.
#[inline(always)]
pub fn known(ip: u32) -> Ip {
    if ip == 0 { [0; 16] } else { mapped(ip) }
}

/// The two ends of a socket.
#[derive(Clone, Copy)]
pub struct Ends {
    pub local_ip: Ip,
    pub remote_ip: Ip,
    pub local_port: u16,
    pub remote_port: u16,
}

#[inline(always)]
pub fn cookie<T>(ctx: *mut T) -> u64 {
    // SAFETY: takes a program's own context.
    unsafe { bpf_get_socket_cookie(ctx.cast()) }
}

/// The running process as owner of a socket. Only where a process calls in.
#[inline(always)]
pub fn claim(direction: u8) -> Owner {
    let (tgid, uid) = task::ids();
    Owner {
        start: task::start(task::current().follow(offset!(task_group_leader))),
        claimed: task::now(),
        tgid,
        uid,
        direction: direction as u32,
        connecting: 0,
        peer_ip: [0; 16],
        peer_port: 0,
    }
}

/// The owner of a socket; all zero if it is not known.
#[inline(always)]
pub fn owner(cookie: u64) -> Owner {
    match OWNERS.get_ptr(&cookie) {
        // SAFETY: the map keeps the memory; a value changed meanwhile is still a value.
        Some(owner) => unsafe { owner.read() },
        None => bytemuck::Zeroable::zeroed(),
    }
}

/// What is known of a socket, to be changed where it stands, if it is this process that uses it: a new entry costs the map
/// much more.
#[inline(always)]
pub fn entry(cookie: u64, process: &Owner) -> Option<*mut Owner> {
    let known = OWNERS.get_ptr_mut(&cookie)?;
    (field!(known, tgid) == process.tgid && field!(known, start) == process.start).then_some(known)
}

#[inline(always)]
pub fn head(kind: EventType, protocol: u8, cookie: u64, owner: &Owner, ends: Ends) -> SocketHead {
    SocketHead {
        kind: kind as u16,
        protocol,
        direction: owner.direction as u8,
        tgid: owner.tgid,
        time: task::now(),
        start: owner.start,
        cookie,
        uid: owner.uid,
        local_port: ends.local_port,
        remote_port: ends.remote_port,
        local_ip: ends.local_ip,
        remote_ip: ends.remote_ip,
    }
}

/// The process that a record's rate counts for.
#[inline(always)]
pub fn maker(head: &SocketHead) -> Maker {
    Maker { start: head.start, tgid: head.tgid as u64 }
}

/// Sends the record of a call by a process.
#[inline(always)]
pub fn report(kind: EventType, head: &SocketHead) {
    emit_all(Ring::Sockets, kind, maker(head), head.time, head);
}

/// A process made a socket. One that writes headers itself can send datagrams too.
#[cgroup_sock(sock_create)]
pub fn socket_create(ctx: SockContext) -> i32 {
    let (protocol, kind) = (field!(ctx.sock, protocol), field!(ctx.sock, type_));
    if (protocol == TCP as u32 || protocol == UDP as u32 || kind == SOCK_RAW) && task::in_scope() {
        let _ = OWNERS.insert(cookie(ctx.sock), &claim(DIRECTION_UNKNOWN), BPF_ANY);
    }
    ALLOW
}

/// The last descriptor of a socket is gone. The end of a TCP connection comes later and still wants the owner.
#[cgroup_sock(sock_release)]
pub fn socket_release(ctx: SockContext) -> i32 {
    let (tcp, state) = (field!(ctx.sock, protocol) == TCP as u32, field!(ctx.sock, state) as u8);
    if !tcp || state == tcp_state::CLOSE || state == tcp_state::LISTEN {
        let cookie = cookie(ctx.sock);
        if !tcp {
            let _ = RELEASED.insert(cookie, task::now(), BPF_ANY);
        }
        let _ = OWNERS.remove(cookie);
    }
    ALLOW
}

#[cgroup_sock(post_bind4)]
pub fn socket_bind4(ctx: SockContext) -> i32 {
    bind(ctx.sock, mapped(field!(ctx.sock, src_ip4)))
}

#[cgroup_sock(post_bind6)]
pub fn socket_bind6(ctx: SockContext) -> i32 {
    bind(ctx.sock, ip6!(ctx.sock, src_ip6))
}

/// A socket was given the address and port that it asked for.
#[inline(always)]
fn bind(sock: *mut bpf_sock, local_ip: Ip) -> i32 {
    let protocol = field!(sock, protocol) as u8;
    let local_port = field!(sock, src_port) as u16;
    if (protocol == TCP || protocol == UDP) && task::in_scope() {
        let ends = Ends { local_ip, remote_ip: [0; 16], local_port, remote_port: 0 };
        report(EventType::Bind, &head(EventType::Bind, protocol, cookie(sock), &claim(DIRECTION_UNKNOWN), ends));
    }
    ALLOW
}

#[cgroup_sock_addr(connect4)]
pub fn socket_connect4(ctx: SockAddrContext) -> i32 {
    connect(ctx.sock_addr, mapped(field!(ctx.sock_addr, user_ip4)))
}

#[cgroup_sock_addr(connect6)]
pub fn socket_connect6(ctx: SockAddrContext) -> i32 {
    connect(ctx.sock_addr, ip6!(ctx.sock_addr, user_ip6))
}

/// What the kernel takes an address without a host for: this machine.
#[inline(always)]
fn host(ip: Ip) -> Ip {
    let [a, b, c, d]: [u32; 4] = bytemuck::cast(ip);
    match (a | b, c, d) {
        (0, 0, 0) => words([0, 0, 0, 1_u32.to_be()]),
        (0, v4, 0) if v4 == 0xffff_u32.to_be() => mapped(0x7f00_0001_u32.to_be()),
        _ => ip,
    }
}

/// The ends of a call that names its destination.
#[inline(always)]
pub fn ends_to(addr: *mut bpf_sock_addr, remote_ip: Ip) -> Ends {
    let (local_ip, local_port) = local(field!(addr, __bindgen_anon_1.sk));
    let remote_port = u16::from_be(field!(addr, user_port) as u16);
    Ends { local_ip, remote_ip: host(remote_ip), local_port, remote_port }
}

#[inline(always)]
fn local(sk: *mut bpf_sock) -> (Ip, u16) {
    if sk.is_null() {
        return ([0; 16], 0);
    }
    let v4 = known(field!(sk, src_ip4));
    let v6 = ip6!(sk, src_ip6);
    (if field!(sk, family) == AF_INET { v4 } else { v6 }, field!(sk, src_port) as u16)
}

#[inline(always)]
fn connect(addr: *mut bpf_sock_addr, remote_ip: Ip) -> i32 {
    let protocol = field!(addr, protocol) as u8;
    if (protocol == TCP || protocol == UDP) && task::in_scope() {
        let cookie = cookie(addr);
        let ends = ends_to(addr, remote_ip);
        let mut owner = claim(DIRECTION_OUTBOUND);
        (owner.peer_ip, owner.peer_port) = (ends.remote_ip, ends.remote_port as u64);
        owner.connecting = (protocol == TCP) as u32;
        match entry(cookie, &owner) {
            // SAFETY: the map keeps the memory. Who looks meanwhile finds the same process.
            Some(known) => unsafe { known.write(owner) },
            None => drop(OWNERS.insert(&cookie, &owner, BPF_ANY)),
        }
        report(EventType::Connect, &head(EventType::Connect, protocol, cookie, &owner, ends));
    }
    ALLOW
}

/// Errors of connect after which the attempt goes on, or never began.
const GOES_ON: [i32; 4] = [4, 106, 114, 115];

/// A call to connect failed: called at its end, in the process that made it. Without a way to the other side no state
/// changes, so that nothing else tells of the end.
#[inline(always)]
pub fn connect_failed(fd: u32, errno: i32) {
    if GOES_ON.contains(&errno) {
        return;
    }
    let Some(sock) = Sock::of_descriptor(fd) else { return };
    let cookie = sock.cookie();
    let owner = owner(cookie);
    // Whoever reports the end forgets the owner.
    if owner.connecting == 0 || sock.protocol() != TCP || sock.state() != tcp_state::CLOSE {
        return;
    }
    let _ = OWNERS.remove(&cookie);
    let ends = Ends { remote_ip: owner.peer_ip, remote_port: owner.peer_port as u16, ..sock.ends() };
    let record = Close {
        socket: head(EventType::Close, TCP, cookie, &owner, ends),
        claimed: owner.claimed,
        acked: 0,
        received: 0,
        old_state: tcp_state::CLOSE,
        flags: 0,
        error: errno as u16,
        retransmits: 0,
    };
    emit_all(Ring::Sockets, EventType::Close, maker(&record.socket), record.socket.time, &record);
}

/// Called inside `accept`, in the process that accepts, with the new socket; if it asks for the peer's name.
#[cgroup_sock_addr(getpeername4)]
pub fn socket_accept4(ctx: SockAddrContext) -> i32 {
    accept(ctx.sock_addr)
}

/// As [`socket_accept4`].
#[cgroup_sock_addr(getpeername6)]
pub fn socket_accept6(ctx: SockAddrContext) -> i32 {
    accept(ctx.sock_addr)
}

/// A process may ask for a peer's name at any time. It is an accept if the connection came in and has no owner yet.
#[inline(always)]
fn accept(addr: *mut bpf_sock_addr) -> i32 {
    let sk = field!(addr, __bindgen_anon_1.sk);
    if field!(addr, protocol) as u8 != TCP || sk.is_null() || !task::in_scope() {
        return ALLOW;
    }
    let cookie = cookie(addr);
    let mut owner = claim(DIRECTION_INBOUND);
    match OWNERS.get_ptr(&cookie) {
        Some(before) if field!(before, tgid) == 0 => owner.claimed = field!(before, claimed),
        // Accepted before the callback that says "established" ran.
        None if field!(sk, state) == tcp_state::SYN_RECV as u32 => {}
        _ => return ALLOW,
    }
    let _ = OWNERS.insert(&cookie, &owner, BPF_ANY);
    let (local_ip, local_port) = local(sk);
    let v4 = known(field!(sk, dst_ip4));
    let v6 = ip6!(sk, dst_ip6);
    let remote_ip = if field!(sk, family) == AF_INET { v4 } else { v6 };
    let ends = Ends { local_ip, remote_ip, local_port, remote_port: u16::from_be(field!(sk, dst_port)) };
    report(EventType::Accept, &head(EventType::Accept, TCP, cookie, &owner, ends));
    ALLOW
}

/// A call to accept gave a socket: called at its end, in the process that made it. Only news if the call did not ask for
/// the peer's name.
#[inline(always)]
pub fn accepted(fd: u32) {
    let Some(sock) = Sock::of_descriptor(fd) else { return };
    let cookie = sock.cookie();
    if cookie == 0 || sock.protocol() != TCP {
        return;
    }
    let mut owner = claim(DIRECTION_INBOUND);
    if let Some(before) = OWNERS.get_ptr(&cookie) {
        if field!(before, tgid) != 0 {
            return;
        }
        owner.claimed = field!(before, claimed);
    }
    let _ = OWNERS.insert(&cookie, &owner, BPF_ANY);
    report(EventType::Accept, &head(EventType::Accept, TCP, cookie, &owner, sock.ends()));
}

// The port is read as the 16-bit field that the verifier knows, whatever the bindings make of it.
const _: () = assert!(offset_of!(bpf_sock, dst_port) == 48);
