//! Learn and score a generated archive with the real binary: what must hold end to end.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use ::archive::{Choice, LearnOptions, LiveFile, LiveScorer, ScoreOptions, Silent};
use ebbline_tests::{Ended, ebbline, files_below, write_archive};
use model::Line;
use store::{ArchiveFile, TableWriter, WriterOptions, discover, read_sidecar, sidecar_path};
use workload::columns::{FIRST_DAY, Part, archive, archive_from, intrusion};

const HOUR: i64 = 3_600_000_000_000;
const DAY: i64 = 24 * HOUR;
const TODAY: i64 = FIRST_DAY + 4 * DAY;

/// Four ordinary days that were learned, and one with an intrusion that was scored.
struct Fixture {
    folder: tempfile::TempDir,
    id: String,
}

impl Fixture {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn score(&self, out: &str, more: &[&str]) -> Ended {
        let (today, baseline, out) = (self.path("today"), self.path("normal.baseline"), self.path(out));
        let args = ["score", text(&today), "--baseline", text(&baseline), "--out", text(&out)];
        let cpu = if more.contains(&"--backend") { &[][..] } else { &["--backend", "cpu"] };
        ebbline(args.iter().chain(cpu).chain(more))
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("test paths are UTF-8")
}

fn today() -> impl Iterator<Item = Part> {
    archive_from(2, 12_000, 2, TODAY, 1).chain(intrusion("host1", TODAY + 15 * HOUR))
}

fn fixture() -> &'static Fixture {
    static FIXTURE: OnceLock<Fixture> = OnceLock::new();
    FIXTURE.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let at = |name: &str| folder.path().join(name);
        write_archive(&at("past"), archive(1, 60_000, 2, 4));
        write_archive(&at("today"), today());
        let learned = ebbline(["learn", text(&at("past")), "--out", text(&at("normal.baseline")), "--json"]);
        let id = learned.json()["id"].as_str().expect("an id").to_owned();
        let fixture = Fixture { folder, id };
        assert_eq!(fixture.score("scores", &["--threads", "1", "--rarer-than", "1000"]).code, 0);
        fixture
    })
}

#[test]
fn every_row_has_a_score() {
    let fixture = fixture();
    let sources = discover(&[fixture.path("today")]).expect("there are files");
    assert!(sources.len() > 48);
    for source in &sources {
        let file = ArchiveFile::open(&source.path).expect("it was just written");
        let sidecar = sidecar_path(&fixture.path("scores"), &fixture.id, &source.relative);
        let rows = read_sidecar(&sidecar).expect("each file has a sidecar");
        assert_eq!(rows.len() as u64, file.rows());
        for (at, row) in rows.iter().enumerate() {
            assert_eq!(row.row, at as u64);
            let reasons: f32 = row.reasons.iter().map(|reason| reason.1).sum();
            assert!(reasons <= row.bits, "{row:?}");
            assert!(row.reasons.is_sorted_by(|a, b| a.1 >= b.1), "{row:?}");
            assert_eq!((row.bits * 1024.0).fract(), 0.0, "exact multiples of 1/1024");
        }
        let digest = ArchiveFile::open(&sidecar).expect("a sidecar").footer(store::META_SOURCE_DIGEST);
        assert_eq!(digest, store::file_sha256(&source.path).ok());
    }
    let count = files_below(&fixture.path("scores").join("scores")).len();
    assert_eq!(count, sources.len(), "and nothing else is there");
}

#[test]
fn results_do_not_depend_on_threads() {
    let fixture = fixture();
    let more = fixture.score("scores-4", &["--threads", "4", "--rarer-than", "1000"]);
    assert_eq!(more.code, 0, "{more:?}");
    for kind in ["scores", "findings"] {
        let one = files_below(&fixture.path("scores").join(kind));
        let four = files_below(&fixture.path("scores-4").join(kind));
        assert_eq!(one.len(), four.len());
        for (a, b) in one.iter().zip(&four) {
            assert_eq!(a.0, b.0);
            assert!(a.1 == b.1, "{} differs", a.0.display());
        }
    }
}

#[test]
fn the_intrusion_is_on_top() {
    let fixture = fixture();
    let findings = ebbline(["show", text(&fixture.path("scores")), "--json"]).json();
    let top = &findings["findings"][0];
    assert_eq!(top["host"], "host1", "{top}");
    assert_eq!(top["unit_kind"], "process_tree");
    let all = top.to_string();
    assert!(all.contains("/dev/shm/.k"), "{top}");
    assert!(top["one_in"].as_f64().is_some_and(|n| n >= 1000.0), "{top}");
    let people = ebbline(["show", text(&fixture.path("scores"))]);
    assert_eq!(people.code, 0);
    assert!(people.stdout.contains("1 in ") && people.stdout.contains("/dev/shm"), "{}", people.stdout);
}

#[test]
fn explanations_add_up_to_the_bits() {
    let fixture = fixture();
    let findings = ebbline(["show", text(&fixture.path("scores")), "--json", "--all"]).json();
    let mut sidecars = BTreeMap::new();
    for finding in findings["findings"].as_array().expect("a list").iter().take(3) {
        let rows = finding["rows"].as_array().expect("a list");
        let sum: f64 = rows.iter().filter_map(|row| row["bits"].as_f64()).sum();
        assert_eq!(Some(sum), finding["bits"].as_f64(), "a unit's bits are those of its rows");
        let reasons: f64 =
            finding["reasons"].as_array().expect("a list").iter().filter_map(|r| r["bits"].as_f64()).sum();
        assert!(reasons <= sum, "reasons and other make up the bits");
        for row in rows {
            let (file, number) = (row["file"].as_str().expect("a path"), row["row"].as_u64().expect("a number"));
            let path = fixture.path("today").join(file);
            let baseline = fixture.path("normal.baseline");
            let args = ["explain", text(&path), &number.to_string(), "--baseline", text(&baseline), "--json"];
            let explained = ebbline(args).json();
            let views = explained["views"].as_array().expect("a list");
            let bits: f64 = views.iter().filter_map(|view| view["bits"].as_f64()).sum();
            assert_eq!(Some(bits), row["bits"].as_f64(), "views add up to the row: {explained}");
            let sidecar = sidecars.entry(file.to_owned()).or_insert_with(|| {
                read_sidecar(&sidecar_path(&fixture.path("scores"), &fixture.id, file)).expect("a sidecar")
            });
            let scored = &sidecar[number as usize];
            assert_eq!(f64::from(scored.bits), bits);
            for (reason, view) in scored.reasons.iter().zip(views) {
                assert_eq!(Some(reason.0.as_str()), view["view"].as_str());
                assert_eq!(Some(f64::from(reason.1)), view["bits"].as_f64());
            }
        }
    }
}

#[test]
fn the_manifest_tells_the_run() {
    let fixture = fixture();
    let manifest = store::Manifest::load(&fixture.path("scores")).expect("a manifest");
    let run = &manifest.runs[0];
    assert_eq!((run.command.as_str(), run.backend.as_str()), ("score", "cpu"));
    assert_eq!(run.baseline, fixture.id);
    assert_eq!(run.rows, run.inputs_done.iter().map(|input| input.rows).sum::<u64>());
    assert_eq!(run.work["sums"], run.rows, "every row was combined once");
    assert!(run.wall_seconds > 0.0);
}

#[test]
fn a_line_out_of_reach_is_said() {
    let fixture = fixture();
    let far = fixture.score("scores-far", &["--rarer-than", "1e15"]);
    assert_eq!(far.code, 0, "{far:?}");
    assert!(far.stderr.contains("out of reach: no process_tree can be rarer than 1 in "), "{}", far.stderr);
}

#[test]
fn a_part_of_an_archive_scores_as_in_the_whole() {
    let fixture = fixture();
    let part = fixture.path("today").join("process");
    let (baseline, out) = (fixture.path("normal.baseline"), fixture.path("scores-part"));
    let args = ["score", text(&part), "--baseline", text(&baseline), "--out", text(&out), "--backend", "cpu"];
    let scored = ebbline(args);
    assert_eq!(scored.code, 0);
    assert!(scored.stdout.contains("false alerts expected: 5.0 a day; last 7 days: "), "{scored:?}");
    let below = Path::new("scores").join(&fixture.id).join("process");
    let (whole, part) = (files_below(&fixture.path("scores").join(&below)), files_below(&out.join(&below)));
    assert!(whole == part, "sidecars depend on file and baseline alone");
}

/// Scores the rows of today as the agent does: batch by batch, while the files are being written.
fn score_live(fixture: &Fixture, root: &Path, out: &Path) -> Vec<store::Finding> {
    let baseline = Arc::new(model::Baseline::load(&fixture.path("normal.baseline")).expect("sound"));
    let opened =
        LiveScorer::new(baseline, &Choice::Cpu.into(), Line::RarerThan(1000.0), out.to_path_buf(), "host1", TODAY);
    let mut scorer = opened.expect("the CPU is there");
    let mut writers = BTreeMap::new();
    let complete = |writer: &mut TableWriter, scorer: &mut LiveScorer| {
        for file in writer.take_finished() {
            assert_eq!(scorer.file_finished(&file), LiveFile::Scored);
        }
    };
    for part in today() {
        let schema = part.batch.schema();
        let new = || TableWriter::new(root, part.table, &part.host, schema, WriterOptions::default());
        let writer = writers.entry((part.table, part.host.clone())).or_insert_with(new);
        for offset in (0..part.batch.num_rows()).step_by(37) {
            let batch = part.batch.slice(offset, 37.min(part.batch.num_rows() - offset));
            let placed = writer.write(&batch).expect("written");
            assert_eq!(scorer.score(part.table, &batch, &placed).expect("scored"), batch.num_rows() as u64);
        }
        complete(writer, &mut scorer);
    }
    for writer in writers.values_mut() {
        writer.finish().expect("written");
        complete(writer, &mut scorer);
    }
    scorer.write_findings(TODAY + 2 * DAY).expect("written")
}

#[test]
fn live_and_later_give_the_same() {
    let fixture = fixture();
    let at = tempfile::tempdir().expect("a folder for the test");
    let (root, out, again) = (at.path().join("archive"), at.path().join("live"), at.path().join("again"));
    std::fs::create_dir(&out).expect("made");
    let live = score_live(fixture, &root, &out);
    let baseline = fixture.path("normal.baseline");
    let args = ["score", text(&root), "--baseline", text(&baseline), "--out", text(&again), "--backend", "cpu"];
    assert_eq!(ebbline(args.iter().chain(&["--rarer-than", "1000"])).code, 0);
    assert!(files_below(&out.join("scores")) == files_below(&again.join("scores")), "sidecars are equal files");
    let later = store::read_all_findings(&again).expect("readable");
    assert!(!later.is_empty());
    assert_eq!(live, store::read_all_findings(&out).expect("readable"));
    let facts =
        |f: &store::Finding| (f.id.clone(), f.bits, f.log2_n, f.rows.clone(), f.title.clone(), f.reasons.clone());
    assert_eq!(live.iter().map(facts).collect::<Vec<_>>(), later.iter().map(facts).collect::<Vec<_>>());
}

#[test]
fn a_file_that_was_not_scored_says_why() {
    let fixture = fixture();
    let at = tempfile::tempdir().expect("a folder for the test");
    let baseline = Arc::new(model::Baseline::load(&fixture.path("normal.baseline")).expect("sound"));
    let opened =
        LiveScorer::new(baseline, &Choice::Cpu.into(), Line::RarerThan(1000.0), at.path().join("out"), "host1", TODAY);
    let mut scorer = opened.expect("the CPU is there");
    let part = today().find(|part| part.table == events::PROCESS).expect("there are processes");
    let options = WriterOptions::default();
    let mut writer = TableWriter::new(at.path(), part.table, &part.host, part.batch.schema(), options);
    let placed = writer.write(&part.batch).expect("written");
    let bare = part.batch.project(&[1]).expect("it has a second column");
    assert!(scorer.score(part.table, &bare, &placed).is_err(), "there is no time in it");
    writer.finish().expect("written");
    for file in writer.take_finished() {
        let LiveFile::Skipped(why) = scorer.file_finished(&file) else { panic!("it has no sidecar") };
        assert!(why.contains("time"), "{why}");
    }
}

#[test]
fn usage_errors_are_code_2() {
    for args in [&["score"][..], &["conquer"], &["learn", "x"], &["score", "x", "--backend", "quantum"]] {
        assert_eq!(ebbline(args).code, 2, "{args:?}");
    }
    let help = ebbline(["--help"]);
    assert_eq!(help.code, 0);
    assert!(help.stdout.contains("Examples:"));
}

#[test]
fn a_host_that_was_not_learned_is_named() {
    let fixture = fixture();
    let (three, baseline, out) =
        (fixture.path("three"), fixture.path("normal.baseline"), fixture.path("scores-of-three"));
    write_archive(&three, archive_from(3, 3_000, 3, TODAY, 1));
    let args = ["score", text(&three), "--baseline", text(&baseline), "--out", text(&out), "--backend", "cpu"];
    let scored = ebbline(args);
    assert_eq!(scored.code, 0, "{scored:?}");
    let named: Vec<&str> = scored.stderr.lines().filter(|line| line.contains("not in this baseline")).collect();
    assert!(matches!(named[..], [line] if line.contains("host2")), "{scored:?}");
    assert!(!fixture.score("scores-known", &[]).stderr.contains("not in this baseline"));
}

/// Ordinary rows and an intrusion in the hour after them, by a lens with fields that depend on earlier rows; the files are
/// small, so that an hour has several.
struct Ordered {
    folder: tempfile::TempDir,
    baseline: Arc<model::Baseline>,
}

impl Ordered {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let past = folder.path().join("past");
        write_archive(&past, archive(1, 12_000, 2, 3));
        let lens = model::Lens::parse(include_str!("../../docs/examples/lens.toml")).expect("the example is a lens");
        let key = Some(model::HashKey([5; 32]));
        let options = LearnOptions { lenses: Some(vec![lens]), key, ..LearnOptions::default() };
        let learned = ::archive::learn(&[past], &options, &Silent).expect("learned");
        assert!(!learned.skipped.is_empty(), "connections have no lens here");
        Self { folder, baseline: Arc::new(learned.baseline) }
    }

    /// Writes the rows and scores them meanwhile, by one scorer over all files.
    fn live(&self, root: &Path, out: &Path) -> Vec<store::Finding> {
        let opened = LiveScorer::new(
            self.baseline.clone(),
            &Choice::Cpu.into(),
            Line::RarerThan(1000.0),
            out.to_path_buf(),
            "host1",
            TODAY,
        );
        let mut scorer = opened.expect("the CPU is there");
        let mut writers = BTreeMap::new();
        let rows = archive_from(2, 6000, 2, TODAY, 1).chain(intrusion("host1", TODAY + 24 * HOUR));
        for part in rows.filter(|part| part.table == events::PROCESS) {
            let options = WriterOptions { rotate_bytes: 4096, max_row_group_rows: 32, ..WriterOptions::default() };
            let new = || TableWriter::new(root, part.table, &part.host, part.batch.schema(), options);
            let writer = writers.entry(part.host.clone()).or_insert_with(new);
            for offset in (0..part.batch.num_rows()).step_by(23) {
                let batch = part.batch.slice(offset, 23.min(part.batch.num_rows() - offset));
                let placed = writer.write(&batch).expect("written");
                scorer.score(part.table, &batch, &placed).expect("scored");
            }
        }
        for writer in writers.values_mut() {
            writer.finish().expect("written");
            for file in writer.take_finished() {
                assert_eq!(scorer.file_finished(&file), LiveFile::Scored);
            }
        }
        scorer.write_findings(TODAY + 2 * DAY).expect("written")
    }

    fn later(&self, root: &Path, out: &Path, threads: usize) -> Vec<store::Finding> {
        let line = Line::RarerThan(1000.0);
        let options = ScoreOptions { backend: Choice::Cpu.into(), threads, line, ..ScoreOptions::default() };
        ::archive::score(&[root], &self.baseline, out, &options, &Silent).expect("scored").findings
    }
}

#[test]
fn scores_do_not_depend_on_how_many_rows_are_scored_at_a_time() {
    let (fixture, folder) = (fixture(), tempfile::tempdir().expect("a folder"));
    let sources = folder.path().join("busy");
    write_archive(&sources, archive_from(3, 40_000, 1, TODAY, 1));
    let files = discover(&[&sources]).expect("there are files");
    let rows = |source: &store::Source| ArchiveFile::open(&source.path).expect("a file").rows();
    assert!(files.iter().map(rows).max() > Some(2 * 256), "some files are several batches");
    let score = |name: &str, more: &[&str]| {
        let (out, baseline) = (folder.path().join(name), fixture.path("normal.baseline"));
        let args = ["score", text(&sources), "--baseline", text(&baseline), "--out", text(&out), "--rarer-than", "50"];
        assert_eq!(ebbline(args.iter().chain(more)).code, 0);
        [files_below(&out.join("scores")), files_below(&out.join("findings"))]
    };
    let whole = score("whole", &["--backend", "cpu"]);
    assert!(whole.iter().all(|files| !files.is_empty()));
    for (name, size) in [("256", "256"), ("300", "300"), ("all", "1048576")] {
        assert!(score(name, &["--backend", "cpu", "--batch-rows", size]) == whole, "--batch-rows {size}");
    }
    for wrong in ["0", "255", "1048577", "many"] {
        assert_eq!(fixture.score("none", &["--batch-rows", wrong]).code, 2, "{wrong}");
    }
}

#[test]
fn what_depends_on_earlier_rows_is_the_same_live_and_later() {
    let ordered = Ordered::new();
    let at = |name: &str| ordered.folder.path().join(name);
    std::fs::create_dir(at("live")).expect("made");
    let live = ordered.live(&at("archive"), &at("live"));
    let sources = discover(&[at("archive")]).expect("there are files");
    assert!(sources.len() > 60, "{} files, more than hours and hosts", sources.len());
    let [one, four] = [1, 4].map(|threads| ordered.later(&at("archive"), &at(&format!("later{threads}")), threads));
    assert!(!one.is_empty() && one == four);
    for threads in ["later1", "later4"] {
        let equal = files_below(&at("live").join("scores")) == files_below(&at(threads).join("scores"));
        assert!(equal, "sidecars of {threads} are those of the live run");
    }
    let facts = |f: &store::Finding| (f.id.clone(), f.bits, f.rows.clone(), f.title.clone(), f.reasons.clone());
    // Of equals either may come first.
    let by_id = |all: &[store::Finding]| all.iter().map(|f| (f.id.clone(), facts(f))).collect::<BTreeMap<_, _>>();
    assert!(live.len() == one.len() && by_id(&live) == by_id(&one), "findings are those of the live run");
    let reasons = one.iter().flat_map(|finding| &finding.reasons);
    assert!(reasons.filter(|r| r.child.contains("programs=") || r.context.contains("exe_before=")).count() > 0);
    for row in one.iter().flat_map(|finding| &finding.rows).take(6) {
        let explained =
            ::archive::explain_row(&at("archive").join(&row.file), row.row, &ordered.baseline).expect("there");
        assert_eq!(store::bits_f32(explained.bits), row.bits, "{} row {}", row.file, row.row);
    }
}
