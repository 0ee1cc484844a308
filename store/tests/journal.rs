//! The journal: what is committed is there, whatever happens to the process, the disk and the bytes.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::types::Int32Type;
use arrow_array::{ArrayRef, DictionaryArray, RecordBatch, TimestampNanosecondArray, UInt64Array};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use ebbline_store as store;
use ebbline_store::{
    ArchiveFile, Closed, Finished, Journal, JournalOptions, Part, Placed, Recovered, Replayed, discover,
    journals_of_others, read_segment,
};
use proptest::prelude::*;

const HOUR: i64 = 3_600_000_000_000;
const START: i64 = 494_800 * HOUR; // a full hour in June 2026
const SECOND: i64 = 1_000_000_000;

/// A row: the file's path, its place in the file, its time.
type Row = (String, u64, i64);

/// A small table with an activity.
fn deeds() -> SchemaRef {
    let dictionary = events::dictionary();
    let fields = [("time", events::timestamp()), ("activity", dictionary), ("number", DataType::UInt64)];
    Arc::new(Schema::new(fields.map(|(name, kind)| Field::new(name, kind, false)).to_vec()))
}

fn numbers() -> SchemaRef {
    let fields = [("time", events::timestamp()), ("number", DataType::UInt64)];
    Arc::new(Schema::new(fields.map(|(name, kind)| Field::new(name, kind, false)).to_vec()))
}

/// One row a time; the number is the time again.
fn rows(schema: &SchemaRef, times: &[i64]) -> RecordBatch {
    let activity = |time: &i64| if time % 2 == 0 { "even" } else { "odd" };
    let columns = schema.fields().iter().map(|field| -> ArrayRef {
        match field.name().as_str() {
            "time" => Arc::new(TimestampNanosecondArray::from(times.to_vec()).with_timezone("UTC")),
            "activity" => Arc::new(times.iter().map(activity).collect::<DictionaryArray<Int32Type>>()),
            _ => Arc::new(UInt64Array::from_iter_values(times.iter().map(|t| *t as u64))),
        }
    });
    RecordBatch::try_new(schema.clone(), columns.collect()).unwrap()
}

fn options() -> JournalOptions {
    JournalOptions {
        host: "web1".into(),
        boot_id: "b007".into(),
        rotate_age: Duration::from_secs(60),
        rotate_bytes: 128 << 20,
        sync_every: Duration::from_secs(5),
        max_row_group_rows: 65_536,
        tables: vec![("deeds", deeds()), ("numbers", numbers())],
    }
}

fn open(root: &Path) -> (Journal, Recovered, Vec<Replayed>) {
    let mut replayed = Vec::new();
    let (journal, recovered) = Journal::open(root, options(), &mut |rows| replayed.push(rows)).unwrap();
    (journal, recovered, replayed)
}

fn times_of(batch: &RecordBatch) -> Vec<i64> {
    batch.column(0).as_any().downcast_ref::<TimestampNanosecondArray>().unwrap().values().to_vec()
}

/// Commits rows of both tables, tagged with the last byte of their times. Says where they will stand.
fn commit(journal: &mut Journal, deed_times: &[i64], number_times: &[i64], note: &[u8]) -> Vec<Row> {
    let times = [deed_times, number_times];
    let batches = [rows(&deeds(), deed_times), rows(&numbers(), number_times)];
    let tags: Vec<Vec<u8>> = times.iter().map(|times| times.iter().map(|t| *t as u8).collect()).collect();
    let part = |at: usize, table| Part { table, rows: &batches[at], tags: &tags[at] };
    let placed = journal.commit(&[part(0, "deeds"), part(1, "numbers")], note).unwrap();
    placed.iter().zip(times).flat_map(|(placed, times)| said(placed, times)).collect()
}

/// Each row as (path, row of the file, time).
fn said(placed: &[Placed], times: &[i64]) -> Vec<Row> {
    let mut next = 0;
    let mut rows = Vec::new();
    for run in placed {
        assert_eq!(run.offset, next, "the runs cover the rows in order");
        next += run.rows;
        let row = |at: usize| (run.relative.to_string(), run.first_row + at as u64, times[run.offset + at]);
        rows.extend((0..run.rows).map(row));
    }
    assert_eq!(next, times.len());
    rows
}

/// Every row of every file as (path, row of the file, time), in order.
fn stored(root: &Path) -> Vec<Row> {
    let mut rows = Vec::new();
    for source in discover(&[root]).unwrap_or_default() {
        let file = ArchiveFile::open(&source.path).unwrap();
        let batches = file.batches(&["time"], 7).unwrap();
        let times = batches.flat_map(|batch| times_of(&batch.unwrap()));
        rows.extend(times.enumerate().map(|(row, time)| (source.relative.clone(), row as u64, time)));
    }
    rows.sort();
    rows
}

fn sorted(mut rows: Vec<Row>) -> Vec<Row> {
    rows.sort();
    rows
}

fn segments(root: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> =
        fs::read_dir(root.join("journal/host=web1")).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.extension().is_some_and(|extension| extension == "journal"));
    found.sort();
    found
}

fn files(closed: Vec<Closed>) -> Vec<Finished> {
    closed
        .into_iter()
        .map(|closed| match closed {
            Closed::File(file) => file,
            other => panic!("{other:?}"),
        })
        .collect()
}

/// What is replayed as rows, and what its tags should be.
fn replayed_rows(replayed: &[Replayed]) -> Vec<Row> {
    let mut rows = Vec::new();
    for part in replayed {
        let times = times_of(&part.rows);
        assert_eq!(part.tags, times.iter().map(|t| *t as u8).collect::<Vec<_>>());
        rows.extend(said(&part.placed, &times));
    }
    rows
}

#[test]
fn rows_that_nobody_makes_files_of_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let (mut journal, ..) = open(folder.path());
    commit(&mut journal, &[1], &[2], b"note");
    assert_eq!(journals_of_others(folder.path(), "another"), [folder.path().join("journal/host=web1")]);
    assert!(journals_of_others(folder.path(), "web1").is_empty());
    journal.close_all();
    assert!(journals_of_others(folder.path(), "another").is_empty());
}

#[test]
fn the_latest_note_outlives_the_rows_until_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let (mut journal, ..) = open(folder.path());
    commit(&mut journal, &[1], &[2], b"note");
    journal.close_rows();
    drop(journal);
    let (mut journal, recovered, replayed) = open(folder.path());
    assert!(recovered.note.is_some() && replayed.is_empty());
    journal.close_rows();
    journal.close_all();
    drop(journal);
    assert_eq!(open(folder.path()).1.note, None);
}

#[test]
fn what_is_committed_survives_a_kill_and_becomes_parquet() {
    let root = tempfile::tempdir().unwrap();
    let (mut journal, recovered, replayed) = open(root.path());
    assert_eq!((recovered, replayed.len()), (Recovered::default(), 0));
    let mut wanted = commit(&mut journal, &[START, START + 1, START + 2], &[START + 5], b"one");
    wanted.extend(commit(&mut journal, &[START + 3], &[], b"two"));
    assert!(stored(root.path()).is_empty());
    assert_eq!(journal.bytes(), fs::metadata(&segments(root.path())[0]).unwrap().len());
    drop(journal); // closes nothing
    assert!(stored(root.path()).is_empty());

    let (mut journal, recovered, replayed) = open(root.path());
    assert_eq!(recovered.note.as_deref(), Some(&b"two"[..]));
    assert_eq!((recovered.frames, recovered.rows, recovered.torn_bytes), (2, 5, 0));
    assert!(recovered.damaged.is_empty() && recovered.note_time > Some(START));
    assert_eq!(replayed_rows(&replayed), wanted);
    journal.close_all();
    let closed = files(journal.take_closed());
    assert_eq!(stored(root.path()), sorted(wanted));
    for file in &closed {
        assert_eq!(store::file_sha256(&file.path).unwrap(), file.sha256);
        assert_eq!(file.path.metadata().unwrap().len(), file.bytes);
        assert_eq!(ArchiveFile::open(&file.path).unwrap().rows(), file.rows);
    }
    assert_eq!((closed.len(), journal.bytes(), segments(root.path()).len()), (2, 0, 0));
}

#[test]
fn the_footer_says_whose_rows_they_are_and_how_many_of_each() {
    let root = tempfile::tempdir().unwrap();
    let (mut journal, ..) = open(root.path());
    commit(&mut journal, &[START, START + 1, START + 2], &[START], b"");
    commit(&mut journal, &[START + 4], &[START + 1], b"");
    let segment = segments(root.path()).remove(0);
    journal.close_all();
    let closed = files(journal.take_closed());
    let footer = |at: usize, key| ArchiveFile::open(&closed[at].path).unwrap().footer(key).unwrap();
    assert_eq!(footer(0, store::META_ROWS), r#"{"even":3,"odd":1}"#);
    assert_eq!(footer(1, store::META_ROWS), r#"{"numbers":2}"#);
    assert_eq!(footer(0, store::META_TABLE), "deeds");
    assert_eq!(footer(0, store::META_HOST), "web1");
    assert_eq!(footer(1, store::META_BOOT_ID), "b007");
    let identity = footer(0, store::META_JOURNAL);
    assert_eq!(identity, footer(1, store::META_JOURNAL));
    assert!(segment.to_string_lossy().ends_with(&format!("/{}.journal", &identity[..6])), "{identity}");
}

#[test]
fn rows_of_many_hours_and_ages_are_where_they_were_said_to_be() {
    let root = tempfile::tempdir().unwrap();
    let (mut journal, ..) = open(root.path());
    let hours: Vec<i64> = (0..40).map(|hour| START + (hour * 7 % 40) * HOUR + hour).collect();
    let extremes = [i64::MIN, -1, 0, i64::MAX];
    let mut wanted = commit(&mut journal, &hours, &extremes, b"");
    wanted.extend(commit(&mut journal, &hours, &hours, b""));
    drop(journal);
    let (mut journal, recovered, replayed) = open(root.path());
    assert_eq!((recovered.damaged, replayed_rows(&replayed)), (vec![], wanted.clone()));
    journal.close_all();
    assert_eq!(stored(root.path()), sorted(wanted));
}

#[test]
fn a_segment_is_closed_by_age_size_and_hour_and_the_note_stays() {
    let root = tempfile::tempdir().unwrap();
    let (mut journal, ..) = open(root.path());
    let now = Instant::now();
    commit(&mut journal, &[START], &[], b"first");
    journal.tend(now);
    assert_eq!(segments(root.path()).len(), 1, "nothing is due");
    // Rows that come late open no new segment; those of the next hour do.
    commit(&mut journal, &[START - HOUR], &[], b"late");
    journal.tend(now);
    commit(&mut journal, &[START + HOUR], &[], b"hour");
    let numbers = |root: &Path| -> Vec<String> {
        segments(root).iter().map(|path| path.file_stem().unwrap().to_string_lossy().into_owned()).collect()
    };
    assert_eq!(numbers(root.path()), ["000001"]);
    journal.tend(now);
    assert!(numbers(root.path()).contains(&"000002".to_owned()));
    journal.tend(now + Duration::from_secs(3600));
    assert!(!numbers(root.path()).contains(&"000003".to_owned()), "a note alone does not age");
    commit(&mut journal, &[START + HOUR], &[], b"age");
    journal.tend(Instant::now() + Duration::from_secs(61));
    assert!(numbers(root.path()).contains(&"000003".to_owned()));
    drop(journal);
    let small = JournalOptions { rotate_bytes: 1, ..options() };
    let (mut journal, recovered) = Journal::open(root.path(), small, &mut |_| {}).unwrap();
    assert_eq!(recovered.note.as_deref(), Some(&b"age"[..]), "wherever the closing thread is");
    commit(&mut journal, &[START + HOUR], &[], b"size");
    journal.tend(now);
    assert_eq!(numbers(root.path()).last().map(String::as_str), Some("000005"));
    journal.close_all();
    assert_eq!(stored(root.path()).len(), 5);
}

#[test]
fn a_journal_is_open_once() {
    let root = tempfile::tempdir().unwrap();
    let (journal, ..) = open(root.path());
    let error = Journal::open(root.path(), options(), &mut |_| {}).err().unwrap().to_string();
    assert!(error.starts_with("journal in use: ") && error.contains("journal/host=web1"), "{error}");
    let other = JournalOptions { host: "web2".into(), ..options() };
    Journal::open(root.path(), other, &mut |_| {}).unwrap();
    drop(journal);
    open(root.path());
}

#[test]
fn names_are_new_after_every_restart() {
    let root = tempfile::tempdir().unwrap();
    let mut wanted = Vec::new();
    for restart in 0..6 {
        let (mut journal, ..) = open(root.path());
        wanted.extend(commit(&mut journal, &[START], &[START], b""));
        match restart % 3 {
            0 => journal.close_all(),
            1 => journal.tend(Instant::now() + Duration::from_secs(61)),
            _ => {}
        }
        wanted.extend(commit(&mut journal, &[START], &[START], b""));
    }
    let (mut journal, ..) = open(root.path());
    journal.close_all();
    assert_eq!(stored(root.path()), sorted(wanted));
}

#[test]
fn files_are_for_the_owner_and_the_group() {
    let root = tempfile::tempdir().unwrap();
    let archive = root.path().join("archive");
    let (mut journal, ..) = open(&archive);
    commit(&mut journal, &[START], &[], b"");
    let segment = segments(&archive).remove(0);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&segment) & !0o640, mode(segment.parent().unwrap()) & !0o750), (0, 0));
    journal.close_all();
    let file = files(journal.take_closed()).remove(0).path;
    let folders: Vec<u32> = file.ancestors().skip(1).take(4).map(|folder| mode(folder) & !0o750).collect();
    assert_eq!((mode(&file) & !0o640, folders), (0, vec![0; 4]));
}

#[test]
fn nobody_else_reads_the_journal() {
    let root = tempfile::tempdir().unwrap();
    let (mut journal, ..) = open(root.path());
    commit(&mut journal, &[START], &[], b"");
    assert!(discover(&[root.path()]).is_err(), "nothing to read");
    journal.close_all();
    assert_eq!(discover(&[root.path()]).unwrap().len(), 1);
}

#[test]
fn what_does_not_fit_is_refused_and_the_journal_goes_on() {
    let root = tempfile::tempdir().unwrap();
    let (mut journal, ..) = open(root.path());
    let batch = rows(&numbers(), &[START]);
    for part in [
        Part { table: "nothing", rows: &batch, tags: &[] },
        Part { table: "deeds", rows: &batch, tags: &[] },
        Part { table: "numbers", rows: &batch, tags: &[1, 2] },
    ] {
        assert!(journal.commit(&[part], b"").is_err());
    }
    let wanted = commit(&mut journal, &[START], &[], b"");
    journal.close_all();
    assert_eq!(stored(root.path()), wanted);
}

/// Each state in which a kill during closing leaves the archive: some files made, one perhaps begun.
#[test]
fn closing_can_be_stopped_anywhere_and_is_done_once() {
    let root = tempfile::tempdir().unwrap();
    let (mut journal, ..) = open(root.path());
    let wanted = sorted(commit(&mut journal, &[START, START + HOUR], &[START, START + 2 * HOUR], b"note"));
    drop(journal);
    let segment = segments(root.path()).remove(0);
    let journal_bytes = fs::read(&segment).unwrap();
    let (mut journal, ..) = open(root.path());
    journal.close_all();
    let made = files(journal.take_closed());
    assert_eq!(made.len(), 4);
    drop(journal);
    let contents: Vec<Vec<u8>> = made.iter().map(|file| fs::read(&file.path).unwrap()).collect();
    for done in 0..=made.len() {
        for begun in [false, true] {
            for (at, file) in made.iter().enumerate() {
                if at < done {
                    fs::write(&file.path, &contents[at]).unwrap();
                } else {
                    let _ = fs::remove_file(&file.path);
                }
            }
            if let Some(next) = made.get(done).filter(|_| begun) {
                fs::write(next.path.with_extension("parquet.tmp"), &contents[done][..100]).unwrap();
            }
            fs::write(&segment, &journal_bytes).unwrap();
            let (mut journal, recovered, replayed) = open(root.path());
            assert_eq!(recovered.note.as_deref(), Some(&b"note"[..]));
            assert_eq!(sorted(replayed_rows(&replayed)), wanted);
            journal.close_all();
            let again = files(journal.take_closed());
            assert_eq!(again, made, "{done} made, begun: {begun}");
            assert_eq!((stored(root.path()), segments(root.path()).len()), (wanted.clone(), 0));
        }
    }
}

#[test]
fn a_file_of_somebody_else_is_not_touched() {
    let root = tempfile::tempdir().unwrap();
    let (mut journal, ..) = open(root.path());
    let wanted = commit(&mut journal, &[START], &[START], b"");
    let in_the_way = root.path().join(&wanted[0].0);
    fs::create_dir_all(in_the_way.parent().unwrap()).unwrap();
    for content in [&b"something else"[..], b""] {
        fs::write(&in_the_way, content).unwrap();
        journal.close_all();
        let closed = journal.take_closed();
        assert!(matches!(&closed[..], [Closed::Deferred(_)]), "{closed:?}");
        assert_eq!(fs::read(&in_the_way).unwrap(), content);
        assert_eq!(segments(root.path()).len(), 1);
    }
    fs::remove_file(&in_the_way).unwrap();
    journal.close_all();
    assert_eq!(files(journal.take_closed()).len(), 2);
    assert_eq!(stored(root.path()), sorted(wanted));
}

/// Rows whose bytes rot after they were committed are named, and the others are kept.
#[test]
fn rows_whose_bytes_are_damaged_are_counted_as_lost() {
    let root = tempfile::tempdir().unwrap();
    let (mut journal, ..) = open(root.path());
    let first = commit(&mut journal, &[START], &[], b"");
    let from = journal.bytes() as usize;
    commit(&mut journal, &[START + 1, START + 2], &[START], b"");
    let to = journal.bytes() as usize;
    commit(&mut journal, &[START + 3], &[], b"");
    let segment = segments(root.path()).remove(0);
    let mut bytes = fs::read(&segment).unwrap();
    bytes[(from + to) / 2] ^= 4;
    fs::write(&segment, &bytes).unwrap();
    journal.close_all();
    let closed = journal.take_closed();
    let [Closed::Lost { relative, rows: 2, .. }, Closed::File(file), Closed::Lost { rows: 1, why, .. }] = &closed[..]
    else {
        panic!("{closed:?}");
    };
    assert_eq!((relative, file.rows), (&file.relative, 2));
    assert!(why.contains(&segment.display().to_string()), "{why}");
    let times: Vec<_> = stored(root.path()).into_iter().map(|row| row.2).collect();
    assert_eq!((times, &**relative), (vec![START, START + 3], first[0].0.as_str()));
    drop(journal);

    // The same, found at the start.
    let (mut journal, ..) = open(root.path());
    commit(&mut journal, &[START], &[], b"");
    let from = journal.bytes() as usize;
    commit(&mut journal, &[START + 1, START + 2], &[], b"");
    let to = journal.bytes() as usize;
    commit(&mut journal, &[START + 3], &[], b"last");
    drop(journal);
    let segment = segments(root.path()).remove(0);
    let mut bytes = fs::read(&segment).unwrap();
    bytes[(from + to) / 2] ^= 4;
    fs::write(&segment, &bytes).unwrap();
    let (mut journal, recovered, replayed) = open(root.path());
    assert_eq!((recovered.frames, recovered.rows, recovered.damaged.len()), (2, 2, 1));
    assert!(recovered.damaged[0].contains(&segment.display().to_string()));
    assert_eq!((recovered.note.as_deref(), replayed_rows(&replayed).len()), (Some(&b"last"[..]), 2));
    journal.close_all();
    assert!(matches!(&journal.take_closed()[..], [Closed::Lost { rows: 2, .. }, Closed::File(_)]));
}

#[test]
fn a_segment_that_somebody_removed_is_lost_and_the_journal_goes_on() {
    let root = tempfile::tempdir().unwrap();
    let (mut journal, ..) = open(root.path());
    commit(&mut journal, &[START, START + 1], &[], b"");
    fs::remove_file(&segments(root.path())[0]).unwrap();
    journal.close_all();
    assert!(matches!(&journal.take_closed()[..], [Closed::Lost { rows: 2, .. }]));
    let wanted = commit(&mut journal, &[START], &[], b"");
    journal.close_all();
    assert_eq!((stored(root.path()), journal.bytes()), (wanted, 0));
}

/// A head whose check fits, of another version.
fn other_version(mut bytes: Vec<u8>, at: usize) -> Vec<u8> {
    bytes[at] += 1;
    let check = crc32fast::hash(&bytes[..24]);
    bytes[24..28].copy_from_slice(&check.to_le_bytes());
    bytes
}

#[test]
fn a_segment_of_another_version_stays_and_stops_nobody() {
    for at in [4, 6] {
        let root = tempfile::tempdir().unwrap();
        let (mut journal, ..) = open(root.path());
        commit(&mut journal, &[START], &[], b"note");
        drop(journal);
        let segment = segments(root.path()).remove(0);
        let bytes = other_version(fs::read(&segment).unwrap(), at);
        fs::write(&segment, &bytes).unwrap();
        let (mut journal, recovered, replayed) = open(root.path());
        assert_eq!((recovered.note, replayed.len(), recovered.unread.len()), (None, 0, 1));
        assert!(!journal.has_rows());
        let line = &recovered.unread[0];
        assert!(line.starts_with("journal of another version: ") && line.contains("000001.journal"), "{line}");
        assert_eq!(journal.bytes(), bytes.len() as u64);
        let wanted = commit(&mut journal, &[START], &[], b"");
        journal.close_all();
        assert_eq!(stored(root.path()), wanted);
        assert_eq!((segments(root.path()), fs::read(&segment).unwrap()), (vec![segment.clone()], bytes));
    }
}

#[test]
fn what_else_lies_in_the_folder_is_left_alone() {
    let root = tempfile::tempdir().unwrap();
    drop(open(root.path()));
    let folder = root.path().join("journal/host=web1");
    fs::write(folder.join("notes.txt"), "x").unwrap();
    fs::create_dir(folder.join("000009.journal")).unwrap();
    fs::write(folder.join("000003.journal"), "").unwrap();
    fs::write(folder.join("000004.journal"), "no journal at all").unwrap();
    let target = root.path().join("elsewhere");
    fs::write(&target, "x").unwrap();
    std::os::unix::fs::symlink(&target, folder.join("000005.journal")).unwrap();
    let (mut journal, recovered, _) = open(root.path());
    assert_eq!((recovered.frames, recovered.torn_bytes, recovered.damaged.len()), (0, 0, 1));
    commit(&mut journal, &[START], &[], b"");
    journal.close_all();
    let mut left: Vec<_> = fs::read_dir(&folder).unwrap().map(|e| e.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["000004.damaged", "000005.journal", "000009.journal", "lock", "notes.txt"]);
    assert_eq!(fs::read(&target).unwrap(), b"x");
}

#[test]
fn a_segment_of_zeros_is_set_aside_and_of_many_the_latest_stay() {
    let root = tempfile::tempdir().unwrap();
    drop(open(root.path()));
    let folder = root.path().join("journal/host=web1");
    for round in 0..7_u8 {
        let segment = folder.join("000001.journal");
        fs::write(&segment, [vec![0; 5_000], vec![round]].concat()).unwrap();
        let (journal, recovered, _) = open(root.path());
        assert!(recovered.damaged[0].contains("000001.journal: no frame in its 5001 bytes; it was set aside as "));
        assert_eq!(recovered.damaged.len(), if round < 4 { 1 } else { 2 }, "{:?}", recovered.damaged);
        assert_eq!((journal.bytes(), segment.exists()), (0, false));
    }
    let names = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let mut left: Vec<u8> = names.filter_map(|path| fs::read(path).unwrap().last().copied()).collect();
    left.sort_unstable();
    assert_eq!(left, [3, 4, 5, 6]);
}

#[test]
fn a_first_frame_that_was_being_written_was_never_there() {
    for length in [1, 27, 28, 100] {
        let root = tempfile::tempdir().unwrap();
        let (mut journal, ..) = open(root.path());
        commit(&mut journal, &[START], &[], b"note");
        drop(journal);
        let segment = segments(root.path()).remove(0);
        fs::write(&segment, &fs::read(&segment).unwrap()[..length]).unwrap();
        let (mut journal, recovered, _) = open(root.path());
        assert_eq!((recovered.frames, recovered.damaged.len(), recovered.torn_bytes), (0, 0, length as u64));
        journal.close_all();
        assert_eq!(segments(root.path()), Vec::<PathBuf>::new());
    }
}

/// A small journal, its bytes, and where each frame ends.
fn small_journal(frames: &[(Vec<i64>, Vec<i64>)]) -> (Vec<u8>, Vec<usize>, Vec<Vec<Row>>) {
    let root = tempfile::tempdir().unwrap();
    let (mut journal, ..) = open(root.path());
    let (mut ends, mut said) = (vec![0], Vec::new());
    for (at, (deeds, numbers)) in frames.iter().enumerate() {
        said.push(commit(&mut journal, deeds, numbers, &[at as u8]));
        ends.push(journal.bytes() as usize);
    }
    drop(journal);
    (fs::read(&segments(root.path())[0]).unwrap(), ends, said)
}

fn read(bytes: &[u8]) -> (Recovered, Vec<Row>) {
    let mut replayed = Vec::new();
    let recovered = read_segment(bytes, "web1", &options().tables, &mut |rows| replayed.push(rows));
    (recovered, replayed_rows(&replayed))
}

fn three_frames() -> (Vec<u8>, Vec<usize>, Vec<Vec<Row>>) {
    small_journal(&[
        (vec![START, START + 1], vec![START + 2]),
        (vec![], vec![START + 3]),
        (vec![START + 4 * SECOND], vec![]),
    ])
}

#[test]
fn a_journal_cut_anywhere_gives_its_whole_frames() {
    let (bytes, ends, said) = three_frames();
    for cut in 0..=bytes.len() {
        let whole = ends.iter().rposition(|end| *end <= cut).unwrap();
        let (recovered, rows) = read(&bytes[..cut]);
        assert_eq!(rows, said[..whole].concat(), "cut at {cut}");
        assert_eq!(recovered.frames, whole as u64);
        assert_eq!(recovered.note, whole.checked_sub(1).map(|last| vec![last as u8]));
        assert_eq!(recovered.torn_bytes, (cut - ends[whole]) as u64);
        assert_eq!(recovered.damaged, Vec::<String>::new());
    }
}

#[test]
fn a_torn_journal_goes_on_after_its_last_whole_frame() {
    let (bytes, ends, said) = three_frames();
    for cut in [ends[1] - 1, ends[1] + 1, ends[2] - 1, ends[3] - 1] {
        let root = tempfile::tempdir().unwrap();
        drop(open(root.path()));
        fs::write(root.path().join("journal/host=web1/000007.journal"), &bytes[..cut]).unwrap();
        let (mut journal, recovered, _) = open(root.path());
        let mut wanted = said[..recovered.frames as usize].concat();
        assert!(recovered.torn_bytes > 0);
        wanted.extend(commit(&mut journal, &[START], &[START], b""));
        journal.close_all();
        assert_eq!((stored(root.path()), journal.bytes()), (sorted(wanted), 0));
    }
}

#[test]
fn a_byte_that_flips_costs_its_frame_at_most() {
    let (bytes, ends, said) = three_frames();
    for at in 0..bytes.len() {
        let hit = ends.iter().rposition(|end| *end <= at).unwrap();
        let mut bytes = bytes.clone();
        bytes[at] ^= 1 << (at % 8);
        let (recovered, rows) = read(&bytes);
        let left: Vec<_> =
            (0..said.len()).filter(|frame| *frame != hit).flat_map(|frame| said[frame].clone()).collect();
        assert_eq!(rows, left, "byte {at}");
        assert_eq!((recovered.frames, recovered.torn_bytes > 0), (2, hit == 2));
        assert_eq!(recovered.damaged.len(), usize::from(hit < 2), "{:?}", recovered.damaged);
    }
}

/// What a program puts into its rows is never taken for a frame, though a copy of a frame is in it.
#[test]
fn a_frame_inside_rows_is_not_a_frame() {
    let (foreign, ..) = three_frames();
    let (bytes, ends, said) = three_frames();
    let at = ends[1];
    // Damage the head of the second frame, with a whole frame of another segment where its body was.
    let mut forged = bytes[..at].to_vec();
    forged.extend([0; 40]);
    forged.extend(&foreign[..]);
    forged.extend(&bytes[at..]);
    let (recovered, rows) = read(&forged);
    assert_eq!((rows, recovered.damaged.len()), (said.concat(), 1));
}

/// A small disk that goes when the test ends.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mut command = std::process::Command::new("mount");
        let status = command.args(["-t", "tmpfs", "-o", "size=64k", "none"]).arg(folder.path()).status();
        status.is_ok_and(|status| status.success()).then(|| Self(folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_costs_the_frames_that_do_not_fit() {
    let Some(disk) = SmallDisk::mount() else {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "cannot mount a tmpfs");
        return eprintln!("SKIPPED: a_full_disk_costs_the_frames_that_do_not_fit: cannot mount a tmpfs (needs root)");
    };
    let root = disk.0.path();
    let ballast = root.join("ballast");
    fs::write(&ballast, vec![1; 30_000]).unwrap();
    let (mut journal, ..) = open(root);
    let mut wanted = Vec::new();
    let many: Vec<i64> = (0..40).map(|row| START + row).collect();
    let full = loop {
        let batch = rows(&numbers(), &many);
        let tags: Vec<u8> = many.iter().map(|time| *time as u8).collect();
        match journal.commit(&[Part { table: "numbers", rows: &batch, tags: &tags }], b"") {
            Ok(placed) => wanted.extend(said(&placed[0], &many)),
            Err(error) => break error.to_string(),
        }
    };
    assert!(full.contains("No space left on device"), "{full}");
    assert!(!wanted.is_empty());
    assert_eq!(read(&fs::read(&segments(root)[0]).unwrap()).1, wanted, "what did not fit is cut off");
    journal.close_all();
    journal.take_closed(); // there may be room for Parquet, or not
    fs::remove_file(&ballast).unwrap();
    wanted.extend(commit(&mut journal, &[], &[START + 99], b"after"));
    drop(journal);
    let (mut journal, recovered, _) = open(root);
    assert_eq!((recovered.damaged, recovered.note.as_deref()), (vec![], Some(&b"after"[..])));
    journal.close_all();
    assert_eq!(stored(root), sorted(wanted));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_rows_come_back_as_they_went_in(
        frames in proptest::collection::vec(
            (proptest::collection::vec(any::<i64>(), 0..20), proptest::collection::vec(START..START + 3 * HOUR, 0..200), any::<u8>()),
            1..8,
        )
    ) {
        let root = tempfile::tempdir().unwrap();
        let (mut wanted, mut replays): (Vec<_>, Vec<_>) = Default::default();
        let mut journal = open(root.path()).0;
        for (deeds, numbers, what) in frames {
            let said = commit(&mut journal, &deeds, &numbers, &[what]);
            wanted.extend(said.clone());
            replays.extend(said);
            match what {
                0..50 => { journal.close_all(); replays.clear() }
                50..100 => {
                    drop(journal);
                    journal = open(root.path()).0;
                }
                _ => {}
            }
        }
        drop(journal);
        let (mut journal, recovered, replayed) = open(root.path());
        prop_assert!(recovered.damaged.is_empty() && recovered.torn_bytes == 0);
        let replayed = sorted(replayed_rows(&replayed));
        prop_assert!(replayed.iter().all(|row| wanted.contains(row)) && replayed.len() <= replays.len());
        journal.close_all();
        prop_assert_eq!(stored(root.path()), sorted(wanted));
        let closed: u64 = files(journal.take_closed()).iter().map(|file| file.rows).sum();
        prop_assert!(closed >= replayed.len() as u64);
    }
}
