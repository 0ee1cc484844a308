//! What was there before the agent, live, in cgroups made for the tests. Needs root.
#![cfg(target_os = "linux")]
#![allow(missing_docs)]

#[path = "live/harness.rs"]
#[allow(dead_code, reason = "each test program uses a part")]
mod harness;
#[path = "live/process_roles.rs"]
#[allow(dead_code, reason = "each test program uses a part")]
mod process_roles;

use harness::{Live, ROLE, possible};

/// Not a test: what copies of this program run.
#[test]
fn role() {
    if let Ok(role) = std::env::var(ROLE) {
        process_roles::play(&role);
    }
}

use process_roles::MANY;
use std::collections::{HashMap, HashSet};

#[test]
fn every_process_that_was_there_is_recorded_once_and_by_its_key() {
    if !possible() {
        return;
    }
    let (mut live, _) = Live::start_after("many");
    // The role itself, too.
    live.expect("running", MANY as u64 + 1);
    live.cue();
    live.expect("exit", MANY as u64);
    let stored = live.stop();
    stored.assert_exact();
    let rows = |activity| stored.process.iter().filter(move |row| row.get("activity") == activity);
    let running: HashSet<&str> = rows("running").map(|row| row.get("process_key")).collect();
    assert_eq!((running.len(), rows("running").count()), (MANY + 1, MANY + 1));
    let ended: HashSet<&str> = rows("exit").map(|row| row.get("process_key")).collect();
    assert_eq!(ended.len(), MANY);
    assert!(ended.is_subset(&running));
    let role = stored.one(|row| {
        row.is(&[("activity", "running"), ("comm", "role")])
            || row
                .args
                .as_ref()
                .is_some_and(|args| args.iter().any(|a| a == "role") && row.get("activity") == "running")
    });
    let sleep = std::fs::canonicalize("/bin/sleep").unwrap();
    let parent = std::env::current_exe().unwrap().canonicalize().unwrap();
    for row in rows("running").filter(|row| row.get("process_key") != role.get("process_key")) {
        let wanted = [("exe", sleep.to_str().unwrap()), ("comm", "sleep"), ("parent_key", role.get("process_key"))];
        assert!(
            row.is(&wanted) && row.is(&[("cgroup", &stored.cgroup), ("parent_exe", parent.to_str().unwrap())]),
            "{row:?}"
        );
        assert_eq!(row.args.as_deref().unwrap(), ["/bin/sleep", "600"]);
    }
}

#[test]
fn what_begins_while_the_agent_starts_begins_once() {
    if !possible() {
        return;
    }
    let (mut live, _) = Live::start_after("spawner");
    // The snapshot is made while they go on. It is over when it finds no more; many begin afterwards.
    let of = |status: &serde_json::Value, kind: &str| status["events"][kind]["produced"].as_u64().unwrap();
    let mut found = 0;
    let status = loop {
        let status = live.next_status();
        let now = of(&status, "running");
        if now > 0 && now == found {
            break status;
        }
        found = now;
    };
    live.expect("fork", of(&status, "fork") + 1000);
    live.cue();
    let stored = live.stop();
    stored.assert_exact();
    let mut begun: HashMap<&str, u32> = HashMap::new();
    for row in &stored.process {
        *begun.entry(row.get("process_key")).or_default() +=
            u32::from(["running", "fork"].contains(&row.get("activity")));
    }
    assert!(begun.values().all(|times| *times <= 1));
    // What ended before the snapshot came to it has no beginning.
    let last = stored.process.iter().filter(|row| row.get("activity") == "running").map(|row| row.number("time")).max();
    let later = |row: &&harness::Row| row.get("activity") == "exit" && Some(row.number("time")) > last;
    assert!(stored.process.iter().filter(later).all(|row| begun[row.get("process_key")] == 1));
    assert!(stored.process.iter().filter(later).count() > 90);
}
