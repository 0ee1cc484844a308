//! Findings to incidents with the real binary: what must hold end to end.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ebbline_tests::{Ended, bin, ebbline, write_plenty};
use serde_json::Value;
use store::ArchiveFile;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

fn text(path: &Path) -> &str {
    path.to_str().expect("test paths are UTF-8")
}

/// The recording of the demo, learned and scored.
struct Recording {
    folder: tempfile::TempDir,
    archive: PathBuf,
}

impl Recording {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let recording = Path::new(ROOT).join("tests/data/recording");
        let (learn, archive) = (recording.join("learn"), recording.join("live"));
        let baseline = folder.path().join("b.baseline");
        let learned = ebbline(["learn", text(&learn), "--out", text(&baseline)]);
        assert_eq!(learned.code, 0, "{learned:?}");
        let this = Self { folder, archive };
        let out = this.out();
        let args =
            ["score", text(&this.archive), "--baseline", text(&baseline), "--out", text(&out), "--rarer-than", "32"];
        assert_eq!(ebbline(args).code, 0);
        this
    }

    fn out(&self) -> PathBuf {
        self.folder.path().join("scored")
    }

    fn run(&self, verb: &str, more: &[&str]) -> Ended {
        let out = self.out();
        let args = ["incident", verb, text(&out)];
        ebbline(args.iter().chain(more).chain(&["--archive", text(&self.archive)]))
    }

    fn list(&self) -> Value {
        self.run("list", &["--json", "--all"]).json()
    }

    fn written(&self) -> Vec<u8> {
        std::fs::read(self.out().join("incidents/all.parquet")).expect("it was written")
    }
}

/// Every `rows` below a value, with the text beside.
fn sentences<'a>(value: &'a Value, into: &mut Vec<(&'a str, &'a Vec<Value>)>) {
    match value {
        Value::Object(object) => {
            if let Some(rows) = object.get("rows").and_then(Value::as_array) {
                let text = object.get("text").or_else(|| object.get("why")).and_then(Value::as_str);
                into.push((text.unwrap_or_default(), rows));
            }
            object.values().for_each(|value| sentences(value, into));
        }
        Value::Array(array) => array.iter().for_each(|value| sentences(value, into)),
        _ => {}
    }
}

#[test]
fn a_recording_is_told_with_rows_that_are_there() {
    let recording = Recording::new();
    let listed = recording.list();
    let incidents = listed["incidents"].as_array().expect("a list");
    let findings: usize = incidents.iter().map(|one| one["findings"].as_array().unwrap().len()).sum();
    let shown = ebbline(["show", text(&recording.out()), "--json", "--all"]).json();
    assert_eq!(findings, shown["findings"].as_array().unwrap().len(), "every finding is in one incident");
    assert!(!incidents.is_empty() && incidents.len() <= findings);
    let bits: Vec<f64> = incidents.iter().map(|one| one["bits"].as_f64().unwrap()).collect();
    assert!(bits.is_sorted_by(|a, b| a >= b));
    // Nothing of the recording's host is settled after one day.
    assert!(
        listed["coverage"].as_array().unwrap().iter().any(|gap| gap["kind"] == "learning"),
        "{}",
        listed["coverage"]
    );

    let mut rows_of: BTreeMap<String, u64> = BTreeMap::new();
    for incident in incidents {
        let id = incident["id"].as_str().unwrap();
        let told = recording.run("show", &[id, "--json"]).json();
        assert_eq!((&told["id"], &told["rank"]), (&incident["id"], &incident["rank"]));
        let narrative = &told["narrative"];
        for part in ["title", "summary", "timeline", "root", "reasons", "harmless", "checks", "techniques"] {
            assert!(!narrative[part].as_array().unwrap().is_empty(), "{part} of {id}: {narrative}");
        }
        assert_eq!(narrative["title"][0]["text"], incident["title"], "one title everywhere");
        let evidence = narrative["evidence"].as_array().expect("a list");
        let mut said = Vec::new();
        sentences(narrative, &mut said);
        assert!(said.iter().all(|(_, rows)| rows.iter().all(|row| evidence.contains(row))), "{id}: {evidence:?}");
        for (text, rows) in said {
            assert!(!text.is_empty() && !rows.is_empty(), "{id}: {text:?} has no row");
            for row in rows {
                let file = row["file"].as_str().unwrap();
                let rows = rows_of.entry(file.to_owned()).or_insert_with(|| {
                    ArchiveFile::open(&recording.archive.join(file)).expect("a file of the archive").rows()
                });
                assert!(row["row"].as_u64().unwrap() < *rows, "{file}: {row}");
            }
        }
    }
    // Jobs of users who are new differ in nothing else, and their shell is no news.
    let titles: Vec<&str> = incidents.iter().map(|one| one["title"].as_str().unwrap()).collect();
    let mut distinct = titles.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), titles.len(), "{titles:#?}");
    let of_user = titles.iter().position(|title| title.starts_with("New user ")).expect("a user who is new");
    let suggested = |at: usize| {
        let told = recording.run("show", &[incidents[at]["id"].as_str().unwrap(), "--json"]).json();
        let ids = told["narrative"]["techniques"].as_array().unwrap().iter().map(|one| one["id"].clone());
        ids.collect::<Vec<Value>>()
    };
    assert!(suggested(0).contains(&"T1059.004".into()), "{:?}", suggested(0));
    assert!(!suggested(of_user).contains(&"T1059.004".into()), "{:?}", suggested(of_user));
    // In words, too, and by the beginning of the id.
    let id = incidents[0]["id"].as_str().unwrap();
    let told = recording.run("show", &[&id[..6]]);
    for part in
        ["Summary", "What happened", "Where it began", "Why it is unusual", "Harmless if", "Check next", "suggestions"]
    {
        assert!(told.stdout.contains(part), "{part}: {told:?}");
    }
}

#[test]
fn again_is_the_same_file_and_what_is_asked_wrongly_is_one_line() {
    let recording = Recording::new();
    assert!(recording.run("show", &["00000000"]).error().contains("no incidents"));
    recording.list();
    let first = recording.written();
    recording.list();
    assert!(first == recording.written(), "equal findings, archive and incidents give an equal file");
    assert!(recording.run("show", &["zzzz"]).error().contains("no such incident"));
    assert!(recording.run("show", &[""]).error().contains("no such incident"));
    assert!(ebbline(["incident", "list", "/nonexistent"]).error().contains("findings"));

    // Without the archive everything is still grouped, by what findings say, and what is missing is said.
    let out = recording.out();
    let alone = ebbline(["incident", "list", text(&out), "--json"]).json();
    assert!(alone["coverage"].as_array().unwrap().iter().any(|gap| gap["kind"] == "unread"), "{}", alone["coverage"]);
    assert!(!alone["incidents"].as_array().unwrap().is_empty());
    // Incidents are no source.
    assert!(store::discover(&[&out]).is_err(), "nothing in results is read as an archive");

    let path = out.join("incidents/all.parquet");
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    assert!(recording.run("list", &[]).error().contains("all.parquet"));
    assert!(recording.run("show", &["0000"]).error().contains("all.parquet"));
}

#[test]
fn tables_of_others_are_told_by_entity_and_reasons() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let log = workload::foreign::Log::named("authentication").expect("a log");
    let at = |name: &str| folder.path().join(name);
    for place in ["learn", "today"] {
        std::fs::create_dir(at(place)).unwrap();
    }
    let name = |name: &str| format!("{name}.{}", log.written.extension());
    for day in 0..5 {
        std::fs::write(at("learn").join(name(&format!("day{day}"))), log.text(&log.day(1, day, 500))).unwrap();
    }
    std::fs::write(at("today").join(name("odd")), log.text(&log.odd_day(1, 5, 500))).unwrap();
    let (baseline, out) = (at("b.baseline"), at("out"));
    let learned = ebbline(["learn", text(&at("learn")), "--lens", "authentication", "--out", text(&baseline)]);
    assert_eq!(learned.code, 0, "{learned:?}");
    let scored =
        ebbline(["score", text(&at("today")), "--baseline", text(&baseline), "--out", text(&out), "--rarer-than", "2"]);
    assert_eq!(scored.code, 0, "{scored:?}");
    let today = at("today");
    let listed = ebbline(["incident", "list", text(&out), "--archive", text(&today), "--json"]).json();
    let first = &listed["incidents"][0];
    let id = first["id"].as_str().expect("an incident");
    let told = ebbline(["incident", "show", text(&out), id, "--archive", text(&today), "--json"]).json();
    let narrative = &told["narrative"];
    assert!(first["root"]["key"].is_null(), "there are no processes: {first}");
    for part in ["title", "summary", "timeline", "reasons", "harmless", "checks"] {
        assert!(!narrative[part].as_array().unwrap().is_empty(), "{part}: {narrative}");
    }
    let mut said = Vec::new();
    sentences(narrative, &mut said);
    assert!(said.iter().all(|(_, rows)| !rows.is_empty()));
}

/// A million in `cargo xtask soak`.
#[test]
fn plenty_of_findings_take_little_time_and_memory() {
    let wanted = std::env::var("EBBLINE_FINDINGS").ok().and_then(|text| text.parse().ok()).unwrap_or(20_000usize);
    let folder = tempfile::tempdir().expect("a folder for the test");
    let number = write_plenty(folder.path(), wanted, 4, 2);
    assert!(number * 10 >= wanted * 9, "{number} trees are too few");
    let (out, archive) = (folder.path().join("scored"), folder.path().join("archive"));
    let mut command = Command::new(bin("ebbline"));
    command.args(["incident", "list", text(&out), "--archive", text(&archive), "--json"]).stdout(Stdio::piped());
    let start = Instant::now();
    let mut child = command.spawn().expect("it starts");
    let mut stdout = child.stdout.take().expect("a pipe");
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        std::io::Read::read_to_string(&mut stdout, &mut text).map(|_| text)
    });
    let mut peak = 0;
    let status = loop {
        peak = peak.max(peak_kib(child.id()).unwrap_or(0));
        if let Some(status) = child.try_wait().expect("it can be waited for") {
            break status;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let seconds = start.elapsed().as_secs_f64();
    assert!(status.success());
    let listed: Value = serde_json::from_str(&reader.join().unwrap().unwrap()).expect("JSON");
    let first = listed["incidents"][0]["findings"].as_array().unwrap().len();
    let path = out.join("incidents/all.parquet");
    let (mut incidents, mut findings, mut largest) = (0, 0, 0);
    store::read_incidents(&path, |incident| {
        incidents += 1;
        findings += incident.findings.len();
        largest = largest.max(incident.findings.len());
        true
    })
    .expect("it was written");
    eprintln!(
        "{number} findings, {incidents} incidents, the largest of {largest}, the first of {first}: {seconds:.1} s, {} MiB at most",
        peak / 1024
    );
    assert_eq!(findings, number);
    assert!(incidents * 2 < findings, "a tree goes on from hour to hour");
    if let Ok(keep) = std::env::var("EBBLINE_PLENTY_KEEP") {
        std::fs::rename(folder.path(), keep).expect("kept");
    }
    assert!(peak < 1024 * 1024, "{peak} KiB");
    assert!(seconds < 60.0, "{seconds} s");
}

/// The most memory a process had so far.
fn peak_kib(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
