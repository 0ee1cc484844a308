//! A run over many files: each is read, put in order, told as events and written whole, or skipped.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use archive::{Filter, Known, Numbers, Progress};
use arrow_array::cast::AsArray;
use arrow_array::types::UInt64Type;
use arrow_array::{BooleanArray, RecordBatch, UInt64Array};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};
use arrow_select::filter::filter_record_batch;
use store::{Source, TableFile};

use crate::columns::{Rows, Struct, at, texts};
use crate::error::ExportError;
use crate::event::{Class, row_id};
use crate::lake::{Partition, Parts, day_of, name_of};
use crate::order::{Order, times};
use crate::{Counts, dns, network, process};

/// Rows read at a time; a row may be late by as many.
const BATCH_ROWS: usize = 16_384;
/// A source whose rows jump back in time more often is skipped: each time takes a file, open until all are whole.
const MOST_PARTS: usize = 256;
/// Name of the column that holds the rows' numbers on their way.
const ROW: &str = "row of the file";

/// What a run goes by.
pub(crate) struct Job<'a> {
    pub(crate) out: &'a Path,
    pub(crate) partition: &'a Partition,
    pub(crate) strict: bool,
    pub(crate) filter: &'a Filter,
    pub(crate) progress: &'a dyn Progress,
}

/// What became of each source, by its number.
type Done = Vec<(usize, Result<Counts, ExportError>)>;

impl Job<'_> {
    /// Exports all sources, by so many threads, and returns what became of them in their order.
    pub(crate) fn run(&self, sources: &[Source], threads: usize) -> Done {
        let (next, stop, done) = (AtomicUsize::new(0), AtomicBool::new(false), Mutex::new(Vec::new()));
        std::thread::scope(|scope| {
            for _ in 0..threads.clamp(1, sources.len().max(1)) {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        let Some(source) = sources.get(number) else { break };
                        let result = self.source(source);
                        if result.as_ref().is_err_and(|error| self.is_fatal(error)) {
                            stop.store(true, Ordering::Relaxed);
                        }
                        done.lock().unwrap_or_else(PoisonError::into_inner).push((number, result));
                    }
                });
            }
        });
        let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
        done.sort_by_key(|(number, _)| *number);
        done
    }

    pub(crate) fn is_fatal(&self, error: &ExportError) -> bool {
        self.strict || !error.is_input()
    }

    fn source(&self, source: &Source) -> Result<Counts, ExportError> {
        let file = TableFile::open_source(source)?;
        let table = Table::of(&file)?;
        let parts = Parts::new(self.out, self.partition, table.class, name_of(&source.relative));
        let mut one = One { source, table, parts, counts: Counts::default() };
        let known = one.table.schema.fields().iter().map(|field| field.name().as_str());
        let names: Vec<&str> = known.filter(|name| file.has(name)).collect();
        let (mut order, mut done) = (Order::default(), 0);
        for batch in archive::Rows::of_own(&file, (one.table.name, &names), self.filter, BATCH_ROWS)? {
            let (batch, numbers) = batch?;
            let numbered = numbered(&batch, &numbers).map_err(|error| one.columns(&error))?;
            let ready = order.push(&numbered).map_err(|error| one.columns(&error))?;
            ready.map_or(Ok(()), |ready| one.write(&ready))?;
            done += batch.num_rows() as u64;
            self.progress.advance(batch.num_rows() as u64);
        }
        self.progress.advance(file.rows().unwrap_or(done).saturating_sub(done));
        order.rest().map_or(Ok(()), |rest| one.write(&rest))?;
        one.finish()
    }
}

/// A table of Ebbline's own, and the class of its rows.
#[derive(Clone)]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    class: Class,
    schema: SchemaRef,
}

impl Table {
    pub(crate) fn of(file: &TableFile) -> Result<Self, ExportError> {
        let none = |why: String| Err(ExportError::NoClass { path: file.path().into(), why });
        match file.table() {
            Some(events::PROCESS) => {
                Ok(Self { name: events::PROCESS, class: Class::ProcessActivity, schema: events::process_schema() })
            }
            Some(events::CONNECTION) => Ok(Self {
                name: events::CONNECTION,
                class: Class::NetworkActivity,
                schema: events::connection_schema(),
            }),
            Some(events::DNS) => {
                Ok(Self { name: events::DNS, class: Class::DnsActivity, schema: events::dns_schema() })
            }
            Some(other) => none(format!("table {other} is none of process, connection and dns")),
            None => none("it holds no table of Ebbline's own; only what the agent wrote is exported".to_owned()),
        }
    }

    fn events(&self, rows: &Rows<'_>, ids: arrow_array::ArrayRef) -> Result<Struct, ArrowError> {
        match self.class {
            Class::NetworkActivity => network::events(rows, &self.schema, ids),
            Class::DnsActivity => dns::events(rows, &self.schema, ids),
            Class::ProcessActivity | Class::DetectionFinding => process::events(rows, &self.schema, ids),
        }
    }

    /// Why each row is no event; nothing if it is one.
    fn left_out(&self, rows: &Rows<'_>) -> Result<Vec<Option<&'static str>>, ArrowError> {
        let all = 0..rows.len();
        Ok(match self.class {
            Class::NetworkActivity => all.map(network::left_out(rows)?).collect(),
            Class::DnsActivity => all.map(|_| None).collect(),
            Class::ProcessActivity | Class::DetectionFinding => all.map(process::left_out(rows)?).collect(),
        })
    }
}

/// The batch with the number of each row in the file.
fn numbered(batch: &RecordBatch, numbers: &Numbers) -> Result<RecordBatch, ArrowError> {
    let mut fields: Vec<Arc<Field>> = batch.schema().fields().to_vec();
    fields.push(Arc::new(Field::new(ROW, DataType::UInt64, false)));
    let mut columns = batch.columns().to_vec();
    columns.push(Arc::new(UInt64Array::from_iter_values((0..batch.num_rows()).map(|row| numbers.of(row)))));
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}

/// A source in work.
struct One<'a> {
    source: &'a Source,
    table: Table,
    parts: Parts<'a>,
    counts: Counts,
}

impl One<'_> {
    fn columns(&self, error: &ArrowError) -> ExportError {
        ExportError::Columns { path: self.source.path.clone(), why: error.to_string() }
    }

    /// Writes rows that are in order.
    fn write(&mut self, rows: &RecordBatch) -> Result<(), ExportError> {
        let kept = self.keep(rows).map_err(|error| self.columns(&error))?;
        let days: Vec<i64> =
            times(&kept).map_err(|error| self.columns(&error))?.iter().map(|time| day_of(*time)).collect();
        let mut from = 0;
        for run in days.chunk_by(|a, b| a == b) {
            let day = kept.slice(from, run.len());
            from += run.len();
            let (events, span) = self.events(&day).map_err(|error| self.columns(&error))?;
            self.parts.write(&events, run[0], span)?;
            if self.parts.count() > MOST_PARTS {
                return Err(ExportError::Order { path: self.source.path.clone(), most: MOST_PARTS });
            }
            *self.counts.events.entry(self.table.class).or_default() += events.num_rows() as u64;
        }
        Ok(())
    }

    /// The rows that are events; others are counted.
    fn keep(&mut self, batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let rows = Rows::new(batch);
        let why = self.table.left_out(&rows)?;
        if why.iter().all(Option::is_none) {
            return Ok(batch.clone());
        }
        let activity = rows.text("activity")?;
        for (row, why) in why.iter().enumerate() {
            if let Some(why) = why {
                let activity = at(&activity, row).unwrap_or_default().to_owned();
                *self.counts.left_out.entry((self.table.name, activity, *why)).or_default() += 1;
            }
        }
        filter_record_batch(batch, &why.iter().map(|why| Some(why.is_none())).collect::<BooleanArray>())
    }

    /// Rows of one day as events, with their first and last time.
    fn events(&self, batch: &RecordBatch) -> Result<(RecordBatch, (i64, i64)), ArrowError> {
        let span = times(batch)?;
        let span = (span.first().copied().unwrap_or_default(), span.last().copied().unwrap_or_default());
        let numbers = batch.column_by_name(ROW).and_then(|rows| rows.as_primitive_opt::<UInt64Type>());
        let numbers = numbers.ok_or_else(|| ArrowError::SchemaError("rows without numbers".to_owned()))?;
        let relative = &self.source.relative;
        let ids = texts(numbers.len(), |row| Some(row_id(relative, numbers.value(row))));
        Ok((self.table.events(&Rows::new(batch), ids)?.batch()?, span))
    }

    fn finish(self) -> Result<Counts, ExportError> {
        let Self { parts, mut counts, table, .. } = self;
        let (files, bytes) = parts.commit()?;
        if files > 0 {
            counts.files.insert(table.class, (files, bytes));
        }
        Ok(counts)
    }
}

/// The sources that hold events, how many rows they have, and those that cannot be used, with the reason.
pub(crate) fn look(sources: Vec<Source>, known: &mut Known<'_>) -> (Vec<Source>, u64, Vec<(PathBuf, ExportError)>) {
    let (mut todo, mut rows, mut bad) = (Vec::new(), 0u64, Vec::new());
    for source in sources {
        let file = TableFile::open_source(&source).map_err(ExportError::from);
        match file.and_then(|file| rows_of(&file, known)) {
            Ok(None) => {} // counters of the agent: no events, nothing wrong
            Ok(Some(more)) => {
                rows = rows.saturating_add(more); // a footer can say anything
                todo.push(source);
            }
            Err(error) => bad.push((source.path, error)),
        }
    }
    (todo, rows, bad)
}

/// How many rows a file has; nothing if they are counters.
fn rows_of(file: &TableFile, known: &mut Known<'_>) -> Result<Option<u64>, ExportError> {
    if file.table() == Some(events::HEARTBEAT) {
        return Ok(None);
    }
    Table::of(file)?;
    known.look(file);
    Ok(Some(file.rows().unwrap_or(0)))
}

/// Sums by reason, for tables and activities.
pub(crate) type LeftOut = BTreeMap<(&'static str, String, &'static str), u64>;
