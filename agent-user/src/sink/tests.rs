use super::*;
use crate::{books::Snapshot, enrich::Enricher, scoring::Scoring};
use bytemuck::{Zeroable, bytes_of};
use events::TaskHead;

fn forks(count: u64) -> Batch {
    let mut enricher = Enricher::new([0; 4], &"h".into(), 10_000);
    for start in 0..count {
        let kind = EventType::Fork as u16;
        enricher.record(bytes_of(&TaskHead { kind, tgid: 1 << 30, start, ..TaskHead::zeroed() }));
    }
    enricher.take().unwrap().remove(0)
}

type Opened = Result<(Archive<Option<Scoring>>, Before), AgentError>;

fn open(root: &Path, books: &Arc<WriterBooks>, run: &str) -> Opened {
    open_limited(root, books, run, Limits::default())
}

fn open_limited(root: &Path, books: &Arc<WriterBooks>, run: &str, limits: Limits) -> Opened {
    let (rotate, rotate_bytes, sync) = (Duration::from_secs(60), 1 << 20, Duration::from_secs(5));
    let options = ArchiveOptions {
        root,
        host: "h",
        boot_id: "boot",
        rotate,
        rotate_bytes,
        sync,
        limits,
        run,
        begun: false,
        kept: None,
    };
    Archive::open(options, books.clone(), None)
}

fn cut(batch: Batch, run: &str) -> Box<Cut> {
    Box::new(Cut { number: 1, batches: vec![batch], note: Note { run: run.into(), ..Note::default() } })
}

fn counts(books: &WriterBooks) -> (u64, u64, u64) {
    let snapshot = Snapshot::default().with_writer(books);
    (snapshot.open[1], snapshot.written[1], snapshot.write_failed[1])
}

#[test]
fn what_is_written_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let books = Arc::new(WriterBooks::default());
    let (mut archive, before) = open(folder.path(), &books, "a").unwrap();
    assert!(before.note.is_none());
    archive.store(cut(forks(100), "a")).unwrap();
    assert_eq!(counts(&books), (100, 0, 0));
    archive.close_events();
    assert_eq!(counts(&books), (0, 100, 0));
    archive.store(cut(forks(50), "a")).unwrap();
    assert_eq!(archive.finish(), None);
    assert_eq!(counts(&books), (0, 150, 0));
}

#[test]
fn whoever_goes_on_has_the_same_books() {
    let folder = tempfile::tempdir().unwrap();
    let books = Arc::new(WriterBooks::default());
    let (mut archive, _) = open(folder.path(), &books, "a").unwrap();
    archive.store(cut(forks(100), "a")).unwrap();
    archive.close_events();
    archive.store(cut(forks(50), "a")).unwrap();
    drop(archive);
    let books = Arc::new(WriterBooks::default());
    let (mut archive, before) = open(folder.path(), &books, "a").unwrap();
    assert_eq!((before.of_run("a").unwrap().rows.stored[1], before.rows), (150, 50));
    assert_eq!(counts(&books), (50, 100, 0));
    assert_eq!(archive.finish(), None);
    assert_eq!(counts(&books), (0, 150, 0));
}

#[test]
fn whoever_goes_on_knows_of_rows_without_a_score() {
    let folder = tempfile::tempdir().unwrap();
    let books = Arc::new(WriterBooks::default());
    let (mut archive, _) = open(folder.path(), &books, "a").unwrap();
    // Of nine, four are of a file that is not complete: it comes again, and is counted again.
    books.unscored.store(9, Relaxed);
    books.unscored_closed.store(5, Relaxed);
    archive.store(cut(forks(4), "a")).unwrap();
    drop(archive);
    let unscored = |run| {
        let books = Arc::new(WriterBooks::default());
        drop(open(folder.path(), &books, run).unwrap());
        books.unscored.load(Relaxed)
    };
    assert_eq!((unscored("a"), unscored("another run")), (5, 0));
}

#[test]
fn rows_of_another_run_are_in_its_books() {
    let folder = tempfile::tempdir().unwrap();
    let books = Arc::new(WriterBooks::default());
    let (mut archive, _) = open(folder.path(), &books, "a").unwrap();
    archive.store(cut(forks(50), "a")).unwrap();
    drop(archive);
    let books = Arc::new(WriterBooks::default());
    let (mut archive, before) = open(folder.path(), &books, "b").unwrap();
    assert_eq!(before.other_than("b").unwrap().rows.stored[1], 50);
    archive.store(cut(forks(7), "b")).unwrap();
    assert_eq!(archive.finish(), None);
    assert_eq!(counts(&books), (0, 7, 0));
    assert_eq!(store::discover(&[folder.path().join(PROCESS)]).unwrap().len(), 2);
}

#[test]
fn what_cannot_become_a_file_stays_open() {
    let folder = tempfile::tempdir().unwrap();
    let books = Arc::new(WriterBooks::default());
    let (mut archive, _) = open(folder.path(), &books, "a").unwrap();
    // A file where the table's folder should be.
    std::fs::write(folder.path().join(PROCESS), "").unwrap();
    archive.store(cut(forks(100), "a")).unwrap();
    archive.close_events();
    assert_eq!(counts(&books), (100, 0, 0));
    std::fs::remove_file(folder.path().join(PROCESS)).unwrap();
    assert_eq!(archive.finish(), None);
    assert_eq!(counts(&books), (0, 100, 0));
}

#[test]
fn what_has_no_room_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let books = Arc::new(WriterBooks::default());
    let limits = Limits { max_bytes: Some(40_000), ..Limits::default() };
    let (mut archive, _) = open_limited(folder.path(), &books, "a", limits).unwrap();
    for _ in 0..4 {
        archive.store(cut(forks(100), "a")).unwrap();
        archive.close_events();
    }
    archive.tend(Instant::now());
    let snapshot = Snapshot::default().with_writer(&books);
    let removed = snapshot.removed.cap[1];
    assert!((100..400).contains(&removed) && snapshot.removed.unsaved[1] == removed, "{removed}");
    assert_eq!(counts(&books), (0, 400, 0));
    // The journal alone is too much: what comes is dropped until it has become files, which it cannot now.
    let (process, away) = (folder.path().join(PROCESS), folder.path().join("away"));
    std::fs::rename(&process, &away).unwrap();
    std::fs::write(&process, "").unwrap();
    archive.store(cut(forks(2000), "a")).unwrap();
    archive.tend(Instant::now());
    archive.store(cut(forks(10), "a")).unwrap();
    let snapshot = Snapshot::default().with_writer(&books);
    assert_eq!((snapshot.open[1], snapshot.spool_full[1]), (2000, 10));
    std::fs::remove_file(&process).unwrap();
    std::fs::rename(&away, &process).unwrap();
    archive.close_events();
    archive.tend(Instant::now());
    archive.store(cut(forks(10), "a")).unwrap();
    assert_eq!(Snapshot::default().with_writer(&books).spool_full[1], 10);
}

#[test]
fn files_are_closed_before_the_journal_alone_takes_all_the_room() {
    let folder = tempfile::tempdir().unwrap();
    let books = Arc::new(WriterBooks::default());
    let limits = Limits { max_bytes: Some(200_000), ..Limits::default() };
    assert!(limits.segment_bytes(1 << 20) == 50_000 && limits.segment_bytes(10) == 10);
    let (mut archive, _) = open_limited(folder.path(), &books, "a", limits).unwrap();
    while archive.journal.bytes() < 60_000 {
        archive.store(cut(forks(100), "a")).unwrap();
    }
    let asked = Instant::now();
    while counts(&books).0 > 0 {
        assert!(asked.elapsed() < Duration::from_secs(100), "it waits for its age");
        archive.tend(Instant::now());
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn what_nobody_can_read_is_said_and_no_fault_of_this_run() {
    let folder = tempfile::tempdir().unwrap();
    let books = Arc::new(WriterBooks::default());
    let (mut archive, _) = open(folder.path(), &books, "a").unwrap();
    archive.store(cut(forks(1), "a")).unwrap();
    drop(archive);
    let segment = folder.path().join("journal/host=h/000001.journal");
    let mut bytes = std::fs::read(&segment).unwrap();
    // Of another version, and the check of its head fits.
    bytes[4] += 1;
    let mut check = u32::MAX;
    for byte in &bytes[..24] {
        check ^= u32::from(*byte);
        (0..8).for_each(|_| check = (check >> 1) ^ (0xedb8_8320 & (check & 1).wrapping_neg()));
    }
    bytes[24..28].copy_from_slice(&(!check).to_le_bytes());
    std::fs::write(&segment, &bytes).unwrap();
    let books = Arc::new(WriterBooks::default());
    let (mut archive, _) = open(folder.path(), &books, "b").unwrap();
    let unread = Snapshot::default().with_writer(&books).unread;
    assert!(unread.len() == 1 && unread[0].contains("000001.journal"), "{unread:?}");
    // What could not become a file for a while has become one at the end.
    std::fs::write(folder.path().join(PROCESS), "").unwrap();
    archive.store(cut(forks(100), "b")).unwrap();
    archive.close_events();
    std::fs::remove_file(folder.path().join(PROCESS)).unwrap();
    assert_eq!(archive.finish(), None);
    assert_eq!(std::fs::read(&segment).unwrap(), bytes);
}

#[test]
fn an_archive_without_a_parent_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let books = Arc::new(WriterBooks::default());
    let error = open(&folder.path().join("a/b"), &books, "a").err().unwrap();
    assert!(matches!(error, AgentError::Archive { .. }), "{error}");
    assert!(!error.to_string().contains('\n'));
}
