//! The status of a running agent: its socket, `ebbline-agent status`, and the metrics page. Needs root.
#![cfg(target_os = "linux")]
#![allow(missing_docs)]

#[allow(dead_code, reason = "shared with live.rs, which uses more of it")]
#[path = "live/harness.rs"]
mod harness;

use ebbline_agent_user::status::{EventStatus, Status, ask::Answers};
use harness::{AGENT, Live, SOCKET, possible};
use std::{
    collections::BTreeMap,
    fs,
    io::{Read, Write},
    net::TcpStream,
    os::unix::{fs::PermissionsExt, net::UnixStream, process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, Output},
    time::{Duration, Instant},
};

/// Execs of one `sh` and the commands it starts.
const EXECS: u64 = 6;

fn work(live: &Live) {
    live.inside(&["/bin/sh", "-c", "for i in 1 2 3 4 5; do /bin/true; done"]);
    live.expect_open("exec", EXECS);
}

fn socket(live: &Live) -> PathBuf {
    live.folder.path().join(SOCKET)
}

fn status(socket: &Path, extra: &[&str]) -> Output {
    Command::new(AGENT).args(["status", "--socket"]).arg(socket).args(extra).output().unwrap()
}

fn answered(output: &Output) -> String {
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// What the page says: series to value.
fn scrape(address: &str) -> BTreeMap<String, f64> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, page) = text.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    let samples = page.lines().filter(|line| !line.starts_with('#'));
    samples
        .filter_map(|line| line.rsplit_once(' '))
        .map(|(series, value)| (series.into(), value.parse().unwrap()))
        .collect()
}

fn exec_series(stage: &str, outcome: &str) -> String {
    format!("ebbline_events_total{{stage=\"{stage}\",event=\"exec\",outcome=\"{outcome}\"}}")
}

#[test]
fn a_running_agent_says_where_every_event_is() {
    if !possible() {
        return;
    }
    let live = Live::start(&["--metrics", "0"]);
    work(&live);
    let path = socket(&live);
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);

    let line = answered(&status(&path, &["--json"]));
    assert_eq!(line.lines().count(), 1, "{line}");
    let seen: Status = serde_json::from_str(&line).unwrap();
    let EventStatus { produced, received, open, written, .. } = seen.events["exec"];
    assert_eq!((produced, received, open, written), (EXECS, EXECS, EXECS, 0));
    assert_eq!((seen.host.as_str(), seen.lossy, seen.lost()), ("test", false, 0));
    assert_eq!(seen.in_flight().unwrap().total(), 0, "{line}");
    assert!(seen.own.rss_bytes > 0 && seen.own.pss_bytes > 0 && seen.own.ring_bytes > 0, "{line}");

    let table = answered(&status(&path, &[]));
    let row = table.lines().find(|line| line.trim_start().starts_with("exec")).unwrap_or_else(|| panic!("{table}"));
    assert_eq!(row.split_whitespace().take(5).collect::<Vec<_>>(), ["exec", "6", "0", "6", "6"], "{table}");
    assert!(table.contains("books balance: ") && table.contains("nothing lost") && !table.contains('\x1b'), "{table}");

    let page = scrape(seen.metrics.as_deref().unwrap());
    assert_eq!(page[&exec_series("kernel", "produced")], EXECS as f64);
    assert_eq!(page[&exec_series("agent", "received")], EXECS as f64);
    assert_eq!(page["ebbline_events_open{event=\"exec\"}"], EXECS as f64);
    assert_eq!((page["ebbline_lossy"], page["ebbline_ring_bytes"]), (0.0, seen.own.ring_bytes as f64));

    // Somebody who listens to the end hears the last status, the same as is printed.
    let mut listener = Answers::connect(&path).unwrap();
    let stored = live.stop();
    let mut last = None;
    while let Some(answer) = listener.receive().unwrap() {
        last = Some(answer.line);
    }
    assert_eq!(serde_json::from_str::<serde_json::Value>(&last.unwrap()).unwrap(), stored.status);
    stored.assert_exact();
    stored.assert_last_beat();
    let seen: Status = serde_json::from_value(stored.status.clone()).unwrap();
    assert_eq!(seen.in_flight().unwrap().total(), 0, "{}", stored.status);
    assert_eq!(stored.last_beat("self", "ring_bytes", "value"), Some(seen.own.ring_bytes));
    assert!(stored.last_beat("self", "pss_bytes", "value").is_some());
    assert!(!path.exists());
}

#[test]
fn without_an_agent_it_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("none.sock");
    let output = status(&path, &[]);
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), error.lines().count()), (Some(1), 1), "{error}");
    assert!(error.starts_with(&format!("error: no agent: {}: ", path.display())), "{error}");
    assert!(error.ends_with("; start one with ebbline-agent run\n"), "{error}");
}

#[test]
fn other_users_may_not_ask() {
    if !possible() {
        return;
    }
    let live = Live::start(&[]);
    let folder = live.folder.path();
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    let agent = folder.join("agent");
    fs::copy(AGENT, &agent).unwrap();
    let output =
        Command::new(&agent).args(["status", "--socket"]).arg(socket(&live)).uid(65534).gid(65534).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), error.lines().count()), (Some(1), 1), "{error}");
    assert!(error.starts_with(&format!("error: permission denied: {}: ", socket(&live).display())), "{error}");
    live.stop();
}

#[test]
fn a_second_agent_leaves_the_socket_of_the_first_alone() {
    if !possible() {
        return;
    }
    let first = Live::start(&[]);
    let archive = tempfile::tempdir().unwrap();
    let mut command = Command::new(AGENT);
    command.args(["run", "--for", "1", "--json", "--cgroup"]).arg(&first.cgroup.0);
    command.arg("--archive").arg(archive.path().join("archive")).arg("--status-socket").arg(socket(&first));
    let second = command.output().unwrap();
    let warnings = String::from_utf8(second.stderr).unwrap();
    assert!(second.status.success(), "{warnings}");
    let warning = format!("warning: no status socket: {}: another agent has it", socket(&first).display());
    assert!(warnings.lines().any(|line| line.starts_with(&warning)), "{warnings}");
    let seen: Status = serde_json::from_str(&answered(&status(&socket(&first), &["--json"]))).unwrap();
    assert_eq!(seen.host, "test");
    let path = socket(&first);
    first.stop();
    assert!(!path.exists());
}

#[test]
fn readers_that_stall_do_not_hold_capture_up() {
    if !possible() {
        return;
    }
    let live = Live::start(&[]);
    let stalled: Vec<UnixStream> = (0..32).filter_map(|_| UnixStream::connect(socket(&live)).ok()).collect();
    work(&live);
    let asked = Instant::now();
    let stored = live.stop();
    assert!(asked.elapsed() < Duration::from_secs(30));
    stored.assert_exact();
    drop(stalled);
}

#[test]
fn none_is_no_socket() {
    if !possible() {
        return;
    }
    let live = Live::start_in(tempfile::tempdir().unwrap(), &[]);
    let archive = tempfile::tempdir().unwrap();
    let mut command = Command::new(AGENT);
    command.current_dir(archive.path()).args(["run", "--for", "1", "--json", "--status-socket", "none"]);
    command.args(["--archive", "archive", "--cgroup"]).arg(&live.cgroup.0);
    assert!(command.output().unwrap().status.success());
    assert!(!archive.path().join("none").exists());
    live.stop();
}
