//! `ebbline baseline`: what is in one, what is normal, joining and forgetting.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use ebbline_tests::{ebbline, write_archive};
use workload::columns::archive;

struct Fixture {
    folder: tempfile::TempDir,
    /// Two hosts, two days.
    normal: PathBuf,
    /// The same hosts, other rows, under the same key.
    today: PathBuf,
}

fn fixture() -> &'static Fixture {
    static FIXTURE: OnceLock<Fixture> = OnceLock::new();
    FIXTURE.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let learn = |name: &str, seed: u64, more: &[&str]| {
            let (source, out) = (folder.path().join(format!("{name}-rows")), folder.path().join(name));
            write_archive(&source, archive(seed, 6_000, 2, 2));
            let line = ["learn", text(&source), "--out", text(&out)];
            let learned = ebbline(line.iter().chain(more));
            assert_eq!(learned.code, 0, "{learned:?}");
            out
        };
        let normal = learn("normal.baseline", 3, &[]);
        let today = learn("today.baseline", 4, &["--key-of", text(&normal)]);
        learn("foreign.baseline", 4, &[]);
        Fixture { normal, today, folder }
    })
}

fn text(path: &Path) -> &str {
    path.to_str().expect("test paths are UTF-8")
}

fn out() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let path = folder.path().join("out.baseline");
    (folder, path)
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).expect("it can be read")
}

#[test]
fn a_merge_is_undone_byte_for_byte() {
    let (Fixture { normal, today, .. }, (_folder, joined)) = (fixture(), out());
    let merge = |first: &Path, second: &Path, out: &Path| {
        ebbline(["baseline", "merge", text(first), text(second), "--out", text(out), "--json"])
    };
    let merged = merge(normal, today, &joined).json();
    assert!(merged["segments_added"].as_u64() > Some(0) && merged["segments_removed"] == 0, "{merged}");
    assert_eq!(merged["rows_without_evidence"], 0);
    let (_other_folder, backwards) = out();
    merge(today, normal, &backwards);
    assert_eq!(read(&joined), read(&backwards), "the order leaves no trace");
    // In place, as the help shows it.
    let path = text(&joined);
    let undone = ebbline(["baseline", "forget", path, "--what-came-from", text(today), "--out", path]);
    assert_eq!(undone.code, 0, "{undone:?}");
    assert_eq!(read(&joined), read(normal));
    assert_eq!(fs::read_dir(joined.parent().expect("a folder")).expect("listed").count(), 1, "nothing temporary");
    let none = ebbline(["baseline", "forget", path, "--what-came-from", text(today), "--out", path]);
    assert!(none.error().contains("nothing in baseline"), "{none:?}");
    assert_eq!(read(&joined), read(normal), "a failure changes nothing");
}

#[test]
fn hosts_and_days_are_forgotten() {
    let (Fixture { normal, .. }, (_folder, less)) = (fixture(), out());
    let forget = |what: &[&str]| {
        let line = ["baseline", "forget", text(normal), "--out", text(&less), "--json"];
        ebbline(line.iter().chain(what))
    };
    let shown = ebbline(["baseline", "show", text(normal), "--segments", "--json"]).json();
    let segments = shown["segment_list"].as_array().expect("a list").clone();
    let (host, day) = (segments[0]["host"].as_str().expect("a host"), segments[0]["day"].as_str().expect("a day"));
    let of_host = segments.iter().filter(|s| s["host"] == host).count();
    assert_eq!(forget(&["--host", host]).json()["segments_removed"], of_host);
    let left = ebbline(["baseline", "show", text(&less), "--segments", "--json"]).json();
    assert!(left["segment_list"].as_array().expect("a list").iter().all(|s| s["host"] != host));
    let of_both = segments.iter().filter(|s| s["host"] == host && s["day"] == day).count();
    let one_day = forget(&["--host", host, "--from", day, "--to", day]).json();
    assert_eq!(one_day["segments_removed"], of_both);
    let id = segments[0]["id"].as_str().expect("an id");
    assert_eq!(forget(&["--segment", id]).json()["segments_removed"], 1);
    fs::remove_file(&less).expect("removed");
    assert!(forget(&["--host", "nowhere"]).error().contains("learned nothing from it"));
    assert!(forget(&["--segment", "0000"]).error().contains("none of this id"));
    assert!(forget(&["--from", "2000-01-01"]).error().contains("nothing would be left"));
    assert_eq!(forget(&[]).code, 2, "usage: what?");
    assert_eq!(forget(&["--from", "yesterday"]).code, 2);
    assert!(!less.exists(), "nothing is written by what fails");
}

#[test]
fn what_cannot_be_joined_is_said_with_what_to_do() {
    let (Fixture { normal, folder, .. }, (_folder, out)) = (fixture(), out());
    let foreign = folder.path().join("foreign.baseline");
    let merged = ebbline(["baseline", "merge", text(normal), text(&foreign), "--out", text(&out)]);
    assert!(merged.error().contains("--key-of"), "{merged:?}");
    let compared = ebbline(["baseline", "diff", text(normal), text(&foreign)]);
    assert!(compared.error().contains("--key-of"), "{compared:?}");
    assert_eq!(ebbline(["baseline", "merge", text(normal), "--out", text(&out)]).code, 2, "one is not two");
    assert!(!out.exists());
    let notes = folder.path().join("notes.txt");
    fs::write(&notes, "mine").expect("written");
    let over = ebbline(["baseline", "merge", text(normal), text(normal), "--out", text(&notes)]);
    assert!(over.error().contains("left as it is"), "{over:?}");
    assert_eq!(read(&notes), b"mine");
}

#[test]
fn what_is_normal_is_listed_in_words() {
    let Fixture { normal, .. } = fixture();
    let views = ebbline(["baseline", "common", text(normal), "--json"]).json();
    assert!(views["views"].as_array().expect("a list").iter().any(|v| v["view"] == "exe given parent"), "{views}");
    let common = |more: &[&str]| {
        let line = ["baseline", "common", text(normal), "--view", "exe given parent", "--limit", "1000", "--json"];
        ebbline(line.iter().chain(more))
    };
    let all = common(&[]).json();
    let children = all["children"].as_array().expect("a list");
    assert!(children.len() > 3 && all["unknown"] == 0, "{all}");
    assert_eq!(all["T"], children.len());
    let sum: u64 = children.iter().map(|c| c["rows"].as_u64().expect("rows")).sum();
    assert_eq!(all["rows"], sum);
    assert!(children.iter().all(|c| c["n"] == c["hosts"]), "the fleet counts hosts: {all}");
    let parents = ["baseline", "common", text(normal), "--view", "parent given exe", "--json"];
    let parents = ebbline(parents).json();
    let parent = parents["children"][0]["what"].as_str().expect("words").to_owned();
    assert!(parent.starts_with("parent_exe=/"), "{parent}");
    let given = common(&["--given", &parent]).json();
    assert!(given["children"].as_array().expect("a list").len() <= children.len());
    assert!(given["rows"].as_u64() < all["rows"].as_u64(), "{given}");
    let segments = ebbline(["baseline", "show", text(normal), "--segments", "--json"]).json();
    let host = segments["segment_list"][0]["host"].as_str().expect("a host");
    let of_host = common(&["--host", host]).json();
    assert!(of_host["children"].as_array().expect("a list").iter().all(|c| c["n"] == c["rows"]), "a host counts rows");
    let printed = ebbline(["baseline", "common", text(normal), "--view", "exit given exe"]);
    assert!(printed.stdout.contains("exit_code=") && printed.stdout.contains("exit_signal="), "{printed:?}");

    assert!(common(&["--given", "user=33"]).error().contains("parent_exe, user; parent_exe; nothing"));
    let slip = common(&["--given", "parent_exe=/no/such"]);
    assert!(slip.error().contains("nothing was learned of any host given parent_exe=/no/such"), "{slip:?}");
    let unknown = ebbline(["baseline", "common", text(normal), "--view", "no such"]);
    assert!(unknown.error().contains("no table has a view"), "{unknown:?}");
}

#[test]
fn what_differs_is_told_by_view() {
    let (Fixture { normal, today, .. }, (_folder, joined)) = (fixture(), out());
    let same = ebbline(["baseline", "diff", text(normal), text(normal)]);
    assert!(same.stdout.contains("no view differs"), "{same:?}");
    ebbline(["baseline", "merge", text(normal), text(today), "--out", text(&joined)]);
    let diff =
        |a: &Path, b: &Path| ebbline(["baseline", "diff", text(a), text(b), "--json", "--limit", "100000"]).json();
    let (there, back) = (diff(normal, &joined), diff(&joined, normal));
    let views = there["views"].as_array().expect("a list");
    let came: usize = views.iter().map(|v| v["came"].as_array().expect("a list").len()).sum();
    assert!(came > 0, "{there}");
    for (there, back) in views.iter().zip(back["views"].as_array().expect("a list")) {
        assert_eq!(there["went"].as_array().map(Vec::len), Some(0), "a union loses nothing: {there}");
        let names = |list: &serde_json::Value| -> Vec<(String, String)> {
            let name = |c: &serde_json::Value| (c["context"].to_string(), c["child"].to_string());
            list.as_array().expect("a list").iter().map(name).collect()
        };
        assert_eq!(names(&there["came"]), names(&back["went"]));
    }
    let words = ebbline(["baseline", "diff", text(normal), text(&joined)]);
    assert!(words.stdout.contains("became normal: ") && words.stdout.contains(" rows, "), "{words:?}");
}

#[test]
fn compiling_in_another_way_can_be_undone() {
    let (Fixture { normal, .. }, (_folder, other)) = (fixture(), out());
    let segments = ebbline(["baseline", "show", text(normal), "--segments", "--json"]).json();
    let host = segments["segment_list"][0]["host"].as_str().expect("a host");
    let path = text(&other);
    let group = format!("web={host}");
    let line = ["baseline", "compile", text(normal), "--out", path, "--half-life", "30", "--group", &group, "--json"];
    let compiled = ebbline(line).json();
    assert_eq!((&compiled["half_life_days"], &compiled["groups"]["web"][0]), (&30.into(), &host.into()), "{compiled}");
    assert_ne!(read(&other), read(normal));
    let listed = ["baseline", "common", path, "--view", "exe given parent", "--group", "web", "--json"];
    let listed = ebbline(listed).json();
    assert_eq!(listed["hosts"], 1, "{listed}");
    let plain = ebbline(["baseline", "compile", path, "--plain", "--out", path]);
    assert_eq!(plain.code, 0, "{plain:?}");
    assert_eq!(read(&other), read(normal));
    assert_eq!(ebbline(["baseline", "compile", path, "--half-life", "0", "--out", path]).code, 2);
}
