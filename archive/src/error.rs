//! Errors: one line each, `WHAT: WHERE: WHY; next step`.

use std::path::{Path, PathBuf};

use store::StoreError;

/// Why learning or scoring failed.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// A file could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The rows of a file do not fit the lens of its table.
    #[error("cannot use columns: {}: {why}", .path.display())]
    Encode {
        /// The file.
        path: PathBuf,
        /// Reason in words.
        why: String,
    },
    /// The baseline has nothing to say about a table.
    #[error("no lens for this file: {}: {why}", .path.display())]
    NoLens {
        /// The file.
        path: PathBuf,
        /// Reason in words.
        why: String,
    },
    /// No backend could be opened.
    #[error(transparent)]
    Open(#[from] scorer_gpu::OpenError),
    /// A backend failed.
    #[error("scoring failed: {}: {source}", .path.display())]
    Backend {
        /// The file that was being scored.
        path: PathBuf,
        /// What it said.
        source: model::BackendError,
    },
    /// Learning failed.
    #[error("{0}")]
    Learn(String),
    /// A filter that cannot be meant.
    #[error("cannot filter: --where: {0}")]
    Filter(String),
    /// The filter takes no row.
    #[error("nothing to do: the filter: no row of the sources passes {0}")]
    NothingPasses(String),
    /// An input that another process could not use.
    #[error("{0}")]
    Input(String),
    /// What another process says, or that it says nothing.
    #[error("{0}")]
    Elsewhere(String),
    /// Every input was skipped.
    #[error("nothing was done: all {0} inputs: every one was skipped, for the reasons above")]
    AllSkipped(usize),
    /// There are files, but none with events.
    #[error("nothing to do: the sources: they hold the agent's counters and no events; name the whole archive")]
    NothingToDo,
}

impl ArchiveError {
    /// Whether the input is at fault, so that a run over many inputs can go on without it.
    #[must_use]
    pub fn is_input(&self) -> bool {
        match self {
            Self::Store(error) => !matches!(error, StoreError::Write { .. }),
            Self::Encode { .. } | Self::NoLens { .. } | Self::Input(_) => true,
            Self::Open(_) | Self::Backend { .. } | Self::Learn(_) | Self::AllSkipped(_) | Self::NothingToDo => false,
            Self::Filter(_) | Self::NothingPasses(_) | Self::Elsewhere(_) => false,
        }
    }

    /// Whether the same may go well when it is tried again, or on another machine: the system failed, not the data.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Store(error) => matches!(
                error,
                StoreError::Read { .. } | StoreError::Write { .. } | StoreError::Remote { .. } | StoreError::Missing(_)
            ),
            Self::Elsewhere(_) | Self::Backend { .. } | Self::Open(_) => true,
            _ => false,
        }
    }

    pub(crate) fn encode(path: &Path, error: &model::EncodeError) -> Self {
        Self::Encode { path: path.into(), why: error.to_string() }
    }
}
