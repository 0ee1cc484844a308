//! Live capture on the running kernel, in cgroups made for the tests. Needs root.
#![cfg(target_os = "linux")]
#![allow(missing_docs)]

#[path = "live/harness.rs"]
#[allow(dead_code)]
mod harness;
#[path = "live/roles.rs"]
mod roles;

use harness::{AGENT, Live, Mounted, ROLE, possible};
use roles::FLOOD;
use rustix::process::Signal;
use std::{fs, os::unix::fs::PermissionsExt, process::Command};

/// Not a test: what copies of this program run.
#[test]
fn role() {
    if let Ok(role) = std::env::var(ROLE) {
        roles::play(&role);
    }
}

#[test]
fn a_reader_that_goes_away_does_not_end_capture() {
    if !possible() {
        return;
    }
    let mut live = Live::start(&[]);
    live.close_output();
    live.role("memfd");
    // Long enough for another status line, which nobody takes. If not, this shows less and passes all the same.
    std::thread::sleep(std::time::Duration::from_millis(1500));
    live.inside(&["/bin/true"]);
    assert_eq!(live.stop_unread().len(), 6);
}

#[test]
fn other_processes_never_show() {
    if !possible() {
        return;
    }
    let live = Live::start(&[]);
    // The same work outside and in a sibling cgroup.
    for _ in 0..20 {
        assert!(Command::new("/bin/true").arg("outside").status().unwrap().success());
    }
    let sibling = Live::start(&[]);
    sibling.role("tcp4");
    sibling.inside(&["/bin/true", "sibling"]);
    live.inside(&["/bin/true", "inside"]);
    let (stored, other) = (live.stop(), sibling.stop());
    let own: Vec<_> = stored.process.iter().chain(&stored.connection).collect();
    assert_eq!(own.len(), 2, "one exec, one exit: {own:#?}");
    assert_eq!(stored.one(|row| row.get("activity") == "exec").args.as_ref().unwrap()[1], "inside");
    assert!(stored.process.iter().all(|row| row.get("cgroup") == stored.cgroup));
    assert!(other.process.iter().all(|row| row.get("cgroup") == other.cgroup));
}

#[test]
fn a_child_cgroup_is_in_scope() {
    if !possible() {
        return;
    }
    let live = Live::start(&[]);
    let child = live.cgroup.0.join("child");
    fs::create_dir(&child).unwrap();
    let join = r#"echo $$ > "$0/cgroup.procs" && exec /bin/true below"#;
    assert!(Command::new("/bin/sh").args(["-c", join]).arg(&child).status().unwrap().success());
    harness::remove(&child);
    let stored = live.stop();
    assert_eq!(stored.one(|row| row.get("activity") == "exec").args.as_ref().unwrap()[1], "below");
}

#[test]
fn every_event_is_stored_or_counted_as_dropped() {
    if !possible() {
        return;
    }
    let live = Live::start(&["--ring-size", "4096", "--lifecycle-ring-size", "4096"]);
    // While the agent stands still, tiny rings must overflow.
    live.signal(Signal::STOP);
    live.role("flood");
    live.signal(Signal::CONT);
    live.expect("close", 2 * FLOOD);
    let stored = live.stop();
    assert_eq!(stored.code, Some(0));
    // The generator's own count: what it made, no more and no less. The role itself only ends in the cgroup.
    for (kind, made) in [("exec", FLOOD), ("fork", FLOOD), ("exit", FLOOD + 1), ("connect", FLOOD), ("accept", FLOOD)] {
        assert_eq!(stored.count(kind, "produced"), made, "{kind}: {}", stored.status);
    }
    assert_eq!(stored.count("close", "produced"), 2 * FLOOD, "{}", stored.status);
    stored.assert_exact();
    for kind in ["exec", "fork", "exit", "connect", "accept", "close"] {
        assert!(stored.dropped(kind) > 0 && stored.status["events"][kind]["dropped"]["ring_full"].is_u64(), "{kind}");
    }
    assert_eq!(stored.last_beat("kernel", "exec", "produced"), Some(FLOOD));
    stored.assert_last_beat();
}

#[test]
fn nothing_is_lost_in_rings_of_ordinary_size() {
    if !possible() {
        return;
    }
    let live = Live::start(&[]);
    live.role("flood");
    // At once: what is still in the rings must come out.
    let stored = live.stop();
    assert_eq!(stored.code, Some(0));
    stored.assert_exact();
    for (kind, made) in [("exec", FLOOD), ("fork", FLOOD), ("exit", FLOOD + 1), ("connect", FLOOD), ("accept", FLOOD)] {
        assert_eq!(stored.count(kind, "written"), made, "{kind}: {}", stored.status);
    }
    let unowned = stored.connection.iter().filter(|row| row.get("process_key").is_empty()).count();
    assert_eq!(unowned, 0);
    let mut times: Vec<&str> = stored.process.iter().map(|row| row.get("time")).collect();
    let sorted = times.is_sorted();
    times.sort_unstable();
    assert!(sorted, "rows are in the kernel's order");
}

#[test]
fn a_full_disk_is_said_and_every_row_is_counted() {
    if !possible() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mount = folder.path().to_owned();
    let Some(_disk) = Mounted::small_disk(&mount) else {
        eprintln!("SKIPPED: cannot mount a small file system");
        return;
    };
    let live = Live::start_in(folder, &[]);
    fs::write(mount.join("filler"), [0; 40 << 10]).unwrap();
    live.role("flood");
    let stored = live.stop();
    assert_eq!(stored.code, Some(1));
    for kind in ["exec", "fork", "exit", "connect", "accept", "close"] {
        // What reached the journal waits there for the next start.
        let kept = stored.count(kind, "written") + stored.count(kind, "open");
        assert_eq!(stored.count(kind, "produced"), kept + stored.dropped(kind), "{kind}");
    }
    assert!(stored.status.to_string().contains("write_failed"), "{}", stored.status);
}

#[test]
fn what_is_learned_on_stopping_scores_the_next_run_live() {
    if !possible() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let baseline = folder.path().join("normal.baseline");
    let baseline = baseline.to_str().unwrap();
    let live = Live::start(&["--learn", baseline]);
    live.role("flood");
    assert_eq!(live.stop().code, Some(0));
    let out = folder.path().join("scores");
    let live = Live::start(&["--baseline", baseline, "--backend", "cpu", "--out", out.to_str().unwrap()]);
    live.role("flood");
    live.inside(&["/bin/sh", "-c", "/bin/sh -c 'exit 3'; /bin/ls -la /proc/self/fd"]);
    let stored = live.stop();
    assert_eq!(stored.code, Some(0));
    stored.assert_exact();
    assert_eq!(stored.status["backend"], "cpu");
    let manifest: serde_json::Value = serde_json::from_slice(&fs::read(out.join("manifest.json")).unwrap()).unwrap();
    let run = &manifest["runs"][0];
    let rows = (stored.process.len() + stored.connection.len()) as u64;
    assert_eq!((run["rows"].as_u64(), run["command"].as_str()), (Some(rows), Some("run")));
    let id = stored.status["baseline"].as_str().unwrap();
    let done = run["inputs_done"].as_array().unwrap();
    // One for each table, two if the hour ended meanwhile.
    assert!(done.len() >= 2);
    for input in done {
        let sidecar = store::sidecar_path(&out, id, input["path"].as_str().unwrap());
        assert_eq!(store::read_sidecar(&sidecar).unwrap().len() as u64, input["rows"].as_u64().unwrap());
    }
    assert!(store::read_all_findings(&out).is_ok());
}

#[test]
fn learning_says_what_it_skipped() {
    if !possible() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let baseline = folder.path().join("normal.baseline");
    let live = Live::start(&["--learn", baseline.to_str().unwrap()]);
    live.inside(&["/bin/true"]);
    fs::write(live.folder.path().join("archive/not\nours.parquet"), "?").unwrap();
    assert_eq!(live.stop().code, Some(3));
    assert!(baseline.exists());
}

/// Runs the agent where it must fail; returns its one line.
fn fails(arguments: &[&str]) -> String {
    let output =
        Command::new(AGENT).args(["run", "--for", "60", "--status-socket", "none"]).args(arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.starts_with("error: ") && text.trim_end().lines().count() == 1, "{text}");
    text
}

#[test]
fn errors_are_one_line_that_says_what_to_do() {
    if !possible() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("archive");
    let archive = archive.to_str().unwrap();
    assert!(fails(&["--archive", archive, "--btf", "/nonexistent"]).contains("type information: /nonexistent"));
    assert!(fails(&["--archive", archive, "--cgroup", "/tmp"]).contains("not a cgroup v2 folder: /tmp"));
    assert!(fails(&["--archive", archive, "--cgroup", "/nonexistent"]).contains("/nonexistent"));
    assert!(fails(&["--archive", "/nonexistent/archive"]).contains("cannot write archive: /nonexistent/archive"));
    assert!(fails(&["--archive", archive, "--baseline", "/nonexistent"]).contains("/nonexistent"));
    assert!(fails(&["--archive", archive, "--ring-size", "5000"]).contains("bad ring size: 5000"));
}

#[test]
fn without_rights_it_says_which() {
    if !possible() {
        return;
    }
    use std::os::unix::process::CommandExt;
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let agent = folder.path().join("agent");
    fs::copy(AGENT, &agent).unwrap();
    let nobody = |arguments: &[&str]| Command::new(&agent).args(arguments).uid(65534).gid(65534).output().unwrap();
    let output = nobody(&["run", "--archive", "/tmp/none"]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text.starts_with("error: no rights: process: CAP_NET_ADMIN, CAP_PERFMON, CAP_BPF missing; run as root"),
        "{text}"
    );
    assert_eq!(text.trim_end().lines().count(), 1);
    assert_eq!(nobody(&["doctor"]).status.code(), Some(1));
}

#[test]
fn the_doctor_agrees_with_run() {
    if !possible() {
        return;
    }
    let cgroup = harness::Cgroup::new();
    let output = Command::new(AGENT).args(["doctor", "--json", "--cgroup"]).arg(&cgroup.0).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["ok"], true);
    assert!(report["notes"][0].as_str().unwrap().starts_with("accept through io_uring"));
    let missing = report["checks"].as_array().unwrap().iter().filter(|check| check["ok"] == false);
    let layout = ebbline_agent_user::kernel::layout(ebbline_agent_user::kernel::BTF_PATH.as_ref()).unwrap();
    // Before Linux 5.12 sockets that are older than the agent are not all found.
    let partly: &[&str] = if layout.socket_cookies { &[] } else { &["iter task_file (socket_open)"] };
    assert_eq!(missing.map(|check| check["what"].as_str().unwrap()).collect::<Vec<_>>(), partly, "{report}");
}

#[test]
fn a_machine_without_cgroup_v2_is_told_how_to_mount_it() {
    if !possible() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mount = ebbline_agent_user::kernel::cgroup2_mount().unwrap();
    // In a mount namespace of its own; this machine keeps its mount.
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", "umount -l \"$0\" && exec \"$@\""]).arg(mount).arg(AGENT);
    let output = command.args(["run", "--for", "60", "--archive"]).arg(folder.path().join("archive")).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.starts_with("error: no cgroup v2: /proc/self/mounts: "), "{text}");
    assert_eq!(text.trim_end().lines().count(), 1);
    assert!(!folder.path().join("archive").exists());
}
