//! DNS messages, as they pass.

use crate::{
    maps::{Ring, emit_in_place},
    packet::{Packet, load},
    socket::{Ends, TCP, cookie, head, maker, owner},
};
use aya_ebpf::helpers::generated::bpf_skb_load_bytes;
use core::arch::asm;
use events::{DIRECTION_INBOUND, DIRECTION_OUTBOUND, DNS_MAX, DnsHead, EventType, SocketHead};

/// Where servers listen.
pub const PORT: u16 = 53;
/// Bit of a message's third byte that is set in answers.
const ANSWER: u8 = 0x80;

/// A record with room for a message of some length.
#[repr(C)]
struct Record<const N: usize> {
    head: DnsHead,
    message: [u8; N],
}

/// A segment of TCP: reported if it holds one whole message, behind its length.
#[inline(always)]
pub fn segment(packet: &Packet) {
    let Some(start) = packet.segment() else { return };
    let len = packet.rest(start);
    if len <= 2 {
        return;
    }
    let Some(said) = load::<u16>(packet.skb, start) else { return };
    if u16::from_be(said) as u32 == len - 2 {
        message(packet, TCP, cookie(packet.skb), start + 2, len - 2);
    }
}

/// Sends a record of what is on the port of DNS, in the smallest size that it fits in.
#[inline(always)]
pub fn message(packet: &Packet, protocol: u8, cookie: u64, start: u32, len: u32) {
    let mut owner = owner(cookie);
    owner.direction = if outbound(packet, start) { DIRECTION_OUTBOUND } else { DIRECTION_INBOUND } as u32;
    let ends = Ends {
        local_ip: packet.local_ip,
        remote_ip: packet.remote_ip,
        local_port: packet.local_port,
        remote_port: packet.remote_port,
    };
    let head = head(EventType::Dns, protocol, cookie, &owner, ends);
    match len {
        0..=128 => record::<128>(packet, &head, start, len),
        129..=512 => record::<512>(packet, &head, start, len),
        _ => record::<DNS_MAX>(packet, &head, start, len),
    }
}

/// Whether this machine asks. Between two servers, only the message says who does.
#[inline(always)]
fn outbound(packet: &Packet, start: u32) -> bool {
    if packet.local_port != PORT || packet.remote_port != PORT {
        return packet.remote_port == PORT;
    }
    let answer = load::<u8>(packet.skb, start + 2).is_some_and(|flags| flags & ANSWER != 0);
    packet.sent != answer
}

#[inline(always)]
fn record<const N: usize>(packet: &Packet, socket: &SocketHead, start: u32, len: u32) {
    emit_in_place(Ring::Sockets, EventType::Dns, maker(socket), socket.time, |record: *mut Record<N>| {
        let got = if len as usize > N { N as u32 } else { len };
        // SAFETY: the record is this program's until it is submitted. What is behind the message stays as it was.
        unsafe {
            let copied = got == 0
                || bpf_skb_load_bytes(packet.skb.cast(), start, (&raw mut (*record).message).cast(), within::<N>(got))
                    == 0;
            (&raw mut (*record).head).write(DnsHead {
                socket: *socket,
                len: if len > u16::MAX as u32 { u16::MAX } else { len as u16 },
                got: if copied { got as u16 } else { 0 },
                sent: packet.sent as u8,
                reserved: [0; 3],
            });
        }
    });
}

/// The number, which is from 1 to `N`, in a way that the verifier sees.
#[inline(always)]
fn within<const N: usize>(number: u32) -> u32 {
    let mut number = number as u64;
    // The compiler knows the bounds, so that it would leave out tests written in Rust.
    // SAFETY: changes nothing but the number.
    unsafe {
        asm!(
            "if {0} > 0 goto +1",
            "{0} = 1",
            "if {0} < {1} goto +1",
            "{0} = {2}",
            inout(reg) number,
            const N + 1,
            const N,
        );
    }
    number as u32
}
