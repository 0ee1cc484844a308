//! Alerts of intrusion detectors in four enterprises: days of clean time, then an attack in many steps.
//!
//! Of each enterprise, everything before the first row that lies in the time of an attack is learned, but for rows of the
//! exfiltration that runs all through one of them. A label belongs to a window of five minutes of one host: attack if any
//! of its rows is of an attack.

use std::collections::BTreeMap;

use super::{Figures, Protocol, one_sided, outcome, rows_where};
use crate::data::Rows;
use crate::error::EvalError;
use crate::report::Measured;
use crate::scoring::Judge;
use crate::study::Detail;

const WINDOW_NS: i64 = 300_000_000_000;

pub(super) const PROTOCOL: Protocol = Protocol {
    name: "enterprise-alerts",
    lens: include_str!("../../lenses/enterprise-alerts.toml"),
    labels: &["time_label", "event_label"],
    parts: &["time", "scenario", "host"],
    read_as: &[],
    measure,
};

fn measure(rows: &Rows, judge: &Judge) -> Result<Figures, EvalError> {
    let scenario = rows.texts("scenario")?;
    let mut names: Vec<&str> = scenario.iter().map(String::as_str).collect();
    names.sort_unstable();
    names.dedup();
    let parts = names.iter().map(|name| {
        let mut of_scenario = rows_where(rows.len(), |row| scenario[row] == **name);
        let times = rows.times()?;
        of_scenario.sort_by_key(|row| times[*row as usize]); // stable
        one_enterprise(rows, judge, name, &of_scenario, &times)
    });
    let parts = parts.collect::<Result<Vec<_>, EvalError>>()?;
    let (parts, details): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
    let mut measures = vec![Measured::mean("mean of the enterprises", &parts)];
    measures.extend(parts.into_iter().map(|part| part.measure));
    Ok(Figures { measures, details, ..Figures::default() })
}

fn one_enterprise(
    rows: &Rows,
    judge: &Judge,
    name: &str,
    order: &[u32],
    times: &[i64],
) -> Result<(Measured, Detail), EvalError> {
    let (time_label, event_label) = (rows.texts("time_label")?, rows.texts("event_label")?);
    let host = rows.texts("host")?;
    let attacked = order.iter().find(|row| time_label[**row as usize] != "false_positive");
    let attacked = times[*attacked.ok_or_else(|| one_sided(rows, name))? as usize];
    let (learned, scored): (Vec<u32>, Vec<u32>) = order.iter().partition(|row| times[**row as usize] < attacked);
    let learned: Vec<u32> = learned.into_iter().filter(|row| event_label[*row as usize] != "dnsteal").collect();
    let baseline = judge.learn(rows, &learned)?;
    let scores = judge.score(&baseline, rows, &scored)?;
    let mut windows: BTreeMap<(i64, &str), bool> = BTreeMap::new();
    for row in scored.iter().map(|row| *row as usize) {
        let window = times[row].div_euclid(WINDOW_NS) * WINDOW_NS;
        *windows.entry((window, &host[row])).or_default() |= event_label[row] != "-";
    }
    let outcomes: Vec<_> = windows
        .iter()
        .enumerate()
        .map(|(at, ((window, host), attack))| outcome(scores.unit((*host).to_owned(), *window), *attack, at, *window))
        .collect();
    let measured = Measured::new(name, "windows", &outcomes).ok_or_else(|| one_sided(rows, name))?;
    let place: BTreeMap<(i64, &str), u32> = windows.keys().copied().zip(0..).collect();
    let window = |row: usize| times[row].div_euclid(WINDOW_NS) * WINDOW_NS;
    let unit = scored.iter().map(|row| place[&(window(*row as usize), host[*row as usize].as_str())]).collect();
    let detail = if judge.studies() { scores.detail.with_units(unit, outcomes) } else { Detail::default() };
    Ok((measured, detail))
}
