//! What is to be expected of a run: false alerts a day, and how well its hosts are known (docs/model.md §5, §6).

use std::collections::BTreeSet;

use model::stage::InWords;
use model::units::UnitTable;
use model::{Baseline, Budget, Line, Stage};
use store::{Finding, HostState, Run};

/// The days of event time of which findings are counted beside what was expected.
pub const LAST_DAYS: i64 = 7;
const DAY_NS: i64 = 86_400_000_000_000;

/// How well each host is known, and what is held back of it.
pub(crate) fn hosts(baseline: &Baseline, hosts: &BTreeSet<Option<String>>, units: &UnitTable) -> Vec<HostState> {
    let held_back = units.held_back();
    hosts.iter().map(|host| state(baseline, host.as_deref(), &held_back)).collect()
}

pub(crate) fn state(
    baseline: &Baseline,
    host: Option<&str>,
    held_back: &std::collections::BTreeMap<String, u64>,
) -> HostState {
    let days = baseline.host_days(host);
    HostState {
        host: host.unwrap_or("(none)").to_owned(),
        days: days as u64,
        state: InWords(days).to_string(),
        held_back: held_back.get(host.unwrap_or_default()).copied().unwrap_or(0),
    }
}

/// What to say of a host that a baseline learned nothing from.
pub(crate) fn warning(baseline: &Baseline, host: &HostState) -> Option<String> {
    (host.days == 0).then(|| stranger(baseline, &host.host, Some(host.held_back)))
}

/// The same, with what is held back if that is known already.
#[must_use]
pub fn stranger(baseline: &Baseline, host: &str, held_back: Option<u64>) -> String {
    let kinds = baseline.snapshots().iter().flat_map(|s| s.lens.units());
    let judged = kinds.map(|unit| &unit.kind).all(|kind| baseline.judges(kind, Stage::New));
    let head = format!("warning: host {host} is not in this baseline");
    if judged {
        return format!("{head}: {}, it is scored by the habits of its peers, and its rarity is theirs", InWords(0));
    }
    let back = held_back.map_or_else(String::new, |n| format!(" ({n} over the line)"));
    format!(
        "{head}, which has no peers to say what is rare on a new host: {}, its rows are scored, but no findings \
         reported{back}; learn it first",
        InWords(0)
    )
}

/// Writes what is expected, and what was found, into the record of a run.
pub fn enter(run: &mut Run, budget: &Budget, line: Line, times: Option<(i64, i64)>, findings: &[Finding]) {
    run.rarer_than = match line {
        Line::RarerThan(n) => n,
        Line::AlertsPerDay(_) => (f64::from(budget.line) / 1024.0).exp2(),
    };
    run.alerts_per_day = match line {
        Line::AlertsPerDay(n) => Some(n),
        Line::RarerThan(_) => None,
    };
    run.expected_per_day = Some(budget.expected_a_day());
    let per_day = |(kind, units): (&String, &u64)| (kind.clone(), *units as f64 / 1000.0);
    run.units_per_day = budget.units_a_day.iter().map(per_day).collect();
    run.from = times.map(|(from, _)| store::rfc3339(from));
    run.until = times.map(|(_, until)| store::rfc3339(until));
    run.last_7_days = times.map(|(_, until)| last_days(findings.iter().map(|f| f.time), until));
}

/// How many of these times lie in the last days up to one.
pub fn last_days(times: impl Iterator<Item = i64>, until: i64) -> u64 {
    let from = until.saturating_sub(LAST_DAYS * DAY_NS);
    times.filter(|time| *time > from && *time <= until).count() as u64
}
