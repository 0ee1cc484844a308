//! What a process that died has left.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::error::StoreError;
use crate::sidecar::sidecar_path;
use crate::whole::is_tag;

/// What is not completed after so long never will be.
const OLD: Duration = Duration::from_secs(86_400);

/// Removes scores and findings that a process had begun and not completed, and those that anybody left a day ago. What
/// cannot be removed stays: it is in nobody's way.
pub fn remove_leftovers(out: &Path, process: Option<u32>) {
    ["scores", "findings"].iter().for_each(|folder| clean(&out.join(folder), process));
}

/// Removes what processes with tags ([`crate::tag_temporaries`]) had begun of the scores of a baseline: a run that they
/// worked for is over.
pub fn remove_tagged(out: &Path, baseline: &str) {
    sweep(&out.join("scores").join(baseline), &|begun_by, _| is_tag(begun_by));
}

fn clean(folder: &Path, process: Option<u32>) {
    sweep(folder, &|begun_by, is_old| match begun_by.parse::<u32>() {
        Ok(id) => Some(id) == process || is_old(),
        Err(_) => is_tag(begun_by) && is_old(),
    });
}

/// Removes the temporaries for which `goes` holds: it sees who began one, and can ask whether it is old.
fn sweep(folder: &Path, goes: &dyn Fn(&str, &dyn Fn() -> bool) -> bool) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(kind) = entry.file_type() else { continue };
        let name = entry.file_name();
        let begun_by = name.to_str().and_then(|name| Some(name.strip_suffix(".tmp")?.rsplit_once('.')?.1));
        let is_old = || {
            entry
                .metadata()
                .and_then(|meta| meta.modified())
                .is_ok_and(|time| time.elapsed().is_ok_and(|age| age > OLD))
        };
        if kind.is_dir() {
            sweep(&entry.path(), goes);
        } else if kind.is_file() && begun_by.is_some_and(|begun_by| goes(begun_by, &is_old)) {
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
        let old = ["a.parquet.9.tmp", "a.parquet.x7-1.tmp", "a.parquet.odd.tmp"];
        for name in old.iter().chain(&["a.parquet.7.tmp", "a.parquet.8.tmp", "a.parquet", "7.tmp", "b.x7-2.tmp"]) {
            fs::write(folder.join(name), "").unwrap();
        }
        for name in old {
            let old = File::options().write(true).open(folder.join(name)).unwrap();
            old.set_modified(SystemTime::now() - 2 * OLD).unwrap();
        }
        let left = || {
            let mut left: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            left.sort();
            left
        };
        remove_leftovers(out.path(), Some(7));
        assert_eq!(left(), ["7.tmp", "a.parquet", "a.parquet.8.tmp", "a.parquet.odd.tmp", "b.x7-2.tmp"]);
        remove_tagged(out.path(), "b");
        assert_eq!(left(), ["7.tmp", "a.parquet", "a.parquet.8.tmp", "a.parquet.odd.tmp"]);
    }
}
