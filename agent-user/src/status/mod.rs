//! The live status of a run: one object, which status lines, the socket and the metrics page show.
//!
//! ```text
//! run ─▶ publisher ─▶ latest status ─▶ standard output │ unix socket ─▶ `status` │ HTTP ─▶ metrics
//! ```

pub mod ask;
pub mod excuse;
pub mod metrics;
mod page;
pub(crate) mod publish;
pub mod serve;
pub mod socket;
mod speaker;
pub mod table;

use crate::{
    books::{InFlight, Unbalanced, balanced},
    sandbox::Report,
};
use events::DropReason;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Where the status socket is unless told otherwise.
pub const SOCKET: &str = "/run/ebbline/agent.sock";

/// Counts by the reason they were dropped for.
pub type Dropped = BTreeMap<String, u64>;

/// The object of `docs/contracts.md` section 7. What a sender of another version does not know of is read as nothing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Status {
    /// UTC, RFC 3339.
    pub time: String,
    /// Seconds since the agent started.
    pub uptime_s: f64,
    /// Version of the agent.
    pub agent_version: String,
    /// Name of the host in the files.
    pub host: String,
    /// The agent's process id.
    pub pid: u32,
    /// Backend that scores, if any.
    pub backend: Option<String>,
    /// Baseline id, if any.
    pub baseline: Option<String>,
    /// How well the baseline knows this host: `learning day 2 of 7`, `settled`.
    pub host_state: Option<String>,
    /// False alerts a day that are expected.
    pub expected_per_day: Option<f64>,
    /// Address of the metrics page, if there is one.
    pub metrics: Option<String>,
    /// The archive.
    pub archive: Option<String>,
    /// Where scores and findings go, if there is a baseline.
    pub out: Option<String>,
    /// The books, by event type.
    pub events: BTreeMap<String, EventStatus>,
    /// Records that name no event type, dropped as malformed.
    pub unknown: u64,
    /// There is no worker: why, and when the next is tried. Then nothing is counted here.
    pub no_worker: Option<String>,
    /// Some event was lost.
    pub lossy: bool,
    /// Units of surprise found.
    pub findings: u64,
    /// Rows stored without a score that could have had one.
    pub unscored: u64,
    /// There may be more of them, as a worker died.
    pub unscored_at_least: bool,
    /// Why nothing can be written to the archive now: events wait in the rings.
    pub blocked: Option<String>,
    /// Segments of the journal that this version cannot read, and why: their rows are in no file.
    pub unread: Vec<String>,
    /// Memory in bytes.
    pub rss_bytes: u64,
    /// Processor time in seconds.
    pub cpu_s: f64,
    /// What the agent uses and holds.
    #[serde(rename = "self")]
    pub own: OwnStatus,
}

/// The books of one event type: the whole way, then each stage by itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EventStatus {
    /// Happened in scope.
    pub produced: u64,
    /// Read by the agent.
    pub received: u64,
    /// Counted by the kernel's side instead of reported.
    pub summarised: u64,
    /// Rows in files that are not complete.
    pub open: u64,
    /// Rows in files that are.
    pub written: u64,
    /// Dropped in any stage; reasons that never occurred are left out.
    pub dropped: Dropped,
    /// The kernel's side.
    pub kernel: KernelStage,
    /// Between the rings and the writer.
    pub agent: AgentStage,
    /// The writer.
    pub writer: WriterStage,
}

/// What the kernel counted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct KernelStage {
    /// Happened in scope.
    pub produced: u64,
    /// Put into a ring: produced less summarised less dropped.
    pub submitted: u64,
    /// Counted instead of reported.
    pub summarised: u64,
    /// Every reason of this stage.
    pub dropped: Dropped,
}

/// What the agent counted between the rings and the writer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AgentStage {
    /// Read from a ring.
    pub received: u64,
    /// Every reason of this stage.
    pub dropped: Dropped,
}

/// What the writer counted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct WriterStage {
    /// Rows in files that are not complete.
    pub open: u64,
    /// Rows in files that are.
    pub written: u64,
    /// Every reason of this stage.
    pub dropped: Dropped,
    /// Written rows whose files were removed again: too old, no room though they were uploaded (`cap`), no room.
    pub removed: Dropped,
}

/// What the agent uses and holds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct OwnStatus {
    /// Memory in bytes.
    pub rss_bytes: u64,
    /// Memory in bytes, shared pages counted in part; 0 if the kernel does not say.
    pub pss_bytes: u64,
    /// Size of the kernel's ring buffers.
    pub ring_bytes: u64,
    /// Unix sockets made in scope, which are counted only.
    pub unix_sockets: u64,
    /// Processor time in seconds.
    pub cpu_s: f64,
    /// Programs in place.
    pub hooks: u64,
    /// Workers that died and were followed by others.
    pub restarts: u64,
    /// What holds the worker.
    pub sandbox: Option<Report>,
    /// Processes in the cache.
    pub processes: u64,
    /// Processes that the cache gave up early.
    pub processes_evicted: u64,
}

impl Status {
    /// Events lost: dropped for any reason but that their like is already recorded.
    #[must_use]
    pub fn lost(&self) -> u64 {
        let drops = self.events.values().flat_map(|event| &event.dropped);
        let lost = drops.filter(|(reason, _)| *reason != DropReason::Duplicate.name());
        lost.map(|(_, count)| count).sum::<u64>() + self.unknown
    }

    /// Events between the stages at this moment, all types together; none once the agent has stopped.
    ///
    /// # Errors
    /// The first event type whose books are wrong, and how.
    pub fn in_flight(&self) -> Result<InFlight, (&str, Unbalanced)> {
        let mut all = InFlight::default();
        for (name, event) in &self.events {
            let more = balanced(event).map_err(|wrong| (name.as_str(), wrong))?;
            all.ring += more.ring;
            all.waiting += more.waiting;
        }
        // What names no type was submitted under one, and never arrives there.
        all.ring = all.ring.saturating_sub(self.unknown);
        Ok(all)
    }

    /// One line for people.
    #[must_use]
    pub fn line(&self) -> String {
        let rows = self.events.iter().map(|(name, event)| (name, event.open + event.written));
        let mut words: Vec<String> =
            rows.filter(|(_, rows)| *rows > 0).map(|(name, rows)| format!("{name} {rows}")).collect();
        words.push(format!("lost {}", self.lost()));
        if self.baseline.is_some() {
            words.push(format!("findings {}", self.findings));
        }
        words.push(terminal::bytes(self.own.rss_bytes));
        words.push(format!("{:.1} s cpu", self.own.cpu_s));
        words.join("  ")
    }
}
