//! Segments in which nothing can be read: they are kept beside the journal, for people to look at.

use std::fs;
use std::path::{Path, PathBuf};

use super::segment::file_name;
use crate::error::StoreError;

/// Segments kept. Beyond, and beyond the bytes, the oldest goes; the latest stays in any case.
const KEPT: usize = 4;
/// Bytes kept.
const KEPT_BYTES: u64 = 256 << 20;
/// How their names end.
const ENDING: &str = ".damaged";

/// Gives a segment a name by which nobody takes it for one. Says that, and what had to go for it, a line each.
pub(super) fn set(folder: &Path, path: &Path, bytes: u64) -> Result<Vec<String>, String> {
    if bytes == 0 {
        // A crash came before the first byte: nothing was there.
        return fs::remove_file(path).map(|()| Vec::new()).map_err(|e| StoreError::write(path, &e).to_string());
    }
    let to = free(path);
    fs::rename(path, &to).map_err(|e| StoreError::write(path, &e).to_string())?;
    let mut said = vec![format!(
        "damaged journal: {}: no frame in its {bytes} bytes; it was set aside as {}",
        path.display(),
        to.display()
    )];
    let mut room = KEPT_BYTES;
    for (at, (number, old, bytes)) in kept(folder).into_iter().enumerate() {
        room = room.saturating_sub(bytes);
        let stays = at == 0 || (at < KEPT && room > 0);
        if !stays && fs::remove_file(&old).is_ok() {
            said.push(format!(
                "damaged journal: {}: what was set aside of {} went for it",
                old.display(),
                file_name(number)
            ));
        }
    }
    Ok(said)
}

/// The name that it gets: a number can come again after somebody removed the journal.
fn free(path: &Path) -> PathBuf {
    let mut to = path.with_extension("damaged");
    let mut again = 1;
    while to.symlink_metadata().is_ok() {
        to = path.with_extension(format!("{again}{ENDING}"));
        again += 1;
    }
    to
}

/// What was set aside, the latest first.
fn kept(folder: &Path) -> Vec<(u64, PathBuf, u64)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<_> = entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let number = name.strip_suffix(ENDING)?.split('.').next()?.parse().ok()?;
            let meta = entry.metadata().ok().filter(fs::Metadata::is_file)?;
            Some((meta.modified().ok()?, number, entry.path(), meta.len()))
        })
        .collect();
    found.sort();
    found.into_iter().rev().map(|(_, number, path, bytes)| (number, path, bytes)).collect()
}
