//! One run over the inputs: parts in parallel, what they give merged as it comes.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use model::units::UnitTable;
use store::Source;

use crate::Progress;
use crate::error::ArchiveError;
use crate::file::{Encoders, FileSummary, Step, score_file};
use crate::finished::{Finished, FinishedFile, FinishedPart};
use crate::inputs::Inputs;

/// What became of one input.
pub(crate) struct Done {
    pub(crate) table: String,
    pub(crate) rows: u64,
    pub(crate) digest: String,
    pub(crate) hosts: BTreeSet<Option<String>>,
    pub(crate) times: Option<(i64, i64)>,
    /// Numbers of the baselines it was scored against.
    pub(crate) by: Vec<usize>,
}

/// What a run has gathered: of every input, by its number, and the units of every baseline.
pub(crate) struct Gathered {
    pub(crate) inputs: Vec<Option<Result<Done, ArchiveError>>>,
    pub(crate) units: Vec<UnitTable>,
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
    ) -> Self {
        let units = step.against.iter().map(|against| UnitTable::new(against.baseline, 1.0)).collect();
        let gathered = Gathered { inputs: inputs.todo.iter().map(|_| None).collect(), units };
        let (crowded, gathered) = (AtomicU64::new(0), Mutex::new(gathered));
        Self { inputs, parts, step, strict, threads, progress, finished, crowded, gathered }
    }

    /// Scores all files, each part by one worker. Workers are plain threads: a rayon task that waits for a shared GPU could
    /// be handed a second file and wait for itself.
    pub(crate) fn run(self) -> Result<(Gathered, u64), ArchiveError> {
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

fn split(summary: FileSummary) -> (Done, Vec<(usize, UnitTable)>) {
    let FileSummary { table, rows, digest, hosts, times, units, .. } = summary;
    let by = units.iter().map(|(number, _)| *number).collect();
    (Done { table, rows, digest, hosts, times, by }, units)
}
