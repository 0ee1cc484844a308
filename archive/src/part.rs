//! A part of a run: files that one encoder scores one after the other, in this process or in another one that sees the same
//! files (docs/cluster.md).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use model::units::UnitTable;
use serde::{Deserialize, Serialize};
use store::{Search, Source, StoreError};

use crate::Silent;
use crate::error::ArchiveError;
use crate::file::{Encoders, FileSummary, Step, score_file};
use crate::finished;

/// Runs the step for parts somewhere else.
pub trait Runner: Sync {
    /// Has each of these parts scored, and hands `done` the report of each as it comes; a part that comes twice is well. Where
    /// `done` fails the run is over.
    ///
    /// # Errors
    /// Those of `done`, and [`ArchiveError::Elsewhere`] when parts are left that nobody can score.
    fn run(
        &self,
        parts: Vec<PartTask>,
        done: &(dyn Fn(PartReport) -> Result<(), ArchiveError> + Sync),
    ) -> Result<(), ArchiveError>;
}

/// A part, as another process is told of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartTask {
    /// Its number in the run.
    pub number: u64,
    /// Path or URL of each file, and its path relative to its archive, in order.
    pub files: Vec<(PathBuf, String)>,
    /// Bytes of the files.
    pub bytes: u64,
    /// What changes when a file does; empty where nobody asks.
    pub version: String,
    /// Whether what fails is reported rather than tried again.
    pub last: bool,
}

/// What became of an input that was scored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    pub(crate) table: String,
    pub(crate) rows: u64,
    pub(crate) digest: String,
    pub(crate) hosts: BTreeSet<Option<String>>,
    pub(crate) times: Option<(i64, i64)>,
    /// Numbers of the baselines it was scored against.
    pub(crate) by: Vec<usize>,
}

/// What became of a part that another process scored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PartReport {
    /// Of the task.
    pub number: u64,
    /// Who did it.
    pub worker: Worker,
    /// Of each file its stamp before it was read, and what became of it or why nothing did.
    pub(crate) files: Vec<(Option<String>, Result<Done, String>)>,
    /// Saved units, by number of the baseline.
    pub(crate) units: Vec<Vec<u8>>,
    pub(crate) crowded: u64,
    /// Why no part can be scored there.
    pub(crate) fatal: Option<String>,
}

impl PartReport {
    /// That no part can be scored there, for a reason that people read.
    #[must_use]
    pub fn fatal(task: &PartTask, why: String) -> Self {
        let (files, units) = (Vec::new(), Vec::new());
        Self { number: task.number, worker: Worker::default(), files, units, crowded: 0, fatal: Some(why) }
    }
}

/// A process that scores parts: what it scores with, and its work in this run so far.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Worker {
    /// Its name.
    pub name: String,
    /// `cpu` or `gpu`.
    pub backend: String,
    /// The device in words.
    pub device: String,
    /// Why that one.
    pub choice: String,
    /// Counters of the work, by stage.
    pub work: BTreeMap<String, u64>,
}

/// Scores a part for a run that another process leads. `settings` are those of stores, `name` is its own.
///
/// # Errors
/// What may pass when it is tried again, here or on another machine ([`ArchiveError::may_pass`]); of the last try nothing:
/// the report says what failed.
pub fn score_part(
    task: &PartTask,
    step: &Step<'_>,
    settings: &[(String, String)],
    name: &str,
) -> Result<PartReport, ArchiveError> {
    match scored(task, step, settings, name) {
        Err(error) if task.last || !error.may_pass() => Ok(PartReport::fatal(task, format!("{error} (on {name})"))),
        result => result,
    }
}

/// What scores here, and its work so far.
fn worker(step: &Step<'_>, name: &str) -> Worker {
    let (backend, device, choice) =
        step.against.first().map_or_else(Default::default, |against| against.engines.describe());
    let mut work: BTreeMap<String, u64> = BTreeMap::new();
    for (stage, count) in step.against.iter().flat_map(|against| against.engines.work()) {
        *work.entry(stage).or_default() += count;
    }
    Worker { name: name.to_owned(), backend, device, choice, work }
}

fn scored(
    task: &PartTask,
    step: &Step<'_>,
    settings: &[(String, String)],
    name: &str,
) -> Result<PartReport, ArchiveError> {
    if !finished::is_begun(step) {
        let (out, release) = (step.out.display(), env!("CARGO_PKG_VERSION"));
        return Err(ArchiveError::Elsewhere(format!(
            "cannot score: {out}: a worker of release {release} sees no run there; all processes must be of one release \
             and see sources, baseline and results at the same paths"
        )));
    }
    let (mut encoders, mut files) = (Encoders::default(), Vec::with_capacity(task.files.len()));
    let empty = |number: usize| UnitTable::new(step.against[number].baseline, 1.0);
    let mut units: Vec<UnitTable> = (0..step.against.len()).map(empty).collect();
    for (path, relative) in &task.files {
        let source = reopen(path, relative, settings)?;
        let stamp = source.stamp();
        match score_file(&source, step, &mut encoders, &empty, &Silent) {
            Ok(summary) => {
                let (done, of_file) = split(summary);
                of_file.into_iter().for_each(|(number, table)| units[number].merge(table));
                files.push((stamp, Ok(done)));
            }
            Err(error) if !error.is_input() || (error.may_pass() && !task.last) => return Err(error),
            Err(error) => files.push((stamp, Err(error.to_string()))),
        }
    }
    let units = units.iter().map(UnitTable::save).collect();
    let (number, crowded) = (task.number, encoders.crowded());
    Ok(PartReport { number, worker: worker(step, name), files, units, crowded, fatal: None })
}

/// A source that another process has found.
pub(crate) fn reopen(path: &Path, relative: &str, settings: &[(String, String)]) -> Result<Source, StoreError> {
    let is_far = path.to_str().is_some_and(|path| path.contains("://"));
    if !is_far && !path.exists() {
        return Err(StoreError::Missing(path.into()));
    }
    let found = match is_far {
        true => Search { tables: true, settings, ..Search::default() }.run(&[path])?.pop(),
        false => Some(Source::file(path.into())),
    };
    let mut source = found.ok_or_else(|| StoreError::Missing(path.into()))?;
    relative.clone_into(&mut source.relative);
    Ok(source)
}

/// What a file gave, and its units by number of the baseline.
pub(crate) fn split(summary: FileSummary) -> (Done, Vec<(usize, UnitTable)>) {
    let FileSummary { table, rows, digest, hosts, times, units, .. } = summary;
    let by = units.iter().map(|(number, _)| *number).collect();
    (Done { table, rows, digest, hosts, times, by }, units)
}
