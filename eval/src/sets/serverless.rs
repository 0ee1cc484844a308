//! System calls of serverless functions: one attack request a run, among benign ones.
//!
//! Learned: rows of the training group, and benign requests of the first days. Scored: requests of the later runs of the
//! two larger variants. A label belongs to a request: attack if any of its rows is of an attack.

use std::collections::BTreeMap;

use model::segment::day_of;

use super::{Figures, Protocol, one_sided, outcome, rows_where};
use crate::data::{ReadAs, Rows};
use crate::error::EvalError;
use crate::metrics::Outcome;
use crate::report::Measured;
use crate::scoring::Judge;

/// 2024-10-14, the last day that is learned, in days since 1970.
const LAST_LEARNED: i32 = 20_010;
/// 2024-10-20, the first day that is scored.
const FIRST_SCORED: i32 = 20_016;

pub(super) const PROTOCOL: Protocol = Protocol {
    name: "serverless-sysdig",
    lens: include_str!("../../lenses/serverless-sysdig.toml"),
    labels: &["req_type", "attack"],
    parts: &["time", "group", "run", "scenario", "req_id"],
    read_as: &[("req_id", ReadAs::EmptyIsNull), ("res", ReadAs::Number)],
    measure,
};

fn measure(rows: &Rows, judge: &Judge) -> Result<Figures, EvalError> {
    let (group, run, request) = (rows.texts("group")?, rows.texts("run")?, rows.texts("req_id")?);
    let (kind, scenario, times) = (rows.texts("req_type")?, rows.texts("scenario")?, rows.times()?);
    let learned = rows_where(rows.len(), |row| {
        group[row] == "output-train" || (kind[row] == "benign" && day_of(times[row]) <= LAST_LEARNED)
    });
    let scored = rows_where(rows.len(), |row| {
        let variant = run[row].contains("rc2") || run[row].contains("rc3");
        variant && kind[row] != "none" && day_of(times[row]) >= FIRST_SCORED
    });
    let baseline = judge.learn(rows, &learned)?;
    let scores = judge.score(&baseline, rows, &scored)?;
    // By run and request: whether it is an attack, its scenario and when it began.
    let mut requests: BTreeMap<(&str, &str), (bool, &str, i64)> = BTreeMap::new();
    for row in scored.iter().map(|row| *row as usize) {
        let new = (false, scenario[row].as_str(), times[row]);
        let request = requests.entry((&run[row], &request[row])).or_insert(new);
        request.0 |= kind[row] == "attack";
    }
    let outcomes: Vec<(&str, Outcome)> = requests
        .iter()
        .enumerate()
        .map(|(at, ((run, request), (attack, scenario, time)))| {
            (*scenario, outcome(scores.unit(format!("{run}|{request}"), 0), *attack, at, *time))
        })
        .collect();
    if judge.studies() {
        let place: BTreeMap<(&str, &str), u32> = requests.keys().copied().zip(0..).collect();
        let unit = scored.iter().map(|row| place[&(run[*row as usize].as_str(), request[*row as usize].as_str())]);
        let details = vec![scores.detail.with_units(unit.collect(), outcomes.iter().map(|o| o.1).collect())];
        return Ok(Figures { details, ..Figures::default() });
    }
    let mut names: Vec<&str> = outcomes.iter().map(|o| o.0).collect();
    names.sort_unstable();
    names.dedup();
    let of = |name: &str, scenario: Option<&str>| {
        let chosen = outcomes.iter().filter(|o| scenario.is_none_or(|s| s == o.0));
        Measured::new(name, "requests", &chosen.map(|o| o.1).collect::<Vec<_>>()).map(|m| m.measure)
    };
    let mut measures = vec![of("all requests", None).ok_or_else(|| one_sided(rows, "the requests"))?];
    measures.extend(names.into_iter().filter_map(|name| of(&format!("scenario {name}"), Some(name))));
    Ok(Figures { measures, ..Figures::default() })
}
