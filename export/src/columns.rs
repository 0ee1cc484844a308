//! Columns as other engines take them, and structs made of them.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampNanosecondType};
use arrow_array::{
    Array, ArrayRef, BooleanArray, Int32Array, Int64Array, ListArray, RecordBatch, StringArray, StructArray,
    new_null_array,
};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_cast::cast;
use arrow_schema::{ArrowError, DataType, Field, Fields, Schema, TimeUnit};

pub(crate) type Result<T, E = ArrowError> = std::result::Result<T, E>;

/// Rows of a table. Columns that came with a later version of its schema are nulls.
pub(crate) struct Rows<'a> {
    batch: &'a RecordBatch,
}

impl<'a> Rows<'a> {
    pub(crate) fn new(batch: &'a RecordBatch) -> Self {
        Self { batch }
    }

    pub(crate) fn len(&self) -> usize {
        self.batch.num_rows()
    }

    /// A column as it is.
    pub(crate) fn raw(&self, name: &str) -> Option<&'a ArrayRef> {
        self.batch.column_by_name(name)
    }

    /// A column as text; keys in hex.
    pub(crate) fn text(&self, name: &str) -> Result<StringArray> {
        let Some(column) = self.raw(name) else { return Ok(StringArray::new_null(self.len())) };
        match column.data_type() {
            DataType::FixedSizeBinary(_) => Ok(hex(column)),
            _ => Ok(cast(column, &DataType::Utf8)?.as_string::<i32>().clone()),
        }
    }

    /// A column of numbers; one that does not fit is null.
    pub(crate) fn long(&self, name: &str) -> Result<Int64Array> {
        let Some(column) = self.raw(name) else { return Ok(Int64Array::new_null(self.len())) };
        Ok(cast(column, &DataType::Int64)?.as_primitive::<Int64Type>().clone())
    }

    /// As [`Rows::long`], in 32 bits.
    pub(crate) fn int(&self, name: &str) -> Result<Int32Array> {
        let long = self.long(name)?;
        Ok(long.iter().map(|n| n.and_then(|n| i32::try_from(n).ok())).collect())
    }

    /// A column of times, in nanoseconds since 1970.
    pub(crate) fn nanos(&self, name: &str) -> Result<Int64Array> {
        let column = self.raw(name).ok_or_else(|| ArrowError::SchemaError(format!("no column {name}")))?;
        let nanos = cast(column, &DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())))?;
        Ok(Int64Array::new(nanos.as_primitive::<TimestampNanosecondType>().values().clone(), nanos.nulls().cloned()))
    }

    /// Columns as they are in the source, in types that every engine reads.
    pub(crate) fn rest(&self, names: &[&str], schema: &Schema) -> Result<Struct> {
        let mut all = Struct::default();
        for name in names {
            let column = match (self.raw(name), schema.field_with_name(name)) {
                (Some(column), _) => portable(column)?,
                (None, Ok(field)) => portable(&new_null_array(field.data_type(), self.len()))?,
                (None, Err(error)) => return Err(error),
            };
            all.put(name, column);
        }
        Ok(all)
    }
}

/// A column in signed numbers, plain texts and keys in hex: what is in every engine's list of types.
pub(crate) fn portable(column: &ArrayRef) -> Result<ArrayRef> {
    Ok(match column.data_type() {
        DataType::Dictionary(..) => cast(column, &DataType::Utf8)?,
        DataType::FixedSizeBinary(_) => Arc::new(hex(column)),
        DataType::UInt64 | DataType::UInt32 => cast(column, &DataType::Int64)?,
        DataType::UInt16 | DataType::UInt8 => cast(column, &DataType::Int32)?,
        DataType::List(_) => {
            let list = column.as_list::<i32>();
            let values = portable(list.values())?;
            let field = Arc::new(Field::new_list_field(values.data_type().clone(), true));
            Arc::new(ListArray::try_new(field, list.offsets().clone(), values, list.nulls().cloned())?)
        }
        DataType::Struct(fields) => {
            let mut all = Struct::default();
            for (field, column) in fields.iter().zip(column.as_struct().columns()) {
                all.put(field.name(), portable(column)?);
            }
            all.nested(column.nulls().cloned())?
        }
        _ => column.clone(),
    })
}

fn hex(column: &ArrayRef) -> StringArray {
    use std::fmt::Write as _;
    let text = |bytes: &[u8]| {
        bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}"); // writing to a String cannot fail
            text
        })
    };
    column.as_fixed_size_binary().iter().map(|key| key.map(text)).collect()
}

/// Columns by name, to be a struct or a batch.
#[derive(Default)]
pub(crate) struct Struct {
    fields: Vec<Field>,
    columns: Vec<ArrayRef>,
}

impl Struct {
    pub(crate) fn put(&mut self, name: &str, column: ArrayRef) {
        self.fields.push(Field::new(name, column.data_type().clone(), true));
        self.columns.push(column);
    }

    /// A column with one value for all rows.
    pub(crate) fn put_all(&mut self, rows: usize, name: &str, value: impl Into<Value>) {
        match value.into() {
            Value::Text(text) => {
                self.put(name, Arc::new(StringArray::from_iter_values(std::iter::repeat_n(text, rows))))
            }
            Value::Number(number) => self.put(name, Arc::new(Int32Array::from_value(number, rows))),
        }
    }

    /// The struct, null where `nulls` says so.
    pub(crate) fn nested(self, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
        Ok(Arc::new(StructArray::try_new(Fields::from(self.fields), self.columns, nulls)?))
    }

    /// The struct, null where all its columns are.
    pub(crate) fn nested_if_any(self, rows: usize) -> Result<ArrayRef> {
        let valid = valid_if(rows, |row| self.columns.iter().any(|column| column.is_valid(row)));
        self.nested(valid)
    }

    pub(crate) fn batch(self) -> Result<RecordBatch> {
        RecordBatch::try_new(Arc::new(Schema::new(self.fields)), self.columns)
    }
}

/// What [`Struct::put_all`] takes.
pub(crate) enum Value {
    Text(String),
    Number(i32),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<i32> for Value {
    fn from(number: i32) -> Self {
        Self::Number(number)
    }
}

/// Which rows of a struct are there.
pub(crate) fn valid_if(rows: usize, is: impl Fn(usize) -> bool) -> Option<NullBuffer> {
    Some(NullBuffer::from((0..rows).map(is).collect::<Vec<bool>>()))
}

/// Lists of no or one value: one where the value is there.
pub(crate) fn of_one(values: &ArrayRef) -> Result<ArrayRef> {
    let there: BooleanArray = (0..values.len()).map(|row| Some(values.is_valid(row))).collect();
    let items = arrow_select::filter::filter(values, &there)?;
    lists(items, (0..values.len()).map(|row| usize::from(values.is_valid(row))), values.nulls().cloned())
}

/// Lists of the given lengths.
pub(crate) fn lists(
    items: ArrayRef,
    lengths: impl IntoIterator<Item = usize>,
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef> {
    let field = Arc::new(Field::new_list_field(items.data_type().clone(), true));
    Ok(Arc::new(ListArray::try_new(field, OffsetBuffer::from_lengths(lengths), items, nulls)?))
}

/// A text of each row.
pub(crate) fn texts<T: AsRef<str>>(rows: usize, of: impl FnMut(usize) -> Option<T>) -> ArrayRef {
    Arc::new((0..rows).map(of).collect::<StringArray>())
}

/// A number of each row.
pub(crate) fn ints(rows: usize, of: impl FnMut(usize) -> Option<i32>) -> ArrayRef {
    Arc::new((0..rows).map(of).collect::<Int32Array>())
}

/// A number of each row.
pub(crate) fn longs(rows: usize, of: impl FnMut(usize) -> Option<i64>) -> ArrayRef {
    Arc::new((0..rows).map(of).collect::<Int64Array>())
}

/// The value of a row, if there is one.
pub(crate) fn at(texts: &StringArray, row: usize) -> Option<&str> {
    texts.is_valid(row).then(|| texts.value(row))
}

/// The value of a row, if there is one.
pub(crate) fn number(numbers: &Int64Array, row: usize) -> Option<i64> {
    numbers.is_valid(row).then(|| numbers.value(row))
}
