//! Where batches go: the archive's rotating Parquet files, with an exact count of what is in them.

use crate::{
    books::WriterBooks,
    error::{AgentError, one_line},
    rows::{Batch, Counts},
};
use events::{CONNECTION, DNS, EventType, HEARTBEAT, PROCESS};
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};
use store::{Finished, Lost, Placed, TableWriter, WriteError, WriterOptions};

/// Where batches go. Nothing here fails: what could not be stored is counted and said.
pub trait Sink {
    /// Stores a batch.
    fn write(&mut self, batch: &Batch);
    /// Closes files that are due.
    fn rotate(&mut self, now: Instant);
    /// Closes the files of events, so that the counts of what is in them are final. Heartbeats may still come.
    fn close_events(&mut self);
    /// Closes all files. Returns the last thing that went wrong, if anything did.
    fn finish(&mut self) -> Option<String>;
}

/// Told where rows landed and which files are complete.
pub trait Follower {
    /// Rows of a batch are in files that are still being written.
    fn placed(&mut self, batch: &Batch, placed: &[Placed]);
    /// A file is complete.
    fn finished(&mut self, file: &Finished);
    /// A file was given up.
    fn lost(&mut self, relative: &str);
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

    fn lost(&mut self, relative: &str) {
        if let Some(follower) = self {
            follower.lost(relative);
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
    writers: [(&'static str, TableWriter); 4],
    /// Rows by type in each file that is not complete.
    open: HashMap<Arc<str>, Counts>,
    books: Arc<WriterBooks>,
    follower: F,
    trouble: Trouble,
}

/// Says what went wrong once, not once a batch.
#[derive(Default)]
struct Trouble(Option<String>);

impl Trouble {
    fn say(&mut self, error: &impl std::fmt::Display) {
        let text = error.to_string();
        if self.0.as_ref() != Some(&text) {
            eprintln!("warning: {}", one_line(&text));
            self.0 = Some(text);
        }
    }
}

impl<F: Follower> Archive<F> {
    /// An archive below a folder, which must be writable.
    ///
    /// # Errors
    /// [`AgentError::Archive`] if the folder cannot be made or written.
    pub fn open(
        root: &Path,
        host: &str,
        boot_id: &str,
        rotate: Duration,
        books: Arc<WriterBooks>,
        follower: F,
    ) -> Result<Self, AgentError> {
        probe(root)?;
        let options = WriterOptions { rotate_age: rotate, boot_id: boot_id.into(), ..WriterOptions::default() };
        let writer = |table, schema| (table, TableWriter::new(root, table, host, schema, options.clone()));
        let writers = [
            writer(PROCESS, events::process_schema()),
            writer(CONNECTION, events::connection_schema()),
            writer(DNS, events::dns_schema()),
            writer(HEARTBEAT, events::heartbeat_schema()),
        ];
        Ok(Self { writers, open: HashMap::new(), books, follower, trouble: Trouble::default() })
    }

    /// Enters rows of a batch that are in a file. They count as written when the file is complete.
    fn place(&mut self, batch: &Batch, placed: &[Placed]) {
        let mut stored = vec![false; batch.kinds.len()];
        for run in placed {
            let counts = self.open.entry(run.relative.clone()).or_default();
            for at in run.offset..run.offset + run.rows {
                if let (Some(kind), Some(stored)) = (batch.kinds.get(at), stored.get_mut(at)) {
                    counts[kind.index()] += 1;
                    *stored = true;
                    self.books.placed(*kind, 1);
                }
            }
        }
        let missing = batch.kinds.iter().zip(stored).filter(|(_, stored)| !stored);
        missing.for_each(|(kind, _)| self.books.failed(*kind, 1));
        self.follower.placed(batch, placed);
    }

    fn lost(&mut self, lost: &[Lost]) {
        for file in lost {
            let counts = self.open.remove(&file.relative).unwrap_or_default();
            EventType::ALL.into_iter().for_each(|kind| self.books.lost(kind, counts[kind.index()]));
            self.follower.lost(&file.relative);
        }
    }

    fn failed(&mut self, error: &WriteError) {
        self.trouble.say(error);
        self.lost(&error.lost);
    }

    fn each(&mut self, which: impl Fn(&str) -> bool, act: impl Fn(&mut TableWriter) -> Result<(), WriteError>) {
        for at in 0..self.writers.len() {
            if which(self.writers[at].0)
                && let Err(error) = act(&mut self.writers[at].1)
            {
                self.failed(&error);
            }
            self.complete(at);
        }
    }

    fn complete(&mut self, at: usize) {
        for file in self.writers[at].1.take_finished() {
            let counts = self.open.remove(&file.relative).unwrap_or_default();
            EventType::ALL.into_iter().for_each(|kind| self.books.wrote(kind, counts[kind.index()]));
            self.follower.finished(&file);
        }
    }
}

impl<F: Follower> Sink for Archive<F> {
    fn write(&mut self, batch: &Batch) {
        let Some(at) = self.writers.iter().position(|(table, _)| *table == batch.table) else { return };
        match self.writers[at].1.write(&batch.rows) {
            Ok(placed) => self.place(batch, &placed),
            Err(error) => {
                self.place(batch, &error.placed);
                self.failed(&error);
            }
        }
        self.complete(at);
    }

    fn rotate(&mut self, now: Instant) {
        self.each(|_| true, |writer| writer.rotate_if_due(now));
        self.follower.tick();
    }

    fn close_events(&mut self) {
        self.each(|table| table != HEARTBEAT, TableWriter::finish);
    }

    fn finish(&mut self) -> Option<String> {
        self.each(|_| true, TableWriter::finish);
        self.follower.finish().or(self.trouble.0.take())
    }
}

/// Makes the folder, if its parent is there, and tries a file in it: better to fail now than after an hour.
fn probe(root: &Path) -> Result<(), AgentError> {
    let fail = |path: PathBuf, why: &dyn std::fmt::Display| AgentError::Archive { path, why: why.to_string() };
    store::ensure_folder(root).map_err(|error| match error {
        store::StoreError::Write { path, why } => fail(path, &why),
        other => fail(root.into(), &other),
    })?;
    let path = root.join(format!("probe-{}.tmp", std::process::id()));
    let tried = std::fs::write(&path, [0; 4096]).and_then(|()| std::fs::File::open(&path)?.sync_all());
    let removed = std::fs::remove_file(&path);
    tried.and(removed).map_err(|error| fail(root.into(), &error))
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

    fn open(root: &Path, books: &Arc<WriterBooks>) -> Result<Archive<Option<Scoring>>, AgentError> {
        Archive::open(root, "h", "boot", Duration::from_secs(60), books.clone(), None)
    }

    #[test]
    fn what_is_written_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let books = Arc::new(WriterBooks::default());
        let mut archive = open(folder.path(), &books).unwrap();
        archive.write(&forks(100));
        let counts = || {
            let snapshot = Snapshot::default().with_writer(&books);
            (snapshot.open[1], snapshot.written[1], snapshot.write_failed[1])
        };
        assert_eq!(counts(), (100, 0, 0));
        archive.close_events();
        assert_eq!(counts(), (0, 100, 0));
        archive.write(&forks(50));
        assert_eq!(archive.finish(), None);
        assert_eq!(counts(), (0, 150, 0));
    }

    #[test]
    fn a_file_that_cannot_be_closed_was_never_written() {
        let folder = tempfile::tempdir().unwrap();
        let books = Arc::new(WriterBooks::default());
        let mut archive = open(folder.path(), &books).unwrap();
        archive.write(&forks(100));
        std::fs::remove_dir_all(folder.path().join(PROCESS)).unwrap();
        archive.close_events();
        let snapshot = Snapshot::default().with_writer(&books);
        assert_eq!((snapshot.open[1], snapshot.written[1], snapshot.write_failed[1]), (0, 0, 100));
        // Now the counts are final; a heartbeat can say them and still be stored.
        archive.write(&snapshot.heartbeat("h", 0).unwrap());
        assert!(archive.finish().is_some());
        assert_eq!(store::discover(&[folder.path().join(HEARTBEAT)]).unwrap().len(), 1);
    }

    #[test]
    fn what_cannot_be_written_is_counted_too() {
        let folder = tempfile::tempdir().unwrap();
        let books = Arc::new(WriterBooks::default());
        let mut archive = open(folder.path(), &books).unwrap();
        // A file where the table's folder should be.
        std::fs::write(folder.path().join(PROCESS), "").unwrap();
        archive.write(&forks(100));
        assert!(archive.finish().is_some());
        let snapshot = Snapshot::default().with_writer(&books);
        assert_eq!((snapshot.written[1], snapshot.write_failed[1]), (0, 100));
    }

    #[test]
    fn an_archive_without_a_parent_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let books = Arc::new(WriterBooks::default());
        let error = open(&folder.path().join("a/b"), &books).err().unwrap();
        assert!(matches!(error, AgentError::Archive { .. }), "{error}");
        assert!(!error.to_string().contains('\n'));
    }
}
