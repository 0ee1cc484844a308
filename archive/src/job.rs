//! One run over the inputs: parts in parallel, what they give merged as it comes.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use model::units::UnitTable;
use store::Source;

use crate::Progress;
use crate::error::ArchiveError;
use crate::file::{Encoders, FileSummary, Step, score_file};
use crate::finished::{Finished, FinishedFile, FinishedPart};
use crate::inputs::Inputs;
use crate::part::{Done, PartReport, PartTask, Runner, Worker, split};

/// What a run has gathered: of every input, by its number, and the units of every baseline.
pub(crate) struct Gathered {
    pub(crate) inputs: Vec<Option<Result<Done, ArchiveError>>>,
    pub(crate) units: Vec<UnitTable>,
    /// Processes that did a part of it, by name.
    pub(crate) workers: BTreeMap<String, Worker>,
}

/// One run over the inputs that are left.
pub(crate) struct Job<'a> {
    pub(crate) inputs: &'a Inputs,
    pub(crate) parts: &'a [Vec<usize>],
    pub(crate) step: Step<'a>,
    pub(crate) strict: bool,
    pub(crate) threads: usize,
    pub(crate) progress: &'a dyn Progress,
    pub(crate) finished: &'a Finished,
    /// What runs the step; this process if there is none.
    pub(crate) runner: Option<&'a dyn Runner>,
    /// Rows that were one too many for their channels.
    pub(crate) crowded: AtomicU64,
    gathered: Mutex<Gathered>,
}

impl<'a> Job<'a> {
    #[allow(clippy::too_many_arguments)] // each once, by the only caller
    pub(crate) fn new(
        inputs: &'a Inputs,
        parts: &'a [Vec<usize>],
        step: Step<'a>,
        strict: bool,
        threads: usize,
        progress: &'a dyn Progress,
        finished: &'a Finished,
        runner: Option<&'a dyn Runner>,
    ) -> Self {
        let units = step.against.iter().map(|against| UnitTable::new(against.baseline, 1.0)).collect();
        let gathered = Gathered { inputs: inputs.todo.iter().map(|_| None).collect(), units, workers: BTreeMap::new() };
        let (crowded, gathered) = (AtomicU64::new(0), Mutex::new(gathered));
        Self { inputs, parts, step, strict, threads, progress, finished, runner, crowded, gathered }
    }

    /// Scores all files, each part by one worker.
    pub(crate) fn run(self) -> Result<(Gathered, u64), ArchiveError> {
        match self.runner {
            None => self.here(),
            Some(runner) => self.elsewhere(runner)?,
        }
        let is_fatal = |input: &Option<Result<Done, ArchiveError>>| {
            input.as_ref().and_then(|result| result.as_ref().err()).is_some_and(|error| self.is_fatal(error))
        };
        let at = self.gathered().inputs.iter().position(is_fatal);
        let crowded = self.crowded.load(Ordering::Relaxed);
        let mut gathered = self.gathered.into_inner().unwrap_or_else(PoisonError::into_inner);
        match at.and_then(|at| gathered.inputs.swap_remove(at)) {
            Some(Err(error)) => Err(error),
            _ => Ok((gathered, crowded)),
        }
    }

    /// Workers are plain threads: a rayon task that waits for a shared GPU could be handed a second file and wait for itself.
    fn here(&self) {
        let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
        std::thread::scope(|scope| {
            for _ in 0..self.workers() {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        let Some(part) = self.parts.get(next.fetch_add(1, Ordering::Relaxed)) else { break };
                        if !self.again(part) {
                            self.part(part, &stop);
                        }
                    }
                });
            }
        });
    }

    /// Has the parts that are left scored by other processes.
    fn elsewhere(&self, runner: &dyn Runner) -> Result<(), ArchiveError> {
        let left = self.parts.iter().enumerate().filter(|(_, part)| !self.again(part));
        let task = |(number, part): (usize, &Vec<usize>)| {
            let files = part.iter().map(|at| self.inputs.todo[*at].absolute()).collect();
            let bytes = part.iter().fold(0, |sum: u64, at| sum.saturating_add(self.inputs.todo[*at].bytes()));
            PartTask { number: number as u64, files, bytes, version: String::new(), last: false }
        };
        let tasks: Vec<PartTask> = left.map(task).collect();
        match tasks.is_empty() {
            true => Ok(()),
            false => runner.run(tasks, &|report| self.take(report)),
        }
    }

    /// Takes what another process made of a part.
    fn take(&self, report: PartReport) -> Result<(), ArchiveError> {
        let PartReport { number, worker, files, units, crowded, fatal } = report;
        if let Some(why) = fatal {
            return Err(ArchiveError::Elsewhere(why));
        }
        let odd = || ArchiveError::Elsewhere(format!("cannot score: {}: its report does not fit the run", worker.name));
        let part = usize::try_from(number).ok().and_then(|number| self.parts.get(number)).ok_or_else(odd)?;
        if files.len() != part.len() || units.len() != self.step.against.len() {
            return Err(odd());
        }
        let mut gathered = self.gathered();
        if part.iter().all(|at| gathered.inputs[*at].is_some()) {
            return Ok(()); // done twice
        }
        for (table, saved) in gathered.units.iter_mut().zip(&units) {
            table.merge_saved(saved).map_err(|_| odd())?;
        }
        let mut record = FinishedPart { crowded, ..FinishedPart::default() };
        for (at, (stamp, result)) in part.iter().zip(files) {
            let source = &self.inputs.todo[*at];
            if let (Some(stamp), Ok(done)) = (stamp, &result) {
                record.files.push(FinishedFile::new(source, stamp, done));
            }
            gathered.inputs[*at] = Some(self.taken(source, result)?);
        }
        self.crowded.fetch_add(crowded, Ordering::Relaxed);
        // Counters of a worker grow: its latest report has the most.
        let total = |worker: &Worker| worker.work.values().sum::<u64>();
        if gathered.workers.get(&worker.name).is_none_or(|known| total(known) < total(&worker)) {
            gathered.workers.insert(worker.name.clone(), worker);
        }
        self.progress.units(&|line| gathered.units.iter().map(|table| table.over(line)).sum());
        if record.files.len() == part.len() {
            record.units = units.into_iter().enumerate().collect();
            self.finished.add(record);
        }
        Ok(())
    }

    /// What another process says of an input: done, or skipped for a reason.
    fn taken(&self, source: &Source, result: Result<Done, String>) -> Result<Result<Done, ArchiveError>, ArchiveError> {
        self.progress.advance_bytes(source.bytes());
        match result {
            Ok(done) => {
                self.progress.advance(done.rows);
                Ok(Ok(done))
            }
            Err(why) if self.strict => Err(ArchiveError::Input(why)),
            Err(why) => {
                self.progress.skipped(&source.path.display().to_string(), &why);
                Ok(Err(ArchiveError::Input(why)))
            }
        }
    }

    /// Takes over what an earlier run made of a part, if all of it is still so.
    fn again(&self, part: &[usize]) -> bool {
        let sources: Vec<&Source> = part.iter().map(|number| &self.inputs.todo[*number]).collect();
        let Some(found) = self.finished.find(&sources, &self.step) else { return false };
        let mut gathered = self.gathered();
        for (number, units) in &found.units {
            let Some(table) = gathered.units.get_mut(*number) else { return false };
            if table.merge_saved(units).is_err() {
                return false; // units are a set: what was merged already is merged again
            }
        }
        self.crowded.fetch_add(found.crowded, Ordering::Relaxed);
        for (number, file) in part.iter().zip(found.files) {
            self.progress.advance(file.read);
            self.progress.advance_bytes(self.inputs.todo[*number].bytes());
            let FinishedFile { table, rows, digest, hosts, times, by, .. } = file;
            gathered.inputs[*number] = Some(Ok(Done { table, rows, digest, hosts, times, by }));
        }
        true
    }

    /// Scores the files of a part, in order and by one encoder.
    fn part(&self, part: &[usize], stop: &AtomicBool) {
        let (mut encoders, mut units) = (Encoders::default(), self.empty());
        let mut record = FinishedPart::default();
        for number in part {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            let source = &self.inputs.todo[*number];
            let stamp = source.stamp(); // before it is read: what changes meanwhile is read again
            let result = self.one(source, &mut encoders).map(|summary| {
                let (done, of_file) = split(summary);
                record.files.extend(stamp.map(|stamp| FinishedFile::new(source, stamp, &done)));
                of_file.into_iter().for_each(|(number, table)| units[number].merge(table));
                done
            });
            if result.as_ref().is_err_and(|error| self.is_fatal(error)) {
                stop.store(true, Ordering::Relaxed);
            }
            self.gathered().inputs[*number] = Some(result);
        }
        record.crowded = encoders.crowded();
        self.crowded.fetch_add(record.crowded, Ordering::Relaxed);
        if record.files.len() == part.len() {
            record.units = units.iter().enumerate().map(|(number, table)| (number, table.save())).collect();
            self.finished.add(record);
        }
        let mut gathered = self.gathered();
        gathered.units.iter_mut().zip(units).for_each(|(all, of_part)| all.merge(of_part));
        let all = &gathered.units;
        self.progress.units(&|line| all.iter().map(|table| table.over(line)).sum());
    }

    fn one(&self, source: &Source, encoders: &mut Encoders) -> Result<FileSummary, ArchiveError> {
        let units = |number: usize| UnitTable::new(self.step.against[number].baseline, 1.0);
        let result = score_file(source, &self.step, encoders, &units, self.progress);
        self.progress.advance_bytes(source.bytes());
        if let Err(error) = &result
            && !self.is_fatal(error)
        {
            self.progress.skipped(&source.path.display().to_string(), &error.to_string());
        }
        result
    }

    fn empty(&self) -> Vec<UnitTable> {
        self.gathered().units.iter().map(UnitTable::empty).collect()
    }

    fn is_fatal(&self, error: &ArchiveError) -> bool {
        self.strict || !error.is_input()
    }

    fn workers(&self) -> usize {
        let wished = match self.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            n => n,
        };
        wished.clamp(1, self.parts.len().max(1))
    }

    fn gathered(&self) -> MutexGuard<'_, Gathered> {
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
