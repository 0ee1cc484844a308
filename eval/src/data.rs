//! Rows of a set in memory: read, ordered, chosen.

use std::path::Path;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampNanosecondType};
use arrow_array::{ArrayRef, RecordBatch, StringArray, UInt32Array};
use arrow_cast::cast;
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use arrow_select::concat::concat_batches;
use arrow_select::take::take_record_batch;
use model::learn::{LearnError, RowSource};
use sha2::{Digest, Sha256};
use store::ArchiveFile;

use crate::error::EvalError;

/// Rows handed on at a time.
pub(crate) const BATCH_ROWS: usize = 65_536;

/// A set, whole, with its name for messages.
pub(crate) struct Rows {
    pub(crate) set: String,
    pub(crate) batch: RecordBatch,
}

/// How a column is read that is not as it should be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum ReadAs {
    /// Empty text says that there is nothing.
    EmptyIsNull,
    /// Text that holds whole numbers.
    Number,
}

/// Reads the columns of a file, and digests it.
pub(crate) fn read(set: &str, path: &Path, columns: &[&str]) -> Result<(Rows, String), EvalError> {
    if !path.is_file() {
        return Err(EvalError::Absent(path.to_owned()));
    }
    let wrong = |why: String| EvalError::Data { set: set.to_owned(), what: path.display().to_string(), why };
    let bytes = std::fs::read(path).map_err(|e| wrong(e.to_string()))?;
    let digest = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    let batches = ArchiveFile::open(path)?.batches(columns, BATCH_ROWS)?;
    let schema = batches.schema();
    let batches = batches.collect::<Result<Vec<_>, _>>()?;
    let batch = concat_batches(&schema, &batches).map_err(|e| wrong(e.to_string()))?;
    Ok((Rows { set: set.to_owned(), batch }, digest))
}

impl Rows {
    /// The same with some columns read in another way.
    pub(crate) fn read_as(mut self, columns: &[(&str, ReadAs)]) -> Result<Self, EvalError> {
        for (column, read_as) in columns {
            let place = self.batch.schema().index_of(column).map_err(|_| self.missing(column))?;
            let array: ArrayRef = match read_as {
                ReadAs::Number => self.cast(column, &DataType::Int64)?,
                ReadAs::EmptyIsNull => {
                    let text = self.cast(column, &DataType::Utf8)?;
                    let filled = text.as_string::<i32>().iter().map(|text| text.filter(|text| !text.is_empty()));
                    Arc::new(filled.collect::<StringArray>())
                }
            };
            let (mut fields, mut arrays) = (self.batch.schema().fields().to_vec(), self.batch.columns().to_vec());
            fields[place] = Arc::new(Field::new(*column, array.data_type().clone(), true));
            arrays[place] = array;
            let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays);
            self.batch = batch.map_err(|e| self.wrong(&format!("column {column:?}"), &e.to_string()))?;
        }
        Ok(self)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.batch.num_rows()
    }

    /// A column as text; null is empty.
    pub(crate) fn texts(&self, column: &str) -> Result<Vec<String>, EvalError> {
        let array = self.cast(column, &DataType::Utf8)?;
        Ok(array.as_string::<i32>().iter().map(|text| text.unwrap_or_default().to_owned()).collect())
    }

    /// A column as numbers; null is 0.
    pub(crate) fn numbers(&self, column: &str) -> Result<Vec<i64>, EvalError> {
        let array = self.cast(column, &DataType::Int64)?;
        Ok(array.as_primitive::<Int64Type>().iter().map(Option::unwrap_or_default).collect())
    }

    /// The column `time` in ns since 1970.
    pub(crate) fn times(&self) -> Result<Vec<i64>, EvalError> {
        let array = self.cast("time", &DataType::Timestamp(TimeUnit::Nanosecond, None))?;
        Ok(array.as_primitive::<TimestampNanosecondType>().iter().map(Option::unwrap_or_default).collect())
    }

    /// These columns of these rows, in this order.
    pub(crate) fn choose(&self, columns: &[&str], rows: &[u32]) -> Result<RecordBatch, EvalError> {
        let number = |column: &&str| self.batch.schema().index_of(column).map_err(|_| self.missing(column));
        let numbers = columns.iter().map(number).collect::<Result<Vec<_>, _>>()?;
        let chosen =
            self.batch.project(&numbers).and_then(|batch| take_record_batch(&batch, &UInt32Array::from(rows.to_vec())));
        chosen.map_err(|e| self.wrong("its rows", &e.to_string()))
    }

    /// An error about some part of the set.
    pub(crate) fn wrong(&self, what: &str, why: &str) -> EvalError {
        EvalError::Data { set: self.set.clone(), what: what.to_owned(), why: why.to_owned() }
    }

    fn missing(&self, column: &str) -> EvalError {
        self.wrong(&format!("column {column:?}"), "it is missing")
    }

    fn cast(&self, column: &str, to: &DataType) -> Result<ArrayRef, EvalError> {
        let array = self.batch.column_by_name(column).ok_or_else(|| self.missing(column))?;
        cast(array, to).map_err(|e| self.wrong(&format!("column {column:?}"), &e.to_string()))
    }
}

/// Rows of one table to learn from.
pub(crate) struct Memory {
    pub(crate) table: String,
    pub(crate) batch: RecordBatch,
}

impl RowSource for Memory {
    fn tables(&self) -> Vec<String> {
        vec![self.table.clone()]
    }

    fn for_each(
        &self,
        table: &str,
        f: &mut dyn FnMut(&RecordBatch) -> Result<(), LearnError>,
    ) -> Result<(), LearnError> {
        if table != self.table {
            return Ok(());
        }
        parts(&self.batch).try_for_each(|part| f(&part))
    }
}

/// A batch in pieces.
pub(crate) fn parts(batch: &RecordBatch) -> impl Iterator<Item = RecordBatch> + '_ {
    (0..batch.num_rows()).step_by(BATCH_ROWS).map(|at| batch.slice(at, BATCH_ROWS.min(batch.num_rows() - at)))
}
