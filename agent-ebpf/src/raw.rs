//! Sockets found in the kernel's own structures, where no helper gives them.

use crate::{
    maps::offset,
    socket::{AF_INET, Ends, Ip, known, mapped},
    task::{self, Kernel},
};
use events::ABSENT;

const AF_INET6: u32 = 10;
const FILE_TYPE: u16 = 0o170_000;
const SOCKET: u16 = 0o140_000;

/// A `struct sock`.
#[derive(Clone, Copy)]
pub struct Sock(pub Kernel);

impl Sock {
    /// What a descriptor of the running process stands for, if that is a socket of a family with ports.
    #[inline(always)]
    pub fn of_descriptor(fd: u32) -> Option<Self> {
        let file = task::file(task::current(), fd);
        if !is_socket(file) {
            return None;
        }
        let sock = Self::of_file(file);
        sock.has_ports().then_some(sock)
    }

    /// That of a file that is a socket.
    #[inline(always)]
    pub fn of_file(file: Kernel) -> Self {
        Self(file.follow(offset!(file_private_data)).follow(offset!(socket_sk)))
    }

    /// Whether it is of a family with ports.
    #[inline(always)]
    pub fn has_ports(self) -> bool {
        let family = self.family();
        family == AF_INET || family == AF_INET6
    }

    #[inline(always)]
    fn family(self) -> u32 {
        self.0.read::<u16>(offset!(sk_family)) as u32
    }

    /// IP protocol; 0 for those of the kernel's own numbering, such as TCP over several paths.
    #[inline(always)]
    pub fn protocol(self) -> u8 {
        match self.0.read::<u16>(offset!(sock_protocol)) {
            protocol @ 0..=255 => protocol as u8,
            _ => 0,
        }
    }

    #[inline(always)]
    pub fn state(self) -> u8 {
        self.0.read(offset!(sk_state))
    }

    /// 0 if nobody asked for it yet.
    #[inline(always)]
    pub fn cookie(self) -> u64 {
        self.0.read(offset!(sk_cookie))
    }

    /// Addresses and ports. The local port stands where it stays after the end of a connection.
    #[inline(always)]
    pub fn ends(self) -> Ends {
        Ends {
            local_ip: self.ip(offset!(sk_saddr), offset!(sk_saddr6)),
            remote_ip: self.ip(offset!(sk_daddr), offset!(sk_daddr6)),
            local_port: u16::from_be(self.0.read(offset!(inet_sport))),
            remote_port: u16::from_be(self.0.read(offset!(sk_dport))),
        }
    }

    /// The address that it is bound to: that of no host if to all.
    #[inline(always)]
    pub fn bound(self) -> Ip {
        match self.family() {
            AF_INET => mapped(self.0.read(offset!(sk_saddr))),
            _ => self.ends().local_ip,
        }
    }

    #[inline(always)]
    fn ip(self, v4: usize, v6: usize) -> Ip {
        match self.family() {
            AF_INET => known(self.0.read(v4)),
            _ if v6 == ABSENT as usize => [0; 16],
            _ => self.0.read(v6),
        }
    }
}

/// Whether a file is a socket: only then is its private data one.
#[inline(always)]
pub fn is_socket(file: Kernel) -> bool {
    file.follow(offset!(file_inode)).read::<u16>(offset!(inode_mode)) & FILE_TYPE == SOCKET
}
