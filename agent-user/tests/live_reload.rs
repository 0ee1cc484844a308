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

use harness::{Live, ROLE, children, is_alive, possible};
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

/// Baselines that differ.
fn baselines(folder: &Path) -> [Vec<u8>; 2] {
    [1, 2].map(|seed| {
        let (past, path) = (folder.join(format!("past{seed}")), folder.join(format!("{seed}.baseline")));
        ebbline_tests::write_archive(&past, workload::columns::archive(seed, 5_000, 1, 3));
        let learned = archive::learn(&[past], &archive::LearnOptions::default(), &archive::Silent).unwrap();
        learned.baseline.save(&path).unwrap();
        fs::read(path).unwrap()
    })
}

#[test]
fn a_baseline_that_cannot_be_used_leaves_everything_as_it_was() {
    if !possible() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let [first, second] = baselines(folder.path());
    let (file, baseline) = (folder.path().join("agent.toml"), folder.path().join("normal.baseline"));
    fs::write(&baseline, first).unwrap();
    fs::write(&file, format!("[score]\nbaseline = {baseline:?}\nbackend = \"cpu\"\n")).unwrap();
    let live = Live::start(&["--config", file.to_str().unwrap()]);
    let (worker, id) = (live.worker(), live.next_status()["baseline"].clone());
    assert!(id.is_string());
    let refused = |times| {
        live.signal(Signal::HUP);
        wait_for("it is refused", || live.said("warning: not reloaded: ").len() == times);
        let line = live.said("not reloaded").pop().unwrap();
        assert!(line.contains("normal.baseline") && line.ends_with("; the values before stay in force"), "{line}");
        (0..2).for_each(|_| drop(live.next_status()));
        assert_eq!((live.worker(), live.next_status()["baseline"].clone()), (worker, id.clone()));
    };
    fs::write(&baseline, "EBBLBASE, and nothing that belongs there").unwrap();
    refused(1);
    fs::remove_file(&baseline).unwrap();
    refused(2);
    assert_eq!(live.said("not scored").len(), 0);
    fs::write(&baseline, second).unwrap();
    live.signal(Signal::HUP);
    let status = live.until(|status| status["baseline"].is_string() && status["baseline"] != id);
    assert!(status["self"]["restarts"] == 0 && live.worker() != worker, "{status}");
    live.inside(&["/bin/true"]);
    let stored = live.stop();
    stored.assert_exact();
    assert_eq!(stored.code, Some(0));
}

#[test]
fn hundreds_of_reloads_are_a_few_lines() {
    if !possible() {
        return;
    }
    let live = Live::start(&[]);
    for _ in 0..300 {
        live.signal(Signal::HUP);
        std::thread::sleep(Duration::from_millis(5));
    }
    live.hears("(again, ");
    let said = live.said("nothing has changed");
    assert!((2..20).contains(&said.len()), "{said:?}");
    assert_eq!(live.stop().code, Some(0));
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
    // Ctrl-C goes to all of them: an uploader that ends first is no news.
    let said = live.listener();
    let cmdline = |pid: u32| fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let uploader = children(live.pid()).into_iter().find(|pid| cmdline(*pid).contains("upload")).unwrap();
    rustix::process::kill_process(rustix::process::Pid::from_raw(uploader as i32).unwrap(), Signal::INT).unwrap();
    wait_for("its end", || !is_alive(uploader));
    let stored = live.stop();
    stored.assert_exact();
    assert_eq!(stored.code, Some(0));
    assert_eq!(said("uploader"), Vec::<String>::new());
}
