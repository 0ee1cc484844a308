//! Sources in a store, and sources by patterns: what is learned and scored is what the same files give on a disk.

use std::path::Path;
use std::process::Command;

use ebbline_tests::{Ended, ObjectServer, bin, ebbline, ended, files_below, write_archive};
use workload::columns::archive;

fn text(path: &Path) -> &str {
    path.to_str().expect("test paths are UTF-8")
}

/// An archive of three days, one ordinary baseline of it.
struct Fixture {
    folder: tempfile::TempDir,
    server: ObjectServer,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder for the test");
        write_archive(&folder.path().join("root/here"), archive(5, 12_000, 2, 3));
        let server = ObjectServer::start(&folder.path().join("root"));
        Self { folder, server }
    }

    fn at(&self, name: &str) -> String {
        text(&self.folder.path().join(name)).to_owned()
    }

    fn run(&self, args: &[&str]) -> Ended {
        self.run_with(args, &self.server.options())
    }

    fn run_with(&self, args: &[&str], options: &[String]) -> Ended {
        let mut command = Command::new(bin("ebbline"));
        command.args(args).args(options);
        ["AWS_ENDPOINT", "AWS_ENDPOINT_URL", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"].iter().for_each(
            |name| {
                command.env_remove(name);
            },
        );
        ended(&mut command)
    }
}

/// Columns of every file below a folder, in words; footers tell where the rows came from.
fn columns(root: &Path) -> Vec<(String, Vec<String>)> {
    let read = |(path, _): (std::path::PathBuf, Vec<u8>)| {
        let file = store::ArchiveFile::open(&root.join(&path)).expect("a whole file");
        let names: Vec<&str> = file.schema().fields().iter().map(|field| field.name().as_str()).collect();
        let batches =
            file.batches(&names, 8_192).expect("its columns").map(|batch| format!("{:?}", batch.expect("rows")));
        (path.to_string_lossy().into_owned(), batches.collect())
    };
    files_below(root).into_iter().map(read).collect()
}

#[test]
fn a_store_and_a_disk_give_equal_columns() {
    let fixture = Fixture::new();
    let (far, here) = (fixture.at("far.baseline"), fixture.at("here.baseline"));
    let learned = ebbline(["learn", &fixture.at("root/here"), "--out", &here, "--json"]);
    let again = fixture.run(&["learn", "s3://archive/here", "--out", &far, "--key-of", &here, "--json"]);
    assert_eq!(learned.json()["id"], again.json()["id"], "{again:?}");
    assert_eq!(learned.json()["rows"], again.json()["rows"]);

    let score = |source: &str, out: &str| {
        let out = fixture.at(out);
        fixture.run(&["score", source, "--baseline", &here, "--out", &out, "--backend", "cpu", "--rarer-than", "100"])
    };
    let local = score(&fixture.at("root/here"), "scored-here");
    assert_eq!(local.code, 0, "{local:?}");
    // With a pattern, from the folder itself, and by the single object: the names below are the archive's.
    for (source, out) in [("s3://archive/here/", "scored-far"), ("s3://archive/h*", "scored-pattern")] {
        let remote = score(source, out);
        assert_eq!(remote.code, 0, "{remote:?}");
        for kind in ["scores", "findings"] {
            let of = |out: &str| columns(&Path::new(&fixture.at(out)).join(kind));
            let (a, b) = (of("scored-here"), of(out));
            assert!(!a.is_empty());
            // The name of a findings file comes from the digests of its inputs, which a store gives in another way.
            match kind {
                "scores" => assert!(a == b, "{out}: scores differ"),
                _ => assert!(a.iter().map(|f| &f.1).eq(b.iter().map(|f| &f.1)), "{out}: findings differ"),
            }
        }
    }
}

#[test]
fn google_azure_and_plain_http_give_what_a_disk_gives() {
    let fixture = Fixture::new();
    let here = fixture.at("here.baseline");
    let learned = ebbline(["learn", &fixture.at("root/here"), "--out", &here, "--json"]);
    let (google, azure) = (fixture.server.google_options(), fixture.server.azure_options());
    for (url, options) in [("gs://archive/here", &google), ("az://archive/here", &azure)] {
        let far = fixture.at("far.baseline");
        let again = fixture.run_with(&["learn", url, "--out", &far, "--key-of", &here, "--json"], options);
        assert_eq!(again.code, 0, "{url}: {again:?}");
        assert_eq!(learned.json()["id"], again.json()["id"], "{url}");
    }
    // Of plain HTTP one file: there is nothing to ask for a listing.
    let (key, _) = files_below(&fixture.folder.path().join("root")).into_iter().next().expect("there are files");
    let one = |source: &str, out: &str| {
        let out = fixture.at(out);
        let ended = fixture.run_with(&["score", source, "--baseline", &here, "--out", &out, "--backend", "cpu"], &[]);
        assert_eq!(ended.code, 0, "{source}: {ended:?}");
        columns(&Path::new(&out).join("scores"))
    };
    let near = one(&fixture.at(&format!("root/{}", text(&key))), "one-here");
    let far = one(&fixture.server.http(text(&key)), "one-far");
    assert!(!near.is_empty());
    assert!(near == far, "http: scores differ");
}

#[test]
fn only_parts_of_large_objects_are_fetched() {
    let fixture = Fixture::new();
    let (key, content) = files_below(&fixture.folder.path().join("root"))
        .into_iter()
        .max_by_key(|(_, content)| content.len())
        .expect("there are files");
    let before = fixture.server.asked().len();
    let url = format!("s3://archive/{}", text(&key));
    let learned = fixture.run(&["learn", &url, "--out", &fixture.at("one.baseline")]);
    assert_eq!(learned.code, 0, "{learned:?}");
    let asked = fixture.server.asked().split_off(before);
    assert!(asked.iter().filter(|request| request.method == "GET").all(|request| request.range.is_some()), "{asked:?}");
    assert!(asked.iter().all(|request| request.key == text(&key)), "{asked:?}");
    assert!(content.len() > 10_000);
}

#[test]
fn what_cannot_be_reached_is_one_line() {
    let fixture = Fixture::new();
    let out = fixture.at("x.baseline");
    let missing = fixture.run(&["learn", "s3://archive/nowhere/", "--out", &out]);
    assert!(missing.error().contains("no such source: s3://archive/nowhere/"), "{missing:?}");
    let missing = fixture.run(&["learn", "s3://archive/h*/x*", "--out", &out]);
    assert!(missing.error().contains("nothing matches it"), "{missing:?}");
    let unknown = fixture.run(&["learn", "s4://archive/x", "--out", &out]);
    assert!(unknown.error().contains("cannot read: s4://archive/x"), "{unknown:?}");
    let secret = fixture.run(&["learn", "https://me:hunter2@127.0.0.1/x?y=hunter3", "--out", &out]);
    assert!(!secret.error().contains("hunter"), "{secret:?}");
    let mistyped = fixture.run(&["learn", "s3://archive/here", "--out", &out, "--option", "regoin=x"]);
    assert!(mistyped.error().contains("unknown option regoin"), "{mistyped:?}");
    drop(fixture.server);
    // Nobody listens at this address.
    let options =
        ["--option", "endpoint=http://127.0.0.1:9", "--option", "allow_http=true", "--option", "access_key_id=a"];
    let args = ["learn", "s3://archive/here", "--out", &out, "--option", "secret_access_key=b", "--option", "region=x"];
    let down = ebbline(args.iter().chain(&options));
    assert!(down.error().contains("cannot read: s3://archive/here: "), "{down:?}");
    assert!(!Path::new(&out).exists());
}

#[test]
fn a_pattern_is_expanded_where_no_shell_did() {
    let fixture = Fixture::new();
    let learn = |source: &str| {
        let out = fixture.at("pattern.baseline");
        ebbline(["learn", source, "--out", &out, "--json"]).json()["rows"].as_u64()
    };
    let all = learn(&fixture.at("root/here"));
    assert_eq!(learn(&fixture.at("root/*/**/*.parquet")), all);
    assert_eq!(learn(&fixture.at("root/h*/[cdp]*")), all);
    let nothing = ebbline(["learn", &fixture.at("root/*.csv"), "--out", &fixture.at("x")]);
    assert!(nothing.error().contains("nothing matches it"), "{nothing:?}");
}
