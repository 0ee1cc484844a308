//! Live capture of DNS on the running kernel, in cgroups and networks made for the tests. Needs root.
#![cfg(target_os = "linux")]
#![allow(missing_docs)]

#[path = "live/harness.rs"]
#[allow(dead_code)]
mod harness;
#[path = "live/socket_roles.rs"]
#[allow(dead_code)]
mod roles;

use harness::{Live, ROLE, Row, Stored, one, possible};
use std::{
    io::{Read, Write},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
};

const LOCAL4: Ipv4Addr = Ipv4Addr::LOCALHOST;
const LOCAL6: Ipv6Addr = Ipv6Addr::LOCALHOST;
const A: u16 = 1;
const TXT: u16 = 16;
const NXDOMAIN: u16 = 3;

/// Not a test: what copies of this program run.
#[test]
fn role() {
    if let Ok(role) = std::env::var(ROLE) {
        roles::play(&role, |role| match role {
            "exchanges" => exchanges(),
            "sizes" => sizes(),
            "stream" => stream(),
            other => panic!("no role {other}"),
        });
    }
}

/// A name as it stands in a message.
fn name(text: &str) -> Vec<u8> {
    let labels = text.split('.').flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat());
    labels.chain([0]).collect()
}

/// A message with one question.
fn message(id: u16, flags: u16, asked: &str, kind: u16, answers: &[Vec<u8>]) -> Vec<u8> {
    let head = [id, flags, 1, answers.len() as u16, 0, 0].map(u16::to_be_bytes).concat();
    let question = [name(asked), kind.to_be_bytes().to_vec(), vec![0, 1]].concat();
    [head, question, answers.concat()].concat()
}

fn query(id: u16, asked: &str, kind: u16) -> Vec<u8> {
    message(id, 0x0100, asked, kind, &[])
}

fn answer(id: u16, rcode: u16, asked: &str, kind: u16, answers: &[Vec<u8>]) -> Vec<u8> {
    message(id, 0x8180 | rcode, asked, kind, answers)
}

/// A record about the name in the question.
fn record(kind: u16, data: &[u8]) -> Vec<u8> {
    let head = [0xc00c, kind, 1, 0, 60, data.len() as u16].map(u16::to_be_bytes).concat();
    [head, data.to_vec()].concat()
}

/// A server that gives one datagram back for each that comes; the client's port.
fn exchange(client: &UdpSocket, server: &UdpSocket, to: SocketAddr, there: &[u8], back: &[u8]) {
    let mut buffer = [0; 4096];
    client.send_to(there, to).unwrap();
    let (len, from) = server.recv_from(&mut buffer).unwrap();
    assert_eq!(&buffer[..len], there);
    server.send_to(back, from).unwrap();
    assert_eq!(client.recv(&mut buffer).unwrap(), back.len());
}

/// The same question over IPv4, IPv6, and from a socket of both families to IPv4; then a name that is not there, and
/// something else on the port.
fn exchanges() {
    roles::own_network();
    roles::say(std::process::id());
    let (four, six) = (UdpSocket::bind((LOCAL4, 53)).unwrap(), UdpSocket::bind((LOCAL6, 53)).unwrap());
    let found = |id| answer(id, 0, "www.example.org", A, &[record(A, &[192, 0, 2, 7])]);
    let client = UdpSocket::bind((LOCAL4, 0)).unwrap();
    client.connect((LOCAL4, 53)).unwrap();
    roles::say(client.local_addr().unwrap().port());
    let mut buffer = [0; 512];
    client.send(&query(1, "www.Example.org", A)).unwrap();
    let (_, from) = four.recv_from(&mut buffer).unwrap();
    four.send_to(&found(1), from).unwrap();
    client.recv(&mut buffer).unwrap();
    let client = UdpSocket::bind((LOCAL6, 0)).unwrap();
    exchange(&client, &six, (LOCAL6, 53).into(), &query(2, "www.example.org", A), &found(2));
    roles::say(client.local_addr().unwrap().port());
    let client = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).unwrap();
    let mapped = SocketAddr::from((LOCAL4.to_ipv6_mapped(), 53));
    exchange(&client, &four, mapped, &query(3, "www.example.org", A), &found(3));
    roles::say(client.local_addr().unwrap().port());
    let none = answer(4, NXDOMAIN, "none.example.org", TXT, &[]);
    exchange(&client, &four, mapped, &query(4, "none.example.org", TXT), &none);
    exchange(&client, &four, mapped, b"hello", b"");
}

/// Answers that fill each size of record, and one that none holds.
fn sizes() {
    roles::own_network();
    let server = UdpSocket::bind((LOCAL4, 53)).unwrap();
    let client = UdpSocket::bind((LOCAL4, 0)).unwrap();
    for (id, texts) in (0..).zip(SIZES) {
        let answers = vec![record(TXT, &[&[200], &[b't'; 200][..]].concat()); texts];
        let back = answer(id, 0, "a.example", TXT, &answers);
        exchange(&client, &server, (LOCAL4, 53).into(), &query(id, "a.example", TXT), &back);
    }
}

/// Records in each answer: bytes in each are 213 of each, and 27.
const SIZES: [usize; 5] = [0, 1, 2, 5, 14];

/// One question over TCP, each message in one segment; then one in two segments, which is not seen.
fn stream() {
    roles::own_network();
    let listener = TcpListener::bind((LOCAL4, 53)).unwrap();
    let mut client = TcpStream::connect((LOCAL4, 53)).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    let framed = |message: Vec<u8>| [(message.len() as u16).to_be_bytes().to_vec(), message].concat();
    let pass = |from: &mut TcpStream, to: &mut TcpStream, parts: &[&[u8]]| {
        from.set_nodelay(true).unwrap();
        for part in parts {
            from.write_all(part).unwrap();
            to.read_exact(&mut vec![0; part.len()]).unwrap();
        }
    };
    pass(&mut client, &mut server, &[&framed(query(7, "tcp.example", A))]);
    pass(&mut server, &mut client, &[&framed(answer(7, 0, "tcp.example", A, &[record(A, &[192, 0, 2, 8])]))]);
    let split = framed(query(8, "split.example", A));
    pass(&mut client, &mut server, &[&split[..5], &split[5..]]);
}

fn play(role: &str, count: u64) -> Option<(Stored, Vec<String>)> {
    if !possible() {
        return None;
    }
    let mut live = Live::start(&[]);
    let said = live.stage(role);
    live.expect("dns", count);
    let stored = live.stop();
    assert_eq!(stored.code, Some(0));
    stored.assert_exact();
    assert_eq!(stored.dns.len() as u64, count, "{:#?}", stored.dns);
    Some((stored, said))
}

/// The two rows of a message: as the side that asks sees it, and as the server does.
fn both<'a>(rows: &'a [Row], ip: &str, port: &str, wanted: &[(&str, &str)]) -> [&'a Row; 2] {
    let ends = |local_port, remote_port, direction| {
        [
            ("local_ip", ip),
            ("local_port", local_port),
            ("remote_ip", ip),
            ("remote_port", remote_port),
            ("direction", direction),
        ]
    };
    [ends(port, "53", "outbound"), ends("53", port, "inbound")].map(|ends| {
        let wanted = [&ends, wanted].concat();
        one(rows, |row| row.is(&wanted))
    })
}

#[test]
fn questions_and_answers_over_both_families() {
    let Some((stored, said)) = play("exchanges", 20) else { return };
    let [pid, four, six, mapped] = &said[..] else { panic!("{said:?}") };
    let exe = std::env::current_exe().unwrap();
    let owner = [("pid", &**pid), ("exe", exe.to_str().unwrap()), ("uid", "0"), ("protocol", "udp"), ("host", "test")];
    let wanted = |given: &[(&'static str, &'static str)]| [&owner[..], given].concat();
    for (id, ip, port) in [("1", "127.0.0.1", four), ("2", "::1", six), ("3", "127.0.0.1", mapped)] {
        let asked = [("name", "www.example.org"), ("type", "A"), ("bytes", "33"), ("complete", "true")];
        let none = [("rcode", ""), ("answer_count", ""), ("activity", "query")];
        let queries = both(&stored.dns, ip, port, &[&wanted(&asked)[..], &none, &[("id", id)]].concat());
        assert!(queries.iter().all(|row| row.args.is_none()), "{queries:#?}");
        let told = [("name", "www.example.org"), ("type", "A"), ("bytes", "49"), ("complete", "true")];
        let answered = [("rcode", "NOERROR"), ("answer_count", "1"), ("activity", "answer")];
        let answers = both(&stored.dns, ip, port, &[&wanted(&told)[..], &answered, &[("id", id)]].concat());
        assert!(answers.iter().all(|row| row.args.as_deref() == Some(&["192.0.2.7".to_owned()][..])), "{answers:#?}");
        assert_eq!(queries.map(|row| row.get("cookie")), answers.map(|row| row.get("cookie")));
        assert!(queries[0].number("time") <= answers[0].number("time"));
    }
    let asked = [("id", "4"), ("name", "none.example.org"), ("type", "TXT"), ("complete", "true")];
    both(&stored.dns, "127.0.0.1", mapped, &[&asked[..], &[("activity", "query"), ("rcode", "")]].concat());
    let none = [("activity", "answer"), ("rcode", "NXDOMAIN"), ("answer_count", "0")];
    both(&stored.dns, "127.0.0.1", mapped, &[&asked[..], &none].concat());
    for bytes in ["5", "0"] {
        let other = [("activity", "other"), ("bytes", bytes), ("name", ""), ("id", ""), ("complete", "false")];
        both(&stored.dns, "127.0.0.1", mapped, &wanted(&other));
    }
}

#[test]
fn messages_of_every_size_come_whole_and_the_longest_is_cut() {
    let Some((stored, _)) = play("sizes", 4 * SIZES.len() as u64) else { return };
    for (id, texts) in (0..).zip(SIZES) {
        let (id, bytes) = (i32::to_string(&id), 27 + 213 * texts);
        let answers = |row: &&Row| row.is(&[("id", &id), ("activity", "answer")]);
        let rows: Vec<&Row> = stored.dns.iter().filter(answers).collect();
        assert_eq!(rows.len(), 2);
        for row in rows {
            let complete = bytes <= events::DNS_MAX;
            let wanted = [("bytes", &*bytes.to_string()), ("complete", &*complete.to_string())];
            assert!(row.is(&wanted) && row.number("answer_count") == texts as u64, "{row:?}");
            let got = row.args.as_ref().unwrap().len();
            assert_eq!(got, if complete { texts } else { (events::DNS_MAX - 27) / 213 });
        }
    }
}

#[test]
fn a_whole_message_in_a_segment_is_seen() {
    let Some((stored, _)) = play("stream", 4) else { return };
    for (activity, bytes) in [("query", "29"), ("answer", "45")] {
        for direction in ["outbound", "inbound"] {
            let wanted = [("activity", activity), ("direction", direction), ("bytes", bytes), ("name", "tcp.example")];
            let row = one(&stored.dns, |row| row.is(&wanted));
            assert!(
                row.is(&[("protocol", "tcp"), ("id", "7"), ("complete", "true"), ("local_ip", "127.0.0.1")]),
                "{row:?}"
            );
        }
    }
}
