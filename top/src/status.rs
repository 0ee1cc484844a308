//! What a running agent says of itself: the object of `docs/contracts.md` §7, as far as it is shown.
//!
//! It is read as any script would read it. What is missing is nothing, what is unknown is passed over.

use std::collections::BTreeMap;
use std::path::PathBuf;

use events::{EventType, Table};
use serde::Deserialize;

/// Why a count was dropped without a loss: the same is already recorded.
const DUPLICATE: &str = "duplicate";

type Dropped = BTreeMap<String, u64>;

/// One status.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Status {
    /// Seconds since the agent started.
    pub uptime_s: f64,
    /// Its version.
    pub agent_version: String,
    /// Its host.
    pub host: String,
    /// Its process id.
    pub pid: u32,
    /// Backend that scores, if any.
    pub backend: Option<String>,
    /// Baseline id, if any.
    pub baseline: Option<String>,
    /// How well the baseline knows the host.
    pub host_state: Option<String>,
    /// False alerts a day that are expected.
    pub expected_per_day: Option<f64>,
    /// The archive.
    pub archive: Option<PathBuf>,
    /// Where scores and findings go.
    pub out: Option<PathBuf>,
    /// The books, by event type.
    pub events: BTreeMap<String, Event>,
    /// Records that name no event type.
    pub unknown: u64,
    /// Why there is no worker.
    pub no_worker: Option<String>,
    /// Findings so far.
    pub findings: u64,
    /// Rows that got no score.
    pub unscored: u64,
    /// Why nothing can be written.
    pub blocked: Option<String>,
    /// Segments that cannot be read.
    pub unread: Vec<String>,
    /// What the agent uses.
    #[serde(rename = "self")]
    pub own: Own,
}

/// The books of one event type.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Event {
    /// Happened in scope.
    pub produced: u64,
    /// Only counted.
    pub summarised: u64,
    /// In the journal.
    pub open: u64,
    /// In files.
    pub written: u64,
    /// Dropped at any stage, by reason.
    pub dropped: Dropped,
    kernel: Kernel,
    agent: Agent,
    writer: Writer,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct Kernel {
    produced: u64,
    submitted: u64,
    summarised: u64,
    dropped: Dropped,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct Agent {
    received: u64,
    dropped: Dropped,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct Writer {
    open: u64,
    written: u64,
    dropped: Dropped,
}

/// What the agent uses.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Own {
    /// Resident memory.
    pub rss_bytes: u64,
    /// The same, shared pages in part; 0 if the kernel does not say.
    pub pss_bytes: u64,
    /// Rings.
    pub ring_bytes: u64,
    /// Processor time.
    pub cpu_s: f64,
    /// Programs in place.
    pub hooks: u64,
    /// Workers that died and were followed by others.
    pub restarts: u64,
    /// Processes in the cache.
    pub processes: u64,
}

/// Where the events of all types are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Books {
    /// Happened in scope.
    pub produced: u64,
    /// Only counted.
    pub summarised: u64,
    /// In the journal.
    pub open: u64,
    /// In files.
    pub written: u64,
    /// Dropped, duplicates too.
    pub dropped: u64,
    /// On their way, in the kernel's rings or to a file.
    pub in_flight: u64,
}

fn sum(dropped: &Dropped) -> u64 {
    dropped.values().fold(0, |sum, count| sum.saturating_add(*count))
}

impl Event {
    /// Dropped, duplicates too.
    #[must_use]
    pub fn drops(&self) -> u64 {
        sum(&self.dropped)
    }

    /// Events on their way; nothing if the books are wrong.
    #[must_use]
    pub fn in_flight(&self) -> Option<u64> {
        let (kernel, agent, writer) = (&self.kernel, &self.agent, &self.writer);
        let kept = kernel.submitted.saturating_add(kernel.summarised).saturating_add(sum(&kernel.dropped));
        let ring = kernel.submitted.checked_sub(agent.received).filter(|_| kernel.produced == kept)?;
        let done = [sum(&agent.dropped), writer.open, writer.written, sum(&writer.dropped)];
        let done = done.into_iter().fold(0, u64::saturating_add);
        Some(ring.saturating_add(agent.received.checked_sub(done)?))
    }

    /// Whether there is anything to say of it.
    #[must_use]
    pub fn is_seen(&self) -> bool {
        self.produced > 0 || self.open > 0 || self.written > 0 || !self.dropped.is_empty()
    }
}

/// The table that rows of an event type are in; nothing if this version does not know the type.
#[must_use]
pub(crate) fn table_of(event: &str) -> Option<Table> {
    EventType::ALL.into_iter().find(|kind| kind.name() == event).map(EventType::table)
}

impl Status {
    /// Reads one line.
    ///
    /// # Errors
    /// Why it is no status, in words.
    pub fn parse(line: &[u8]) -> Result<Self, String> {
        let value: serde_json::Value =
            serde_json::from_slice(line).map_err(|error| format!("not a status: {error}"))?;
        if value.get("pid").is_none() {
            return Err("not a status: it names no process".to_owned());
        }
        serde_json::from_value(value).map_err(|error| format!("not a status: {error}"))
    }

    /// Events lost, by reason: how many, and of which types.
    #[must_use]
    pub fn losses(&self) -> BTreeMap<&str, (u64, Vec<&str>)> {
        let mut losses: BTreeMap<&str, (u64, Vec<&str>)> = BTreeMap::new();
        for (event, books) in &self.events {
            for (reason, count) in books.dropped.iter().filter(|(reason, count)| *reason != DUPLICATE && **count > 0) {
                let loss = losses.entry(reason).or_default();
                loss.0 = loss.0.saturating_add(*count);
                loss.1.push(event);
            }
        }
        if self.unknown > 0 {
            let loss = losses.entry("malformed").or_default();
            loss.0 = loss.0.saturating_add(self.unknown);
            loss.1.push("unknown");
        }
        losses
    }

    /// Events lost: dropped for any reason but that their like is already recorded.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.losses().values().fold(0, |sum, (count, _)| sum.saturating_add(*count))
    }

    /// Where all events are.
    ///
    /// # Errors
    /// The first event type whose books do not balance.
    pub fn books(&self) -> Result<Books, &str> {
        let mut all = Books::default();
        for (name, event) in &self.events {
            let in_flight = event.in_flight().ok_or(name.as_str())?;
            let add = |sum: &mut u64, count: u64| *sum = sum.saturating_add(count);
            add(&mut all.produced, event.produced);
            add(&mut all.summarised, event.summarised);
            add(&mut all.open, event.open);
            add(&mut all.written, event.written);
            add(&mut all.dropped, event.drops());
            add(&mut all.in_flight, in_flight);
        }
        // What names no type was submitted under one, and never arrives there.
        all.in_flight = all.in_flight.saturating_sub(self.unknown);
        all.dropped = all.dropped.saturating_add(self.unknown);
        Ok(all)
    }

    /// Events produced, by table: process, connection, dns.
    #[must_use]
    pub fn produced(&self) -> [u64; 3] {
        let mut produced = [0u64; 3];
        for (name, event) in &self.events {
            if let Some(table) = table_of(name) {
                let sum = &mut produced[table as usize];
                *sum = sum.saturating_add(event.produced);
            }
        }
        produced
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn event(produced: u64, lost: u64, received: u64, written: u64) -> serde_json::Value {
        serde_json::json!({
            "produced": produced, "written": written, "dropped": { "ring_full": lost },
            "kernel": { "produced": produced, "submitted": produced - lost, "dropped": { "ring_full": lost } },
            "agent": { "received": received }, "writer": { "written": written },
        })
    }

    #[test]
    fn books_balance_or_name_the_type() {
        let of = |exec: serde_json::Value| {
            let line =
                serde_json::json!({ "pid": 1, "unknown": 1, "events": { "connect": event(3, 0, 3, 3), "exec": exec } });
            Status::parse(line.to_string().as_bytes()).unwrap()
        };
        let status = of(event(10, 2, 7, 4));
        let all = Books { produced: 13, written: 7, dropped: 3, in_flight: 3, ..Books::default() };
        assert_eq!(status.books(), Ok(all));
        assert_eq!(
            status.losses().into_iter().collect::<Vec<_>>(),
            [("malformed", (1, vec!["unknown"])), ("ring_full", (2, vec!["exec"]))]
        );
        assert_eq!((status.lost(), status.produced()), (3, [10, 3, 0]));
        assert_eq!(of(event(3, 0, 3, 4)).books(), Err("exec"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_status_or_an_error(line: Vec<u8>) {
            prop_assert!(Status::parse(&line).is_err());
        }

        #[test]
        fn any_counts_are_added_up(counts: [u64; 8]) {
            let [a, b, c, d, e, f, g, unknown] = counts;
            let event = serde_json::json!({
                "produced": a, "open": b, "dropped": { "x": c, "y": d },
                "kernel": { "produced": e, "submitted": f, "dropped": { "x": g } }, "agent": { "received": a },
            });
            let line = serde_json::json!({ "pid": 1, "unknown": unknown, "events": { "exec": event, "fork": event } });
            let status = Status::parse(line.to_string().as_bytes()).unwrap();
            let _ = (status.books(), status.lost(), status.produced());
        }
    }
}
