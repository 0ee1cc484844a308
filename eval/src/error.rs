//! Errors: one line each, `WHAT: WHERE: WHY`.

use std::path::PathBuf;

/// Why a set was not measured.
#[derive(Debug, thiserror::Error)]
pub enum EvalError {
    /// The labelled sets are no part of the project.
    #[error("no labelled set: {}: it is not there; the sets are no part of this project, name their folder with --data", .0.display())]
    Absent(PathBuf),
    /// The file could not be read.
    #[error(transparent)]
    Store(#[from] store::StoreError),
    /// The rows are not those that the protocol is about.
    #[error("cannot measure {set}: {what}: {why}")]
    Data {
        /// The set.
        set: String,
        /// Which part of it.
        what: String,
        /// Reason in words.
        why: String,
    },
    /// The lens of a set would show the model a label.
    #[error("the lens of {set} reads a label: column {column:?}")]
    Label {
        /// The set.
        set: String,
        /// The column.
        column: String,
    },
    /// The lens of a set is wrong.
    #[error("the lens of {set}: {why}")]
    Lens {
        /// The set.
        set: String,
        /// Reason in words.
        why: String,
    },
    /// What other detectors made of the rows cannot be read.
    #[error("cannot read the peers: {}: {why}", .path.display())]
    Peers {
        /// The file.
        path: PathBuf,
        /// Reason in words.
        why: String,
    },
    /// Other detectors were given other rows.
    #[error("the peers of {set} saw other rows than the protocol has: {measures}")]
    OtherRows {
        /// The set.
        set: String,
        /// Which measures.
        measures: String,
    },
    /// Learning failed.
    #[error("cannot learn {set}: {source}")]
    Learn {
        /// The set.
        set: String,
        /// What was said.
        source: model::LearnError,
    },
    /// Scoring failed.
    #[error("cannot score {set}: {why}")]
    Score {
        /// The set.
        set: String,
        /// Reason in words.
        why: String,
    },
}
