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
mod tests;
