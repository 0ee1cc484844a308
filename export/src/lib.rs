//! Rows and findings as events of OCSF 1.3.0, in files that data lakes take (docs/contracts.md §9).
//!
//! [`export`] reads what the agent and `score` wrote and writes Parquet as Amazon Security Lake wants it of a custom source.
//! Every row becomes one event or is counted as left out, with the reason. Equal inputs give equal files.

mod columns;
mod dns;
mod error;
mod event;
mod finding;
mod lake;
mod network;
mod order;
mod process;
mod run;
mod shell;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use archive::{ArchiveError, Filter, Known, Progress};
use store::{Finding, Search, Source, StoreError};

pub use error::ExportError;
pub use event::{Class, OCSF_VERSION};
pub use lake::Partition;

use lake::{Parts, day_of, digest};
use run::{Job, LeftOut};

/// How to export.
#[derive(Debug, Clone)]
pub struct ExportOptions {
    /// Region and account of the partitions.
    pub partition: Partition,
    /// Files in work at a time; 0 is one per core.
    pub threads: usize,
    /// Fail on the first input that cannot be used.
    pub strict: bool,
    /// Settings of the stores that sources name by URL, as KEY and VALUE.
    pub settings: Vec<(String, String)>,
    /// Which rows to take, and by time and host which findings.
    pub filter: Filter,
}

/// What was made.
#[derive(Debug, Clone, Default)]
pub struct Exported {
    /// Events, files and their bytes, by class.
    pub classes: BTreeMap<Class, Made>,
    /// Rows that are no events, by table, activity and reason.
    pub left_out: LeftOut,
    /// Inputs that were skipped, with the reason.
    pub skipped: Vec<(PathBuf, String)>,
    /// How long it took.
    pub wall_seconds: f64,
}

/// What was made of a class.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Made {
    /// Events.
    pub events: u64,
    /// Files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// What became of one input.
#[derive(Debug, Default)]
struct Counts {
    events: BTreeMap<Class, u64>,
    files: BTreeMap<Class, (u64, u64)>,
    left_out: LeftOut,
}

impl Exported {
    fn is_empty(&self) -> bool {
        self.classes.values().all(|made| made.events == 0) && self.left_out.is_empty()
    }

    fn add(&mut self, counts: Counts) {
        for (class, events) in counts.events {
            self.classes.entry(class).or_default().events += events;
        }
        for (class, (files, bytes)) in counts.files {
            let made = self.classes.entry(class).or_default();
            (made.files, made.bytes) = (made.files + files, made.bytes + bytes);
        }
        for (what, rows) in counts.left_out {
            *self.left_out.entry(what).or_default() += rows;
        }
    }
}

/// Writes the rows of the sources and the findings below the folders `findings` as events below `out`. Findings that lie
/// beside a source are taken, too.
///
/// # Errors
/// When nothing is found, nothing can be used, nothing can be written, or `strict` meets a bad input.
pub fn export<P: AsRef<Path>>(
    sources: &[P],
    findings: &[P],
    out: &Path,
    options: &ExportOptions,
    progress: &dyn Progress,
) -> Result<Exported, ExportError> {
    let clock = Instant::now();
    if sources.is_empty() && options.filter.condition.is_some() {
        let why = "a condition is asked of rows, and no source of rows is given";
        return Err(ArchiveError::Filter(why.to_owned()).into());
    }
    let beside = sources.iter().map(AsRef::as_ref).filter(|source| source.join("findings").is_dir());
    let mut scored: Vec<&Path> = findings.iter().map(AsRef::as_ref).chain(beside).collect();
    scored.dedup();
    let filter = &options.filter;
    let mut known = Known::of(filter);
    let (todo, rows, bad) = run::look(discover(sources, options)?, &mut known);
    if !todo.is_empty() {
        known.check()?;
    }
    progress.total(rows);
    store::ensure_folder(out)?;
    check_outside(out, sources)?;
    let given = todo.len() + bad.len() + scored.len();
    let mut done = Exported::default();
    let job = Job { out, partition: &options.partition, strict: options.strict, filter, progress };
    for (path, error) in bad {
        done.skip(&job, path, error)?;
    }
    let threads = match options.threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        n => n,
    };
    for (number, result) in job.run(&todo, threads) {
        match result {
            Ok(counts) => done.add(counts),
            Err(error) => done.skip(&job, todo[number].path.clone(), error)?,
        }
    }
    match all_findings(&scored, &mut |path, error| done.skip(&job, path, error)) {
        Ok(mut found) => {
            found.values_mut().for_each(|of| of.retain(|_, finding| passes(filter, finding)));
            write_findings(&found, &job, &mut done)?;
        }
        Err(error) => return Err(error),
    }
    match given {
        0 if filter.is_all() => return Err(ExportError::NothingToDo),
        given if given > 0 && done.skipped.len() == given => return Err(ExportError::AllSkipped(given)),
        _ if !filter.is_all() && done.is_empty() => return Err(ArchiveError::NothingPasses(filter.text()).into()),
        _ => {}
    }
    done.wall_seconds = clock.elapsed().as_secs_f64();
    Ok(done)
}

impl Exported {
    /// Passes an input over, or ends the run.
    fn skip(&mut self, job: &Job<'_>, path: PathBuf, error: ExportError) -> Result<(), ExportError> {
        if job.is_fatal(&error) {
            return Err(error);
        }
        let reason = error.to_string();
        job.progress.skipped(&path.display().to_string(), &reason);
        self.skipped.push((path, reason));
        Ok(())
    }
}

/// The files among and below the sources, less those of which folders say that no row passes.
fn discover<P: AsRef<Path>>(sources: &[P], options: &ExportOptions) -> Result<Vec<Source>, StoreError> {
    if sources.is_empty() {
        return Ok(Vec::new());
    }
    let filter = &options.filter;
    let enters = |folder: &str| filter.enters(folder);
    let enter = (!filter.is_all()).then_some(&enters as _);
    let mut found = Search { settings: &options.settings, enter, ..Search::default() }.run(sources)?;
    // Named outright, or by a pattern.
    found.retain(|source| source.relative.rsplit_once('/').is_none_or(|(folder, _)| filter.enters(folder)));
    Ok(found)
}

/// Whether a finding is of the time and the hosts that are asked for.
fn passes(filter: &Filter, finding: &Finding) -> bool {
    filter.since.is_none_or(|since| finding.time >= since)
        && filter.until.is_none_or(|until| finding.time < until)
        && (filter.hosts.is_empty() || filter.hosts.contains(&finding.host))
}

/// What is written is not to be read as a source the next time.
fn check_outside<P: AsRef<Path>>(out: &Path, sources: &[P]) -> Result<(), ExportError> {
    let Ok(real) = out.canonicalize() else { return Ok(()) };
    let holds = |source: &&Path| source.canonicalize().is_ok_and(|source| real.starts_with(source));
    match sources.iter().map(AsRef::as_ref).find(holds) {
        Some(within) => Err(ExportError::Inside { out: out.into(), within: within.into() }),
        None => Ok(()),
    }
}

/// Findings by baseline and id: of equal ones the last folder counts.
type Found = BTreeMap<String, BTreeMap<String, Finding>>;

fn all_findings(
    folders: &[&Path],
    skip: &mut dyn FnMut(PathBuf, ExportError) -> Result<(), ExportError>,
) -> Result<Found, ExportError> {
    let mut all = Found::new();
    for folder in folders {
        match store::findings_by_baseline(folder) {
            Ok(found) => {
                for (baseline, findings) in found {
                    all.entry(baseline).or_default().extend(findings.into_iter().map(|f| (f.id.clone(), f)));
                }
            }
            Err(error) => skip(folder.to_path_buf(), error.into())?,
        }
    }
    Ok(all)
}

/// A file for each baseline, host and day.
fn write_findings(found: &Found, job: &Job<'_>, done: &mut Exported) -> Result<(), ExportError> {
    let class = Class::DetectionFinding;
    for (baseline, findings) in found {
        let mut files: BTreeMap<(&str, i64), Vec<&Finding>> = BTreeMap::new();
        for finding in findings.values() {
            files.entry((&finding.host, day_of(finding.time))).or_default().push(finding);
        }
        for ((host, day), mut findings) in files {
            findings.sort_by(|a, b| a.time.cmp(&b.time).then_with(|| a.id.cmp(&b.id)));
            let name = format!("findings-{}", digest(&[baseline, host]));
            let mut parts = Parts::new(job.out, job.partition, class, name);
            let events = finding::events(&findings, baseline).and_then(columns::Struct::batch);
            let wrong = |why: String| StoreError::Write { path: job.out.into(), why };
            let events = events.map_err(|error| wrong(error.to_string()))?;
            let span = (findings[0].time, findings[findings.len() - 1].time);
            parts.write(&events, day, span)?;
            let (files, bytes) = parts.commit()?;
            let made = done.classes.entry(class).or_default();
            made.events += findings.len() as u64;
            (made.files, made.bytes) = (made.files + files, made.bytes + bytes);
        }
    }
    Ok(())
}
