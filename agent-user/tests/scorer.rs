//! The scorer as a process of its own: the same bits, and nothing that happens to it is felt by the writer.

use ebbline_agent_user::{
    books::WriterBooks,
    cli::BackendArg,
    rows::Batch,
    scoring::{OwnProcess, RemoteScoring, Scoring, Settings, Starter},
    sink::Follower,
};
use ebbline_tests::{files_below, write_archive};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    io::{Read, Write},
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use store::{Finished, Manifest, Placed};
use workload::columns::{FIRST_DAY, Part, archive, archive_from, intrusion};

const AGENT: &str = env!("CARGO_BIN_EXE_ebbline-agent");
/// A loaded machine is slow; what takes longer than this hangs.
const PATIENCE: Duration = Duration::from_secs(100);
const DAY: i64 = 86_400_000_000_000;
/// After any clock of this machine, so that no window is over before its last row.
const LATER: i64 = FIRST_DAY + 36_500 * DAY;

fn baseline() -> &'static Path {
    static BASELINE: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = BASELINE.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let (past, path) = (folder.path().join("past"), folder.path().join("normal.baseline"));
        write_archive(&past, archive(1, 20_000, 1, 3));
        let learned = archive::learn(&[past], &archive::LearnOptions::default(), &archive::Silent).unwrap();
        learned.baseline.save(&path).unwrap();
        (folder, path)
    });
    path
}

fn settings(out: &Path) -> Settings {
    Settings {
        baseline: baseline().into(),
        out: out.into(),
        backend: BackendArg::Cpu,
        adapter: None,
        line: model::Line::RarerThan(1000.0),
        host: "host1".into(),
        again: true,
        left_by: None,
    }
}

/// A child whose process id is known to the test.
struct Watched(OwnProcess, Arc<AtomicU32>);

impl Starter for Watched {
    fn start(&mut self) -> std::io::Result<UnixStream> {
        let socket = self.0.start()?;
        self.1.store(self.0.id().unwrap(), Relaxed);
        Ok(socket)
    }

    fn stop(&mut self, patience: Duration) -> String {
        self.0.stop(patience)
    }
}

/// A scorer, what it counts, and its process id.
struct Rig {
    scoring: RemoteScoring,
    books: Arc<WriterBooks>,
    id: Arc<AtomicU32>,
}

fn rig(out: &Path) -> Rig {
    let (books, id) = (Arc::new(WriterBooks::default()), Arc::new(AtomicU32::new(0)));
    let starter = Watched(OwnProcess::of(AGENT.into()), id.clone());
    let scoring = RemoteScoring::with(settings(out), Box::new(starter), books.clone()).unwrap();
    assert_eq!(scoring.backend().0, "cpu");
    Rig { scoring, books, id }
}

impl Rig {
    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.id.load(Relaxed).cast_signed()).unwrap(), signal).unwrap();
    }

    fn counts(&self) -> (u64, u64) {
        (self.books.scored.load(Relaxed), self.books.unscored.load(Relaxed))
    }
}

fn parts() -> Vec<Part> {
    archive_from(2, 6_000, 1, LATER, 1).chain(intrusion("host1", LATER + DAY / 2)).collect()
}

fn rows(parts: &[Part]) -> u64 {
    parts.iter().map(|part| part.batch.num_rows() as u64).sum()
}

/// Hands rows over as the writer does: each part is a file, its rows come in several batches.
fn follow(follower: &mut impl Follower, parts: &[Part], first_file: usize) {
    for (number, part) in parts.iter().enumerate() {
        let number = number + first_file;
        let relative: Arc<str> = format!("{}/day=2126-01-01/host={}/{number:06}.parquet", part.table, part.host).into();
        let count = part.batch.num_rows();
        for at in (0..count).step_by(37) {
            let rows = 37.min(count - at);
            let placed = Placed { relative: relative.clone(), first_row: at as u64, offset: 0, rows };
            follower.placed(&Batch::new(part.table, part.batch.slice(at, rows), vec![]), &[placed]);
        }
        let (path, sha256) = (relative.to_string().into(), format!("{number:064x}"));
        follower.finished(&Finished { relative, path, rows: count as u64, bytes: 1, sha256 });
    }
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let asked = Instant::now();
    while !done() {
        assert!(asked.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Sidecars of the rows, scored in this process.
fn reference() -> &'static [(PathBuf, Vec<u8>)] {
    static SIDECARS: OnceLock<Vec<(PathBuf, Vec<u8>)>> = OnceLock::new();
    SIDECARS.get_or_init(|| {
        let out = tempfile::tempdir().unwrap();
        follow_here(out.path());
        files_below(&out.path().join("scores"))
    })
}

fn follow_here(out: &Path) {
    let mut here = Scoring::open(&settings(out), Arc::default()).unwrap();
    follow(&mut here, &parts(), 0);
    assert_eq!(here.finish(), None);
}

#[test]
fn a_process_of_its_own_gives_the_same_files() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    follow_here(here.path());
    let mut rig = rig(there.path());
    let parts = parts();
    follow(&mut rig.scoring, &parts, 0);
    rig.scoring.tick();
    assert_eq!(rig.scoring.finish(), None);
    assert_eq!(rig.counts(), (rows(&parts), 0));
    let below = |out: &Path, folder: &str| files_below(&out.join(folder));
    assert_eq!(below(here.path(), "scores").len(), parts.len());
    assert!(below(here.path(), "scores") == below(there.path(), "scores"), "sidecars are equal files");
    // Their names hold the process id.
    let findings = |out| below(out, "findings").into_iter().map(|(_, bytes)| bytes).collect::<Vec<_>>();
    assert!(findings(here.path()) == findings(there.path()), "findings are equal files");
    let found = store::read_all_findings(there.path()).unwrap().len() as u64;
    assert!(found > 0 && rig.books.findings.load(Relaxed) == found);
    let run = |out| Manifest::load(out).unwrap().runs.remove(0);
    let (mut ours, mut theirs) = (run(here.path()), run(there.path()));
    for run in [&mut ours, &mut theirs] {
        (run.started, run.wall_seconds) = (String::new(), 0.0);
    }
    assert_eq!(ours, theirs);
}

/// What must hold after anything: each row is scored or counted, each file has its whole sidecar or is named.
fn check(rig: &Rig, out: &Path, parts: &[Part], reason: &str) {
    let (scored, unscored) = rig.counts();
    assert_eq!(scored + unscored, rows(parts));
    let run = Manifest::load(out).unwrap().runs.pop().unwrap();
    let listed: u64 = run.inputs_done.iter().map(|file| file.rows).sum();
    assert_eq!(scored, listed, "a row has a score if its file has a sidecar");
    assert_eq!(run.inputs_done.len() + run.inputs_skipped.len(), parts.len());
    assert_eq!(run.rows, scored);
    assert!(run.inputs_skipped.iter().any(|file| file.reason == reason), "{:?}", run.inputs_skipped);
    let scores = out.join("scores");
    let sidecars = if scores.exists() { files_below(&scores) } else { Vec::new() };
    assert_eq!(sidecars.len(), run.inputs_done.len(), "whole ones, and nothing temporary");
    for (path, bytes) in &sidecars {
        let same = reference().iter().find(|(known, _)| known == path).unwrap();
        assert!(same.1 == *bytes, "{}", path.display());
    }
}

#[test]
fn a_scorer_that_is_killed_costs_the_files_it_had_begun() {
    let out = tempfile::tempdir().unwrap();
    let mut rig = rig(out.path());
    let parts = parts();
    let (first, rest) = parts.split_at(parts.len() / 3);
    follow(&mut rig.scoring, first, 0);
    until("the first files are scored", || rig.counts().0 >= rows(first));
    let whole = files_below(&out.path().join("scores")).len();
    assert!(whole + 1 >= first.len());
    // A file that is begun, and in the middle of it the end.
    let (begun, rest) = rest.split_first().unwrap();
    let number = first.len();
    let relative: Arc<str> = format!("{}/day=2126-01-01/host={}/{number:06}.parquet", begun.table, begun.host).into();
    let count = begun.batch.num_rows();
    let place = |first_row: usize, rows: usize| Placed {
        relative: relative.clone(),
        first_row: first_row as u64,
        offset: 0,
        rows,
    };
    rig.scoring.placed(&Batch::new(begun.table, begun.batch.slice(0, 1), vec![]), &[place(0, 1)]);
    until("its first row is scored", || rig.counts().0 > rows(first));
    let dead = rig.id.load(Relaxed);
    rig.signal(Signal::KILL);
    rig.scoring.placed(&Batch::new(begun.table, begun.batch.slice(1, count - 1), vec![]), &[place(1, count - 1)]);
    let (path, sha256) = (relative.to_string().into(), format!("{number:064x}"));
    rig.scoring.finished(&Finished { relative: relative.clone(), path, rows: count as u64, bytes: 1, sha256 });
    follow(&mut rig.scoring, rest, number + 1);
    let trouble = rig.scoring.finish().unwrap();
    assert!(trouble.contains(&*relative) && trouble.lines().count() == 1, "{trouble}");
    assert_ne!(rig.id.load(Relaxed), dead, "another was started");
    check(&rig, out.path(), &parts, "the scorer ended before it was complete");
    assert!(rig.counts().0 > rows(first), "and went on");
    assert!(!store::read_all_findings(out.path()).unwrap().is_empty());
}

#[test]
fn a_scorer_that_stands_still_holds_nobody_up() {
    let out = tempfile::tempdir().unwrap();
    let mut rig = rig(out.path());
    rig.scoring = rig.scoring.bounded(4 << 20, PATIENCE);
    let parts = parts();
    rig.signal(Signal::STOP);
    // It would never return if it waited.
    follow(&mut rig.scoring, &parts, 0);
    assert!(rig.books.unscored.load(Relaxed) > 0, "more than fits");
    rig.signal(Signal::CONT);
    let trouble = rig.scoring.finish().unwrap();
    assert!(trouble.contains("the scorer fell behind"), "{trouble}");
    assert!(rig.counts().0 > 0, "what did fit is scored");
    check(&rig, out.path(), &parts, "the scorer fell behind");
}

#[test]
fn a_clean_stop_does_not_wait_for_ever() {
    let out = tempfile::tempdir().unwrap();
    let mut rig = rig(out.path());
    rig.scoring = rig.scoring.bounded(1 << 30, Duration::from_secs(1));
    let parts = parts();
    rig.signal(Signal::STOP);
    follow(&mut rig.scoring, &parts, 0);
    let trouble = rig.scoring.finish().unwrap();
    assert!(trouble.contains("rows were not scored"), "{trouble}");
    check(&rig, out.path(), &parts, "the scorer fell behind");
}

#[test]
fn an_agent_that_is_gone_leaves_no_scorer() {
    let out = tempfile::tempdir().unwrap();
    let mut rig = rig(out.path());
    follow(&mut rig.scoring, &parts()[..1], 0);
    until("a row is scored", || rig.counts().0 > 0);
    let id = Pid::from_raw(rig.id.load(Relaxed).cast_signed()).unwrap();
    drop(rig.scoring);
    assert!(rustix::process::test_kill_process(id).is_err());
    assert!(!out.path().join("manifest.json").exists(), "it was no clean stop");
}

#[test]
fn what_is_wrong_is_said_as_ever() {
    let out = tempfile::tempdir().unwrap();
    let wrong = Settings { baseline: "/nonexistent".into(), ..settings(out.path()) };
    let here = Scoring::open(&wrong, Arc::default()).err().unwrap().to_string();
    let there = RemoteScoring::with(wrong, Box::new(OwnProcess::of(AGENT.into())), Arc::default()).err().unwrap();
    assert_eq!(here, there.to_string());
    let no_scorer = Box::new(OwnProcess::of("/bin/false".into()));
    let error = RemoteScoring::with(settings(out.path()), no_scorer, Arc::default()).err().unwrap().to_string();
    assert_eq!(error, "cannot start: scorer: it ended with exit code 1");
}

/// What a scorer says on standard error to bytes that no agent sends, and its exit code.
fn answer_to(bytes: &[u8]) -> (String, Option<i32>) {
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let mut command = Command::new(AGENT);
    command.arg("scorer").stdin(OwnedFd::from(theirs)).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(command);
    let _ = ours.write_all(bytes); // it may have ended by then
    drop(ours);
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    (said, child.wait().unwrap().code())
}

#[test]
fn a_folder_for_scores_that_cannot_be_written_is_said_at_the_start() {
    // Nobody makes a file there, not even root.
    let fresh = Settings { again: false, ..settings(Path::new("/proc")) };
    let error = Scoring::open(&fresh, Arc::default()).err().unwrap().to_string();
    assert!(error.starts_with("cannot write archive: /proc: ") && error.lines().count() == 1, "{error}");
    // One that was well at the start may have no room for a while.
    assert!(Scoring::open(&settings(Path::new("/proc")), Arc::default()).is_ok());
}

#[test]
fn a_scorer_is_tried_without_a_trace() {
    let out = tempfile::tempdir().unwrap();
    let starter = || Box::new(OwnProcess::of(AGENT.into()));
    assert_eq!(ebbline_agent_user::scoring::attempt(settings(out.path()), starter()), Ok(()));
    let bad = out.path().join("bad.baseline");
    std::fs::write(&bad, "EBBLBASE, and nothing that belongs there").unwrap();
    let wrong = Settings { baseline: bad.clone().into(), ..settings(out.path()) };
    let error = ebbline_agent_user::scoring::attempt(wrong, starter()).unwrap_err();
    assert!(error.contains("bad.baseline") && error.lines().count() == 1, "{error}");
    assert_eq!(std::fs::read_dir(out.path()).unwrap().count(), 1);
}

#[test]
fn nonsense_ends_a_scorer_with_one_line() {
    let frame = |head: &[u8]| [&(head.len() as u32).to_le_bytes()[..], &[0; 4], head].concat();
    let cases =
        [vec![0xff; 64], b"GET / HTTP/1.1\r\n\r\n".to_vec(), frame(&[0xff; 9]), frame(&[4]), frame(b""), vec![1]];
    for bytes in cases {
        let (said, code) = answer_to(&bytes);
        assert_eq!(code, Some(1), "{bytes:?}: {said}");
        assert!(said.starts_with("error: cannot score: standard input: "), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
    assert_eq!(answer_to(b""), (String::new(), Some(0)), "nobody asked");
}

#[test]
fn a_scorer_is_not_for_people() {
    let output = Command::new(AGENT).arg("scorer").stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(said.starts_with("error: cannot score: standard input: it is no socket"), "{said}");
}
