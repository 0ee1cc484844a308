//! Keeping an archive small: what goes, in which order, and what never does.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow_array::types::Int32Type;
use arrow_array::{ArrayRef, DictionaryArray, RecordBatch, TimestampNanosecondArray, UInt64Array};
use arrow_schema::DataType;
use ebbline_store as store;
use ebbline_store::{Journal, JournalOptions, Limits, Part, Removed, StoreError, TableWriter, WriterOptions, tidy};

const HOUR: i64 = 3_600_000_000_000;
const DAY: i64 = 24 * HOUR;
const START: i64 = 20_616 * DAY + 12 * HOUR; // noon in June 2026
const BASELINE: &str = "0123456789abcdef";

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

/// A file of three rows for each time, with a sidecar. Paths are relative.
fn archive(root: &Path, times: &[i64]) -> Vec<String> {
    let options = WriterOptions { rotate_bytes: 1, ..WriterOptions::default() };
    let mut writer = TableWriter::new(root, events::HEARTBEAT, "web1", events::heartbeat_schema(), options);
    times.iter().for_each(|time| drop(writer.write(&heartbeats(&[*time; 3])).unwrap()));
    let files: Vec<_> = writer.take_finished().into_iter().map(|file| file.relative.to_string()).collect();
    for file in &files {
        put(&root.join("scores").join(BASELINE).join(file), "sidecar");
    }
    files
}

fn put(path: &Path, content: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// Every file and every folder without one, relative to a folder.
fn below(root: &Path) -> Vec<String> {
    fn walk(folder: &Path, root: &Path, found: &mut Vec<String>) {
        let before = found.len();
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.is_symlink() {
                walk(&path, root, found);
            } else {
                found.push(path.strip_prefix(root).unwrap().display().to_string());
            }
        }
        if found.len() == before {
            found.push(folder.strip_prefix(root).unwrap().display().to_string());
        }
    }
    let mut found = Vec::new();
    walk(root, root, &mut found);
    found.sort();
    found
}

fn bytes(root: &Path, files: &[String]) -> u64 {
    files.iter().map(|file| fs::metadata(root.join(file)).unwrap().len() + "sidecar".len() as u64).sum()
}

fn age(hours: u64) -> Limits {
    Limits { keep: Some(Duration::from_secs(3600 * hours)), max_bytes: None }
}

fn cap(max_bytes: u64) -> Limits {
    Limits { keep: None, max_bytes: Some(max_bytes) }
}

fn rows(counts: &store::RowsByKind) -> Vec<(&str, u64)> {
    counts.iter().map(|(kind, rows)| (kind.as_str(), *rows)).collect()
}

fn tidied(root: &Path, limits: &Limits, now: i64, journal: u64) -> Removed {
    let removed = tidy(root, limits, now, journal, &|_| false).unwrap();
    assert!(removed.trouble.is_none(), "{removed:?}");
    removed
}

#[test]
fn old_files_go_with_their_sidecars_and_their_folders() {
    let root = tempfile::tempdir().unwrap();
    let files = archive(root.path(), &[START - DAY, START + 1, START + HOUR, START + 2 * HOUR]);
    let size = bytes(root.path(), &files[..2]);
    // An hour is old when its end is.
    let removed = tidied(root.path(), &age(10), START + 11 * HOUR - 1, 0);
    assert_eq!((removed.files, rows(&removed.age)), (1, vec![("heartbeat", 3)]));
    assert!(below(root.path()).iter().all(|path| !path.contains("day=2026-06-11")), "empty folders go");
    let second = tidied(root.path(), &age(10), START + 11 * HOUR, 0);
    assert_eq!((second.files, removed.bytes + second.bytes), (1, size));
    assert!(!second.more && !second.over && second.cap.is_empty());
    let left = files[2..].iter().flat_map(|file| [file.clone(), format!("scores/{BASELINE}/{file}")]);
    let mut left: Vec<_> = left.collect();
    left.sort();
    assert_eq!(below(root.path()), left);
}

#[test]
fn without_limits_nothing_goes() {
    let root = tempfile::tempdir().unwrap();
    let files = archive(root.path(), &[0, START]);
    let removed = tidied(root.path(), &Limits::default(), i64::MAX, u64::MAX);
    assert_eq!((removed.files, removed.over, below(root.path()).len()), (0, false, 2 * files.len()));
    assert_eq!(tidied(root.path(), &age(u64::MAX / 3600), START, 0).files, 0);
    assert_eq!(tidied(root.path(), &age(0), i64::MIN, 0).files, 0);
}

#[test]
fn the_oldest_give_way_and_first_those_that_are_elsewhere() {
    let root = tempfile::tempdir().unwrap();
    let files = archive(root.path(), &[START, START + HOUR, START + 2 * HOUR, START + 3 * HOUR]);
    let all = bytes(root.path(), &files);
    assert_eq!(tidied(root.path(), &cap(all), START, 0).files, 0);
    assert_eq!(tidied(root.path(), &cap(all + 5), START, 5).files, 0);
    let uploaded = |path: &Path| path == Path::new(&files[2]);
    let removed = tidy(root.path(), &cap(all - 1), START, 0, &uploaded).unwrap();
    assert_eq!((removed.files, rows(&removed.cap)), (1, vec![("heartbeat", 3)]));
    assert!(removed.not_uploaded.is_empty() && removed.age.is_empty() && !removed.over);
    let left = |at: &[usize]| at.iter().filter(|at| root.path().join(&files[**at]).exists()).count();
    assert_eq!((left(&[2]), left(&[0, 1, 3])), (0, 3));
    // The journal takes room, too.
    let two = bytes(root.path(), &files[..2]);
    let removed = tidied(root.path(), &cap(two + 9), START, 10);
    assert_eq!((removed.files, rows(&removed.not_uploaded)), (2, vec![("heartbeat", 6)]));
    assert_eq!((left(&[0, 1]), left(&[3]), removed.over), (0, 1, false));
    assert_eq!((removed.cap, removed.bytes), (removed.not_uploaded, two));
    let removed = tidied(root.path(), &cap(9), START, 10);
    assert!((removed.files, removed.over) == (1, true), "{removed:?}");
    let removed = tidied(root.path(), &cap(9), START, 10);
    assert!((removed.files, removed.over) == (0, true), "{removed:?}");
}

#[test]
fn the_footer_says_which_rows_went() {
    let root = tempfile::tempdir().unwrap();
    let options = JournalOptions {
        host: "web1".into(),
        boot_id: String::new(),
        rotate_age: Duration::from_secs(60),
        rotate_bytes: 1 << 20,
        sync_every: Duration::from_secs(5),
        max_row_group_rows: 1000,
        tables: vec![(events::HEARTBEAT, events::heartbeat_schema())],
    };
    let (mut journal, _) = Journal::open(root.path(), options, &mut |_| {}).unwrap();
    let batch = heartbeats(&[START; 5]);
    journal.commit(&[Part { table: events::HEARTBEAT, rows: &batch, tags: &[] }], b"").unwrap();
    let folder = root.path().join("journal");
    let before = below(&folder);
    assert_eq!(tidied(root.path(), &cap(0), START + DAY, journal.bytes()).files, 0);
    assert_eq!(below(&folder), before, "the journal stays");
    journal.close_all();
    let removed = tidied(root.path(), &cap(0), START + DAY, journal.bytes());
    assert_eq!((rows(&removed.cap), removed.over), (vec![("heartbeat", 5)], false));
}

#[test]
fn what_is_not_of_the_layout_stays() {
    let root = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    let host = "process/day=2026-06-12/host=web1";
    let name = "20260612T120000Z-000001.parquet";
    let mut stay: Vec<String> = [
        format!("{host}/notes.txt"),
        format!("{host}/{name}.tmp"),
        format!("{host}/20260613T120000Z-000001.parquet"),
        format!("process/{name}"),
        format!("mail/day=2026-06-12/host=web1/{name}"),
        format!("journal/host=web1/{name}"),
        format!("scores/other/{host}/{name}"),
        format!("findings/{BASELINE}/{name}"),
        format!("elsewhere/{host}/{name}"),
    ]
    .into();
    stay.iter().for_each(|path| put(&root.path().join(path), "x"));
    // Links: a file, the folder of a table, the folder of a host, a sidecar.
    put(&outside.path().join(host).join(name), "x");
    symlink(outside.path().join(host).join(name), root.path().join(host).join("20260612T120000Z-000002.parquet"))
        .unwrap();
    symlink(outside.path().join("process"), root.path().join("dns")).unwrap();
    fs::create_dir_all(root.path().join("connection/day=2026-06-12")).unwrap();
    symlink(outside.path().join(host), root.path().join("connection/day=2026-06-12/host=web1")).unwrap();
    stay.extend([
        format!("{host}/20260612T120000Z-000002.parquet"),
        "dns".into(),
        "connection/day=2026-06-12/host=web1".into(),
    ]);
    // One that goes, though it is no Parquet and has a link for a sidecar.
    put(&root.path().join(host).join(name), "no Parquet");
    let sidecar = root.path().join("scores").join(BASELINE).join(host).join(name);
    fs::create_dir_all(sidecar.parent().unwrap()).unwrap();
    symlink(outside.path().join(host).join(name), &sidecar).unwrap();
    stay.push(format!("scores/{BASELINE}/{host}/{name}"));
    stay.sort();
    let mut removed = tidied(root.path(), &age(1), START + DAY, 0);
    removed.files += tidied(root.path(), &cap(0), START + DAY, 0).files;
    assert_eq!((removed.files, removed.bytes, removed.age.len()), (1, 10, 0));
    assert_eq!(below(root.path()), stay);
    assert_eq!(below(outside.path()), [format!("{host}/{name}")]);
}

#[test]
fn a_call_does_so_much_and_no_more() {
    let root = tempfile::tempdir().unwrap();
    let name = |at: usize| root.path().join(format!("dns/day=2026-06-12/host=web1/20260612T120000Z-{at:06}.parquet"));
    (0..1_500).for_each(|at| put(&name(at), "x"));
    for limits in [age(1), cap(200)] {
        let removed = tidied(root.path(), &limits, START + DAY, 0);
        let more = limits.keep.is_some();
        assert_eq!((removed.files, removed.more, removed.over), (if more { 1_000 } else { 300 }, more, false));
    }
    assert!(!name(1_299).exists() && name(1_300).exists(), "oldest first");
}

#[test]
fn a_folder_where_more_will_be_written_stays() {
    let root = tempfile::tempdir().unwrap();
    let files = archive(root.path(), &[START]);
    assert_eq!(tidied(root.path(), &cap(0), START + HOUR, 0).files, 1);
    let folder = PathBuf::from(&files[0]).parent().unwrap().display().to_string();
    assert_eq!(below(root.path()), [folder.clone(), format!("scores/{BASELINE}/{folder}")]);
}

#[test]
fn an_archive_that_is_not_there_is_empty_and_a_file_is_no_archive() {
    let root = tempfile::tempdir().unwrap();
    assert_eq!(tidied(&root.path().join("no"), &age(1), START, 0).files, 0);
    put(&root.path().join("file"), "x");
    let error = tidy(&root.path().join("file"), &age(1), START, 0, &|_| true).unwrap_err();
    assert!(matches!(error, StoreError::Read { .. }), "{error}");
}
