//! Secrets in the arguments of real processes: none may be in any file of the archive. Needs root.
#![cfg(target_os = "linux")]
#![allow(missing_docs)]

#[path = "../../mask/tests/corpus/mod.rs"]
#[allow(dead_code)]
mod corpus;
#[path = "live/harness.rs"]
#[allow(dead_code)]
mod harness;

use harness::{CGROUP, END, Live, ROLE, Row, possible};
use std::{
    collections::HashSet,
    os::unix::process::CommandExt,
    process::{Command, Stdio},
};

/// Not a test: what a copy of this program does in a cgroup.
#[test]
fn role() {
    if std::env::var(ROLE).is_ok() {
        std::fs::write(format!("{}/cgroup.procs", std::env::var(CGROUP).unwrap()), "0").unwrap();
        for planted in corpus::planted() {
            // Named as the program that takes such arguments, but does nothing with them.
            let mut command = Command::new("/bin/true");
            command.arg0(&planted.args[0]).args(&planted.args[1..]).stdout(Stdio::null());
            assert!(command.status().unwrap().success());
        }
        println!("\n@{END}");
    }
}

fn texts(row: &Row) -> impl Iterator<Item = &str> {
    row.values().chain(row.args.iter().flatten().map(String::as_str))
}

#[test]
fn no_planted_secret_reaches_the_archive() {
    if !possible() {
        return;
    }
    let live = Live::start(&[]);
    live.role("secrets");
    let stored = live.stop();
    stored.assert_exact();
    let planted = corpus::planted();
    let families: HashSet<&str> = planted.iter().map(|planted| planted.family.as_str()).collect();
    assert!(families.len() >= 12, "{families:?}");
    let execs: Vec<&Row> = stored.process.iter().filter(|row| row.is(&[("activity", "exec")])).collect();
    assert_eq!(execs.len(), planted.len(), "every command ran and was seen");
    assert!(execs.iter().all(|row| row.is(&[("args_masked", "true"), ("exe", execs[0].get("exe"))])));
    for command in &planted {
        let rows = stored.process.iter().chain(&stored.connection).chain(&stored.heartbeat);
        let found = command.piece_in(rows.flat_map(texts));
        assert_eq!(found, None, "{}: {:?}", command.family, command.args);
    }
}
