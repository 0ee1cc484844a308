//! Why a file is not a usable baseline, or could not be written.

use std::path::PathBuf;

use super::file::VERSION;

/// Why a file is not a usable baseline, or could not be written.
#[derive(Debug, thiserror::Error)]
pub enum BaselineError {
    /// There is no such file.
    #[error("{}: there is no such file", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is some other file.
    #[error("{}: not an Ebbline baseline", path.display())]
    NotABaseline {
        /// The file.
        path: PathBuf,
    },
    /// Something that is not a baseline is where one was to be written.
    #[error("{}: exists and is not an Ebbline baseline; it was left as it is", path.display())]
    InTheWay {
        /// The file.
        path: PathBuf,
    },
    /// Somebody else has changed it since it was read.
    #[error("{}: it was changed by somebody else meanwhile, and left as it is; do it again", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// It was written by another version.
    #[error("{}: format version {found}; this program reads version {VERSION}; use the release that wrote it", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// Part of it is missing.
    #[error("{}: truncated: {place}: {found} of {expected} bytes", path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// The first place that is not whole.
        place: String,
        /// The length of the file.
        found: u64,
        /// The length up to which the place would be whole.
        expected: u64,
    },
    /// Its content is not what was written.
    #[error("{}: damaged: {place}: checksum", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where: `segments, table=process host=web1 day=2026-11-02`.
        place: String,
    },
    /// It is whole but makes no sense.
    #[error("{}: malformed: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        reason: String,
    },
}
