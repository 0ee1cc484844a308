//! `ebbline bench auto`.

use std::path::{Path, PathBuf};
use std::process::Command;

use ebbline_tests::{Ended, bin, ebbline, ended, write_archive};
use serde_json::Value;

use crate::list;

/// A small baseline, and what `bench auto` says of it where figures are kept below a folder.
struct Auto {
    folder: tempfile::TempDir,
}

impl Auto {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (past, baseline) = (folder.path().join("past"), folder.path().join("normal.baseline"));
        write_archive(&past, workload::columns::archive(1, 3_000, 1, 1));
        let learned = ebbline(["learn".as_ref(), past.as_os_str(), "--out".as_ref(), baseline.as_os_str()]);
        assert_eq!(learned.code, 0, "{learned:?}");
        Self { folder }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("cache/ebbline/backend.json")
    }

    /// With figures below `cache`, or a place that is none.
    fn run_in(&self, cache: &Path, more: &[&str]) -> Ended {
        let mut command = Command::new(bin("ebbline"));
        command.args(["bench", "auto"]).arg(self.folder.path().join("normal.baseline")).args(more);
        ended(command.env("XDG_CACHE_HOME", cache))
    }

    /// The notes and reasons, by table and caller.
    fn run(&self, more: &[&str]) -> Vec<Value> {
        let ended = self.run_in(&self.folder.path().join("cache"), more);
        let told = ended.json();
        let file = self.file();
        let kept = file.to_str().filter(|_| file.exists());
        assert_eq!((ended.code, told["kept"].as_str()), (0, kept), "{ended:?}");
        list(&told, "tables").clone()
    }
}

#[test]
fn auto_says_what_it_takes_and_measures_hardware_alone() {
    let auto = Auto::new();
    let tables = auto.run(&["--json"]);
    assert!(tables.len() >= 4, "files and live for each table: {tables:?}");
    let has_hardware = scorer_gpu::adapters().iter().any(|one| one.kind == scorer_gpu::AdapterKind::Hardware);
    if has_hardware {
        return println!("auto measured a card: {tables:?}");
    }
    for table in &tables {
        let (reason, rows) = (table["reason"].as_str().unwrap(), table["batch_rows"].as_u64().unwrap());
        assert!(table["backend"] == "cpu" && reason.starts_with("cpu: no hardware GPU found"), "{table}");
        assert_eq!((rows, table["note"].is_null()), (if table["for"] == "files" { 65_536 } else { 1024 }, true));
    }
    assert!(!auto.file().exists(), "nothing was measured");
    let told = auto.run_in(auto.folder.path(), &[]);
    assert!(told.stdout.contains("no hardware GPU found"), "{told:?}");
    assert!(told.stdout.ends_with("no figures are kept, as none were taken\n"), "{told:?}");
}

#[test]
fn auto_keeps_what_it_measured_and_measures_again_what_is_damaged() {
    let adapters = scorer_gpu::adapters();
    let adapter = adapters.first().expect("a Vulkan adapter, for example of mesa-vulkan-drivers");
    let args = ["--json", "--software-too", "--adapter", &adapter.name];
    let auto = Auto::new();
    let noted = |tables: &[Value], note: &str| {
        let all = tables.iter().all(|table| table["note"].as_str().is_some_and(|text| text.starts_with(note)));
        assert!(all, "{note}: {tables:?}");
    };
    let first = auto.run(&args);
    let files = first.iter().filter(|table| table["for"] == "files").cloned().collect::<Vec<_>>();
    noted(&files, "measured now, kept in ");
    for table in &first {
        let (backend, reason) = (table["backend"].as_str().unwrap(), table["reason"].as_str().unwrap());
        assert!(reason.starts_with(backend) && reason.contains(&adapter.name), "{table}");
        assert!(reason.contains(" rows/s at ") && table["batch_rows"].as_u64() > Some(255), "{table}");
    }
    let again = auto.run(&args);
    noted(&again, "measured 2");
    let reasons = |tables: &[Value]| tables.iter().map(|table| table["reason"].to_string()).collect::<Vec<_>>();
    assert_eq!(reasons(&again), reasons(&first), "the same figures");

    let text = std::fs::read_to_string(auto.file()).unwrap();
    std::fs::write(auto.file(), &text[..text.len() / 2]).unwrap();
    assert_eq!(
        auto.run(&args).iter().filter(|table| table["note"].to_string().contains("now, kept")).count(),
        files.len()
    );
    let renewed = auto.run(&[&args[..], &["--again"]].concat());
    assert_eq!(renewed.iter().filter(|table| table["note"].to_string().contains("now, kept")).count(), files.len());
    let nowhere = auto.run_in(Path::new("/proc/nowhere"), &args);
    noted(list(&nowhere.json(), "tables"), "measured now, not kept: /proc/nowhere");
    assert!(nowhere.json()["kept"].is_null());
    let words = auto.run_in(Path::new("/proc/nowhere"), &args[1..]);
    assert!(words.stdout.ends_with("figures are not kept, for the reason above\n"), "{words:?}");
    let words = auto.run_in(&auto.folder.path().join("cache"), &args[1..]);
    assert!(words.stdout.contains(&format!("figures are kept in {}; ", auto.file().display())), "{words:?}");
}

#[test]
fn an_adapter_that_is_not_there_is_an_error() {
    let wrong = Auto::new().run_in(Path::new("/proc/nowhere"), &["--adapter", "nonesuch"]);
    let error = wrong.error();
    assert!(error.starts_with("error: cannot choose: --adapter: no adapter named \"nonesuch\" ("), "{error}");
    assert!(error.ends_with("; name one that is there, or leave --adapter away") && wrong.stdout.is_empty(), "{error}");
    for adapter in scorer_gpu::adapters() {
        assert!(error.contains(&adapter.name), "{error}");
    }
    let empty = ebbline(["bench", "auto", "no.baseline", "--adapter", ""]);
    assert!(empty.code == 2 && empty.stderr.contains("--adapter"), "{empty:?}");
}

#[test]
fn what_is_no_baseline_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let result =
        "{\"format\": 1, \"version\": \"0.1.0\", \"quick\": true, \"seed\": 1, \"rows\": 65536, \"devices\": []}";
    for (name, text, why) in [
        ("result.json", result, "not an Ebbline baseline"),
        ("short", "EBB", "truncated: header: 3 of 56 bytes; too short for a baseline"),
        ("empty", "", "truncated: header: 0 of 56 bytes; too short for a baseline"),
    ] {
        let file = folder.path().join(name);
        std::fs::write(&file, text).unwrap();
        let refused = ebbline(["bench".as_ref(), "auto".as_ref(), file.as_os_str()]);
        let error = refused.error();
        assert!(error.starts_with("error: cannot use baseline: ") && error.contains(why), "{error}");
        // Nobody is told to write over it.
        assert!(error.ends_with("make one with: ebbline learn SOURCE --out NEW.baseline"), "{error}");
    }
}
