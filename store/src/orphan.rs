//! What a process that died has left.

use std::path::Path;

use crate::error::StoreError;
use crate::sidecar::sidecar_path;

/// Removes the sidecar that a process had begun, and not completed, for a file; if there is none, that is well.
///
/// # Errors
/// [`StoreError::Write`] naming the path.
pub fn remove_unfinished_sidecar(out: &Path, baseline: &str, relative: &str, process: u32) -> Result<(), StoreError> {
    let mut path = sidecar_path(out, baseline, relative).into_os_string();
    // As `WholeFile::replace` names it.
    path.push(format!(".{process}.tmp"));
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(StoreError::write(Path::new(&path), &error)),
        _ => Ok(()),
    }
}
