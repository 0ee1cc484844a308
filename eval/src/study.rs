//! Ways of combining a row's views and of summing a unit's rows, compared over the sets (`docs/model.md` §6).
//!
//! Nothing here is part of scoring: it tells which way to take. Each way is judged by AUROC and average precision, and the
//! choice for a set is made on the other sets alone.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt::Write;

use model::keys::join;
use model::{Calibration, EncodedBatch, Lens, Scores, ViewProgram};
use rayon::prelude::*;

use crate::metrics::{Areas, Outcome, Ranking};
use crate::sets::Judged;

/// Rows of a question with all that was said of them, and the units they belong to.
#[derive(Debug, Clone, Default)]
pub struct Detail {
    views: usize,
    /// Calibrated bits and surprisals in 1/1024 bit, `row * views + view`.
    calibrated: Vec<u16>,
    surprisal: Vec<u16>,
    /// What a surprisal is over the usual, which every other calibrating row of its view reaches.
    excess: Vec<u16>,
    /// What a view asked about: equal numbers are the same child in the same contexts.
    cells: Vec<u64>,
    /// Equal numbers are rows with the same values in every field that a row alone gives.
    same: Vec<u64>,
    /// What the row's bits are worth by the table of rows.
    rarity: Vec<u16>,
    /// The unit of each row, a place in `units`.
    unit: Vec<u32>,
    units: Vec<Outcome>,
    /// Rows are units themselves.
    alone: bool,
}

/// How the views of a row become its bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Views {
    /// Calibrated bits, added.
    Sum,
    /// Surprisals, added: no calibration.
    Surprisal,
    /// What surprisals are over the usual of their views, added.
    Excess,
    /// The most calibrated bits of any view.
    Most,
    /// The three views with the most calibrated bits, added.
    Top3,
    /// The sum of calibrated bits, as rare as the table of rows calls it (Fisher's method with a measured distribution).
    Rarity,
    /// Calibrated bits as normal deviates, added over √views (Stouffer's method).
    Stouffer,
}

/// Which rows of a unit count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Repeats {
    /// All.
    Count,
    /// Rows with the same values, once.
    Rows,
    /// Of a row the views whose question the unit has not asked yet.
    Cells,
}

/// How rows are added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rows {
    /// The most surprising ones, so many of them.
    Top(usize),
    /// All.
    All,
    /// All; the i-th most surprising one over log2(i + 1).
    Damped,
}

/// A way of combining.
pub type Way = (Views, Repeats, Rows);

const VIEWS: [Views; 7] =
    [Views::Sum, Views::Surprisal, Views::Excess, Views::Most, Views::Top3, Views::Rarity, Views::Stouffer];
const REPEATS: [Repeats; 3] = [Repeats::Count, Repeats::Rows, Repeats::Cells];
const ROWS: [Rows; 6] = [Rows::Top(1), Rows::Top(3), Rows::Top(5), Rows::Top(10), Rows::All, Rows::Damped];

/// What stands above the table on its page.
pub const HEAD: &str = "\
# Ways of combining, compared

How a row's views become its bits, and how a unit's rows become the unit's: every way on every set, AUROC / average precision
(of several questions asked of a set the mean), ordered by the mean of both over the sets. Where rows are judged by themselves
the last two columns make no difference. Below, each set by the way that the *other* sets choose. Made by
`ebbline eval --all --data DIR --combinations --write docs/combinations.md`; not edited.

";

/// Every way that is compared. Where views of a row are left out, what is left can only be added.
#[must_use]
pub fn ways() -> Vec<Way> {
    let all = VIEWS.iter().flat_map(|v| REPEATS.iter().flat_map(move |r| ROWS.iter().map(move |s| (*v, *r, *s))));
    all.filter(|(views, repeats, _)| {
        *repeats != Repeats::Cells || matches!(views, Views::Sum | Views::Surprisal | Views::Excess)
    })
    .collect()
}

impl Detail {
    /// Adds what was said of a batch.
    pub(crate) fn add(
        &mut self,
        lens: &Lens,
        views: &[ViewProgram],
        calibration: &Calibration,
        batch: &EncodedBatch,
        scores: &Scores,
    ) {
        self.views = lens.views().len();
        let alone: Vec<usize> = (0..lens.fields().len()).filter(|f| lens.fields()[*f].state.is_none()).collect();
        let mix = |of: &[usize], row: usize| {
            of.iter().fold(0x9E37_79B9_7F4A_7C15u64, |mixed, field| {
                (mixed ^ join(batch.fields[*field].hash(row))).wrapping_mul(0xD134_2543_DE82_EF95).rotate_left(31)
            })
        };
        let asked: Vec<Vec<usize>> =
            lens.views().iter().map(|v| v.child.iter().chain(v.contexts.iter().flatten()).copied().collect()).collect();
        // One bit is where the rarer half begins.
        let usual = |view: usize| (0..1024u16).map(|bin| bin << 6).find(|s| calibration.view_bits(view, *s) >= 1024);
        let usual: Vec<u16> = (0..self.views).map(|view| usual(view).unwrap_or(u16::MAX)).collect();
        for row in 0..batch.rows {
            for (view, fields) in asked.iter().enumerate() {
                let surprisal = scores.surprisal[view * batch.rows + row];
                let applies = views[view].class_mask >> batch.class[row] & 1 == 1;
                self.surprisal.push(surprisal);
                self.excess.push(if applies { surprisal.saturating_sub(usual[view]) } else { 0 });
                self.calibrated.push(if applies { calibration.view_bits(view, surprisal) } else { 0 });
                self.cells.push(mix(fields, row));
            }
            self.same.push(mix(&alone, row));
            self.rarity.push(scores.log2_n[row]);
        }
    }

    /// Says which unit each row belongs to.
    pub(crate) fn with_units(mut self, unit: Vec<u32>, units: Vec<Outcome>) -> Self {
        assert_eq!(unit.len(), self.same.len(), "one unit a row");
        (self.unit, self.units) = (unit, units);
        self
    }

    /// Rows that are units themselves.
    pub(crate) fn of_rows(self, rows: Vec<Outcome>) -> Self {
        let unit = (0..rows.len() as u32).collect();
        Self { alone: true, ..self.with_units(unit, rows) }
    }

    /// The way that comes to the same where rows are units themselves.
    fn meant(&self, way: Way) -> Way {
        if self.alone { (way.0, Repeats::Count, Rows::Top(1)) } else { way }
    }

    /// Rows of several questions as one.
    pub(crate) fn extend(&mut self, other: Self) {
        let before = self.units.len() as u32;
        self.views = other.views;
        self.calibrated.extend(other.calibrated);
        self.surprisal.extend(other.surprisal);
        self.excess.extend(other.excess);
        self.cells.extend(other.cells);
        self.same.extend(other.same);
        self.rarity.extend(other.rarity);
        self.unit.extend(other.unit.into_iter().map(|unit| unit + before));
        self.units.extend(other.units);
    }

    /// Leaves out rows for which `keep` does not hold.
    pub(crate) fn keep(&mut self, keep: &[bool]) {
        let views = self.views;
        for column in [&mut self.calibrated, &mut self.surprisal, &mut self.excess] {
            *column = column.chunks(views).zip(keep).filter(|c| *c.1).flat_map(|c| c.0.iter().copied()).collect();
        }
        self.cells = self.cells.chunks(views).zip(keep).filter(|c| *c.1).flat_map(|c| c.0.iter().copied()).collect();
        self.same = self.same.iter().zip(keep).filter(|s| *s.1).map(|s| *s.0).collect();
        self.rarity = self.rarity.iter().zip(keep).filter(|s| *s.1).map(|s| *s.0).collect();
    }

    /// AUROC and average precision of a way.
    #[must_use]
    pub fn judge(&self, way: Way) -> Option<Areas> {
        let score = |sum: f64| ((sum + 1e6) * 1024.0) as u64;
        if self.alone {
            let outcome =
                |(row, unit): (usize, &Outcome)| Outcome { score: score(self.bits(way.0, row, |_| true)), ..*unit };
            return Ranking::new(&self.units.iter().enumerate().map(outcome).collect::<Vec<_>>()).areas();
        }
        let outcome = |(unit, bits): (&Outcome, Vec<f64>)| Outcome { score: score(way.2.sum(bits)), ..*unit };
        let outcomes: Vec<Outcome> = self.units.iter().zip(self.rows_of_units(way)).map(outcome).collect();
        Ranking::new(&outcomes).areas()
    }

    /// The bits of the rows of each unit that count.
    fn rows_of_units(&self, (views, repeats, _): Way) -> Vec<Vec<f64>> {
        let mut rows: Vec<Vec<f64>> = vec![Vec::new(); self.units.len()];
        let mut seen: HashSet<(u32, u64)> = HashSet::new();
        for (row, unit) in self.unit.iter().enumerate() {
            let mut new = |value: u64| seen.insert((*unit, value));
            let bits = match repeats {
                Repeats::Count => self.bits(views, row, |_| true),
                Repeats::Rows if new(self.same[row]) => self.bits(views, row, |_| true),
                Repeats::Rows => 0.0,
                Repeats::Cells => {
                    let cells = &self.cells[row * self.views..(row + 1) * self.views];
                    let fresh: Vec<bool> =
                        (0u64..).zip(cells).map(|(view, cell)| new(cell.wrapping_add(view))).collect();
                    self.bits(views, row, |view| fresh[view])
                }
            };
            if bits != 0.0 {
                rows[*unit as usize].push(bits);
            }
        }
        rows
    }

    fn bits(&self, views: Views, row: usize, counts: impl Fn(usize) -> bool) -> f64 {
        let of_row = row * self.views..(row + 1) * self.views;
        let excess = &self.excess[of_row.clone()];
        let (calibrated, surprisal) = (&self.calibrated[of_row.clone()], &self.surprisal[of_row]);
        let sum = |column: &[u16]| {
            column.iter().enumerate().filter(|c| counts(c.0)).map(|c| f64::from(*c.1)).sum::<f64>() / 1024.0
        };
        match views {
            Views::Sum => sum(calibrated),
            Views::Surprisal => sum(surprisal),
            Views::Excess => sum(excess),
            Views::Most => f64::from(calibrated.iter().copied().max().unwrap_or(0)) / 1024.0,
            Views::Top3 => {
                let mut most = [0u16; 3];
                for bits in calibrated {
                    if let Some(at) = most.iter().position(|m| bits > m) {
                        most[at..].rotate_right(1);
                        most[at] = *bits;
                    }
                }
                most.iter().map(|b| f64::from(*b)).sum::<f64>() / 1024.0
            }
            Views::Rarity => f64::from(self.rarity[row]) / 1024.0,
            Views::Stouffer => {
                let deviates = calibrated.iter().map(|b| deviate(f64::from(*b) / 1024.0)).sum::<f64>();
                (deviates / (self.views as f64).sqrt()).max(0.0)
            }
        }
    }
}

impl Rows {
    fn sum(self, mut bits: Vec<f64>) -> f64 {
        bits.sort_by(|a, b| b.total_cmp(a));
        match self {
            Self::Top(most) => bits.iter().take(most).sum(),
            Self::All => bits.iter().sum(),
            Self::Damped => bits.iter().enumerate().map(|(i, b)| b / (i as f64 + 2.0).log2()).sum(),
        }
    }
}

/// The normal deviate that is exceeded with probability 2^-bits (Abramowitz and Stegun 26.2.23, within 0.0005).
fn deviate(bits: f64) -> f64 {
    if bits < 1.0 {
        return if bits <= 0.0 { -3.0 } else { -deviate(-(1.0 - (-bits).exp2()).log2()) };
    }
    let t = (2.0 * bits * std::f64::consts::LN_2).sqrt();
    t - (2.515_517 + 0.802_853 * t + 0.010_328 * t * t)
        / (1.0 + 1.432_788 * t + 0.189_269 * t * t + 0.001_308 * t * t * t)
}

/// Every way on one set: the mean over its questions.
#[must_use]
pub fn judge_all(details: &[Detail]) -> Vec<(Way, Option<Areas>)> {
    let judged: Vec<BTreeMap<Way, Option<Areas>>> = details.iter().map(judge_each).collect();
    let of = |way: Way| {
        let found = details.iter().zip(&judged).map(|(detail, judged)| judged[&detail.meant(way)]);
        let areas: Vec<Areas> = found.collect::<Option<_>>()?;
        let mean = |of: &dyn Fn(&Areas) -> f64| areas.iter().map(of).sum::<f64>() / areas.len() as f64;
        Some(Areas { auroc: mean(&|a| a.auroc), average_precision: mean(&|a| a.average_precision) })
    };
    ways().into_iter().map(|way| (way, of(way))).collect()
}

/// Every way that means something of its own.
fn judge_each(detail: &Detail) -> BTreeMap<Way, Option<Areas>> {
    let ways: BTreeSet<Way> = ways().into_iter().map(|way| detail.meant(way)).collect();
    ways.into_par_iter().map(|way| (way, detail.judge(way))).collect()
}

/// The ways as lines, those with the best mean over the sets first, and for each set the way that the others choose.
#[must_use]
pub fn table(sets: &[(String, Judged)]) -> String {
    let worth = |areas: &Option<Areas>| areas.map_or(0.0, |a| (a.auroc + a.average_precision) / 2.0);
    let over = |way: usize, without: Option<usize>| {
        let worths = sets.iter().enumerate().filter(|s| Some(s.0) != without).map(|s| worth(&s.1.1[way].1));
        worths.sum::<f64>() / (sets.len() - usize::from(without.is_some())).max(1) as f64
    };
    let ways = ways();
    let mut order: Vec<usize> = (0..ways.len()).collect();
    order.sort_by(|a, b| over(*b, None).total_cmp(&over(*a, None)));
    let mut text = String::from("| views | repeats | rows |");
    sets.iter().for_each(|set| _ = write!(text, " {} |", set.0));
    text.push_str(" mean |\n|---|---|---|");
    sets.iter().for_each(|_| text.push_str("---:|"));
    text.push_str("---:|\n");
    let both = |areas: &Option<Areas>| {
        areas.map_or("–".to_owned(), |a| format!("{:.3} / {:.3}", a.auroc, a.average_precision))
    };
    for way in order {
        let (views, repeats, rows) = words(ways[way]);
        let _ = write!(text, "| {views} | {repeats} | {rows} |");
        sets.iter().for_each(|set| _ = write!(text, " {} |", both(&set.1[way].1)));
        let _ = writeln!(text, " {:.3} |", over(way, None));
    }
    text.push_str("\n| set | the others choose | there it gives | its own best would give |\n|---|---|---|---|\n");
    for (at, set) in sets.iter().enumerate().filter(|_| sets.len() > 1) {
        let best = |of: &dyn Fn(usize) -> f64| {
            (0..ways.len()).max_by(|a, b| of(*a).total_cmp(&of(*b)).then(b.cmp(a))).unwrap_or(0)
        };
        let (chosen, own) = (best(&|way| over(way, Some(at))), best(&|way| worth(&set.1[way].1)));
        let (views, repeats, rows) = words(ways[chosen]);
        let _ = writeln!(
            text,
            "| {} | {views}, {repeats}, {rows} | {} | {} |",
            set.0,
            both(&set.1[chosen].1),
            both(&set.1[own].1)
        );
    }
    text
}

fn words((views, repeats, rows): Way) -> (&'static str, &'static str, String) {
    let views = match views {
        Views::Sum => "calibrated bits",
        Views::Surprisal => "surprisals",
        Views::Excess => "over the usual",
        Views::Most => "the most of any view",
        Views::Top3 => "the three with most",
        Views::Rarity => "rarity of the row",
        Views::Stouffer => "Stouffer",
    };
    let repeats = match repeats {
        Repeats::Count => "each row",
        Repeats::Rows => "equal rows once",
        Repeats::Cells => "equal cells once",
    };
    let rows = match rows {
        Rows::Top(most) => format!("top {most}"),
        Rows::All => "all".to_owned(),
        Rows::Damped => "all, damped".to_owned(),
    };
    (views, repeats, rows)
}
