//! Errors: one line each, `WHAT: WHERE: WHY; next step`.

use store::StoreError;

/// Why findings could not be made incidents, or one not be told.
#[derive(Debug, thiserror::Error)]
pub enum TriageError {
    /// A file could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No incident has this id.
    #[error("no such incident: {id}: not among the {known} in {folder}; `ebbline incident list` shows them")]
    NoIncident {
        /// What was asked for.
        id: String,
        /// How many there are.
        known: usize,
        /// The folder of results.
        folder: String,
    },
    /// Several have.
    #[error("no such incident: {id}: {number} begin with it; give more digits")]
    Ambiguous {
        /// What was asked for.
        id: String,
        /// How many begin so.
        number: usize,
    },
    /// Nobody asked for incidents yet.
    #[error("no incidents: {folder}: none are written there; run `ebbline incident list {folder}` first")]
    NotListed {
        /// The folder of results.
        folder: String,
    },
    /// What people said of incidents cannot be read or written.
    #[error("feedback: {path}: {why}", path = path.display())]
    Feedback {
        /// The file.
        path: std::path::PathBuf,
        /// Why not.
        why: String,
    },
    /// More findings than are counted.
    #[error("too many findings: {0}: more than {most} at once; name one baseline", most = u32::MAX)]
    TooMany(String),
}
