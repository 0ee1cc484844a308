//! Rows, scores and findings are joined by other programs with one line each: those of docs/joins.md give what the files hold.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use ebbline_tests::{ebbline, ended, python, skip, write_archive};
use store::{discover, read_all_findings, read_sidecar, sidecar_path};
use workload::columns::{FIRST_DAY, archive, intrusion};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// An archive of two hosts, scored in part; the id of the baseline, and the join in the form of `joins.py`.
struct Fixture {
    folder: tempfile::TempDir,
    id: String,
    joined: String,
}

fn fixture() -> &'static Fixture {
    static FIXTURE: OnceLock<Fixture> = OnceLock::new();
    FIXTURE.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let at = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
        let rows = archive(5, 4_000, 2, 2).chain(intrusion("host1", FIRST_DAY + 5_400_000_000_000));
        write_archive(&folder.path().join("archive"), rows);
        let learned = ebbline(["learn", &at("archive"), "--out", &at("normal.baseline"), "--json"]);
        let id = learned.json()["id"].as_str().expect("an id").to_owned();
        let args = ["score", &at("archive"), "--baseline", &at("normal.baseline"), "--out", &at("scored")];
        let more = ["--backend", "cpu", "--rarer-than", "20", "--where", "uid != 33"];
        assert_eq!(ebbline(args.iter().chain(&more)).code, 0);
        let joined = joined(folder.path(), &id);
        Fixture { folder, id, joined }
    })
}

/// Each scored row of the table `process`, with the findings it is in.
fn joined(folder: &Path, id: &str) -> String {
    let mut found: BTreeMap<(String, u64), Vec<String>> = BTreeMap::new();
    for finding in read_all_findings(&folder.join("scored")).expect("findings") {
        for row in finding.rows {
            found.entry((row.file, row.row)).or_default().push(finding.id.clone());
        }
    }
    let mut out = String::new();
    for source in discover(&[folder.join("archive")]).expect("there are files") {
        let Some(host) = source.relative.strip_prefix("process/").and_then(|path| path.split('/').nth(1)) else {
            continue;
        };
        let host = host.strip_prefix("host=").expect("a host");
        let sidecar = sidecar_path(&folder.join("scored"), id, &source.relative);
        for row in read_sidecar(&sidecar).ok().into_iter().flatten() {
            let mut findings = found.remove(&(source.relative.clone(), row.row)).unwrap_or_else(|| vec!["-".into()]);
            findings.sort();
            for finding in findings {
                let (bits, log2_n) = (row.bits.to_bits(), row.log2_n.to_bits());
                writeln!(out, "{}\t{}\t{host}\t{bits:08x}\t{log2_n:08x}\t{finding}", source.relative, row.row)
                    .expect("written to memory");
            }
        }
    }
    assert!(out.lines().filter(|line| !line.ends_with("\t-")).count() > 10, "rows of findings are among them");
    out
}

fn check(tool: &str) {
    let Some(python) = python(tool) else {
        return skip(&format!("joins with {tool}: set EBBLINE_PYTHON to a Python that has it"));
    };
    let fixture = fixture();
    let mut command = Command::new(python);
    command.arg(format!("{ROOT}/tests/tests/joins.py")).arg(format!("{ROOT}/docs/joins.md")).args([tool, &fixture.id]);
    let answer = ended(command.current_dir(fixture.folder.path()));
    assert_eq!(answer.code, 0, "{answer:?}");
    let first = answer.stdout.lines().zip(fixture.joined.lines()).find(|(theirs, ours)| theirs != ours);
    assert_eq!(first, None, "{tool}");
    assert_eq!(answer.stdout.lines().count(), fixture.joined.lines().count(), "{tool}");
}

#[test]
fn duckdb_joins_them() {
    check("duckdb");
}

#[test]
fn polars_joins_them() {
    check("polars");
}

#[test]
fn pandas_joins_them() {
    check("pandas");
}
