//! The rotating writer: where rows land, what the files are called, and what stays after a failure.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::types::Int32Type;
use arrow_array::{Array, ArrayRef, DictionaryArray, RecordBatch, TimestampNanosecondArray, UInt64Array};
use arrow_schema::DataType;
use ebbline_store as store;
use ebbline_store::{ArchiveFile, TableWriter, WriterOptions, discover};

const HOUR: i64 = 3_600_000_000_000;
const START: i64 = 494_800 * HOUR; // a full hour in June 2026

fn heartbeats(times: &[i64]) -> RecordBatch {
    let schema = events::heartbeat_schema();
    let columns = schema.fields().iter().map(|field| -> ArrayRef {
        let word = (!field.is_nullable()).then_some("word");
        match field.data_type() {
            DataType::Timestamp(..) => Arc::new(TimestampNanosecondArray::from(times.to_vec()).with_timezone("UTC")),
            DataType::UInt64 => Arc::new(UInt64Array::from_iter_values(times.iter().map(|t| *t as u64))),
            _ => Arc::new(std::iter::repeat_n(word, times.len()).collect::<DictionaryArray<Int32Type>>()),
        }
    });
    RecordBatch::try_new(schema.clone(), columns.collect()).unwrap()
}

fn writer(root: &Path, options: WriterOptions) -> TableWriter {
    TableWriter::new(root, events::HEARTBEAT, "web1", events::heartbeat_schema(), options)
}

/// Every row of every file as (relative path, row, time).
fn stored(root: &Path) -> Vec<(String, u64, i64)> {
    let mut rows = Vec::new();
    for source in discover(&[root]).unwrap() {
        let file = ArchiveFile::open(&source.path).unwrap();
        let mut row = 0;
        for batch in file.batches(&["time"], 7).unwrap() {
            let batch = batch.unwrap();
            let times = batch.column(0).as_any().downcast_ref::<TimestampNanosecondArray>().unwrap();
            for time in times.values() {
                rows.push((source.relative.clone(), row, *time));
                row += 1;
            }
        }
        assert_eq!(row, file.rows());
    }
    rows
}

#[test]
fn a_batch_is_split_at_hours_and_every_row_is_where_it_was_said_to_be() {
    let root = tempfile::tempdir().unwrap();
    let mut writer = writer(root.path(), WriterOptions::default());
    let mut said = Vec::new();
    // Late rows around the hour, then a third hour that makes the first file give way.
    for times in [vec![1, 2, HOUR + 1, 3, HOUR + 2], vec![4, HOUR + 3, 2 * HOUR], vec![HOUR + 4, 5]] {
        let times: Vec<i64> = times.into_iter().map(|t| START + t).collect();
        let placed = writer.write(&heartbeats(&times)).unwrap();
        let mut next = 0;
        for run in placed {
            assert_eq!(run.offset, next, "the runs cover the batch in order");
            next += run.rows;
            let rows =
                (0..run.rows).map(|i| (run.relative.to_string(), run.first_row + i as u64, times[run.offset + i]));
            said.extend(rows);
        }
        assert_eq!(next, times.len());
    }
    writer.finish().unwrap();
    let finished = writer.take_finished();
    assert_eq!(finished.iter().map(|f| f.rows).sum::<u64>(), 10);
    for file in &finished {
        assert_eq!(store::file_sha256(&file.path).unwrap(), file.sha256);
        assert_eq!(file.path.metadata().unwrap().len(), file.bytes);
    }
    said.sort();
    assert_eq!(said, stored(root.path()));
    for (relative, ..) in said {
        assert!(relative.starts_with("heartbeat/day=2026-06-12/host=web1/20260612T"), "{relative}");
    }
}

#[test]
fn the_footer_says_what_the_file_is() {
    let root = tempfile::tempdir().unwrap();
    let mut writer = writer(root.path(), WriterOptions { boot_id: "b007".into(), ..Default::default() });
    writer.write(&heartbeats(&[START])).unwrap();
    writer.finish().unwrap();
    let file = ArchiveFile::open(&writer.take_finished()[0].path).unwrap();
    assert_eq!(file.table(), Some("heartbeat"));
    assert_eq!(file.footer(store::META_SCHEMA_VERSION).as_deref(), Some(&*events::SCHEMA_VERSION.to_string()));
    assert_eq!(file.footer(store::META_HOST).as_deref(), Some("web1"));
    assert_eq!(file.footer(store::META_BOOT_ID).as_deref(), Some("b007"));
}

#[test]
fn files_rotate_by_size_and_age_and_never_overwrite() {
    let root = tempfile::tempdir().unwrap();
    for _restart in 0..2 {
        let options = WriterOptions { rotate_bytes: 1, rotate_age: Duration::from_secs(60), ..Default::default() };
        let mut writer = writer(root.path(), options);
        for _ in 0..3 {
            writer.write(&heartbeats(&[START])).unwrap();
        }
        assert_eq!(writer.take_finished().len(), 3, "each write reaches the size limit");
    }
    let mut writer = writer(root.path(), WriterOptions { rotate_age: Duration::from_secs(60), ..Default::default() });
    writer.write(&heartbeats(&[START])).unwrap();
    writer.rotate_if_due(Instant::now()).unwrap();
    assert!(writer.take_finished().is_empty());
    writer.rotate_if_due(Instant::now() + Duration::from_secs(61)).unwrap();
    assert_eq!(writer.take_finished().len(), 1);
    assert_eq!(stored(root.path()).len(), 7);
}

#[test]
fn a_writer_that_is_dropped_or_cannot_write_leaves_nothing() {
    let root = tempfile::tempdir().unwrap();
    let mut half = writer(root.path(), WriterOptions::default());
    half.write(&heartbeats(&[START])).unwrap();
    drop(half);
    assert!(discover(&[root.path()]).is_err());
    let folder = root.path().join("heartbeat/day=2026-06-12/host=web1");
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), 0);

    let blocked = tempfile::tempdir().unwrap();
    std::fs::write(blocked.path().join("heartbeat"), b"in the way").unwrap();
    let error = writer(blocked.path(), WriterOptions::default()).write(&heartbeats(&[START])).unwrap_err();
    assert!(error.placed.is_empty() && error.lost.is_empty());
    assert!(error.to_string().starts_with("cannot write: "), "{error}");
}
