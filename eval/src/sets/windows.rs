//! Process creations of attack recordings: each recording is scored by all the others.
//!
//! Twice: with the attack rows of the other recordings left in the baseline, and taken out. Rows of ambiguous
//! administrator commands (label 2) teach in both, and are not measured.

use std::collections::BTreeMap;

use rayon::prelude::*;

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
    parts: &["time", "recording"],
    read_as: &[],
    measure,
};

fn measure(rows: &Rows, judge: &Judge) -> Result<Figures, EvalError> {
    let mut figures = Figures::default();
    for (name, attacks_teach) in [("attack rows left in", true), ("attack rows taken out", false)] {
        let (outcomes, detail) = leave_one_out(rows, judge, attacks_teach)?;
        let measured = Measured::new(name, "rows", &outcomes).ok_or_else(|| one_sided(rows, "the recordings"))?;
        figures.measures.push(measured.measure);
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
