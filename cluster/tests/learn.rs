//! Learning on a cluster gives the baseline that one process learns, whoever is killed meanwhile.

mod common;

use std::fs;
use std::path::Path;
use std::time::Duration;

use archive::{LearnOptions, Silent};
use common::{Cluster, Fixture, text, wait_until};
use model::Baseline;

/// What one process learns under the key of the fixture's baseline, as the file.
fn alone(fixture: &Fixture, sources: &Path, out: &str) -> Vec<u8> {
    let key = Baseline::load(&fixture.at("a.baseline")).unwrap().hash_key().clone();
    let options = LearnOptions { key: Some(key), ..LearnOptions::default() };
    let learned = archive::learn(&[sources], &options, &Silent).unwrap();
    learned.baseline.save(&fixture.at(out)).unwrap();
    fs::read(fixture.at(out)).unwrap()
}

fn learn<'a>(archive: &'a str, out: &'a str, key_of: &'a str) -> Vec<&'a str> {
    vec!["learn", archive, "--out", out, "--key-of", key_of]
}

#[test]
fn two_executors_count_what_one_process_counts() {
    let fixture = Fixture::new(60_000, 2, 4);
    let cluster = Cluster::start(fixture.folder.path(), 2);
    let (archive, key, out) = (fixture.at("archive"), fixture.at("a.baseline"), fixture.at("b.baseline"));
    let learned = cluster.submit(&learn(text(&archive), text(&out), text(&key)));
    assert_eq!(learned.code, 0, "{learned:?}");
    assert!(fs::read(&out).unwrap() == alone(&fixture, &archive, "c.baseline"));
    assert!(!fixture.at("b.baseline.learning").exists());
}

#[test]
fn files_that_say_no_host_and_day_are_counted_together() {
    let fixture = Fixture::new(20_000, 2, 2);
    // The same rows in folders that tell nothing, beside one whose path tells another day than its rows.
    let flat = fixture.at("flat");
    for (path, bytes) in tests::files_below(&fixture.at("archive")) {
        let name = path.iter().map(|part| part.to_string_lossy().replace('=', "-")).collect::<Vec<_>>().join("_");
        let folder = match name.contains("day-2026-11-03_host-host1") {
            true => flat.join("process/day=2026-11-02/host=host0"),
            false => flat.join("any"),
        };
        if name.starts_with("process") {
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join(name), bytes).unwrap();
        }
    }
    let cluster = Cluster::start(fixture.folder.path(), 1);
    let (key, out) = (fixture.at("a.baseline"), fixture.at("b.baseline"));
    let learned = cluster.submit(&learn(text(&flat), text(&out), text(&key)));
    assert_eq!(learned.code, 0, "{learned:?}");
    assert!(fs::read(&out).unwrap() == alone(&fixture, &flat, "c.baseline"));
}

#[test]
fn counts_of_a_killed_run_are_taken_over_and_an_executor_may_die() {
    let fixture = Fixture::new(120_000, 3, 4);
    let mut cluster = Cluster::start(fixture.folder.path(), 2);
    let (archive, key, out) = (fixture.at("archive"), fixture.at("a.baseline"), fixture.at("b.baseline"));
    let folder = fixture.at("b.baseline.learning");
    let counts = || {
        let names = fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.file_name());
        names.filter(|name| name.to_string_lossy().ends_with(".counts")).count()
    };
    let args = learn(text(&archive), text(&out), text(&key));
    let submit = cluster.begin(&args, "submit.log");
    wait_until("a count", Duration::from_secs(60), || counts() > 0);
    submit.kill();
    let before = counts();
    cluster.executors.swap_remove(0).kill();
    let learned = cluster.submit(&args);
    assert_eq!(learned.code, 0, "{learned:?}");
    assert!(before > 0);
    assert!(fs::read(&out).unwrap() == alone(&fixture, &archive, "c.baseline"));
}
