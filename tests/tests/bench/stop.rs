//! Who stops a benchmark has what was measured until then, soon.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use ebbline_tests::{bin, ended};
use serde_json::Value;

use crate::list;

/// A quick run with its files in a folder, that listens to signals already.
fn started(folder: &Path, more: &[&str]) -> Child {
    let mut command = Command::new(bin("ebbline"));
    command.args(["bench", "--quick", "--json", "--out"]).arg(folder.join("result.json")).args(more);
    command.env("TMPDIR", folder.join("temporary")).stdout(Stdio::piped()).stderr(Stdio::piped());
    std::fs::create_dir_all(folder.join("temporary")).unwrap();
    let child = command.spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    // The second bit is that of SIGINT (proc_pid_status(5)).
    let listens = || {
        let text = std::fs::read_to_string(&status).unwrap();
        let mask = text.lines().find_map(|line| line.strip_prefix("SigCgt:")).expect("a mask of signals").trim();
        u64::from_str_radix(mask, 16).unwrap() & 2 != 0
    };
    let begun = Instant::now();
    while !listens() {
        assert!(begun.elapsed() < Duration::from_secs(60), "it does not listen to signals");
        std::thread::sleep(Duration::from_millis(1));
    }
    child
}

fn signal(child: &Child, name: &str) {
    let sent = ended(Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]));
    assert_eq!(sent.code, 0, "{sent:?}");
}

/// The end of a child that was told to stop, and the result that it wrote.
fn ends_soon(child: Child, folder: &Path) -> (Output, Value) {
    let told = Instant::now();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    // Seconds on a quiet machine, and some more beside builds.
    assert!(told.elapsed() < Duration::from_secs(15), "{:?}", told.elapsed());
    assert!(output.status.code().is_some() && !text.contains("panicked"), "{:?}: {text}", output.status);
    assert_eq!(std::fs::read_dir(folder.join("temporary")).unwrap().count(), 0, "temporary files stay");
    let kept = std::fs::read(folder.join("result.json")).ok().map(|text| serde_json::from_slice(&text).unwrap());
    (output, kept.unwrap_or_default())
}

#[test]
fn at_any_moment_there_is_what_was_measured() {
    // While drivers are looked for; while bits are compared; while rates are taken.
    for (moment, seconds) in [0.0, 3.0, 12.0].into_iter().enumerate() {
        let folder = tempfile::tempdir().unwrap();
        let child = started(folder.path(), &[]);
        std::thread::sleep(Duration::from_secs_f64(seconds));
        signal(&child, "INT");
        let (output, kept) = ends_soon(child, folder.path());
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((output.status.code(), &told["stopped"]), (Some(3), &Value::Bool(true)), "{told}");
        assert_eq!(told, kept, "both are the same");
        let left = list(&told, "left_out");
        assert!(!left.is_empty() && left.iter().any(|one| one["why"] == "stopped before"), "{moment}: {told}");
        // A machine would have to be very slow to have nothing of the CPU by then.
        let cpu = &list(&told, "devices")[0];
        assert!(moment < 2 || !cpu["identity"].is_null(), "{cpu}");
    }
}

#[test]
fn who_asks_twice_does_not_wait() {
    let folder = tempfile::tempdir().unwrap();
    let child = started(folder.path(), &["--device", "cpu"]);
    // Both at once: signals of one kind would be one.
    ["STOP", "INT", "TERM", "CONT"].iter().for_each(|name| signal(&child, name));
    let (output, kept) = ends_soon(child, folder.path());
    assert_eq!((output.status.code(), kept), (Some(130), Value::Null));
    assert!(output.stdout.is_empty());
}
