//! Sockets: connect, accept, first datagram, end of a TCP connection.
//!
//! The process that uses a socket is known where it calls in (connect, accept, sendmsg) and kept by socket cookie for the
//! callbacks that run in any context (state changes).
//!
//! The kernel runs these programs for sockets made in the cgroup. A socket can be handed to a process outside, which is
//! none of ours: where a process calls in, it must be in scope too.

use crate::{
    maps::{FLOWS, OWNERS, Ring, emit_all, offset},
    task::{self, Kernel},
};
use aya_ebpf::{
    bindings::{bpf_sock, bpf_sock_addr, bpf_sock_ops},
    helpers::generated::{bpf_get_socket_cookie, bpf_skc_to_tcp_sock},
    macros::{cgroup_sock_addr, sock_ops},
    programs::{SockAddrContext, SockOpsContext},
};
use core::mem::offset_of;
use events::{
    CLOSE_FIN_ACKED, CLOSE_FIN_RECEIVED, Close, DIRECTION_INBOUND, DIRECTION_OUTBOUND, EventType, Flow, FlowState,
    Maker, Owner, SocketHead, tcp_state,
};

const AF_INET: u32 = 2;
const TCP: u8 = 6;
const UDP: u8 = 17;
const BPF_ANY: u64 = 0;
const BPF_NOEXIST: u64 = 1;
/// What a map says to [`BPF_NOEXIST`] if the key is there.
const EEXIST: i32 = 17;
/// Bit of `sk_flags` that is set when the other side's FIN arrives.
const SOCK_DONE: u64 = 1 << 1;

type Ip = [u8; 16];

/// One field of a context or socket. The compiler must not join or move such reads: the verifier wants each as it is.
macro_rules! field {
    ($base:expr, $($path:tt)+) => {
        // SAFETY: the verifier checks every access to a context; the callers tested socket pointers for null.
        unsafe { core::ptr::read_volatile(&raw const (*$base).$($path)+) }
    };
}

macro_rules! ip6 {
    ($base:expr, $($path:tt)+) => {
        words([
            field!($base, $($path)+[0]), field!($base, $($path)+[1]),
            field!($base, $($path)+[2]), field!($base, $($path)+[3]),
        ])
    };
}

/// An address from its words in network order.
#[inline(always)]
fn words(words: [u32; 4]) -> Ip {
    bytemuck::cast(words)
}

/// An IPv4 address as `::ffff:a.b.c.d`.
#[inline(always)]
fn mapped(ip: u32) -> Ip {
    if ip == 0 { [0; 16] } else { words([0, 0, 0xffff_u32.to_be(), ip]) }
}

/// The two ends of a socket.
struct Ends {
    local_ip: Ip,
    remote_ip: Ip,
    local_port: u16,
    remote_port: u16,
}

#[cgroup_sock_addr(connect4)]
pub fn socket_connect4(ctx: SockAddrContext) -> i32 {
    connect(ctx.sock_addr, mapped(field!(ctx.sock_addr, user_ip4)))
}

#[cgroup_sock_addr(connect6)]
pub fn socket_connect6(ctx: SockAddrContext) -> i32 {
    connect(ctx.sock_addr, ip6!(ctx.sock_addr, user_ip6))
}

#[cgroup_sock_addr(sendmsg4)]
pub fn socket_sendmsg4(ctx: SockAddrContext) -> i32 {
    send(ctx.sock_addr, mapped(field!(ctx.sock_addr, user_ip4)))
}

#[cgroup_sock_addr(sendmsg6)]
pub fn socket_sendmsg6(ctx: SockAddrContext) -> i32 {
    send(ctx.sock_addr, ip6!(ctx.sock_addr, user_ip6))
}

/// Called inside `accept`, in the process that accepts, with the new socket.
#[cgroup_sock_addr(getpeername4)]
pub fn socket_accept4(ctx: SockAddrContext) -> i32 {
    accept(ctx.sock_addr)
}

/// As [`socket_accept4`].
#[cgroup_sock_addr(getpeername6)]
pub fn socket_accept6(ctx: SockAddrContext) -> i32 {
    accept(ctx.sock_addr)
}

/// Lets the call go on, as all programs here do.
const ALLOW: i32 = 1;

#[inline(always)]
fn cookie<T>(ctx: *mut T) -> u64 {
    // SAFETY: takes a program's own context.
    unsafe { bpf_get_socket_cookie(ctx.cast()) }
}

/// The running process as owner of a socket. Only where a process calls in.
#[inline(always)]
fn claim(direction: u8) -> Owner {
    let task = task::current();
    Owner {
        start: task::start(task.follow(offset!(task_group_leader))),
        claimed: task::now(),
        tgid: task.read(offset!(task_tgid)),
        uid: task::uid(task),
        direction: direction as u64,
    }
}

#[inline(always)]
fn head(kind: EventType, protocol: u8, cookie: u64, owner: &Owner, ends: Ends) -> SocketHead {
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

/// Sends the record of a call by a process.
#[inline(always)]
fn report(kind: EventType, head: &SocketHead) {
    emit_all(Ring::Sockets, kind, Maker { start: head.start, tgid: head.tgid as u64 }, head.time, head);
}

/// The ends of a call that names its destination.
#[inline(always)]
fn ends_to(addr: *mut bpf_sock_addr, remote_ip: Ip) -> Ends {
    let (local_ip, local_port) = local(field!(addr, __bindgen_anon_1.sk));
    Ends { local_ip, remote_ip, local_port, remote_port: u16::from_be(field!(addr, user_port) as u16) }
}

#[inline(always)]
fn local(sk: *mut bpf_sock) -> (Ip, u16) {
    if sk.is_null() {
        return ([0; 16], 0);
    }
    let v4 = mapped(field!(sk, src_ip4));
    let v6 = ip6!(sk, src_ip6);
    (if field!(sk, family) == AF_INET { v4 } else { v6 }, field!(sk, src_port) as u16)
}

#[inline(always)]
fn connect(addr: *mut bpf_sock_addr, remote_ip: Ip) -> i32 {
    let protocol = field!(addr, protocol) as u8;
    if (protocol == TCP || protocol == UDP) && task::in_scope() {
        let cookie = cookie(addr);
        let owner = claim(DIRECTION_OUTBOUND);
        if protocol == TCP {
            let _ = OWNERS.insert(&cookie, &owner, BPF_ANY);
        }
        let head = head(EventType::Connect, protocol, cookie, &owner, ends_to(addr, remote_ip));
        report(EventType::Connect, &head);
    }
    ALLOW
}

#[inline(always)]
fn send(addr: *mut bpf_sock_addr, remote_ip: Ip) -> i32 {
    let cookie = cookie(addr);
    let ends = ends_to(addr, remote_ip);
    let flow = Flow { cookie, remote_ip, remote_port: ends.remote_port as u64 };
    if field!(addr, protocol) as u8 != UDP || !task::in_scope() {
        return ALLOW;
    }
    let owner = claim(DIRECTION_OUTBOUND);
    let state = FlowState {
        start: owner.start,
        tgid: owner.tgid,
        uid: owner.uid,
        first: owner.claimed,
        last: owner.claimed,
        local_ip: ends.local_ip,
        local_port: ends.local_port,
        direction: DIRECTION_OUTBOUND as u16,
        ..bytemuck::Zeroable::zeroed()
    };
    // Of many threads, the one that adds the flow reports it; so does one for which there is no room.
    if FLOWS.insert(&flow, &state, BPF_NOEXIST) != Err(-EEXIST) {
        report(EventType::Send, &head(EventType::Send, UDP, cookie, &owner, ends));
    }
    ALLOW
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
    let v4 = mapped(field!(sk, dst_ip4));
    let v6 = ip6!(sk, dst_ip6);
    let remote_ip = if field!(sk, family) == AF_INET { v4 } else { v6 };
    let ends = Ends { local_ip, remote_ip, local_port, remote_port: u16::from_be(field!(sk, dst_port)) };
    report(EventType::Accept, &head(EventType::Accept, TCP, cookie, &owner, ends));
    ALLOW
}

const OP_TCP_CONNECT: u32 = 3;
const OP_ACTIVE_ESTABLISHED: u32 = 4;
const OP_PASSIVE_ESTABLISHED: u32 = 5;
const OP_STATE: u32 = 10;
const OP_LISTEN: u32 = 11;
const STATE_CALLBACK: i32 = 4;

/// Follows TCP connections. Runs in any process or none: who the socket belongs to comes from the owner map alone.
#[sock_ops]
pub fn socket_state(ctx: SockOpsContext) -> u32 {
    let ops = ctx.ops;
    match field!(ops, op) {
        OP_STATE => close(ops),
        op @ (OP_TCP_CONNECT | OP_ACTIVE_ESTABLISHED | OP_PASSIVE_ESTABLISHED | OP_LISTEN) => {
            let _ = ctx.set_cb_flags(field!(ops, bpf_sock_ops_cb_flags) as i32 | STATE_CALLBACK);
            if op == OP_PASSIVE_ESTABLISHED {
                let waiting =
                    Owner { start: 0, claimed: task::now(), tgid: 0, uid: 0, direction: DIRECTION_INBOUND as u64 };
                let _ = OWNERS.insert(cookie(ops), &waiting, BPF_NOEXIST);
            }
        }
        _ => {}
    }
    1
}

#[inline(always)]
fn close(ops: *mut bpf_sock_ops) {
    let old_state = field!(ops, __bindgen_anon_1.args[0]) as u8;
    let new_state = field!(ops, __bindgen_anon_1.args[1]) as u8;
    if new_state != tcp_state::CLOSE || old_state == tcp_state::LISTEN {
        return;
    }
    let cookie = cookie(ops);
    let owner = match OWNERS.get_ptr(&cookie) {
        // SAFETY: the map keeps the memory; a value changed meanwhile is still a value.
        Some(owner) => unsafe { owner.read() },
        None => bytemuck::Zeroable::zeroed(),
    };
    if owner.tgid != 0 {
        let _ = OWNERS.remove(&cookie);
    }
    let (error, flags) = last_words(ops, old_state);
    let record = Close {
        socket: head(EventType::Close, TCP, cookie, &owner, ends_of(ops)),
        claimed: owner.claimed,
        acked: field!(ops, bytes_acked),
        received: field!(ops, bytes_received),
        old_state,
        flags,
        error,
        retransmits: field!(ops, total_retrans),
    };
    let maker = Maker { start: owner.start, tgid: owner.tgid as u64 };
    emit_all(Ring::Sockets, EventType::Close, maker, record.socket.time, &record);
}

#[inline(always)]
fn ends_of(ops: *mut bpf_sock_ops) -> Ends {
    let (local4, remote4) = (mapped(field!(ops, local_ip4)), mapped(field!(ops, remote_ip4)));
    let (local6, remote6) = (ip6!(ops, local_ip6), ip6!(ops, remote_ip6));
    let v4 = field!(ops, family) == AF_INET;
    Ends {
        local_ip: if v4 { local4 } else { local6 },
        remote_ip: if v4 { remote4 } else { remote6 },
        local_port: field!(ops, local_port) as u16,
        remote_port: u32::from_be(field!(ops, remote_port)) as u16,
    }
}

/// The socket's error, and which FINs are among the sequence numbers that it counted.
#[inline(always)]
fn last_words(ops: *mut bpf_sock_ops, old_state: u8) -> (u16, u8) {
    let sk = field!(ops, __bindgen_anon_2.sk);
    if sk.is_null() {
        return (0, 0);
    }
    // SAFETY: takes a socket that is not null.
    let tcp = Kernel(unsafe { bpf_skc_to_tcp_sock(sk.cast()) } as *const u8);
    if tcp.0.is_null() {
        return (0, 0);
    }
    let mut flags = 0;
    let fin_sent =
        matches!(old_state, tcp_state::FIN_WAIT1 | tcp_state::FIN_WAIT2 | tcp_state::CLOSING | tcp_state::LAST_ACK);
    // Our FIN is the last thing that we wrote.
    if fin_sent && tcp.read::<u32>(offset!(tcp_snd_una)) == tcp.read::<u32>(offset!(tcp_write_seq)) {
        flags |= CLOSE_FIN_ACKED;
    }
    if tcp.read::<u64>(offset!(sock_flags)) & SOCK_DONE != 0 {
        flags |= CLOSE_FIN_RECEIVED;
    }
    (tcp.read::<u32>(offset!(sock_err)) as u16, flags)
}

// The port is read as the 16-bit field that the verifier knows, whatever the bindings make of it.
const _: () = assert!(offset_of!(bpf_sock, dst_port) == 48);
