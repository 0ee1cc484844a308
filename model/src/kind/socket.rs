//! What a descriptor refers to: one or two ends of a socket, `ADDRESS:PORT->ADDRESS:PORT`, or a file.

use std::net::{IpAddr, SocketAddr};

use super::Part;
use super::mask::numbers;
use super::transform::{class, service};

/// What stands between the ends of a connection.
const ARROW: &str = "->";

/// The part of a descriptor's name. What is no socket is masked as paths are.
pub(super) fn apply(part: Part, text: &str) -> String {
    let ends: Option<Vec<String>> = text.split(ARROW).map(|end| socket_end(part, end)).collect();
    match ends {
        Some(ends) if ends.len() <= 2 => ends.join(ARROW),
        _ => numbers(text),
    }
}

fn socket_end(part: Part, text: &str) -> Option<String> {
    let (address, port) = match text.parse::<SocketAddr>() {
        Ok(end) => (end.ip(), end.port()),
        // IPv6 without brackets, too.
        Err(_) => text.rsplit_once(':').and_then(|(a, p)| Some((a.parse::<IpAddr>().ok()?, p.parse().ok()?)))?,
    };
    let address = address.to_canonical();
    let address = if part == Part::Address { address.to_string() } else { class(address).to_owned() };
    Some(format!("{address} {}", service(port.into())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_by_what_their_ends_are() {
        let service = |text| apply(Part::Service, text);
        assert_eq!(service("10.1.80.1:46108->93.184.216.34:443"), "private ephemeral->public 443");
        assert_eq!(service("127.0.0.1:3000"), "loopback 3000");
        assert_eq!(service("::1:53->[2606:4700::1]:853"), "loopback 53->public 853");
        assert_eq!(service("::ffff:10.0.0.1:80"), "private 80");
        assert_eq!(apply(Part::Address, "10.1.80.1:46108->10.0.0.9:53"), "10.1.80.1 ephemeral->10.0.0.9 53");
    }

    #[test]
    fn all_else_is_a_file() {
        let service = |text| apply(Part::Service, text);
        assert_eq!(service("pipe:[339149427]"), "pipe:[N]");
        assert_eq!(service("/lib/libssl.so.3"), "/lib/libssl.so.N");
        assert_eq!(service("1.2.3.4:5->"), "N.N.N.N:N->");
        assert_eq!(service("1.2.3.4:5->1.2.3.4:5->1.2.3.4:5"), "N.N.N.N:N->N.N.N.N:N->N.N.N.N:N");
        assert_eq!(service("1.2.3.4:65536"), "N.N.N.N:N");
        assert_eq!(service(""), "");
    }
}
