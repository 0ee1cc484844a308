//! The labelled sets, each with its protocol in a file of its own.

mod darpa98;
mod enterprise;
mod incidents;
mod serverless;
mod windows;

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Instant;

use arrow_array::RecordBatch;
use model::segment::day_of;

use crate::data::{ReadAs, Rows, read};
use crate::error::EvalError;
use crate::metrics::{Areas, Outcome};
use crate::report::{Measure, SetReport};
use crate::scoring::Judge;
use crate::study::{self, Detail, Way};

/// A labelled set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Set {
    /// Network edges by minute, most of them floods and scans, scored as a stream.
    Darpa98Edges,
    /// System calls of serverless functions, by request.
    ServerlessSysdig,
    /// Process creations on Windows, leaving one recording out.
    WindowsProcesses,
    /// Alerts of intrusion detectors, by host and five minutes.
    EnterpriseAlerts,
}

/// What a protocol needs of a set.
struct Protocol {
    name: &'static str,
    lens: &'static str,
    /// Columns that the model is never shown.
    labels: &'static [&'static str],
    /// Columns that say which rows are learned, scored and belong together.
    parts: &'static [&'static str],
    /// Columns that are not read as they are.
    read_as: &'static [(&'static str, ReadAs)],
    measure: fn(&Rows, &Judge) -> Result<Figures, EvalError>,
}

/// What was measured, and what to know about it.
#[derive(Default)]
struct Figures {
    measures: Vec<Measure>,
    notes: Vec<String>,
    /// What ways of combining are compared by, one for each question.
    details: Vec<Detail>,
}

/// How to measure.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The folder of the sets.
    pub data: PathBuf,
    /// Another lens than that of the set.
    pub lens: Option<String>,
}

/// Ways of combining, each with its areas.
pub type Judged = Vec<(Way, Option<Areas>)>;

impl Set {
    /// All of them.
    pub const ALL: [Self; 4] =
        [Self::Darpa98Edges, Self::ServerlessSysdig, Self::WindowsProcesses, Self::EnterpriseAlerts];

    /// Its name, which is that of its file.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.protocol().name
    }

    /// Its lens, which says what its columns mean.
    #[must_use]
    pub fn lens(self) -> &'static str {
        self.protocol().lens
    }

    fn protocol(self) -> &'static Protocol {
        match self {
            Self::Darpa98Edges => &darpa98::PROTOCOL,
            Self::ServerlessSysdig => &serverless::PROTOCOL,
            Self::WindowsProcesses => &windows::PROTOCOL,
            Self::EnterpriseAlerts => &enterprise::PROTOCOL,
        }
    }
}

impl FromStr for Set {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let names = || Self::ALL.map(Self::name).join(", ");
        Self::ALL
            .into_iter()
            .find(|set| set.name() == name)
            .ok_or_else(|| format!("no such set; there are {}", names()))
    }
}

/// Measures a set by its protocol.
///
/// # Errors
/// The set is not there, or is not what the protocol is about.
pub fn evaluate(set: Set, options: &Options) -> Result<SetReport, EvalError> {
    let (clock, protocol) = (Instant::now(), set.protocol());
    let (judge, rows, sha256) = open(protocol, options, false)?;
    let figures = (protocol.measure)(&rows, &judge)?;
    Ok(SetReport { sha256, seconds: clock.elapsed().as_secs_f64(), ..report(protocol, &rows, figures) })
}

/// Measures rows that have the columns of a set.
///
/// # Errors
/// The rows are not what the protocol is about.
pub fn evaluate_rows(set: Set, batch: RecordBatch) -> Result<SetReport, EvalError> {
    let protocol = set.protocol();
    let judge = Judge::new(protocol.name, protocol.lens, protocol.labels, false)?;
    let rows = Rows { set: protocol.name.to_owned(), batch }.read_as(protocol.read_as)?;
    let figures = (protocol.measure)(&rows, &judge)?;
    Ok(report(protocol, &rows, figures))
}

/// Judges every way of combining on a set.
///
/// # Errors
/// As for [`evaluate`].
pub fn compare(set: Set, options: &Options) -> Result<Judged, EvalError> {
    let protocol = set.protocol();
    let (judge, rows, _) = open(protocol, options, true)?;
    let details = (protocol.measure)(&rows, &judge)?.details;
    Ok(study::judge_all(&details))
}

/// The judge of a set, its rows, and the digest of its file.
fn open(protocol: &Protocol, options: &Options, studies: bool) -> Result<(Judge, Rows, String), EvalError> {
    let lens = options.lens.as_deref().unwrap_or(protocol.lens);
    let judge = Judge::new(protocol.name, lens, protocol.labels, studies)?;
    let mut columns = judge.lens().columns();
    columns.extend(protocol.labels.iter().chain(protocol.parts));
    columns.sort_unstable();
    columns.dedup();
    let (rows, sha256) = read(protocol.name, &file(&options.data, protocol.name), &columns)?;
    let rows = rows.read_as(protocol.read_as)?;
    Ok((judge, rows, sha256))
}

fn report(protocol: &Protocol, rows: &Rows, figures: Figures) -> SetReport {
    SetReport {
        set: protocol.name.to_owned(),
        rows: rows.len() as u64,
        sha256: String::new(),
        seconds: 0.0,
        measures: figures.measures,
        notes: figures.notes,
    }
}

fn file(data: &Path, name: &str) -> PathBuf {
    data.join(format!("{name}.parquet"))
}

/// The numbers of the rows for which `choose` holds, ascending.
fn rows_where(rows: usize, choose: impl Fn(usize) -> bool) -> Vec<u32> {
    (0..rows).filter(|row| choose(*row)).map(|row| row as u32).collect()
}

/// An outcome; `cluster` is its own number unless said otherwise.
fn outcome((bits, log2_n): (u32, u16), attack: bool, cluster: usize, time: i64) -> Outcome {
    Outcome { score: u64::from(bits), log2_n, attack, cluster: cluster as u32, day: day_of(time) }
}

/// What to say where nothing could be measured.
fn one_sided(rows: &Rows, what: &str) -> EvalError {
    rows.wrong(what, "it has no attacks, or nothing else")
}
