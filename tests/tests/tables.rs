//! Tables as people have them: rotated logs, hours without rows, times that mean something else than they seem to.

use std::fs;
use std::path::Path;

use ebbline_tests::{Ended, ebbline};

const LENS: &str = r#"table = "logins"
time = "time"
[fields]
user = { column = "user", kind = "user" }
door = { column = "door", kind = "id" }
[[views]]
name = "door given user"
child = ["door"]
context = [["user"], []]
[[units]]
kind = "user"
key = ["user"]
window = "1h"
"#;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let this = Self(tempfile::tempdir().expect("a folder for the test"));
        this.file("lens.toml", LENS);
        this
    }

    fn at(&self, name: &str) -> String {
        self.0.path().join(name).to_str().expect("UTF-8").to_owned()
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.at(name);
        fs::create_dir_all(Path::new(&path).parent().expect("a folder")).expect("made");
        fs::write(&path, content).expect("written");
        path
    }

    fn learn(&self, source: &str) -> Ended {
        ebbline(["learn", &self.at(source), "--lens", &self.at("lens.toml"), "--out", &self.at("x.baseline"), "--json"])
    }

    fn score(&self, source: &str) -> Ended {
        ebbline(["score", &self.at(source), "--baseline", &self.at("x.baseline"), "--out", &self.at("out"), "--json"])
    }
}

fn rows(day: u32) -> Vec<[String; 3]> {
    let row =
        |n: u32| [format!("2026-11-{day:02} {:02}:00:{n:02}", 8 + n % 4), format!("u{}", n % 5), format!("d{}", n % 3)];
    (0..60).map(row).collect()
}

fn json(day: u32) -> String {
    let line =
        |[time, user, door]: [String; 3]| format!("{{\"time\":\"{time}\",\"user\":\"{user}\",\"door\":\"{door}\"}}\n");
    rows(day).into_iter().map(line).collect()
}

fn csv(day: u32) -> String {
    rows(day).into_iter().fold("time,user,door\n".to_owned(), |text, row| text + &row.join(",") + "\n")
}

#[test]
fn a_folder_of_rotated_logs_is_read_whole_and_what_it_passes_over_is_said() {
    let folder = Folder::new();
    for (name, day) in [("audit.log", 14), ("audit.log.1", 13), ("audit.log-20261112", 12)] {
        folder.file(&format!("logs/{name}"), json(day));
    }
    folder.file("logs/audit.log.2", json(11));
    folder.file("logs/audit.log.xz", b"\xFD7zXZ\0 and more");
    let learned = folder.learn("logs");
    assert_eq!(learned.json()["files"], 4, "{learned:?}");
    assert_eq!(learned.code, 0, "{learned:?}");
    let said = format!("passed over 1 file by its name: {}; name it to read it", folder.at("logs/audit.log.xz"));
    assert_eq!(learned.stderr.lines().filter(|line| *line == said).count(), 1, "{learned:?}");
    let scored = folder.score("logs");
    assert!(scored.code == 0 && scored.stderr.contains(&said), "{scored:?}");
    let named = folder.learn("logs/audit.log.xz");
    assert!(named.stderr.contains("packed with xz, only gzip and zstd are read; unpack it"), "{named:?}");
}

#[test]
fn an_hour_without_rows_ends_well() {
    let folder = Folder::new();
    for (day, name) in [(11, "a"), (12, "b"), (13, "c")] {
        folder.file(&format!("past/{name}.csv"), csv(day));
    }
    folder.file("past/blank.csv", "");
    let learned = folder.learn("past");
    assert!(learned.code == 0 && learned.json()["rows"] == 180, "{learned:?}");
    for (name, content) in [("now.csv", ""), ("now.jsonl", ""), ("now.log", "\n"), ("head.csv", "time,user,door\n")] {
        folder.file(name, content);
        let scored = folder.score(name);
        assert_eq!(scored.code, 0, "{name}: {scored:?}");
        assert_eq!(scored.json()["run"]["inputs_skipped"].as_array().map_or(0, Vec::len), 0, "{name}: {scored:?}");
    }
}

#[test]
fn a_row_that_would_be_read_wrongly_ends_its_file() {
    let folder = Folder::new();
    folder.file("in/good.csv", csv(11));
    let bad = csv(12).replace("2026-11-12 09:00:01", "2026-11-12T09:00:01[Europe/Berlin]");
    for (bad, expected) in [
        (
            bad,
            "line 3: column time: \"2026-11-12T09:00:01[Europe/Berlin]\" is no time: names of time zones are not read",
        ),
        (csv(12).replace(",u1,", ",\"u1,"), "line 3: a quote is not closed before another in line 8"),
        (csv(12).replacen(",u1,", ",\"u1,", 1), "line 3: a quote is never closed"),
    ] {
        folder.file("in/bad.csv", bad);
        let learned = folder.learn("in");
        let skipped = learned.stderr.lines().find(|line| line.starts_with("skipped: ")).expect("it is named");
        assert!(learned.code == 3 && skipped.contains(expected) && skipped.contains("bad.csv"), "{learned:?}");
        assert_eq!(learned.json()["rows"], 60);
    }
}

#[test]
fn a_draft_without_a_time_says_what_to_fill_in() {
    let folder = Folder::new();
    let table = folder.file("doors.csv", csv(11).replace("time,", "moment,").replace("2026-11-11 ", "at "));
    let draft = ebbline(["lens", "suggest", &table]);
    assert!(draft.code == 0 && draft.stdout.contains("\n# time = \"…\"\n"), "{draft:?}");
    assert!(draft.stderr.contains("no column holds times in every row; fill in the line `time`"), "{draft:?}");
    let epochs = csv(11).replace("time,", "created_at,").replace("2026-11-11 08:00:", "17952697");
    let epochs: String = epochs.lines().filter(|line| !line.contains(':')).map(|line| format!("{line}\n")).collect();
    let draft = ebbline(["lens", "suggest", &folder.file("epochs.csv", epochs)]);
    assert!(draft.stdout.contains("\ntime = \"created_at\"\n") && draft.stderr.is_empty(), "{draft:?}");
}

#[test]
fn a_lens_without_units_is_warned_of_where_it_is_checked_and_learned() {
    let folder = Folder::new();
    folder.file("in.csv", csv(11));
    let warning = "no [[units]]: rows are scored, but nothing can be a finding";
    assert!(!folder.learn("in.csv").stderr.contains(warning));
    let lens = folder.file("lens.toml", LENS.split("[[units]]").next().expect("the rest"));
    let learned = folder.learn("in.csv");
    assert!(learned.code == 0 && learned.stderr.contains(&format!("warning: table logins: {warning}")), "{learned:?}");
    let checked = ebbline(["lens", "check", &lens, &folder.at("in.csv")]);
    assert!(checked.stdout.contains(&format!("warning: {warning}")), "{checked:?}");
}

#[test]
fn a_check_lists_columns_once_and_no_value_looks_like_a_row() {
    let folder = Folder::new();
    let (lens, table) = (folder.at("lens.toml"), folder.file("other.csv", "time,usr,dor,what,more\n1,a,b,c,d\n"));
    let failed = ebbline(["lens", "check", &lens, &table]);
    let expected = "no column \"door\"; did you mean \"dor\"?; no column \"user\"; did you mean \"usr\"?; there are";
    assert!(failed.error().contains(expected), "{failed:?}");
    assert_eq!(failed.error().matches("there are").count(), 1, "{failed:?}");
    let forged = folder.file("forged.csv", "time,user,door\n2026-11-11,\"x\nwarning: forged\x1b[2J\",\"1\n2\"\n");
    let checked = ebbline(["lens", "check", &lens, &forged]);
    assert!(checked.code == 0 && checked.stdout.contains("x\\nwarning: forged\\u{1b}[2J"), "{checked:?}");
    assert!(!checked.stdout.lines().any(|line| line.trim_start().starts_with("warning: forged")), "{checked:?}");
}
