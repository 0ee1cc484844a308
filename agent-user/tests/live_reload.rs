//! An agent that is left running: its configuration is read again, its files go elsewhere. Live, in cgroups made for the
//! tests. Needs root.
#![cfg(target_os = "linux")]
#![allow(missing_docs)]

#[path = "live/harness.rs"]
#[allow(dead_code, reason = "each test program uses a part")]
mod harness;
#[path = "live/roles.rs"]
#[allow(dead_code, reason = "each test program uses a part")]
mod roles;

use harness::{Live, ROLE, possible};
use rustix::process::Signal;
use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

/// Not a test: what copies of this program run.
#[test]
fn role() {
    if let Ok(role) = std::env::var(ROLE) {
        roles::play(&role);
    }
}

/// Parquet files below a folder.
fn files(folder: &Path) -> usize {
    fs::read_dir(folder).into_iter().flatten().flatten().fold(0, |count, entry| {
        let path = entry.path();
        count + if path.is_dir() { files(&path) } else { usize::from(path.extension().is_some_and(|e| e == "parquet")) }
    })
}

fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let asked = Instant::now();
    while !done() {
        assert!(asked.elapsed() < Duration::from_secs(100), "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_new_configuration_takes_effect_without_a_loss() {
    if !possible() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("agent.toml");
    fs::write(&file, "[archive]\nrotate_seconds = 3600\n").unwrap();
    let live = Live::start(&["--config", file.to_str().unwrap()]);
    let archive = live.folder.path().join("archive/process");
    let load = live.begin("load");
    live.expect_open("exec", 1);
    assert_eq!(files(&archive), 0);
    // One that is wrong changes nothing.
    let before = live.worker();
    fs::write(&file, "[archive]\nrotate_second = 1\n").unwrap();
    live.signal(Signal::HUP);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(live.worker(), before);
    fs::write(&file, "[archive]\nrotate_seconds = 1\n").unwrap();
    live.signal(Signal::HUP);
    wait_for("another worker", || live.worker() != before);
    wait_for("files", || files(&archive) > 0);
    let made: u64 = load.end()[0].parse().unwrap();
    let stored = live.stop();
    stored.assert_exact();
    assert_eq!((stored.code, stored.count("fork", "written"), stored.dropped("exec")), (Some(0), made, 0));
    assert_eq!(stored.status["self"]["restarts"], 0, "it was asked for");
}

#[test]
fn closed_files_go_where_they_are_wished() {
    if !possible() {
        return;
    }
    let elsewhere = tempfile::tempdir().unwrap();
    let url = format!("file://{}", elsewhere.path().display());
    let live = Live::start(&["--rotate", "1", "--upload", &url, "--upload-every", "1", "--user", ""]);
    live.role("flood");
    let process = elsewhere.path().join("process");
    wait_for("a file", || files(&process) > 0);
    let stored = live.stop();
    stored.assert_exact();
    assert_eq!(stored.code, Some(0));
}
