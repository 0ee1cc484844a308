//! Tables of other programs, from file to finding: each lens finds the one odd thing of a log, and says by which view.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use archive::{Choice, LearnOptions, Learned, ScoreOptions, Silent};
use arrow_array::{ArrayRef, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};
use ebbline_tests::{ebbline, files_below};
use model::{Baseline, HashKey, Line, builtin};
use parquet::arrow::ArrowWriter;
use workload::foreign::{self, LOGS, Log, LogRow};

/// Days that are learned; the next one is scored.
const DAYS: u32 = 5;
/// Rows of each day.
const ROWS: usize = 500;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

fn learn(sources: &[PathBuf], name: &str) -> Learned {
    let lenses = Some(vec![builtin::named(name).expect("a lens of this name")]);
    let options = LearnOptions { strict: true, key: Some(HashKey([7; 32])), lenses, ..LearnOptions::default() };
    archive::learn(sources, &options, &Silent).unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn score(sources: &[&Path], baseline: &Baseline, out: &Path) -> Vec<store::Finding> {
    let options = ScoreOptions {
        backend: Choice::Cpu.into(),
        line: Line::RarerThan(2.0),
        strict: true,
        ..ScoreOptions::default()
    };
    archive::score(sources, baseline, out, &options, &Silent).expect("scored").findings
}

/// A log in a folder of its own: days to learn, and the day with the oddity.
struct Written {
    folder: tempfile::TempDir,
    days: Vec<PathBuf>,
    odd: PathBuf,
}

impl Written {
    fn new(log: &Log) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let write = |name: String, rows: &[LogRow]| {
            let path = folder.path().join(format!("{name}.{}", log.written.extension()));
            std::fs::write(&path, log.text(rows)).expect("written");
            path
        };
        let days = (0..DAYS).map(|day| write(format!("day{day}"), &log.day(1, day, ROWS))).collect();
        let odd = write("today".to_owned(), &log.odd_day(1, DAYS, ROWS));
        Self { folder, days, odd }
    }
}

#[test]
fn every_lens_finds_the_odd_thing_and_says_why() {
    let names: Vec<&str> = builtin::names().skip(builtin::all().len()).collect();
    let mut failed = Vec::new();
    for name in &names {
        let log = Log::named(name).unwrap_or_else(|| panic!("there is no log for lens {name}"));
        let written = Written::new(&log);
        let learned = learn(&written.days, name);
        assert_eq!((learned.rows, learned.files), (u64::from(DAYS) * ROWS as u64, DAYS as usize), "{name}");
        let found = score(&[&written.odd], &learned.baseline, &written.folder.path().join("out"));
        let first = found.first().unwrap_or_else(|| panic!("{name}: nothing found"));
        // What nobody ever did costs the same in every view that sees it: such reasons are first together.
        let most = first.reasons.first().map_or(0.0, |reason| reason.bits);
        let views: Vec<&str> = first.reasons.iter().filter(|r| r.bits == most).map(|r| r.view.as_str()).collect();
        eprintln!(
            "{name}: 1 in 2^{:.1}, {:.1} bits, {} by {views:?}: {}",
            first.log2_n, first.bits, first.unit_key, first.title
        );
        let next = found.get(1).map_or(0.0, |finding| finding.bits);
        if first.unit_key != log.odd_unit || !views.contains(&log.odd_view) {
            failed.push(format!("{name}: {} by {views:?}, not {} by {}", first.unit_key, log.odd_unit, log.odd_view));
        }
        if first.bits < next * 1.25 {
            failed.push(format!("{name}: {} bits, the next has {next}", first.bits));
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
    assert_eq!(names.len(), LOGS.len(), "every log has a lens");
}

/// The samples are what the generator writes, so that people see what the tests learn.
#[test]
fn the_samples_are_of_the_generator_and_their_lenses_fit() {
    let lenses: Vec<_> = LOGS.iter().map(|log| builtin::named(log.name).expect("a lens")).collect();
    for log in &LOGS {
        let name = format!("{}.{}", log.name, log.written.extension());
        let path = Path::new(ROOT).join("lenses/samples").join(&name);
        let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(
            text == log.sample(),
            "{name}: write it again: cargo run -p ebbline-tests --example samples -- lenses/samples"
        );
        // With every lens at hand, the file still has one table.
        let options = LearnOptions {
            strict: true,
            key: Some(HashKey([7; 32])),
            lenses: Some(lenses.clone()),
            ..LearnOptions::default()
        };
        let learned = archive::learn(&[&path], &options, &Silent).unwrap_or_else(|e| panic!("{name}: {e}"));
        let tables: Vec<&str> = learned.baseline.lenses().map(model::Lens::table).collect();
        assert_eq!((tables, learned.rows), (vec![log.name.replace('-', "_").as_str()], 80), "{name}");
    }
}

/// Numbers of techniques are prose: what can be checked is their form, that they are few, and the matrix they are of. Those
/// of plants have numbers below 1000, and only there.
#[test]
fn every_lens_suggests_a_few_techniques_of_its_matrix() {
    for name in builtin::names() {
        let lens = builtin::named(name).expect("a lens");
        for view in lens.views() {
            let place = format!("{name}, view {:?}: {:?}", view.name, view.attack);
            let mut distinct = view.attack.clone();
            distinct.sort_unstable();
            distinct.dedup();
            assert!(distinct.len() == view.attack.len() && distinct.len() <= 3, "{place}");
            assert!(view.attack.iter().all(|id| id.starts_with("T0") == (name == "modbus")), "{place}");
        }
        let suggest = lens.views().iter().filter(|view| !view.attack.is_empty()).count();
        assert!(suggest * 10 >= lens.views().len() * 8, "{name}: {suggest} of {} views", lens.views().len());
    }
}

/// Every column as text, as a program that knows no types would write it.
fn parquet_of(rows: &[LogRow]) -> Vec<u8> {
    let columns = foreign::columns(rows);
    let fields: Vec<Field> = columns.iter().map(|(name, _)| Field::new(name, DataType::Utf8, true)).collect();
    let arrays = columns.into_iter().map(|(_, values)| Arc::new(StringArray::from(values)) as ArrayRef).collect();
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).expect("columns fit");
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).expect("a writer");
    writer.write(&batch).expect("written");
    writer.into_inner().expect("finished")
}

#[test]
fn equal_rows_teach_the_same_in_every_format() {
    // Not those whose lens has lists of words, which CSV cannot have.
    for name in ["zeek-conn", "zeek-dns", "modbus", "web-proxy", "mail", "llm-gateway", "cloud-trail", "sysmon"] {
        let log = Log::named(name).expect("a log");
        let folder = tempfile::tempdir().expect("a folder");
        let rows: Vec<LogRow> = (0..3).flat_map(|day| log.day(2, day, 200)).collect();
        let id = |file: &str, content: &[u8]| {
            let path = folder.path().join(file);
            std::fs::write(&path, content).expect("written");
            learn(&[path], name).baseline.id().to_owned()
        };
        let json = id("rows.jsonl", foreign::json_lines(&rows).as_bytes());
        assert_eq!(id("rows.csv", foreign::csv(&rows).as_bytes()), json, "{name}: CSV");
        assert_eq!(id("rows.parquet", &parquet_of(&rows)), json, "{name}: Parquet");
        assert_eq!(
            id(&format!("own.{}", log.written.extension()), log.text(&rows).as_bytes()),
            json,
            "{name}: its own"
        );
    }
}

#[test]
fn rows_have_their_places_in_sidecars_findings_and_explanations() {
    let log = Log::named("authentication").expect("a log");
    let written = Written::new(&log);
    let at = |name: &str| written.folder.path().join(name).to_str().expect("UTF-8").to_owned();
    let (lens, baseline) = (at("mine.toml"), at("normal.baseline"));
    std::fs::write(&lens, builtin::source(log.name).expect("a lens")).expect("written");
    let days: Vec<String> = written.days.iter().map(|day| day.to_str().expect("UTF-8").to_owned()).collect();
    let learned = ebbline(
        ["learn", "--lens", &lens, "--out", &baseline, "--json"].into_iter().chain(days.iter().map(String::as_str)),
    );
    assert_eq!(learned.json()["rows"], u64::from(DAYS) * ROWS as u64);
    let today = written.odd.to_str().expect("UTF-8");
    let scored = ebbline(["score", today, "--baseline", &baseline, "--out", &at("out"), "--rarer-than", "4", "--json"]);
    let id = scored.json()["run"]["baseline"].as_str().expect("an id").to_owned();
    let sidecar =
        store::read_sidecar(&store::sidecar_path(Path::new(&at("out")), &id, "today.csv")).expect("a sidecar");
    assert_eq!(sidecar.len(), log.odd_day(1, DAYS, ROWS).len());
    let shown = ebbline(["show", &at("out"), "--json"]).json();
    let row = &shown["findings"].as_array().or(shown.as_array()).expect("findings")[0]["rows"][0];
    assert_eq!((row["file"].as_str(), row["table"].as_str()), (Some("today.csv"), Some("authentication")));
    let number = row["row"].as_u64().expect("a number");
    let explained = ebbline(["explain", today, &number.to_string(), "--baseline", &baseline, "--json"]).json();
    assert_eq!(explained["bits"], row["bits"]);
    assert_eq!(sidecar[number as usize].bits as f64, row["bits"].as_f64().expect("bits"));
    // The line in the file, counted as people count: a header, and from 1.
    let line = log.text(&log.odd_day(1, DAYS, ROWS)).lines().nth(number as usize + 1).expect("there").to_owned();
    assert!(line.contains("10.20.0.15") || line.contains("failure"), "{line}");
}

#[test]
fn a_file_goes_with_the_one_lens_whose_columns_it_has() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    let write = |name: &str, text: &str| std::fs::write(at(name), text).expect("written");
    let lens = |table: &str, column: &str| {
        format!(
            "table = {table:?}\ntime = \"t\"\n[fields]\na = {{ column = {column:?}, kind = \"id\" }}\n[[views]]\nname = \"a\"\nchild = [\"a\"]\ncontext = [[]]\n"
        )
    };
    write("one.toml", &lens("one", "a"));
    write("two.toml", &lens("two", "b"));
    write("three.toml", &lens("three", "a"));
    write("own.toml", &lens("one", "a"));
    write("a.csv", "t,a,c\n1,x,y\n2,y,z\n");
    write("b.csv", "t,b\n1,x\n");
    write("neither.csv", "t,c\n1,x\n");
    write("both.csv", "t,a,b\n1,x,y\n");
    let out = at("x.baseline");
    let learn = |files: &[&str], lenses: &[&str]| {
        let mut args: Vec<String> = vec!["learn".into(), "--out".into(), out.clone()];
        args.extend(files.iter().map(|file| at(file)));
        lenses.iter().for_each(|lens| args.extend(["--lens".to_owned(), at(lens)]));
        ebbline(args)
    };
    let both = learn(&["a.csv", "b.csv"], &["one.toml", "two.toml"]);
    assert!(both.code == 0 && both.stdout.contains("learned 3 rows from 2 files"), "{both:?}");
    let skipped = learn(&["a.csv", "neither.csv"], &["one.toml", "two.toml"]);
    assert_eq!(skipped.code, 3, "{skipped:?}");
    assert!(skipped.stderr.contains("neither.csv: its columns fit no lens; for table"), "{skipped:?}");
    assert!(skipped.stderr.contains("it lacks"), "{skipped:?}");
    for (files, lenses, expected) in [
        (&["both.csv"][..], &["one.toml", "two.toml"][..], "several lenses: one, two"),
        (&["a.csv"], &["one.toml", "three.toml"], "several lenses: one, three"),
        (&["a.csv"], &[], "name a lens for it with --lens"),
    ] {
        let wrong = learn(files, lenses);
        assert!(wrong.code == 1 && wrong.stderr.contains(expected), "{wrong:?}");
    }
    assert!(learn(&["a.csv"], &["one.toml", "own.toml"]).error().contains("two lenses: table one"));
    let unknown = ebbline(["learn", &at("a.csv"), "--out", &out, "--lens", "zeek-con"]);
    assert!(unknown.error().contains("no such lens: zeek-con") && unknown.error().contains("zeek-conn"), "{unknown:?}");
    write("bad.toml", "table = \"x\"\ntime = 1\n");
    assert!(learn(&["a.csv"], &["bad.toml"]).error().contains("bad.toml: lens: line 2"));
    let folder_found = ebbline(["learn", folder.path().to_str().expect("UTF-8"), "--out", &at("y.baseline")]);
    assert!(
        folder_found.error().contains("no Parquet file found"),
        "without a lens, text is left alone: {folder_found:?}"
    );
}

#[test]
fn a_damaged_file_is_named_with_its_line_and_teaches_nothing() {
    let log = Log::named("zeek-conn").expect("a log");
    let written = Written::new(&log);
    let text = log.text(&log.day(1, 9, 40));
    let folder = written.folder.path();
    let out = folder.join("x.baseline");
    let learn = |strict: bool| {
        let mut args = vec![
            "learn",
            folder.to_str().expect("UTF-8"),
            "--lens",
            "zeek-conn",
            "--out",
            out.to_str().expect("UTF-8"),
        ];
        args.extend(strict.then_some("--strict"));
        ebbline(args)
    };
    let bad = folder.join("bad.jsonl");
    let lines: Vec<&str> = text.lines().collect();
    let long = format!("{{\"ts\":1,\"service\":\"{}\"}}", "x".repeat(10 << 20));
    let deep = format!("{{\"ts\":1,\"x\":{}", "[".repeat(1 << 16));
    for (wrong, expected) in [
        (lines[20][..30].to_owned(), "line 21: byte 30"),
        (lines[20].replace("\"ts\":", "\"ts\":[{}],\"t\":"), "column ts: an object"),
        (lines[20].replace("\"ts\":", "\"ts\":\"x\",\"t\":"), "column ts: \"x\" is no time"),
        (long, "line 21: longer than 4 MiB"),
        (deep, "line 21: byte"),
    ] {
        let content = [&lines[..20], &[wrong.as_str()], &lines[20..]].concat().join("\n");
        std::fs::write(&bad, content).expect("written");
        let skipped = learn(false);
        assert_eq!(skipped.code, 3, "{expected}: {:.400}", format!("{skipped:?}"));
        let line = skipped.stderr.lines().find(|line| line.starts_with("skipped: ")).expect("it is named");
        assert!(line.contains(expected) && line.contains("bad.jsonl"), "{line:.400}");
        assert!(skipped.stdout.contains(&format!("from {} files", DAYS + 1)), "{skipped:?}");
    }
    std::fs::remove_file(&out).expect("removed");
    learn(true).error();
    assert!(!out.exists());
}

/// Scores of two samples as they are now: a change of the model, a lens or a reader shows.
#[test]
fn scores_of_two_samples_are_as_written_down() {
    for name in ["zeek-dns", "authentication"] {
        let log = Log::named(name).expect("a log");
        let written = Written::new(&log);
        let learned = learn(&written.days, name);
        let out = written.folder.path().join("out");
        let found = score(&[&written.odd], &learned.baseline, &out);
        let mut lines = vec![format!("baseline {}", learned.baseline.id())];
        let reason = |f: &store::Finding| f.reasons.first().map(|r| r.view.clone()).unwrap_or_default();
        lines.extend(
            found.iter().map(|f| format!("{} {} {:.4} {:.4} {}", f.unit_kind, f.unit_key, f.bits, f.log2_n, reason(f))),
        );
        let sidecars = files_below(&out.join("scores"));
        assert_eq!(sidecars.len(), 1);
        let rows = store::read_sidecar(&out.join("scores").join(&sidecars[0].0)).expect("a sidecar");
        let row = |(at, row): (usize, &store::SidecarRow)| format!("row {at} {:.4} {:.4}", row.bits, row.log2_n);
        lines.extend(rows.iter().enumerate().step_by(20).map(row));
        let text = lines.join("\n") + "\n";
        let path = Path::new(ROOT).join("tests/golden").join(format!("{name}.scores"));
        if std::env::var_os("EBBLINE_WRITE_GOLDEN").is_some() {
            std::fs::write(&path, &text).expect("written");
        }
        let golden = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(golden == text, "{name}: scores changed; if they should: EBBLINE_WRITE_GOLDEN=1 cargo test\n{text}");
    }
}
