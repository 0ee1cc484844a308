//! Rows by time, table and host; heartbeats and losses by host.

use std::collections::BTreeMap;

use arrow_array::RecordBatch;
use serde::Serialize;

use crate::archive::Archive;
use crate::cells::{Times, Words};
use crate::coverage::losses;

const SECOND_NS: i64 = 1_000_000_000;
/// No more steps than a chart has room for.
const STEPS: i64 = 240;
/// Seconds of a step; longer ones are doubled.
const LENGTHS: [i64; 6] = [60, 300, 900, 3_600, 21_600, 86_400];
/// Hosts that are listed.
const HOSTS: usize = 100;
const TABLES: [&str; 3] = [events::PROCESS, events::CONNECTION, events::DNS];

/// Steps of equal length from a moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Axis {
    /// Start of the first, RFC 3339.
    pub since: String,
    /// Seconds of one.
    pub step_s: i64,
    /// How many.
    pub steps: usize,
}

/// Rows of a table by step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Volume {
    /// Table.
    pub table: String,
    /// Rows in each step.
    pub rows: Vec<u64>,
}

/// What is known of a host, by step.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct HostSeen {
    /// Its name.
    pub host: String,
    /// Rows of all tables.
    pub rows: Vec<u64>,
    /// Heartbeat rows.
    pub beats: Vec<u64>,
    /// Events lost, where that was noticed.
    pub lost: Vec<u64>,
}

/// Hosts, those with losses or gaps first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Hosts {
    /// How many there are.
    pub total: usize,
    /// The first of them.
    pub shown: Vec<HostSeen>,
}

/// First and last time of rows, nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) first: i64,
    pub(crate) last: i64,
}

impl Span {
    /// Length of a step in seconds, and the number of the first step since 1970.
    fn steps(self) -> (i64, i64, usize) {
        let count = |length: i64| {
            let step = |time: i64| time.div_euclid(SECOND_NS).div_euclid(length);
            (step(self.first), step(self.last) - step(self.first) + 1)
        };
        let fits = |length: &i64| count(*length).1 <= STEPS;
        let longer = || std::iter::successors(Some(172_800), |length| Some(length * 2)).find(fits);
        let length = LENGTHS.into_iter().find(fits).or_else(longer).unwrap_or(86_400);
        let (first, number) = count(length);
        (length, first, number.max(1) as usize)
    }

    pub(crate) fn axis(self) -> Axis {
        let (step_s, first, steps) = self.steps();
        Axis { since: store::rfc3339((first * step_s).saturating_mul(SECOND_NS)), step_s, steps }
    }
}

/// Of all rows but heartbeats.
pub(crate) fn bounds(archive: &Archive) -> Option<Span> {
    let join = |a: Option<Span>, b: Option<Span>| match (a, b) {
        (Some(a), Some(b)) => Some(Span { first: a.first.min(b.first), last: a.last.max(b.last) }),
        (a, b) => a.or(b),
    };
    let each = |span: &mut Option<Span>, batch: &RecordBatch| {
        let times = Times::of(batch, "time");
        for time in (0..batch.num_rows()).map(|row| times.at(row)) {
            *span = join(*span, Some(Span { first: time, last: time }));
        }
    };
    TABLES.into_iter().map(|table| archive.pass(table, &["time"], each, join)).fold(None, join)
}

type Counts = BTreeMap<String, Vec<u64>>;

/// Rows by table, and what was seen of hosts.
pub(crate) fn seen(archive: &Archive, span: Span) -> (Vec<Volume>, Hosts) {
    let (length, first, steps) = span.steps();
    let place = |time: i64| {
        usize::try_from(time.div_euclid(SECOND_NS).div_euclid(length) - first).ok().filter(|at| *at < steps)
    };
    let each = |counts: &mut Counts, batch: &RecordBatch| {
        let (hosts, times) = (Words::of(batch, "host"), Times::of(batch, "time"));
        for row in 0..batch.num_rows() {
            let (Some(host), Some(at)) = (hosts.at(row), place(times.at(row))) else { continue };
            slots(counts, host, steps)[at] += 1;
        }
    };
    let count = |table: &str| archive.pass(table, &["time", "host"], each, |a, b| added(a, b, steps));
    let mut hosts: BTreeMap<String, HostSeen> = BTreeMap::new();
    let mut volume = Vec::new();
    for table in TABLES {
        let counts = count(table);
        let mut rows = vec![0; steps];
        counts.values().for_each(|of_host| add(&mut rows, of_host));
        if !counts.is_empty() {
            volume.push(Volume { table: table.to_owned(), rows });
        }
        for (host, counts) in counts {
            add(&mut entry(&mut hosts, &host, steps).rows, &counts);
        }
    }
    for (host, counts) in count(events::HEARTBEAT) {
        entry(&mut hosts, &host, steps).beats = counts;
    }
    for (host, time, lost) in losses(archive) {
        if let Some(at) = place(time) {
            entry(&mut hosts, &host, steps).lost[at] += lost;
        }
    }
    (volume, first_of(hosts.into_values().collect()))
}

fn slots<'a>(counts: &'a mut Counts, host: &str, steps: usize) -> &'a mut Vec<u64> {
    if !counts.contains_key(host) {
        counts.insert(host.to_owned(), vec![0; steps]);
    }
    counts.entry(host.to_owned()).or_default()
}

fn entry<'a>(hosts: &'a mut BTreeMap<String, HostSeen>, host: &str, steps: usize) -> &'a mut HostSeen {
    let none = || vec![0; steps];
    let fresh = || HostSeen { host: host.to_owned(), rows: none(), beats: none(), lost: none() };
    hosts.entry(host.to_owned()).or_insert_with(fresh)
}

fn add(to: &mut [u64], from: &[u64]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
}

fn added(mut a: Counts, b: Counts, steps: usize) -> Counts {
    for (host, counts) in b {
        add(slots(&mut a, &host, steps), &counts);
    }
    a
}

fn first_of(mut hosts: Vec<HostSeen>) -> Hosts {
    let gaps =
        |host: &HostSeen| host.rows.iter().zip(&host.beats).filter(|(rows, beats)| **rows + **beats == 0).count();
    hosts
        .sort_by_cached_key(|host| (std::cmp::Reverse((host.lost.iter().sum::<u64>(), gaps(host))), host.host.clone()));
    let total = hosts.len();
    hosts.truncate(HOSTS);
    Hosts { total, shown: hosts }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_year_and_a_minute_have_a_few_steps() {
        let day = 86_400 * SECOND_NS;
        for (first, last, length) in [(0, 59 * SECOND_NS, 60), (0, 7 * day - 1, 3_600), (0, 365 * day, 172_800)] {
            let axis = Span { first, last }.axis();
            assert_eq!((axis.step_s, axis.since.as_str()), (length, "1970-01-01T00:00:00Z"), "{axis:?}");
            assert!(axis.steps >= 1 && axis.steps as i64 <= STEPS);
        }
    }

    proptest::proptest! {
        #[test]
        fn any_times_have_a_place(a in proptest::num::i64::ANY, b in proptest::num::i64::ANY) {
            let (_, _, steps) = Span { first: a.min(b), last: a.max(b) }.steps();
            proptest::prop_assert!((1..=STEPS as usize).contains(&steps));
        }
    }
}
