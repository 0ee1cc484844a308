//! How many alerts people want to see, and the line that follows from it (docs/model.md §6).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::baseline::Baseline;
use crate::evidence::Subject;
use crate::log2::lg;

/// Days of evidence of a host, the last ones, that say how many units it has.
const RATE_DAYS: usize = 28;
const DAY_SECONDS: u64 = 86_400;
/// Rates are counted in thousandths.
const MILLI: u64 = 1_000;

/// What makes a unit a finding.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Line {
    /// So many false alerts a day are expected, over all unit kinds and hosts.
    AlertsPerDay(f64),
    /// It is expected at most once in so many units.
    RarerThan(f64),
}

impl Default for Line {
    fn default() -> Self {
        Self::AlertsPerDay(5.0)
    }
}

/// A line, and what is to be expected of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Budget {
    /// By unit kind, how many are expected in a day, in thousandths.
    pub units_a_day: BTreeMap<String, u64>,
    /// A unit is a finding if its log2_n, in 1/1024 bit, is as much or more.
    pub line: u16,
}

impl Budget {
    /// The line for `hosts`, those of the baseline if none are named.
    pub fn new(baseline: &Baseline, hosts: &BTreeSet<Option<String>>, line: Line) -> Self {
        let units_a_day = units_a_day(baseline, hosts);
        let line = match line {
            Line::RarerThan(n) => (n.max(1.0).log2() * 1024.0).ceil().min(f64::from(u16::MAX)) as u16,
            Line::AlertsPerDay(n) => {
                let wanted = ((n * MILLI as f64).round() as u64).max(1);
                let units = units_a_day.values().fold(0u64, |sum, units| sum.saturating_add(*units));
                line_of(units, wanted)
            }
        };
        Self { units_a_day, line }
    }

    /// False alerts that are expected in a day.
    pub fn expected_a_day(&self) -> f64 {
        let units: u64 = self.units_a_day.values().fold(0, |sum, units| sum.saturating_add(*units));
        units as f64 / MILLI as f64 * (-f64::from(self.line) / 1024.0).exp2()
    }

    /// The unit kinds that cannot come over the line, and the log2_n (1/1024) that they end at: calibration saw too few.
    pub fn out_of_reach<'a>(&'a self, baseline: &Baseline) -> Vec<(&'a str, u16)> {
        let most = |kind: &str| baseline.unit_calibration(kind).and_then(|table| table.last().copied());
        let kinds = self.units_a_day.keys().filter_map(|kind| Some((kind.as_str(), most(kind)?)));
        kinds.filter(|(_, most)| *most < self.line).collect()
    }
}

/// The least line, in 1/1024 bit, that `wanted` of `units` are expected to come over.
fn line_of(units: u64, wanted: u64) -> u16 {
    let bits = lg64(units).saturating_sub(lg64(wanted)).div_ceil(64);
    u16::try_from(bits).unwrap_or(u16::MAX)
}

/// [`lg`] of larger numbers.
fn lg64(x: u64) -> u32 {
    let shift = 32u32.saturating_sub(x.leading_zeros());
    lg((x >> shift) as u32) + (shift << 16)
}

/// What is known of one day of a host: seconds that it was watched, and units by kind.
type Day<'a> = (u64, BTreeMap<&'a str, u64>);

/// How many units of each kind these hosts have in a day, in thousandths. A host that the baseline has no evidence of is
/// taken for the mean of the others.
fn units_a_day(baseline: &Baseline, hosts: &BTreeSet<Option<String>>) -> BTreeMap<String, u64> {
    let known = known_rates(baseline);
    let all: Vec<Option<&str>> = match hosts.is_empty() {
        true => baseline.hosts().map(|(host, _)| host).collect(),
        false => hosts.iter().map(Option::as_deref).collect(),
    };
    let rate = |kind: &str| {
        let of_known: Vec<u64> = known.values().map(|rates| rates.get(kind).copied().unwrap_or(0)).collect();
        let mean = match of_known.len() as u64 {
            0 => uncounted(baseline, kind),
            n => of_known.iter().sum::<u64>() / n,
        };
        let of_host = |host: &Option<&str>| known.get(host).map_or(mean, |rates| rates.get(kind).copied().unwrap_or(0));
        all.iter().map(of_host).fold(0, u64::saturating_add)
    };
    let kinds = baseline.snapshots().iter().flat_map(|s| s.lens.units()).map(|unit| &unit.kind);
    kinds.map(|kind| (kind.clone(), rate(kind))).collect()
}

/// By host and kind, from its last days of evidence.
fn known_rates(baseline: &Baseline) -> BTreeMap<Option<&str>, BTreeMap<&str, u64>> {
    let mut hosts: BTreeMap<Option<&str>, BTreeMap<i32, Day<'_>>> = BTreeMap::new();
    for evidence in baseline.evidence() {
        let Some((counted, seconds)) = evidence.rate() else { continue };
        let days = hosts.entry(evidence.host.as_deref()).or_default();
        let (watched, units) = days.entry(evidence.day).or_default();
        // A day that was learned in several runs is taken as the one saw it that saw most.
        *watched = seconds.max(*watched);
        if let Subject::Units(kind) = &evidence.subject {
            let known = units.entry(kind).or_default();
            *known = counted.max(*known);
        }
    }
    hosts.into_iter().map(|(host, days)| (host, rates(days))).collect()
}

fn rates<'a>(days: BTreeMap<i32, Day<'a>>) -> BTreeMap<&'a str, u64> {
    let (mut seconds, mut units) = (0, BTreeMap::new());
    for (watched, of_day) in days.into_values().rev().take(RATE_DAYS) {
        seconds += watched;
        of_day.into_iter().for_each(|(kind, n)| *units.entry(kind).or_insert(0u64) += n);
    }
    let per_day = |n: u64| u128::from(n) * u128::from(DAY_SECONDS * MILLI) / u128::from(seconds.max(1));
    units.into_iter().map(|(kind, n)| (kind, u64::try_from(per_day(n)).unwrap_or(u64::MAX))).collect()
}

/// Units a day of a host by a baseline without evidence: as many as calibrated it, by days of hosts.
fn uncounted(baseline: &Baseline, kind: &str) -> u64 {
    let days: usize = baseline.hosts().map(|(_, days)| days).sum();
    baseline.units_used(kind).saturating_mul(MILLI) / (days as u64).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_lets_so_many_over() {
        for (units, wanted) in
            [(1_000, 1_000), (1_000_000, 5_000), (7_777_777, 1_000), (u64::MAX, 1), (3, 1_000), (0, 5)]
        {
            let line = line_of(units, wanted);
            let over = |line: f64| units as f64 * (-line / 1024.0).exp2();
            assert!(over(line.into()) <= wanted as f64 * 1.001, "{units} {wanted} {line}");
            assert!(line == 0 || over(f64::from(line) - 2.0) > wanted as f64, "{units} {wanted} {line}");
        }
    }
}
