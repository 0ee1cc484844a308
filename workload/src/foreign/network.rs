//! Logs of networks: connections, names, the web, machines of a plant.

use serde_json::{Value, json};

use super::{Log, Written, about, epoch, pick, plain};
use crate::random::Random;

/// Machines at desks; each speaks to some of the servers.
const DESKS: u64 = 9;

pub(super) const ZEEK_CONN: Log = Log {
    name: "zeek-conn",
    written: Written::JsonLines,
    ordinary: conn,
    odd: odd_conn,
    odd_unit: "10.20.0.40",
    odd_view: "server given client",
};

/// A server, its port, what is spoken, and bytes out and in.
type Peer = (&'static str, u64, &'static str, &'static str, u64, u64);

const OFFICE: [Peer; 6] = [
    ("10.20.1.10", 443, "tcp", "ssl", 2_000, 40_000),
    ("198.51.100.20", 443, "tcp", "ssl", 3_000, 90_000),
    ("10.20.1.53", 53, "udp", "dns", 60, 180),
    ("203.0.113.80", 443, "tcp", "ssl", 1_500, 250_000),
    ("10.20.1.25", 587, "tcp", "smtp", 30_000, 900),
    ("10.20.1.12", 445, "tcp", "smb", 8_000, 60_000),
];
const PRINTER: [Peer; 2] = [("10.20.1.53", 53, "udp", "dns", 60, 180), ("10.20.1.123", 123, "udp", "ntp", 48, 48)];
const DATABASE: [Peer; 2] = [("10.20.1.60", 5432, "tcp", "", 900, 12_000), ("10.20.1.53", 53, "udp", "dns", 60, 180)];

fn conn(random: &mut Random, time: i64) -> Value {
    let (client, peer) = match random.below(12) {
        0 => ("10.20.0.40".to_owned(), pick(random, &PRINTER)),
        1..3 => ("10.20.1.10".to_owned(), pick(random, &DATABASE)),
        _ => (format!("10.20.0.{}", 10 + random.below(DESKS)), pick(random, &OFFICE)),
    };
    let state = if random.one_in(40) { "RSTO" } else { "SF" };
    conn_row(random, time, &client, *peer, state)
}

fn conn_row(random: &mut Random, time: i64, client: &str, peer: Peer, state: &str) -> Value {
    let (server, port, protocol, service, out, back) = peer;
    let mut row = json!({
        "ts": epoch(time), "uid": format!("C{:012x}", random.next() >> 16), "id.orig_h": client,
        "id.orig_p": 32_768 + random.below(28_000), "id.resp_h": server, "id.resp_p": port, "proto": protocol,
        "duration": about(random, 4_000) as f64 / 1e3, "orig_bytes": about(random, out), "resp_bytes": about(random, back),
        "conn_state": state, "local_orig": true, "local_resp": server.starts_with("10."), "missed_bytes": 0,
    });
    if !service.is_empty() {
        row["service"] = service.into();
    }
    row
}

/// The printer copies something to a machine outside.
fn odd_conn(time: i64) -> Vec<Value> {
    let mut random = Random::new(1);
    (0..4)
        .map(|_| conn_row(&mut random, time, "10.20.0.40", ("192.0.2.77", 22, "tcp", "ssh", 900_000, 4_000), "SF"))
        .collect()
}

pub(super) const ZEEK_DNS: Log = Log {
    name: "zeek-dns",
    written: Written::Zeek,
    ordinary: dns,
    odd: odd_dns,
    odd_unit: "10.20.0.13",
    odd_view: "name shape given site",
};

const NAMES: [&str; 8] = [
    "mail.example.com",
    "www.example.org",
    "files.intra.example.com",
    "cdn.example.net",
    "login.example.com",
    "time.example.org",
    "updates.example.net",
    "wiki.intra.example.com",
];

fn dns(random: &mut Random, time: i64) -> Value {
    let client = format!("10.20.0.{}", 10 + random.below(DESKS));
    let name = *pick(random, &NAMES);
    let kind = *pick(random, &["A", "AAAA", "HTTPS"]);
    let code = if random.one_in(50) { "NXDOMAIN" } else { "NOERROR" };
    let answers = vec![format!("198.51.100.{}", name.len()); usize::from(code == "NOERROR")];
    dns_row(random, time, &client, (name, kind, code), &answers)
}

fn dns_row(random: &mut Random, time: i64, client: &str, asked: (&str, &str, &str), answers: &[String]) -> Value {
    let (name, kind, code) = asked;
    json!({
        "ts": epoch(time), "uid": format!("C{:012x}", random.next() >> 16), "id.orig_h": client,
        "id.orig_p": 32_768 + random.below(28_000), "id.resp_h": "10.20.1.53", "id.resp_p": 53, "proto": "udp",
        "trans_id": random.below(65_536), "rtt": about(random, 20) as f64 / 1e3, "query": name, "qtype_name": kind,
        "rcode_name": code, "AA": false, "RD": true, "answers": answers,
    })
}

/// One machine asks for long names below a domain that nobody knows.
fn odd_dns(time: i64) -> Vec<Value> {
    let mut random = Random::new(2);
    let asked = |_| {
        let name = format!("{:016x}{:016x}.q.example.test", random.next(), random.next());
        dns_row(&mut random, time, "10.20.0.13", (&name, "TXT", "NOERROR"), &["ok".to_owned()])
    };
    (0..6).map(asked).collect()
}

pub(super) const WEB_PROXY: Log = Log {
    name: "web-proxy",
    written: Written::Csv,
    ordinary: proxy,
    odd: odd_proxy,
    odd_unit: "10.20.0.16",
    odd_view: "site given client",
};

const BROWSER: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
/// Method, URL, type of what comes, bytes of it, and what asks.
const PAGES: [(&str, &str, &str, u64, &str); 6] = [
    ("GET", "https://www.example.org/news/#", "text/html", 60_000, BROWSER),
    ("GET", "https://cdn.example.net/static/app.js?v=#", "application/javascript", 180_000, BROWSER),
    ("GET", "https://cdn.example.net/img/#.png", "image/png", 30_000, BROWSER),
    ("POST", "https://login.example.com/session", "application/json", 900, BROWSER),
    ("GET", "https://shop.example.com/item/#?ref=list", "text/html", 50_000, BROWSER),
    ("GET", "http://updates.example.net/pool/main/#.deb", "application/octet-stream", 900_000, "Updater/3.0"),
];

fn proxy(random: &mut Random, time: i64) -> Value {
    let client = 10 + random.below(DESKS);
    let (method, url, content, bytes, agent) = *pick(random, &PAGES);
    let url = url.replace('#', &random.below(9_000).to_string());
    let status = if random.one_in(30) { 404 } else { 200 };
    proxy_row(random, time, client, (method, &url, content, bytes, agent), (status, 700))
}

fn proxy_row(
    random: &mut Random,
    time: i64,
    client: u64,
    page: (&str, &str, &str, u64, &str),
    (status, out): (u64, u64),
) -> Value {
    let (method, url, content, bytes, agent) = page;
    json!({
        "time": plain(time), "duration_ms": about(random, 120), "client": format!("10.20.0.{client}"),
        "user": format!("user{client}"), "result": "TCP_MISS", "status": status, "bytes_in": about(random, bytes),
        "bytes_out": about(random, out), "method": method, "url": url, "content_type": content, "user_agent": agent,
    })
}

/// One machine sends much to a place where nobody goes.
fn odd_proxy(time: i64) -> Vec<Value> {
    let mut random = Random::new(3);
    let page = ("PUT", "http://drop.example.test:8081/in/part", "text/plain", 40, "curl/8.16.0");
    (0..4).map(|_| proxy_row(&mut random, time, 16, page, (201, 9_000_000))).collect()
}

pub(super) const MODBUS: Log = Log {
    name: "modbus",
    written: Written::Zeek,
    ordinary: modbus,
    odd: odd_modbus,
    odd_unit: "10.30.0.20",
    odd_view: "function given client",
};

/// Function, first register and how many.
const POLLS: [(&str, u64, u64); 4] = [
    ("READ_HOLDING_REGISTERS", 0, 16),
    ("READ_INPUT_REGISTERS", 100, 8),
    ("READ_COILS", 0, 32),
    ("READ_HOLDING_REGISTERS", 40, 4),
];

fn modbus(random: &mut Random, time: i64) -> Value {
    let server = 1 + random.below(4);
    // The panel on the wall only reads; the controller sets its set point now and then.
    let (client, poll) = match random.below(6) {
        0 => (20, POLLS[1]),
        1 => (10, ("WRITE_SINGLE_REGISTER", 200 + server, 1)),
        _ => (10, *pick(random, &POLLS)),
    };
    modbus_row(random, time, (client, server), poll)
}

fn modbus_row(random: &mut Random, time: i64, ends: (u64, u64), poll: (&str, u64, u64)) -> Value {
    let ((client, server), (function, address, quantity)) = (ends, poll);
    json!({
        "ts": epoch(time), "uid": format!("C{:012x}", random.next() >> 16), "id.orig_h": format!("10.30.0.{client}"),
        "id.resp_h": format!("10.30.1.{server}"), "id.resp_p": 502, "unit": 1, "func": function, "address": address,
        "quantity": quantity, "exception": if random.one_in(200) { "SERVER_DEVICE_BUSY".into() } else { Value::Null },
    })
}

/// The panel writes, to registers that nobody touches.
fn odd_modbus(time: i64) -> Vec<Value> {
    let mut random = Random::new(4);
    (0..5)
        .map(|at| modbus_row(&mut random, time, (20, 1 + at % 2), ("WRITE_MULTIPLE_REGISTERS", 900 + 10 * at, 10)))
        .collect()
}
