//! The journal of a host: rows are in it at once, and become Parquet later (decision 0014).
//!
//! `ARCHIVE/journal/host=NAME/NNNNNN.journal` are its segments, the last of which is written. A segment is not handed to
//! the closing thread before a frame with the latest note stands in a later one: whenever the process is killed, the
//! note is there.

mod aside;
mod closing;
mod frame;
mod place;
mod recover;
mod segment;

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;

use crate::error::StoreError;
use crate::layout::safe;
use crate::whole::{FILE_MODE, make_folders};
use crate::writer::{Finished, Placed};
use closing::Closer;
use segment::Segment;

pub use recover::read_segment;

/// A buffer for frames that has grown beyond this is given back.
const BUFFER_KEPT: usize = 8 << 20;

/// What a journal is of, and when its segments are closed.
#[derive(Debug, Clone)]
pub struct JournalOptions {
    /// Host whose rows these are.
    pub host: String,
    /// Boot id, for the footers.
    pub boot_id: String,
    /// A segment is closed when its first frame is this old.
    pub rotate_age: Duration,
    /// A segment is closed when it has this many bytes.
    pub rotate_bytes: u64,
    /// Rows are durable at most this long after their commit, and what closing is busy with.
    pub sync_every: Duration,
    /// Rows of a Parquet row group, at most 65,536.
    pub max_row_group_rows: usize,
    /// The tables and their columns.
    pub tables: Vec<(&'static str, SchemaRef)>,
}

/// Rows of one table, to be committed.
#[derive(Debug, Clone, Copy)]
pub struct Part<'a> {
    /// One of the tables of the options.
    pub table: &'static str,
    /// The rows; the column `time` decides where they go.
    pub rows: &'a RecordBatch,
    /// One byte a row that comes back on replay, or none.
    pub tags: &'a [u8],
}

/// Rows that an earlier process committed and that are not Parquet yet.
#[derive(Debug, Clone)]
pub struct Replayed {
    /// One of the tables of the options.
    pub table: &'static str,
    /// The rows.
    pub rows: RecordBatch,
    /// Their tags, as committed.
    pub tags: Vec<u8>,
    /// Where they will stand.
    pub placed: Vec<Placed>,
    /// The note that was committed with them.
    pub note: Arc<[u8]>,
}

/// What a journal held when it was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovered {
    /// The note of the last whole frame.
    pub note: Option<Vec<u8>>,
    /// When that was written, in nanoseconds since 1970.
    pub note_time: Option<i64>,
    /// Whole frames.
    pub frames: u64,
    /// Rows in them.
    pub rows: u64,
    /// Bytes at the ends of segments that are no whole frame.
    pub torn_bytes: u64,
    /// What is damaged, a line each: rows are gone.
    pub damaged: Vec<String>,
    /// Segments that cannot be read and stay as they are, a line each: the next start tries them again.
    pub unread: Vec<String>,
}

/// What the closing thread did.
#[derive(Debug)]
pub enum Closed {
    /// A file stands in the archive.
    File(Finished),
    /// A segment could not become Parquet now, or not be made durable. It stays, and is tried again; the same reason is
    /// not given twice.
    Deferred(StoreError),
    /// Rows are gone, because bytes of the segment are damaged.
    Lost {
        /// The file in which they would have stood. If other rows of it are left, its [`Closed::File`] comes next.
        relative: Arc<str>,
        /// How many.
        rows: u64,
        /// What is wrong with the bytes.
        why: String,
    },
}

/// The segment that is written.
struct Current {
    segment: Segment,
    file: Arc<File>,
    /// When its first rows came, and the latest hour among them.
    began: Option<(Instant, i64)>,
    /// The latest hour of all its rows.
    newest: i64,
    /// Bytes of it that are durable, or will be soon.
    synced: u64,
    /// It cannot be written any more.
    broken: bool,
}

impl Current {
    /// Somebody removed or replaced the file: what is written to it is read by nobody.
    fn is_gone(&self) -> bool {
        let own = self.file.metadata().map(|meta| meta.ino());
        let there = fs::symlink_metadata(&self.segment.path).map(|meta| meta.ino());
        matches!((own, there), (Ok(own), Ok(there)) if own != there)
            || fs::symlink_metadata(&self.segment.path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
    }

    fn is_due(&self, now: Instant, options: &JournalOptions) -> bool {
        let aged = self
            .began
            .is_some_and(|(at, hour)| now.saturating_duration_since(at) >= options.rotate_age || self.newest > hour);
        aged || self.segment.length >= options.rotate_bytes
    }
}

/// The journal of a host, open in this process alone. Dropped, it leaves its segments for the next to open it.
pub struct Journal {
    root: PathBuf,
    folder: PathBuf,
    options: Arc<JournalOptions>,
    next: u64,
    current: Option<Current>,
    /// Segments that wait for a later frame.
    sealed: Vec<Segment>,
    /// The latest note and its time.
    note: Option<(i64, Vec<u8>)>,
    /// The last number given in the file names of each table.
    sequences: Vec<u32>,
    /// Names that segments of earlier processes will take.
    promised: HashSet<Arc<str>>,
    buffer: Vec<u8>,
    bytes: Arc<AtomicU64>,
    /// Of these, bytes of segments that stay, as nobody here can read them.
    unread: u64,
    synced_at: Instant,
    closer: Closer,
    /// Held until all else is gone.
    _lock: File,
}

impl Journal {
    /// Opens the journal of a host below an archive and replays what it holds, in order. What cannot be read is named
    /// in the result and stays where it is, if another version may read it.
    ///
    /// # Errors
    /// [`StoreError::Busy`] if another process has it open, [`StoreError::Write`] if its folder cannot be written.
    pub fn open(
        root: &Path,
        options: JournalOptions,
        replay: &mut dyn FnMut(Replayed),
    ) -> Result<(Self, Recovered), StoreError> {
        let folder = make_folders(root, &Path::new("journal").join(format!("host={}", safe(&options.host))))?;
        let lock = lock(&folder)?;
        let found = recover::folder(root, &folder, &options, replay)?;
        let (options, bytes) = (Arc::new(options), Arc::new(AtomicU64::new(found.bytes)));
        let closer = Closer::start(root, &options, &bytes).map_err(|e| StoreError::write(&folder, &e))?;
        let recovered = found.recovered;
        let mut this = Self {
            root: root.into(),
            folder,
            sequences: vec![0; options.tables.len()],
            options,
            next: found.next,
            current: None,
            promised: found.segments.iter().flat_map(|s| &s.targets).map(|t| t.relative.clone()).collect(),
            sealed: found.segments,
            note: recovered.note_time.zip(recovered.note.clone()),
            buffer: Vec::new(),
            bytes,
            unread: found.unread,
            synced_at: Instant::now(),
            closer,
            _lock: lock,
        };
        this.hand_over();
        Ok((this, recovered))
    }

    /// Writes all parts and the note as one frame, or nothing. Says for each part where its rows will stand.
    ///
    /// # Errors
    /// [`StoreError::Write`]; the next call tries again.
    pub fn commit(&mut self, parts: &[Part<'_>], note: &[u8]) -> Result<Vec<Vec<Placed>>, StoreError> {
        let mut current = match self.current.take() {
            Some(current) => current,
            None => self.begin()?,
        };
        let committed = self.commit_to(&mut current, parts, note);
        if current.broken {
            self.sealed.push(current.segment);
        } else {
            self.current = Some(current);
        }
        committed
    }

    fn commit_to(
        &mut self,
        current: &mut Current,
        parts: &[Part<'_>],
        note: &[u8],
    ) -> Result<Vec<Vec<Placed>>, StoreError> {
        let staged = self.stage(&current.segment, parts)?;
        let time = now_ns();
        let at = current.segment.length;
        self.append(current, time, parts, note, &staged.placed)?;
        for (placed, table) in staged.placed.iter().zip(&staged.tables) {
            current.segment.enter(*table, at, placed);
        }
        for (relative, hour) in &staged.fresh {
            let fresh = current.segment.targets.iter_mut().find(|target| target.relative == *relative);
            fresh.into_iter().for_each(|target| target.hour = *hour);
        }
        self.sequences = staged.sequences;
        if let Some(hour) = staged.newest {
            current.newest = current.newest.max(hour);
            current.began.get_or_insert((Instant::now(), hour));
        }
        let mut kept = self.note.take().map_or_else(Vec::new, |(_, note)| note);
        kept.clear();
        kept.extend_from_slice(note);
        self.note = Some((time, kept));
        Ok(staged.placed)
    }

    /// Writes a frame to the end of a segment. After an error the segment ends where it did.
    fn append(
        &mut self,
        current: &mut Current,
        time: i64,
        parts: &[Part<'_>],
        note: &[u8],
        placed: &[Vec<Placed>],
    ) -> Result<(), StoreError> {
        let segment = &mut current.segment;
        if self.buffer.capacity() > BUFFER_KEPT {
            self.buffer = Vec::new();
        }
        frame::encode(&mut self.buffer, segment.id, time, &segment.boot_id, note, parts, placed)
            .map_err(|why| StoreError::Write { path: segment.path.clone(), why })?;
        if let Err(error) = current.file.write_all_at(&self.buffer, segment.length) {
            let cut = current.file.set_len(segment.length);
            let full = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
            current.broken = cut.is_err() || !full;
            return Err(StoreError::write(&segment.path, &error));
        }
        segment.length += self.buffer.len() as u64;
        self.bytes.fetch_add(self.buffer.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    /// Hands segments that are due to the closing thread, and has the open one made durable now and then.
    pub fn tend(&mut self, now: Instant) {
        let due = self.current.as_ref().is_some_and(|current| current.is_due(now, &self.options));
        if due && let Ok(next) = self.continued() {
            self.sealed.extend(self.current.replace(next).map(|old| old.segment));
        }
        if self.current.as_ref().is_some_and(|current| current.segment.length > 0 && current.is_gone()) {
            self.sealed.extend(self.current.take().map(|current| current.segment));
        }
        self.hand_over();
        if now.saturating_duration_since(self.synced_at) < self.options.sync_every {
            return;
        }
        self.synced_at = now;
        if let Some(current) = self.current.as_mut().filter(|current| current.synced < current.segment.length) {
            current.synced = current.segment.length;
            self.closer.sync(&current.file, &current.segment.path);
        }
    }

    /// What is sealed may go once the latest note stands behind it.
    fn hand_over(&mut self) {
        if self.sealed.is_empty() {
            return;
        }
        if self.current.is_none() && self.note.is_some() {
            self.current = self.continued().ok(); // a full disk: later
        }
        if self.note.is_none() || self.current.as_ref().is_some_and(|current| current.segment.length > 0) {
            self.closer.close(std::mem::take(&mut self.sealed));
        }
    }

    /// A new segment that begins with the latest note.
    fn continued(&mut self) -> Result<Current, StoreError> {
        let mut current = self.begin()?;
        let Some((time, note)) = self.note.take() else { return Ok(current) };
        let written = self.append(&mut current, time, &[], &note, &[]);
        self.note = Some((time, note));
        match written {
            Ok(()) => Ok(current),
            Err(error) => {
                let _ = fs::remove_file(&current.segment.path);
                Err(error)
            }
        }
    }

    fn begin(&mut self) -> Result<Current, StoreError> {
        let segment = Segment::new(&self.folder, self.next, random(), &self.options.boot_id);
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(FILE_MODE).open(&segment.path);
        let file = Arc::new(file.map_err(|e| StoreError::write(&segment.path, &e))?);
        self.next += 1;
        Ok(Current { segment, file, began: None, newest: i64::MIN, synced: 0, broken: false })
    }

    /// Hands all rows to the closing thread and waits until it has tried each segment once. The latest note stays in the
    /// journal, if there is room for it.
    pub fn close_rows(&mut self) {
        let next = self.continued().ok();
        self.sealed.extend(std::mem::replace(&mut self.current, next).map(|old| old.segment));
        self.closer.finish(std::mem::take(&mut self.sealed));
    }

    /// As [`Journal::close_rows`], for the end: the latest note is then in no segment, unless one could not be closed.
    pub fn close_all(&mut self) {
        self.sealed.extend(self.current.take().map(|current| current.segment));
        self.closer.finish(std::mem::take(&mut self.sealed));
    }

    /// What the closing thread did since the last call.
    pub fn take_closed(&mut self) -> Vec<Closed> {
        self.closer.take()
    }

    /// Bytes on disk of segments that are not closed yet.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Whether there are segments that wait to be closed. Those that cannot be read wait for another program.
    #[must_use]
    pub fn has_rows(&self) -> bool {
        self.bytes() > self.unread
    }
}

/// Folders of journals of other hosts that hold rows: nobody makes files of them as long as nobody opens them.
#[must_use]
pub fn journals_of_others(root: &Path, host: &str) -> Vec<PathBuf> {
    let own = format!("host={}", safe(host));
    let entries = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten();
    let holds =
        |folder: &Path| entries(folder).any(|file| file.file_name().to_str().and_then(segment::number_of).is_some());
    let others = entries(&root.join("journal")).filter(|entry| entry.file_name() != *own);
    others.map(|entry| entry.path()).filter(|folder| holds(folder)).collect()
}

fn lock(folder: &Path) -> Result<File, StoreError> {
    let path = folder.join("lock");
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(FILE_MODE).open(&path);
    let file = file.map_err(|e| StoreError::write(&path, &e))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Busy(folder.into())),
        Err(TryLockError::Error(error)) => Err(StoreError::write(&path, &error)),
    }
}

fn now_ns() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// A number that rows cannot know.
fn random() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(now_ns())
}
