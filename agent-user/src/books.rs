//! Every event is accounted for: counts at each stage, and whether they add up.

use crate::{
    drain::Order,
    error::one_line,
    load::KernelCount,
    rows::Counts,
    scoring::Promise,
    status::{AgentStage, Dropped, EventStatus, KernelStage, OwnStatus, Status, WriterStage},
    usage::Usage,
};
use events::{DropReason, EventType};
use serde::{Deserialize, Serialize};
use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// Counts of the stage between the rings and the writer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentBooks {
    /// Records read.
    pub received: Counts,
    /// Records that could not be decoded.
    pub malformed: Counts,
    /// Second ends of one process.
    pub duplicate: Counts,
    /// Records that do not even name an event type.
    pub unknown: u64,
}

/// Segments that cannot be read, of which the status says why.
const UNREAD: usize = 8;

/// Counts of the writer, shared with its thread.
#[derive(Debug, Default)]
pub struct WriterBooks {
    rows: Mutex<Rows>,
    /// Units of surprise found.
    pub findings: AtomicU64,
    /// Rows scored.
    pub scored: AtomicU64,
    /// Rows of tables that the baseline knows, stored without a score.
    pub unscored: AtomicU64,
    /// Of these, rows of files that are complete: they stay without.
    pub unscored_closed: AtomicU64,
    /// Why nothing can be written now.
    blocked: Mutex<Option<String>>,
    /// Segments of the journal that cannot be read.
    unread: Mutex<Vec<String>>,
}

/// Under one lock: a row that moves on is never seen twice, or nowhere.
#[derive(Debug, Clone, Default)]
struct Rows {
    open: Counts,
    written: Counts,
    failed: Counts,
    full: Counts,
    removed: Removed,
}

/// What became of rows, by event type.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// In the journal, or in complete files.
    pub stored: Counts,
    /// Of these, in the journal alone.
    pub open: Counts,
    /// Could not be stored.
    pub failed: Counts,
    /// There was no room for them.
    pub full: Counts,
}

/// Rows whose files were removed again, by event type.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Removed {
    /// They were too old.
    pub age: Counts,
    /// There was no room for them.
    pub cap: Counts,
    /// Of these, what was nowhere else.
    pub unsaved: Counts,
}

impl WriterBooks {
    fn rows(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Rows that are in a file which is not complete.
    pub fn placed(&self, kind: EventType, rows: u64) {
        self.rows().open[kind.index()] += rows;
    }

    /// Rows of a file that is complete and has its name.
    pub fn wrote(&self, kind: EventType, rows: u64) {
        let mut books = self.rows();
        books.written[kind.index()] += rows;
        books.open[kind.index()] -= rows;
    }

    /// Whether nothing can be written now, and why.
    pub fn block(&self, why: Option<String>) {
        *self.blocked.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }

    /// Segments of the journal that cannot be read, and why.
    pub fn unread(&self, why: &[String]) {
        let mut unread: Vec<String> = why.iter().take(UNREAD).map(|why| one_line(why)).collect();
        if why.len() > UNREAD {
            unread.push(format!("and {} more", why.len() - UNREAD));
        }
        *self.unread.lock().unwrap_or_else(PoisonError::into_inner) = unread;
    }

    /// Rows that could not be stored.
    pub fn failed(&self, kind: EventType, rows: u64) {
        self.rows().failed[kind.index()] += rows;
    }

    /// Rows for which the archive has no room.
    pub fn full(&self, kind: EventType, rows: u64) {
        self.rows().full[kind.index()] += rows;
    }

    /// Rows whose files were removed.
    pub fn removed(&self, more: &store::Removed) {
        let mut books = self.rows();
        let removed = &mut books.removed;
        let all = [(&mut removed.age, &more.age), (&mut removed.cap, &more.cap)];
        for (counts, rows) in all.into_iter().chain([(&mut removed.unsaved, &more.not_uploaded)]) {
            for kind in EventType::ALL {
                counts[kind.index()] += rows.get(kind.name()).copied().unwrap_or(0);
            }
        }
    }

    /// Rows of a file that had to be given up.
    pub fn lost(&self, kind: EventType, rows: u64) {
        let mut books = self.rows();
        books.failed[kind.index()] += rows;
        books.open[kind.index()] -= rows;
    }

    /// What became of the rows so far.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let books = self.rows();
        let stored = std::array::from_fn(|at| books.open[at] + books.written[at]);
        Totals { stored, open: books.open, failed: books.failed, full: books.full }
    }

    /// Goes on from the totals of another, whose rows in `open` are in the journal.
    pub fn resume(&self, totals: Totals, open: Counts) {
        let written = std::array::from_fn(|at| totals.stored[at].saturating_sub(open[at]));
        let Totals { failed, full, .. } = totals;
        *self.rows() = Rows { open, written, failed, full, removed: Removed::default() };
    }

    /// Goes on from rows without a score of another, in files that were complete.
    pub fn resume_unscored(&self, rows: u64) {
        self.unscored.fetch_add(rows, Relaxed);
        self.unscored_closed.fetch_add(rows, Relaxed);
    }
}

/// All books at one moment.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// What the kernel counted.
    pub kernel: [KernelCount; EventType::ALL.len()],
    /// Unix sockets made.
    pub unix: u64,
    /// What the agent counted.
    pub agent: AgentBooks,
    /// Rows in files that are not complete.
    pub open: Counts,
    /// Rows in files that are.
    pub written: Counts,
    /// Rows that could not be stored.
    pub write_failed: Counts,
    /// Rows for which the archive had no room.
    pub spool_full: Counts,
    /// Rows whose files were removed again.
    pub removed: Removed,
    /// Units of surprise found.
    pub findings: u64,
    /// Rows scored.
    pub scored: u64,
    /// Rows stored without a score that could have had one.
    pub unscored: u64,
    /// Why nothing can be written now.
    pub blocked: Option<String>,
    /// Segments of the journal that cannot be read.
    pub unread: Vec<String>,
    /// Processes that the cache gave up early.
    pub evicted: u64,
    /// Processes in the cache.
    pub processes: u64,
    /// Programs in place.
    pub hooks: u64,
    /// Programs that the kernel refused.
    pub refused: Vec<String>,
    /// Workers that died.
    pub restarts: u64,
    /// Size of the kernel's ring buffers.
    pub ring_bytes: u64,
    /// How well records were put in order.
    pub order: Order,
    /// The agent's own use.
    pub usage: Usage,
}

/// Where an event can be dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Kernel,
    Agent,
    Writer,
}

impl Stage {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Agent => "agent",
            Self::Writer => "writer",
        }
    }
}

impl Snapshot {
    /// Adds the writer's counts.
    #[must_use]
    pub fn with_writer(mut self, books: &WriterBooks) -> Self {
        let rows = books.rows().clone();
        (self.open, self.written, self.write_failed) = (rows.open, rows.written, rows.failed);
        (self.spool_full, self.removed) = (rows.full, rows.removed);
        self.findings = books.findings.load(Relaxed);
        self.scored = books.scored.load(Relaxed);
        self.unscored = books.unscored.load(Relaxed);
        self.blocked = books.blocked.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.unread = books.unread.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self
    }

    /// Whether the kernel has given everything that it counted: true once nothing is attached and the rings are empty.
    #[must_use]
    pub fn all_received(&self) -> bool {
        let received = |at: usize| self.agent.received[at] + self.kernel[at].withheld();
        (0..EventType::ALL.len()).all(|at| self.kernel[at].produced == received(at))
    }

    /// Every way in which an event of this type can be dropped, and how often it was.
    pub(crate) fn drops(&self, at: usize) -> [(Stage, DropReason, u64); 6] {
        [
            (Stage::Kernel, DropReason::RingFull, self.kernel[at].ring_full),
            (Stage::Kernel, DropReason::TableFull, self.kernel[at].table_full),
            (Stage::Agent, DropReason::Malformed, self.agent.malformed[at]),
            (Stage::Agent, DropReason::Duplicate, self.agent.duplicate[at]),
            (Stage::Writer, DropReason::WriteFailed, self.write_failed[at]),
            (Stage::Writer, DropReason::SpoolFull, self.spool_full[at]),
        ]
    }

    /// Rows whose files were removed again, by reason.
    pub(crate) fn removals(&self, at: usize) -> [(&'static str, u64); 3] {
        let Removed { age, cap, unsaved } = &self.removed;
        [("age", age[at]), ("cap", cap[at] - unsaved[at].min(cap[at])), ("cap_unsaved", unsaved[at])]
    }

    /// The books of one event type.
    fn event(&self, kind: EventType) -> EventStatus {
        let (at, drops) = (kind.index(), self.drops(kind.index()));
        let dropped = |stage: Stage| -> Dropped {
            let drops = drops.iter().filter(|(of, ..)| *of == stage);
            drops.map(|(_, reason, count)| (reason.name().to_owned(), *count)).collect()
        };
        let occurred = drops.iter().filter(|(.., count)| *count > 0);
        let KernelCount { produced, summarised, .. } = self.kernel[at];
        let received = self.agent.received[at];
        let kernel = dropped(Stage::Kernel);
        let submitted = produced.saturating_sub(summarised + kernel.values().sum::<u64>());
        EventStatus {
            produced,
            received,
            summarised,
            open: self.open[at],
            written: self.written[at],
            dropped: occurred.map(|(_, reason, count)| (reason.name().to_owned(), *count)).collect(),
            kernel: KernelStage { produced, submitted, summarised, dropped: kernel },
            agent: AgentStage { received, dropped: dropped(Stage::Agent) },
            writer: WriterStage {
                open: self.open[at],
                written: self.written[at],
                dropped: dropped(Stage::Writer),
                removed: self.removals(at).map(|(reason, count)| (reason.to_owned(), count)).into(),
            },
        }
    }

    /// The object of `docs/contracts.md` section 7.
    #[must_use]
    pub fn status(&self, run: &RunFacts<'_>) -> Status {
        let mut status = Status {
            time: run.time.to_owned(),
            uptime_s: run.uptime_s,
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            host: run.host.to_owned(),
            pid: run.pid,
            backend: run.backend.map(str::to_owned),
            baseline: run.baseline.map(str::to_owned),
            host_state: run.promise.map(|promise| promise.host_state.clone()),
            expected_per_day: run.promise.map(|promise| promise.expected_milli as f64 / 1000.0),
            metrics: run.metrics.map(|address| address.to_string()),
            archive: run.archive.map(str::to_owned),
            out: run.out.map(str::to_owned),
            events: EventType::ALL.into_iter().map(|kind| (kind.name().to_owned(), self.event(kind))).collect(),
            unknown: self.agent.unknown,
            unscored_at_least: run.follows && (run.baseline.is_some() || self.unscored > 0),
            no_worker: None,
            lossy: false,
            findings: self.findings,
            unscored: self.unscored,
            blocked: self.blocked.clone(),
            unread: self.unread.clone(),
            rss_bytes: self.usage.rss_bytes,
            cpu_s: self.usage.cpu_s,
            own: OwnStatus {
                rss_bytes: self.usage.rss_bytes,
                pss_bytes: self.usage.pss_bytes,
                ring_bytes: self.ring_bytes,
                unix_sockets: self.unix,
                cpu_s: self.usage.cpu_s,
                hooks: self.hooks,
                restarts: self.restarts,
                sandbox: run.sandbox.cloned(),
                processes: self.processes,
                processes_evicted: self.evicted,
            },
        };
        status.lossy = status.lost() > 0;
        status
    }
}

/// What a status line says of the run.
#[derive(Debug, Clone, Copy, Default)]
pub struct RunFacts<'a> {
    /// UTC, ISO 8601.
    pub time: &'a str,
    /// Seconds since the agent started.
    pub uptime_s: f64,
    /// The process that people know the agent by.
    pub pid: u32,
    /// What holds the worker.
    pub sandbox: Option<&'a crate::sandbox::Report>,
    /// Backend that scores, if any.
    pub backend: Option<&'a str>,
    /// Baseline id, if any.
    pub baseline: Option<&'a str>,
    /// What is to be expected of scoring, if there is a baseline.
    pub promise: Option<&'a Promise>,
    /// Another worker came before this one: what its scorer had not answered when it ended is not known.
    pub follows: bool,
    /// Name of the host in the files.
    pub host: &'a str,
    /// Address of the metrics page, if there is one.
    pub metrics: Option<std::net::SocketAddr>,
    /// The archive.
    pub archive: Option<&'a str>,
    /// Where scores and findings go, if there is a baseline.
    pub out: Option<&'a str>,
}

/// Events of one type that are between two stages at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct InFlight {
    /// In the kernel's rings.
    pub ring: u64,
    /// Read, and not in a file yet.
    pub waiting: u64,
}

impl InFlight {
    /// All of them.
    #[must_use]
    pub fn total(self) -> u64 {
        self.ring + self.waiting
    }
}

/// Books that cannot be right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unbalanced {
    /// The kernel's own counts do not add up.
    #[error("kernel: produced {produced}, but submitted, summarised and dropped {parts}")]
    Kernel {
        /// Events produced.
        produced: u64,
        /// What became of them.
        parts: u64,
    },
    /// The agent received what was never submitted.
    #[error("agent: received {received} of {submitted} submitted")]
    Agent {
        /// Events submitted.
        submitted: u64,
        /// Events received.
        received: u64,
    },
    /// More is in files or dropped than was received.
    #[error("writer: {parts} open, written and dropped, of {received} received")]
    Writer {
        /// Events received.
        received: u64,
        /// What became of them.
        parts: u64,
    },
}

/// Checks the books of one event type stage by stage: no stage gives what it did not take. What is between two stages is
/// in flight; nothing is once the agent has stopped, and *produced = summarised + written + Σ dropped*.
///
/// # Errors
/// The first stage whose counts cannot be right.
pub fn balanced(event: &EventStatus) -> Result<InFlight, Unbalanced> {
    let sum = |dropped: &Dropped| dropped.values().sum::<u64>();
    let (kernel, agent, writer) = (&event.kernel, &event.agent, &event.writer);
    let (produced, submitted, received) = (kernel.produced, kernel.submitted, agent.received);
    let parts = submitted + kernel.summarised + sum(&kernel.dropped);
    if produced != parts {
        return Err(Unbalanced::Kernel { produced, parts });
    }
    let ring = submitted.checked_sub(received).ok_or(Unbalanced::Agent { submitted, received })?;
    let parts = sum(&agent.dropped) + writer.open + writer.written + sum(&writer.dropped);
    let waiting = received.checked_sub(parts).ok_or(Unbalanced::Writer { received, parts })?;
    Ok(InFlight { ring, waiting })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Books of a run in full swing: execs lost in every way there is, some on their way.
    pub(crate) fn busy() -> Snapshot {
        let writer = WriterBooks::default();
        writer.placed(EventType::Exec, 12);
        writer.wrote(EventType::Exec, 6);
        writer.lost(EventType::Exec, 4);
        let mut snapshot = Snapshot {
            ring_bytes: 4096,
            refused: vec!["socket_open".into()],
            ..Snapshot::default().with_writer(&writer)
        };
        snapshot.kernel[0] = KernelCount { produced: 30, ring_full: 5, ..KernelCount::default() };
        snapshot.agent.received[0] = 20;
        (snapshot.agent.malformed[0], snapshot.agent.duplicate[0]) = (1, 2);
        snapshot
    }

    #[test]
    fn rows_of_open_files_are_written_or_dropped_in_the_end() {
        let snapshot = busy();
        assert_eq!((snapshot.open[0], snapshot.written[0], snapshot.write_failed[0]), (2, 6, 4));
        let json = serde_json::to_value(snapshot.status(&RunFacts::default())).unwrap();
        assert_eq!(json["events"]["exec"]["dropped"]["write_failed"], 4);
        assert_eq!(json["events"]["exec"]["writer"]["dropped"]["write_failed"], 4);
        assert_eq!((&json["lossy"], &json["self"]["ring_bytes"]), (&true.into(), &4096.into()));
    }

    #[test]
    fn every_stage_balances_or_is_named() {
        let status = busy().status(&RunFacts::default());
        assert_eq!(balanced(&status.events["exec"]), Ok(InFlight { ring: 5, waiting: 5 }));
        assert_eq!((status.in_flight().unwrap().total(), status.lost(), status.lossy), (10, 10, true));
        let mut wrong = busy();
        wrong.written[0] += 6;
        let status = wrong.status(&RunFacts::default());
        let error = Unbalanced::Writer { received: 20, parts: 21 };
        assert_eq!(status.in_flight(), Err(("exec", error)));
        wrong.agent.received[0] = 26;
        let status = wrong.status(&RunFacts::default());
        assert_eq!(status.in_flight(), Err(("exec", Unbalanced::Agent { submitted: 25, received: 26 })));
        let mut event = status.events["exec"].clone();
        event.kernel.submitted += 1;
        assert_eq!(balanced(&event), Err(Unbalanced::Kernel { produced: 30, parts: 31 }));
    }

    #[test]
    fn a_record_of_no_type_is_not_for_ever_in_flight() {
        let mut snapshot = Snapshot::default();
        snapshot.kernel[1].produced = 1;
        snapshot.agent.unknown = 1;
        let status = snapshot.status(&RunFacts::default());
        assert_eq!((status.in_flight().unwrap().total(), status.lost()), (0, 1));
    }

    #[test]
    fn the_kernels_count_must_come_in_or_be_dropped() {
        let mut snapshot = Snapshot::default();
        snapshot.kernel[2] = KernelCount { produced: 5, ring_full: 1, summarised: 1, ..KernelCount::default() };
        snapshot.agent.received[2] = 2;
        assert!(!snapshot.all_received());
        snapshot.agent.received[2] = 3;
        assert!(snapshot.all_received());
    }
}
