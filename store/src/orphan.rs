//! What a process that died has left.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::error::StoreError;
use crate::sidecar::sidecar_path;

/// What is not completed after so long never will be.
const OLD: Duration = Duration::from_secs(86_400);

/// Removes scores and findings that a process had begun and not completed, and those that anybody left a day ago. What
/// cannot be removed stays: it is in nobody's way.
pub fn remove_leftovers(out: &Path, process: Option<u32>) {
    ["scores", "findings"].iter().for_each(|folder| clean(&out.join(folder), process));
}

fn clean(folder: &Path, process: Option<u32>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(kind) = entry.file_type() else { continue };
        let name = entry.file_name();
        let begun_by =
            name.to_str().and_then(|name| name.strip_suffix(".tmp")?.rsplit_once('.')?.1.parse::<u32>().ok());
        let is_old = || {
            entry
                .metadata()
                .and_then(|meta| meta.modified())
                .is_ok_and(|time| time.elapsed().is_ok_and(|age| age > OLD))
        };
        if kind.is_dir() {
            clean(&entry.path(), process);
        } else if kind.is_file() && begun_by.is_some_and(|begun_by| Some(begun_by) == process || is_old()) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::time::SystemTime;

    #[test]
    fn only_what_the_dead_began_goes() {
        let out = tempfile::tempdir().unwrap();
        let folder = out.path().join("scores/b/process/day=1");
        fs::create_dir_all(&folder).unwrap();
        for name in ["a.parquet.7.tmp", "a.parquet.8.tmp", "a.parquet.9.tmp", "a.parquet", "7.tmp"] {
            fs::write(folder.join(name), "").unwrap();
        }
        let old = File::options().write(true).open(folder.join("a.parquet.9.tmp")).unwrap();
        old.set_modified(SystemTime::now() - 2 * OLD).unwrap();
        remove_leftovers(out.path(), Some(7));
        let mut left: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["7.tmp", "a.parquet", "a.parquet.8.tmp"]);
    }
}
