//! What people say of incidents, with the real binary: dismissed, taken back, over, accepted, watched.

use std::path::{Path, PathBuf};

use ebbline_tests::{Ended, ebbline};
use serde_json::{Value, json};

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
        let this = Self { folder, archive: recording.join("live") };
        let learned = ebbline(["learn", text(&recording.join("learn")), "--out", text(&this.at("b.baseline"))]);
        assert_eq!(learned.code, 0, "{learned:?}");
        this.score("b.baseline", "scored", &[]);
        assert_eq!(this.run("list", &[]).code, 0);
        this
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.at(name)).expect("it was written")
    }

    /// The units of the findings, and how it ended.
    fn score(&self, baseline: &str, out: &str, more: &[&str]) -> (Vec<Value>, Ended) {
        let (baseline, out) = (self.at(baseline), self.at(out));
        let args = ["score", text(&self.archive), "--baseline", text(&baseline), "--out", text(&out)];
        let ended = ebbline(args.iter().chain(more).chain(&["--rarer-than", "32", "--backend", "cpu"]));
        assert_eq!(ended.code, 0, "{ended:?}");
        let shown = ebbline(["show", text(&out), "--json", "--all"]).json();
        let unit = |one: &Value| json!([one["unit_kind"], one["unit_key"], one["window"]]);
        let mut units: Vec<Value> = shown["findings"].as_array().unwrap().iter().map(unit).collect();
        units.sort_by_key(Value::to_string);
        (units, ended)
    }

    fn run(&self, verb: &str, more: &[&str]) -> Ended {
        let out = self.at("scored");
        let args = ["incident", verb, text(&out)];
        ebbline(args.iter().chain(more).chain(&["--archive", text(&self.archive)]))
    }

    fn list(&self, more: &[&str]) -> Value {
        self.run("list", &[&["--json", "--all"], more].concat()).json()
    }

    fn ids(&self, more: &[&str]) -> Vec<String> {
        let listed = self.list(more);
        listed["incidents"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
    }

    /// Incidents in the file that they are handed over to.
    fn handed_over(&self) -> usize {
        let (out, lines) = (self.at("scored"), self.at("lines.jsonl"));
        let ended = ebbline(["handover", text(&out), "--archive", text(&self.archive), "--to", text(&lines)]);
        assert_eq!(ended.code, 0, "{ended:?}");
        std::fs::read_to_string(lines).unwrap().lines().count()
    }

    fn feedback(&self) -> PathBuf {
        self.at("scored/incidents/feedback.jsonl")
    }
}

/// Without `rest` of the first element, if it is that.
fn without<T: PartialEq + Clone>(all: &[T], one: &T) -> Vec<T> {
    all.iter().filter(|other| *other != one).cloned().collect()
}

#[test]
fn a_dismissal_hides_what_it_names_and_nothing_else_until_it_is_taken_back() {
    let recording = Recording::new();
    let (found, _) = recording.score("b.baseline", "before", &[]);
    let ids = recording.ids(&[]);
    let id = ids[0].as_str();
    std::fs::copy(recording.at("b.baseline"), recording.at("c.baseline")).unwrap();
    let baseline = recording.at("c.baseline");
    let say = ["--why", "a rollout", "--owner", "ana", "--json"];
    let dismiss = [&[id, "--baseline", text(&baseline)], &say[..]].concat();

    let tried = recording.run("dismiss", &[&dismiss[..], &["--dry-run"]].concat()).json();
    assert_eq!(recording.bytes("b.baseline"), recording.bytes("c.baseline"), "nothing was done");
    assert!(!recording.feedback().exists());
    let effect = &tried["taught"]["effect"];
    assert_eq!((&effect["findings"], &effect["hidden"][0]["unit"]), (&json!(found.len()), &json!(id)), "{tried}");

    let done = recording.run("dismiss", &dismiss).json();
    assert_eq!(&done["taught"]["effect"], effect);
    assert_eq!((&effect["new"], &effect["accepted"], &effect["left"]), (&json!([]), &json!([]), &json!(0)));
    assert_eq!(recording.ids(&[]), without(&ids, &ids[0]));
    assert_eq!(recording.ids(&["--dismissed"]), ids);
    let coverage = recording.list(&[])["coverage"].clone();
    assert!(coverage.as_array().unwrap().iter().any(|gap| gap["kind"] == "dismissed"), "{coverage}");
    assert!(recording.run("show", &[id]).stdout.contains("dismissed by ana until"));

    // What was measured is what happens.
    let (left, _) = recording.score("c.baseline", "after", &[]);
    assert_eq!(left.len() + 1, found.len());
    assert!(left.iter().all(|unit| found.contains(unit)), "nothing is new");
    let shown = ebbline(["baseline", "show", text(&baseline), "--json"]).json();
    let said = &shown["dismissals"][0];
    assert_eq!((&said["incident"], &said["owner"], &said["why"]), (&json!(id), &json!("ana"), &json!("a rollout")));
    // After its day the baseline is what it was, and that is said.
    let (again, ended) = recording.score("c.baseline", "later", &["--as-of", "2099-01-01"]);
    assert_eq!(again, found);
    assert!(ended.stderr.contains("without the dismissal of incident"), "{ended:?}");

    // The word alone is taken back, then what it taught.
    assert_eq!(recording.run("undo", &[&[id], &say[..]].concat()).code, 0);
    let back = [&[id, "--baseline", text(&baseline)], &say[..]].concat();
    let undone = recording.run("undo", &back).json();
    assert_eq!(undone["taught"]["dismissals"], 1);
    assert_eq!(recording.bytes("b.baseline"), recording.bytes("c.baseline"), "byte for byte");
    assert_eq!(recording.ids(&[]), ids);
    let error = recording.run("undo", &back);
    assert!(error.error().contains("nothing to undo"), "{error:?}");
}

#[test]
fn of_many_who_dismiss_at_a_time_each_is_heard_or_refused() {
    let recording = Recording::new();
    let ids = recording.ids(&[]);
    let dismiss = |id: &String| {
        let baseline = recording.at("b.baseline");
        let more = [id.as_str(), "--baseline", text(&baseline), "--why", "a rollout", "--owner", "ana"];
        recording.run("dismiss", &more)
    };
    let ended: Vec<Ended> = std::thread::scope(|scope| {
        let all: Vec<_> = ids[..4].iter().map(|id| scope.spawn(move || dismiss(id))).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let heard = ended.iter().filter(|ended| ended.code == 0).count();
    let refused = ended.iter().filter(|ended| ended.code != 0).all(|ended| ended.error().contains("somebody else"));
    assert!(heard > 0 && refused, "{ended:?}");
    let shown = ebbline(["baseline", "show", text(&recording.at("b.baseline")), "--json"]).json();
    assert_eq!(shown["dismissals"].as_array().unwrap().len(), heard, "what was not refused is there");
    assert_eq!(recording.ids(&[]).len(), ids.len() - heard);
}

#[test]
fn a_dismissal_ends_on_its_day_and_when_something_is_added() {
    let recording = Recording::new();
    let ids = recording.ids(&[]);
    let say = ["--why", "a rollout", "--owner", "ana"];
    assert_eq!(recording.run("dismiss", &[&[ids[0].as_str()], &say[..]].concat()).code, 0);
    assert_eq!(recording.run("dismiss", &[&[ids[1].as_str()], &say[..]].concat()).code, 0);
    assert_eq!(recording.ids(&[]), ids[2..]);
    assert_eq!(recording.handed_over(), ids.len() - 2);
    // As if the first had been said long ago, and the second of a smaller incident.
    let lines = std::fs::read_to_string(recording.feedback()).unwrap();
    let mut opinions: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    opinions[0]["until"] = json!("2020-01-01");
    opinions[1]["units"] = json!(["0123456789ab"]);
    let lines: String = opinions.iter().map(|opinion| format!("{opinion}\n")).collect();
    std::fs::write(recording.feedback(), lines).unwrap();
    let listed = recording.list(&[]);
    let feedback = |at: usize| &listed["incidents"][at]["feedback"];
    assert_eq!((&feedback(0)["is_over"], &feedback(1)["units_since"]), (&json!(true), &json!(1)));
    assert_eq!(recording.ids(&[]), ids);
    assert_eq!(recording.handed_over(), ids.len(), "what is shown again is handed over");
    let words = recording.run("list", &[]).stdout;
    assert!(words.contains("which is over") && words.contains("something was added since"), "{words}");
}

#[test]
fn accepted_findings_are_not_hidden_unasked_and_what_is_said_wrongly_is_one_line() {
    let recording = Recording::new();
    let ids = recording.ids(&[]);
    let (id, say) = (ids[0].as_str(), ["--why", "a rollout", "--owner", "ana"]);
    assert_eq!(recording.run("accept", &[&[id], &say[..]].concat()).code, 0);
    assert_eq!(recording.run("watch", &[&[ids[1].as_str()], &say[..]].concat()).code, 0);
    let listed = recording.list(&[]);
    let verdicts: Vec<&Value> = (0..2).map(|at| &listed["incidents"][at]["feedback"]["verdict"]).collect();
    assert_eq!(verdicts, ["accepted", "watched"]);

    let baseline = recording.at("b.baseline");
    let teach = [&[id, "--baseline", text(&baseline)], &say[..]].concat();
    let before = recording.bytes("b.baseline");
    let refused = recording.run("dismiss", &teach);
    assert!(refused.error().contains("1 of them accepted") && refused.error().contains("--anyway"), "{refused:?}");
    // Nor when somebody says something else after, or the last run had another line.
    assert_eq!(recording.run("watch", &[&[id], &say[..]].concat()).code, 0);
    recording.score("b.baseline", "scored", &["--as-of", "2099-01-01"]);
    std::fs::remove_file(recording.at("scored/manifest.json")).unwrap();
    let refused = recording.run("dismiss", &teach);
    assert!(refused.error().contains("1 of them accepted"), "{refused:?}");
    let unmeasured = recording.run("dismiss", &[&teach[..], &["--unmeasured", "--dry-run"]].concat());
    assert!(unmeasured.stdout.contains("accepted incidents may be among"), "{unmeasured:?}");
    assert_eq!(before, recording.bytes("b.baseline"));
    assert_eq!(recording.run("dismiss", &[&teach[..], &["--anyway"]].concat()).code, 0);
    assert_ne!(before, recording.bytes("b.baseline"));
    let left: Vec<_> = std::fs::read_dir(recording.at("scored/incidents")).unwrap().flatten().collect();
    assert_eq!(left.len(), 2, "incidents and feedback, nothing temporary: {left:?}");

    for (args, want) in [
        (vec!["dismiss", "zzzz", "--why", "x", "--owner", "a"], "no such incident"),
        (vec!["dismiss", id, "--why", " ", "--owner", "a"], "say why"),
        (vec!["dismiss", id, "--why", "x", "--owner", "a", "--until", "2020-01-01"], "is over"),
        (vec!["accept", id, "--why", "x", "--owner", " "], "--owner"),
        (vec!["undo", ids[3].as_str(), "--why", "x", "--owner", "a"], "nothing to undo"),
        (vec!["dismiss", id, "--why", "x", "--owner", "a", "--baseline", "/nonexistent"], "no such file"),
    ] {
        let ended = recording.run(args[0], &args[1..]);
        assert!(ended.error().contains(want), "{args:?}: {ended:?}");
    }
    let good = r#"{"incident":"178bb0a18b7e","verdict":"watched","owner":"a","why":"x","at":"2026-11-23T03:19:18Z"}"#;
    let dismissed = good.replace("watched", "dismissed");
    for wrong in [
        r#"{"incident": 3}"#.to_owned(),
        "[\"178bb0a18b7e\",\"watched\",\"eve\",\"x\",\"now\",null,[],null]".to_owned(),
        dismissed.clone(),
        dismissed.replace("\"at\"", "\"until\":\"2027-02-31\",\"at\""),
        good.replace("2026-11-23T03:19:18Z", "now"),
        good.replace("\"x\"", &format!("{:?}", "x".repeat(3000))),
        good.replace('}', ""),
    ] {
        std::fs::write(recording.feedback(), format!("{good}\n\n{wrong}\n")).unwrap();
        let damaged = recording.run("list", &[]);
        assert!(damaged.error().contains("feedback.jsonl: line 3"), "{wrong}: {damaged:?}");
    }
    std::fs::write(recording.feedback(), b"\xff\n").unwrap();
    assert!(recording.run("list", &[]).error().contains("line 1: invalid utf-8"));
}
