//! Scoring an archive: files in parallel, one table of units, findings at the end.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use model::baseline::Baseline;
use model::units::UnitTable;
use model::{Budget, Encoder, Lens, Line};
use scorer_gpu::Choice;
use sha2::{Digest, Sha256};
use store::{Finding, InputDone, InputSkipped, Manifest, Run, Source, TableFile};

use crate::Progress;
use crate::engine::{Engine, Engines};
use crate::error::ArchiveError;
use crate::evidence::{self, Place};
use crate::expect;
use crate::file::{FileSummary, score_file, spanned};
use crate::{split, tables};

/// How to score.
#[derive(Debug, Clone)]
pub struct ScoreOptions {
    /// Backend.
    pub choice: Choice,
    /// Adapter by name, for [`Choice::Gpu`].
    pub adapter: Option<String>,
    /// What makes a unit a finding.
    pub line: Line,
    /// Files in work at a time; 0 is one per core.
    pub threads: usize,
    /// Fail on the first input that cannot be scored.
    pub strict: bool,
    /// Settings of the stores that sources name by URL, as KEY and VALUE.
    pub settings: Vec<(String, String)>,
}

impl Default for ScoreOptions {
    fn default() -> Self {
        Self {
            choice: Choice::Auto,
            adapter: None,
            line: Line::default(),
            threads: 0,
            strict: false,
            settings: Vec::new(),
        }
    }
}

/// What a run achieved.
#[derive(Debug, Clone)]
pub struct Scored {
    /// The run, as written to the manifest.
    pub run: Run,
    /// Findings, most surprising first.
    pub findings: Vec<Finding>,
    /// Where they were written.
    pub findings_file: PathBuf,
}

/// Scores every file of the sources into the folder `out`: sidecars, findings and a manifest entry.
///
/// # Errors
/// When nothing is found, nothing can be scored, nothing can be written, or `strict` meets a bad input.
pub fn score<P: AsRef<Path>>(
    sources: &[P],
    baseline: &Baseline,
    out: &Path,
    options: &ScoreOptions,
    progress: &dyn Progress,
) -> Result<Scored, ArchiveError> {
    let clock = Instant::now();
    let started = jiff::Timestamp::now();
    let sources = tables::discover(sources, baseline.lenses(), &options.settings)?;
    let mut inputs = Inputs::look(sources, baseline, options.strict, progress)?;
    let engines = Engines::open(options.choice, options.adapter.as_deref(), baseline, &inputs.tables)?;
    progress.note(&engines.describe().2);
    store::ensure_folder(out)?;
    Manifest::load(out)?;
    let parts = inputs.parts(baseline);
    let crowded = AtomicU64::new(0);
    let mut units = UnitTable::new(baseline, 1.0);
    let job = Job {
        inputs: &inputs,
        parts: &parts,
        baseline,
        engines: &engines,
        options,
        out,
        progress,
        crowded: &crowded,
        units: &units.empty(),
    };
    let summaries = job.run()?;
    inputs.merge(summaries, &mut units);
    inputs.check_some()?;
    // Which hosts there are, and so how many units a day, is known only now.
    let budget = Budget::new(baseline, &inputs.hosts, options.line);
    units.set_line(budget.line);
    let hosts = expect::hosts(baseline, &inputs.hosts, &units);
    hosts.iter().filter_map(|host| expect::warning(baseline, host)).for_each(|text| progress.note(&text));
    let found = units.findings();
    let findings = evidence::findings(&found, baseline, &engines, &inputs.places(&parts))?;
    let findings_file = {
        let expected = Some(budget.expected_a_day());
        store::write_findings(out, baseline.id(), &inputs.name(), &findings, expected)?
    };
    let (backend, device, reason) = engines.describe();
    let mut run = Run {
        command: "score".into(),
        started: started.to_string(),
        wall_seconds: clock.elapsed().as_secs_f64(),
        version: env!("CARGO_PKG_VERSION").into(),
        baseline: baseline.id().into(),
        backend,
        device,
        choice: Some(reason),
        hosts,
        rows: inputs.done.iter().fold(0, |sum, input| sum.saturating_add(input.rows)),
        findings: findings.len() as u64,
        work: work(&engines, crowded.into_inner()),
        inputs_done: inputs.done,
        inputs_skipped: inputs.skipped,
        ..Run::default()
    };
    expect::enter(&mut run, &budget, options.line, inputs.times, &findings);
    Manifest::append(out, run.clone())?;
    Ok(Scored { run, findings, findings_file })
}

/// Work by stage; rows that were one too many for their channels are part of it.
fn work(engines: &Engines, crowded: u64) -> BTreeMap<String, u64> {
    let mut work = engines.work();
    if crowded > 0 {
        work.insert("rows_crowded".to_owned(), crowded);
    }
    work
}

/// The inputs of a run and what becomes of them.
pub(crate) struct Inputs {
    pub(crate) todo: Vec<Source>,
    pub(crate) tables: Vec<String>,
    /// The table of each input.
    table_of: Vec<String>,
    digests: Vec<String>,
    done: Vec<InputDone>,
    pub(crate) skipped: Vec<InputSkipped>,
    hosts: BTreeSet<Option<String>>,
    times: Option<(i64, i64)>,
    given: usize,
}

impl Inputs {
    /// Reads every footer: what cannot be scored is known before the work begins.
    fn look(
        sources: Vec<Source>,
        baseline: &Baseline,
        strict: bool,
        progress: &dyn Progress,
    ) -> Result<Self, ArchiveError> {
        let mut this = Self {
            todo: Vec::new(),
            tables: Vec::new(),
            table_of: Vec::new(),
            digests: Vec::new(),
            done: Vec::new(),
            skipped: Vec::new(),
            hosts: BTreeSet::new(),
            times: None,
            given: sources.len(),
        };
        let mut rows = 0u64;
        for source in sources {
            match TableFile::open_source(&source).map_err(ArchiveError::from).and_then(|f| known(&f, baseline)) {
                Ok(None) => this.given -= 1, // counters of the agent: nothing to score, nothing wrong
                Ok(Some((table, more))) => {
                    rows = rows.saturating_add(more); // a footer can say anything
                    if !this.tables.contains(&table) {
                        this.tables.push(table.clone());
                    }
                    this.table_of.push(table);
                    this.todo.push(source);
                }
                Err(error) if strict => return Err(error),
                Err(error) => this.skip(&source, &error, progress),
            }
        }
        progress.total(rows);
        this.check_some()?;
        Ok(this)
    }

    fn skip(&mut self, source: &Source, error: &ArchiveError, progress: &dyn Progress) {
        let (path, reason) = (source.path.display().to_string(), error.to_string());
        progress.skipped(&path, &reason);
        self.skipped.push(InputSkipped { path, reason });
    }

    fn check_some(&self) -> Result<(), ArchiveError> {
        match (self.skipped.len(), self.given) {
            (_, 0) => Err(ArchiveError::NothingToDo),
            (skipped, given) if skipped == given => Err(ArchiveError::AllSkipped(given)),
            _ => Ok(()),
        }
    }

    /// Sums the summaries up in the order of the inputs.
    fn merge(&mut self, summaries: Summaries, units: &mut UnitTable) {
        for (at, summary) in summaries {
            match summary {
                Ok(summary) => {
                    units.merge(summary.units);
                    self.hosts.extend(summary.hosts);
                    self.times = spanned(self.times, &summary.times.map_or(Vec::new(), |(from, to)| vec![from, to]));
                    self.digests.push(summary.digest);
                    let FileSummary { relative: path, table, rows, .. } = summary;
                    self.done.push(InputDone { path, table, rows });
                }
                Err(error) => {
                    let path = self.todo[at].path.display().to_string();
                    self.skipped.push(InputSkipped { path, reason: error.to_string() });
                }
            }
        }
    }

    /// The files that are scored one after the other.
    fn parts(&self, baseline: &Baseline) -> Vec<Vec<usize>> {
        let files =
            self.todo.iter().zip(&self.table_of).map(|(source, table)| (source.relative.as_str(), table.as_str()));
        split::parts(files, |table| baseline.lens(table).is_some_and(Lens::is_stateful))
    }

    /// Where each input is, and behind which others.
    fn places(&self, parts: &[Vec<usize>]) -> HashMap<&str, Place<'_>> {
        let source = |number: &usize| &self.todo[*number];
        let place = |(at, number): (usize, &usize), part: &[usize]| {
            let before = part[..at].iter().map(source).collect();
            (self.todo[*number].relative.as_str(), Place { source: source(number), before })
        };
        parts.iter().flat_map(|part| part.iter().enumerate().map(move |one| place(one, part))).collect()
    }

    /// Name of the findings file: the same inputs give the same name, others another.
    fn name(&self) -> String {
        let mut hash = Sha256::new();
        for (input, digest) in self.done.iter().zip(&self.digests) {
            hash.update(format!("{} {digest}\n", input.path));
        }
        let hash = hash.finalize();
        let hex: String = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        format!("score-{hex}")
    }
}

/// Table and rows (0 if they are not known yet) of a file that the baseline can score; nothing for the agent's counters.
fn known(file: &TableFile, baseline: &Baseline) -> Result<Option<(String, u64)>, ArchiveError> {
    let table = tables::table_of(file, baseline.lenses())?;
    match baseline.snapshot(&table) {
        _ if table == events::HEARTBEAT => Ok(None),
        Some(_) => Ok(Some((table, file.rows().unwrap_or(0)))),
        None => {
            let why = format!("the baseline knows no table {table}");
            Err(ArchiveError::NoLens { path: file.path().into(), why })
        }
    }
}

/// What became of the inputs, by their number.
type Summaries = Vec<(usize, Result<FileSummary, ArchiveError>)>;

/// One run over the inputs that are left.
struct Job<'a> {
    inputs: &'a Inputs,
    parts: &'a [Vec<usize>],
    baseline: &'a Baseline,
    engines: &'a Engines,
    options: &'a ScoreOptions,
    out: &'a Path,
    progress: &'a dyn Progress,
    crowded: &'a AtomicU64,
    /// Empty.
    units: &'a UnitTable,
}

impl Job<'_> {
    /// Scores all files, each part by one worker, and returns their summaries in the order of the inputs. Workers are plain
    /// threads: a rayon task that waits for a shared GPU could be handed a second file and wait for itself.
    fn run(&self) -> Result<Summaries, ArchiveError> {
        let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
        let results = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..self.workers() {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        let Some(part) = self.parts.get(next.fetch_add(1, Ordering::Relaxed)) else { break };
                        self.part(part, &stop, &results);
                    }
                });
            }
        });
        let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
        results.sort_by_key(|(at, _)| *at);
        match results.iter().position(|(_, result)| result.as_ref().is_err_and(|error| self.is_fatal(error))) {
            Some(fatal) => match results.swap_remove(fatal).1 {
                Err(error) => Err(error),
                Ok(_) => Ok(results),
            },
            None => Ok(results),
        }
    }

    /// Scores the files of a part, in order and by one encoder.
    fn part(&self, part: &[usize], stop: &AtomicBool, results: &Mutex<Summaries>) {
        let table = part.first().map_or("", |number| &self.inputs.table_of[*number]);
        let Some(mut encoder) = self.engines.get(table).map(Engine::encoder) else { return };
        for number in part.iter().take_while(|_| !stop.load(Ordering::Relaxed)) {
            let result = self.one(&self.inputs.todo[*number], &mut encoder);
            if result.as_ref().is_err_and(|error| self.is_fatal(error)) {
                stop.store(true, Ordering::Relaxed);
            }
            results.lock().unwrap_or_else(PoisonError::into_inner).push((*number, result));
        }
        self.crowded.fetch_add(encoder.crowded(), Ordering::Relaxed);
    }

    fn one(&self, source: &Source, encoder: &mut Encoder) -> Result<FileSummary, ArchiveError> {
        let Self { baseline, engines, out, progress, .. } = self;
        let result = score_file(source, baseline, engines, encoder, self.units.empty(), out, *progress);
        if let Err(error) = &result
            && !self.is_fatal(error)
        {
            self.progress.skipped(&source.path.display().to_string(), &error.to_string());
        }
        result
    }

    fn is_fatal(&self, error: &ArchiveError) -> bool {
        self.options.strict || !error.is_input()
    }

    fn workers(&self) -> usize {
        let wished = match self.options.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            n => n,
        };
        wished.clamp(1, self.parts.len().max(1))
    }
}
