//! Packets of sockets: what every datagram adds to its flow, and what is DNS.
//!
//! Runs in any process or none, wherever a packet leaves or arrives. An arriving packet may interrupt a leaving one. The
//! kernel shows whole packets: before they are cut into fragments, after they were put together.

use crate::{
    dns,
    socket::{ALLOW, Ip, TCP, UDP, field, ip6, mapped, words},
    udp,
};
use aya_ebpf::{
    bindings::__sk_buff, helpers::generated::bpf_skb_load_bytes, macros::cgroup_skb, programs::SkBuffContext,
};
use bytemuck::AnyBitPattern;
use core::mem::offset_of;

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
/// Headers between that of IPv6 and that of the protocol, followed at most.
const EXTENSIONS: usize = 4;
const UDP_HEADER: u32 = 8;

/// The part of an IPv4 header that every packet has.
#[repr(C)]
#[derive(Clone, Copy, AnyBitPattern)]
struct Ipv4 {
    version_length: u8,
    service: u8,
    total: u16,
    id: u16,
    fragment: u16,
    hops: u8,
    protocol: u8,
    checksum: u16,
    source: u32,
    destination: u32,
}

/// An IPv6 header.
#[repr(C)]
#[derive(Clone, Copy, AnyBitPattern)]
struct Ipv6 {
    flow: u32,
    length: u16,
    next: u8,
    hops: u8,
    source: [u32; 4],
    destination: [u32; 4],
}

/// A packet as its headers say, seen from the socket.
pub struct Packet {
    pub skb: *mut __sk_buff,
    pub sent: bool,
    pub local_ip: Ip,
    pub remote_ip: Ip,
    pub local_port: u16,
    pub remote_port: u16,
    protocol: u8,
    /// Where the header of the protocol begins.
    header: u32,
}

/// A packet of a socket leaves.
#[cgroup_skb(egress)]
pub fn socket_egress(ctx: SkBuffContext) -> i32 {
    packet(ctx.skb.skb, true);
    ALLOW
}

/// A packet arrives at a socket.
#[cgroup_skb(ingress)]
pub fn socket_ingress(ctx: SkBuffContext) -> i32 {
    packet(ctx.skb.skb, false);
    ALLOW
}

#[inline(always)]
fn packet(skb: *mut __sk_buff, sent: bool) {
    if is_segment(skb) && !is_dns(skb) {
        return;
    }
    let Some(packet) = Packet::read(skb, sent) else { return };
    match packet.protocol {
        UDP => udp::datagram(packet),
        _ => dns::segment(&packet),
    }
}

/// Some of a packet's bytes.
#[inline(always)]
pub fn load<T: AnyBitPattern>(skb: *mut __sk_buff, offset: u32) -> Option<T> {
    let mut value = T::zeroed();
    // SAFETY: the helper writes as many bytes as the value has, or fails.
    let failed = unsafe { bpf_skb_load_bytes(skb.cast(), offset, (&raw mut value).cast(), size_of::<T>() as u32) };
    (failed == 0).then_some(value)
}

/// Whether a packet is a segment of TCP, as most are: told without a helper. One whose header does not lie in sight, or with
/// others before that of TCP, is told later.
#[inline(always)]
fn is_segment(skb: *mut __sk_buff) -> bool {
    let at = match u16::from_be(field!(skb, protocol) as u16) {
        IPV4 => offset_of!(Ipv4, protocol),
        _ => offset_of!(Ipv6, next),
    };
    let (data, end) = (field!(skb, data) as usize, field!(skb, data_end) as usize);
    // SAFETY: what lies between the two is the packet.
    data + size_of::<Ipv4>() <= end && unsafe { ((data + at) as *const u8).read_volatile() } == TCP
}

/// Whether a socket's own ports, as far as it has any, make its segments worth reading.
#[inline(always)]
fn is_dns(skb: *mut __sk_buff) -> bool {
    field!(skb, local_port) == dns::PORT as u32 || u32::from_be(field!(skb, remote_port)) == dns::PORT as u32
}

impl Packet {
    /// Reads the headers of a datagram, or of a segment of a socket of DNS. Nothing else is of use.
    #[inline(always)]
    fn read(skb: *mut __sk_buff, sent: bool) -> Option<Self> {
        let (protocol, header, source, destination) = match u16::from_be(field!(skb, protocol) as u16) {
            IPV4 => v4(skb)?,
            IPV6 => v6(skb)?,
            _ => return None,
        };
        if protocol != UDP && !(protocol == TCP && is_dns(skb)) {
            return None;
        }
        let [from, to] = load::<[u16; 2]>(skb, header)?.map(u16::from_be);
        let (local_ip, remote_ip) = if sent { (source, destination) } else { (destination, source) };
        let (local_port, remote_port) = if sent { (from, to) } else { (to, from) };
        Some(Self { skb, sent, local_ip, remote_ip, local_port, remote_port, protocol, header })
    }

    /// Where the payload of a datagram begins.
    #[inline(always)]
    pub fn payload(&self) -> u32 {
        self.header + UDP_HEADER
    }

    /// Where the payload of a segment begins.
    #[inline(always)]
    pub fn segment(&self) -> Option<u32> {
        let words = load::<u8>(self.skb, self.header + 12)? >> 4;
        Some(self.header + words as u32 * 4)
    }

    /// Bytes from an offset to the end. Of datagrams that travel as one, those of all.
    #[inline(always)]
    pub fn rest(&self, offset: u32) -> u32 {
        field!(self.skb, len).saturating_sub(offset)
    }

    /// Datagrams that travel as one.
    #[inline(always)]
    pub fn count(&self) -> u64 {
        let segments = field!(self.skb, gso_segs);
        if segments > 1 { segments as u64 } else { 1 }
    }

    /// The peer of a connected socket.
    #[inline(always)]
    pub fn connected(&self) -> Option<(Ip, u16)> {
        let (v4, v6) = (mapped(field!(self.skb, remote_ip4)), ip6!(self.skb, remote_ip6));
        let port = u32::from_be(field!(self.skb, remote_port)) as u16;
        (port != 0).then_some((if self.is_inet() { v4 } else { v6 }, port))
    }

    /// The address that a socket is bound to; all zero if it is bound to all.
    #[inline(always)]
    pub fn bound(&self) -> Ip {
        let (v4, v6) = (crate::socket::known(field!(self.skb, local_ip4)), ip6!(self.skb, local_ip6));
        if self.is_inet() { v4 } else { v6 }
    }

    #[inline(always)]
    fn is_inet(&self) -> bool {
        field!(self.skb, family) == crate::socket::AF_INET
    }
}

/// Protocol, where its header begins, source and destination.
type Headers = (u8, u32, Ip, Ip);

#[inline(always)]
fn v4(skb: *mut __sk_buff) -> Option<Headers> {
    let ip: Ipv4 = load(skb, 0)?;
    // Sockets that write headers themselves can send pieces; only the first has ports.
    let first = u16::from_be(ip.fragment) & 0x1fff == 0;
    let header = (ip.version_length & 15) as u32 * 4;
    first.then_some((ip.protocol, header, mapped(ip.source), mapped(ip.destination)))
}

#[inline(always)]
fn v6(skb: *mut __sk_buff) -> Option<Headers> {
    let ip: Ipv6 = load(skb, 0)?;
    let (mut next, mut header) = (ip.next, size_of::<Ipv6>() as u32);
    for _ in 0..EXTENSIONS {
        // Hop by hop, routing, destination.
        if !matches!(next, 0 | 43 | 60) {
            break;
        }
        let [after, units] = load::<[u8; 2]>(skb, header)?;
        header += (units as u32 + 1) * 8;
        next = after;
    }
    Some((next, header, words(ip.source), words(ip.destination)))
}
