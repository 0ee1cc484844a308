//! What is left after a crash, live, in cgroups made for the tests. Needs root.
#![cfg(target_os = "linux")]
#![allow(missing_docs)]

#[path = "live/harness.rs"]
#[allow(dead_code, reason = "each test program uses a part")]
mod harness;
#[path = "live/roles.rs"]
#[allow(dead_code, reason = "each test program uses a part")]
mod roles;

use harness::{Live, Mounted, ROLE, Row, Stored, possible};
use roles::FLOOD;
use rustix::process::Signal;
use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

/// Not a test: what copies of this program run.
#[test]
fn role() {
    if let Ok(role) = std::env::var(ROLE) {
        roles::play(&role);
    }
}

/// A file system that this machine lets us mount; in CI it must.
fn mounted(at: &Path, kind: &str, options: &str) -> Option<Mounted> {
    let mounted = Mounted::new(at, kind, options);
    if mounted.is_none() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "cannot mount {kind}");
        eprintln!("SKIPPED: cannot mount {kind}");
    }
    mounted
}

/// A file system for pins, and the arguments that name a folder there.
struct Pinned {
    _mounted: Mounted,
    folder: tempfile::TempDir,
}

impl Pinned {
    fn new() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = mounted(folder.path(), "bpf", "mode=700")?;
        Some(Self { _mounted: mounted, folder })
    }

    fn pins(&self) -> PathBuf {
        self.folder.path().join("pins")
    }

    fn arguments(&self) -> [String; 2] {
        ["--pin".to_owned(), self.pins().to_str().unwrap().to_owned()]
    }
}

fn borrowed(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

/// The times at which the end of a run that was killed was accounted for.
fn ends(stored: &Stored) -> Vec<String> {
    let ends = stored.heartbeat.iter().filter(|row| row.is(&[("event", "all"), ("reason", "killed")]));
    ends.map(|row| row.get("time").to_owned()).collect()
}

/// A count of the last books of a run that was killed.
fn at_end(stored: &Stored, time: &str, stage: &str, event: &str, outcome: &str, reason: &str) -> u64 {
    let wanted = [("time", time), ("stage", stage), ("event", event), ("outcome", outcome), ("reason", reason)];
    let rows: Vec<&Row> = stored.heartbeat.iter().filter(|row| row.is(&wanted)).collect();
    assert!(rows.len() <= 1, "{rows:?}");
    rows.first().map_or(0, |row| row.number("count"))
}

fn rows(stored: &Stored, activity: &str) -> u64 {
    stored.process.iter().filter(|row| row.get("activity") == activity).count() as u64
}

/// No file but whole ones, and nothing left in the journal.
fn assert_tidy(stored: &Stored) {
    for path in &stored.files {
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(name.ends_with(".parquet") || name == "lock", "{}", path.display());
    }
}

#[test]
fn what_was_lost_when_all_was_killed_is_known_exactly() {
    if !possible() {
        return;
    }
    let Some(pinned) = Pinned::new() else { return };
    let arguments = pinned.arguments();
    let mut live = Live::start(&borrowed(&arguments));
    live.inside(&["/bin/true"]);
    live.expect_open("exec", 1);
    // From here on nothing is read.
    live.signal(Signal::STOP);
    live.role("flood");
    live.kill();
    assert_eq!(fs::read_dir(pinned.pins()).unwrap().count(), 1);
    live.restart(&borrowed(&arguments));
    live.inside(&["/bin/true"]);
    let stored = live.stop();
    let ends = ends(&stored);
    assert_eq!(ends.len(), 1);
    for (kind, made) in [("exec", FLOOD + 1), ("fork", FLOOD), ("connect", FLOOD)] {
        let of = |stage, outcome, reason| at_end(&stored, &ends[0], stage, kind, outcome, reason);
        assert_eq!(of("kernel", "produced", ""), made, "{kind}");
        let dropped = of("kernel", "dropped", "ring_full") + of("agent", "dropped", "killed");
        assert_eq!(of("writer", "written", "") + dropped, made, "{kind}");
        assert!(of("agent", "dropped", "killed") > 0, "{kind}");
    }
    assert_eq!(rows(&stored, "exec"), at_end(&stored, &ends[0], "writer", "exec", "written", "") + 1);
    let lost = stored.heartbeat.iter().find(|row| row.is(&[("event", "exec"), ("reason", "killed")])).unwrap();
    assert!(lost.number("since") < lost.number("time"));
    assert_eq!(stored.count("exec", "written"), 1, "the new run has books of its own");
    assert_eq!(fs::read_dir(pinned.pins()).unwrap().count(), 0);
}

#[test]
fn without_the_kernels_counts_a_row_says_that_nobody_knows() {
    if !possible() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let nowhere = folder.path().join("a/b");
    let arguments = ["--pin", nowhere.to_str().unwrap()];
    let mut live = Live::start(&arguments);
    live.inside(&["/bin/true"]);
    live.expect_open("exec", 1);
    live.kill();
    live.restart(&arguments);
    let stored = live.stop();
    assert_eq!(rows(&stored, "exec"), 1);
    let unknown = stored.heartbeat.iter().find(|row| row.is(&[("event", "all"), ("reason", "killed")])).unwrap();
    assert_eq!(unknown.get("count"), "");
    assert!(unknown.number("since") < unknown.number("time"));
}

#[test]
fn no_kill_leaves_an_unreadable_file_or_an_event_unaccounted_for() {
    if !possible() {
        return;
    }
    let rounds: u64 = std::env::var("EBBLINE_KILLS").map_or(50, |text| text.parse().unwrap());
    let Some(pinned) = Pinned::new() else { return };
    let arguments = [&pinned.arguments()[..], &["--rotate".to_owned(), "1".to_owned()]].concat();
    let mut live = Live::start(&borrowed(&arguments));
    let load = live.begin("load");
    let mut random = 88_172_645_463_325_252_u64;
    let mut read = HashSet::new();
    for _ in 0..rounds {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        std::thread::sleep(Duration::from_millis(random % 600));
        live.kill();
        live.read_new(&mut read);
        live.restart(&borrowed(&arguments));
    }
    let made: u64 = load.end()[0].parse().unwrap();
    let stored = live.stop();
    assert_tidy(&stored);
    let ends = ends(&stored);
    assert_eq!(ends.len() as u64, rounds);
    for kind in ["exec", "fork", "exit"] {
        let sum = |stage, outcome, reason| -> u64 {
            ends.iter().map(|time| at_end(&stored, time, stage, kind, outcome, reason)).sum()
        };
        let (produced, written, killed) =
            (sum("kernel", "produced", ""), sum("writer", "written", ""), sum("agent", "dropped", "killed"));
        let full = sum("kernel", "dropped", "ring_full");
        assert_eq!(produced, written + killed + full, "{kind}");
        assert_eq!(rows(&stored, kind), written + stored.count(kind, "written"), "{kind}");
        assert!(produced + stored.count(kind, "produced") <= made + 1, "{kind}");
        eprintln!(
            "{kind}: {rounds} kills, {made} made, {produced} produced, {written} stored, {killed} lost with the agent"
        );
    }
    let told: HashSet<_> =
        stored.process.iter().map(|row| (row.get("process_key"), row.get("activity"), row.get("time"))).collect();
    assert_eq!(told.len(), stored.process.len(), "no row twice");
}

/// A disk in a file that the kernel makes read-only when it finds an error on it.
struct FragileDisk {
    image: PathBuf,
    mounted: PathBuf,
    faults: PathBuf,
}

impl FragileDisk {
    fn new(image: &Path, mounted: &Path) -> Option<Self> {
        fs::File::create(image).unwrap().set_len(64 << 20).unwrap();
        let done = |command: &mut Command| command.status().is_ok_and(|status| status.success());
        let made = done(Command::new("mkfs.ext4").args(["-q", "-O", "^has_journal"]).arg(image))
            && done(Command::new("mount").args(["-o", "loop,errors=remount-ro"]).args([image, mounted]));
        if !made {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "cannot mount a disk in a file");
            eprintln!("SKIPPED: cannot mount a disk in a file");
            return None;
        }
        let mounts = fs::read_to_string("/proc/mounts").unwrap();
        let line = mounts.lines().find(|line| line.split(' ').nth(1) == mounted.to_str()).unwrap();
        let device = line.split(' ').next().unwrap().trim_start_matches("/dev/");
        let faults = Path::new("/sys/fs/ext4").join(device).join("trigger_fs_error");
        Some(Self { image: image.into(), mounted: mounted.into(), faults })
    }

    fn fail(&self) {
        fs::write(&self.faults, "1").unwrap();
        assert!(fs::write(self.mounted.join("probe"), "").is_err());
    }

    /// Takes it out and puts it in again, until it can be written: whoever copied its mount meanwhile, as a new name space
    /// does, holds it as it was.
    fn mend(&self) {
        let done = |command: &mut Command| assert!(command.status().unwrap().success());
        for _ in 0..100 {
            done(Command::new("umount").arg(&self.mounted));
            done(Command::new("mount").args(["-o", "loop"]).args([&self.image, &self.mounted]));
            if fs::write(self.mounted.join("probe"), "").is_ok() {
                return fs::remove_file(self.mounted.join("probe")).unwrap();
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        panic!("it stays read-only");
    }
}

impl Drop for FragileDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.mounted).status();
    }
}

#[test]
fn a_disk_that_becomes_read_only_costs_counted_rows_and_no_file() {
    if !possible() {
        return;
    }
    let (image, folder) = (tempfile::NamedTempFile::new().unwrap(), tempfile::tempdir().unwrap());
    let Some(disk) = FragileDisk::new(image.path(), folder.path()) else { return };
    let mut live = Live::start_in(folder, &["--rotate", "600"]);
    live.inside(&["/bin/true"]);
    live.expect_open("exec", 1);
    // What is younger may still be in memory only.
    std::thread::sleep(Duration::from_secs(7));
    disk.fail();
    live.role("flood");
    let status = live.expect("exec", FLOOD + 1);
    assert_eq!(status["events"]["exec"]["open"], 1, "{status}");
    assert_eq!(status["events"]["exec"]["dropped"], serde_json::json!({}), "they wait in the rings: {status}");
    let blocked = live.until(|status| !status["blocked"].is_null());
    assert!(blocked["blocked"].as_str().unwrap().contains("Read-only file system"), "{blocked}");
    live.kill();
    disk.mend();
    live.restart(&[]);
    let stored = live.stop();
    assert_tidy(&stored);
    assert_eq!((rows(&stored, "exec"), stored.code), (1, Some(0)));
}

#[test]
fn a_full_disk_that_passes_costs_nothing_also_if_the_worker_dies_meanwhile() {
    if !possible() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    let Some(_disk) = mounted(&path, "tmpfs", "size=4m") else { return };
    let live = Live::start_in(folder, &[]);
    live.inside(&["/bin/true"]);
    live.expect_open("exec", 1);
    let _ = fs::write(path.join("filler"), vec![0; 4 << 20]);
    live.role("flood");
    live.until(|status| !status["blocked"].is_null());
    live.kill_worker();
    live.role("flood");
    std::thread::sleep(Duration::from_secs(1));
    fs::remove_file(path.join("filler")).unwrap();
    live.until(|status| {
        let exec = &status["events"]["exec"];
        let stored = exec["open"].as_u64().unwrap() + exec["written"].as_u64().unwrap();
        stored == 2 * FLOOD + 1 && status["blocked"].is_null()
    });
    let stored = live.stop();
    stored.assert_exact();
    assert_eq!((stored.count("exec", "written"), stored.dropped("exec")), (2 * FLOOD + 1, 0), "{}", stored.status);
    assert_eq!((rows(&stored, "exec"), stored.code), (2 * FLOOD + 1, Some(0)));
}

#[test]
fn an_archive_that_is_removed_is_missed_and_what_it_held_is_counted() {
    if !possible() {
        return;
    }
    let live = Live::start(&[]);
    live.inside(&["/bin/true"]);
    live.expect_open("exec", 1);
    fs::remove_dir_all(live.folder.path().join("archive")).unwrap();
    live.inside(&["/bin/true"]);
    live.until(|status| !status["blocked"].is_null());
    let stored = live.stop();
    stored.assert_exact();
    assert_eq!((stored.count("exec", "produced"), stored.dropped("exec"), stored.code), (2, 2, Some(1)));
}

#[test]
fn an_agent_that_is_stopped_for_long_goes_on_where_it_was() {
    if !possible() {
        return;
    }
    let live = Live::start(&["--rotate", "1"]);
    live.inside(&["/bin/true"]);
    live.signal(Signal::STOP);
    live.role("flood");
    let stopped: u64 = std::env::var("EBBLINE_STOPPED_S").map_or(3, |text| text.parse().unwrap());
    std::thread::sleep(Duration::from_secs(stopped));
    live.signal(Signal::CONT);
    let stored = live.stop();
    stored.assert_exact();
    assert_eq!((stored.count("exec", "written"), stored.dropped("exec")), (FLOOD + 1, 0));
}
