//! Live capture of sockets on the running kernel, in cgroups made for the tests. Needs root.
#![cfg(target_os = "linux")]
#![allow(missing_docs)]

#[path = "live/harness.rs"]
#[allow(dead_code)]
mod harness;
#[path = "live/socket_roles.rs"]
mod roles;

use harness::{Live, ROLE, Row, Stored, one, possible};
use roles::{ANSWERED, ASKED, NOWHERE, REPLY, REQUEST};

/// Not a test: what copies of this program run.
#[test]
fn role() {
    if let Ok(role) = std::env::var(ROLE) {
        roles::play(&role, |role| panic!("no role {role}"));
    }
}

/// What every row of a socket says.
const WHAT: [(&str, &str); 4] = [("time", "*"), ("host", "test"), ("cookie", "*"), ("activity", "*")];

/// What a row says of its owner, a role of this program run as root.
fn owner(pid: &str) -> Vec<(&'static str, String)> {
    let exe = std::env::current_exe().unwrap();
    let name = exe.file_name().unwrap().to_str().unwrap();
    let exe = exe.to_str().unwrap().to_owned();
    vec![
        ("process_key", "*".into()),
        ("root_key", "*".into()),
        ("root_exe", "*".into()),
        ("pid", pid.to_owned()),
        ("uid", "0".into()),
        ("comm", name[..15.min(name.len())].to_owned()),
        ("exe", exe.clone()),
        ("parent_exe", exe),
    ]
}

/// The only row with these values; it says nothing more than they, what rows always say, and who owns the socket.
fn only<'a>(rows: &'a [Row], pid: Option<&str>, wanted: &[(&str, &str)]) -> &'a Row {
    let exact: Vec<_> = wanted.iter().copied().filter(|(_, value)| *value != "*").collect();
    let row = one(rows, |row| row.is(&exact));
    let owner = pid.map(owner).unwrap_or_default();
    let mut all: Vec<(&str, &str)> = owner.iter().map(|(column, value)| (*column, value.as_str())).collect();
    all.extend(WHAT.iter().filter(|(column, _)| wanted.iter().all(|(name, _)| name != column)));
    all.extend(wanted);
    assert!(row.is_all(&all), "{row:#?}\nis not\n{all:#?}");
    if let Some(pid) = pid {
        let key: events::ProcessKey = row.get("process_key").parse().unwrap();
        assert_eq!(key.tgid().to_string(), pid);
    }
    row
}

fn play(role: &str, kind: &str, count: u64) -> (Stored, Vec<String>) {
    let mut live = Live::start(&[]);
    // It stays: the agent saw it neither start nor exec, and must find it in /proc.
    let said = live.stage(role);
    live.expect(kind, count);
    let stored = live.stop();
    assert_eq!(stored.code, Some(0));
    stored.assert_exact();
    (stored, said)
}

fn counts(stored: &Stored, wanted: &[(&str, usize)]) {
    let of = |kind: &str| stored.connection.iter().filter(|row| row.get("activity") == kind).count();
    for (kind, count) in wanted {
        assert_eq!(of(kind), *count, "{kind}: {:#?}", stored.connection);
    }
    assert_eq!(
        stored.connection.len(),
        wanted.iter().map(|(_, count)| count).sum::<usize>(),
        "{:#?}",
        stored.connection
    );
}

fn tcp(role: &str, ip: &str) {
    if !possible() {
        return;
    }
    let (stored, said) = play(role, "close", 2);
    let [server, client, port, from] = &said[..] else { panic!("{said:?}") };
    counts(&stored, &[("bind", 1), ("listen", 1), ("connect", 1), ("accept", 1), ("close", 2)]);
    let rows = &stored.connection;
    let tcp = ("protocol", "tcp");
    let waits = [tcp, ("local_ip", ip), ("local_port", port)];
    let bind = only(rows, Some(server), &[&[("activity", "bind")], &waits[..]].concat());
    let listen = only(rows, Some(server), &[&[("activity", "listen")], &waits[..]].concat());
    assert_eq!(bind.get("cookie"), listen.get("cookie"));
    let there = [tcp, ("remote_ip", ip), ("remote_port", port), ("direction", "outbound")];
    let connect = only(rows, Some(client), &[&[("activity", "connect")], &there[..]].concat());
    let ends = [tcp, ("local_ip", ip), ("local_port", port), ("remote_ip", ip), ("remote_port", from)];
    let inbound = [&ends[..], &[("direction", "inbound")]].concat();
    let accept = only(rows, Some(server), &[&[("activity", "accept")], &inbound[..]].concat());
    let (request, reply) = (REQUEST.to_string(), REPLY.to_string());
    let end = |bytes_out, bytes_in| {
        let end = [("activity", "close"), ("outcome", "closed"), ("duration_ns", "*")];
        [&end[..], &[("bytes_out", bytes_out), ("bytes_in", bytes_in)]].concat()
    };
    let close = only(rows, Some(server), &[end(&reply, &request), inbound].concat());
    assert_eq!(close.get("cookie"), accept.get("cookie"));
    let mine = [("local_ip", ip), ("local_port", from.as_str())];
    let close = only(rows, Some(client), &[&end(&request, &reply)[..], &there[..], &mine[..]].concat());
    assert_eq!(close.get("cookie"), connect.get("cookie"));
    assert!(close.number("duration_ns") > 0);
}

#[test]
fn tcp_over_ipv4() {
    tcp("tcp4", "127.0.0.1");
}

#[test]
fn tcp_over_ipv6() {
    tcp("tcp6", "::1");
}

#[test]
fn a_mapped_peer_is_written_as_ipv4_and_asking_for_its_name_is_no_accept() {
    if !possible() {
        return;
    }
    let (stored, _) = play("mapped", "close", 2);
    counts(&stored, &[("bind", 1), ("listen", 1), ("connect", 1), ("accept", 1), ("close", 2)]);
    let accept = one(&stored.connection, |row| row.get("activity") == "accept");
    assert!(accept.is(&[("remote_ip", "127.0.0.1"), ("local_ip", "127.0.0.1")]), "{accept:?}");
    let closes =
        |wanted: &[(&str, &str)]| one(&stored.connection, |row| row.get("activity") == "close" && row.is(wanted));
    let request = REQUEST.to_string();
    // The client's side ended before the server's FIN came: none of these counts holds a FIN that was not there.
    closes(&[("direction", "outbound"), ("bytes_out", &request), ("bytes_in", "0"), ("outcome", "closed")]);
    closes(&[("direction", "inbound"), ("bytes_out", "0"), ("bytes_in", &request), ("outcome", "closed")]);
}

#[test]
fn an_accept_that_does_not_ask_who_is_there_is_seen() {
    if !possible() {
        return;
    }
    let (stored, said) = play("silent", "close", 2);
    counts(&stored, &[("bind", 1), ("listen", 1), ("connect", 1), ("accept", 1), ("close", 2)]);
    let [pid, port, from] = &said[..] else { panic!("{said:?}") };
    let ip = "127.0.0.1";
    let ends = [("protocol", "tcp"), ("local_ip", ip), ("local_port", port), ("remote_ip", ip), ("remote_port", from)];
    let wanted = [&[("activity", "accept"), ("direction", "inbound")], &ends[..]].concat();
    let accept = only(&stored.connection, Some(pid), &wanted);
    let close = one(&stored.connection, |row| row.is(&[("activity", "close"), ("cookie", accept.get("cookie"))]));
    assert!(close.is(&[("pid", pid), ("direction", "inbound"), ("outcome", "closed")]), "{close:?}");
}

#[test]
fn a_reset_is_an_abort_on_both_sides() {
    if !possible() {
        return;
    }
    let (stored, _) = play("reset", "close", 2);
    let request = REQUEST.to_string();
    let aborted = |wanted: &[(&str, &str)]| {
        one(&stored.connection, |row| row.is(&[("activity", "close"), ("outcome", "aborted")]) && row.is(wanted));
    };
    aborted(&[("direction", "outbound"), ("bytes_out", &request), ("bytes_in", "0")]);
    aborted(&[("direction", "inbound"), ("bytes_out", "0"), ("bytes_in", &request)]);
}

/// An attempt that fails is a connect and one close.
fn fails(role: &str, outcome: &str) {
    if !possible() {
        return;
    }
    let (stored, said) = play(role, "close", 1);
    let port = &said[0];
    let of = |activity| one(&stored.connection, |row| row.is(&[("activity", activity), ("outcome", outcome)]));
    let close = of("close");
    assert!(close.is(&[("remote_ip", "127.0.0.1"), ("remote_port", port), ("direction", "outbound")]), "{close:?}");
    assert!(close.is(&[("bytes_out", "0"), ("bytes_in", "0")]) && close.number("pid") > 0, "{close:?}");
    one(&stored.connection, |row| row.is(&[("activity", "connect"), ("cookie", close.get("cookie"))]));
    one(&stored.connection, |row| row.is(&[("activity", "close"), ("cookie", close.get("cookie"))]));
}

#[test]
fn a_refused_connection_is_an_attempt_and_its_end() {
    fails("refused", "refused");
}

#[test]
fn a_listener_that_does_not_answer_is_a_timeout() {
    fails("timeout", "timeout");
}

#[test]
fn without_a_route_each_attempt_ends_once() {
    if !possible() {
        return;
    }
    let (stored, said) = play("unreachable", "close", 3);
    counts(&stored, &[("connect", 4), ("close", 3)]);
    let ip = NOWHERE.to_string();
    for close in stored.connection.iter().filter(|row| row.get("activity") == "close") {
        let wanted = [("outcome", "unreachable"), ("remote_ip", &*ip), ("remote_port", "80"), ("pid", &*said[0])];
        assert!(close.is(&wanted) && close.is(&[("bytes_out", "0"), ("bytes_in", "0")]), "{close:?}");
    }
}

#[test]
fn what_is_bound_and_listens_says_where() {
    if !possible() {
        return;
    }
    let (stored, said) = play("bind", "bind", 8);
    counts(&stored, &[("bind", 8), ("listen", 4)]);
    for (ip, ports) in ["0.0.0.0", "::", "127.0.0.1", "::1"].into_iter().zip(said.chunks(2)) {
        for (activity, protocol, port) in
            [("bind", "tcp", &ports[0]), ("listen", "tcp", &ports[0]), ("bind", "udp", &ports[1])]
        {
            let wanted = [("activity", activity), ("protocol", protocol), ("local_port", port)];
            let row = one(&stored.connection, |row| row.is(&wanted));
            assert!(row.is(&[("local_ip", ip), ("remote_ip", ""), ("remote_port", ""), ("direction", "")]), "{row:?}");
            assert!(row.number("pid") > 0 && row.get("process_key").len() == 32, "{row:?}");
        }
    }
}

fn sum(sizes: &[usize]) -> String {
    sizes.iter().sum::<usize>().to_string()
}

/// The flows of a client and a server, with every byte and datagram.
fn flows(stored: &Stored, pid: &str, ip: &str, ports: [&str; 2], asked: usize) {
    let sizes = [sum(&ASKED), sum(&ANSWERED)];
    let counts = [asked.to_string(), ANSWERED.len().to_string()];
    let of = |direction, from, to, [out, into]: [&str; 2], [packets_out, packets_in]: [&str; 2]| {
        let flow = [("activity", "flow"), ("protocol", "udp"), ("direction", direction), ("duration_ns", "*")];
        let ends = [("local_ip", ip), ("local_port", from), ("remote_ip", ip), ("remote_port", to)];
        let traffic =
            [("bytes_out", out), ("bytes_in", into), ("packets_out", packets_out), ("packets_in", packets_in)];
        only(&stored.connection, Some(pid), &[flow, ends, traffic].concat());
    };
    let [client, server] = ports;
    of("outbound", client, server, [&sizes[0], &sizes[1]], [&counts[0], &counts[1]]);
    of("inbound", server, client, [&sizes[1], &sizes[0]], [&counts[1], &counts[0]]);
}

fn udp(role: &str, ip: &str) {
    if !possible() {
        return;
    }
    let (stored, said) = play(role, "flow", 2);
    counts(&stored, &[("bind", 2), ("send", 1), ("flow", 2)]);
    let [pid, client, server] = &said[..] else { panic!("{said:?}") };
    flows(&stored, pid, ip, [client, server], ASKED.len() + 1);
    let ends = [("local_ip", ip), ("local_port", client), ("remote_ip", ip), ("remote_port", server)];
    let send = [("activity", "send"), ("protocol", "udp"), ("direction", "outbound")];
    only(&stored.connection, Some(pid), &[&send[..], &ends[..]].concat());
}

#[test]
fn udp_over_ipv4() {
    udp("udp4", "127.0.0.1");
}

#[test]
fn udp_over_ipv6() {
    udp("udp6", "::1");
}

#[test]
fn udp_to_a_server_of_both_families() {
    udp("udpmapped", "127.0.0.1");
}

fn connected(role: &str, ip: &str) {
    if !possible() {
        return;
    }
    let (stored, said) = play(role, "flow", 2);
    counts(&stored, &[("bind", 2), ("connect", 2), ("flow", 2)]);
    let [pid, one, other] = &said[..] else { panic!("{said:?}") };
    flows(&stored, pid, ip, [one, other], ASKED.len());
    let ends = [("local_ip", ip), ("local_port", one), ("remote_ip", ip), ("remote_port", other)];
    let connect = [("activity", "connect"), ("protocol", "udp"), ("direction", "outbound")];
    only(&stored.connection, Some(pid), &[&connect[..], &ends[..]].concat());
}

#[test]
fn connected_udp_over_ipv4() {
    connected("connected4", "127.0.0.1");
}

#[test]
fn connected_udp_over_ipv6() {
    connected("connected6", "::1");
}

#[test]
fn what_is_used_outside_is_told_of_whoever_made_it() {
    if !possible() {
        return;
    }
    let (stored, said) = play("outside", "close", 1);
    // Made inside: two sockets bound, one of them listens. Then nothing but what the kernel tells by socket: no connect,
    // no send. The side that connects was made outside.
    counts(&stored, &[("bind", 2), ("listen", 1), ("close", 1), ("flow", 1)]);
    let flow = one(&stored.connection, |row| row.get("activity") == "flow");
    assert!(flow.is(&[("pid", &said[0]), ("bytes_out", "5"), ("packets_out", "1")]), "{flow:?}");
    let close = one(&stored.connection, |row| row.get("activity") == "close");
    assert!(close.is(&[("process_key", ""), ("pid", "")]), "{close:?}");
}

#[test]
fn sockets_older_than_the_agent_are_told_of_once_and_so_is_their_end() {
    if !possible() {
        return;
    }
    let (mut live, said) = Live::start_after("older");
    live.expect("open", 5);
    live.cue();
    live.expect("close", 2);
    let stored = live.stop();
    stored.assert_exact();
    let [pid, port, from, waiting, joined] = &said[..] else { panic!("{said:?}") };
    let (ip, rows) = ("127.0.0.1", &stored.connection);
    counts(&stored, &[("open", 5), ("send", 1), ("flow", 1), ("close", 2)]);
    let open = |protocol, state, ends: &[(&str, &str)]| {
        only(rows, Some(pid), &[&[("activity", "open"), ("protocol", protocol), ("state", state)], ends].concat())
    };
    let server = [("local_ip", ip), ("local_port", port), ("remote_ip", ip), ("remote_port", from)];
    let client = [("local_ip", ip), ("local_port", from), ("remote_ip", ip), ("remote_port", port)];
    open("tcp", "listening", &[("local_ip", "::"), ("local_port", port)]);
    open("udp", "unconnected", &[("local_ip", "0.0.0.0"), ("local_port", waiting)]);
    let six = [("local_ip", "::1"), ("local_port", joined.as_str()), ("remote_ip", "::1"), ("remote_port", "9")];
    open("udp", "established", &six);
    let (request, reply) = (REQUEST.to_string(), REPLY.to_string());
    for (ends, bytes_in) in [(server, &request), (client, &reply)] {
        let open = open("tcp", "established", &ends);
        let end = [("activity", "close"), ("protocol", "tcp"), ("outcome", "closed"), ("bytes_in", bytes_in)];
        let close = only(rows, Some(pid), &[end, ends].concat());
        assert_eq!(close.get("cookie"), open.get("cookie"));
    }
    one(rows, |row| row.is(&[("activity", "flow"), ("local_port", waiting), ("bytes_out", "5"), ("pid", pid)]));
}
