//! Scoring that is killed at any moment and run again gives what an undisturbed run gives, and does not do again what was
//! finished.
//!
//! `EBBLINE_RESCORE_KILLS` says how often to kill (3; `cargo xtask soak` 50).

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use ebbline_tests::{bin, ebbline, files_below, write_archive};
use workload::columns::{Part, archive};

/// Numbers from a seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("test paths are UTF-8")
}

/// Many small files, two baselines, and what an undisturbed run makes of them.
struct Fixture {
    folder: tempfile::TempDir,
    whole: Outputs,
    took: Duration,
}

fn parts() -> impl Iterator<Item = Part> {
    archive(5, 30_000, 3, 4)
}

type Outputs = (Vec<(PathBuf, Vec<u8>)>, Vec<(PathBuf, Vec<u8>)>);

const MORE: &[&str] = &["--where", "uid != 33"];

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let at = |name: &str| folder.path().join(name);
        write_archive(&at("archive"), parts());
        let learn = |name: &str, more: &[&str]| {
            let (source, out) = (at("archive"), at(name));
            let learned = ebbline(["learn", text(&source), "--out", text(&out)].iter().chain(more));
            assert_eq!(learned.code, 0, "{learned:?}");
        };
        learn("a.baseline", &[]);
        learn("b.baseline", &["--host", "host1"]);
        let mut fixture = Self { folder, whole: Outputs::default(), took: Duration::ZERO };
        let start = Instant::now();
        assert!(fixture.start("whole", &[]).wait().is_ok_and(|status| status.success()));
        fixture.took = start.elapsed();
        fixture.whole = fixture.outputs("whole");
        assert!(fixture.whole.0.len() > 500 && !fixture.whole.1.is_empty());
        fixture
    }

    fn start(&self, out: &str, more: &[&str]) -> Child {
        self.start_on("archive", out, more)
    }

    fn start_on(&self, archive: &str, out: &str, more: &[&str]) -> Child {
        let at = |name: &str| self.folder.path().join(name);
        let mut command = Command::new(bin("ebbline"));
        command.arg("score").arg(at(archive)).arg("--out").arg(at(out)).args(["--backend", "cpu"]);
        command.arg("--baseline").arg(at("a.baseline")).arg("--baseline").arg(at("b.baseline"));
        command.args(["--rarer-than", "100"]).args(MORE).args(more);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts")
    }

    /// Scores and findings: both are what they are, byte for byte.
    fn outputs(&self, out: &str) -> Outputs {
        let below = |kind: &str| match self.folder.path().join(out).join(kind) {
            folder if folder.is_dir() => files_below(&folder),
            _ => Vec::new(),
        };
        (below("scores"), below("findings"))
    }

    /// When each whole sidecar was written, and by which file it is.
    fn written(&self, out: &str) -> BTreeMap<PathBuf, (u64, i64, i64)> {
        let root = self.folder.path().join(out).join("scores");
        let (mut found, mut folders) = (BTreeMap::new(), vec![root.clone()]);
        while let Some(folder) = folders.pop() {
            for path in fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
                // A temporary name may be gone by now.
                let Ok(meta) = fs::metadata(&path) else { continue };
                if meta.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|e| e == "parquet") {
                    let relative = path.strip_prefix(&root).expect("it is below").to_owned();
                    found.insert(relative, (meta.ino(), meta.mtime(), meta.mtime_nsec()));
                }
            }
        }
        found
    }

    fn hidden(&self, out: &str) -> usize {
        let names = fs::read_dir(self.folder.path().join(out)).expect("a folder").flatten();
        names.filter(|entry| entry.file_name().to_string_lossy().starts_with('.')).count()
    }
}

fn fixture() -> &'static Fixture {
    static FIXTURE: OnceLock<Fixture> = OnceLock::new();
    FIXTURE.get_or_init(Fixture::new)
}

#[test]
fn a_run_that_is_killed_is_completed_by_the_next() {
    let fixture = fixture();
    let kills: u32 = std::env::var("EBBLINE_RESCORE_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(3);
    let seed =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("it is later").as_nanos() as u64;
    let mut random = Random(seed);
    let (mut begun, mut kept, mut finished_before) = (0, 0, 0);
    for kill in 0..kills {
        let out = format!("out-{kill}");
        let place = format!("kill {kill} of seed {seed}");
        // Killed several times over now and then.
        for _ in 0..=random.below(2) {
            let mut child = fixture.start(&out, &[]);
            std::thread::sleep(fixture.took.mul_f64(random.below(1_000) as f64 / 1_000.0));
            finished_before += u32::from(child.try_wait().is_ok_and(|ended| ended.is_some()));
            let _ = child.kill();
            let _ = child.wait();
            begun += fixture.outputs(&out).0.len();
        }
        // Whatever has its name is whole.
        for (path, content) in fixture.outputs(&out).0 {
            if path.extension().is_some_and(|e| e == "parquet") {
                let same = fixture.whole.0.iter().find(|(other, _)| *other == path);
                assert!(same.is_some_and(|(_, whole)| *whole == content), "{place}: {}", path.display());
            }
        }
        assert!(fixture.start(&out, &[]).wait().is_ok_and(|status| status.success()), "{place}");
        assert!(fixture.outputs(&out) == fixture.whole, "{place}: other results");
        assert_eq!(fixture.hidden(&out), 0, "{place}: something is left");
        let _ = fs::remove_dir_all(fixture.folder.path().join(&out));
        kept += 1;
    }
    assert!(kept == kills && begun > 0, "{begun} sidecars were seen after {kills} kills");
    eprintln!("{kills} kills, {finished_before} after the end; {begun} sidecars lay there then");
}

/// A run that is killed when some sidecars are there.
fn killed_in_the_middle(fixture: &Fixture, out: &str, more: &[&str]) -> BTreeMap<PathBuf, (u64, i64, i64)> {
    killed(fixture, &mut fixture.start(out, &[&["--threads", "1"], more].concat()), out)
}

fn killed(fixture: &Fixture, child: &mut Child, out: &str) -> BTreeMap<PathBuf, (u64, i64, i64)> {
    let deadline = Instant::now() + Duration::from_secs(60);
    while fixture.written(out).len() < 40 {
        assert!(Instant::now() < deadline, "no sidecar comes");
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    fixture.written(out)
}

#[test]
fn what_was_finished_is_not_done_again_unless_it_changed() {
    let fixture = fixture();
    let before = killed_in_the_middle(fixture, "again", &[]);
    assert!((40..fixture.whole.0.len()).contains(&before.len()), "{} were there", before.len());
    // One of the finished files goes, another gives way to that of another run; both are made again.
    let scores = fixture.folder.path().join("again/scores");
    let mut names = before.keys();
    let (lost, other) = (names.next().expect("a sidecar"), names.next().expect("another"));
    fs::remove_file(scores.join(lost)).expect("removed");
    fs::write(scores.join(other), b"PAR1").expect("written");
    assert!(fixture.start("again", &[]).wait().is_ok_and(|status| status.success()));
    assert!(fixture.outputs("again") == fixture.whole, "other results");
    let after = fixture.written("again");
    let same = before.iter().filter(|(path, stamp)| after.get(*path) == Some(stamp)).count();
    // Of two baselines' sidecars of a file both are made again, and so are files whose record was not written yet.
    assert!(same + 8 >= before.len() && same < before.len(), "{same} of {} are as they were", before.len());
}

#[test]
fn a_run_with_another_filter_does_not_take_over() {
    let fixture = fixture();
    killed_in_the_middle(fixture, "other", &["--since", "2026-11-02"]);
    assert!(fixture.start("other", &[]).wait().is_ok_and(|status| status.success()));
    let names =
        |outputs: &Outputs| outputs.0.iter().chain(&outputs.1).map(|(path, _)| path.clone()).collect::<Vec<_>>();
    let outputs = fixture.outputs("other");
    assert_eq!(names(&outputs), names(&fixture.whole));
    assert!(outputs == fixture.whole, "other results");
}

#[test]
fn an_input_that_changed_meanwhile_is_scored_again() {
    let fixture = fixture();
    let archive = fixture.folder.path().join("changing");
    write_archive(&archive, parts());
    let mut child = fixture.start_on("changing", "changed", &["--threads", "1"]);
    let before = killed(fixture, &mut child, "changed");
    // Under the path of a file that was finished there are other rows now.
    let name = before.keys().next().expect("a sidecar");
    let relative: PathBuf = name.components().skip(1).collect();
    let table = relative.components().next().expect("a table").as_os_str().to_owned();
    let donor = files_below(&archive).into_iter().rfind(|(path, _)| path.starts_with(&table)).expect("a file").1;
    assert!(archive.join(&relative).is_file());
    fs::write(archive.join(&relative), donor).expect("written");
    for out in ["changed", "fresh"] {
        assert!(fixture.start_on("changing", out, &[]).wait().is_ok_and(|status| status.success()));
    }
    assert!(fixture.outputs("changed") == fixture.outputs("fresh"), "other results than from the files as they are");
    assert!(fixture.outputs("changed") != fixture.whole);
}
