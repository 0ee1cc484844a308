//! Scoring on a cluster gives what one process gives, whoever is killed meanwhile.
//!
//! `EBBLINE_CLUSTER_KILLS` says how often to kill an executor (3; the figure in docs/verify.md is of 20).

mod common;

use std::fs;
use std::time::{Duration, Instant};

use common::{Cluster, Fixture, Process, Random, seconds, wait_until};

const LONGEST: Duration = Duration::from_secs(180);

fn args(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

fn records(fixture: &Fixture, out: &str) -> u64 {
    let names = fs::read_dir(fixture.at(out)).into_iter().flatten().flatten();
    let finished = names.filter(|entry| entry.file_name().to_string_lossy().starts_with(".finished-"));
    finished.filter_map(|entry| entry.metadata().ok()).map(|found| found.len()).sum()
}

/// Sidecars that have their names, while others come.
fn sidecars(fixture: &Fixture, out: &str) -> usize {
    let (mut count, mut folders) = (0, vec![fixture.at(out).join("scores")]);
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
            match path.is_dir() {
                true => folders.push(path),
                false => count += usize::from(path.extension().is_some_and(|end| end == "parquet")),
            }
        }
    }
    count
}

/// Waits for a `submit` that must go well.
fn finish(submit: &mut Process) {
    let mut code = None;
    wait_until("submit ends", LONGEST, || {
        code = submit.ended();
        code.is_some()
    });
    assert_eq!(code, Some(0));
}

#[test]
fn two_executors_write_what_one_process_writes() {
    let fixture = Fixture::new(60_000, 2, 3);
    let cluster = Cluster::start(fixture.folder.path(), 2);
    let start = Instant::now();
    let scored = cluster.submit(&args(&[fixture.score("out"), vec!["--json".into()]].concat()));
    eprintln!("{:?}", start.elapsed());
    assert_eq!(scored.code, 0, "{scored:?}");
    fixture.assert_whole("out");
    let run = &scored.json()["run"];
    let alone = tests::files_below(&fixture.at("whole"));
    let alone: serde_json::Value =
        serde_json::from_slice(&alone.iter().find(|(path, _)| path.ends_with("manifest.json")).unwrap().1).unwrap();
    for same in ["rows", "findings", "inputs_done", "hosts", "work", "backend", "rarer_than", "from", "until"] {
        assert_eq!(run[same], alone["runs"][0][same], "{same}");
    }
}

#[test]
fn executors_that_are_killed_cost_time_alone() {
    let kills: u64 = std::env::var("EBBLINE_CLUSTER_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(3);
    let fixture = Fixture::new(120_000, 3, 3);
    let mut cluster = Cluster::start(fixture.folder.path(), 2);
    let mut random = Random(kills);
    for round in 0..kills {
        let out = format!("out-{round}");
        let start = Instant::now();
        let mut submit = cluster.begin(&args(&fixture.score(&out)), "submit.log");
        let after = random.below(fixture.whole.len() as u64 * 9 / 10) as usize;
        wait_until("some sidecars", LONGEST, || sidecars(&fixture, &out) >= after);
        cluster.executors.swap_remove(random.below(2) as usize).kill();
        let killed = start.elapsed();
        cluster.start_executor(&["--backend", "cpu"]);
        finish(&mut submit);
        eprintln!("round {round}: killed after {after} sidecars and {killed:.1?}, done after {:.1?}", start.elapsed());
        fixture.assert_whole(&out);
        fs::remove_dir_all(fixture.at(&out)).unwrap();
    }
}

#[test]
fn who_submitted_can_be_killed_and_the_next_takes_over_what_is_finished() {
    let fixture = Fixture::new(60_000, 2, 3);
    let cluster = Cluster::start(fixture.folder.path(), 2);
    let submit = cluster.begin(&args(&fixture.score("out")), "submit.log");
    wait_until("some parts are written down", LONGEST, || records(&fixture, "out") > 20_000);
    submit.kill();
    let (written, had) = (records(&fixture, "out"), sidecars(&fixture, "out"));
    assert!(written > 20_000 && had < fixture.whole.len(), "{written} {had}");
    let mut again = cluster.begin(&args(&fixture.score("out")), "submit.log");
    finish(&mut again);
    fixture.assert_whole("out");
    // What was finished was not handed out again.
    let manifest = fs::read_to_string(fixture.at("out/manifest.json")).unwrap();
    let alone = fs::read_to_string(fixture.at("whole/manifest.json")).unwrap();
    let keys = |text: &str| {
        let manifest: serde_json::Value = serde_json::from_str(text).unwrap();
        manifest["runs"][0]["work"]["keys"].as_u64().unwrap()
    };
    assert!(keys(&manifest) < keys(&alone), "{} {}", keys(&manifest), keys(&alone));
}

#[test]
fn a_scheduler_that_is_killed_can_be_started_again() {
    let fixture = Fixture::new(60_000, 2, 3);
    let mut cluster = Cluster::start(fixture.folder.path(), 2);
    let mut submit = cluster.begin(&args(&fixture.score("out")), "submit.log");
    wait_until("some sidecars", LONGEST, || sidecars(&fixture, "out") > 20);
    cluster.scheduler.take().unwrap().kill();
    std::thread::sleep(Duration::from_secs(1));
    cluster.start_scheduler();
    finish(&mut submit);
    fixture.assert_whole("out");
}

#[test]
fn damaged_inputs_are_skipped_as_by_one_process() {
    let fixture = Fixture::new(20_000, 1, 2);
    let victim = &fixture.whole.iter().find(|(path, _)| path.starts_with("scores")).unwrap().0;
    let victim: std::path::PathBuf = victim.iter().skip(2).collect();
    let path = fixture.at("archive").join(victim);
    // Damage that only shows when rows are read: the footer is whole.
    let mut bytes = fs::read(&path).unwrap();
    bytes[8..200].fill(0x5a);
    fs::write(&path, bytes).unwrap();
    let options = archive::ScoreOptions { line: model::Line::RarerThan(50.0), ..archive::ScoreOptions::default() };
    let baseline = model::Baseline::load(&fixture.at("a.baseline")).unwrap();
    let alone =
        archive::score(&[fixture.at("archive")], &baseline, &fixture.at("alone"), &options, &archive::Silent).unwrap();
    assert_eq!(alone.run.inputs_skipped.len(), 1);
    let cluster = Cluster::start(fixture.folder.path(), 1);
    let scored = cluster.submit(&args(&[fixture.score("out"), vec!["--json".into()]].concat()));
    assert_eq!(scored.code, 3, "{scored:?}");
    let skipped = serde_json::to_value(&alone.run.inputs_skipped).unwrap();
    assert_eq!(scored.json()["run"]["inputs_skipped"], skipped);
    assert_eq!(common::outputs(&fixture.at("out")), common::outputs(&fixture.at("alone")));
    let strict = cluster.submit(&args(&[fixture.score("strict"), vec!["--strict".into()]].concat()));
    assert_eq!(strict.code, 1, "{strict:?}");
}

/// `EBBLINE_CLUSTER_ROWS` rows (20,000) on 8 hosts and 6 days, which are 48 splits: the figure in docs/verify.md is of
/// 20,000,000.
#[test]
fn forty_eight_splits_have_equal_digests() {
    let rows: u64 = std::env::var("EBBLINE_CLUSTER_ROWS").ok().and_then(|n| n.parse().ok()).unwrap_or(20_000);
    let fixture = Fixture::new(rows, 8, 6);
    let cluster = Cluster::start(fixture.folder.path(), 2);
    let (start, before) = (Instant::now(), seconds(std::process::id()));
    let scored = cluster.submit(&args(&fixture.score("out")));
    let submit = seconds(std::process::id())[1] - before[1];
    let others = cluster.executors.iter().chain(&cluster.scheduler).map(Process::seconds).sum::<f64>();
    let (took, used) = (start.elapsed(), submit + others);
    eprintln!(
        "{rows} rows: two executors of one task each {took:.1?}, {used:.1} s of processors, {submit:.1} of them submit"
    );
    assert_eq!(scored.code, 0, "{scored:?}");
    fixture.assert_whole("out");
    if rows > 1_000_000 {
        let bytes =
            |name: &str| tests::files_below(&fixture.at(name)).iter().map(|(_, file)| file.len()).sum::<usize>();
        let baseline = fs::metadata(fixture.at("a.baseline")).unwrap().len();
        eprintln!("archive {} bytes, results {}, baseline {baseline}", bytes("archive"), bytes("out"));
        for threads in [1, 2] {
            let (start, before) = (Instant::now(), seconds(std::process::id()));
            fixture.alone(&format!("alone-{threads}"), threads);
            let (took, used) = (start.elapsed(), seconds(std::process::id())[0] - before[0]);
            eprintln!("one process of {threads} threads {took:.1?}, {used:.1} s of processors");
        }
    }
}
