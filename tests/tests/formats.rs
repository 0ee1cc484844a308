//! Files of earlier formats open and score as they did; formats of another time are refused with what to do.

use std::path::{Path, PathBuf};

use ebbline_tests::{ebbline, write_archive};
use parquet::file::reader::{FileReader, SerializedFileReader};
use workload::columns::archive;

fn data(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data").join(path)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("test paths are UTF-8")
}

fn baseline() -> PathBuf {
    data("formats/version-4.baseline")
}

/// Archive, its schema version, its rows, and one of its files with a row and the bits that it had when it was new.
const ARCHIVES: &[(&str, &str, u64, &str, &str, f64)] = &[
    (
        "recording/live",
        "1",
        17_241,
        "process/day=2026-11-21/host=demo/20261121T215432Z-000001.parquet",
        "0",
        26.947265625,
    ),
    ("formats/schema-2", "2", 9, "process/day=2026-11-03/host=host0/20261103T172219Z-000042.parquet", "4", 2.671875),
];

#[test]
fn archives_of_every_schema_open_and_score_as_they_did() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    for (archive, schema, rows, file, row, bits) in ARCHIVES {
        let file = data(archive).join(file);
        assert_eq!(schema_of(&file), *schema, "{archive}: it was made anew; keep one of each schema");
        let out = folder.path().join(schema);
        let source = data(archive);
        let baseline = baseline();
        let line =
            ["score", text(&source), "--baseline", text(&baseline), "--out", text(&out), "--backend", "cpu", "--json"];
        let scored = ebbline(line);
        assert_eq!(scored.code, 0, "{scored:?}");
        assert_eq!(scored.json()["run"]["rows"], *rows, "{archive}");
        let explained = ebbline(["explain", text(&file), row, "--baseline", text(&baseline), "--json"]);
        assert_eq!(explained.json()["bits"], *bits, "{archive}");
        let learned = ebbline(["learn", text(&source), "--out", text(&folder.path().join("again")), "--json"]);
        assert_eq!(learned.json()["rows"], *rows, "{archive}");
    }
}

fn schema_of(file: &Path) -> String {
    let file = std::fs::File::open(file).expect("the file is there");
    let reader = SerializedFileReader::new(file).expect("it is Parquet");
    let values = reader.metadata().file_metadata().key_value_metadata().expect("it has metadata");
    let version = values.iter().find(|pair| pair.key == "ebbline.schema_version").expect("it has a version");
    version.value.clone().expect("the version has a value")
}

#[test]
fn a_baseline_of_an_unknown_version_is_refused_with_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let path = folder.path().join("other.baseline");
    let source = data("formats/schema-2");
    for version in [0, 3, 5, u32::MAX] {
        let mut bytes = std::fs::read(baseline()).expect("the baseline is there");
        bytes[8..12].copy_from_slice(&version.to_le_bytes());
        std::fs::write(&path, bytes).expect("written");
        let out = folder.path().join("out");
        let scored =
            ebbline(["score", text(&source), "--baseline", text(&path), "--out", text(&out), "--backend", "cpu"]);
        let error = scored.error();
        let found = format!("other.baseline: format version {version}; this program reads version 4; ");
        assert!(error.contains(&found), "{error}");
        assert!(error.contains("use the release that wrote it") && error.contains("ebbline learn"), "{error}");
        assert!(!out.exists());
    }
}

#[test]
fn what_a_baseline_was_learned_from_gives_it_again() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let again = folder.path().join("again.baseline");
    let source = folder.path().join("rows");
    write_archive(&source, archive(7, 400, 1, 2));
    let learned = ebbline(["learn", text(&source), "--out", text(&again), "--key-of", text(&baseline())]);
    assert_eq!(learned.code, 0, "{learned:?}");
    let [old, new] = [baseline(), again].map(|path| model::Baseline::load(&path).expect("it opens"));
    assert_eq!(old.snapshots(), new.snapshots(), "counts and calibration");
    assert_eq!((old.id(), old.parts()), (new.id(), new.parts()));
}

#[test]
fn a_baseline_opens_as_it_was_written() {
    let path = baseline();
    let baseline = model::Baseline::load(&path).expect("it opens");
    assert_eq!(baseline.id(), "4b3515e34f95b255");
    assert_eq!(baseline.parts().rows_without_evidence(), 0);
    let again = tempfile::tempdir().expect("a folder for the test");
    let copy = again.path().join("copy.baseline");
    baseline.save(&copy).expect("it is written");
    assert_eq!(std::fs::read(copy).ok(), std::fs::read(path).ok(), "a baseline has one form");
}
