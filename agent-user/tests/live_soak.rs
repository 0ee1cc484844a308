//! Ordinary load for minutes, live, in a cgroup made for the test. Needs root.
//!
//! Three minutes; `EBBLINE_SOAK_S` for more (`cargo xtask soak`).
#![cfg(target_os = "linux")]
#![allow(missing_docs)]

#[path = "live/harness.rs"]
#[allow(dead_code, reason = "each test program uses a part")]
mod harness;
#[path = "live/roles.rs"]
#[allow(dead_code, reason = "each test program uses a part")]
mod roles;

use harness::{Live, ROLE, possible};
use std::time::{Duration, Instant};

/// Processes that the agent remembers, at most.
const PROCESSES: u64 = 65_536;
/// What memory may grow by between the second quarter and the last: a tenth, and what an allocator keeps.
const SLACK: u64 = 8 << 20;

/// Not a test: what copies of this program run.
#[test]
fn role() {
    if let Ok(role) = std::env::var(ROLE) {
        roles::play(&role);
    }
}

fn median(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values[values.len() / 2]
}

#[test]
fn memory_stays_flat_and_the_books_balance() {
    if !possible() {
        return;
    }
    let seconds: u64 = std::env::var("EBBLINE_SOAK_S").map_or(180, |text| text.parse().unwrap());
    // Files are made all the time, as they are over days.
    let live = Live::start(&["--rotate", "2"]);
    let load = live.begin("load");
    let (began, mut memory) = (Instant::now(), Vec::new());
    while began.elapsed() < Duration::from_secs(seconds) {
        let status = live.next_status();
        memory.push(status["self"]["pss_bytes"].as_u64().unwrap());
        assert!(status["self"]["processes"].as_u64().unwrap() <= PROCESSES, "{status}");
    }
    let made: u64 = load.end()[0].parse().unwrap();
    let stored = live.stop();
    stored.assert_exact();
    assert_eq!(stored.code, Some(0));
    let quarter = memory.len() / 4;
    let (early, late) = (median(memory[quarter..2 * quarter].to_vec()), median(memory[3 * quarter..].to_vec()));
    eprintln!(
        "{seconds} s, {made} programs and connections: {:.1} MiB in the second quarter, {:.1} MiB in the last",
        early as f64 / 1_048_576.0,
        late as f64 / 1_048_576.0
    );
    assert!(late <= early + early / 10 + SLACK, "{early} {late}");
    assert_eq!(stored.count("fork", "produced"), made);
    assert_eq!(stored.count("connect", "produced"), made);
}
