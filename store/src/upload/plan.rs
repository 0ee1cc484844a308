//! What of an archive goes up: closed files of its tables, scores, findings and the manifest.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::StoreError;

/// Folders of files of rows.
const TABLES: [&str; 4] = [events::PROCESS, events::CONNECTION, events::DNS, events::HEARTBEAT];
/// Folders of results.
const RESULTS: [&str; 2] = ["scores", "findings"];
/// The only file beside the folders.
const MANIFEST: &str = "manifest.json";
/// Folders below one another: `scores/BASELINE/TABLE/day=…/host=…` has five.
const DEPTH: usize = 8;

/// How a file looked when it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stamp {
    pub(super) bytes: u64,
    pub(super) modified_s: i64,
    pub(super) modified_ns: i64,
}

impl Stamp {
    pub(super) fn of(found: &fs::Metadata) -> Self {
        Self { bytes: found.len(), modified_s: found.mtime(), modified_ns: found.mtime_nsec() }
    }
}

/// Of a regular file; links are none.
pub(super) fn stamp(path: &Path) -> Option<Stamp> {
    fs::symlink_metadata(path).ok().filter(fs::Metadata::is_file).map(|found| Stamp::of(&found))
}

/// Whether a file may be removed here once it is up: rows and scores may, findings and the manifest are still written.
pub(super) fn may_go(relative: &str) -> bool {
    let first = relative.split('/').next().unwrap_or_default();
    TABLES.contains(&first) || first == RESULTS[0]
}

/// The top folders that are there, the archive itself (as an empty name) last: the manifest tells of the others.
pub(super) fn folders(archive: &Path) -> Result<Vec<String>, StoreError> {
    fs::read_dir(archive).map_err(|error| StoreError::read(archive, &error))?;
    let mut all: Vec<String> = TABLES.iter().chain(&RESULTS).map(|name| (*name).to_owned()).collect();
    all.push(String::new());
    Ok(all)
}

/// The files of a top folder, oldest day first, as paths below the archive.
pub(super) fn files(archive: &Path, folder: &str) -> Result<Vec<String>, StoreError> {
    if folder.is_empty() {
        return Ok(stamp(&archive.join(MANIFEST)).map(|_| MANIFEST.to_owned()).into_iter().collect());
    }
    let mut files = Vec::new();
    walk(archive, folder, DEPTH, &mut files)?;
    Ok(files)
}

fn walk(archive: &Path, folder: &str, depth: usize, files: &mut Vec<String>) -> Result<(), StoreError> {
    let path = archive.join(folder);
    if !fs::symlink_metadata(&path).is_ok_and(|found| found.is_dir()) {
        return Ok(());
    }
    let entries = match fs::read_dir(&path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(StoreError::read(&path, &error)),
    };
    let mut names: Vec<(String, bool)> = entries
        .filter_map(Result::ok)
        .filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.file_type().ok()?.is_dir())))
        .filter(|(name, is_folder)| !name.starts_with('.') && (*is_folder || name.ends_with(".parquet")))
        .collect();
    names.sort();
    for (name, is_folder) in names {
        let relative = format!("{folder}/{name}");
        if !is_folder {
            files.push(relative);
        } else if depth > 0 {
            walk(archive, &relative, depth - 1, files)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_closed_files_of_the_layout_go_up() {
        let folder = tempfile::tempdir().unwrap();
        let put = |relative: &str| {
            let path = folder.path().join(relative);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, relative).unwrap();
        };
        let (old, new) = ("process/day=2026-01-01/host=a/x.parquet", "process/day=2026-01-02/host=a/x.parquet");
        let score = "scores/0123/process/day=2026-01-01/host=a/x.parquet";
        [new, old, score, "findings/0123/live.parquet", "manifest.json"].into_iter().for_each(put);
        put("process/day=2026-01-02/host=a/y.parquet.tmp");
        put("process/day=2026-01-02/host=a/.z.parquet");
        ["journal/host=a/000001.journal", ".uploaded", "other/x.parquet", "x.parquet", "process/notes.txt"]
            .into_iter()
            .for_each(put);
        std::os::unix::fs::symlink(folder.path().join(old), folder.path().join("process/link.parquet")).unwrap();
        let mut found = Vec::new();
        for top in folders(folder.path()).unwrap() {
            found.extend(files(folder.path(), &top).unwrap());
        }
        found.retain(|relative| stamp(&folder.path().join(relative)).is_some());
        assert_eq!(found, [old, new, score, "findings/0123/live.parquet", "manifest.json"]);
        assert!(may_go(old) && may_go(score) && !may_go("findings/0123/live.parquet") && !may_go("manifest.json"));
        assert!(folders(&folder.path().join("gone")).is_err());
    }
}
