//! Process creations of attack recordings: each recording is scored by all the others.
//!
//! Twice: with the attack rows of the other recordings left in the baseline, and taken out. Rows of ambiguous
//! administrator commands (label 2) teach in both, and are not measured.
//!
//! Incidents: each process is a unit; those over the line of five false alerts a day are joined by who started whom. The best
//! incident of a recording is told right if at least half of its rows are of the attack, or twice the recording's share,
//! and if it holds at most half of the recording's rows. A recording without any finding is a miss.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use events::ProcessKey;
use rayon::prelude::*;
use triage::{Evidence, Item, Value, group};

use super::incidents::{Share, line, number};
use super::{Figures, Protocol, one_sided, outcome, rows_where};
use crate::data::Rows;
use crate::error::EvalError;
use crate::metrics::Outcome;
use crate::report::Measured;
use crate::scoring::Judge;
use crate::study::Detail;

const ATTACK: i64 = 1;
const AMBIGUOUS: i64 = 2;

pub(super) const PROTOCOL: Protocol = Protocol {
    name: "windows-processes",
    lens: include_str!("../../lenses/windows-processes.toml"),
    labels: &["label"],
    parts: &["time", "recording", "host", "process_guid", "parent_guid"],
    read_as: &[],
    measure,
};

fn measure(rows: &Rows, judge: &Judge) -> Result<Figures, EvalError> {
    let mut figures = Figures::default();
    let by_process =
        judge.with_unit(PROTOCOL.lens, PROTOCOL.labels, ("host_hour", "host"), ("process", "process_guid"))?;
    for (name, attacks_teach) in [("attack rows left in", true), ("attack rows taken out", false)] {
        let (outcomes, detail) = leave_one_out(rows, judge, attacks_teach)?;
        let measured = Measured::new(name, "rows", &outcomes).ok_or_else(|| one_sided(rows, "the recordings"))?;
        figures.measures.push(measured.measure);
        if !judge.studies() {
            let told = told_right(rows, &by_process, attacks_teach)?;
            figures.notes.push(format!(
                "Incidents, {name}: the best one told right in {} of the recordings with attack rows (60 % wanted).",
                told.words()
            ));
        }
        if judge.studies() {
            figures.details.push(detail.of_rows(outcomes));
        }
    }
    Ok(figures)
}

/// Outcomes of the rows that are measured, and what was said of them.
fn leave_one_out(rows: &Rows, judge: &Judge, attacks_teach: bool) -> Result<(Vec<Outcome>, Detail), EvalError> {
    let (label, recording, times) = (rows.numbers("label")?, rows.texts("recording")?, rows.times()?);
    let mut recordings: BTreeMap<&str, usize> = recording.iter().map(|name| (name.as_str(), 0)).collect();
    recordings.values_mut().enumerate().for_each(|(at, number)| *number = at);
    let of_recording = |(name, number): (&&str, &usize)| -> Result<(Vec<Outcome>, Detail), EvalError> {
        let teaches = |row: usize| recording[row] != *name && (attacks_teach || label[row] != ATTACK);
        let baseline = judge.learn(rows, &rows_where(rows.len(), teaches))?;
        let scored = rows_where(rows.len(), |row| recording[row] == *name);
        let mut scores = judge.score(&baseline, rows, &scored)?;
        let one = |(at, row): (usize, &u32)| {
            let row = *row as usize;
            let score = (scores.bits[at], scores.log2_n[at]);
            (label[row] != AMBIGUOUS).then(|| outcome(score, label[row] == ATTACK, *number, times[row]))
        };
        let outcomes = scored.iter().enumerate().filter_map(one).collect();
        if judge.studies() {
            scores.detail.keep(&scored.iter().map(|row| label[*row as usize] != AMBIGUOUS).collect::<Vec<_>>());
        }
        Ok((outcomes, scores.detail))
    };
    let parts = recordings.par_iter().map(of_recording).collect::<Result<Vec<_>, _>>()?;
    let (mut outcomes, mut detail) = (Vec::new(), Detail::default());
    for (part, of_part) in parts {
        outcomes.extend(part);
        detail.extend(of_part);
    }
    Ok((outcomes, detail))
}

/// Of the recordings with attack rows, those of which the best incident is told right.
fn told_right(rows: &Rows, judge: &Judge, attacks_teach: bool) -> Result<Share, EvalError> {
    let (label, recording) = (rows.numbers("label")?, rows.texts("recording")?);
    let attacked: BTreeSet<&str> =
        recording.iter().zip(&label).filter(|(_, label)| **label == ATTACK).map(|(name, _)| name.as_str()).collect();
    let of_recording = |name: &&str| -> Result<bool, EvalError> {
        let teaches = |row: usize| recording[row] != *name && (attacks_teach || label[row] != ATTACK);
        let baseline = judge.learn(rows, &rows_where(rows.len(), teaches))?;
        let scored = rows_where(rows.len(), |row| recording[row] == *name);
        let best = best(rows, judge, &baseline, &scored)?;
        let share = |of: &[u32]| {
            of.iter().filter(|row| label[**row as usize] == ATTACK).count() as f64 / of.len().max(1) as f64
        };
        let telling = share(&best) >= 0.5 || share(&best) >= 2.0 * share(&scored);
        Ok(!best.is_empty() && telling && 2 * best.len() <= scored.len())
    };
    let told = attacked.par_iter().map(of_recording).collect::<Result<Vec<_>, _>>()?;
    Ok(Share { of: told.len() as u64, covered: told.iter().filter(|right| **right).count() as f64 })
}

/// Rows of the best incident of a recording.
fn best(rows: &Rows, judge: &Judge, baseline: &model::Baseline, scored: &[u32]) -> Result<Vec<u32>, EvalError> {
    let (host, times) = (rows.texts("host")?, rows.times()?);
    let (process, parent) = (rows.texts("process_guid")?, rows.texts("parent_guid")?);
    let hosts: BTreeSet<Option<String>> = scored.iter().map(|row| Some(host[*row as usize].clone())).collect();
    let line = line(baseline, &hosts);
    let scores = judge.score(baseline, rows, scored)?;
    let key = |guid: &str| ProcessKey::new([0; 4], number(guid), 0);
    let mut rows_of: HashMap<&str, Vec<u32>> = HashMap::new();
    let mut evidence = Evidence { trees: 0, ..Evidence::default() };
    for row in scored {
        let (guid, above, time) = (&process[*row as usize], &parent[*row as usize], times[*row as usize]);
        rows_of.entry(guid).or_default().push(*row);
        if !above.is_empty() && above != guid {
            evidence.up.insert(key(guid), key(above));
            evidence.seen.entry(Value::Tree(key(above))).or_default().add(number(guid), time);
        }
    }
    evidence.trees = rows_of.len() as u64;
    let mut units: Vec<(&(String, i64), u16)> = scores.units.iter().map(|(unit, score)| (unit, score.1)).collect();
    units.retain(|(_, log2_n)| *log2_n >= line);
    units.sort();
    let item = |(at, ((guid, window), log2_n)): (usize, &(&(String, i64), u16))| Item {
        id: at as u64,
        name: at as u64,
        subject: number(guid),
        window: *window,
        time: rows_of.get(guid.as_str()).map_or(*window, |rows| times[rows[0] as usize]),
        log2_n: f32::from(*log2_n) / 1024.0,
        host: 0,
        tree: Some(key(guid)),
    };
    let items: Vec<Item> = units.iter().enumerate().map(item).collect();
    let Some(best) = group(&items, &evidence, &[]).into_iter().next() else { return Ok(Vec::new()) };
    let guids: BTreeSet<&str> = best.items.iter().map(|at| units[*at as usize].0.0.as_str()).collect();
    Ok(guids.iter().filter_map(|guid| rows_of.get(*guid)).flatten().copied().collect())
}
