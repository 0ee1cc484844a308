//! Errors: one line each, `WHAT: WHERE: WHY; next step`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::errors::ParquetError;

use crate::writer::Placed;

/// What can go wrong with files. Each displays as one line that names the file.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A source that does not exist.
    #[error("no such source: {}: nothing there; check the path", .0.display())]
    Missing(PathBuf),
    /// A pattern that nothing matches.
    #[error("no such source: {0}: nothing matches it; check the pattern")]
    NoMatch(String),
    /// Sources without any Parquet file.
    #[error("nothing to read: {0}: no Parquet file found; name an archive folder or a .parquet file")]
    NothingFound(String),
    /// Sources without any file of a format that is read.
    #[error("nothing to read: {0}: no Parquet, JSON lines, CSV or Zeek file found; name a folder of them or a file")]
    NoTables(String),
    /// Two sources that would write to the same place.
    #[error("sources collide: {} and {}: both are {relative} below their source; name a common folder instead", .first.display(), .second.display())]
    Collision {
        /// Path below the source.
        relative: String,
        /// First file.
        first: PathBuf,
        /// Second file.
        second: PathBuf,
    },
    /// The operating system refused to read.
    #[error("cannot read: {}: {why}", .path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// Reason in words.
        why: String,
    },
    /// The operating system refused to write; nothing is left behind.
    #[error("cannot write: {}: {why}", .path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// Reason in words.
        why: String,
    },
    /// A journal that another process writes.
    #[error("journal in use: {}: another agent writes to it; stop that one or choose another folder", .0.display())]
    Busy(PathBuf),
    /// A store that cannot be used.
    #[error("cannot upload: {to}: {why}")]
    Upload {
        /// Its URL, without secrets.
        to: String,
        /// Reason in words.
        why: String,
    },
    /// A store that is read.
    #[error("cannot read: {url}: {why}")]
    Remote {
        /// Its URL, without secrets.
        url: String,
        /// Reason in words.
        why: String,
    },
    /// A file of no bytes.
    #[error("not a Parquet file: {}: it is empty", .0.display())]
    Empty(PathBuf),
    /// Something else than Parquet.
    #[error("not a Parquet file: {}: it does not start with PAR1", .0.display())]
    NotParquet(PathBuf),
    /// Text of a format that neither the name nor the first bytes tell.
    #[error("unknown format: {}: read are .parquet, .jsonl, .csv and .tsv, text also with .gz or .zst behind, and logs of JSON lines or Zeek; name it after what it holds", .0.display())]
    NoFormat(PathBuf),
    /// Packed in a way that is not read.
    #[error("unknown format: {}: it is packed with {with}, only gzip and zstd are read; unpack it", .path.display())]
    Packed {
        /// The file.
        path: PathBuf,
        /// What packed it.
        with: &'static str,
    },
    /// Parquet that ends early.
    #[error("truncated file: {}: {why}; restore it from its origin", .path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Reason in words.
        why: String,
    },
    /// Parquet that cannot be decoded.
    #[error("damaged file: {}: {why}; restore it from its origin", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Reason in words.
        why: String,
    },
    /// A row of a foreign file that cannot be used.
    #[error("unreadable row: {}: {row}: {why}", .path.display())]
    Row {
        /// The file.
        path: PathBuf,
        /// The line, or the row from 0, in words.
        row: String,
        /// Reason in words.
        why: String,
    },
    /// A column that is needed is absent.
    #[error("missing column: {}: no column {column}, which table {table} needs", .path.display())]
    MissingColumn {
        /// The file.
        path: PathBuf,
        /// Column.
        column: String,
        /// Table whose lens or schema names it.
        table: String,
    },
    /// A column of another type.
    #[error("wrong column type: {}: {column} is {found}, table {table} needs {wanted}", .path.display())]
    WrongType {
        /// The file.
        path: PathBuf,
        /// Column.
        column: String,
        /// Type in the file.
        found: String,
        /// Type of the contract.
        wanted: String,
        /// Table.
        table: String,
    },
    /// Written by another version of the schema.
    #[error("other schema version: {}: it is version {found}, this program reads 1 to {wanted}; use a newer release", .path.display())]
    SchemaVersion {
        /// The file.
        path: PathBuf,
        /// Version in the footer.
        found: String,
        /// Version of this program.
        wanted: String,
    },
}

impl StoreError {
    pub(crate) fn read(path: &Path, error: &std::io::Error) -> Self {
        Self::Read { path: path.into(), why: error.to_string() }
    }

    pub(crate) fn write(path: &Path, error: &std::io::Error) -> Self {
        Self::Write { path: path.into(), why: with_hint(error) }
    }

    pub(crate) fn write_parquet(path: &Path, error: &ParquetError) -> Self {
        let why = match io_cause(error) {
            Some(io) => with_hint(io),
            None => one_line(&error.to_string()),
        };
        Self::Write { path: path.into(), why }
    }

    pub(crate) fn damaged(path: &Path, why: impl AsRef<str>) -> Self {
        Self::Damaged { path: path.into(), why: one_line(why.as_ref()) }
    }
}

/// The I/O error inside a Parquet error, if that is what it is.
fn io_cause(error: &ParquetError) -> Option<&std::io::Error> {
    match error {
        ParquetError::External(inner) => inner.downcast_ref::<std::io::Error>(),
        _ => None,
    }
}

/// An I/O error with the next step where one is known.
fn with_hint(error: &std::io::Error) -> String {
    use std::io::ErrorKind as Kind;
    let hint = match error.kind() {
        Kind::StorageFull | Kind::QuotaExceeded => "; free some space or choose another folder",
        Kind::PermissionDenied | Kind::ReadOnlyFilesystem => "; choose a folder you may write to",
        Kind::NotFound => "; create the folder above it first",
        Kind::NotADirectory => "; a file stands where a folder is needed",
        _ => "",
    };
    format!("{error}{hint}")
}

/// Errors are one line, whatever a library put into its message.
pub(crate) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A file of a [`crate::TableWriter`] that could not be completed: its rows are gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// Path relative to the archive, as in [`Placed`].
    pub relative: Arc<str>,
    /// Rows of earlier batches that were in the file.
    pub earlier_rows: u64,
}

/// A write that failed in part or whole. Rows of the batch that no entry of `placed` covers are lost, and so are the
/// earlier rows of every file in `lost`; the writer itself can go on.
#[derive(Debug, thiserror::Error)]
#[error("{cause}")]
pub struct WriteError {
    /// What was placed all the same.
    pub placed: Vec<Placed>,
    /// Files given up.
    pub lost: Vec<Lost>,
    /// The first cause.
    pub cause: Box<StoreError>,
}
