//! Every event is accounted for: counts at each stage, as heartbeat rows and as a line of JSON.

use crate::{
    load::KernelCount,
    rows::{Batch, Counts, Dict, batch, times},
};
use arrow_array::builder::UInt64Builder;
use arrow_schema::ArrowError;
use events::{DropReason, EventType};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

/// Counts of the stage between the rings and the writer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
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

/// Counts of the writer, shared with its thread.
#[derive(Debug, Default)]
pub struct WriterBooks {
    open: [AtomicU64; EventType::ALL.len()],
    written: [AtomicU64; EventType::ALL.len()],
    failed: [AtomicU64; EventType::ALL.len()],
    /// Units of surprise found.
    pub findings: AtomicU64,
    /// Rows scored.
    pub scored: AtomicU64,
}

impl WriterBooks {
    /// Rows that are in a file which is not complete.
    pub fn placed(&self, kind: EventType, rows: u64) {
        self.open[kind.index()].fetch_add(rows, Relaxed);
    }

    /// Rows of a file that is complete and has its name.
    pub fn wrote(&self, kind: EventType, rows: u64) {
        self.written[kind.index()].fetch_add(rows, Relaxed);
        self.open[kind.index()].fetch_sub(rows, Relaxed);
    }

    /// Rows that could not be stored.
    pub fn failed(&self, kind: EventType, rows: u64) {
        self.failed[kind.index()].fetch_add(rows, Relaxed);
    }

    /// Rows of a file that had to be given up.
    pub fn lost(&self, kind: EventType, rows: u64) {
        self.failed(kind, rows);
        self.open[kind.index()].fetch_sub(rows, Relaxed);
    }
}

/// The agent's own use of the machine.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Usage {
    /// Memory in bytes.
    pub rss_bytes: u64,
    /// Processor time in seconds.
    pub cpu_s: f64,
}

impl Usage {
    /// Reads it from `/proc`; zeros if that fails.
    #[must_use]
    pub fn now() -> Self {
        let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
        let pages: u64 = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
        let clock = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        let cpu_s = clock.tv_sec as f64 + clock.tv_nsec as f64 / 1e9;
        Self { rss_bytes: pages * rustix::param::page_size() as u64, cpu_s }
    }
}

/// All books at one moment.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// What the kernel counted.
    pub kernel: [KernelCount; EventType::ALL.len()],
    /// What the agent counted.
    pub agent: AgentBooks,
    /// Rows in files that are not complete.
    pub open: Counts,
    /// Rows in files that are.
    pub written: Counts,
    /// Rows that could not be stored.
    pub write_failed: Counts,
    /// Units of surprise found.
    pub findings: u64,
    /// Rows scored.
    pub scored: u64,
    /// Processes that the cache gave up early.
    pub evicted: u64,
    /// Processes in the cache.
    pub processes: u64,
    /// Programs in place.
    pub hooks: u64,
    /// The agent's own use.
    pub usage: Usage,
}

impl Snapshot {
    /// Adds the writer's counts.
    #[must_use]
    pub fn with_writer(mut self, books: &WriterBooks) -> Self {
        self.open = std::array::from_fn(|at| books.open[at].load(Relaxed));
        self.written = std::array::from_fn(|at| books.written[at].load(Relaxed));
        self.write_failed = std::array::from_fn(|at| books.failed[at].load(Relaxed));
        self.findings = books.findings.load(Relaxed);
        self.scored = books.scored.load(Relaxed);
        self
    }

    /// Whether the kernel has given everything that it counted: true once nothing is attached and the rings are empty.
    #[must_use]
    pub fn all_received(&self) -> bool {
        let received = |at: usize| self.agent.received[at] + self.kernel[at].ring_full;
        (0..EventType::ALL.len()).all(|at| self.kernel[at].produced == received(at))
    }

    /// Events lost for a reason that is not the reader's choice.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.kernel.iter().map(|count| count.ring_full).sum::<u64>() + self.write_failed.iter().sum::<u64>()
    }

    fn dropped(&self, at: usize) -> BTreeMap<&'static str, u64> {
        [
            (DropReason::RingFull, self.kernel[at].ring_full),
            (DropReason::Malformed, self.agent.malformed[at]),
            (DropReason::Duplicate, self.agent.duplicate[at]),
            (DropReason::WriteFailed, self.write_failed[at]),
        ]
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .map(|(reason, count)| (reason.name(), count))
        .collect()
    }

    /// The object of `docs/contracts.md` section 7.
    #[must_use]
    pub fn status(&self, run: &RunFacts<'_>) -> Status {
        let event = |kind: EventType| EventStatus {
            produced: self.kernel[kind.index()].produced,
            open: self.open[kind.index()],
            written: self.written[kind.index()],
            dropped: self.dropped(kind.index()),
        };
        Status {
            time: run.time.to_owned(),
            uptime_s: run.uptime_s,
            backend: run.backend.map(str::to_owned),
            baseline: run.baseline.map(str::to_owned),
            events: EventType::ALL.into_iter().map(|kind| (kind.name(), event(kind))).collect(),
            findings: self.findings,
            rss_bytes: self.usage.rss_bytes,
            cpu_s: self.usage.cpu_s,
        }
    }

    /// One line for people.
    #[must_use]
    pub fn line(&self) -> String {
        let mut words: Vec<String> = Vec::new();
        for kind in EventType::ALL {
            words.push(format!("{} {}", kind.name(), self.open[kind.index()] + self.written[kind.index()]));
        }
        words.push(format!("lost {}", self.lost()));
        if self.scored > 0 {
            words.push(format!("findings {}", self.findings));
        }
        words.push(format!("{} MiB", self.usage.rss_bytes >> 20));
        words.push(format!("{:.1} s cpu", self.usage.cpu_s));
        words.join("  ")
    }

    /// Rows of `heartbeat` at a time in nanoseconds UTC.
    ///
    /// # Errors
    /// If columns do not fit the schema, which is a defect.
    pub fn heartbeat(&self, host: &str, time: i64) -> Result<Batch, ArrowError> {
        let mut rows = HeartbeatRows::default();
        for kind in EventType::ALL {
            let (at, name) = (kind.index(), kind.name());
            rows.push("kernel", name, "produced", None, self.kernel[at].produced);
            rows.push("kernel", name, "dropped", Some(DropReason::RingFull), self.kernel[at].ring_full);
            rows.push("agent", name, "received", None, self.agent.received[at]);
            rows.push_some("agent", name, DropReason::Malformed, self.agent.malformed[at]);
            rows.push_some("agent", name, DropReason::Duplicate, self.agent.duplicate[at]);
            rows.push("writer", name, "open", None, self.open[at]);
            rows.push("writer", name, "written", None, self.written[at]);
            rows.push_some("writer", name, DropReason::WriteFailed, self.write_failed[at]);
        }
        rows.push_some("agent", "unknown", DropReason::Malformed, self.agent.unknown);
        let cpu_ns = (self.usage.cpu_s * 1e9) as u64;
        for (resource, count) in [
            ("rss_bytes", self.usage.rss_bytes),
            ("cpu_ns", cpu_ns),
            ("hooks", self.hooks),
            ("processes", self.processes),
            ("processes_evicted", self.evicted),
        ] {
            rows.push("self", resource, "value", None, count);
        }
        rows.take(host, time)
    }
}

/// What a status line says of the run.
#[derive(Debug, Clone, Copy)]
pub struct RunFacts<'a> {
    /// UTC, ISO 8601.
    pub time: &'a str,
    /// Seconds since the agent started.
    pub uptime_s: f64,
    /// Backend that scores, if any.
    pub backend: Option<&'a str>,
    /// Baseline id, if any.
    pub baseline: Option<&'a str>,
}

/// The live status of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    time: String,
    uptime_s: f64,
    backend: Option<String>,
    baseline: Option<String>,
    events: BTreeMap<&'static str, EventStatus>,
    findings: u64,
    rss_bytes: u64,
    cpu_s: f64,
}

#[derive(Debug, Clone, Serialize)]
struct EventStatus {
    produced: u64,
    open: u64,
    written: u64,
    dropped: BTreeMap<&'static str, u64>,
}

#[derive(Default)]
struct HeartbeatRows {
    stage: Dict,
    event: Dict,
    outcome: Dict,
    reason: Dict,
    count: UInt64Builder,
    rows: usize,
}

impl HeartbeatRows {
    fn push(&mut self, stage: &str, event: &str, outcome: &str, reason: Option<DropReason>, count: u64) {
        self.stage.append_value(stage);
        self.event.append_value(event);
        self.outcome.append_value(outcome);
        self.reason.append_option(reason.map(DropReason::name));
        self.count.append_value(count);
        self.rows += 1;
    }

    /// A reason to drop that has occurred.
    fn push_some(&mut self, stage: &str, event: &str, reason: DropReason, count: u64) {
        if count > 0 {
            self.push(stage, event, "dropped", Some(reason), count);
        }
    }

    fn take(mut self, host: &str, time: i64) -> Result<Batch, ArrowError> {
        let (mut times, mut hosts) = (times(), Dict::new());
        for _ in 0..self.rows {
            times.append_value(time);
            hosts.append_value(host);
        }
        let rows = batch(
            events::heartbeat_schema(),
            &mut [
                &mut times,
                &mut hosts,
                &mut self.stage,
                &mut self.event,
                &mut self.outcome,
                &mut self.reason,
                &mut self.count,
            ],
        )?;
        Ok(Batch { table: events::HEARTBEAT, rows, kinds: Vec::new() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_open_files_are_written_or_dropped_in_the_end() {
        let writer = WriterBooks::default();
        writer.placed(EventType::Exec, 12);
        writer.wrote(EventType::Exec, 6);
        writer.lost(EventType::Exec, 4);
        let snapshot = Snapshot::default().with_writer(&writer);
        assert_eq!((snapshot.open[0], snapshot.written[0]), (2, 6));
        assert_eq!((snapshot.write_failed[0], snapshot.lost()), (4, 4));
        let status = snapshot.status(&RunFacts { time: "", uptime_s: 0.0, backend: None, baseline: None });
        let json = serde_json::to_value(&status).unwrap();
        assert_eq!(json["events"]["exec"]["dropped"]["write_failed"], 4);
        assert_eq!(snapshot.heartbeat("h", 0).unwrap().rows.num_columns(), 7);
    }

    #[test]
    fn the_kernels_count_must_come_in_or_be_dropped() {
        let mut snapshot = Snapshot::default();
        snapshot.kernel[2] = KernelCount { produced: 5, ring_full: 2 };
        snapshot.agent.received[2] = 2;
        assert!(!snapshot.all_received());
        snapshot.agent.received[2] = 3;
        assert!(snapshot.all_received());
    }
}
