//! From records to the rows of `process` and `connection`.

mod connection;
mod process;

pub use connection::ConnectionRows;
pub use process::{Image, ProcessRows};

use arrow_array::{
    ArrayRef, RecordBatch,
    builder::{ArrayBuilder, FixedSizeBinaryBuilder, StringDictionaryBuilder, TimestampNanosecondBuilder},
    types::Int32Type,
};
use arrow_schema::{ArrowError, SchemaRef};
use events::{EventType, ProcessKey};

/// Rows of each event type, in the order of [`EventType::ALL`].
pub type Counts = [u64; EventType::ALL.len()];

/// Rows ready to be written.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Name of the table.
    pub table: &'static str,
    /// The rows.
    pub rows: RecordBatch,
    /// Event type of each row; empty for heartbeats.
    pub kinds: Vec<EventType>,
}

pub(crate) type Dict = StringDictionaryBuilder<Int32Type>;

pub(crate) fn times() -> TimestampNanosecondBuilder {
    TimestampNanosecondBuilder::new().with_timezone("UTC")
}

fn keys() -> FixedSizeBinaryBuilder {
    FixedSizeBinaryBuilder::new(16)
}

/// A key into a column of 16-byte values.
fn put_key(column: &mut FixedSizeBinaryBuilder, key: Option<&ProcessKey>) {
    match key {
        // The column is 16 bytes wide, as keys are: this cannot fail.
        Some(key) => column.append_value(key.as_bytes()).unwrap_or_else(|_| column.append_null()),
        None => column.append_null(),
    }
}

/// Finishes columns in the order of the schema.
pub(crate) fn batch(schema: SchemaRef, columns: &mut [&mut dyn ArrayBuilder]) -> Result<RecordBatch, ArrowError> {
    let columns: Vec<ArrayRef> = columns.iter_mut().map(|column| column.finish()).collect();
    RecordBatch::try_new(schema, columns)
}
