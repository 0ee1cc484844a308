//! A loader with rights and a worker without, live, in cgroups made for the tests. Needs root.
#![cfg(target_os = "linux")]
#![allow(missing_docs)]

#[path = "live/harness.rs"]
#[allow(dead_code, reason = "each test program uses a part")]
mod harness;
#[path = "live/roles.rs"]
#[allow(dead_code, reason = "each test program uses a part")]
mod roles;

use harness::{AGENT, Cgroup, Live, Mounted, ROLE, SOCKET, is_alive, possible, status};
use rustix::process::Signal;
use serde_json::Value;
use std::{
    collections::HashSet,
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::{MetadataExt, PermissionsExt},
    process::{Command, Stdio},
    time::Duration,
};

/// Not a test: what copies of this program run.
#[test]
fn role() {
    if let Ok(role) = std::env::var(ROLE) {
        roles::play(&role);
    }
}

/// What an agent says that does not start, and its exit code.
fn refused(cgroup: &Cgroup, folder: &tempfile::TempDir, arguments: &[&str]) -> (String, Option<i32>) {
    let mut command = Command::new(AGENT);
    command.args(["run", "--config", "none", "--pin", "none", "--status-socket", "none", "--for", "0.2"]);
    command.arg("--archive").arg(folder.path().join("archive")).arg("--cgroup").arg(&cgroup.0).args(arguments);
    let output = command.output().unwrap();
    (String::from_utf8(output.stderr).unwrap(), output.status.code())
}

/// A folder that any user may look into.
fn open_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

/// What stands behind a word in the status of a process.
fn says(pid: u32, key: &str) -> String {
    let status = status(pid).expect("a process");
    status.lines().find_map(|line| line.strip_prefix(key)).expect("a line").trim().to_owned()
}

#[test]
fn the_worker_has_no_rights_and_captures_all_the_same() {
    if !possible() {
        return;
    }
    let live = Live::start_in(open_folder(), &["--user", "nobody"]);
    let worker = live.worker();
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
        assert_eq!(says(worker, set), "0000000000000000", "{set}");
    }
    assert_eq!((says(worker, "NoNewPrivs:"), says(worker, "Seccomp:")), ("1".into(), "2".into()));
    assert_eq!(says(worker, "Uid:"), ["65534"; 4].join("\t"));
    assert_eq!(says(worker, "Groups:"), "");
    // The loader has what it needs to the end, which is no right to change the network or other people's files.
    assert_eq!(says(live.pid(), "NoNewPrivs:"), "1");
    let held = u64::from_str_radix(&says(live.pid(), "CapEff:"), 16).unwrap();
    for (number, name) in [(1, "DAC_OVERRIDE"), (12, "NET_ADMIN"), (21, "SYS_ADMIN"), (16, "SYS_MODULE")] {
        assert_eq!(held >> number & 1, 0, "CAP_{name}");
    }
    for path in ["archive", "archive/journal"] {
        assert_eq!(fs::metadata(live.folder.path().join(path)).unwrap().uid(), 65534, "{path}");
    }
    live.inside(&["/bin/true"]);
    let pid = live.pid();
    let stored = live.stop();
    stored.assert_exact();
    assert_eq!((stored.code, stored.count("exec", "written")), (Some(0), 1));
    assert_eq!(stored.status["pid"], pid);
    let sandbox = &stored.status["self"]["sandbox"];
    assert_eq!((&sandbox["uid"], &sandbox["capabilities"]), (&Value::from(65534), &Value::from(0)));
    assert_eq!(sandbox["seccomp"], true);
    // Digests and folders come from the loader.
    let exec = stored.process.iter().find(|row| row.get("activity") == "exec").unwrap();
    assert_eq!(exec.get("exe_sha256").len(), 64);
}

#[test]
fn the_worker_cannot_read_what_it_was_not_given() {
    if !possible() {
        return;
    }
    let (cgroup, folder) = (Cgroup::new(), open_folder());
    let mut command = Command::new(AGENT);
    command.args(["run", "--config", "none", "--pin", "none", "--status-socket", "none", "--for", "0.2"]);
    command.args(["--try-outside", "/etc/passwd", "--archive"]).arg(folder.path().join("archive"));
    let output = command.arg("--cgroup").arg(&cgroup.0).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    assert!(said.contains("tried outside: /etc/passwd: Permission denied"), "{said}");
}

#[test]
fn killing_the_worker_under_load_loses_nothing() {
    if !possible() {
        return;
    }
    const KILLS: u64 = 6;
    let live = Live::start(&["--rotate", "2"]);
    let load = live.begin("load");
    for round in 0..KILLS {
        std::thread::sleep(Duration::from_millis(300 + 170 * round));
        live.kill_worker();
    }
    // The one that goes on has been there for a while.
    live.expect("exec", 1);
    let made: u64 = load.end()[0].parse().unwrap();
    let stored = live.stop();
    stored.assert_exact();
    assert_eq!(stored.code, Some(0), "{}", stored.status);
    assert_eq!(stored.status["self"]["restarts"], KILLS);
    for kind in ["exec", "fork", "exit", "connect", "accept", "close", "flow"] {
        assert_eq!(stored.dropped(kind), 0, "{kind}: {}", stored.status);
        assert!(stored.count(kind, "written") >= made, "{kind}: {made} {}", stored.status);
    }
    let told: HashSet<_> =
        stored.process.iter().map(|row| (row.get("process_key"), row.get("activity"), row.get("time"))).collect();
    assert_eq!(told.len(), stored.process.len(), "no row twice");
    eprintln!("{KILLS} kills, {made} rounds of load: {}", stored.status["events"]["exec"]);
}

#[test]
fn an_end_asked_for_while_there_is_no_worker_is_made_by_the_next() {
    if !possible() {
        return;
    }
    let live = Live::start(&[]);
    live.inside(&["/bin/true"]);
    live.expect("exec", 1);
    live.signal(Signal::STOP);
    live.inside(&["/bin/true"]);
    let worker = live.worker();
    rustix::process::kill_process(rustix::process::Pid::from_raw(worker as i32).unwrap(), Signal::KILL).unwrap();
    live.signal(Signal::CONT);
    let stored = live.stop();
    stored.assert_exact();
    assert_eq!((stored.code, stored.count("exec", "written")), (Some(0), 2));
}

#[test]
fn who_asks_twice_does_not_wait_for_a_worker_that_stands_still() {
    if !possible() {
        return;
    }
    let mut live = Live::start(&[]);
    let worker = live.worker();
    rustix::process::kill_process(rustix::process::Pid::from_raw(worker as i32).unwrap(), Signal::STOP).unwrap();
    live.signal(Signal::TERM);
    std::thread::sleep(Duration::from_millis(1500));
    live.signal(Signal::TERM);
    assert_eq!(live.ended(), Some(1));
    assert!(!is_alive(worker));
}

#[test]
fn a_worker_whose_archive_was_moved_away_and_made_anew_is_followed_by_one_that_may_write() {
    if !possible() {
        return;
    }
    let live = Live::start(&[]);
    live.inside(&["/bin/true"]);
    live.expect_open("exec", 1);
    let archive = live.folder.path().join("archive");
    let worker = live.worker();
    fs::rename(&archive, live.folder.path().join("away")).unwrap();
    fs::create_dir(&archive).unwrap();
    while is_alive(worker) {
        std::thread::sleep(Duration::from_millis(10));
    }
    live.inside(&["/bin/true"]);
    let stored = live.stop();
    assert_eq!(stored.status["self"]["restarts"], 1, "{}", stored.status);
    assert!(stored.process.iter().any(|row| row.get("activity") == "exec"));
    // What the folder took along is counted.
    stored.assert_exact();
    assert_eq!((stored.count("exec", "produced"), stored.dropped("exec")), (2, 1), "{}", stored.status);
}

#[test]
fn an_agent_that_nobody_hears_goes_on() {
    if !possible() {
        return;
    }
    let (cgroup, folder) = (Cgroup::new(), open_folder());
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let mut command = Command::new(AGENT);
    command.args(["run", "--config", "none", "--pin", "none", "--status-socket", "none", "--json", "--for", "3"]);
    command.arg("--archive").arg(folder.path().join("archive")).arg("--cgroup").arg(&cgroup.0);
    let mut child = command.stdout(Stdio::piped()).stderr(full).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), r#"{"ready":true}"#);
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), Signal::HUP).unwrap();
    assert!(lines.all(|line| line.is_ok()));
    assert!(child.wait().unwrap().success());
}

#[test]
fn no_worker_outlives_its_loader() {
    if !possible() {
        return;
    }
    let mut live = Live::start(&[]);
    let worker = live.worker();
    live.kill();
    assert!(!is_alive(worker));
}

#[test]
fn a_worker_that_falls_over_a_defect_is_followed_by_another_and_the_books_are_exact() {
    if !possible() {
        return;
    }
    let live = Live::start(&["--try-panic", "3", "--rotate", "1"]);
    let load = live.begin("load");
    live.hears("warning: worker: it was ended by a defect; another goes on");
    live.until(|status| status["self"]["restarts"] == 1);
    std::thread::sleep(Duration::from_millis(500));
    let made: u64 = load.end()[0].parse().unwrap();
    let stored = live.stop();
    stored.assert_exact();
    assert_eq!((stored.code, &stored.status["self"]["restarts"]), (Some(0), &Value::from(1)));
    for kind in ["exec", "fork", "exit", "connect", "close"] {
        assert_eq!(stored.dropped(kind), 0, "{kind}: {}", stored.status);
        assert!(stored.count(kind, "written") >= made, "{kind}: {made} {}", stored.status);
    }
}

#[test]
fn what_cannot_be_written_at_the_end_is_said_at_the_start() {
    if !possible() {
        return;
    }
    let (cgroup, folder) = (Cgroup::new(), open_folder());
    let place = folder.path().to_str().unwrap();
    let (said, code) = refused(&cgroup, &folder, &["--learn", place]);
    assert_eq!((said.lines().count(), code), (1, Some(1)), "{said}");
    assert!(said.starts_with(&format!("error: cannot learn: {place}: it is a folder; ")), "{said}");
    // Its folder belongs to somebody else.
    let (said, code) = refused(&cgroup, &folder, &["--user", "nobody", "--learn", &format!("{place}/normal.baseline")]);
    assert_eq!((said.lines().count(), code), (1, Some(1)), "{said}");
    assert!(
        said.starts_with("error: cannot learn into ") && said.contains("choose a folder you may write to"),
        "{said}"
    );
    assert!(!folder.path().join("normal.baseline").exists());
}

#[test]
fn an_archive_that_others_can_write_to_is_said_at_the_start() {
    if !possible() {
        return;
    }
    let (cgroup, folder) = (Cgroup::new(), open_folder());
    let archive = folder.path().join("archive");
    fs::create_dir(&archive).unwrap();
    let (said, _) = refused(&cgroup, &folder, &["--user", ""]);
    assert!(!said.contains("not safe from others"), "{said}");
    fs::set_permissions(&archive, fs::Permissions::from_mode(0o777)).unwrap();
    let (said, code) = refused(&cgroup, &folder, &["--user", ""]);
    assert!(said.contains(&format!("warning: not safe from others: {}: everybody", archive.display())), "{said}");
    assert_eq!(code, Some(0));
}

#[test]
fn a_disk_that_is_full_at_the_start_ends_it_with_what_to_do() {
    if !possible() {
        return;
    }
    let (cgroup, folder) = (Cgroup::new(), open_folder());
    let Some(_disk) = Mounted::small_disk(folder.path()) else {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "cannot mount a small disk");
        return eprintln!("SKIPPED: cannot mount a small disk");
    };
    let _ = fs::write(folder.path().join("filler"), vec![0; 1 << 20]);
    let (said, code) = refused(&cgroup, &folder, &[]);
    assert_eq!((said.lines().count(), code), (1, Some(1)), "{said}");
    assert!(said.starts_with("error: cannot write archive: ") && said.contains("free some space"), "{said}");
}

#[test]
fn a_worker_that_cannot_begin_says_why_once_and_so_does_the_status() {
    if !possible() {
        return;
    }
    let live = Live::start_in(open_folder(), &["--user", ""]);
    live.inside(&["/bin/true"]);
    live.expect_open("exec", 1);
    let (archive, away) = (live.folder.path().join("archive"), live.folder.path().join("away"));
    fs::rename(&archive, &away).unwrap();
    fs::write(&archive, "").unwrap();
    live.kill_worker();
    let line = live.hears("the worker cannot begin: ");
    assert!(line.contains(&archive.display().to_string()), "{line}");
    // Several are tried.
    std::thread::sleep(Duration::from_secs(4));
    let said = live.said("the worker cannot begin");
    assert_eq!((said.len(), live.said("error: ").len()), (1, 0), "{said:?}");
    let ask =
        || Command::new(AGENT).args(["status", "--socket"]).arg(live.folder.path().join(SOCKET)).output().unwrap();
    let answer = ask();
    let text = String::from_utf8(answer.stdout).unwrap();
    assert_eq!(answer.status.code(), Some(1), "{text}");
    assert!(text.contains("the worker cannot begin: ") && text.contains("; next try in "), "{text}");
    fs::remove_file(&archive).unwrap();
    fs::rename(&away, &archive).unwrap();
    // Who asks for a reload does not wait for the next try.
    live.signal(Signal::HUP);
    live.hears("the worker has begun");
    assert!(live.said("(again, ").len() <= 1, "a slow machine may have tried once");
    live.inside(&["/bin/true"]);
    live.expect("exec", 2);
    let stored = live.stop();
    stored.assert_exact();
    assert_eq!((stored.code, stored.count("exec", "written")), (Some(0), 2), "{}", stored.status);
}

#[test]
fn a_worker_that_cannot_begin_ends_nothing() {
    if !possible() {
        return;
    }
    let folder = open_folder();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=512k", "none"]).arg(folder.path()).status();
    if !mounted.is_ok_and(|status| status.success()) {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "cannot mount a small disk");
        eprintln!("SKIPPED: cannot mount a small disk");
        return;
    }
    let disk = folder.path().to_owned();
    let live = Live::start_in(folder, &[]);
    let _ = fs::write(disk.join("filler"), vec![0; 1 << 20]);
    // No room for anything, not even to try.
    live.kill_worker();
    std::thread::sleep(Duration::from_secs(1));
    assert!(is_alive(live.pid()));
    fs::remove_file(disk.join("filler")).unwrap();
    live.inside(&["/bin/true"]);
    live.expect("exec", 1);
    let stored = live.stop();
    assert_eq!(stored.count("exec", "written"), 1, "{}", stored.status);
    let _ = Command::new("umount").arg("-l").arg(&disk).status();
}
