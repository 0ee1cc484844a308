//! TCP connections: established, listening, ended. Runs in any process or none: who a socket belongs to comes from the
//! owner map alone.

use crate::{
    maps::{OWNERS, Ring, emit_all, offset},
    raw::Sock,
    socket::{AF_INET, BPF_NOEXIST, Ends, TCP, cookie, field, head, ip6, known, maker, mapped, owner, report},
    task::{self, Kernel},
};
use aya_ebpf::{
    bindings::bpf_sock_ops,
    helpers::generated::bpf_skc_to_tcp_sock,
    macros::{btf_tracepoint, sock_ops},
    programs::{BtfTracePointContext, SockOpsContext},
};
use events::{CLOSE_FIN_ACKED, CLOSE_FIN_RECEIVED, Close, DIRECTION_INBOUND, EventType, Owner, tcp_state};

/// Bit of `sk_flags` that is set when the other side's FIN arrives.
const SOCK_DONE: u64 = 1 << 1;
const OP_TCP_CONNECT: u32 = 3;
const OP_ACTIVE_ESTABLISHED: u32 = 4;
const OP_PASSIVE_ESTABLISHED: u32 = 5;
const OP_STATE: u32 = 10;
const OP_LISTEN: u32 = 11;
const STATE_CALLBACK: i32 = 4;

/// Follows the connections that begin or come in while it is attached, and those of sockets that begin to listen.
#[sock_ops]
pub fn socket_state(ctx: SockOpsContext) -> u32 {
    let ops = ctx.ops;
    match field!(ops, op) {
        OP_STATE => state(ops),
        op @ (OP_TCP_CONNECT | OP_ACTIVE_ESTABLISHED | OP_PASSIVE_ESTABLISHED | OP_LISTEN) => {
            let _ = ctx.set_cb_flags(field!(ops, bpf_sock_ops_cb_flags) as i32 | STATE_CALLBACK);
            if op == OP_PASSIVE_ESTABLISHED {
                let direction = DIRECTION_INBOUND as u32;
                let waiting = Owner { claimed: task::now(), direction, ..bytemuck::Zeroable::zeroed() };
                let _ = OWNERS.insert(cookie(ops), &waiting, BPF_NOEXIST);
            }
            if op == OP_LISTEN {
                listen(ops);
            }
        }
        _ => {}
    }
    1
}

#[inline(always)]
fn listen(ops: *mut bpf_sock_ops) {
    let cookie = cookie(ops);
    let (v4, v6) = (mapped(field!(ops, local_ip4)), ip6!(ops, local_ip6));
    let local_ip = if field!(ops, family) == AF_INET { v4 } else { v6 };
    let ends = Ends { local_ip, remote_ip: [0; 16], local_port: field!(ops, local_port) as u16, remote_port: 0 };
    report(EventType::Listen, &head(EventType::Listen, TCP, cookie, &owner(cookie), ends));
}

#[inline(always)]
fn state(ops: *mut bpf_sock_ops) {
    let old_state = field!(ops, __bindgen_anon_1.args[0]) as u8;
    let new_state = field!(ops, __bindgen_anon_1.args[1]) as u8;
    if new_state != tcp_state::CLOSE || old_state == tcp_state::LISTEN {
        return;
    }
    let cookie = cookie(ops);
    let ends = ends_of(ops);
    let (acked, received) = (field!(ops, bytes_acked), field!(ops, bytes_received));
    let retransmits = field!(ops, total_retrans);
    let (error, flags) = last_words(tcp_sock(ops), old_state);
    close(cookie, ends, |owner, socket| Close {
        socket,
        claimed: owner.claimed,
        acked,
        received,
        old_state,
        flags,
        error,
        retransmits,
    });
}

/// Sends the record of an end, and forgets the owner: nothing else may tell of this end.
#[inline(always)]
fn close(cookie: u64, ends: Ends, record: impl FnOnce(&Owner, events::SocketHead) -> Close) {
    let owner = owner(cookie);
    // A connection that nobody has accepted yet still waits for that.
    if owner.tgid != 0 {
        let _ = OWNERS.remove(&cookie);
    }
    let record = record(&owner, head(EventType::Close, TCP, cookie, &owner, ends));
    emit_all(Ring::Sockets, EventType::Close, maker(&record.socket), record.socket.time, &record);
}

#[inline(always)]
fn ends_of(ops: *mut bpf_sock_ops) -> Ends {
    let (local4, remote4) = (known(field!(ops, local_ip4)), known(field!(ops, remote_ip4)));
    let (local6, remote6) = (ip6!(ops, local_ip6), ip6!(ops, remote_ip6));
    let v4 = field!(ops, family) == AF_INET;
    Ends {
        local_ip: if v4 { local4 } else { local6 },
        remote_ip: if v4 { remote4 } else { remote6 },
        local_port: field!(ops, local_port) as u16,
        remote_port: u32::from_be(field!(ops, remote_port)) as u16,
    }
}

/// The whole socket, or null.
#[inline(always)]
fn tcp_sock(ops: *mut bpf_sock_ops) -> Kernel {
    let sk = field!(ops, __bindgen_anon_2.sk);
    if sk.is_null() {
        return Kernel(core::ptr::null());
    }
    // SAFETY: takes a socket that is not null.
    Kernel(unsafe { bpf_skc_to_tcp_sock(sk.cast()) } as *const u8)
}

/// The socket's error, and which FINs are among the sequence numbers that it counted.
#[inline(always)]
fn last_words(tcp: Kernel, old_state: u8) -> (u16, u8) {
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

/// Ends that the callback is not told of: of connections older than the agent, and of attempts that failed before the
/// first segment. The callback's own flag says whose it is, so that every end is told once.
#[btf_tracepoint(function = "inet_sock_set_state")]
pub fn socket_ended(ctx: BtfTracePointContext) -> i32 {
    let (old_state, new_state) = (ctx.arg::<i32>(1) as u8, ctx.arg::<i32>(2) as u8);
    if new_state == tcp_state::CLOSE && old_state != tcp_state::LISTEN {
        ended(Sock(Kernel(ctx.arg(0))), old_state);
    }
    0
}

#[inline(always)]
fn ended(sock: Sock, old_state: u8) {
    let tcp = sock.0;
    let cookie = sock.cookie();
    let callback = tcp.read::<u8>(offset!(tcp_callbacks)) & STATE_CALLBACK as u8 != 0;
    if sock.protocol() != TCP || callback || OWNERS.get_ptr(&cookie).is_none() {
        return;
    }
    let (error, flags) = last_words(tcp, old_state);
    let ends = sock.ends();
    close(cookie, ends, |owner, socket| Close {
        socket,
        claimed: owner.claimed,
        acked: tcp.read(offset!(tcp_bytes_acked)),
        received: tcp.read(offset!(tcp_bytes_received)),
        old_state,
        flags,
        error,
        retransmits: tcp.read(offset!(tcp_total_retrans)),
    });
}
