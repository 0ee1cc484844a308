//! SQL over rows, scores and findings, here and on a cluster, against what the files say.

mod common;

use std::process::Command;

use common::{Cluster, Fixture, text};
use tests::ended;

fn ask(fixture: &Fixture, query: &str, more: &[&str]) -> Vec<serde_json::Value> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ebbline-cluster"));
    let (archive, scored) = (fixture.at("archive"), fixture.at("whole"));
    command.args(["sql", query, "--json", "--archive", text(&archive), "--scored", text(&scored)]).args(more);
    let ended = ended(&mut command);
    assert_eq!(ended.code, 0, "{ended:?}");
    ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn rows_scores_and_findings_join_by_file_and_row() {
    let fixture = Fixture::new(20_000, 2, 2);
    let cluster = Cluster::start(fixture.folder.path(), 2);
    let found = store::read_all_findings(&fixture.at("whole")).unwrap();
    let rows: usize = found.iter().map(|finding| finding.rows.len()).sum();
    for more in [&[][..], &["--scheduler", &cluster.address]] {
        let counts = ask(
            &fixture,
            "select (select count(*) from process) p, (select count(*) from connection) c, count(*) s from scores",
            more,
        );
        let n = |name: &str| counts[0][name].as_u64().unwrap();
        assert_eq!((n("p") + n("c"), n("s")), (20_000, 20_000), "{more:?}");
        let joined = ask(
            &fixture,
            "select count(*) as n, count(distinct p.host) as hosts from process p join scores s using (file, row)",
            more,
        );
        assert_eq!(joined[0], serde_json::json!({ "n": n("p"), "hosts": 2 }));
        let of_findings = ask(
            &fixture,
            "select f.id, count(*) as n, max(s.bits) as bits from findings f join finding_rows r on f.id = r.finding \
             join scores s on r.file = s.file and r.row = s.row and r.baseline = s.baseline group by f.id order by f.id",
            more,
        );
        assert_eq!(of_findings.len(), found.len());
        assert_eq!(of_findings.iter().map(|row| row["n"].as_u64().unwrap()).sum::<u64>(), rows as u64);
        // One row by its number, as the reader of the archive has it.
        let finding = &found[0];
        let row = finding.rows.iter().find(|row| row.file.starts_with("process/")).unwrap();
        let query = format!("select pid, exe from process where file = '{}' and row = {}", row.file, row.row);
        let file = store::ArchiveFile::open(&fixture.at("archive").join(&row.file)).unwrap();
        let batch = file.read_rows(&["pid"], &[row.row]).unwrap();
        let pid = batch.column(0).to_data().buffers()[0].typed_data::<u32>()[0];
        assert_eq!(ask(&fixture, &query, more)[0]["pid"], pid);
    }
}

#[test]
fn what_cannot_be_asked_is_one_line() {
    let fixture = Fixture::new(20_000, 2, 2);
    let archive = fixture.at("archive");
    for (query, says) in
        [("select nothing from process", "nothing"), ("select", "select"), ("select * from nowhere", "nowhere")]
    {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ebbline-cluster"));
        let ended = ended(command.args(["sql", query, "--archive", text(&archive)]));
        assert!(ended.error().contains(says), "{ended:?}");
    }
}
