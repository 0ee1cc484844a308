//! Learning from archive files.

mod parts;

use std::cell::Cell;
use std::path::Path;
use std::sync::mpsc::{SyncSender, sync_channel};
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
use crate::remaining::Remaining;
use crate::rows::{Numbers, Rows};
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
    let sources = tables::discover(sources, lenses.iter(), &options.settings, &options.filter, progress)?;
    let key = match options.key.clone().or_else(|| counter.and_then(Counter::key)) {
        Some(key) => key,
        None => HashKey::generate()
            .map_err(|e| ArchiveError::Learn(format!("no hash key: the system's randomness: {e}")))?,
    };
    let counter = counter.map(|counter| (counter, options.onto.as_ref().map_or(&key, |onto| onto.hash_key())));
    let at_once = Files::at_once(&sources, &lenses, options);
    let learned: Option<Result<_, ArchiveError>> =
        at_once.map(|files| Ok((from(&files, &key, options, counter, progress)?, files)));
    let (baseline, files) = match learned {
        Some(Err(error @ ArchiveError::Elsewhere(_))) => return Err(error),
        Some(Ok(learned)) => learned,
        Some(Err(_)) | None => {
            let files = Files::check(sources, lenses, options, progress)?;
            (from(&files, &key, options, counter, progress)?, files)
        }
    };
    Ok(Learned {
        baseline,
        rows: rows(&files.good),
        files: files.good.len(),
        skipped: files.skipped,
        wall_seconds: clock.elapsed().as_secs_f64(),
    })
}

/// Learns what the files have.
fn from(
    files: &Files,
    key: &HashKey,
    options: &LearnOptions,
    counter: Option<(&dyn Counter, &HashKey)>,
    progress: &dyn Progress,
) -> Result<Baseline, ArchiveError> {
    let tables = files.tables();
    let lenses: Vec<Lens> =
        files.lenses.iter().filter(|lens| tables.iter().any(|table| table == lens.table())).cloned().collect();
    let stage = |stage: LearnStage, _rows: u64| progress.stage(stage_words(stage));
    let mut feed = Feed::new(files, progress);
    if let Some((counter, key)) = counter {
        feed.counts = Mutex::new(parts::counts(files, counter, key)?);
    }
    let learned = match options.onto.clone() {
        Some(earlier) => model::learn::learn_onto(earlier, &lenses, &feed, &stage),
        None => model::learn::learn(&lenses, key.clone(), &feed, &stage),
    };
    match (learned, files.failure()) {
        (_, Some(error)) => Err(error),
        (Err(error), None) => Err(ArchiveError::Learn(error.to_string())),
        (Ok(baseline), None) => Ok(baseline),
    }
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

/// Files that are whole, so that a damaged one teaches nothing at all.
struct Files {
    lenses: Vec<Lens>,
    filter: Filter,
    good: Vec<Good>,
    skipped: Vec<InputSkipped>,
    failure: Mutex<Option<ArchiveError>>,
}

impl Files {
    /// All files, if their footers say enough to begin: all are Parquet, of tables that a lens reads, and all rows are
    /// taken. What is damaged all the same ends learning, and then files are checked one by one before it begins again.
    fn at_once(sources: &[Source], lenses: &[Lens], options: &LearnOptions) -> Option<Self> {
        use rayon::prelude::*;
        if !options.filter.is_all() {
            return None;
        }
        let good: Option<Vec<Option<Good>>> = sources.par_iter().map(|source| look(source, lenses)).collect();
        let good: Vec<Good> = good?.into_iter().flatten().collect();
        if rows(&good) == 0 {
            return None;
        }
        let (filter, skipped, failure) = (options.filter.clone(), Vec::new(), Mutex::new(None));
        Some(Self { lenses: lenses.to_vec(), filter, good, skipped, failure })
    }

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

/// What the footer of a file says: nothing if it is not enough, none if the file is passed over.
fn look(source: &Source, lenses: &[Lens]) -> Option<Option<Good>> {
    let file = TableFile::open_source(source).ok()?;
    let (rows, table) = (file.rows()?, tables::table_of(&file, lenses.iter()).ok()?);
    if table == events::HEARTBEAT {
        return Some(None);
    }
    lenses.iter().find(|lens| lens.table() == table)?;
    Some(Some(Good { source: source.clone(), table, rows }))
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
    rest_from: Cell<Option<i64>>,
    /// What others have counted; if anything, of all tables.
    counts: Mutex<Counts>,
}

impl<'a> Feed<'a> {
    fn new(files: &'a Files, progress: &'a dyn Progress) -> Self {
        Self { files, progress, rest_from: Cell::new(None), counts: Mutex::default() }
    }
}

/// Some rows, and a time before which none of those after them is.
type Item = Result<(RecordBatch, Option<i64>), ArchiveError>;

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
        let read = std::thread::scope(|scope| {
            let (send, receive) = sync_channel(2);
            scope.spawn(move || read(&files, lens, filter, &send));
            receive.into_iter().try_for_each(|item| self.take(item, f))
        });
        self.rest_from.set(None);
        read
    }

    fn rows(&self, table: &str) -> Option<u64> {
        Some(rows(self.files.good.iter().filter(|file| file.table == table)))
    }

    fn rest_from(&self) -> Option<i64> {
        self.rest_from.get()
    }
}

impl Feed<'_> {
    fn take(&self, item: Item, f: &mut dyn FnMut(&RecordBatch) -> Result<(), LearnError>) -> Result<(), LearnError> {
        match item {
            Ok((batch, rest_from)) => {
                self.rest_from.set(rest_from);
                f(&batch)?;
                self.progress.advance(batch.num_rows() as u64);
                Ok(())
            }
            Err(error) => {
                let why = error.to_string();
                *self.files.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                Err(LearnError::Source(why.into()))
            }
        }
    }
}

/// Decodes ahead of the counting; ends early when nobody listens any more, or a file cannot be read.
fn read(files: &[&Good], lens: &Lens, filter: &Filter, send: &SyncSender<Item>) {
    let remaining = Remaining::of(files.iter().map(|file| &file.source), lens);
    for (number, file) in files.iter().enumerate() {
        for batch in batches(&file.source, lens, filter) {
            let item = batch.map(|(batch, numbers)| {
                let last = batch.num_rows().checked_sub(1).map_or(0, |last| numbers.of(last));
                let rest_from = remaining.after(number, last);
                (batch, rest_from)
            });
            let failed = item.is_err();
            if send.send(item).is_err() || failed {
                return;
            }
        }
    }
}

type Batches = Box<dyn Iterator<Item = Result<(RecordBatch, Numbers), ArchiveError>>>;

/// The rows of a file that pass; a failure to open is its only item.
fn batches(source: &Source, lens: &Lens, filter: &Filter) -> Batches {
    let file = TableFile::open_source(source).map_err(ArchiveError::from);
    match file.and_then(|file| Rows::open(&file, lens, filter)) {
        Ok(rows) => Box::new(rows),
        Err(error) => Box::new(std::iter::once(Err(error))),
    }
}
