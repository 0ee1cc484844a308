//! Errors: one line each, `WHAT: WHERE: WHY; next step`.

use std::path::PathBuf;

use archive::ArchiveError;
use store::StoreError;

/// Why an export failed.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// A file could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A filter that cannot be meant, or rows that it cannot be asked of.
    #[error(transparent)]
    Filter(#[from] ArchiveError),
    /// A file of a table that has no class.
    #[error("no event class for this file: {}: {why}", .path.display())]
    NoClass {
        /// The file.
        path: PathBuf,
        /// Reason in words.
        why: String,
    },
    /// A file whose rows jump back in time too often.
    #[error("rows out of order: {}: they jump back in time more than {most} times; sort them by time first", .path.display())]
    Order {
        /// The file.
        path: PathBuf,
        /// How often they may.
        most: usize,
    },
    /// Columns that cannot be put together.
    #[error("cannot use columns: {}: {why}", .path.display())]
    Columns {
        /// The file.
        path: PathBuf,
        /// Reason in words.
        why: String,
    },
    /// A folder for output among what is read.
    #[error("cannot write: {}: it is in {}, which is read; choose another folder", .out.display(), .within.display())]
    Inside {
        /// The folder for output.
        out: PathBuf,
        /// The source.
        within: PathBuf,
    },
    /// There is nothing that could be an event.
    #[error("nothing to do: the sources: they hold the agent's counters and no events; name the whole archive")]
    NothingToDo,
    /// Every input was skipped.
    #[error("nothing was done: all {0} inputs: every one was skipped, for the reasons above")]
    AllSkipped(usize),
}

impl ExportError {
    /// Whether the input is at fault, so that a run over many inputs can go on without it.
    #[must_use]
    pub fn is_input(&self) -> bool {
        match self {
            Self::Filter(error) => error.is_input(),
            Self::Store(error) => !matches!(error, StoreError::Write { .. }),
            Self::NoClass { .. } | Self::Order { .. } | Self::Columns { .. } => true,
            Self::Inside { .. } | Self::NothingToDo | Self::AllSkipped(_) => false,
        }
    }
}
