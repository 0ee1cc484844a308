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
        // Nobody listens to what the test runner would still say.
        std::process::exit(0);
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
    let everything = || stored.process.iter().chain(&stored.connection).chain(&stored.heartbeat).flat_map(texts);
    // One after the other, so that rows are in the order of the commands. Pieces are looked for in the command's own row,
    // as a piece of one secret can be a word that another command may show.
    for (command, exec) in planted.iter().zip(execs) {
        assert_eq!(exec.args.as_ref().unwrap()[0], command.args[0]);
        assert_eq!(command.piece_in(texts(exec)), None, "{}: {:?}", command.family, command.args);
        assert!(!everything().any(|text| text.contains(&command.secret)), "{}: {:?}", command.family, command.args);
    }
}
