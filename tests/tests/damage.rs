//! Damaged and missing input, and output that cannot be written: one clear line, the right exit code, nothing half
//! written, never a panic.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};

use arrow_array::{Array, ArrayRef, Int64Array, RecordBatch, UInt32Array};
use arrow_schema::{Field, Schema};
use ebbline_tests::{Ended, bin, ebbline, ended, files_below, skip, write_archive};
use parquet::arrow::ArrowWriter;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use store::discover;
use workload::columns::archive;

struct Fixture {
    folder: tempfile::TempDir,
    baseline: PathBuf,
    /// A sound file of table `process`.
    good: PathBuf,
}

fn fixture() -> &'static Fixture {
    static FIXTURE: OnceLock<Fixture> = OnceLock::new();
    FIXTURE.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let past = folder.path().join("past");
        write_archive(&past, archive(3, 6_000, 1, 2));
        let baseline = folder.path().join("normal.baseline");
        let learned = ebbline(["learn", text(&past), "--out", text(&baseline)]);
        assert_eq!(learned.code, 0, "{learned:?}");
        let sources = discover(&[past.join("process")]).expect("there are files");
        Fixture { good: sources[0].path.clone(), baseline, folder }
    })
}

fn text(path: &Path) -> &str {
    path.to_str().expect("test paths are UTF-8")
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder for the test")
}

fn score(source: &Path, out: &Path, more: &[&str]) -> Ended {
    let baseline = text(&fixture().baseline);
    let args = ["score", text(source), "--baseline", baseline, "--out", text(out), "--backend", "cpu"];
    ebbline(args.iter().chain(more))
}

/// Nothing temporary and no sidecar of the file with this name.
fn assert_clean(out: &Path, name: &str) {
    if out.exists() {
        for (path, _) in files_below(out) {
            let path = path.to_string_lossy().into_owned();
            assert!(!path.ends_with(".tmp") && !path.contains(name), "left behind: {path}");
        }
    }
}

/// A bad file beside a good one is named and skipped; alone, or with `--strict`, it fails the run.
fn assert_skipped(what: &str, content: &[u8], expected: &str) {
    let at = folder();
    let (both, out) = (at.path().join("both"), at.path().join("out"));
    fs::create_dir(&both).expect("made");
    fs::copy(&fixture().good, both.join("good.parquet")).expect("copied");
    let bad = both.join("bad.parquet");
    fs::write(&bad, content).expect("written");

    let skipped = score(&both, &out, &[]);
    assert_eq!(skipped.code, 3, "{what}: {skipped:?}");
    let line = skipped.stderr.lines().find(|line| line.starts_with("skipped: ")).unwrap_or_default();
    assert!(line.contains(expected) && line.contains(text(&bad)), "{what}: {skipped:?}");
    assert_clean(&out, "bad.parquet");
    let manifest = store::Manifest::load(&out).expect("a manifest");
    assert_eq!(manifest.runs[0].inputs_skipped[0].path, text(&bad), "{what}");

    let out = at.path().join("strict");
    let strict = score(&both, &out, &["--strict"]);
    assert!(strict.error().contains(expected), "{what}: {strict:?}");
    assert_clean(&out, "bad.parquet");

    let out = at.path().join("alone");
    score(&bad, &out, &[]).error();
    assert!(!out.exists() || files_below(&out).is_empty(), "{what}: no results from nothing");

    let learned = ebbline(["learn", text(&bad), "--out", text(&at.path().join("x.baseline"))]);
    learned.error();
    assert!(!at.path().join("x.baseline").exists());
}

/// A Parquet file with these columns and footer entries.
fn parquet_of(columns: Vec<(&str, ArrayRef)>, meta: &[(&str, &str)]) -> Vec<u8> {
    let fields: Vec<Field> = columns.iter().map(|(name, c)| Field::new(*name, c.data_type().clone(), true)).collect();
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.into_iter().map(|c| c.1).collect());
    let meta = meta.iter().map(|(k, v)| KeyValue::new((*k).to_owned(), Some((*v).to_owned()))).collect();
    let properties = WriterProperties::builder().set_key_value_metadata(Some(meta)).build();
    let batch = batch.expect("columns fit");
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).expect("a writer");
    writer.write(&batch).expect("written");
    writer.into_inner().expect("finished")
}

#[test]
fn files_that_are_not_what_they_seem() {
    let good = fs::read(&fixture().good).expect("read");
    let numbers = || -> ArrayRef { Arc::new(UInt32Array::from(vec![1, 2, 3])) };
    let version: &[(&str, &str)] = &[("ebbline.schema_version", "7"), ("ebbline.table", "process")];
    assert_skipped("empty", b"", "it is empty");
    assert_skipped("text", b"time,host\n1,web1\n", "not a Parquet file");
    assert_skipped("short", b"PAR1", "truncated");
    assert_skipped("half", &good[..good.len() / 2], "truncated");
    assert_skipped("no last byte", &good[..good.len() - 1], "truncated");
    assert_skipped("foreign", &parquet_of(vec![("number", numbers())], &[]), "no lens");
    let other = parquet_of(vec![("number", numbers())], &[("ebbline.table", "mail")]);
    assert_skipped("another table", &other, "table mail");
    assert_skipped("another version", &parquet_of(vec![("number", numbers())], version), "other schema version");
    let missing = parquet_of(vec![("number", numbers())], &[("ebbline.table", "process")]);
    assert_skipped("no column", &missing, "missing column");
    let time: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
    let wrong = parquet_of(vec![("time", time)], &[("ebbline.table", "process")]);
    assert_skipped("wrong type", &wrong, "wrong column type");
}

#[test]
fn every_truncation_and_any_flipped_byte() {
    let good = fs::read(&fixture().good).expect("read");
    let at = folder();
    let bad = at.path().join("bad.parquet");
    for step in 1..40 {
        fs::write(&bad, &good[..good.len() * step / 40]).expect("written");
        score(&bad, &at.path().join("out"), &[]).error();
    }
    // A flip may hit a value and stay unseen, but it must never end in a panic, a hang or a row without a score.
    let mut refused = 0;
    let footer = good.len().saturating_sub(8_000);
    for at_byte in (0..good.len()).step_by((good.len() / 150).max(1)).chain((footer..good.len()).step_by(61)) {
        let mut content = good.clone();
        content[at_byte] ^= 0x5A;
        fs::write(&bad, &content).expect("written");
        let out = at.path().join(format!("flip-{at_byte}"));
        let flipped = score(&bad, &out, &[]);
        if flipped.code == 0 {
            assert!(!flipped.stderr.contains("panicked"), "byte {at_byte}: {flipped:?}");
        } else {
            flipped.error();
            assert_clean(&out, "bad.parquet");
            refused += 1;
        }
    }
    assert!(refused > 10, "only {refused} flips were noticed");
}

#[test]
fn a_damaged_file_teaches_nothing() {
    let at = folder();
    let source = at.path().join("source");
    fs::create_dir(&source).expect("made");
    fs::copy(&fixture().good, source.join("good.parquet")).expect("copied");
    let learn = |name: &str| {
        let key = text(&fixture().baseline);
        ebbline(["learn", text(&source), "--out", text(&at.path().join(name)), "--key-of", key, "--json"])
    };
    let clean = learn("clean.baseline");
    assert_eq!(clean.code, 0, "{clean:?}");
    let mut bad = fs::read(&fixture().good).expect("read");
    let middle = bad.len() / 2;
    bad[middle..middle + 64].fill(0xFF);
    fs::write(source.join("bad.parquet"), &bad).expect("written");
    let other = learn("other.baseline");
    assert_eq!(other.code, 3, "{other:?}");
    assert_eq!(other.json()["id"], clean.json()["id"]);
    fs::remove_file(source.join("good.parquet")).expect("removed");
    learn("none.baseline").error();
    assert!(!at.path().join("none.baseline").exists());
}

#[test]
fn sources_that_are_not_there() {
    let at = folder();
    let out = at.path().join("out");
    assert!(score(&at.path().join("nowhere"), &out, &[]).error().contains("no such source"));
    assert!(score(at.path(), &out, &[]).error().contains("no Parquet file found"));
    std::os::unix::fs::symlink("/nonexistent/file", at.path().join("gone.parquet")).expect("linked");
    score(at.path(), &out, &[]).error();
    assert!(!out.exists());
    let learned = ebbline(["learn", "/nonexistent", "--out", text(&at.path().join("x"))]);
    assert!(learned.error().contains("no such source"));
}

#[test]
fn baselines_that_cannot_be_used() {
    let at = folder();
    let (path, out) = (at.path().join("b.baseline"), at.path().join("out"));
    let good = fs::read(&fixture().baseline).expect("read");
    let try_it = |baseline: &Path| -> String {
        let source = text(&fixture().good);
        let scored = ebbline(["score", source, "--baseline", text(baseline), "--out", text(&out), "--backend", "cpu"]);
        let explained = ebbline(["explain", source, "0", "--baseline", text(baseline)]);
        assert_eq!(scored.error(), explained.error());
        assert!(!out.exists(), "nothing is written without a baseline");
        scored.error().to_owned()
    };
    assert!(try_it(&path).contains("no such file"));
    try_it(at.path());
    let mut other = good.clone();
    other[8] = 9;
    fs::write(&path, &other).expect("written");
    assert!(try_it(&path).contains("version 9"));
    for length in [0, 7, 55, 56, good.len() / 2, good.len() - 1] {
        fs::write(&path, &good[..length]).expect("written");
        assert!(try_it(&path).contains("truncated"), "{length} bytes");
    }
    for position in (0..good.len()).step_by(good.len() / 20) {
        let mut flipped = good.clone();
        flipped[position] ^= 1;
        fs::write(&path, &flipped).expect("written");
        try_it(&path);
    }
    fs::copy(&fixture().good, &path).expect("copied");
    assert!(try_it(&path).contains("not an Ebbline baseline"));
}

#[test]
fn any_flipped_bit_of_a_baseline_is_noticed() {
    let good = fs::read(&fixture().baseline).expect("read");
    let step = (good.len() / 3_000).max(1);
    for position in (0..200).chain((200..good.len()).step_by(step)) {
        let mut flipped = good.clone();
        flipped[position] ^= 1 << (position % 8);
        let decoded = model::Baseline::decode(&flipped, Path::new("flipped"));
        assert!(decoded.is_err(), "byte {position} of {}", good.len());
    }
}

#[test]
fn output_that_cannot_be_written() {
    let at = folder();
    let orphan = at.path().join("missing/out");
    assert!(score(&fixture().good, &orphan, &[]).error().contains("create the folder above it first"));
    assert!(!at.path().join("missing").exists());
    let file = at.path().join("file");
    fs::write(&file, b"x").expect("written");
    score(&fixture().good, &file, &[]).error();
    score(&fixture().good, &file.join("out"), &[]).error();
    assert_eq!(fs::read(&file).expect("still there"), b"x");
    let past = text(fixture().folder.path()).to_owned() + "/past";
    for out in [at.path().join("missing/b"), at.path().to_path_buf(), file.join("b")] {
        let learned = ebbline(["learn", &past, "--out", text(&out)]);
        assert!(learned.error().contains("cannot write"), "{learned:?}");
    }
    // A manifest that is not ours is not overwritten.
    let out = at.path().join("taken");
    fs::create_dir(&out).expect("made");
    fs::write(out.join("manifest.json"), b"[]").expect("written");
    score(&fixture().good, &out, &[]).error();
    assert_eq!(fs::read(out.join("manifest.json")).expect("still there"), b"[]");
}

#[test]
fn standard_output_that_is_full() {
    let full = fs::OpenOptions::new().write(true).open("/dev/full").expect("Linux has it");
    let child = Command::new(bin("ebbline"))
        .args(["explain", text(&fixture().good), "0", "--baseline", text(&fixture().baseline)])
        .stdout(full)
        .stderr(std::process::Stdio::piped())
        .spawn()
        .and_then(std::process::Child::wait_with_output)
        .expect("it runs");
    let stderr = String::from_utf8_lossy(&child.stderr);
    assert_eq!(child.status.code(), Some(1), "{stderr}");
    assert!(stderr.starts_with("error: cannot write: standard output"), "{stderr}");
}

/// A mounted file system of a few pages, unmounted on drop.
struct Tiny(tempfile::TempDir);

impl Tiny {
    fn new(kilobytes: u32) -> Option<Self> {
        let at = folder();
        let size = format!("size={kilobytes}k");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "ebbline-test", text(at.path())]).output();
        mounted.is_ok_and(|m| m.status.success()).then_some(Self(at))
    }
}

impl Drop for Tiny {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).output();
    }
}

#[test]
fn a_full_disk() {
    let Some(disk) = Tiny::new(64) else {
        return skip("a_full_disk: cannot mount a tmpfs (needs root with CAP_SYS_ADMIN)");
    };
    let past = fixture().folder.path().join("past");
    let out = disk.0.path().join("out");
    let full = score(&past, &out, &[]);
    assert!(full.error().contains("No space left on device"), "{full:?}");
    assert!(full.error().contains("free some space"), "{full:?}");
    assert_clean(&out, ".tmp");
    // Beside the record of what was finished.
    for path in files_below(&out).into_iter().map(|(path, _)| path).filter(|path| path.components().count() > 1) {
        store::ArchiveFile::open(&out.join(&path)).unwrap_or_else(|e| panic!("{e}: what is there is whole"));
    }
    let baseline = disk.0.path().join("b.baseline");
    let learned = ebbline(["learn", text(&past), "--out", text(&baseline)]);
    assert!(learned.error().contains("No space left on device"), "{learned:?}");
    assert_clean(disk.0.path(), "b.baseline");
}

#[test]
fn a_full_disk_under_the_table_writer() {
    let Some(disk) = Tiny::new(256) else {
        return skip("a_full_disk_under_the_table_writer: cannot mount a tmpfs (needs root with CAP_SYS_ADMIN)");
    };
    let options = store::WriterOptions { rotate_bytes: 20_000, ..Default::default() };
    let mut writer = store::TableWriter::new(disk.0.path(), "process", "host0", events::process_schema(), options);
    let (mut offered, mut lost, mut failures) = (0, 0, 0);
    for part in archive(5, 60_000, 1, 1).filter(|part| part.table == "process") {
        offered += part.batch.num_rows() as u64;
        if let Err(error) = writer.write(&part.batch) {
            failures += 1;
            assert!(error.to_string().contains("No space left on device"), "{error}");
            let placed: usize = error.placed.iter().map(|run| run.rows).sum();
            lost += part.batch.num_rows() as u64 - placed as u64;
            lost += error.lost.iter().map(|file| file.earlier_rows).sum::<u64>();
        }
    }
    if let Err(error) = writer.finish() {
        lost += error.lost.iter().map(|file| file.earlier_rows).sum::<u64>();
    }
    let finished = writer.take_finished();
    assert!(failures > 0 && !finished.is_empty(), "the disk fills after a while");
    let stored: u64 = finished.iter().map(|file| store::ArchiveFile::open(&file.path).expect("whole").rows()).sum();
    assert_eq!(offered, stored + lost, "every row is in a file or counted as lost");
    assert_clean(disk.0.path(), ".tmp");
    assert_eq!(files_below(disk.0.path()).len(), finished.len());
}

#[test]
fn a_gpu_that_is_not_there() {
    let at = folder();
    let run = |out: &str, backend: &[&str]| {
        let baseline = text(&fixture().baseline);
        let out = at.path().join(out);
        let args = ["score", text(&fixture().good), "--baseline", baseline, "--out", text(&out)];
        let nothing = [("VK_DRIVER_FILES", "/nonexistent"), ("VK_ICD_FILENAMES", "/nonexistent")];
        (ended(Command::new(bin("ebbline")).args(args).args(backend).envs(nothing)), out)
    };
    for backend in [&["--backend", "gpu"][..], &["--backend", "gpu", "--adapter", "Imaginary 9000"]] {
        let (asked, out) = run("gpu", backend);
        assert!(asked.error().contains("--backend cpu"), "the next step: {asked:?}");
        assert!(!out.exists());
    }
    let (auto, out) = run("auto", &["--backend", "auto"]);
    assert_eq!(auto.code, 0, "{auto:?}");
    assert!(auto.stderr.contains("cpu"), "it says what it took: {auto:?}");
    let manifest = store::Manifest::load(&out).expect("a manifest");
    assert_eq!(manifest.runs[0].backend, "cpu");
}

#[test]
fn questions_without_an_answer() {
    let at = folder();
    let baseline = text(&fixture().baseline);
    let rows = store::ArchiveFile::open(&fixture().good).expect("sound").rows();
    let beyond = ebbline(["explain", text(&fixture().good), &rows.to_string(), "--baseline", baseline]);
    assert!(beyond.error().contains("rows count from 0"), "{beyond:?}");
    ebbline(["explain", text(at.path()), "0", "--baseline", baseline]).error();
    ebbline(["explain", "/nonexistent", "0", "--baseline", baseline]).error();
    ebbline(["show", "/nonexistent"]).error();
    ebbline(["show", text(at.path())]).error();
    let findings = at.path().join("findings/0123456789abcdef");
    fs::create_dir_all(&findings).expect("made");
    fs::write(findings.join("half.parquet"), b"PAR1....").expect("written");
    ebbline(["show", text(at.path())]).error();
    let unused = parquet_of(vec![("x", Arc::new(Int64Array::from(vec![1])) as ArrayRef)], &[]);
    fs::write(findings.join("half.parquet"), unused).expect("written");
    assert!(ebbline(["show", text(at.path())]).error().contains("missing column"));
}
