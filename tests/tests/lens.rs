//! `ebbline lens`: what a lens sees, and drafts that work as they are.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use archive::{LearnOptions, Silent};
use arrow_array::{ArrayRef, RecordBatch, StringArray, TimestampSecondArray};
use ebbline_tests::ebbline;
use model::Lens;
use parquet::arrow::ArrowWriter;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;

fn text(path: &Path) -> &str {
    path.to_str().expect("test paths are UTF-8")
}

/// A made-up shop's requests: everything but the time is text, as logs have it.
fn requests(folder: &Path) -> PathBuf {
    const NAMES: [&str; 9] =
        ["user", "client_ip", "url", "status", "bytes", "host", "request_id", "comment", "version"];
    let row = |n: u64| {
        let mixed = n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 33;
        let user = mixed % 7;
        let page = ["cart", "item", "search"][(mixed / 7 % 3) as usize];
        [
            format!("user{user}"),
            format!("192.0.2.{user}"),
            format!("https://shop.example.com/{page}/{mixed}?id={n}"),
            if mixed.is_multiple_of(40) { "404".to_owned() } else { "200".to_owned() },
            format!("{}", mixed % 9_000),
            format!("web{}", mixed % 2),
            format!("{n:08x}-{:04x}a7", mixed % 65_536),
            ["hello there", "many thanks", "no"][(mixed / 90 % 3) as usize].to_owned(),
            "1".to_owned(),
        ]
    };
    let rows: Vec<[String; 9]> = (0..3_000).map(row).collect();
    let times = TimestampSecondArray::from_iter_values((0..3_000).map(|n| 1_790_000_000 + n * 86));
    let mut columns: Vec<(&str, ArrayRef)> = vec![("when", Arc::new(times))];
    for (at, name) in NAMES.iter().enumerate() {
        columns.push((name, Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &row[at])))));
    }
    let batch = RecordBatch::try_from_iter(columns).expect("columns of one length");
    let path = folder.join("requests.parquet");
    let table = KeyValue::new("ebbline.table".to_owned(), "requests".to_owned());
    let properties = WriterProperties::builder().set_key_value_metadata(Some(vec![table])).build();
    let file = fs::File::create(&path).expect("the table is made");
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).expect("a writer");
    writer.write(&batch).and_then(|()| writer.close().map(drop)).expect("the table is written");
    path
}

const LENS: &str = r#"table = "requests"
time = "when"
class = "status"
[fields]
user = { column = "user", kind = "user" }
url = { column = "url", kind = "url" }
request = { column = "request_id", kind = "id" }
version = { column = "version", kind = "id" }
[[views]]
name = "url given user"
when = ["200"]
child = ["url"]
context = [["request"], ["user"], []]
[[views]]
name = "request"
when = ["500"]
child = ["request"]
context = []
[[units]]
kind = "request"
key = ["request_id"]
window = "1h"
[[units]]
kind = "all"
key = ["version"]
window = "1h"
"#;

#[test]
fn a_draft_passes_its_check_and_can_be_learned() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let table = requests(folder.path());
    let draft = ebbline(["lens", "suggest", text(&table)]);
    assert_eq!(draft.code, 0, "{draft:?}");
    let has = |line: &str| assert!(draft.stdout.contains(line), "{line} is not in\n{}", draft.stdout);
    has("table = \"requests\"\ntime = \"when\"");
    has("[scopes]\nhost = \"host\"");
    has("# Whose habits: user.");
    has("user = { column = \"user\", kind = \"user\" }");
    has("client_ip = { column = \"client_ip\", kind = \"ip\" }");
    has("url_path = { column = \"url\", kind = \"url\", part = \"path\" }");
    has("status = { column = \"status\", kind = \"id\" }");
    has("bytes = { column = \"bytes\", kind = \"number\" }");
    has("name = \"status given user\"\nchild = [\"status\"]\ncontext = [[\"user\"], []]");
    has("or hold times of their own: request_id.");
    has("# version = { column = \"version\", kind = \"id\" }");
    has("[[units]]\nkind = \"user\"\nkey = [\"user\"]\nwindow = \"1h\"");
    let lens = folder.path().join("requests.toml");
    fs::write(&lens, &draft.stdout).expect("the draft is written");
    let checked = ebbline(["lens", "check", text(&lens), text(&table), "--json"]).json();
    assert_eq!(checked[0]["rows"], 3_000);
    let warnings = checked[0]["warnings"].as_array().expect("a list");
    assert!(warnings.is_empty(), "what a draft asks for says something: {warnings:?}");
    let lenses = Some(vec![Lens::parse(&draft.stdout).expect("a draft is a lens")]);
    let options = LearnOptions { lenses, ..LearnOptions::default() };
    let learned = archive::learn(&[&table], &options, &Silent).expect("it can be learned");
    assert_eq!(learned.rows, 3_000);
}

#[test]
fn a_check_shows_what_is_seen_and_warns_of_what_says_nothing() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let table = requests(folder.path());
    let lens = folder.path().join("lens.toml");
    fs::write(&lens, LENS).expect("the lens is written");
    let seen = ebbline(["lens", "check", text(&lens), text(&table), "--json"]).json();
    let url = seen[0]["fields"].as_array().expect("a list").iter().find(|f| f["field"] == "url").expect("it is there");
    assert_eq!(
        (url["kind"].as_str(), url["distinct"].as_u64(), url["nulls"].as_u64()),
        (Some("url shape"), Some(3), Some(0))
    );
    let example = url["example"][1].as_str().expect("a text");
    assert!(example.starts_with("https://shop.example.com/") && example.ends_with("/N?id"), "{example}");
    let warnings: Vec<&str> =
        seen[0]["warnings"].as_array().expect("a list").iter().filter_map(|w| w.as_str()).collect();
    for expected in [
        "field \"request\" has a new value in nearly every row: as the child of view \"request\"",
        "field \"version\" has one value in all rows",
        "view \"url given user\": its finest context is new in nearly every row",
        "view \"request\" applies to no row: there is no 500",
        "no view is for rows of class 404",
        "unit \"request\" has another key in nearly every row",
        "unit \"all\" has one key for all rows",
    ] {
        assert!(warnings.iter().any(|w| w.starts_with(expected)), "{expected} is not in {warnings:?}");
    }
    assert_eq!(warnings.len(), 7, "{warnings:?}");
    let words = ebbline(["lens", "check", text(&lens), text(&table)]);
    assert!(words.code == 0 && words.stdout.contains("warning: field \"version\""), "{words:?}");
}

#[test]
fn a_lens_that_cannot_read_the_table_is_an_error_that_names_the_nearest_column() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let table = requests(folder.path());
    let lens = folder.path().join("lens.toml");
    fs::write(&lens, LENS.replace("column = \"url\"", "column = \"ulr\"")).expect("the lens is written");
    let failed = ebbline(["lens", "check", text(&lens), text(&table)]);
    assert!(failed.error().contains("no column \"ulr\"; did you mean \"url\"?"), "{failed:?}");
    fs::write(&lens, LENS.replace("kind = \"url\"", "kind = \"ulr\"")).expect("the lens is written");
    let failed = ebbline(["lens", "check", text(&lens), text(&table)]);
    assert!(failed.error().contains("line 6, column 32: no kind \"ulr\"; did you mean \"url\"?"), "{failed:?}");
}

#[test]
fn built_in_lenses_are_listed_and_shown() {
    let names = ebbline(["lens", "list", "--json"]).json();
    let names: Vec<&str> = names.as_array().expect("a list").iter().filter_map(|lens| lens["name"].as_str()).collect();
    assert!(names.starts_with(&["process", "connection", "dns"]), "{names:?}");
    let shown = ebbline(["lens", "show", "process"]);
    assert!(shown.code == 0 && shown.stdout.starts_with("# What is normal"), "{shown:?}");
    let none = ebbline(["lens", "show", "proces"]);
    assert!(none.error().contains("did you mean process?"), "{none:?}");
}

/// A built-in lens with what docs/foreign.md says goes behind it: its nth block of a person.
fn with_person(folder: &Path, name: &str, nth: usize) -> String {
    let page = include_str!("../../docs/foreign.md");
    let blocks = page.split("```toml\n").filter_map(|rest| rest.split_once("```").map(|block| block.0));
    let block = blocks.filter(|block| block.starts_with("[fields.person]")).nth(nth).expect("the block is there");
    let path = folder.join(format!("people-{name}.toml"));
    let shown = ebbline(["lens", "show", name]).stdout;
    fs::write(&path, format!("{shown}\n{block}")).expect("a lens is written");
    text(&path).to_owned()
}

#[test]
fn the_example_of_who_is_who_makes_one_person_of_several_ids() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let [logins, mails, entities] =
        ["lenses/samples/authentication.csv", "lenses/samples/mail.jsonl", "docs/examples/entities.toml"]
            .map(|path| text(&root.join(path)).to_owned());
    let lenses = [with_person(folder.path(), "mail", 0), with_person(folder.path(), "authentication", 1)];
    let [people, ids] = ["people.baseline", "ids.baseline"].map(|name| text(&folder.path().join(name)).to_owned());
    let learn = ["learn", &logins, &mails, "--strict", "--lens", &lenses[0], "--lens", &lenses[1], "--out"];
    let learned = ebbline(learn.into_iter().chain([people.as_str(), "--entities", &entities]));
    assert_eq!(learned.code, 0, "{learned:?}");
    assert_eq!(ebbline(learn.into_iter().chain([ids.as_str()])).code, 0);

    let shown = ebbline(["baseline", "show", &people, "--json"]).json();
    assert_eq!(shown["entities"], serde_json::json!({ "names": 3, "ids": 10 }), "all of the example");
    let of = |baseline: &str, view: &str, person: &str| {
        let given = format!("person={person}");
        let found = ebbline(["baseline", "common", baseline, "--view", view, "--given", &given, "--json"]);
        if found.code == 0 { found.json()["N"].as_u64().expect("a count") } else { 0 }
    };
    // By the mapping ada has all that her address had; her address is nobody's any more.
    let written = of(&ids, "recipient given person", "ada@example.com");
    assert!(written > 0);
    assert_eq!(of(&people, "recipient given person", "ada"), written);
    assert_eq!(of(&people, "recipient given person", "ada@example.com"), 0);
    assert!(of(&people, "machine given person", "ada") > 0, "and the same name is at logins");

    let out = text(&folder.path().join("out")).to_owned();
    let score =
        |mapping: &str| ebbline(["score", &logins, "--baseline", &people, "--out", &out, "--entities", mapping]);
    assert_eq!(score(&entities).code, 0);
    let other = folder.path().join("other.toml");
    fs::write(&other, "[entity.eva]\nuser = \"ada\"\n").expect("written");
    assert!(score(text(&other)).error().contains("another mapping"));

    // What is learned onto it keeps to its lenses, with or without naming them.
    let onto = |lens: &str, out: &str| {
        let out = text(&folder.path().join(out)).to_owned();
        ebbline(["learn", logins.as_str(), "--lens", lens, "--onto", &people, "--out", &out])
    };
    assert_eq!(onto(&lenses[1], "same.baseline").code, 0);
    let refused = onto("authentication", "other.baseline");
    assert!(
        refused.error().contains("cannot use: authentication: ") && refused.error().contains("--onto"),
        "{refused:?}"
    );
    assert!(!folder.path().join("other.baseline").exists());

    let script = ebbline(["completions", "bash"]);
    assert!(script.code == 0 && script.stdout.contains("_ebbline()"), "{script:?}");
}
