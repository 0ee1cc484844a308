//! Scoring an archive: files in parallel, one table of units for each baseline, findings at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Instant;

use model::baseline::Baseline;
use model::units::UnitTable;
use model::{Budget, Line};
use scorer_gpu::Choice;
use sha2::{Digest, Sha256};
use store::{Finding, InputDone, InputSkipped, Manifest, Run};

use crate::Progress;
use crate::engine::Engines;
use crate::error::ArchiveError;
use crate::file::{Against, Step, spanned};
use crate::filter::Filter;
use crate::finished::Finished;
use crate::inputs::Inputs;
use crate::job::{Gathered, Job};
use crate::kept::BackendWish;
use crate::part::{Done, Runner, Worker};
use crate::{evidence, expect, tables};

/// How to score.
#[derive(Debug, Clone)]
pub struct ScoreOptions {
    /// What scores, and in which batches.
    pub backend: BackendWish,
    /// What makes a unit a finding.
    pub line: Line,
    /// Files in work at a time; 0 is one per core.
    pub threads: usize,
    /// Fail on the first input that cannot be scored.
    pub strict: bool,
    /// Settings of the stores that sources name by URL, as KEY and VALUE.
    pub settings: Vec<(String, String)>,
    /// Which rows are scored.
    pub filter: Filter,
    /// Whether to write the scores of rows; units and findings are the same without.
    pub sidecars: bool,
}

impl Default for ScoreOptions {
    fn default() -> Self {
        Self {
            backend: Choice::Auto.into(),
            line: Line::default(),
            threads: 0,
            strict: false,
            settings: Vec::new(),
            filter: Filter::default(),
            sidecars: true,
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
    let mut scored = score_all(sources, &[baseline], out, options, progress)?;
    scored.pop().ok_or(ArchiveError::NothingToDo)
}

/// As [`score`], against several baselines at once: every file is read once, and each baseline has its own sidecars,
/// findings and manifest entry, as if it had been alone. A file is skipped if none of them knows its table.
///
/// # Errors
/// As for [`score`].
pub fn score_all<P: AsRef<Path>>(
    sources: &[P],
    baselines: &[&Baseline],
    out: &Path,
    options: &ScoreOptions,
    progress: &dyn Progress,
) -> Result<Vec<Scored>, ArchiveError> {
    score_by(None, sources, baselines, out, options, progress)
}

/// As [`score_all`], where `runner` has the step run by other processes: they need not use the backend of the options, with
/// which this one puts findings in words.
///
/// # Errors
/// As for [`score`], and those of the runner.
pub fn score_by<P: AsRef<Path>>(
    runner: Option<&dyn Runner>,
    sources: &[P],
    baselines: &[&Baseline],
    out: &Path,
    options: &ScoreOptions,
    progress: &dyn Progress,
) -> Result<Vec<Scored>, ArchiveError> {
    let clock = Instant::now();
    let started = jiff::Timestamp::now().to_string();
    let filter = &options.filter;
    let lenses = baselines.iter().flat_map(|baseline| baseline.lenses());
    let sources = tables::discover(sources, lenses, &options.settings, filter, progress)?;
    let mut inputs = Inputs::look(sources, baselines, filter, options.strict, progress)?;
    let mut against = Vec::with_capacity(baselines.len());
    let mut kept = options.backend.memory();
    let mut opener = options.backend.opener(&mut kept);
    for baseline in baselines {
        let engines = Engines::open(&mut opener, baseline, &inputs.tables)?;
        against.push(Against { baseline, engines });
    }
    if runner.is_none() {
        against.first().into_iter().for_each(|first| progress.note(&first.engines.describe().2));
    }
    store::ensure_folder(out)?;
    Manifest::load(out)?;
    let parts = inputs.parts(baselines);
    let step = || Step { against: &against, filter, out, sidecars: options.sidecars };
    let finished = Finished::open(&step());
    let job = Job::new(&inputs, &parts, step(), options.strict, options.threads, progress, &finished, runner);
    let (gathered, crowded) = job.run()?;
    let Gathered { inputs: results, units, workers } = gathered;
    let done = inputs.take(results);
    if done.iter().all(Option::is_none) {
        return Err(ArchiveError::AllSkipped(inputs.skipped.len()));
    }
    let run = Run { started, wall_seconds: clock.elapsed().as_secs_f64(), ..Run::default() };
    let end = End { inputs: &inputs, parts: &parts, done: &done, workers: &workers, options, out, progress };
    let mut scored = Vec::with_capacity(against.len());
    for (number, (against, units)) in against.iter().zip(units).enumerate() {
        scored.push(end.of(number, against, units, crowded, run.clone())?);
    }
    for one in &mut scored {
        one.run.wall_seconds = clock.elapsed().as_secs_f64();
        Manifest::append(out, one.run.clone())?;
    }
    finished.remove();
    if runner.is_some() {
        // Attempts that nobody waited for.
        baselines.iter().for_each(|baseline| store::remove_tagged(out, baseline.id()));
    }
    Ok(scored)
}

/// The end of a run: what the rows of all files came to.
struct End<'a> {
    inputs: &'a Inputs,
    parts: &'a [Vec<usize>],
    done: &'a [Option<Done>],
    workers: &'a BTreeMap<String, Worker>,
    options: &'a ScoreOptions,
    out: &'a Path,
    progress: &'a dyn Progress,
}

impl End<'_> {
    /// Findings of one baseline, and its entry for the manifest.
    fn of(
        &self,
        number: usize,
        against: &Against<'_>,
        mut units: UnitTable,
        crowded: u64,
        run: Run,
    ) -> Result<Scored, ArchiveError> {
        let Against { baseline, engines } = against;
        let (line, filter) = (self.options.line, &self.options.filter);
        let mine = || {
            let all = self.inputs.todo.iter().zip(self.done);
            all.filter_map(|(source, done)| Some((source, done.as_ref()?)))
                .filter(|(_, done)| done.by.contains(&number))
        };
        let hosts: BTreeSet<Option<String>> = mine().flat_map(|(_, done)| done.hosts.iter().cloned()).collect();
        let both = |(from, to): (i64, i64)| [from, to];
        let times = mine().filter_map(|(_, done)| done.times).fold(None, |so_far, times| spanned(so_far, &both(times)));
        // Which hosts there are, and so how many units a day, is known only now.
        let budget = Budget::new(baseline, &hosts, line);
        units.set_line(budget.line);
        let hosts = expect::hosts(baseline, &hosts, &units);
        let warnings = hosts.iter().filter_map(|host| expect::warning(baseline, host));
        warnings.for_each(|text| self.progress.note(&text));
        let found = units.findings();
        let findings = evidence::findings(&found, baseline, engines, &self.inputs.places(self.parts), filter)?;
        // Without a row that passes, an input is as if it were not there.
        let scored = || mine().filter(|(_, done)| done.rows > 0 || filter.is_all());
        let inputs = scored().map(|(source, done)| (source.relative.as_str(), done.digest.as_str()));
        let name = findings_name(inputs, &filter.text());
        let expected = Some(budget.expected_a_day());
        let findings_file = store::write_findings(self.out, baseline.id(), &name, &findings, expected)?;
        let By { backend, device, choice, work } = self.by(engines, crowded);
        let input = |(source, done): (&store::Source, &Done)| InputDone {
            path: source.relative.clone(),
            table: done.table.clone(),
            rows: done.rows,
        };
        let mut run = Run {
            command: "score".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            baseline: baseline.id().into(),
            backend,
            device,
            choice: Some(choice),
            filter: (!filter.is_all()).then(|| filter.text()),
            hosts,
            rows: scored().fold(0, |sum, (_, done)| sum.saturating_add(done.rows)),
            findings: findings.len() as u64,
            work,
            inputs_done: scored().map(input).collect(),
            inputs_skipped: self.inputs.skipped.clone(),
            ..run
        };
        expect::enter(&mut run, &budget, line, times, &findings);
        Ok(Scored { run, findings, findings_file })
    }

    /// What scored, and its work; rows that were one too many for their channels are part of it.
    fn by(&self, engines: &Engines, crowded: u64) -> By {
        let mut by = match self.workers.is_empty() {
            true => {
                let (backend, device, choice) = engines.describe();
                By { backend, device, choice, work: engines.work() }
            }
            false => By::of(self.workers.values()),
        };
        if crowded > 0 {
            by.work.insert("rows_crowded".to_owned(), crowded);
        }
        by
    }
}

/// What scored, and its work by stage.
#[derive(Default)]
struct By {
    backend: String,
    device: String,
    choice: String,
    work: BTreeMap<String, u64>,
}

impl By {
    /// All of several processes. Of one that died the work is known up to its last report.
    fn of<'a>(workers: impl Iterator<Item = &'a Worker> + Clone) -> Self {
        let joined = |of: fn(&Worker) -> &str| {
            let all: BTreeSet<&str> = workers.clone().map(of).collect();
            all.into_iter().collect::<Vec<_>>().join(" + ")
        };
        let mut work: BTreeMap<String, u64> = BTreeMap::new();
        for (stage, count) in workers.clone().flat_map(|worker| &worker.work) {
            *work.entry(stage.clone()).or_default() += count;
        }
        Self { backend: joined(|w| &w.backend), device: joined(|w| &w.device), choice: joined(|w| &w.choice), work }
    }
}

impl Inputs {
    /// What became of the inputs; those that failed are among the skipped.
    fn take(&mut self, results: Vec<Option<Result<Done, ArchiveError>>>) -> Vec<Option<Done>> {
        let mut done = Vec::with_capacity(results.len());
        for (source, result) in self.todo.iter().zip(results) {
            if let Some(Err(error)) = &result {
                let path = source.path.display().to_string();
                self.skipped.push(InputSkipped { path, reason: error.to_string() });
            }
            done.push(result.and_then(Result::ok));
        }
        done
    }
}

/// Name of the findings file: the same rows of the same inputs give the same name, others another.
fn findings_name<'a>(inputs: impl Iterator<Item = (&'a str, &'a str)>, filter: &str) -> String {
    let mut hash = Sha256::new();
    inputs.for_each(|(path, digest)| hash.update(format!("{path} {digest}\n")));
    hash.update(filter);
    let hash = hash.finalize();
    let hex: String = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("score-{hex}")
}
