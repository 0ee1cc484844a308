//! The processes around a row of the recording, and incidents that are grouped for a look alone.
#![allow(missing_docs)]

use std::path::{Path, PathBuf};

use ebbline_triage::{Around, Kin, Options, Relative, Room, RowLink, around, grouped, triage};
use store::{Finding, finding_id, read_incidents, write_findings};

const CONNECTION: &str = "connection/day=2026-11-21/host=demo/20261121T215432Z-000001.parquet";
const PROCESS: &str = "process/day=2026-11-21/host=demo/20261121T215432Z-000001.parquet";

fn recording() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/recording/live")
}

fn of(file: &str, row: u64, table: &str) -> Result<Around, String> {
    with_room(file, row, table, Room::Little)
}

fn with_room(file: &str, row: u64, table: &str, room: Room) -> Result<Around, String> {
    let options = Options { out: recording(), ..Options::default() };
    around(&options, &RowLink { file: file.to_owned(), row }, table, &[], room).map_err(|error| error.to_string())
}

fn kin(around: &Around, kin: Kin) -> Vec<&Relative> {
    around.tree.iter().filter(|one| one.kin == kin).collect()
}

#[test]
fn a_connection_has_its_process_those_beside_it_and_those_above() {
    let around = of(CONNECTION, 1809, "connection").unwrap();
    assert!(around.said.starts_with("memfd:kworker: closed, 127.0.0.1 port 14446"), "{}", around.said);
    let own = kin(&around, Kin::Own);
    assert_eq!(own.len(), 1);
    assert_eq!(own[0].name, "memfd:kworker --url http://127.0.0.1:14446/report");
    assert_eq!((own[0].depth, own[0].ended.as_deref()), (1, Some("exit 0")));
    let (above, beside) = (kin(&around, Kin::Ancestor), kin(&around, Kin::Sister));
    assert!(above.len() == 1 && above[0].name.ends_with("/ebbline-workload"), "{above:?}");
    assert!(beside.len() == 24 && around.others > 0, "the nearest alone are told");
    let all = with_room(CONNECTION, 1809, "connection", Room::Much).unwrap();
    assert_eq!(kin(&all, Kin::Sister).len() + kin(&all, Kin::Below).len() + all.others, 24 + around.others);
    assert!(kin(&all, Kin::Sister).len() > 24 && all.others < around.others);
    assert!(around.tree.iter().filter(|one| one.depth == 1).map(|one| one.time).is_sorted(), "in order of time");
    assert!(around.unread.is_empty() && around.host == "demo");
}

#[test]
fn what_a_process_started_is_below_it_and_leads_back() {
    let child = of(CONNECTION, 1809, "connection").unwrap();
    let row = kin(&child, Kin::Own)[0].row.clone().expect("it is in the archive");
    let again = of(&row.file, row.row, "process").unwrap();
    assert_eq!(kin(&again, Kin::Own), kin(&child, Kin::Own), "the same process, from another of its rows");
    // Cron's script: a shell and what it ran.
    let shell = of(PROCESS, 10_541, "process").unwrap();
    let parent = kin(&shell, Kin::Ancestor).last().and_then(|one| one.row.clone());
    let parent = parent.expect("a parent near in time has rows");
    let script = of(&parent.file, parent.row, "process").unwrap();
    let below: Vec<u32> = kin(&script, Kin::Below).iter().map(|one| one.pid).collect();
    assert!(below.contains(&kin(&shell, Kin::Own)[0].pid), "{script:?}");
    assert!(script.tree.windows(2).all(|two| two[1].depth <= two[0].depth + 1), "no step is left out");
}

#[test]
fn a_row_that_is_not_there_is_one_line() {
    for (file, row) in [(CONNECTION, u64::MAX), ("connection/none.parquet", 0), ("../recording/live/process", 0)] {
        let error = of(file, row, "connection").unwrap_err();
        assert!(error.lines().count() == 1 && error.matches(": ").count() >= 2, "{error}");
    }
    let error = of(CONNECTION, 0, "mail").unwrap_err();
    assert!(error.contains("no lens for its table \"mail\""), "{error}");
}

#[test]
fn what_is_grouped_for_a_look_is_what_would_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let finding = |key: u64, window: i64| Finding {
        id: finding_id("b", "process_tree", &format!("{key:032x}"), window),
        host: "demo".into(),
        unit_kind: "process_tree".into(),
        unit_key: format!("{key:032x}"),
        window,
        time: window,
        title: format!("finding {key}"),
        bits: 20.0,
        log2_n: 10.0 + key as f32,
        ..Finding::default()
    };
    let findings: Vec<Finding> = (1..6).flat_map(|key| [finding(key, 0), finding(key, 3_600_000_000_000)]).collect();
    write_findings(folder.path(), "b", "one", &findings, None).unwrap();
    let options = Options { out: folder.path().into(), archives: vec![recording()], baseline: None };
    let (looked, counted) = grouped(&options, usize::MAX).unwrap();
    let (few, all) = grouped(&options, 2).unwrap();
    assert!(!folder.path().join("incidents").exists(), "nothing is written");
    assert_eq!(triage(&options).unwrap(), counted);
    let mut written = Vec::new();
    read_incidents(&options.path(), |incident| {
        written.push(incident);
        true
    })
    .unwrap();
    assert_eq!(looked, written);
    assert_eq!((few.as_slice(), all), (&written[..2], counted));
}
