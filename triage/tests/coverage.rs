//! What was not seen is said: from heartbeats, rows and the manifest.

use std::path::Path;
use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{ArrayRef, DictionaryArray, RecordBatch, TimestampNanosecondArray, UInt64Array};
use ebbline_triage::{Gap, Options, coverage};
use store::{HostState, InputSkipped, Manifest, Run, TableWriter, WriterOptions};

const HOUR: i64 = 3_600_000_000_000;
const START: i64 = 1_795_269_600 * 1_000_000_000; // 2026-11-21 14:00 UTC

/// A row of the books: time, stage, event, outcome, reason, count, since.
type Beat = (i64, &'static str, &'static str, &'static str, Option<&'static str>, Option<u64>, Option<i64>);

fn write(root: &Path, host: &str, beats: &[Beat]) {
    let words = |of: &dyn Fn(&Beat) -> Option<&'static str>| -> ArrayRef {
        Arc::new(beats.iter().map(of).collect::<DictionaryArray<Int32Type>>())
    };
    let times = |of: &dyn Fn(&Beat) -> Option<i64>| -> ArrayRef {
        Arc::new(beats.iter().map(of).collect::<TimestampNanosecondArray>().with_timezone("UTC"))
    };
    let hosts: ArrayRef = Arc::new(beats.iter().map(|_| Some(host)).collect::<DictionaryArray<Int32Type>>());
    let columns = vec![
        times(&|b| Some(b.0)),
        hosts,
        words(&|b| Some(b.1)),
        words(&|b| Some(b.2)),
        words(&|b| Some(b.3)),
        words(&|b| b.4),
        Arc::new(beats.iter().map(|b| b.5).collect::<UInt64Array>()),
        times(&|b| b.6),
    ];
    let batch = RecordBatch::try_new(events::heartbeat_schema(), columns).unwrap();
    let options = WriterOptions { boot_id: "test".into(), ..WriterOptions::default() };
    let mut writer = TableWriter::new(root, "heartbeat", host, batch.schema(), options);
    writer.write(&batch).unwrap();
    writer.finish().unwrap();
}

fn of_kind<'a>(gaps: &'a [Gap], kind: &str) -> Vec<&'a Gap> {
    gaps.iter().filter(|gap| gap.kind == kind).collect()
}

#[test]
fn losses_silence_and_missing_hooks_are_said() {
    let folder = tempfile::tempdir().unwrap();
    let dropped = |minute: i64, count| {
        (START + minute * HOUR / 60, "kernel", "connect", "dropped", Some("ring_full"), Some(count), None)
    };
    let doubled = (START, "agent", "fork", "dropped", Some("duplicate"), Some(9), None);
    let hook = (START, "self", "hook:tcp_close", "value", None, Some(0), None);
    let killed = (START + HOUR, "agent", "all", "dropped", Some("killed"), None, Some(START + HOUR / 2));
    let busy: Vec<Beat> =
        [0, 0, 0, 40, 40, 47].into_iter().zip(0..).map(|(n, minute)| dropped(minute * 10, n)).collect();
    write(folder.path(), "busy", &[busy, vec![doubled, hook, killed]].concat());
    write(folder.path(), "quiet", &[(START - 3 * HOUR, "kernel", "exec", "produced", None, Some(1), None)]);

    let options = Options { out: folder.path().into(), ..Options::default() };
    let gaps = coverage(&options, &[]).unwrap();
    let texts: Vec<&str> = gaps.iter().map(|gap| gap.text.as_str()).collect();
    let silent = of_kind(&gaps, "silent");
    assert_eq!((silent.len(), silent[0].host.as_deref()), (1, Some("quiet")), "{texts:?}");
    let losses = of_kind(&gaps, "loss");
    assert_eq!(losses.len(), 3, "{texts:?}");
    // Forty between the twentieth and the thirtieth minute, seven later, and what nobody counted.
    assert!(losses[0].text.contains("40 connect (ring_full)"), "{texts:?}");
    assert_eq!(losses[0].since.as_deref(), Some("2026-11-21T14:20:00Z"));
    assert_eq!(losses[0].until.as_deref(), Some("2026-11-21T14:30:00Z"));
    assert!(losses[1].text.contains("7 connect") && losses[2].text.contains("nobody knows"), "{texts:?}");
    assert!(of_kind(&gaps, "missing")[0].text.contains("tcp_close"), "{texts:?}");
    assert!(!texts.iter().any(|text| text.contains("duplicate")), "the same event twice is one event");
    assert_eq!(gaps[0].kind, "silent", "the worst comes first");
}

#[test]
fn the_manifest_says_who_learns_and_what_was_skipped() {
    let folder = tempfile::tempdir().unwrap();
    let host = |host: &str, days, state: &str, held_back| HostState {
        host: host.into(),
        days,
        state: state.into(),
        held_back,
    };
    let skipped = (0..25).map(|n| InputSkipped { path: format!("f{n}"), reason: "damaged".into() });
    let run = Run {
        hosts: vec![host("old", 9, "settled", 0), host("new", 0, "learning day 1 of 7", 4)],
        inputs_skipped: skipped.collect(),
        ..Run::default()
    };
    Manifest::append(folder.path(), run).unwrap();
    let options = Options { out: folder.path().into(), ..Options::default() };
    let unread = [("gone.parquet".into(), "cannot read: gone.parquet: it is not in the archive".to_owned())];
    let gaps = coverage(&options, &unread).unwrap();
    let learning = of_kind(&gaps, "learning");
    assert_eq!((learning.len(), learning[0].host.as_deref()), (1, Some("new")));
    assert_eq!(of_kind(&gaps, "held_back").len(), 1);
    assert_eq!(of_kind(&gaps, "skipped").len(), 21, "twenty, and how many more");
    assert_eq!(of_kind(&gaps, "unread").len(), 1);
}
