//! Errors: one line each, `WHAT: WHERE: WHY; next step`.

use std::path::PathBuf;

/// Why there is no view, or no more.
#[derive(Debug, thiserror::Error)]
pub enum TopError {
    /// There is nothing to draw on.
    #[error("not a terminal: {0}: `ebbline top` draws on one; a script reads `ebbline-agent status --json`")]
    NoTerminal(&'static str),
    /// The terminal refuses.
    #[error("cannot draw: the terminal: {0}")]
    Terminal(#[from] std::io::Error),
    /// Nobody answers, and no folder was named.
    #[error("no agent: {}: {why}; start one with `ebbline-agent run`, or name a folder: `ebbline top DIR`", .path.display())]
    NoAgent {
        /// The socket.
        path: PathBuf,
        /// Reason in words.
        why: String,
    },
    /// It may not be asked.
    #[error("permission denied: {}: only the agent's user and root may ask; or name a folder: `ebbline top DIR`", .0.display())]
    Denied(PathBuf),
    /// There is no such folder.
    #[error("cannot read: {}: {why}; name the folder of `score --out`, or an archive", .path.display())]
    NoFolder {
        /// The folder.
        path: PathBuf,
        /// Reason in words.
        why: String,
    },
    /// A thread ended that should not.
    #[error("a defect: {0}: it ended; please report what was said before this line")]
    Defect(&'static str),
}
