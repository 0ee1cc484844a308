//! Where cuts go: the journal, which becomes the archive's Parquet files, with an exact count of what is in them.

use crate::{
    before::{Before, Tally},
    books::WriterBooks,
    cut::{Cut, Note},
    error::{AgentError, one_line},
    facts::Facts,
    kernel,
    rows::{Batch, Counts},
};
use events::{CONNECTION, DNS, EventType, HEARTBEAT, PROCESS};
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};
use store::{Closed, Finished, Journal, JournalOptions, Limits, Part, Placed, Replayed, Uploaded};

/// Where cuts go.
pub trait Sink {
    /// Stores a cut: all of it or nothing. What cannot be stored now comes back, and why is said.
    ///
    /// # Errors
    /// The cut, to be tried again or given up before any other.
    fn store(&mut self, cut: Box<Cut>) -> Result<(), Box<Cut>>;
    /// Counts the rows of a cut that could not be stored to the end.
    fn give_up(&mut self, cut: &Cut);
    /// Makes complete files of what is due.
    fn tend(&mut self, now: Instant);
    /// Makes complete files of everything, as far as that is possible now. Heartbeats may still come.
    fn close_events(&mut self);
    /// As [`Sink::close_events`], for good. Returns the last thing that went wrong, if anything did.
    fn finish(&mut self) -> Option<String>;
}

/// Told where rows landed and which files are complete.
pub trait Follower {
    /// Rows of a batch are in files that are still being written.
    fn placed(&mut self, batch: &Batch, placed: &[Placed]);
    /// A file is complete.
    fn finished(&mut self, file: &Finished);
    /// Some time has passed.
    fn tick(&mut self);
    /// Nothing more comes. Returns the last thing that went wrong, if anything did.
    fn finish(&mut self) -> Option<String>;
}

/// None: nobody follows.
impl<F: Follower> Follower for Option<F> {
    fn placed(&mut self, batch: &Batch, placed: &[Placed]) {
        if let Some(follower) = self {
            follower.placed(batch, placed);
        }
    }

    fn finished(&mut self, file: &Finished) {
        if let Some(follower) = self {
            follower.finished(file);
        }
    }

    fn tick(&mut self) {
        if let Some(follower) = self {
            follower.tick();
        }
    }

    fn finish(&mut self) -> Option<String> {
        self.as_mut().and_then(F::finish)
    }
}

/// The archive of one host.
pub struct Archive<F> {
    journal: Journal,
    /// Rows of this run by type, in each file that is promised and not complete.
    open: HashMap<Arc<str>, Counts>,
    books: Arc<WriterBooks>,
    follower: F,
    /// Who keeps the latest note, whatever becomes of the journal.
    keeper: Option<Facts>,
    trouble: Trouble,
    /// Why nothing can be written to the journal now.
    blocked: Trouble,
    /// Why what is in the journal cannot become files now.
    deferred: Trouble,
    root: PathBuf,
    space: Space,
    /// What is elsewhere, too.
    uploaded: Uploaded,
}

/// How much room the archive takes.
#[derive(Default)]
struct Space {
    limits: Limits,
    next: Option<Instant>,
    /// The journal alone takes too much.
    over: bool,
}

/// Time between looks at the room that the archive takes; less while there is too much.
const LOOK: Duration = Duration::from_secs(30);

impl Space {
    fn is_due(&mut self, now: Instant, journal: u64) -> bool {
        let limited = self.limits != Limits::default();
        let over = self.limits.max_bytes.is_some_and(|max| journal > max);
        limited && (over || self.over || self.next.is_none_or(|next| now >= next))
    }

    fn looked(&mut self, now: Instant, removed: &store::Removed) {
        self.over = removed.over;
        self.next = (!removed.more).then(|| now + LOOK);
    }
}

/// What an archive is of.
#[derive(Debug, Clone, Copy)]
pub struct ArchiveOptions<'a> {
    /// Its folder.
    pub root: &'a Path,
    /// The host whose rows these are.
    pub host: &'a str,
    /// The boot id, for the files.
    pub boot_id: &'a str,
    /// Files are made when the journal is this old.
    pub rotate: Duration,
    /// Or has this many bytes.
    pub rotate_bytes: u64,
    /// Rows are durable after so long.
    pub sync: Duration,
    /// What it may hold.
    pub limits: Limits,
    /// The loader's run.
    pub run: &'a str,
    /// The run has begun: what cannot be written now may be later.
    pub begun: bool,
    /// The latest note of this run that somebody kept.
    pub kept: Option<&'a Note>,
}

/// Says what went wrong once, not once a batch.
#[derive(Default)]
struct Trouble(Option<String>);

impl Trouble {
    fn say(&mut self, error: &impl std::fmt::Display) {
        let text = error.to_string();
        if self.0.as_ref() != Some(&text) {
            crate::say!("warning: {}", one_line(&text));
            self.0 = Some(text);
        }
    }

    /// It is over.
    fn pass(&mut self, what: &str) {
        if self.0.take().is_some() {
            crate::say!("{what}");
        }
    }
}

impl<F: Follower> Archive<F> {
    /// An archive below a folder, which must be writable. What its journal holds is placed again, as if it came now.
    ///
    /// # Errors
    /// [`AgentError::Archive`] if the folder cannot be made or written, or another agent writes there.
    pub fn open(
        options: ArchiveOptions<'_>,
        books: Arc<WriterBooks>,
        mut follower: F,
    ) -> Result<(Self, Before), AgentError> {
        let ArchiveOptions { root, host, boot_id, rotate, rotate_bytes, sync, limits, run, begun, kept } = options;
        let full = match probe(root) {
            Err(error) if begun => Some(one_line(&error.to_string())),
            probed => probed.map(|()| None)?,
        };
        let options = JournalOptions {
            host: host.into(),
            boot_id: boot_id.into(),
            rotate_age: rotate,
            rotate_bytes: limits.segment_bytes(rotate_bytes),
            sync_every: sync,
            max_row_group_rows: store::WriterOptions::default().max_row_group_rows,
            tables: vec![
                (PROCESS, events::process_schema()),
                (CONNECTION, events::connection_schema()),
                (DNS, events::dns_schema()),
                (HEARTBEAT, events::heartbeat_schema()),
            ],
        };
        let (mut open, mut found) = (HashMap::new(), Tally::default());
        let (journal, recovered) = Journal::open(root, options, &mut |replayed| {
            // Those of an earlier run are in its books.
            let ours = Note::run_of(&replayed.note) == Some(run);
            let note = replayed.note.clone();
            let (batch, placed) = again(replayed);
            found.enter(&note, &batch.kinds);
            if ours {
                count(&mut open, &batch, &placed);
            }
            follower.placed(&batch, &placed);
        })
        .map_err(|error| refused(root, error))?;
        // Not before it is clear that it begins: one that cannot is followed by others.
        let unread = recovered.unread.iter().filter(|_| !begun);
        for line in full.iter().chain(&recovered.damaged).chain(unread) {
            crate::say!("warning: {}", one_line(line));
        }
        books.unread(&recovered.unread);
        for other in store::journals_of_others(root, host).iter().filter(|_| !begun) {
            let (path, then) = (other.display(), "run the agent once with --host and that name to have files of them");
            crate::say!("warning: {}; {then}", one_line(&format!("rows of another host in the journal: {path}")));
        }
        let note = recovered.note.as_deref().and_then(Note::from_bytes);
        let before = Before::of(note, kept.cloned(), &found, recovered.rows);
        if before.missing > 0 {
            crate::say!("warning: {} rows of the journal are gone; they are counted as not stored", before.missing);
        }
        if let Some(note) = before.of_run(run) {
            books.resume(note.rows, sum(open.values()));
            books.resume_unscored(note.unscored);
        }
        let (trouble, blocked, deferred) = Default::default();
        let space = Space { limits, ..Space::default() };
        let (root, uploaded) = (root.into(), Uploaded::of(root));
        let keeper = None;
        let this = Self { journal, open, books, follower, keeper, trouble, blocked, deferred, root, space, uploaded };
        Ok((this, before))
    }

    /// Gives each note to somebody who keeps the latest.
    #[must_use]
    pub fn kept_by(mut self, keeper: Facts) -> Self {
        self.keeper = Some(keeper);
        self
    }

    fn place(&mut self, batch: &Batch, placed: &[Placed]) {
        count(&mut self.open, batch, placed);
        batch.kinds.iter().for_each(|kind| self.books.placed(*kind, 1));
        self.follower.placed(batch, placed);
    }

    fn complete(&mut self) {
        for closed in self.journal.take_closed() {
            match closed {
                Closed::File(file) => {
                    let counts = self.open.remove(&file.relative).unwrap_or_default();
                    EventType::ALL.into_iter().for_each(|kind| self.books.wrote(kind, counts[kind.index()]));
                    self.follower.finished(&file);
                }
                Closed::Deferred(error) => self.deferred.say(&format!("{error}; the journal is kept, and tried again")),
                Closed::Lost { relative, rows, why } => self.lost(&relative, rows, &why),
            }
        }
    }

    /// Removes what the archive may not keep, now and then.
    fn tidy(&mut self, now: Instant) {
        if !self.space.is_due(now, self.journal.bytes()) {
            return;
        }
        self.uploaded.refresh();
        let elsewhere = |path: &Path| self.uploaded.uploaded(path);
        match store::tidy(&self.root, &self.space.limits, kernel::utc_now(), self.journal.bytes(), &elsewhere) {
            Ok(removed) => {
                self.books.removed(&removed);
                if let Some(error) = &removed.trouble {
                    self.trouble.say(error);
                }
                if removed.over && !self.space.over {
                    crate::say!(
                        "warning: the journal alone has more bytes than the archive may have: new rows are dropped"
                    );
                }
                self.space.looked(now, &removed);
            }
            Err(error) => self.trouble.say(&error),
        }
    }

    /// Some rows of a file are gone. Which is not known, so they are taken from the types there as they come.
    fn lost(&mut self, relative: &str, mut rows: u64, why: &str) {
        self.trouble.say(&format!("{relative}: {rows} rows lost: {why}"));
        let Some(counts) = self.open.get_mut(relative) else { return };
        for kind in EventType::ALL {
            let some = rows.min(counts[kind.index()]);
            counts[kind.index()] -= some;
            rows -= some;
            self.books.lost(kind, some);
        }
    }
}

/// Rows that are in the journal already.
fn again(replayed: Replayed) -> (Batch, Vec<Placed>) {
    let kinds = replayed.tags.iter().filter_map(|tag| EventType::try_from(u16::from(*tag)).ok()).collect();
    (Batch::new(replayed.table, replayed.rows, kinds), replayed.placed)
}

/// Enters rows of a batch under the files in which they will stand.
fn count(open: &mut HashMap<Arc<str>, Counts>, batch: &Batch, placed: &[Placed]) {
    for run in placed {
        let counts = open.entry(run.relative.clone()).or_default();
        for kind in batch.kinds.iter().skip(run.offset).take(run.rows) {
            counts[kind.index()] += 1;
        }
    }
}

fn sum<'a>(all: impl Iterator<Item = &'a Counts>) -> Counts {
    all.fold(Counts::default(), |sum, counts| std::array::from_fn(|at| sum[at] + counts[at]))
}

impl<F: Follower> Sink for Archive<F> {
    fn store(&mut self, mut cut: Box<Cut>) -> Result<(), Box<Cut>> {
        if self.space.over {
            cut.kinds().for_each(|kind| self.books.full(*kind, 1));
            cut.batches.clear();
        }
        cut.note.rows = self.books.totals();
        cut.note.unscored = self.books.unscored_closed.load(Relaxed);
        for kind in cut.batches.iter().flat_map(|batch| &batch.kinds) {
            cut.note.rows.stored[kind.index()] += 1;
            cut.note.rows.open[kind.index()] += 1;
        }
        let tags = |batch: &Batch| batch.kinds.iter().map(|kind| *kind as u8).collect::<Vec<_>>();
        let tags: Vec<_> = cut.batches.iter().map(tags).collect();
        let parts = cut.batches.iter().zip(&tags);
        let parts: Vec<_> = parts.map(|(batch, tags)| Part { table: batch.table, rows: &batch.rows, tags }).collect();
        let note = cut.note.to_bytes();
        let committed = self.journal.commit(&parts, &note);
        self.complete();
        match committed {
            Ok(placed) => {
                cut.batches.iter().zip(placed).for_each(|(batch, placed)| self.place(batch, &placed));
                self.blocked.pass("the archive can be written again");
                self.books.block(None);
                self.keeper.iter().for_each(|keeper| keeper.keep(note.clone()));
                Ok(())
            }
            Err(error) => {
                self.blocked.say(&format!("{error}; events wait in the rings"));
                self.books.block(Some(error.to_string()));
                Err(cut)
            }
        }
    }

    fn give_up(&mut self, cut: &Cut) {
        cut.kinds().for_each(|kind| self.books.failed(*kind, 1));
        let note = Note { rows: self.books.totals(), ..cut.note.clone() };
        self.keeper.iter().for_each(|keeper| keeper.keep(note.to_bytes()));
        self.trouble.0 = self.blocked.0.clone();
    }

    fn tend(&mut self, now: Instant) {
        self.journal.tend(now);
        self.complete();
        self.tidy(now);
        self.follower.tick();
    }

    fn close_events(&mut self) {
        self.journal.close_rows();
        self.complete();
    }

    fn finish(&mut self) -> Option<String> {
        self.journal.close_all();
        self.complete();
        let deferred = self.deferred.0.take().filter(|_| self.journal.has_rows());
        self.follower.finish().or(deferred).or(self.trouble.0.take())
    }
}

/// Makes the folder, if its parent is there, and tries a file in it: better to fail now than after an hour.
fn probe(root: &Path) -> Result<(), AgentError> {
    store::ensure_folder(root).and_then(|()| store::try_folder(root)).map_err(|error| refused(root, error))
}

fn refused(root: &Path, error: store::StoreError) -> AgentError {
    match error {
        store::StoreError::Write { path, why } => AgentError::Archive { path, why },
        other => AgentError::Archive { path: root.into(), why: other.to_string() },
    }
}

#[cfg(test)]
mod tests {
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
}
