//! What was measured, as a table and as JSON.

use std::collections::BTreeSet;
use std::fmt::Write;

use serde::Serialize;

use crate::bootstrap::{draws, percentiles};
use crate::metrics::{Areas, FalseAlerts, Outcome, Ranking, false_alerts};
use crate::peers::Peers;

/// Budgets of false alerts a day at which hits are counted.
pub const BUDGETS: [u64; 2] = [1, 10];

/// A set and all that was measured on it.
#[derive(Debug, Clone, Serialize)]
pub struct SetReport {
    /// Name of the set.
    pub set: String,
    /// Rows of the file.
    pub rows: u64,
    /// SHA-256 of the file; empty if the rows came from none.
    pub sha256: String,
    /// Wall time of all of it.
    pub seconds: f64,
    /// The figures, those of the whole before those of its parts.
    pub measures: Vec<Measure>,
    /// What to know about them.
    pub notes: Vec<String>,
}

/// Figures of one question asked of a set.
#[derive(Debug, Clone, Serialize)]
pub struct Measure {
    /// What was asked.
    pub name: String,
    /// What a label belongs to, in the plural: rows, requests, windows.
    pub of: String,
    /// How many there are.
    pub count: u64,
    /// How many of them are attacks.
    pub attacks: u64,
    /// UTC days on which any of them lies.
    pub days: u64,
    /// Area under the receiver operating characteristic.
    pub auroc: Figure,
    /// Average precision.
    pub average_precision: Figure,
    /// Attacks above the line, by budget.
    pub hits: Vec<BudgetHits>,
    /// False alerts against their promise; empty where nothing was promised, or too few expected.
    pub false_alerts: Vec<FalseAlerts>,
    /// The scores at ranks 1, 2, 4, 8, …, each with its rank, the oddest first; empty for a mean. What tests keep.
    #[serde(skip)]
    pub scores: Vec<(u64, u64)>,
}

/// A figure and its bootstrap interval (95 %).
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Figure {
    /// As measured.
    pub value: f64,
    /// Lower end; none if too few sets could be drawn.
    pub low: Option<f64>,
    /// Upper end.
    pub high: Option<f64>,
}

/// Attacks above the line that lets so many false alerts through.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct BudgetHits {
    /// False alerts a day.
    pub per_day: u64,
    /// Attacks above the line.
    pub attacks: u64,
    /// False alerts above it, in all.
    pub false_alerts: u64,
}

/// A measure with what its bootstrap drew, so that means of several have intervals, too.
#[derive(Debug, Clone)]
pub(crate) struct Measured {
    pub(crate) measure: Measure,
    drawn: Vec<Option<Areas>>,
}

impl Measured {
    /// Measures outcomes; `None` if there are no attacks among them, or nothing else.
    pub(crate) fn new(name: &str, of: &str, outcomes: &[Outcome]) -> Option<Self> {
        let ranking = Ranking::new(outcomes);
        let areas = ranking.areas()?;
        let drawn = draws(&ranking, seed(name));
        let days = outcomes.iter().map(|o| o.day).collect::<BTreeSet<_>>().len() as u64;
        let hits = |per_day: u64| {
            let found = ranking.hits(per_day * days);
            BudgetHits { per_day, attacks: found.attacks, false_alerts: found.false_alerts }
        };
        let promised = outcomes.iter().any(|o| o.log2_n > 0);
        let measure = Measure {
            name: name.to_owned(),
            of: of.to_owned(),
            count: outcomes.len() as u64,
            attacks: outcomes.iter().filter(|o| o.attack).count() as u64,
            days,
            auroc: figure(areas.auroc, drawn.iter().flatten().map(|a| a.auroc)),
            average_precision: figure(areas.average_precision, drawn.iter().flatten().map(|a| a.average_precision)),
            hits: BUDGETS.map(hits).to_vec(),
            false_alerts: if promised { false_alerts(outcomes) } else { Vec::new() },
            scores: ranking.ladder(),
        };
        Some(Self { measure, drawn })
    }

    /// The mean over measures of parts; counts, hits and false alerts add up. Parts must not be empty.
    pub(crate) fn mean(name: &str, parts: &[Self]) -> Measure {
        let sum = |of: &dyn Fn(&Measure) -> u64| parts.iter().map(|p| of(&p.measure)).sum();
        let area = |of: &dyn Fn(&Areas) -> f64, value: &dyn Fn(&Measure) -> f64| {
            let number = parts.len() as f64;
            let drawn = |i: usize| parts.iter().map(|p| p.drawn[i].as_ref().map(of)).sum::<Option<f64>>();
            let draws = parts.iter().map(|p| p.drawn.len()).min().unwrap_or(0);
            let mean = parts.iter().map(|p| value(&p.measure)).sum::<f64>() / number;
            figure(mean, (0..draws).filter_map(drawn).map(|sum| sum / number))
        };
        let hits = |i: usize| BudgetHits {
            per_day: BUDGETS[i],
            attacks: sum(&|m| m.hits[i].attacks),
            false_alerts: sum(&|m| m.hits[i].false_alerts),
        };
        Measure {
            name: name.to_owned(),
            of: parts[0].measure.of.clone(),
            count: sum(&|m| m.count),
            attacks: sum(&|m| m.attacks),
            days: sum(&|m| m.days),
            auroc: area(&|a| a.auroc, &|m| m.auroc.value),
            average_precision: area(&|a| a.average_precision, &|m| m.average_precision.value),
            hits: (0..BUDGETS.len()).map(hits).collect(),
            false_alerts: added(parts),
            scores: Vec::new(),
        }
    }
}

/// False alerts of parts with the same promise, together.
fn added(parts: &[Measured]) -> Vec<FalseAlerts> {
    let mut sums: std::collections::BTreeMap<u64, (f64, u64)> = std::collections::BTreeMap::new();
    for part in parts.iter().flat_map(|p| &p.measure.false_alerts) {
        let sum = sums.entry(part.one_in).or_default();
        *sum = (sum.0 + part.expected, sum.1 + part.observed);
    }
    let together = |(one_in, (expected, observed)): (u64, (f64, u64))| {
        let (low, high) = crate::poisson::interval(observed);
        let ratio = observed as f64 / expected;
        FalseAlerts { one_in, expected, observed, ratio, low: low / expected, high: high / expected }
    };
    sums.into_iter().map(together).collect()
}

fn figure(value: f64, drawn: impl Iterator<Item = f64>) -> Figure {
    let ends = percentiles(drawn);
    Figure { value, low: ends.map(|e| e.0), high: ends.map(|e| e.1) }
}

/// Each question draws sets of its own.
fn seed(name: &str) -> u64 {
    name.bytes().fold(0xEBB1_1E5E_ED00_0000, |seed, byte| (seed ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3))
}

impl Figure {
    /// To three digits, with its interval: `0.970 (0.955–0.982)`.
    #[must_use]
    pub fn words(&self) -> String {
        match (self.low, self.high) {
            (Some(low), Some(high)) => format!("{:.3} ({low:.3}–{high:.3})", self.value),
            _ => format!("{:.3}", self.value),
        }
    }
}

/// The reports as Markdown tables, which are readable as they are.
#[must_use]
pub fn tables(reports: &[SetReport], peers: Option<&Peers>) -> String {
    let mut text = String::new();
    for report in reports {
        let _ = writeln!(text, "## {}\n\n{} rows\n", report.set, thousands(report.rows));
        text.push_str("| asked | of | attacks | AUROC | average precision | hits at 1 a day | hits at 10 a day |\n");
        text.push_str("|---|---:|---:|---|---|---:|---:|\n");
        for m in &report.measures {
            let hits: Vec<String> = m.hits.iter().map(|h| format!("{} of {}", h.attacks, m.attacks)).collect();
            let _ = writeln!(
                text,
                "| {} | {} {} | {} | {} | {} | {} |",
                m.name,
                thousands(m.count),
                m.of,
                thousands(m.attacks),
                m.auroc.words(),
                m.average_precision.words(),
                hits.join(" | ")
            );
        }
        if let Some(peers) = peers {
            text.push_str(&peers.table(report));
        }
        text.push_str(&promises(report));
        for note in &report.notes {
            let _ = writeln!(text, "\n{note}");
        }
        text.push('\n');
    }
    text
}

/// The page `docs/accuracy.md`.
#[must_use]
pub fn page(reports: &[SetReport], peers: Option<&Peers>) -> String {
    let mut text = String::from(HEAD);
    let seconds: f64 = reports.iter().map(|r| r.seconds).sum();
    let _ = writeln!(text, "Measured {} on {}, in {seconds:.0} s.", today(), machine());
    if let Some(peers) = peers {
        let _ = writeln!(text, "The other detectors are those of {} (`benches/peers/`).", peers.packages());
    }
    text.push('\n');
    text.push_str(&tables(reports, peers));
    text.push_str("| file | SHA-256 |\n|---|---|\n");
    for report in reports {
        let _ = writeln!(text, "| {}.parquet | `{}` |", report.set, report.sha256);
    }
    text
}

const HEAD: &str = "\
# Accuracy

How right the scores are, on labelled sets that nothing was tuned to: one default configuration, and for each set a lens that
says what its columns mean (`eval/lenses/`). The protocols stand at the heads of `eval/src/sets/`. Made by
`ebbline eval --all --data DIR --peers FILE --write docs/accuracy.md`; not edited.

Figures in brackets are 95 % intervals: of areas by bootstrap, of false alerts the exact ones of a Poisson mean. Hits at N a
day are the attacks above the line that lets N false alerts a day through. How views are combined and rows are summed is a
choice made by measuring: [combinations](combinations.md) has each set by the choice made on the others.

";

/// The date, UTC.
fn today() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%d").to_string()
}

/// The processor, as it calls itself, and how many threads it runs.
fn machine() -> String {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split(": ").nth(1));
    format!("{}, {threads} threads", name.unwrap_or("an unnamed processor"))
}

/// False alerts against their promise, of the measures that have any.
fn promises(report: &SetReport) -> String {
    let mut text = String::new();
    for m in report.measures.iter().filter(|m| !m.false_alerts.is_empty()) {
        if text.is_empty() {
            text.push_str(
                "\n| false alerts | promised | expected | observed | observed ÷ expected |\n|---|---:|---:|---:|---|\n",
            );
        }
        for f in &m.false_alerts {
            let (one_in, observed) = (thousands(f.one_in), thousands(f.observed));
            let name = &m.name;
            let _ = writeln!(
                text,
                "| {name} | 1 in {one_in} | {:.1} | {observed} | {:.2} ({:.2}–{:.2}) |",
                f.expected, f.ratio, f.low, f.high
            );
        }
    }
    text
}

/// 1234567 as 1,234,567.
#[must_use]
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
