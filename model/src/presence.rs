//! Which hosts have data on which days, and how long they were watched (docs/model.md §5, "Stages").

use std::collections::{BTreeMap, HashMap};

use crate::encode::EncodedBatch;
use crate::keys::{HashKey, join};
use crate::segment::{Segment, day_of};

/// Hosts of a fleet that calibrate new hosts; taking one out costs as much as counting it.
const CHOSEN_HOSTS: usize = 64;
const SECOND_NS: i64 = 1_000_000_000;
const DAY_NS: i64 = 86_400 * SECOND_NS;
const DAY_SECONDS: i64 = 86_400;
/// A host that has rows was watched so long at least.
const LEAST_SECONDS: i64 = 3_600;

/// Hosts, by the value hash of their names, and the days of which they have data in any table.
pub(crate) struct Presence {
    hosts: BTreeMap<u64, Host>,
}

struct Host {
    name: Option<String>,
    chosen: bool,
    /// By day the first and last row, in ns since 1970, as far as rows were seen.
    days: BTreeMap<i32, Option<(i64, i64)>>,
}

/// The first and last row of hosts and days, in ns since 1970.
#[derive(Default)]
pub(crate) struct Times(BTreeMap<(u64, i32), (i64, i64)>);

impl Times {
    /// Notes when the rows of a batch were.
    pub(crate) fn saw(&mut self, batch: &EncodedBatch) {
        let mut of_batch: HashMap<(u32, i32), (i64, i64), ahash::RandomState> = HashMap::default();
        let mut day = 0..0;
        for (time, code) in batch.time.iter().zip(&batch.host.codes) {
            if !day.contains(time) {
                let start = i64::from(day_of(*time)).saturating_mul(DAY_NS);
                day = start..start.saturating_add(DAY_NS);
            }
            let seen = of_batch.entry((*code, day_of(day.start))).or_insert((*time, *time));
            *seen = (seen.0.min(*time), seen.1.max(*time));
        }
        for ((code, day), (first, last)) in of_batch {
            let place = (join(batch.host.hashes[code as usize]), day);
            let seen = self.0.entry(place).or_insert((first, last));
            *seen = (seen.0.min(first), seen.1.max(last));
        }
    }
}

impl Presence {
    pub(crate) fn new<'a>(key: &HashKey, segments: impl Iterator<Item = &'a Segment>) -> Self {
        let mut hosts: BTreeMap<u64, Host> = BTreeMap::new();
        for segment in segments {
            let new = || Host { name: segment.host.clone(), chosen: false, days: BTreeMap::new() };
            let host = hosts.entry(join(key.value(segment.host.as_deref()))).or_insert_with(new);
            host.days.entry(segment.day).or_default();
        }
        // Chosen by a hash of their names under no secret, so that every baseline takes the same.
        let place = |host: &Host| join(HashKey([0; 32]).value(host.name.as_deref()));
        let mut order: Vec<&mut Host> = hosts.values_mut().collect();
        order.sort_by_key(|host| place(host));
        order.into_iter().take(CHOSEN_HOSTS).for_each(|host| host.chosen = true);
        Self { hosts }
    }

    /// Notes when rows were.
    pub(crate) fn saw(&mut self, times: &Times) {
        for ((host, day), seen) in &times.0 {
            if let Some(host) = self.hosts.get_mut(host) {
                let before = host.days.entry(*day).or_default();
                *before = Some(before.map_or(*seen, |(from, to)| (from.min(seen.0), to.max(seen.1))));
            }
        }
    }

    /// On how many of these days a host has data.
    pub(crate) fn days(&self, host: u64, days: &[i32]) -> usize {
        self.hosts.get(&host).map_or(0, |host| days.iter().filter(|day| host.days.contains_key(day)).count())
    }

    /// Whether any other host has data on any of these days.
    pub(crate) fn has_peers(&self, host: u64, days: &[i32]) -> bool {
        self.hosts.keys().any(|other| *other != host && self.days(*other, days) > 0)
    }

    /// Whether a host is among those whose rows calibrate new hosts.
    pub(crate) fn is_chosen(&self, host: u64) -> bool {
        self.hosts.get(&host).is_some_and(|host| host.chosen)
    }

    pub(crate) fn name(&self, host: u64) -> Option<String> {
        self.hosts.get(&host).and_then(|host| host.name.clone())
    }

    /// For how many seconds of a day a host was watched: all of it, but for the first and last of days on end; there from
    /// the first row, and to the last.
    pub(crate) fn seconds(&self, host: u64, day: i32) -> u32 {
        let Some(host) = self.hosts.get(&host) else { return DAY_SECONDS as u32 };
        let midnight = i64::from(day) * DAY_SECONDS;
        let Some((first, last)) = host.days.get(&day).copied().flatten() else { return DAY_SECONDS as u32 };
        let near = |day: i32| host.days.contains_key(&day);
        let from = if near(day - 1) { midnight } else { first.div_euclid(SECOND_NS) };
        let to = if near(day + 1) { midnight + DAY_SECONDS } else { last.div_euclid(SECOND_NS) };
        (to - from).clamp(LEAST_SECONDS, DAY_SECONDS) as u32
    }
}
