//! Rows of any table, whoever wrote it: Parquet, JSON lines, CSV and Zeek's logs (docs/contracts.md §1, "Inputs", and §5).
//!
//! Of a text file only the wanted columns are kept, a batch at a time: memory is bounded by [`BATCH_BYTES`], the longest
//! line and the longest batch, whatever the file holds.

mod cells;
mod csv;
mod foreign;
mod format;
mod json;
mod lines;
mod time;
mod zeek;

use std::collections::{BTreeSet, VecDeque};
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{BooleanArray, RecordBatch};
use arrow_select::filter::filter_record_batch;

use crate::discover::Source;
use crate::error::StoreError;
use crate::guard::guarded;
use crate::ranges::{Ranged, Stream};
use crate::read::{ArchiveFile, Batches, Bounds, DEFAULT_BATCH_ROWS};
use cells::{Columns, Row};
use csv::Between;
use foreign::Resolved;
use format::format_of;
pub(crate) use format::is_table_name;
use lines::Bytes;

/// A batch of a text file ends early when its texts have this many bytes.
const BATCH_BYTES: usize = 32 << 20;
/// Rows of JSON lines that tell which columns a file has.
const FIRST_ROWS: usize = 1_000;
/// As many bytes of them do.
const FIRST_BYTES: usize = 4 << 20;
/// Between the items of a list where one text is wanted.
const JOINED_BY: &str = ",";

/// How the rows of a file are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Parquet.
    Parquet,
    /// One JSON object a line.
    JsonLines,
    /// Values between commas, below a header row.
    Csv,
    /// The same with tabs.
    Tsv,
    /// What Zeek writes itself.
    Zeek,
}

/// A column to read, and what for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Its name; in nested data a path with dots, if no column has the very name.
    pub column: String,
    /// What it is to be.
    pub form: Form,
    /// A row without it is an error.
    pub required: bool,
}

/// What a column is to be. Parquet's own types stay where they say the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A timestamp.
    Time,
    /// A text or number.
    Text,
    /// A list of texts, or one text.
    Words,
}

/// Why a text file cannot be read further.
enum Bad {
    /// A line that cannot be used.
    Line { line: u64, why: String },
    /// A column that is not there.
    Column(String),
    /// The file as a whole.
    File(String),
}

impl Bad {
    fn of(self, path: &Path) -> StoreError {
        let path = path.into();
        match self {
            Self::Line { line, why } => StoreError::Row { path, row: format!("line {line}"), why },
            Self::Column(column) => StoreError::MissingColumn { path, column, table: "of this lens".into() },
            Self::File(why) => StoreError::damaged(path.as_path(), why),
        }
    }
}

/// A file with rows of some table, of which it is known how it is written and which columns it has.
#[derive(Debug)]
pub struct TableFile {
    place: At,
    format: Format,
    parquet: Option<ArchiveFile>,
    names: BTreeSet<String>,
}

/// Where the bytes are.
#[derive(Debug, Clone)]
struct At {
    path: PathBuf,
    object: Option<Arc<dyn Ranged>>,
}

impl TableFile {
    /// Opens a file. The name tells the format (`.parquet`, `.pq`; `.jsonl`, `.ndjson`, `.json`; `.csv`; `.tsv`; text also
    /// with `.gz` or `.zst` behind, and with what rotation puts behind a name), else the first bytes do.
    ///
    /// # Errors
    /// Unreadable, damaged as far as it is looked at, or of no format that is known.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Self::of(At { path: path.into(), object: None })
    }

    /// As [`TableFile::open`], wherever the file is.
    ///
    /// # Errors
    /// As for [`TableFile::open`].
    pub fn open_source(source: &Source) -> Result<Self, StoreError> {
        Self::of(At { path: source.path.clone(), object: source.object.clone() })
    }

    fn of(place: At) -> Result<Self, StoreError> {
        let path = &place.path;
        // Opening a FIFO would wait for somebody to write to it.
        if place.object.is_none() && !std::fs::metadata(path).map_err(|e| StoreError::read(path, &e))?.is_file() {
            return Err(StoreError::Read { path: path.clone(), why: "it is not a regular file".to_owned() });
        }
        let format = format_of(&place)?;
        if format == Format::Parquet {
            let parquet = match &place.object {
                Some(object) => ArchiveFile::open_object(path, object)?,
                None => ArchiveFile::open(path)?,
            };
            let names = foreign::names(parquet.schema());
            return Ok(Self { place, format, parquet: Some(parquet), names });
        }
        let names = unpacked(&place).map(|bytes| guarded(|| names(format, bytes)));
        let names = names?.map_err(|panic| StoreError::damaged(path, panic))?.map_err(|bad| bad.of(path))?;
        Ok(Self { place, format, parquet: None, names })
    }

    /// Where the file is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.place.path
    }

    /// How its rows are written.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// Table, if the file itself says so: its footer, or the columns of one of Ebbline's own tables.
    #[must_use]
    pub fn table(&self) -> Option<&str> {
        self.parquet.as_ref()?.table()
    }

    /// Number of rows, if that is known without reading them.
    #[must_use]
    pub fn rows(&self) -> Option<u64> {
        self.parquet.as_ref().map(ArchiveFile::rows)
    }

    /// Every column, in nested data as paths with dots; of JSON lines those that the first rows have.
    #[must_use]
    pub fn columns(&self) -> &BTreeSet<String> {
        &self.names
    }

    /// Whether it is text without any rows or names of columns, as a log that was rotated a moment ago: it can be of any table.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        self.parquet.is_none() && self.names.is_empty()
    }

    /// Whether it has a column, or a path to one, in the top level or with dots.
    #[must_use]
    pub fn has(&self, column: &str) -> bool {
        match &self.parquet {
            Some(parquet) => foreign::has(parquet.schema(), column),
            None => self.names.contains(column),
        }
    }

    /// Batches of at most `batch_rows` rows of the wanted columns.
    ///
    /// # Errors
    /// When a column is missing that the format or the table must have; each batch can fail.
    pub fn batches(&self, wanted: &[Wanted], batch_rows: usize) -> Result<TableBatches, StoreError> {
        self.batches_in(wanted, batch_rows, None)
    }

    /// As [`TableFile::batches`], of some row groups alone, which must rise. Files that have none are read whole.
    ///
    /// # Errors
    /// As for [`TableFile::batches`].
    pub fn batches_in(
        &self,
        wanted: &[Wanted],
        batch_rows: usize,
        groups: Option<&[usize]>,
    ) -> Result<TableBatches, StoreError> {
        let path = self.path().to_path_buf();
        let Some(parquet) = &self.parquet else {
            let rows = Rows::open(&self.place, self.format, wanted)?;
            let (row, columns) = (Row::new(wanted.len()), Columns::new(wanted));
            let text = TextBatches { path, rows, row, columns, batch_rows, ended: false };
            return Ok(TableBatches { inner: Inner::Text(Box::new(text)), numbers: Numbers::all() });
        };
        let numbers = match groups {
            None => Numbers::all(),
            Some(groups) => {
                let all = parquet.groups();
                Numbers::of(groups.iter().filter_map(|group| all.get(*group).cloned()))
            }
        };
        if parquet.is_own() {
            let inner = Inner::Own(parquet.batches_in(&names_of(wanted), batch_rows, groups)?);
            return Ok(TableBatches { inner, numbers });
        }
        let resolved = Resolved::new(self.path(), parquet.schema(), wanted)?;
        let batches = parquet.batches_of(&resolved.paths(), batch_rows, groups)?;
        Ok(TableBatches { inner: Inner::Foreign { path, batches, resolved }, numbers })
    }

    /// How many row groups it has, if it has any: each can be read alone.
    #[must_use]
    pub fn groups(&self) -> Option<usize> {
        self.parquet.as_ref().map(|parquet| parquet.groups().len())
    }

    /// The number of the row after the last one of each row group.
    #[must_use]
    pub fn group_ends(&self) -> Option<Vec<u64>> {
        self.parquet.as_ref().map(|parquet| parquet.groups().into_iter().map(|rows| rows.end).collect())
    }

    /// What the footer says of a column: of each row group the least and the most.
    #[must_use]
    pub fn bounds(&self, column: &str) -> Option<Bounds> {
        self.parquet.as_ref()?.bounds(column)
    }

    /// The wanted columns of the given rows, which must rise. Text files are read up to the last of them.
    ///
    /// # Errors
    /// As for [`TableFile::batches`], and when the file has fewer rows.
    pub fn read_rows(&self, wanted: &[Wanted], rows: &[u64]) -> Result<RecordBatch, StoreError> {
        match &self.parquet {
            Some(parquet) if parquet.is_own() => parquet.read_rows(&names_of(wanted), rows),
            Some(parquet) => {
                let resolved = Resolved::new(self.path(), parquet.schema(), wanted)?;
                let batch = parquet.read_rows_of(&resolved.paths(), rows)?;
                let row = |at: usize| rows.get(at).copied().unwrap_or(0);
                resolved.batch(&batch, &row).map_err(|(row, why)| row_error(self.path(), row, why))
            }
            None => self.text_rows(wanted, rows),
        }
    }

    fn text_rows(&self, wanted: &[Wanted], rows: &[u64]) -> Result<RecordBatch, StoreError> {
        let (mut parts, mut first, mut left) = (Vec::new(), 0, rows);
        for batch in self.batches(wanted, DEFAULT_BATCH_ROWS)? {
            let batch = batch?;
            let next = first + batch.num_rows() as u64;
            let (here, later) = left.split_at(left.partition_point(|row| *row < next));
            let mask: BooleanArray = (first..next).map(|row| Some(here.binary_search(&row).is_ok())).collect();
            let failed = |e: arrow_schema::ArrowError| StoreError::damaged(self.path(), e.to_string());
            parts.push(filter_record_batch(&batch, &mask).map_err(failed)?);
            (first, left) = (next, later);
            if left.is_empty() {
                break;
            }
        }
        if let Some(row) = left.last() {
            let why = format!("row {row} asked for, the file has {first} (rows count from 0)");
            return Err(StoreError::Read { path: self.path().into(), why });
        }
        foreign::joined(&parts).map_err(|why| StoreError::damaged(self.path(), why))
    }
}

fn names_of(wanted: &[Wanted]) -> Vec<&str> {
    wanted.iter().map(|wanted| wanted.column.as_str()).collect()
}

fn row_error(path: &Path, row: u64, why: String) -> StoreError {
    StoreError::Row { path: path.into(), row: format!("row {row}"), why }
}

fn unpacked(At { path, object }: &At) -> Result<Bytes, StoreError> {
    let unpacked = match object {
        Some(object) => lines::unpacked(Stream::new(Arc::clone(object))),
        None => lines::unpacked(File::open(path).map_err(|e| StoreError::read(path, &e))?),
    };
    unpacked.map_err(|e| StoreError::damaged(path, e.to_string()))
}

fn names(format: Format, bytes: Bytes) -> Result<BTreeSet<String>, Bad> {
    Ok(match format {
        Format::JsonLines | Format::Parquet => json::names(bytes, FIRST_ROWS, FIRST_BYTES)?,
        Format::Csv => csv::header(bytes, Between::Commas)?.into_iter().collect(),
        Format::Tsv => csv::header(bytes, Between::Only(b'\t'))?.into_iter().collect(),
        Format::Zeek => zeek::header(bytes)?.into_iter().collect(),
    })
}

/// The rows of a text file.
enum Rows {
    Json(json::JsonRows),
    Csv(Box<csv::CsvRows>),
    Zeek(zeek::ZeekRows),
}

impl Rows {
    fn open(place: &At, format: Format, wanted: &[Wanted]) -> Result<Self, StoreError> {
        let (path, bytes) = (&place.path, unpacked(place)?);
        let rows = guarded(|| {
            Ok(match format {
                Format::JsonLines | Format::Parquet => Self::Json(json::JsonRows::new(bytes, wanted)),
                Format::Csv => Self::Csv(Box::new(csv::CsvRows::new(bytes, Between::Commas, wanted)?)),
                Format::Tsv => Self::Csv(Box::new(csv::CsvRows::new(bytes, Between::Only(b'\t'), wanted)?)),
                Format::Zeek => Self::Zeek(zeek::ZeekRows::new(bytes, wanted)?),
            })
        });
        rows.map_err(|panic| StoreError::damaged(path, panic))?.map_err(|bad: Bad| bad.of(path))
    }

    fn next(&mut self, row: &mut Row) -> Result<bool, Bad> {
        match self {
            Self::Json(rows) => rows.next(row),
            Self::Csv(rows) => rows.next(row),
            Self::Zeek(rows) => rows.next(row),
        }
    }

    fn line(&self) -> u64 {
        match self {
            Self::Json(rows) => rows.line(),
            Self::Csv(rows) => rows.line(),
            Self::Zeek(rows) => rows.line(),
        }
    }
}

/// Batches of a file; one that cannot be read is an error that names the place and ends the iteration.
pub struct TableBatches {
    inner: Inner,
    numbers: Numbers,
}

enum Inner {
    Own(Batches),
    Foreign { path: PathBuf, batches: Batches, resolved: Resolved },
    Text(Box<TextBatches>),
}

impl TableBatches {
    /// Where in the file the rows of the batch given last are, from 0; the ranges rise.
    #[must_use]
    pub fn rows(&self) -> &[Range<u64>] {
        &self.numbers.given
    }
}

impl Iterator for TableBatches {
    type Item = Result<RecordBatch, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = match &mut self.inner {
            Inner::Own(batches) | Inner::Foreign { batches, .. } => batches.next()?,
            Inner::Text(text) => text.next()?,
        };
        let batch = match batch {
            Ok(batch) => batch,
            Err(error) => return Some(Err(error)),
        };
        self.numbers.take(batch.num_rows() as u64);
        let Inner::Foreign { path, resolved, .. } = &self.inner else { return Some(Ok(batch)) };
        let batch = resolved.batch(&batch, &|at| self.numbers.number(at as u64));
        Some(batch.map_err(|(row, why)| row_error(path, row, why)))
    }
}

/// The numbers of rows that are read one after the other.
struct Numbers {
    left: VecDeque<Range<u64>>,
    given: Vec<Range<u64>>,
}

impl Numbers {
    fn of(rows: impl Iterator<Item = Range<u64>>) -> Self {
        Self { left: rows.collect(), given: Vec::new() }
    }

    fn all() -> Self {
        Self::of(std::iter::once(0..u64::MAX))
    }

    fn take(&mut self, mut rows: u64) {
        self.given.clear();
        while rows > 0
            && let Some(first) = self.left.front_mut()
        {
            let taken = rows.min(first.end - first.start);
            self.given.push(first.start..first.start + taken);
            first.start += taken;
            rows -= taken;
            if first.is_empty() {
                self.left.pop_front();
            }
        }
    }

    /// Of a row of the batch given last.
    fn number(&self, mut row: u64) -> u64 {
        for range in &self.given {
            let rows = range.end - range.start;
            if row < rows {
                return range.start + row;
            }
            row -= rows;
        }
        0
    }
}

struct TextBatches {
    path: PathBuf,
    rows: Rows,
    row: Row,
    columns: Columns,
    batch_rows: usize,
    ended: bool,
}

impl TextBatches {
    fn next(&mut self) -> Option<Result<RecordBatch, StoreError>> {
        if self.ended {
            return None;
        }
        let Self { rows, row, columns, batch_rows, .. } = self;
        let filled = guarded(|| fill(rows, row, columns, *batch_rows));
        let batch = match filled {
            Ok(Ok(more)) => {
                self.ended = !more;
                self.columns.take().map_err(|why| StoreError::damaged(&self.path, why))
            }
            Ok(Err(bad)) => Err(bad.of(&self.path)),
            Err(panic) => Err(StoreError::damaged(&self.path, panic)),
        };
        self.ended |= batch.is_err();
        match batch {
            Ok(batch) if batch.num_rows() == 0 => None,
            batch => Some(batch),
        }
    }
}

/// Reads rows until a batch is full; false at the end of the file.
fn fill(rows: &mut Rows, row: &mut Row, columns: &mut Columns, batch_rows: usize) -> Result<bool, Bad> {
    while columns.rows() < batch_rows && columns.bytes() < BATCH_BYTES {
        if !rows.next(row)? {
            return Ok(false);
        }
        columns.push(row).map_err(|why| Bad::Line { line: rows.line(), why })?;
    }
    Ok(true)
}
