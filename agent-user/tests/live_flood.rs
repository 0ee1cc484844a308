//! Floods: what is lost is lost where it should be, and counted exactly. Live, in cgroups made for the tests. Needs root.
#![cfg(target_os = "linux")]
#![allow(missing_docs)]

#[allow(dead_code)]
#[path = "live/harness.rs"]
mod harness;

use events::{EventType, Table};
use harness::{CGROUP, END, Live, ROLE, Stored, possible, role_command};
use rustix::{
    net::{AddressFamily, SocketType, connect, socket},
    process::Signal,
};
use std::{
    collections::BTreeMap,
    io::Read,
    net::{Ipv4Addr, SocketAddrV4},
    process::{Command, Stdio},
};

const FLOODERS: u64 = 64;
/// Connects of each.
const CONNECTS: u64 = 1000;
/// Programs that are started meanwhile.
const ORDINARY: u64 = 100;
/// Programs of an exec flood.
const PROGRAMS: u64 = 400;

/// Not a test: what copies of this program run.
#[test]
fn role() {
    let Ok(role) = std::env::var(ROLE) else { return };
    if let Ok(cgroup) = std::env::var(CGROUP) {
        std::fs::write(format!("{cgroup}/cgroup.procs"), "0").unwrap();
    }
    match role.as_str() {
        "sockets" => sockets(),
        "flooder" => flooder(),
        "execs" => programs(PROGRAMS),
        other => panic!("no role {other}"),
    }
    println!("\n@{END}");
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    std::process::exit(0);
}

fn programs(count: u64) {
    for _ in 0..count {
        assert!(Command::new("/bin/true").status().unwrap().success());
    }
}

/// Floods from many processes, and ordinary work.
fn sockets() {
    let flooder = || {
        let mut command = role_command("flooder");
        command.env_remove(CGROUP).stdin(Stdio::null()).stdout(Stdio::null());
        command.spawn().unwrap()
    };
    let flooders: Vec<_> = (0..FLOODERS).map(|_| flooder()).collect();
    programs(ORDINARY);
    flooders.into_iter().for_each(|mut flooder| assert!(flooder.wait().unwrap().success()));
}

fn flooder() {
    let socket = socket(AddressFamily::INET, SocketType::DGRAM, None).unwrap();
    (0..CONNECTS).for_each(|_| connect(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 9)).unwrap());
}

/// What became of the events of a type, by reason.
fn dropped(stored: &Stored, kind: &str) -> BTreeMap<String, u64> {
    let dropped = stored.status["events"][kind]["dropped"].as_object().unwrap();
    dropped.iter().map(|(reason, count)| (reason.clone(), count.as_u64().unwrap())).collect()
}

/// Everything produced is written, summarised or dropped because a ring was full, and nothing else happened than this.
fn assert_books(stored: &Stored, produced: &[(&str, u64)]) {
    assert_eq!(stored.code, Some(0));
    for kind in EventType::ALL {
        let name = kind.name();
        let parts = ["written", "summarised"].map(|part| stored.count(name, part)).iter().sum::<u64>();
        let drops = dropped(stored, name);
        assert!(drops.keys().all(|reason| reason == "ring_full"), "{name}: {drops:?}");
        assert_eq!(stored.count(name, "produced"), parts + drops.values().sum::<u64>(), "{name}");
        let rows = if kind.table() == Table::Process { &stored.process } else { &stored.connection };
        let rows = rows.iter().filter(|row| row.get("activity") == name).count();
        assert_eq!(stored.count(name, "written"), rows as u64, "{name}");
        match produced.iter().find(|(kind, _)| *kind == name) {
            Some((_, count)) => assert_eq!(stored.count(name, "produced"), *count, "{name}"),
            // The agent itself makes these rows.
            None if kind == EventType::Throttle => {}
            None => assert_eq!(stored.count(name, "produced"), 0, "{name}"),
        }
    }
}

#[test]
fn a_flood_of_sockets_takes_nothing_from_processes() {
    if !possible() {
        return;
    }
    let live = Live::start(&["--ring-size", "4096", "--rate-limit", "0"]);
    live.role("sockets");
    let stored = live.stop();
    // Of the role itself, which came in from outside, only the end is seen.
    let started = FLOODERS + ORDINARY;
    let produced = [("exec", started), ("fork", started), ("exit", started + 1), ("connect", FLOODERS * CONNECTS)];
    assert_books(&stored, &produced);
    for kind in ["exec", "fork", "exit"] {
        assert_eq!(stored.dropped(kind), 0, "{kind}");
    }
    assert!(stored.dropped("connect") > 0);
}

#[test]
fn a_flood_of_execs_is_counted_whatever_becomes_of_it() {
    if !possible() {
        return;
    }
    let live = Live::start(&["--lifecycle-ring-size", "4096", "--rate-limit", "100"]);
    // Once with nobody reading the ring, once as usual.
    live.signal(Signal::STOP);
    live.role("execs");
    live.signal(Signal::CONT);
    live.role("execs");
    let stored = live.stop();
    assert_books(&stored, &[("exec", 2 * PROGRAMS), ("fork", 2 * PROGRAMS), ("exit", 2 * PROGRAMS + 2)]);
    // Neither an exec nor an end is ever summarised; most forks are.
    assert_eq!((stored.count("exec", "summarised"), stored.count("exit", "summarised")), (0, 0));
    assert!(stored.dropped("exec") > 0 && stored.count("fork", "summarised") > 0, "{}", stored.status);
    assert!(stored.count("throttle", "written") > 0);
}
