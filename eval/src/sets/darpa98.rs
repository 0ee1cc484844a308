//! Network edges by minute: a stream that is never told what is normal, most of it floods and scans.
//!
//! Rows are scored in order of time (equal times as in the file), each by what came before it. Two figures: *row by row*,
//! where a row sees the rows before it alone; and *whole minutes*, where a row has the score that the last row of its edge
//! in its minute had, which is what counting a minute before scoring it amounts to.

use std::collections::HashMap;

use super::{Figures, Protocol, one_sided, outcome, rows_where};
use crate::data::Rows;
use crate::error::EvalError;
use crate::report::Measured;
use crate::scoring::Judge;

const MINUTE_NS: i64 = 60_000_000_000;

pub(super) const PROTOCOL: Protocol = Protocol {
    name: "darpa98-edges",
    lens: include_str!("../../lenses/darpa98-edges.toml"),
    labels: &["attack", "attack_name"],
    parts: &["time", "src_ip", "dst_ip"],
    read_as: &[],
    measure,
};

fn measure(rows: &Rows, judge: &Judge) -> Result<Figures, EvalError> {
    let times = rows.times()?;
    let mut order = rows_where(rows.len(), |_| true);
    order.sort_by_key(|row| times[*row as usize]); // stable
    let attack: Vec<bool> = rows.texts("attack")?.iter().map(|text| text == "true").collect();
    let minutes: Vec<i64> = order.iter().map(|row| times[*row as usize].div_euclid(MINUTE_NS)).collect();
    // Rows of a minute are much alike: the bootstrap draws minutes.
    let mut clusters = Vec::with_capacity(order.len());
    for (at, minute) in minutes.iter().enumerate() {
        let last = clusters.last().copied().unwrap_or(0usize);
        clusters.push(last + usize::from(at > 0 && *minute != minutes[at - 1]));
    }
    let scored = judge.stream(rows, &order)?;
    let bits = scored.bits;
    let outcomes = |bits: &[u32]| -> Vec<_> {
        let one = |(at, row): (usize, &u32)| {
            outcome((bits[at], 0), attack[*row as usize], clusters[at], times[*row as usize])
        };
        order.iter().enumerate().map(one).collect()
    };
    if judge.studies() {
        let details = vec![scored.detail.of_rows(outcomes(&bits))];
        return Ok(Figures { details, ..Figures::default() });
    }
    let whole = whole_minutes(rows, &order, &clusters, &bits)?;
    let measures = [("row by row", &bits), ("whole minutes", &whole)].map(|(name, bits)| {
        Measured::new(name, "rows", &outcomes(bits)).map(|m| m.measure).ok_or_else(|| one_sided(rows, "the stream"))
    });
    let measures = measures.into_iter().collect::<Result<_, _>>()?;
    Ok(Figures { measures, ..Figures::default() })
}

/// The bits of the last row of each row's edge and minute.
fn whole_minutes(rows: &Rows, order: &[u32], minutes: &[usize], bits: &[u32]) -> Result<Vec<u32>, EvalError> {
    let (sources, targets) = (rows.texts("src_ip")?, rows.texts("dst_ip")?);
    let mut names: HashMap<&str, u32> = HashMap::new();
    let mut number = |name| {
        let next = names.len() as u32;
        *names.entry(name).or_insert(next)
    };
    let mut edges = Vec::with_capacity(order.len());
    for row in order {
        edges.push((number(&sources[*row as usize]), number(&targets[*row as usize])));
    }
    let mut last: HashMap<(usize, (u32, u32)), u32> = HashMap::new();
    for at in 0..order.len() {
        last.insert((minutes[at], edges[at]), bits[at]);
    }
    Ok((0..order.len()).map(|at| last[&(minutes[at], edges[at])]).collect())
}
