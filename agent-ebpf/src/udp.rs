//! UDP: the first datagram to somewhere, and flows in both directions.
//!
//! A flow is one socket and one peer. Its numbers stay in a table; user space reports and removes it when it is over.

use crate::{
    dns,
    maps::{FLOWS, OWNERS, RELEASED, add, count},
    packet::Packet,
    socket::{
        ALLOW, BPF_ANY, BPF_NOEXIST, EEXIST, Ends, Ip, UDP, claim, cookie, ends_to, entry, field, head, ip6, mapped,
        owner, report,
    },
    task,
};
use aya_ebpf::{bindings::bpf_sock_addr, macros::cgroup_sock_addr, programs::SockAddrContext};
use bytemuck::Zeroable;
use events::{Count, DIRECTION_INBOUND, DIRECTION_OUTBOUND, DIRECTION_UNKNOWN, EventType, Flow, FlowState, Owner};

#[cgroup_sock_addr(sendmsg4)]
pub fn socket_sendmsg4(ctx: SockAddrContext) -> i32 {
    send(ctx.sock_addr, mapped(field!(ctx.sock_addr, user_ip4)))
}

#[cgroup_sock_addr(sendmsg6)]
pub fn socket_sendmsg6(ctx: SockAddrContext) -> i32 {
    send(ctx.sock_addr, ip6!(ctx.sock_addr, user_ip6))
}

/// A process sends a datagram and names where to.
#[inline(always)]
fn send(addr: *mut bpf_sock_addr, remote_ip: Ip) -> i32 {
    let cookie = cookie(addr);
    let ends = ends_to(addr, remote_ip);
    if field!(addr, protocol) as u8 != UDP || !task::in_scope() {
        return ALLOW;
    }
    let mut sender = claim(DIRECTION_UNKNOWN);
    (sender.peer_ip, sender.peer_port) = (ends.remote_ip, ends.remote_port as u64);
    own(cookie, &sender);
    sender.direction = DIRECTION_OUTBOUND as u32;
    let flow = Flow { cookie, remote_ip: ends.remote_ip, remote_port: ends.remote_port as u64 };
    // Of many threads, the one that begins the flow reports it; so does one for which there is no room.
    match FLOWS.insert(&flow, &begun(&sender, &ends), BPF_NOEXIST) {
        Err(error) if error == -EEXIST => return ALLOW,
        Ok(()) => count(EventType::Flow.slot(Count::Produced)),
        // Counted when the datagram leaves.
        Err(_) => {}
    }
    report(EventType::Send, &head(EventType::Send, UDP, cookie, &sender, ends));
    ALLOW
}

/// Remembers who uses a socket and where that process sends to.
#[inline(always)]
fn own(cookie: u64, sender: &Owner) {
    match entry(cookie, sender) {
        // SAFETY: the map keeps the memory. Two threads that send at once may mix their peers: then a packet whose
        // addresses are translated begins a flow of its own.
        Some(known) => unsafe {
            (*known).peer_ip = sender.peer_ip;
            (*known).peer_port = sender.peer_port;
        },
        None => drop(OWNERS.insert(&cookie, sender, BPF_ANY)),
    }
}

#[inline(always)]
fn begun(owner: &Owner, ends: &Ends) -> FlowState {
    let now = task::now();
    FlowState {
        start: owner.start,
        tgid: owner.tgid,
        uid: owner.uid,
        first: now,
        last: now,
        local_ip: ends.local_ip,
        local_port: ends.local_port,
        direction: owner.direction as u16,
        ..FlowState::zeroed()
    }
}

/// A datagram leaves or arrives.
#[inline(always)]
pub fn datagram(mut packet: Packet) {
    let cookie = cookie(packet.skb);
    let payload = packet.payload();
    let mut flow = Flow { cookie, remote_ip: packet.remote_ip, remote_port: packet.remote_port as u64 };
    let mut state = FLOWS.get_ptr_mut(&flow);
    if state.is_none() {
        named(&mut flow, &packet);
        state = FLOWS.get_ptr_mut(&flow);
    }
    packet.remote_ip = flow.remote_ip;
    packet.remote_port = flow.remote_port as u16;
    if state.is_none() && begin(&flow, &packet) {
        state = FLOWS.get_ptr_mut(&flow);
    }
    if let Some(state) = state {
        grow(state, &packet, payload);
    }
    if packet.remote_port == dns::PORT || packet.local_port == dns::PORT {
        let len = packet.rest(payload);
        dns::message(&packet, UDP, cookie, payload, len);
    }
}

/// The peer as the process named it. What a packet says can be other than that: it leaves after addresses are translated.
#[inline(always)]
fn named(flow: &mut Flow, packet: &Packet) {
    if let Some((ip, port)) = packet.connected() {
        (flow.remote_ip, flow.remote_port) = (ip, port as u64);
        return;
    }
    if !packet.sent {
        return;
    }
    let owner = owner(flow.cookie);
    let last = Flow { cookie: flow.cookie, remote_ip: owner.peer_ip, remote_port: owner.peer_port };
    if owner.peer_port != 0 && FLOWS.get_ptr(&last).is_some() {
        *flow = last;
    }
}

/// Begins a flow with its first datagram; false if there is no room, which is counted, or its socket is closed.
#[inline(always)]
fn begin(flow: &Flow, packet: &Packet) -> bool {
    let mut owner = owner(flow.cookie);
    if owner.tgid == 0 && RELEASED.get_ptr(&flow.cookie).is_some() {
        return false;
    }
    owner.direction = if packet.sent { DIRECTION_OUTBOUND } else { DIRECTION_INBOUND } as u32;
    let ends = Ends {
        local_ip: packet.bound(),
        remote_ip: flow.remote_ip,
        local_port: packet.local_port,
        remote_port: packet.remote_port,
    };
    match FLOWS.insert(flow, &begun(&owner, &ends), BPF_NOEXIST) {
        Err(error) if error == -EEXIST => true,
        result => {
            count(EventType::Flow.slot(Count::Produced));
            if result.is_err() {
                count(EventType::Flow.slot(Count::TableFull));
            }
            result.is_ok()
        }
    }
}

/// Adds a datagram to its flow, and what was not known when it began.
#[inline(always)]
fn grow(state: *mut FlowState, packet: &Packet, payload: u32) {
    let (bytes, packets) = (packet.rest(payload) as u64, packet.count());
    // SAFETY: the map keeps the memory; what several add to is added in one step.
    unsafe {
        if packet.sent {
            add(&raw mut (*state).bytes_out, bytes);
            add(&raw mut (*state).packets_out, packets);
        } else {
            add(&raw mut (*state).bytes_in, bytes);
            add(&raw mut (*state).packets_in, packets);
        }
        (*state).last = task::now();
        if (*state).local_port == 0 {
            (*state).local_port = packet.local_port;
        }
        if (*state).local_ip == [0; 16] {
            (*state).local_ip = packet.local_ip;
        }
        if (*state).tgid == 0 {
            let owner = owner(cookie(packet.skb));
            (*state).start = owner.start;
            (*state).uid = owner.uid;
            (*state).tgid = owner.tgid;
        }
    }
}
