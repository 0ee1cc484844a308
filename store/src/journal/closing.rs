//! The thread that turns segments into Parquet files.
//!
//! Each file of a segment is written whole, then the segment is removed. Whoever is stopped in between finds the segment
//! again, and those of its files that are there by the name of the segment in their footers.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use arrow_array::{Array, RecordBatch, StringArray};
use arrow_schema::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::file::metadata::KeyValue;

use super::segment::{FrameError, Segment, Target, frame};
use super::{Closed, JournalOptions};
use crate::error::StoreError;
use crate::guard::guarded;
use crate::read::ArchiveFile;
use crate::whole::{WholeFile, complete, file_sha256, make_folders, sync_folder};
use crate::writer::{Finished, Origin, table_file};
use crate::{META_JOURNAL, META_ROWS};

/// How long a segment that could not be closed is left alone.
const RETRY: Duration = Duration::from_secs(10);

enum Work {
    Close(Vec<Segment>),
    /// Close these and try what waits; tell when done.
    Finish(Vec<Segment>, Sender<()>),
    Sync(Arc<File>, PathBuf),
}

/// The other end of the thread. Dropped, it waits until the thread has left what it does.
pub(super) struct Closer {
    work: Option<Sender<Work>>,
    closed: Receiver<Closed>,
    thread: Option<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    syncing: Arc<AtomicBool>,
}

impl Closer {
    /// Starts the thread. `bytes` goes down by what is removed.
    pub(super) fn start(root: &Path, options: &Arc<JournalOptions>, bytes: &Arc<AtomicU64>) -> std::io::Result<Self> {
        let (work, todo) = channel();
        let (done, closed) = channel();
        let (stop, syncing) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let worker = Worker {
            root: root.into(),
            options: options.clone(),
            bytes: bytes.clone(),
            closed: done,
            stop: stop.clone(),
            syncing: syncing.clone(),
            waiting: Vec::new(),
        };
        let thread = std::thread::Builder::new().name("closing".into()).spawn(move || worker.run(&todo))?;
        Ok(Self { work: Some(work), closed, thread: Some(thread), stop, syncing })
    }

    fn send(&self, work: Work) {
        // The thread ends after this only.
        let _ = self.work.as_ref().map(|to| to.send(work));
    }

    pub(super) fn close(&self, segments: Vec<Segment>) {
        self.send(Work::Close(segments));
    }

    /// Waits until these and all that waits have been tried.
    pub(super) fn finish(&self, segments: Vec<Segment>) {
        let (done, wait) = channel();
        self.send(Work::Finish(segments, done));
        let _ = wait.recv(); // an error says that the thread is gone
    }

    /// Has a file made durable, unless that is still being done.
    pub(super) fn sync(&self, file: &Arc<File>, path: &Path) {
        if !self.syncing.swap(true, Ordering::Relaxed) {
            self.send(Work::Sync(file.clone(), path.into()));
        }
    }

    pub(super) fn take(&self) -> Vec<Closed> {
        self.closed.try_iter().collect()
    }
}

impl Drop for Closer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.work = None;
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// A segment, how many of its files are done, and why no more.
struct Pending {
    segment: Segment,
    done: usize,
    trouble: Option<String>,
}

impl Pending {
    /// Whether this was not said when it was tried last.
    fn is_news(&mut self, error: &StoreError) -> bool {
        let text = Some(error.to_string());
        let news = self.trouble != text;
        self.trouble = text;
        news
    }
}

/// Why a segment was not closed.
enum Halt {
    Stop,
    Error(StoreError),
}

impl From<StoreError> for Halt {
    fn from(error: StoreError) -> Self {
        Self::Error(error)
    }
}

struct Worker {
    root: PathBuf,
    options: Arc<JournalOptions>,
    bytes: Arc<AtomicU64>,
    closed: Sender<Closed>,
    stop: Arc<AtomicBool>,
    syncing: Arc<AtomicBool>,
    waiting: Vec<Pending>,
}

impl Worker {
    fn run(mut self, todo: &Receiver<Work>) {
        let mut retry = Instant::now() + RETRY;
        loop {
            let pause = if self.waiting.is_empty() { RETRY } else { retry.saturating_duration_since(Instant::now()) };
            match todo.recv_timeout(pause) {
                Ok(Work::Close(segments)) => {
                    let before = std::mem::take(&mut self.waiting);
                    self.enter(segments);
                    self.try_all();
                    self.waiting.splice(0..0, before);
                }
                Ok(Work::Finish(segments, done)) => {
                    self.enter(segments);
                    self.try_all();
                    let _ = done.send(());
                }
                Ok(Work::Sync(file, path)) => self.sync(&file, &path),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if Instant::now() >= retry {
                self.try_all();
                retry = Instant::now() + RETRY;
            }
        }
    }

    fn enter(&mut self, segments: Vec<Segment>) {
        self.waiting.extend(segments.into_iter().map(|segment| Pending { segment, done: 0, trouble: None }));
    }

    /// Tries each segment that waits once, oldest first.
    fn try_all(&mut self) {
        let mut left = Vec::new();
        for mut pending in std::mem::take(&mut self.waiting) {
            let error = match guarded(|| self.close(&mut pending)) {
                Ok(Ok(())) => continue,
                Ok(Err(Halt::Stop)) => None,
                Ok(Err(Halt::Error(error))) => Some(error),
                Err(why) => Some(StoreError::Write { path: pending.segment.path.clone(), why }),
            };
            error
                .filter(|error| pending.is_news(error))
                .into_iter()
                .for_each(|error| self.say(Closed::Deferred(error)));
            left.push(pending);
        }
        self.waiting = left;
    }

    fn say(&self, what: Closed) {
        let _ = self.closed.send(what); // nobody listens any more: the end
    }

    fn sync(&self, file: &File, path: &Path) {
        let folder = path.parent().unwrap_or(Path::new(""));
        if let Err(error) = file.sync_data().and_then(|()| sync_folder(folder)) {
            self.say(Closed::Deferred(StoreError::write(path, &error)));
        }
        self.syncing.store(false, Ordering::Relaxed);
    }

    fn close(&self, pending: &mut Pending) -> Result<(), Halt> {
        let segment = &pending.segment;
        let file = match File::open(&segment.path) {
            Ok(file) => Some(file),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(StoreError::read(&segment.path, &error).into()),
        };
        while let Some(target) = segment.targets.get(pending.done) {
            for event in self.file(segment, target, file.as_ref())? {
                self.say(event);
            }
            pending.done += 1;
        }
        self.remove(segment).map_err(|error| StoreError::write(&segment.path, &error))?;
        self.bytes.fetch_sub(segment.length, Ordering::Relaxed);
        Ok(())
    }

    fn remove(&self, segment: &Segment) -> std::io::Result<()> {
        match fs::remove_file(&segment.path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        sync_folder(segment.path.parent().unwrap_or(Path::new("")))
    }

    /// Makes one file, or finds it made. What is missing of its rows is said first.
    fn file(&self, segment: &Segment, target: &Target, file: Option<&File>) -> Result<Vec<Closed>, Halt> {
        let path = self.root.join(&*target.relative);
        let (made, why) = if path.symlink_metadata().is_ok() {
            (Some(self.found(segment, target, &path)?), None)
        } else {
            self.made(segment, target, file, &path)?
        };
        let rows = target.rows.saturating_sub(made.as_ref().map_or(0, |file| file.rows));
        let lost = (rows > 0).then(|| Closed::Lost {
            relative: target.relative.clone(),
            rows,
            why: format!("{}: {}", segment.path.display(), why.as_deref().unwrap_or("bytes of it were damaged")),
        });
        Ok(lost.into_iter().chain(made.map(Closed::File)).collect())
    }

    /// A file that is there: made before somebody was stopped, or not ours.
    fn found(&self, segment: &Segment, target: &Target, path: &Path) -> Result<Finished, StoreError> {
        let file = ArchiveFile::open(path)?;
        if file.footer(META_JOURNAL) != Some(segment.identity()) {
            let why = format!("a file stands where rows of {} belong; move it away", segment.path.display());
            return Err(StoreError::Write { path: path.into(), why });
        }
        let bytes = path.metadata().map_err(|e| StoreError::read(path, &e))?.len();
        let (relative, rows, sha256) = (target.relative.clone(), file.rows(), file_sha256(path)?);
        Ok(Finished { relative, path: path.into(), rows, bytes, sha256 })
    }

    /// Writes the file from the frames that can be read. Without any there is none.
    fn made(
        &self,
        segment: &Segment,
        target: &Target,
        file: Option<&File>,
        path: &Path,
    ) -> Result<(Option<Finished>, Option<String>), Halt> {
        let Some(file) = file else { return Ok((None, Some("somebody removed it".into()))) };
        let (table, schema) = &self.options.tables[target.table];
        let mut making = Making { table, schema, parquet: None, rows: 0, by_activity: BTreeMap::new() };
        let mut damage = None;
        for at in &target.frames {
            if self.stop.load(Ordering::Relaxed) {
                return Err(Halt::Stop);
            }
            let runs = match frame(file, *at, segment.id) {
                Ok(frame) => making.runs_of(&frame, &target.relative),
                Err(FrameError::Damaged(why)) => Err(why),
                Err(FrameError::Io(error)) => return Err(StoreError::read(&segment.path, &error).into()),
            };
            match runs {
                Ok(runs) => runs.iter().try_for_each(|run| making.write(run, || self.begin(segment, target, path)))?,
                Err(why) => damage = Some(why),
            }
        }
        let finished = making.finish(target, path, &segment.identity())?;
        Ok((finished, damage))
    }

    fn begin(&self, segment: &Segment, target: &Target, path: &Path) -> Result<ArrowWriter<WholeFile>, StoreError> {
        let folder = Path::new(&*target.relative).parent().unwrap_or(Path::new(""));
        make_folders(&self.root, folder)?;
        let whole = WholeFile::create_new(path).map_err(|e| StoreError::write(path, &e))?;
        let (table, schema) = &self.options.tables[target.table];
        let origin = Origin { table, host: &self.options.host, boot_id: &segment.boot_id };
        table_file(whole, schema, &origin, self.options.max_row_group_rows)
    }
}

/// A file on its way. The journal's thread has one at a time: its row group is what closing needs of memory.
struct Making<'a> {
    table: &'a str,
    schema: &'a SchemaRef,
    parquet: Option<ArrowWriter<WholeFile>>,
    rows: u64,
    by_activity: BTreeMap<String, u64>,
}

impl Making<'_> {
    /// The runs of a frame that belong to a file.
    fn runs_of(&self, frame: &super::frame::Frame, relative: &str) -> Result<Vec<RecordBatch>, String> {
        let mut runs = Vec::new();
        for part in frame.parts.iter().filter(|part| part.table == self.table) {
            let ours: Vec<_> = part.placed.iter().filter(|run| *run.relative == *relative).collect();
            if !ours.is_empty() {
                let rows = part.rows(self.schema)?;
                runs.extend(ours.into_iter().map(|run| rows.slice(run.offset, run.rows)));
            }
        }
        Ok(runs)
    }

    fn write(
        &mut self,
        run: &RecordBatch,
        begin: impl FnOnce() -> Result<ArrowWriter<WholeFile>, StoreError>,
    ) -> Result<(), StoreError> {
        let parquet = match self.parquet.as_mut() {
            Some(parquet) => parquet,
            None => self.parquet.insert(begin()?),
        };
        if let Err(error) = parquet.write(run) {
            return Err(StoreError::write_parquet(parquet.inner().path(), &error));
        }
        self.rows += run.num_rows() as u64;
        count(run, self.table, &mut self.by_activity);
        Ok(())
    }

    fn finish(self, target: &Target, path: &Path, identity: &str) -> Result<Option<Finished>, StoreError> {
        let Some(mut parquet) = self.parquet else { return Ok(None) };
        let rows = serde_json::to_string(&self.by_activity).unwrap_or_default(); // texts and numbers always can
        for (key, value) in [(META_JOURNAL, identity), (META_ROWS, &rows)] {
            parquet.append_key_value_metadata(KeyValue::new(key.to_owned(), Some(value.to_owned())));
        }
        let (bytes, sha256) = complete(parquet)?;
        Ok(Some(Finished { relative: target.relative.clone(), path: path.into(), rows: self.rows, bytes, sha256 }))
    }
}

/// Adds the rows by activity, or by table where they have none.
fn count(run: &RecordBatch, table: &str, counts: &mut BTreeMap<String, u64>) {
    let mut add = |name: &str, rows: u64| match counts.get_mut(name) {
        Some(count) => *count += rows,
        None => drop(counts.insert(name.to_owned(), rows)),
    };
    let column = run.column_by_name("activity").and_then(|column| column.as_dictionary_opt::<Int32Type>());
    let Some((keys, names)) = column.and_then(|c| Some((c.keys(), c.values().as_any().downcast_ref::<StringArray>()?)))
    else {
        return add(table, run.num_rows() as u64);
    };
    let mut of_key = vec![0; names.len()];
    keys.iter().flatten().for_each(|key| of_key[key as usize] += 1);
    of_key.iter().enumerate().filter(|(_, rows)| **rows > 0).for_each(|(at, rows)| add(names.value(at), *rows));
}
