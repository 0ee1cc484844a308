//! Learning from archive files.

mod parts;

use std::path::Path;
use std::sync::mpsc::sync_channel;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use arrow_array::{Array, RecordBatch};
use model::learn::{LearnError, LearnStage, RowSource};
use model::{Baseline, Encoder, HashKey, Lens, builtin};
use store::{InputSkipped, Source, TableFile};

use self::parts::Counts;
pub use self::parts::{Counter, count_part};

use crate::Progress;
use crate::error::ArchiveError;
use crate::filter::Filter;
use crate::rows::Rows;
use crate::tables::{self, Known};

/// How to learn.
#[derive(Debug, Clone, Default)]
pub struct LearnOptions {
    /// Fail on the first input that cannot be learned.
    pub strict: bool,
    /// Hash under this key instead of a fresh one, so that two baselines can be compared and joined.
    pub key: Option<HashKey>,
    /// Learn onto this baseline: the result is the union, and each new day is scored against the days before it.
    pub onto: Option<Baseline>,
    /// Lenses instead of the built-in ones, one per table at most.
    pub lenses: Option<Vec<Lens>>,
    /// Settings of the stores that sources name by URL, as KEY and VALUE.
    pub settings: Vec<(String, String)>,
    /// Which rows teach.
    pub filter: Filter,
}

/// What was learned.
#[derive(Debug)]
pub struct Learned {
    /// The baseline, not saved yet.
    pub baseline: Baseline,
    /// Rows, over all tables.
    pub rows: u64,
    /// Files they came from.
    pub files: usize,
    /// Files that were not learned from.
    pub skipped: Vec<InputSkipped>,
    /// Wall time.
    pub wall_seconds: f64,
}

/// Learns a baseline from every file of the sources, with the lenses of the tables that occur. Files are read in the order
/// of their paths, so that those of one table, host and hour follow each other, by one encoder a table and pass.
///
/// # Errors
/// When nothing is found or learned, or `strict` meets a bad input.
pub fn learn<P: AsRef<Path>>(
    sources: &[P],
    options: &LearnOptions,
    progress: &dyn Progress,
) -> Result<Learned, ArchiveError> {
    learn_by(None, sources, options, progress)
}

/// As [`learn`], where `counter` has the rows counted by other processes.
///
/// # Errors
/// As for [`learn`], and those of the counter.
pub fn learn_by<P: AsRef<Path>>(
    counter: Option<&dyn Counter>,
    sources: &[P],
    options: &LearnOptions,
    progress: &dyn Progress,
) -> Result<Learned, ArchiveError> {
    let clock = Instant::now();
    let lenses = lenses_of(options);
    let files = Files::check(
        tables::discover(sources, lenses.iter(), &options.settings, &options.filter, progress)?,
        lenses,
        options,
        progress,
    )?;
    let lenses: Vec<Lens> =
        files.lenses.iter().filter(|lens| files.tables().iter().any(|t| t == lens.table())).cloned().collect();
    let key = match options.key.clone().or_else(|| counter.and_then(Counter::key)) {
        Some(key) => key,
        None => HashKey::generate()
            .map_err(|e| ArchiveError::Learn(format!("no hash key: the system's randomness: {e}")))?,
    };
    let stage = |stage: LearnStage, _rows: u64| progress.stage(stage_words(stage));
    let mut feed = Feed::new(&files, progress);
    if let Some(counter) = counter {
        let key = options.onto.as_ref().map_or(&key, |onto| onto.hash_key());
        feed.counts = Mutex::new(parts::counts(&files, counter, key)?);
    }
    let learned = match options.onto.clone() {
        Some(earlier) => model::learn::learn_onto(earlier, &lenses, &feed, &stage),
        None => model::learn::learn(&lenses, key, &feed, &stage),
    };
    let baseline = match (learned, files.failure()) {
        (_, Some(error)) => return Err(error),
        (Err(error), None) => return Err(ArchiveError::Learn(error.to_string())),
        (Ok(baseline), None) => baseline,
    };
    Ok(Learned {
        baseline,
        rows: rows(&files.good),
        files: files.good.len(),
        skipped: files.skipped,
        wall_seconds: clock.elapsed().as_secs_f64(),
    })
}

/// The lenses to learn with: what is learned onto has its own, whatever else is given for their tables.
fn lenses_of(options: &LearnOptions) -> Vec<Lens> {
    let mut lenses: Vec<Lens> = options.onto.iter().flat_map(Baseline::lenses).cloned().collect();
    let others = options.lenses.clone().unwrap_or_else(builtin::all);
    for lens in others {
        if lenses.iter().all(|known| known.table() != lens.table()) {
            lenses.push(lens);
        }
    }
    lenses
}

fn stage_words(stage: LearnStage) -> &'static str {
    match stage {
        LearnStage::Count => "counting",
        LearnStage::Compile => "compiling",
        LearnStage::Sample => "sampling",
        LearnStage::Calibrate => "calibrating",
    }
}

struct Good {
    source: Source,
    table: String,
    rows: u64,
}

/// Rows of files, by their footers, which can say anything.
fn rows<'a>(files: impl IntoIterator<Item = &'a Good>) -> u64 {
    files.into_iter().fold(0, |sum, file| sum.saturating_add(file.rows))
}

/// Files that were read through once, so that a damaged one teaches nothing at all.
struct Files {
    lenses: Vec<Lens>,
    filter: Filter,
    good: Vec<Good>,
    skipped: Vec<InputSkipped>,
    failure: Mutex<Option<ArchiveError>>,
}

impl Files {
    fn check(
        sources: Vec<Source>,
        lenses: Vec<Lens>,
        options: &LearnOptions,
        progress: &dyn Progress,
    ) -> Result<Self, ArchiveError> {
        use rayon::prelude::*;
        progress.stage("checking");
        let filter = &options.filter;
        let known = Mutex::new(Known::of(filter));
        let checked: Vec<_> = sources.par_iter().map(|source| check(source, &lenses, filter, &known)).collect();
        let (good, skipped, failure) = (Vec::new(), Vec::new(), Mutex::new(None));
        let mut this = Self { lenses, filter: filter.clone(), good, skipped, failure };
        let (mut passed_over, looked_at) = (sources.is_empty(), !sources.is_empty());
        for (source, result) in sources.into_iter().zip(checked) {
            match result {
                Ok(None) => {} // counters of the agent
                Ok(Some((_, 0))) if !filter.is_all() => passed_over = true,
                Ok(Some((table, rows))) => this.good.push(Good { source, table, rows }),
                Err(error) if options.strict => return Err(error),
                Err(error) => {
                    let (path, reason) = (source.path.display().to_string(), error.to_string());
                    progress.skipped(&path, &reason);
                    this.skipped.push(InputSkipped { path, reason });
                }
            }
        }
        if !this.good.is_empty() || (passed_over && looked_at) {
            known.into_inner().unwrap_or_else(PoisonError::into_inner).check()?;
        }
        match (this.good.len(), this.skipped.len()) {
            (0, 0) if passed_over => Err(ArchiveError::NothingPasses(filter.text())),
            (0, 0) => Err(ArchiveError::NothingToDo),
            (0, skipped) => Err(ArchiveError::AllSkipped(skipped)),
            _ => Ok(this),
        }
    }

    fn tables(&self) -> Vec<String> {
        // A file without rows says nothing of its table, and may be of another one.
        let filled = self.good.iter().filter(|file| file.rows > 0);
        let mut tables: Vec<String> = filled.map(|file| file.table.clone()).collect();
        tables.sort();
        tables.dedup();
        tables
    }

    fn failure(&self) -> Option<ArchiveError> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Table and rows of a file that can be decoded to its end and fits the lens of its table.
fn check(
    source: &Source,
    lenses: &[Lens],
    filter: &Filter,
    known: &Mutex<Known<'_>>,
) -> Result<Option<(String, u64)>, ArchiveError> {
    let path = &source.path;
    let file = TableFile::open_source(source)?;
    let table = tables::table_of(&file, lenses.iter())?;
    if table == events::HEARTBEAT {
        return Ok(None);
    }
    known.lock().unwrap_or_else(PoisonError::into_inner).look(&file);
    let no_lens = |why: String| ArchiveError::NoLens { path: path.clone(), why };
    let lens = lenses.iter().find(|lens| lens.table() == table);
    let lens = lens.ok_or_else(|| no_lens(format!("there is no lens for table {table}")))?;
    let mut encoder = Encoder::new(lens, &HashKey([0; 32]));
    let (mut types_known, mut rows) = (false, 0);
    for batch in Rows::open(&file, lens, filter)? {
        let (batch, _) = batch?;
        rows += batch.num_rows() as u64;
        // All batches of a file have its types, so the first one shows them; only a time may be missing later.
        let timed = batch.column_by_name(lens.time_column()).is_some_and(|time| time.null_count() == 0);
        if !(types_known && timed) {
            encoder.encode(&batch).map_err(|e| ArchiveError::encode(path, &e))?;
            types_known = true;
        }
    }
    Ok(Some((table, rows)))
}

/// The files as a source of rows that can be read again and again.
struct Feed<'a> {
    files: &'a Files,
    progress: &'a dyn Progress,
    /// What others have counted; if anything, of all tables.
    counts: Mutex<Counts>,
}

impl<'a> Feed<'a> {
    fn new(files: &'a Files, progress: &'a dyn Progress) -> Self {
        Self { files, progress, counts: Mutex::default() }
    }
}

impl RowSource for Feed<'_> {
    fn tables(&self) -> Vec<String> {
        self.files.tables()
    }

    fn counted(&self, table: &str) -> Option<Vec<model::Partial>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).remove(table)
    }

    fn for_each(
        &self,
        table: &str,
        f: &mut dyn FnMut(&RecordBatch) -> Result<(), LearnError>,
    ) -> Result<(), LearnError> {
        let lens = self.files.lenses.iter().find(|lens| lens.table() == table);
        let Some(lens) = lens else { return Ok(()) };
        let filter = &self.files.filter;
        let files: Vec<&Good> = self.files.good.iter().filter(|file| file.table == table).collect();
        self.progress.total(rows(files.iter().copied()));
        self.progress.total_bytes(files.iter().fold(0, |sum, file| sum.saturating_add(file.source.bytes())));
        std::thread::scope(|scope| {
            let (send, receive) = sync_channel(2);
            scope.spawn(move || {
                for file in files {
                    for batch in batches(&file.source, lens, filter) {
                        let failed = batch.is_err();
                        if send.send(batch).is_err() || failed {
                            return;
                        }
                    }
                }
            });
            while let Ok(batch) = receive.recv() {
                match batch {
                    Ok(batch) => {
                        f(&batch)?;
                        self.progress.advance(batch.num_rows() as u64);
                    }
                    Err(error) => {
                        let why = error.to_string();
                        *self.files.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                        return Err(LearnError::Source(why.into()));
                    }
                }
            }
            Ok(())
        })
    }
}

type Batches = Box<dyn Iterator<Item = Result<RecordBatch, ArchiveError>>>;

/// The rows of a file that pass; a failure to open is its only item.
fn batches(source: &Source, lens: &Lens, filter: &Filter) -> Batches {
    let file = TableFile::open_source(source).map_err(ArchiveError::from);
    match file.and_then(|file| Rows::open(&file, lens, filter)) {
        Ok(rows) => Box::new(rows.map(|batch| Ok(batch?.0))),
        Err(error) => Box::new(std::iter::once(Err(error))),
    }
}
