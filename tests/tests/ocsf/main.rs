//! `ebbline export --ocsf 1.3`: every event of an archive with findings against what the published schema requires, and the
//! checker against planted faults.

mod check;
mod facts;
mod faults;
mod own_rows;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use arrow_array::cast::AsArray;
use ebbline_tests::{Ended, ebbline, ended, files_below, python, skip, write_archive};
use facts::Facts;
use serde_json::Value;
use workload::columns::{FIRST_DAY, archive, archive_from, intrusion};

const HOUR: i64 = 3_600_000_000_000;
const TODAY: i64 = FIRST_DAY + 96 * HOUR;

/// A generated archive that was scored, with an intrusion in it, and what was exported of it.
pub(crate) struct Fixture {
    folder: tempfile::TempDir,
}

impl Fixture {
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn export(&self, source: &str, out: &str, more: &[&str]) -> Ended {
        let (source, out) = (self.path(source), self.path(out));
        let args = ["export", text(&source), "--ocsf", "1.3", "--out", text(&out), "--json"];
        ebbline(args.iter().chain(more))
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("test paths are UTF-8")
}

pub(crate) fn fixture() -> &'static Fixture {
    static FIXTURE: OnceLock<Fixture> = OnceLock::new();
    FIXTURE.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let fixture = Fixture { folder };
        let at = |name: &str| fixture.path(name);
        write_archive(&at("past"), archive(1, 40_000, 2, 4));
        write_archive(&at("today"), archive_from(2, 8_000, 2, TODAY, 1).chain(intrusion("host1", TODAY + 15 * HOUR)));
        let learned = ebbline(["learn", text(&at("past")), "--out", text(&at("normal.baseline"))]);
        assert_eq!(learned.code, 0, "{learned:?}");
        let (today, baseline, scored) = (at("today"), at("normal.baseline"), at("scored"));
        let score =
            ["score", text(&today), "--baseline", text(&baseline), "--out", text(&scored), "--rarer-than", "100"];
        let scored = ebbline(score.iter().chain(&["--backend", "cpu"]));
        assert_eq!(scored.code, 0, "{scored:?}");
        let findings = at("scored");
        let exported = fixture.export("today", "lake", &["--findings", text(&findings), "--region", "eu-central-1"]);
        assert_eq!(exported.code, 0, "{exported:?}");
        std::fs::write(at("lake.json"), exported.stdout).expect("written");
        fixture
    })
}

/// Files of an export, relative to its folder.
pub(crate) fn files(root: &Path) -> Vec<PathBuf> {
    files_below(root).into_iter().map(|(path, _)| path).collect()
}

/// All events of a class.
pub(crate) fn events(root: &Path, class: &str) -> Vec<Value> {
    let mut all = Vec::new();
    for path in files(root).iter().filter(|path| path.starts_with(class)) {
        let file = std::fs::File::open(root.join(path)).expect("opened");
        let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file).expect("Parquet");
        all.extend(reader.build().expect("a reader").flat_map(|batch| check::rows(&batch.expect("a batch"))));
    }
    all
}

fn assert_right(root: &Path) -> usize {
    let facts = Facts::read();
    let files = files(root);
    for path in &files {
        let wrong = check::file(&facts, root, path);
        assert!(
            wrong.is_empty(),
            "{}: {} problems, first {:?}",
            path.display(),
            wrong.len(),
            &wrong[..wrong.len().min(5)]
        );
    }
    files.len()
}

fn total(report: &Value, class: &str) -> u64 {
    report["classes"][class]["events"].as_u64().expect("a count")
}

#[test]
fn every_event_of_an_archive_with_findings_is_as_the_schema_requires() {
    let fixture = fixture();
    let report: Value = serde_json::from_slice(&std::fs::read(fixture.path("lake.json")).expect("read")).expect("JSON");
    assert!(assert_right(&fixture.path("lake")) > 48);
    let rows: u64 = store::discover(&[fixture.path("today")])
        .expect("there are files")
        .iter()
        .map(|source| store::ArchiveFile::open(&source.path).expect("sound").rows())
        .sum();
    assert_eq!(total(&report, "process_activity") + total(&report, "network_activity"), rows, "{report}");
    assert_eq!(report["left_out"].as_array().map(Vec::len), Some(0), "{report}");
    let findings = store::read_all_findings(&fixture.path("scored")).expect("findings");
    assert!(findings.len() > 1);
    assert_eq!(total(&report, "detection_finding"), findings.len() as u64);
    for class in ["process_activity", "network_activity", "detection_finding"] {
        assert_eq!(events(&fixture.path("lake"), class).len() as u64, total(&report, class));
    }
}

/// Real kernel events, recorded: `tests/data/recording`.
#[test]
fn every_event_of_the_demo_is_as_the_schema_requires() {
    let recording = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/recording");
    let folder = tempfile::tempdir().expect("a folder for the test");
    let [baseline, scored, lake] = ["demo.baseline", "scored", "lake"].map(|name| folder.path().join(name));
    let (learn, live) = (recording.join("learn"), recording.join("live"));
    assert_eq!(ebbline(["learn", text(&learn), "--out", text(&baseline)]).code, 0);
    let score = ["score", text(&live), "--baseline", text(&baseline), "--out", text(&scored), "--rarer-than", "32"];
    assert_eq!(ebbline(score.iter().chain(&["--backend", "cpu"])).code, 0);
    let export = ["export", text(&live), "--findings", text(&scored), "--ocsf", "1.3", "--out", text(&lake), "--json"];
    let report = ebbline(export).json();
    assert_eq!((total(&report, "process_activity"), total(&report, "network_activity")), (13_161, 4_080), "{report}");
    assert!(total(&report, "detection_finding") > 3, "{report}");
    assert_eq!(assert_right(&lake), 3);
}

#[test]
fn rows_far_out_of_order_go_to_files_that_are_each_in_order() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let (path, lake) = (folder.path().join("rows.parquet"), folder.path().join("lake"));
    let parts = archive(3, 80_000, 1, 1).filter(|part| part.table == events::PROCESS);
    let mut batches: Vec<arrow_array::RecordBatch> = parts.map(|part| part.batch).collect();
    let half = batches.len() / 2;
    batches.rotate_left(half);
    let rows: usize = batches.iter().map(arrow_array::RecordBatch::num_rows).sum();
    assert!(rows > 3 * 16_384, "{rows}");
    let file = std::fs::File::create(&path).expect("made");
    let mut writer = parquet::arrow::ArrowWriter::try_new(file, batches[0].schema(), None).expect("begun");
    batches.iter().for_each(|batch| writer.write(batch).expect("written"));
    writer.close().expect("closed");
    let report = ebbline(["export", text(&path), "--ocsf", "1.3", "--out", text(&lake), "--json"]).json();
    assert_eq!(total(&report, "process_activity"), rows as u64);
    let files = assert_right(&lake);
    assert!((2..=3).contains(&files), "the later hours, what lies across, and the earlier ones: {files}");
    let ids: std::collections::HashSet<String> =
        events(&lake, "process_activity").iter().map(|event| event["metadata"]["uid"].to_string()).collect();
    assert_eq!(ids.len(), rows, "every row once");
}

#[test]
fn the_rows_of_a_finding_are_events_by_their_ids() {
    let fixture = fixture();
    let lake = fixture.path("lake");
    let ids: std::collections::HashSet<String> = ["process_activity", "network_activity"]
        .into_iter()
        .flat_map(|class| events(&lake, class))
        .map(|event| event["metadata"]["uid"].as_str().expect("an id").to_owned())
        .collect();
    let findings = events(&lake, "detection_finding");
    let top = findings.iter().find(|f| f.to_string().contains("/dev/shm/.k")).expect("the intrusion is a finding");
    assert!(top["severity_id"].as_i64().is_some_and(|severity| severity >= 2), "{top}");
    let related = top["finding_info"]["related_events"].as_array().expect("rows");
    assert!(!related.is_empty());
    for event in related {
        assert!(ids.contains(event["uid"].as_str().expect("an id")), "{event}");
    }
}

#[test]
fn every_activity_is_an_event_or_counted_as_left_out() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let (archive, lake) = (folder.path().join("archive"), folder.path().join("lake"));
    let rows = own_rows::write(&archive);
    let args = ["export", text(&archive), "--ocsf", "1.3.0", "--out", text(&lake), "--json"];
    let report = ebbline(args).json();
    assert_eq!(assert_right(&lake), 6, "each table lies on two days");
    let left = report["left_out"].as_array().expect("a list");
    let left_of = |table: &str| -> u64 {
        left.iter().filter(|left| left["table"] == table).filter_map(|left| left["rows"].as_u64()).sum()
    };
    for (table, class, rows) in [
        ("process", "process_activity", rows[0]),
        ("connection", "network_activity", rows[1]),
        ("dns", "dns_activity", rows[2]),
    ] {
        assert_eq!(total(&report, class) + left_of(table), rows as u64, "{table}: {report}");
    }
    assert_eq!((left_of("process"), left_of("connection"), left_of("dns")), (2, 1, 0), "{report}");
    let process = events(&lake, "process_activity");
    let ids: Vec<i64> = process.iter().filter_map(|event| event["activity_id"].as_i64()).collect();
    assert_eq!(ids, [99, 99, 1, 1, 5, 99, 3, 3, 99, 99, 2]);
    let shell = &process[2];
    assert_eq!(shell["process"]["cmd_line"], r"sh -c 'id; echo '\''x'\'''");
    assert_eq!(shell["actor"]["process"]["file"]["path"], "/usr/sbin/nginx");
    assert_eq!(shell["unmapped"]["image"], "web:1");
    assert_eq!(shell["device"].get("hostname"), None, "odd_host is no host name");
    assert_eq!(process[6]["process"]["pid"], 9, "what is traced");
    assert_eq!(process[7]["actor"]["process"]["pid"], 1, "the parent traces");
    let ids: Vec<i64> =
        events(&lake, "network_activity").iter().filter_map(|event| event["activity_id"].as_i64()).collect();
    assert_eq!(ids, [1, 1, 1, 6, 99, 99, 7, 99, 1, 1, 2, 5, 4, 4, 3]);
    let inbound = &events(&lake, "network_activity")[1];
    assert_eq!(
        (&inbound["src_endpoint"]["ip"], &inbound["dst_endpoint"]["port"]),
        (&"10.0.0.7".into(), &40_000.into())
    );
    assert_eq!(
        (&inbound["traffic"]["bytes_out"], &inbound["traffic"]["bytes"]),
        (&20.into(), &30.into()),
        "out is to who answers"
    );
    let dns = events(&lake, "dns_activity");
    assert_eq!(dns[1]["answers"][1]["rdata"], "10 mail.example.com");
    assert_eq!((&dns[3]["rcode_id"], &dns[3]["rcode"]), (&99.into(), &"RCODE23".into()));
    assert_eq!((dns[4].get("query"), &dns[4]["unmapped"]["name"]), (None, &"_ldap._tcp.example.com".into()));
}

#[test]
fn equal_inputs_give_equal_bytes_whatever_the_threads() {
    let fixture = fixture();
    let findings = fixture.path("scored");
    let more = ["--findings", text(&findings), "--region", "eu-central-1", "--threads"];
    for threads in ["1", "3"] {
        let out = format!("lake-{threads}");
        let again = fixture.export("today", &out, &[&more[..], &[threads]].concat());
        assert_eq!(again.code, 0, "{again:?}");
        assert!(files_below(&fixture.path("lake")) == files_below(&fixture.path(&out)), "{threads} threads");
    }
}

#[test]
fn filters_take_some_rows_and_their_findings() {
    let fixture = fixture();
    let (from, to) = (TODAY + 9 * HOUR, TODAY + 17 * HOUR);
    let (since, until, findings) = (store::rfc3339(from), store::rfc3339(to), fixture.path("scored"));
    let more = ["--since", &since, "--until", &until, "--host", "host1", "--region", "eu-central-1"];
    let report = fixture.export("today", "some", &[&more[..], &["--findings", text(&findings)]].concat()).json();
    for class in ["process_activity", "network_activity", "detection_finding"] {
        let inside = |event: &Value| {
            let time = event["time"].as_i64().expect("a time") * 1_000_000;
            event["device"]["hostname"] == "host1" && (from..to).contains(&time)
        };
        let sorted = |root: &str, wanted: &dyn Fn(&Value) -> bool| {
            let events = events(&fixture.path(root), class).into_iter().filter(wanted);
            let mut all: Vec<String> = events.map(|event| event.to_string()).collect();
            all.sort_unstable();
            all
        };
        let (some, wanted) = (sorted("some", &|_| true), sorted("lake", &inside));
        assert!(!some.is_empty() && some.len() < sorted("lake", &|_| true).len(), "{class}: {}", some.len());
        assert_eq!(some.len() as u64, total(&report, class));
        assert_eq!(some, wanted, "{class}");
    }
    let rows_of = |source: &store::Source| {
        let file = store::ArchiveFile::open(&source.path).expect("sound");
        let batches = file.batches(&["uid"], 100_000).expect("a column");
        let uids = batches.flat_map(|batch| {
            let batch = batch.expect("rows");
            batch.column(0).as_primitive::<arrow_array::types::UInt32Type>().values().to_vec()
        });
        uids.filter(|uid| *uid == 33).count() as u64
    };
    let rows: u64 = store::discover(&[fixture.path("today")]).expect("there are files").iter().map(rows_of).sum();
    let report = fixture.export("today", "where", &["--where", "uid = 33"]).json();
    assert_eq!(total(&report, "process_activity") + total(&report, "network_activity"), rows, "{report}");
    assert!(rows > 0);
}

#[test]
fn filters_of_an_export_that_cannot_be_meant() {
    let fixture = fixture();
    let with = |more: &[&str]| fixture.export("today", "none", more).error().to_owned();
    assert!(with(&["--where", "uidd = 0"]).contains("no input has a column uidd"));
    assert!(with(&["--host", "nobody"]).contains("no row of the sources passes host 'nobody'"));
    assert!(with(&["--since", "2031-01-01"]).contains("no row of the sources passes since 2031-01-01T00:00:00Z"));
    let (scored, out) = (fixture.path("scored"), fixture.path("none"));
    let args = ["export", "--findings", text(&scored), "--ocsf", "1.3", "--out", text(&out), "--where", "uid = 0"];
    assert!(ebbline(args).error().contains("a condition is asked of rows"));
    assert!(files_below(&out).is_empty());
}

#[test]
fn a_damaged_input_is_skipped_whole_and_named() {
    let fixture = fixture();
    let folder = tempfile::tempdir().expect("a folder for the test");
    let archive = folder.path().join("archive");
    own_rows::write(&archive);
    let sources = store::discover(&[&archive]).expect("there are files");
    let (good, bad) = (&sources[0].path, folder.path().join("bad.parquet"));
    let mut bytes = std::fs::read(good).expect("read");
    let middle = bytes.len() / 3;
    bytes[middle..middle + 64].fill(0xff);
    std::fs::write(&bad, &bytes).expect("written");
    let (out, normal) = (folder.path().join("lake"), fixture.path("normal.baseline"));
    let args = ["export", text(good), text(&bad), text(&normal), "--ocsf", "1.3", "--out", text(&out), "--json"];
    let ended = ebbline(args);
    assert_eq!(ended.code, 3, "{ended:?}");
    assert_eq!(ended.json()["skipped"].as_array().map(Vec::len), Some(2), "{ended:?}");
    assert_eq!(files_below(&out).len(), 1, "nothing of what is damaged, and no temporary file");
    let strict = ebbline(args.iter().chain(&["--strict"]));
    assert!(strict.error().starts_with("error: "), "{strict:?}");
}

#[test]
fn usage_is_told_in_a_line() {
    let fixture = fixture();
    let today = fixture.path("today");
    let inside = today.join("lake");
    let error = ebbline(["export", text(&today), "--ocsf", "1.3", "--out", text(&inside)]);
    assert!(error.error().contains("which is read; choose another folder"), "{error:?}");
    let _ = std::fs::remove_dir(&inside);
    let lake = fixture.path("lake-x");
    for wrong in [["--ocsf", "1.2", "--region", "a"], ["--ocsf", "1.3", "--region", "a/b"]] {
        let ended = ebbline(["export", text(&today), "--out", text(&lake)].iter().chain(&wrong));
        assert!(matches!(ended.code, 1 | 2), "{ended:?}");
    }
    assert!(!lake.exists(), "nothing was made");
}

/// The queries of docs/ocsf.md.
#[test]
fn duckdb_reads_the_lake_as_the_page_says() {
    let Some(python) = python("duckdb") else {
        return skip("duckdb_reads_the_lake_as_the_page_says: no duckdb; set EBBLINE_PYTHON to a Python that has it");
    };
    let page = include_str!("../../../docs/ocsf.md");
    let queries: Vec<&str> = page.split("```sql\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(queries.len(), 3, "the page has three queries");
    for query in queries {
        let script = "import duckdb, json, sys; print(json.dumps([[str(v) for v in row] for row in duckdb.sql(sys.argv[1]).fetchall()]))";
        let answer = ended(Command::new(&python).args(["-c", script, query]).current_dir(fixture().folder.path()));
        let rows: Vec<Vec<String>> = serde_json::from_str(&answer.stdout).unwrap_or_else(|_| panic!("{answer:?}"));
        assert!(!rows.is_empty(), "{query}");
    }
}
