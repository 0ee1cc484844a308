//! What was not seen: silent hosts, losses, hosts that are not settled, hooks that a kernel refused, inputs that were
//! skipped, rows that are gone.

use std::collections::BTreeMap;
use std::path::PathBuf;

use arrow_array::Array;
use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::UInt64Type;
use store::{Incident, Manifest, StoreError, time_text};

use crate::archive::Archive;
use crate::cells::{Times, Words};
use crate::run::Options;

const HOUR_NS: i64 = 3_600_000_000_000;
/// Gaps of one sort that are listed one by one.
const LISTED: usize = 20;

/// Something that was not seen, or not seen whole.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Gap {
    /// `silent`, `loss`, `learning`, `held_back`, `missing`, `skipped`, `unread` or `dismissed`.
    pub kind: String,
    /// The host, if it is about one.
    pub host: Option<String>,
    /// One line.
    pub text: String,
    /// From when, RFC 3339.
    pub since: Option<String>,
    /// Until when, RFC 3339.
    pub until: Option<String>,
}

impl Gap {
    fn new(kind: &str, host: Option<&str>, text: String) -> Self {
        Self { kind: kind.to_owned(), host: host.map(str::to_owned), text, since: None, until: None }
    }

    /// Incidents that are not shown, as somebody said that they are harmless.
    #[must_use]
    pub fn dismissed(incidents: u64) -> Option<Self> {
        let are = if incidents == 1 { "incident is dismissed and is" } else { "incidents are dismissed and are" };
        let text = format!("{incidents} {are} not shown; `ebbline incident list --dismissed` shows all");
        (incidents > 0).then(|| Self::new("dismissed", None, text))
    }

    /// Whether it may have hidden a part of an incident: on one of its hosts, or on none in particular, within its time. What was
    /// dismissed hides nothing of it.
    #[must_use]
    pub fn overlaps(&self, incident: &Incident) -> bool {
        let time = |text: &Option<String>| text.as_deref().and_then(store::from_rfc3339);
        let (from, to) =
            (incident.anchor.min(incident.first), incident.last.max(incident.anchor.saturating_add(HOUR_NS)));
        let is_then =
            time(&self.since).is_none_or(|since| since <= to) && time(&self.until).is_none_or(|until| until >= from);
        let is_there = self.host.as_ref().is_none_or(|host| incident.hosts.contains(host));
        is_then && is_there && self.kind != "dismissed"
    }

    fn between(mut self, since: i64, until: i64) -> Self {
        self.since = Some(store::rfc3339(since));
        self.until = Some(store::rfc3339(until));
        self
    }
}

/// What the archive, the heartbeats and the manifest say was not seen. `unread` are files that triage could not read.
///
/// # Errors
/// The manifest is damaged, or an archive's folder cannot be listed.
pub fn coverage(options: &Options, unread: &[(PathBuf, String)]) -> Result<Vec<Gap>, StoreError> {
    let archive = Archive::open(options.archives())?;
    let mut gaps = of_manifest(&Manifest::load(&options.out)?);
    let beats = heartbeats(&archive);
    gaps.extend(silent(&archive, &beats));
    gaps.extend(beats.iter().flat_map(|(host, beats)| beats.gaps(host)));
    let mut unread: Vec<(PathBuf, String)> = unread.iter().cloned().chain(archive.unread()).collect();
    unread.sort();
    unread.dedup_by(|a, b| a.0 == b.0);
    let number = unread.len();
    gaps.extend(unread.into_iter().take(LISTED).map(|(_, why)| Gap::new("unread", None, why)));
    if number > LISTED {
        gaps.push(Gap::new("unread", None, format!("{} files more cannot be read", number - LISTED)));
    }
    let order = ["silent", "loss", "missing", "unread", "skipped", "held_back", "learning"];
    gaps.sort_by_key(|gap| order.iter().position(|kind| *kind == gap.kind));
    Ok(gaps)
}

fn of_manifest(manifest: &Manifest) -> Vec<Gap> {
    let Some(run) = manifest.runs.last() else { return Vec::new() };
    let mut gaps = Vec::new();
    for host in &run.hosts {
        let name = Some(host.host.as_str());
        if host.state != "settled" {
            gaps.push(Gap::new("learning", name, format!("{}: {}", host.host, host.state)));
        }
        if host.held_back > 0 {
            let text = format!(
                "{}: {} units over the line are not reported, as nothing says how rare they are",
                host.host, host.held_back
            );
            gaps.push(Gap::new("held_back", name, text));
        }
    }
    for input in run.inputs_skipped.iter().take(LISTED) {
        gaps.push(Gap::new("skipped", None, format!("{}: {}", input.path, input.reason)));
    }
    let more = run.inputs_skipped.len().saturating_sub(LISTED) as u64 + run.inputs_unlisted.skipped;
    if more > 0 {
        gaps.push(Gap::new("skipped", None, format!("{more} inputs more were not scored")));
    }
    gaps
}

/// Times and what was counted by then.
type Counts = Vec<(i64, Option<u64>)>;

/// What the heartbeats of a host say.
#[derive(Debug, Clone, Default, PartialEq)]
struct Beats {
    first: i64,
    last: i64,
    /// Dropped so far, by event and reason: time and count, in the order in which they were read.
    dropped: BTreeMap<(String, String), Counts>,
    /// Events lost to a kill that nobody counted: since and until.
    unknown: Vec<(i64, i64)>,
    /// Hooks that were refused.
    missing: BTreeMap<String, i64>,
}

type AllBeats = BTreeMap<String, Beats>;

fn heartbeats(archive: &Archive) -> AllBeats {
    let columns = ["time", "host", "stage", "event", "outcome", "reason", "count", "since"];
    let mut all: AllBeats = archive.pass(events::HEARTBEAT, &columns, one_batch, |mut a: AllBeats, b| {
        for (host, beats) in b {
            a.entry(host).or_default().merge(beats);
        }
        a
    });
    for beats in all.values_mut() {
        beats.dropped.values_mut().for_each(|counts| counts.sort_unstable());
    }
    all
}

fn one_batch(all: &mut AllBeats, batch: &RecordBatch) {
    let words = ["host", "stage", "event", "outcome", "reason"].map(|column| Words::of(batch, column));
    let [hosts, stages, events, outcomes, reasons] = words;
    let (times, since) = (Times::of(batch, "time"), Times::of(batch, "since"));
    let counts = batch.column_by_name("count").and_then(|column| column.as_primitive_opt::<UInt64Type>());
    for row in 0..batch.num_rows() {
        let (Some(host), Some(event)) = (hosts.at(row), events.at(row)) else { continue };
        let time = times.at(row);
        if !all.contains_key(host) {
            all.insert(host.to_owned(), Beats { first: time, last: time, ..Beats::default() });
        }
        let Some(beats) = all.get_mut(host) else { continue };
        beats.first = beats.first.min(time);
        beats.last = beats.last.max(time);
        if let (Some("self"), Some(hook)) = (stages.at(row), event.strip_prefix("hook:")) {
            beats.missing.entry(hook.to_owned()).or_insert(time);
        }
        let count = counts.filter(|counts| counts.is_valid(row)).map(|counts| counts.value(row));
        match (outcomes.at(row), reasons.at(row)) {
            // The same event twice is one event.
            (Some("dropped"), Some(reason)) if reason != "duplicate" => {
                if reason == "killed" && count.is_none() {
                    beats.unknown.push((since.at(row), time));
                } else {
                    put(beats.dropped.entry(key(event, reason)).or_default(), (time, count));
                }
            }
            _ => {}
        }
    }
}

/// Of equal counts in a row the first and the last say it all.
fn put(counts: &mut Counts, (time, count): (i64, Option<u64>)) {
    match counts.as_mut_slice() {
        [.., before, last] if before.1 == count && last.1 == count => last.0 = time,
        _ => counts.push((time, count)),
    }
}

fn key(event: &str, reason: &str) -> (String, String) {
    (event.to_owned(), reason.to_owned())
}

impl Beats {
    fn merge(&mut self, other: Self) {
        let fresh = self.last == 0 && self.first == 0;
        self.first = if fresh { other.first } else { self.first.min(other.first) };
        self.last = self.last.max(other.last);
        self.unknown.extend(other.unknown);
        self.missing.extend(other.missing);
        for (key, counts) in other.dropped {
            self.dropped.entry(key).or_default().extend(counts);
        }
    }

    /// Since and until, and what was lost between. Counts are cumulative from the start of an agent: a smaller one is
    /// another agent's.
    fn windows(&self) -> BTreeMap<(i64, i64), BTreeMap<String, u64>> {
        let mut windows: BTreeMap<(i64, i64), BTreeMap<String, u64>> = BTreeMap::new();
        for ((event, reason), counts) in &self.dropped {
            let (mut last, mut before) = (self.first, 0);
            for (time, count) in counts {
                let count = count.unwrap_or_default();
                let lost = if count >= before { count - before } else { count };
                if lost > 0 {
                    *windows.entry((last, *time)).or_default().entry(format!("{event} ({reason})")).or_default() +=
                        lost;
                }
                (last, before) = (*time, count);
            }
        }
        windows
    }

    fn gaps(&self, host: &str) -> Vec<Gap> {
        let mut gaps: Vec<Gap> = Vec::new();
        let windows = self.windows();
        let number = windows.len();
        for ((since, until), lost) in windows.into_iter().take(LISTED) {
            let what: Vec<String> = lost.into_iter().map(|(what, lost)| format!("{lost} {what}")).collect();
            let text =
                format!("{host}: lost {} between {} and {} UTC", what.join(", "), time_text(since), time_text(until));
            gaps.push(Gap::new("loss", Some(host), text).between(since, until));
        }
        if number > LISTED {
            gaps.push(Gap::new("loss", Some(host), format!("{host}: {} windows more with loss", number - LISTED)));
        }
        for (since, until) in &self.unknown {
            let text = format!(
                "{host}: events lost between {} and {} UTC, nobody knows how many",
                time_text(*since),
                time_text(*until)
            );
            gaps.push(Gap::new("loss", Some(host), text).between(*since, *until));
        }
        if !self.missing.is_empty() {
            let hooks: Vec<&str> = self.missing.keys().map(String::as_str).collect();
            let text = format!("{host}: its kernel refused {}: those events are missing", hooks.join(", "));
            gaps.push(Gap::new("missing", Some(host), text));
        }
        gaps
    }
}

/// Events lost by host, at the moment when that was noticed.
pub(crate) fn losses(archive: &Archive) -> Vec<(String, i64, u64)> {
    let of_host = |(host, beats): (String, Beats)| {
        let lost = |((_, until), lost): ((i64, i64), BTreeMap<String, u64>)| (host.clone(), until, lost.values().sum());
        beats.windows().into_iter().map(lost).collect::<Vec<_>>()
    };
    heartbeats(archive).into_iter().flat_map(of_host).collect()
}

/// Hosts without any row for more than an hour before others had their last.
fn silent(archive: &Archive, beats: &AllBeats) -> Vec<Gap> {
    let mut last: BTreeMap<String, i64> = BTreeMap::new();
    for table in [events::PROCESS, events::CONNECTION, events::DNS] {
        let each = |last: &mut BTreeMap<String, i64>, batch: &RecordBatch| {
            let (hosts, times) = (Words::of(batch, "host"), Times::of(batch, "time"));
            let mut latest = vec![i64::MIN; hosts.map(|_| ()).len()];
            for row in 0..batch.num_rows() {
                if let Some(code) = hosts.code(row) {
                    latest[code] = latest[code].max(times.at(row));
                }
            }
            for (host, time) in hosts.map(|host| host.map(str::to_owned)).into_iter().zip(latest) {
                if let Some(host) = host.filter(|_| time > i64::MIN) {
                    let known = last.entry(host).or_insert(time);
                    *known = time.max(*known);
                }
            }
        };
        let found = archive.pass(table, &["time", "host"], each, latest_of);
        last = latest_of(last, found);
    }
    last = latest_of(last, beats.iter().map(|(host, beats)| (host.clone(), beats.last)).collect());
    let Some(end) = last.values().max().copied() else { return Vec::new() };
    let quiet = last.into_iter().filter(|(_, time)| end.saturating_sub(*time) > HOUR_NS);
    quiet
        .map(|(host, time)| {
            let text = format!("{host}: silent since {} UTC", time_text(time));
            Gap::new("silent", Some(&host), text).between(time, end)
        })
        .collect()
}

fn latest_of(mut a: BTreeMap<String, i64>, b: BTreeMap<String, i64>) -> BTreeMap<String, i64> {
    for (host, time) in b {
        let known = a.entry(host).or_insert(time);
        *known = time.max(*known);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_concerns_an_incident_of_its_host_and_time() {
        let incident =
            Incident { anchor: 0, first: 5, last: 2 * HOUR_NS, hosts: vec!["a".into()], ..Incident::default() };
        let gap = |kind: &str, host: Option<&str>| Gap::new(kind, host, String::new());
        assert!(gap("learning", Some("a")).overlaps(&incident) && gap("skipped", None).overlaps(&incident));
        assert!(!gap("learning", Some("b")).overlaps(&incident) && !gap("dismissed", None).overlaps(&incident));
        for (since, until, is) in
            [(-9, -1, false), (-9, 0, true), (HOUR_NS, HOUR_NS, true), (2 * HOUR_NS + 1, 3 * HOUR_NS, false)]
        {
            assert_eq!(gap("loss", Some("a")).between(since, until).overlaps(&incident), is, "{since} to {until}");
        }
    }
}
