//! Errors: one line each, `WHAT: WHERE: WHY; next step`.

use std::io;
use std::path::{Path, PathBuf};

/// Why nothing can be handed over. A receiver that does not answer is none: that is tried again.
#[derive(Debug, thiserror::Error)]
pub enum HandoverError {
    /// A target that nothing can be sent to.
    #[error("no such target: {shown}: {why}")]
    Target {
        /// As it was given, without secrets.
        shown: String,
        /// Reason and next step.
        why: String,
    },
    /// Another process hands over to this target.
    #[error(
        "target in use: {target}: another process hands over to it from this folder; stop that one, or let it go on"
    )]
    Busy {
        /// As it is shown.
        target: String,
    },
    /// State of a later version.
    #[error("unknown format: {}: a later version of Ebbline wrote it; use that one", .0.display())]
    Later(PathBuf),
    /// The operating system refused to read.
    #[error("cannot read: {}: {why}", .path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// Reason in words.
        why: String,
    },
    /// The operating system refused to write.
    #[error("cannot write: {}: {why}", .path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// Reason in words.
        why: String,
    },
    /// Headers or a key that cannot be used.
    #[error("cannot use: {}: {why}", .path.display())]
    Setting {
        /// The file.
        path: PathBuf,
        /// Reason and next step.
        why: String,
    },
}

impl HandoverError {
    pub(crate) fn read(path: &Path, error: &io::Error) -> Self {
        Self::Read { path: path.into(), why: error.to_string() }
    }

    pub(crate) fn write(path: &Path, error: &io::Error) -> Self {
        Self::Write { path: path.into(), why: error.to_string() }
    }
}
