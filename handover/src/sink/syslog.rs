//! Syslog without an answer: datagrams.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use super::{Failure, Sink};
use crate::message::Parcel;
use crate::rfc5424;

enum Way {
    Udp { host: String, port: u16 },
    Unix(PathBuf),
}

/// A receiver of datagrams. That the kernel took one is all that is known.
pub(super) struct Datagrams {
    way: Way,
    own: String,
}

impl Datagrams {
    pub(super) fn udp(host: &str, port: u16) -> Self {
        Self { way: Way::Udp { host: host.to_owned(), port }, own: own_name() }
    }

    pub(super) fn unix(path: &Path) -> Self {
        Self { way: Way::Unix(path.into()), own: own_name() }
    }
}

/// The name of this host.
pub(super) fn own_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Addresses of a host, which may be one in brackets.
pub(super) fn addresses(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let found: Vec<SocketAddr> = (bare, port).to_socket_addrs()?.collect();
    if found.is_empty() { Err(io::Error::other("the name has no address")) } else { Ok(found) }
}

impl Sink for Datagrams {
    fn send(&mut self, parcels: &[Parcel]) -> Result<(), Failure> {
        let send = |parcel: &Parcel| {
            let message = rfc5424::format(parcel, &self.own);
            match &self.way {
                Way::Udp { host, port } => udp(&addresses(host, *port)?, message.as_bytes()),
                Way::Unix(path) => UnixDatagram::unbound()?.send_to(message.as_bytes(), path).map(drop),
            }
        };
        parcels.iter().try_for_each(send).map_err(|error| Failure::later(&format!("cannot send: {error}")))
    }
}

/// To the first address that the kernel has a way to.
fn udp(addresses: &[SocketAddr], message: &[u8]) -> io::Result<()> {
    let mut last = io::Error::other("the name has no address");
    for address in addresses {
        let any: SocketAddr = if address.is_ipv4() { ([0; 4], 0).into() } else { ([0u16; 8], 0).into() };
        match UdpSocket::bind(any).and_then(|socket| socket.send_to(message, address)) {
            Ok(_) => return Ok(()),
            Err(error) => last = error,
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Event;

    fn parcel() -> Parcel {
        let body = r#"{"title":"a shell"}"#.to_owned();
        Parcel { incident: "1".into(), delivery: "ab".into(), event: Event::Grown, at: 0, body }
    }

    #[test]
    fn datagrams_arrive() {
        let (mut buffer, folder) = ([0; 4_096], tempfile::tempdir().unwrap());
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        Datagrams::udp("127.0.0.1", udp.local_addr().unwrap().port()).send(&[parcel()]).unwrap();
        let length = udp.recv(&mut buffer).unwrap();
        assert!(buffer.starts_with(b"<85>1 1970-01-01T00:00:00.000000Z ") && buffer[..length].ends_with(b"a shell"));
        let path = folder.path().join("log");
        assert!(Datagrams::unix(&path).send(&[parcel()]).unwrap_err().why.contains("No such file"));
        let unix = UnixDatagram::bind(&path).unwrap();
        Datagrams::unix(&path).send(&[parcel()]).unwrap();
        let length = unix.recv(&mut buffer).unwrap();
        assert!(buffer[..length].ends_with(b"a shell"));
    }

    #[test]
    fn brackets_are_no_part_of_an_address() {
        assert_eq!(addresses("[::1]", 7).unwrap(), ["[::1]:7".parse().unwrap()]);
    }
}
