//! Filters, many baselines at once, and inputs that fail on the way: each against what plainer runs give.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use ::archive::{Progress, ScoreOptions};
use arrow_array::cast::AsArray;
use arrow_array::types::UInt32Type;
use ebbline_tests::{Ended, ObjectServer, bin, ebbline, ended, files_below, skip, write_archive};
use store::{ArchiveFile, META_FILTER, discover, read_sidecar, sidecar_path};
use workload::columns::{FIRST_DAY, Part, archive};

const HOUR: i64 = 3_600_000_000_000;

/// Two hosts on three days, and baselines of each host.
struct Fixture {
    folder: tempfile::TempDir,
}

impl Fixture {
    fn at(&self, name: &str) -> String {
        text(&self.folder.path().join(name)).to_owned()
    }

    fn learn(&self, source: &str, name: &str, more: &[&str]) -> Ended {
        let (source, out, key) = (self.at(source), self.at(name), self.at("key.baseline"));
        ebbline(["learn", &source, "--out", &out, "--key-of", &key, "--json"].iter().chain(more))
    }

    fn score(&self, baselines: &[&str], out: &Path, more: &[&str]) -> Ended {
        let (source, out) = (self.at("all"), text(out).to_owned());
        let mut args = vec!["score".to_owned(), source, "--out".into(), out, "--backend".into(), "cpu".into()];
        args.extend(baselines.iter().flat_map(|name| ["--baseline".to_owned(), self.at(name)]));
        args.extend(["--rarer-than", "100"].iter().chain(more).map(|arg| (*arg).to_owned()));
        ebbline(args)
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("test paths are UTF-8")
}

fn parts() -> impl Iterator<Item = Part> {
    archive(5, 9_000, 2, 3)
}

fn fixture() -> &'static Fixture {
    static FIXTURE: OnceLock<Fixture> = OnceLock::new();
    FIXTURE.get_or_init(|| {
        let fixture = Fixture { folder: tempfile::tempdir().expect("a folder for the test") };
        write_archive(&fixture.folder.path().join("all"), parts());
        let learned = ebbline(["learn", &fixture.at("all"), "--out", &fixture.at("key.baseline")]);
        assert_eq!(learned.code, 0, "{learned:?}");
        assert_eq!(fixture.learn("all", "host0.baseline", &["--host", "host0"]).code, 0);
        fixture
    })
}

/// The rows of a part that are wanted, one after the other.
fn only(part: Part, wanted: impl Fn(&Part, usize) -> bool) -> Vec<Part> {
    let rows = (0..part.batch.num_rows()).filter(|row| wanted(&part, *row));
    rows.map(|row| Part { batch: part.batch.slice(row, 1), host: part.host.clone(), ..part }).collect()
}

fn time(part: &Part, row: usize) -> i64 {
    let column = part.batch.column_by_name("time").expect("every table has it");
    column.as_primitive::<arrow_array::types::TimestampNanosecondType>().value(row)
}

fn uid(part: &Part, row: usize) -> u32 {
    part.batch.column_by_name("uid").expect("both tables have it").as_primitive::<UInt32Type>().value(row)
}

#[test]
fn what_is_filtered_out_teaches_nothing() {
    let fixture = fixture();
    let until = FIRST_DAY + 30 * HOUR;
    let (since, until) = (store::rfc3339(FIRST_DAY + 7 * HOUR), store::rfc3339(until));
    type Wanted = fn(&Part, usize) -> bool;
    let cases: [(&str, &[&str], Wanted); 3] = [
        ("host", &["--host", "host1"], |part, _| part.host == "host1"),
        ("time", &["--since", &since, "--until", &until], |part, row| {
            (FIRST_DAY + 7 * HOUR..FIRST_DAY + 30 * HOUR).contains(&time(part, row))
        }),
        ("where", &["--where", "uid > 0 and (host = 'host0' or uid != 33)"], |part, row| {
            uid(part, row) > 0 && (part.host == "host0" || uid(part, row) != 33)
        }),
    ];
    for (name, more, wanted) in cases {
        write_archive(&fixture.folder.path().join(name), parts().flat_map(|part| only(part, wanted)));
        let (filtered, plain) = (fixture.learn("all", "filtered", more), fixture.learn(name, "plain", &[]));
        assert_eq!(filtered.json()["rows"], plain.json()["rows"], "{name}");
        assert_eq!(filtered.json()["id"], plain.json()["id"], "{name}");
        assert!(plain.json()["rows"].as_u64().is_some_and(|rows| (100..8_900).contains(&rows)), "{name}: {plain:?}");
    }
}

#[test]
fn rows_that_pass_keep_their_numbers_and_scores() {
    let fixture = fixture();
    let id = ebbline(["baseline", "show", &fixture.at("key.baseline"), "--json"]).json()["id"].clone();
    let id = id.as_str().expect("an id");
    let (whole, part) = (fixture.folder.path().join("whole"), fixture.folder.path().join("part"));
    assert_eq!(fixture.score(&["key.baseline"], &whole, &[]).code, 0);
    let filter = ["--since", "2026-11-03", "--until", "2026-11-03", "--host", "host0", "--where", "uid = 33"];
    let scored = fixture.score(&["key.baseline"], &part, &[&filter[..], &["--json"]].concat());
    let run = &scored.json()["run"];
    assert!(run["filter"].as_str().is_some_and(|filter| filter.contains("where \"uid\" = 33")), "{run}");
    let (mut rows, mut files) = (0, 0);
    for source in discover(&[fixture.at("all")]).expect("there are files") {
        let file = ArchiveFile::open(&source.path).expect("whole");
        let inside = source.relative.contains("day=2026-11-03/host=host0");
        let uids = file.batches(&["uid"], 100_000).expect("a column").next().expect("a batch").expect("rows");
        let uids = uids.column(0).as_primitive::<UInt32Type>();
        let wanted: Vec<u64> =
            (0..).zip(uids.values()).filter(|(_, uid)| inside && **uid == 33).map(|(at, _)| at).collect();
        let sidecar = sidecar_path(&part, id, &source.relative);
        assert_eq!(sidecar.exists(), !wanted.is_empty(), "{}", source.relative);
        if wanted.is_empty() {
            continue;
        }
        let found = read_sidecar(&sidecar).expect("a sidecar");
        assert_eq!(found.iter().map(|row| row.row).collect::<Vec<_>>(), wanted);
        let all = read_sidecar(&sidecar_path(&whole, id, &source.relative)).expect("a sidecar");
        for row in &found {
            let same = &all[row.row as usize];
            assert_eq!((row.row, row.bits, &row.reasons), (same.row, same.bits, &same.reasons));
        }
        let footer = ArchiveFile::open(&sidecar).expect("a sidecar").footer(META_FILTER);
        assert_eq!(footer.as_deref(), run["filter"].as_str());
        (rows, files) = (rows + found.len() as u64, files + 1);
    }
    assert!(files > 10, "only {files} files have such rows");
    assert_eq!((run["rows"].as_u64(), run["inputs_done"].as_array().map(Vec::len)), (Some(rows), Some(files)));
}

#[test]
fn filters_that_cannot_be_meant() {
    let fixture = fixture();
    let with = |more: &[&str]| fixture.score(&["key.baseline"], &fixture.folder.path().join("none"), more);
    assert!(with(&["--where", "uidd = 0"]).error().contains("no input has a column uidd"));
    assert!(
        with(&["--since", "2031-01-01"]).error().contains("no row of the sources passes since 2031-01-01T00:00:00Z")
    );
    assert!(with(&["--host", "nobody"]).error().contains("no row of the sources passes host 'nobody'"));
    assert!(fixture.learn("all", "x", &["--host", "nobody"]).error().contains("no row of the sources passes"));
    for (wrong, why) in [
        (["--where", "uid = "], "character 7: expected a number"),
        (["--since", "yesterday"], "use a day such as"),
        (["--until", "2026-02-30"], "use a day such as"),
    ] {
        let usage = with(&wrong);
        assert!(usage.code == 2 && usage.stderr.contains(why), "{usage:?}");
    }
    assert!(!fixture.folder.path().join("none").exists());
}

#[test]
fn a_store_lists_and_reads_only_what_can_pass() {
    let fixture = fixture();
    let server = ObjectServer::start(fixture.folder.path());
    let out = fixture.at("far.baseline");
    let args = ["learn", "s3://archive/all/", "--out", &out, "--key-of", &fixture.at("key.baseline"), "--json"];
    let filter = ["--since", "2026-11-04", "--host", "host1"];
    let mut command = Command::new(bin("ebbline"));
    let far = ended(command.args(args).args(filter).args(server.options()));
    assert_eq!(far.json()["id"], fixture.learn("all", "near.baseline", &filter).json()["id"]);
    let asked = server.asked();
    let reads = |text: &str| asked.iter().any(|request| request.method == "GET" && request.key.contains(text));
    assert!(reads("day=2026-11-04/host=host1") && !reads("day=2026-11-02") && !reads("host=host0"), "{asked:?}");
}

#[test]
fn many_baselines_give_what_each_gives_alone() {
    let fixture = fixture();
    let (both, alone) = (fixture.folder.path().join("both"), fixture.folder.path().join("alone"));
    let names = ["key.baseline", "host0.baseline"];
    let together = fixture.score(&names, &both, &["--json"]);
    let runs = together.json()["runs"].as_array().expect("a list").clone();
    for (name, run) in names.iter().zip(&runs) {
        let single = fixture.score(&[name], &alone, &["--json"]).json();
        for key in ["baseline", "rows", "findings", "rarer_than", "units_per_day", "hosts", "inputs_done"] {
            assert_eq!(run["run"][key], single["run"][key], "{name}: {key}");
        }
    }
    for kind in ["scores", "findings"] {
        let of = |out: &Path| files_below(&out.join(kind));
        assert!(of(&both) == of(&alone), "{kind} differ");
        assert!(!of(&both).is_empty());
    }
    assert_eq!(store::Manifest::load(&both).expect("a manifest").runs.len(), 2);
    let twice = fixture.score(&[names[0], names[0]], &both, &[]);
    assert!(twice.error().contains("the same baseline was given before"), "{twice:?}");
}

#[test]
fn a_table_that_one_baseline_knows_is_scored_against_that_one() {
    let fixture = fixture();
    let processes = fixture.learn("all/process", "process.baseline", &[]);
    let out = fixture.folder.path().join("unequal");
    let scored = fixture.score(&["process.baseline", "key.baseline"], &out, &["--json"]);
    assert_eq!(scored.code, 0, "{scored:?}");
    let runs = scored.json()["runs"].clone();
    assert_eq!(runs[0]["run"]["rows"], processes.json()["rows"]);
    assert!(runs[1]["run"]["rows"].as_u64() > runs[0]["run"]["rows"].as_u64(), "{runs}");
}

/// Takes a file away when the work begins, after every footer was read.
struct Vanishing(PathBuf);

impl Progress for Vanishing {
    fn total(&self, _rows: u64) {
        let _ = fs::remove_file(&self.0);
    }
}

#[test]
fn an_input_that_vanishes_on_the_way_is_named() {
    let fixture = fixture();
    let at = tempfile::tempdir().expect("a folder");
    write_archive(&at.path().join("some"), archive(7, 600, 1, 1));
    let source = at.path().join("some");
    let gone = discover(&[&source]).expect("there are files")[3].path.clone();
    let baseline = model::Baseline::load(Path::new(&fixture.at("key.baseline"))).expect("a baseline");
    let options = |strict| ScoreOptions { backend: ::archive::Choice::Cpu.into(), strict, ..ScoreOptions::default() };
    let content = fs::read(&gone).expect("read");
    let strict =
        ::archive::score(&[&source], &baseline, &at.path().join("strict"), &options(true), &Vanishing(gone.clone()));
    let error = strict.expect_err("it is gone").to_string();
    assert!(error.starts_with("cannot read: ") && error.contains(text(&gone)), "{error}");
    fs::write(&gone, content).expect("written");
    let scored =
        ::archive::score(&[&source], &baseline, &at.path().join("out"), &options(false), &Vanishing(gone.clone()));
    let run = scored.expect("the others are scored").run;
    let skipped: Vec<&str> = run.inputs_skipped.iter().map(|input| input.path.as_str()).collect();
    assert_eq!(skipped, [text(&gone)]);
    assert!(run.inputs_skipped[0].reason.contains("No such file"), "{:?}", run.inputs_skipped);
    assert!(run.inputs_done.len() > 3);
}

#[test]
fn what_may_not_be_read_is_named() {
    let at = tempfile::tempdir().expect("a folder");
    let everyone = |path: &Path, mode: &str| {
        let changed = Command::new("chmod").args(["-R", mode]).arg(path).status();
        assert!(changed.is_ok_and(|status| status.success()));
    };
    write_archive(&at.path().join("some"), archive(7, 600, 1, 1));
    fs::create_dir(at.path().join("out")).expect("made");
    fs::copy(fixture().at("key.baseline"), at.path().join("b.baseline")).expect("copied");
    everyone(at.path(), "a+rwX");
    let secret = discover(&[at.path().join("some")]).expect("there are files")[2].path.clone();
    everyone(&secret, "0");
    let nobody = |strict: &[&str]| {
        // For root, files of mode 0 are as others.
        let line = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
        let mut command = Command::new(line[0]);
        command
            .args(&line[1..])
            .arg(bin("ebbline"))
            .arg("score")
            .arg(at.path().join("some"))
            .args(["--backend", "cpu"]);
        command
            .arg("--baseline")
            .arg(at.path().join("b.baseline"))
            .arg("--out")
            .arg(at.path().join("out"))
            .args(strict);
        ended(&mut command)
    };
    let skipped = nobody(&[]);
    if skipped.stderr.contains("setpriv") {
        return skip("what_may_not_be_read_is_named: needs root and setpriv, and a target folder that others can read");
    }
    assert_eq!(skipped.code, 3, "{skipped:?}");
    let line = skipped.stderr.lines().find(|line| line.starts_with("skipped: ")).unwrap_or_default();
    assert!(line.contains(text(&secret)) && line.contains("Permission denied"), "{skipped:?}");
    let strict = nobody(&["--strict"]);
    assert!(strict.error().contains("Permission denied"), "{strict:?}");
}

#[test]
fn files_of_one_table_with_other_schemas_lie_side_by_side() {
    use arrow_array::{ArrayRef, Int64Array, RecordBatch};
    use parquet::{arrow::ArrowWriter, file::metadata::KeyValue, file::properties::WriterProperties};
    use std::sync::Arc;

    let fixture = fixture();
    let at = tempfile::tempdir().expect("a folder");
    write_archive(&at.path().join("mixed"), archive(7, 600, 1, 1).filter(|part| part.table == "process").take(3));
    let write = |name: &str, columns: Vec<(&str, ArrayRef)>| {
        let meta = vec![KeyValue::new("ebbline.table".to_owned(), "process".to_owned())];
        let properties = WriterProperties::builder().set_key_value_metadata(Some(meta)).build();
        let batch = RecordBatch::try_from_iter(columns).expect("columns fit");
        let file = fs::File::create(at.path().join("mixed").join(name)).expect("made");
        let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).expect("a writer");
        writer.write(&batch).expect("written");
        writer.close().expect("finished");
    };
    let any = discover(&[at.path().join("mixed")]).expect("there are files")[0].path.clone();
    let file = ArchiveFile::open(&any).expect("whole");
    let batch = file.batches(&["time", "host"], 10).expect("columns").next().expect("a batch").expect("rows");
    let numbers = || -> ArrayRef { Arc::new(Int64Array::from_iter_values(0..batch.num_rows() as i64)) };
    // What an earlier release did not write is missing there; what is of another type is an error.
    let (time, host) = (batch.column_by_name("time").expect("time"), batch.column_by_name("host").expect("host"));
    write("few.parquet", vec![("time", time.clone()), ("host", host.clone())]);
    write("other.parquet", vec![("time", numbers()), ("host", host.clone())]);
    write("more.parquet", vec![("time", time.clone()), ("host", host.clone()), ("of_tomorrow", numbers())]);
    let out = at.path().join("out");
    let (source, baseline) = (at.path().join("mixed"), fixture.at("key.baseline"));
    let scored = ebbline(["score", text(&source), "--baseline", &baseline, "--out", text(&out), "--backend", "cpu"]);
    let skipped: Vec<&str> = scored.stderr.lines().filter(|line| line.starts_with("skipped: ")).collect();
    assert_eq!(scored.code, 3, "{scored:?}");
    assert!(
        skipped.iter().any(|line| line.contains("other.parquet") && line.contains("wrong column type: ")),
        "{scored:?}"
    );
    let done = store::Manifest::load(&out).expect("a manifest").runs[0].inputs_done.len();
    assert_eq!(done + skipped.len(), 6, "{scored:?}");
}
