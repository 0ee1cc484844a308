//! Processes that make too many events, live, in cgroups made for the tests. Needs root.
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

use process_roles::{CONNECTS, FORKS};
use std::collections::HashMap;

#[test]
fn a_process_that_makes_too_many_events_is_counted_exactly() {
    if !possible() {
        return;
    }
    let live = Live::start(&["--rate-limit", "200"]);
    let said = live.role("maker");
    let stored = live.stop();
    assert_eq!(stored.code, Some(0));
    stored.assert_exact();
    assert_eq!((stored.count("connect", "produced"), stored.count("fork", "produced")), (CONNECTS, FORKS));
    // What says who a process is and that it is gone is never only counted. The role itself ends in the cgroup, too.
    assert_eq!((stored.count("exec", "written"), stored.count("exit", "written")), (FORKS, FORKS + 1));
    let rows = |operation| {
        let wanted = [("activity", "throttle"), ("operation", operation), ("pid", said[0].as_str())];
        stored.process.iter().filter(move |row| row.is(&wanted)).collect::<Vec<_>>()
    };
    let (starts, stops) = (rows("start"), rows("stop"));
    assert!(!starts.is_empty() && starts.len() == stops.len(), "{starts:#?} {stops:#?}");
    assert!(starts.iter().all(|row| row.entries("summarised").is_empty() && row.get("process_key").len() == 32));
    let mut counted: HashMap<String, u64> = HashMap::new();
    for entry in stops.iter().flat_map(|row| row.entries("summarised")) {
        *counted.entry(entry[0].clone()).or_default() += entry[1].parse::<u64>().unwrap();
    }
    for kind in events::EventType::ALL.map(events::EventType::name) {
        let summarised = stored.status["events"][kind]["summarised"].as_u64().unwrap_or(0);
        assert_eq!(counted.remove(kind).unwrap_or(0), summarised, "{kind}: {}", stored.status);
    }
    let summarised = stored.status["events"]["connect"]["summarised"].as_u64().unwrap();
    assert!(summarised > 0 && summarised < CONNECTS, "{summarised}");
    assert!(stops[0].is(&[("cgroup", &stored.cgroup)]) && !stops[0].get("exe").is_empty(), "{stops:?}");
}
