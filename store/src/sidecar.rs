//! Sidecars: one row of scores per row of a source file (`docs/contracts.md` §4).

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Int32Type, UInt64Type};
use arrow_array::{Array, ArrayRef, DictionaryArray, Float32Array, Int32Array, RecordBatch, StringArray, UInt64Array};
use arrow_buffer::{BooleanBuffer, NullBuffer};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::file::metadata::KeyValue;

use crate::error::StoreError;
use crate::properties::{REASON_VIEWS, ROW_GROUP_ROWS, properties};
use crate::read::{ArchiveFile, DEFAULT_BATCH_ROWS};
use crate::whole::{WholeFile, complete, make_folders};
use crate::{META_BASELINE, META_FILTER, META_SCHEMA_VERSION, META_SOURCE_DIGEST, bits_f32};

const REASON_BITS: [&str; 3] = ["reason1_bits", "reason2_bits", "reason3_bits"];

/// The schema of a sidecar.
#[must_use]
pub fn sidecar_schema() -> SchemaRef {
    let mut fields = vec![
        Field::new("row", DataType::UInt64, false),
        Field::new("bits", DataType::Float32, false),
        Field::new("log2_n", DataType::Float32, false),
    ];
    for (view, bits) in REASON_VIEWS.into_iter().zip(REASON_BITS) {
        fields.push(Field::new(view, events::dictionary(), true));
        fields.push(Field::new(bits, DataType::Float32, true));
    }
    Arc::new(Schema::new(fields))
}

/// `OUT/scores/BASELINE/RELATIVE`, with `.parquet` behind what is not called so.
#[must_use]
pub fn sidecar_path(out: &Path, baseline: &str, relative: &str) -> PathBuf {
    out.join("scores").join(baseline).join(&*sidecar_name(relative))
}

/// What the sidecar of a file is called: it is Parquet, whatever the file is.
pub(crate) fn sidecar_name(relative: &str) -> Cow<'_, str> {
    match relative.ends_with(".parquet") || relative.ends_with(".pq") {
        true => relative.into(),
        false => format!("{relative}.parquet").into(),
    }
}

/// Writes the sidecar of one source file. Dropped without [`SidecarWriter::finish`], it leaves nothing.
pub struct SidecarWriter {
    path: PathBuf,
    parquet: ArrowWriter<WholeFile>,
    schema: SchemaRef,
    views: ArrayRef,
    rows: u64,
    waiting: Waiting,
}

/// Rows that wait for a full row group, so that a file's bytes do not depend on how its rows came in.
#[derive(Default)]
struct Waiting {
    numbers: Vec<u64>,
    bits: Vec<f32>,
    log2_n: Vec<f32>,
    /// By rank: numbers of views, −1 where there is none, and their bits.
    reasons: [(Vec<i32>, Vec<f32>); 3],
}

impl Waiting {
    /// One after the other, as the schema has them.
    fn columns(self, views: &ArrayRef) -> Vec<ArrayRef> {
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(UInt64Array::from(self.numbers)),
            Arc::new(Float32Array::from(self.bits)),
            Arc::new(Float32Array::from(self.log2_n)),
        ];
        for (numbers, bits) in self.reasons {
            let there = NullBuffer::new(BooleanBuffer::collect_bool(numbers.len(), |row| numbers[row] >= 0));
            let keys = Int32Array::new(numbers.into(), Some(there.clone()));
            columns.push(Arc::new(DictionaryArray::new(keys, views.clone())));
            columns.push(Arc::new(Float32Array::new(bits.into(), Some(there))));
        }
        columns
    }
}

impl SidecarWriter {
    /// A sidecar below the folder `out` for the file at `relative`; `views` are the names of the lens's views.
    ///
    /// # Errors
    /// [`StoreError::Write`] naming the path.
    pub fn create<S: AsRef<str>>(out: &Path, baseline: &str, relative: &str, views: &[S]) -> Result<Self, StoreError> {
        let path = sidecar_path(out, baseline, relative);
        let below = Path::new("scores").join(baseline).join(relative);
        make_folders(out, below.parent().unwrap_or(Path::new("")))?;
        let whole = WholeFile::replace(&path).map_err(|e| StoreError::write(&path, &e))?;
        let schema = sidecar_schema();
        let version = events::SCHEMA_VERSION.to_string();
        let meta = [(META_SCHEMA_VERSION, version.as_str()), (META_BASELINE, baseline)];
        let parquet = ArrowWriter::try_new(whole, schema.clone(), Some(properties(&schema, ROW_GROUP_ROWS, &meta)))
            .map_err(|e| StoreError::write_parquet(&path, &e))?;
        let views: ArrayRef = Arc::new(StringArray::from_iter_values(views.iter().map(AsRef::as_ref)));
        Ok(Self { path, parquet, schema, views, rows: 0, waiting: Waiting::default() })
    }

    /// Says in the footer which rows were taken.
    pub fn note_filter(&mut self, filter: &str) {
        self.parquet.append_key_value_metadata(KeyValue::new(META_FILTER.to_owned(), Some(filter.to_owned())));
    }

    /// Appends scores of the next rows: `bits` and `log2_n` in 1/1024 bit, one each per row. `reason(row, rank)` with
    /// rank 0 to 2 gives (index of the view, bits in 1/1024), or nothing when fewer views contribute. Rows are numbered on.
    ///
    /// # Errors
    /// [`StoreError::Write`] naming the path.
    ///
    /// # Panics
    /// When the slices differ in length, or a reason names a view that the sidecar was not made with.
    pub fn append(
        &mut self,
        bits: &[u32],
        log2_n: &[u16],
        reason: impl Fn(usize, usize) -> Option<(u16, u16)>,
    ) -> Result<(), StoreError> {
        let first = self.rows;
        self.append_numbered(|row| first + row as u64, bits, log2_n, reason)
    }

    /// As [`SidecarWriter::append`]; `number` gives the number of each row in the source, and rises.
    ///
    /// # Errors
    /// [`StoreError::Write`] naming the path.
    ///
    /// # Panics
    /// As [`SidecarWriter::append`].
    pub fn append_numbered(
        &mut self,
        number: impl Fn(usize) -> u64,
        bits: &[u32],
        log2_n: &[u16],
        reason: impl Fn(usize, usize) -> Option<(u16, u16)>,
    ) -> Result<(), StoreError> {
        assert_eq!(bits.len(), log2_n.len(), "one log2_n per row");
        let mut done = 0;
        while done < bits.len() {
            let room = ROW_GROUP_ROWS - self.waiting.bits.len();
            let next = (done + room).min(bits.len());
            self.waiting.numbers.extend((done..next).map(&number));
            self.waiting.bits.extend(bits[done..next].iter().map(|bits| bits_f32(*bits)));
            self.waiting.log2_n.extend(log2_n[done..next].iter().map(|log2_n| bits_f32((*log2_n).into())));
            for (rank, (views, of_views)) in self.waiting.reasons.iter_mut().enumerate() {
                for row in done..next {
                    let (view, bits) = reason(row, rank).map_or((-1, 0), |(view, bits)| (view.into(), bits));
                    views.push(view);
                    of_views.push(bits_f32(bits.into()));
                }
            }
            done = next;
            if self.waiting.bits.len() == ROW_GROUP_ROWS {
                self.flush()?;
            }
        }
        self.rows += bits.len() as u64;
        Ok(())
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        let columns = std::mem::take(&mut self.waiting).columns(&self.views);
        let batch = RecordBatch::try_new(self.schema.clone(), columns)
            .map_err(|e| StoreError::Write { path: self.path.clone(), why: e.to_string() })?;
        self.parquet.write(&batch).map_err(|e| StoreError::write_parquet(&self.path, &e))
    }

    /// Rows appended so far.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Completes the sidecar; `source_digest` is [`crate::Source::digest`] of the source. Returns its path.
    ///
    /// # Errors
    /// [`StoreError::Write`] naming the path.
    pub fn finish(mut self, source_digest: &str) -> Result<PathBuf, StoreError> {
        if !self.waiting.bits.is_empty() {
            self.flush()?;
        }
        let digest = KeyValue::new(META_SOURCE_DIGEST.to_owned(), Some(source_digest.to_owned()));
        self.parquet.append_key_value_metadata(digest);
        complete(self.parquet)?;
        Ok(self.path)
    }
}

/// A row of a sidecar; bits as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct SidecarRow {
    /// Row of the source.
    pub row: u64,
    /// Bits of all views.
    pub bits: f32,
    /// Rows like this are expected 1 in 2^log2_n.
    pub log2_n: f32,
    /// Up to three views with their bits, most first.
    pub reasons: Vec<(String, f32)>,
}

/// All rows of a sidecar, in order. For tools and tests: it holds the whole file in memory.
///
/// # Errors
/// As [`ArchiveFile::open`], and when a column is missing or of another type.
pub fn read_sidecar(path: &Path) -> Result<Vec<SidecarRow>, StoreError> {
    let file = ArchiveFile::open(path)?;
    let schema = sidecar_schema();
    crate::findings::check_schema(&file, &schema, "scores")?;
    let names: Vec<_> = schema.fields().iter().map(|f| f.name().as_str()).collect();
    let mut rows = Vec::new();
    for batch in file.batches(&names, DEFAULT_BATCH_ROWS)? {
        let batch = batch?;
        let floats = |at: usize| batch.column(at).as_primitive::<Float32Type>();
        let views: Vec<_> = (0..3)
            .map(|rank| batch.column(3 + 2 * rank).as_dictionary::<Int32Type>().downcast_dict::<StringArray>())
            .collect();
        for row in 0..batch.num_rows() {
            let mut reasons = Vec::new();
            for (rank, view) in views.iter().enumerate() {
                if let Some(view) = view.filter(|v| v.is_valid(row)) {
                    let name = view.values().value(view.keys().value(row) as usize);
                    reasons.push((name.to_owned(), floats(4 + 2 * rank).value(row)));
                }
            }
            let number = batch.column(0).as_primitive::<UInt64Type>().value(row);
            rows.push(SidecarRow { row: number, bits: floats(1).value(row), log2_n: floats(2).value(row), reasons });
        }
    }
    Ok(rows)
}
