//! What is known at this moment: the agent's last status and its history, and what the folder holds. All of it is bounded.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

use store::{Finding, Incident};
use triage::{Gap, Standings};

use crate::status::Status;
use crate::volume::Volume;

/// Seconds of rates that are kept.
pub const HISTORY: usize = 600;
/// Findings that are kept, the newest. Each is some 5 KB.
pub const FINDINGS: usize = 1000;
/// Incidents that are kept, those with the most bits.
pub const INCIDENTS: usize = 1000;
/// Gaps that are kept.
pub const GAPS: usize = 200;

/// Something that a source has seen.
#[derive(Debug, Clone)]
pub enum Seen {
    /// The agent said how it goes.
    Status(Box<Status>),
    /// It does not answer, and why.
    Lost(String),
    /// Findings of the folder.
    Findings(Arc<Findings>),
    /// Its incidents.
    Incidents(Arc<Incidents>),
    /// Rows of the archive.
    Volume(Arc<Volume>),
    /// The folder cannot be read, and why; nothing if it can again.
    Trouble(Option<String>),
}

/// Findings of a folder.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Findings {
    /// The newest, the newest first.
    pub newest: Vec<Arc<Finding>>,
    /// All that there are.
    pub total: u64,
    /// There is a folder of them, be it empty: something was scored.
    pub scored: bool,
}

/// Incidents of a folder.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Incidents {
    /// The most unusual, in their order.
    pub first: Vec<Arc<Incident>>,
    /// All that there are.
    pub total: u64,
    /// Grouped here, and not as they were written last.
    pub grouped: bool,
    /// Where those stand of which somebody said something.
    pub standings: Standings,
    /// What was not seen.
    pub gaps: Vec<Gap>,
    /// Gaps that had no room.
    pub more_gaps: usize,
}

/// How it stands with the agent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Link {
    /// Nobody asks one.
    #[default]
    NotAsked,
    /// It has not answered yet.
    Waiting,
    /// It answers.
    Live,
    /// It answers that it has no worker.
    NoWorker,
    /// It does not answer, since when (nanoseconds since 1970) and why.
    Lost {
        /// Since when.
        since: i64,
        /// Why.
        why: String,
    },
}

/// What is known of the agent.
#[derive(Debug, Clone, Default)]
pub struct Agent {
    /// How it stands.
    pub link: Link,
    /// What it said last.
    pub status: Option<Box<Status>>,
    /// How fast it went.
    pub rates: Rates,
}

/// Events a second, newest last.
#[derive(Debug, Clone, Default)]
pub struct Rates {
    last: Option<Sample>,
    /// By table: process, connection, dns.
    pub tables: [VecDeque<u64>; 3],
    /// Processor time in hundredths of a percent of one core.
    pub cpu: VecDeque<u64>,
    /// Events lost.
    pub lost: VecDeque<u64>,
}

/// Counts at one moment.
#[derive(Debug, Clone, Copy)]
struct Sample {
    pid: u32,
    uptime: f64,
    produced: [u64; 3],
    lost: u64,
    cpu: f64,
}

impl Sample {
    fn of(status: &Status) -> Self {
        Self {
            pid: status.pid,
            uptime: status.uptime_s,
            produced: status.produced(),
            lost: status.lost(),
            cpu: status.own.cpu_s,
        }
    }
}

impl Rates {
    /// Adds what happened since the status before. That of another agent begins anew.
    fn add(&mut self, status: &Status) {
        let now = Sample::of(status);
        let before = self.last.replace(now);
        let Some(before) = before.filter(|before| before.pid == now.pid && before.uptime < now.uptime) else { return };
        let seconds = now.uptime - before.uptime;
        let rate = |now: u64, before: u64| (now.saturating_sub(before) as f64 / seconds).round() as u64;
        for (kept, (now, before)) in self.tables.iter_mut().zip(now.produced.into_iter().zip(before.produced)) {
            push(kept, rate(now, before));
        }
        push(&mut self.lost, now.lost.saturating_sub(before.lost));
        push(&mut self.cpu, ((now.cpu - before.cpu) / seconds * 10_000.0).round() as u64);
    }
}

fn push(kept: &mut VecDeque<u64>, value: u64) {
    if kept.len() == HISTORY {
        kept.pop_front();
    }
    kept.push_back(value);
}

/// All that is shown.
#[derive(Debug, Clone, Default)]
pub struct Data {
    /// The agent.
    pub agent: Agent,
    /// The folder of results that is watched.
    pub folder: Option<PathBuf>,
    /// Its findings; nothing before they are read.
    pub findings: Option<Arc<Findings>>,
    /// Its incidents.
    pub incidents: Option<Arc<Incidents>>,
    /// Rows of the archive.
    pub volume: Option<Arc<Volume>>,
    /// Why the folder cannot be read.
    pub trouble: Option<String>,
}

impl Data {
    /// Why there are no findings, and what to do next.
    #[must_use]
    pub fn why_none(&self) -> &'static str {
        let scores = self.agent.status.as_ref().is_some_and(|status| status.baseline.is_some());
        match self.findings.as_deref() {
            None => "reading …",
            Some(findings) if findings.total > 0 => "none that is not dismissed",
            Some(findings) if findings.scored => "none: nothing was rarer than the line",
            Some(_) if scores => "nothing found yet; the agent scores, and writes findings here as they come",
            Some(_) => "nothing scored yet; `ebbline score ARCHIVE --baseline FILE --out DIR` does",
        }
    }

    /// Takes in what was seen at a moment.
    pub(crate) fn see(&mut self, seen: Seen, now: i64) {
        match seen {
            Seen::Status(status) => {
                self.agent.link = if status.no_worker.is_some() { Link::NoWorker } else { Link::Live };
                if status.no_worker.is_none() {
                    self.agent.rates.add(&status);
                }
                self.agent.status = Some(status);
            }
            Seen::Lost(why) => self.lost(why, now),
            Seen::Findings(findings) => self.findings = Some(findings),
            Seen::Incidents(incidents) => self.incidents = Some(incidents),
            Seen::Volume(volume) => self.volume = Some(volume),
            Seen::Trouble(trouble) => self.trouble = trouble,
        }
    }

    fn lost(&mut self, why: String, now: i64) {
        let since = match &self.agent.link {
            // Who has no worker says so and hangs up. The next time it must answer again.
            Link::NoWorker if self.agent.status.as_ref().is_some_and(|status| status.no_worker.is_some()) => {
                return self.agent.link = Link::Waiting;
            }
            Link::Lost { since, .. } => *since,
            _ => now,
        };
        self.agent.link = Link::Lost { since, why };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(pid: u32, uptime: f64, execs: u64) -> Seen {
        let line = serde_json::json!({
            "pid": pid, "uptime_s": uptime, "self": { "cpu_s": uptime / 100.0 },
            "events": { "exec": { "produced": execs, "dropped": { "ring_full": execs / 10 } } },
        });
        Seen::Status(Box::new(Status::parse(line.to_string().as_bytes()).unwrap()))
    }

    #[test]
    fn rates_are_of_one_agent_and_bounded() {
        let mut data = Data::default();
        [status(1, 1.0, 10), status(1, 3.0, 50), status(2, 1.0, 7), status(2, 1.0, 9)]
            .into_iter()
            .for_each(|seen| data.see(seen, 0));
        let rates = &data.agent.rates;
        assert_eq!((rates.tables[0].iter().copied().collect(), rates.cpu[0], rates.lost[0]), (vec![20u64], 100, 4));
        for second in 2..2000 {
            data.see(status(2, f64::from(second), 9), 0);
        }
        assert_eq!(data.agent.rates.tables[2].len(), HISTORY);
    }

    #[test]
    fn an_agent_without_a_worker_is_not_lost_until_it_says_nothing() {
        let mut data = Data::default();
        let none = || {
            let line = br#"{"pid":1,"no_worker":"disk is full"}"#;
            Seen::Status(Box::new(Status::parse(line).unwrap()))
        };
        data.see(none(), 1);
        data.see(Seen::Lost("hung up".into()), 2);
        assert_eq!(data.agent.link, Link::Waiting);
        data.see(none(), 3);
        assert_eq!(data.agent.link, Link::NoWorker);
        data.see(Seen::Lost("hung up".into()), 4);
        data.see(Seen::Lost("refused".into()), 5);
        data.see(Seen::Lost("gone".into()), 6);
        assert_eq!(data.agent.link, Link::Lost { since: 5, why: "gone".into() });
    }
}
