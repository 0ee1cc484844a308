//! From Arrow columns to codes: each distinct value of a field is transformed and hashed once (docs/model.md §1).

use std::sync::Arc;

use arrow_schema::DataType;

use crate::keys::Pair;

/// The unit code of a row that belongs to no unit, because a key column is null.
pub const NO_UNIT: u32 = u32::MAX;

/// A batch of rows as backends read it.
#[derive(Debug, Clone, Default)]
pub struct EncodedBatch {
    /// Number of rows; the length of every per-row vector below.
    pub rows: usize,
    /// One per lens field, in lens order.
    pub fields: Vec<Codes>,
    /// The host, whose value hash is the host scope.
    pub host: Codes,
    /// Index into the lens's classes, or [`crate::lens::NO_CLASS`].
    pub class: Vec<u8>,
    /// ns since 1970 UTC.
    pub time: Vec<i64>,
    /// One per unit of the lens, in its order.
    pub units: Vec<UnitColumn>,
}

/// A column of codes, each an index into the hashes and values of its distinct values. Two codes may have the same
/// value.
#[derive(Debug, Clone, Default)]
pub struct Codes {
    /// One per row.
    pub codes: Vec<u32>,
    /// The keyed hash of each value.
    pub hashes: Arc<Vec<Pair>>,
    /// Each value after its transform; `None` is null.
    pub values: Arc<Vec<Option<String>>>,
}

/// Which unit each row belongs to.
#[derive(Debug, Clone, Default)]
pub struct UnitColumn {
    /// One per row: an index into `keys`, or [`NO_UNIT`].
    pub codes: Vec<u32>,
    /// The key columns as text, joined by `|`.
    pub keys: Vec<String>,
}

/// Why a batch could not be encoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The lens reads a column that the batch lacks.
    #[error("column {column:?}: missing")]
    Missing {
        /// The column.
        column: String,
    },
    /// A column has a type its use cannot read.
    #[error("column {column:?}: found {found}, expected {expected}")]
    Type {
        /// The column.
        column: String,
        /// Its type.
        found: DataType,
        /// What would do.
        expected: &'static str,
    },
    /// A null where there must be a value.
    #[error("column {column:?}: row {row} is null")]
    Null {
        /// The column.
        column: String,
        /// The row in the batch.
        row: usize,
    },
}
