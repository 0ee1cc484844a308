//! From what people name on the command line to files with a path relative to their archive.

#[cfg(feature = "remote")]
mod far;
mod glob;

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use crate::error::StoreError;
use crate::ranges::Ranged;
use crate::sidecar::sidecar_name;
use crate::table::is_table_name;
use crate::whole::file_sha256;

/// A folder nested deeper than this is a loop of links or a mistake.
const DEPTH: usize = 32;

/// One file to read.
#[derive(Debug, Clone)]
pub struct Source {
    /// Where it is; of an object its URL.
    pub path: PathBuf,
    /// Its path relative to its archive, with `/` between parts; it names the sidecar.
    pub relative: String,
    pub(crate) object: Option<Arc<dyn Ranged>>,
}

impl Source {
    /// A file on its own.
    #[must_use]
    pub fn file(path: PathBuf) -> Self {
        let folder = path.parent().unwrap_or(Path::new("")).to_path_buf();
        located(path, &folder)
    }

    /// Where it is for a process with another working directory, and its path relative to its archive.
    #[must_use]
    pub fn absolute(&self) -> (PathBuf, String) {
        let path = match &self.object {
            Some(_) => self.path.clone(),
            None => std::path::absolute(&self.path).unwrap_or_else(|_| self.path.clone()),
        };
        (path, self.relative.clone())
    }

    /// What changes when it does, as far as that is known without reading it; nothing if it is gone.
    #[must_use]
    pub fn stamp(&self) -> Option<String> {
        match &self.object {
            Some(object) => Some(object.version()),
            None => {
                let found = fs::metadata(&self.path).ok()?;
                Some(format!("{}:{}.{:09}", found.len(), found.mtime(), found.mtime_nsec()))
            }
        }
    }

    /// Its bytes; 0 if it is gone.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        match &self.object {
            Some(object) => object.size(),
            None => fs::metadata(&self.path).map_or(0, |found| found.len()),
        }
    }

    /// What names its content: the SHA-256 of a file; of an object, of which not every byte is read, `object:` with its
    /// length and its ETag (or when it was changed last).
    ///
    /// # Errors
    /// [`StoreError::Read`] naming the file.
    pub fn digest(&self) -> Result<String, StoreError> {
        match &self.object {
            Some(object) => Ok(format!("object:{}", object.version())),
            None => file_sha256(&self.path),
        }
    }
}

/// What to look for among and below sources.
#[derive(Default)]
pub struct Search<'a> {
    /// Files of every format that [`crate::TableFile`] reads, instead of Parquet alone.
    pub tables: bool,
    /// Settings of the stores that sources name by URL, as KEY and VALUE.
    pub settings: &'a [(String, String)],
    /// Whether to look into the folder at this path. Without it into all; with it nothing can be found without an error.
    pub enter: Option<&'a (dyn Fn(&str) -> bool + Sync)>,
    /// Where to note files that are left out by their names, if tables are looked for.
    pub passed_over: Option<&'a PassedOver>,
}

/// Files that folders hold and a search left out, as their names are none of tables.
#[derive(Debug, Default)]
pub struct PassedOver {
    files: AtomicU64,
    first: OnceLock<PathBuf>,
}

/// Ends of names that Ebbline itself gives, or wants for something else.
const OURS: [&str; 5] = ["tmp", "journal", "damaged", "baseline", "toml"];

impl PassedOver {
    fn note(&self, path: &Path) {
        if path.extension().and_then(OsStr::to_str).is_none_or(|end| !OURS.contains(&end)) && !is_manifest(path) {
            self.files.fetch_add(1, Ordering::Relaxed);
            self.first.get_or_init(|| path.into());
        }
    }

    /// How many files, if there are any.
    #[must_use]
    pub fn files(&self) -> u64 {
        self.files.load(Ordering::Relaxed)
    }

    /// That in words, one line, if there is anything to say.
    #[must_use]
    pub fn words(&self) -> Option<String> {
        let first = self.first.get()?.display();
        Some(match self.files() {
            1 => format!("passed over 1 file by its name: {first}; name it to read it"),
            files => format!("passed over {files} files by their names, the first {first}; name them to read them"),
        })
    }
}

/// The Parquet files among and below `sources`, sorted by relative path. Hidden and temporary files are left out, and so
/// are folders of sidecars and findings. A file named outright is taken whatever its name. A source that does not exist and
/// has `*`, `?` or `[` in it is a pattern; one with `://` is in a store.
///
/// # Errors
/// When a source is missing or unreadable, when nothing is found, or when two files have the same relative path.
pub fn discover<P: AsRef<Path>>(sources: &[P]) -> Result<Vec<Source>, StoreError> {
    Search::default().run(sources)
}

/// As [`discover`], but folders give files of every format that [`crate::TableFile`] reads.
///
/// # Errors
/// As for [`discover`].
pub fn discover_tables<P: AsRef<Path>>(sources: &[P]) -> Result<Vec<Source>, StoreError> {
    Search { tables: true, ..Search::default() }.run(sources)
}

fn is_parquet(path: &Path) -> bool {
    matches!(path.extension().and_then(OsStr::to_str), Some("parquet" | "pq"))
}

/// The manifest that lies beside results.
fn is_manifest(path: &Path) -> bool {
    let beside = |name| is_result_folder(&path.with_file_name(name));
    path.file_name() == Some(OsStr::new("manifest.json")) && (beside("scores") || beside("findings"))
}

impl Search<'_> {
    /// The files among and below `sources`, as [`discover`].
    ///
    /// # Errors
    /// As for [`discover`], and when a store cannot be reached.
    pub fn run<P: AsRef<Path>>(&self, sources: &[P]) -> Result<Vec<Source>, StoreError> {
        let mut files = Vec::new();
        for source in sources.iter().map(AsRef::as_ref) {
            match source.to_str().filter(|text| text.contains("://")) {
                Some(url) => self.far(url, &mut files)?,
                None => self.here(source, &mut files)?,
            }
        }
        let mut files = without_doubles(files)?;
        if files.is_empty() && self.enter.is_none() {
            let names: Vec<_> = sources.iter().map(|s| s.as_ref().display().to_string()).collect();
            let nothing = if self.tables { StoreError::NoTables } else { StoreError::NothingFound };
            return Err(nothing(names.join(", ")));
        }
        files.sort_by(|a, b| a.relative.cmp(&b.relative));
        Ok(files)
    }

    #[cfg(not(feature = "remote"))]
    fn far(&self, url: &str, _files: &mut Vec<Source>) -> Result<(), StoreError> {
        Err(StoreError::Remote { url: url.to_owned(), why: "built without stores".to_owned() })
    }

    /// One source on a file system.
    fn here(&self, source: &Path, files: &mut Vec<Source>) -> Result<(), StoreError> {
        if !source.exists() && !source.is_symlink() && glob::is_pattern(&source.to_string_lossy()) {
            let matches = glob::expand(source)?;
            return match matches.is_empty() {
                true => Err(StoreError::NoMatch(source.display().to_string())),
                false => matches.iter().try_for_each(|path| self.root(path, files)),
            };
        }
        self.root(source, files)
    }

    fn root(&self, root: &Path, files: &mut Vec<Source>) -> Result<(), StoreError> {
        let meta = fs::metadata(root).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => StoreError::Missing(root.into()),
            _ => StoreError::read(root, &error),
        })?;
        if meta.is_dir() {
            self.walk(root, DEPTH, &mut |path| files.push(located(path, root)))
        } else {
            let folder = root.parent().unwrap_or(Path::new(""));
            files.push(located(root.into(), folder));
            Ok(())
        }
    }

    fn walk(&self, folder: &Path, depth: usize, found: &mut dyn FnMut(PathBuf)) -> Result<(), StoreError> {
        for path in sorted(folder)? {
            if is_hidden(&path) {
                continue;
            }
            if path.is_dir() {
                if depth > 0 && self.enters(&path) && !is_result_folder(&path) {
                    self.walk(&path, depth - 1, found)?;
                }
            } else if self.takes(&path) && !is_manifest(&path) {
                found(path);
            }
        }
        Ok(())
    }

    fn enters(&self, folder: &Path) -> bool {
        self.enter.is_none_or(|enter| enter(&folder.to_string_lossy()))
    }

    /// Whether a file is one that is looked for, by its name.
    fn takes(&self, path: &Path) -> bool {
        if !self.tables {
            return is_parquet(path);
        }
        let takes = is_table_name(path);
        if let Some(passed_over) = self.passed_over.filter(|_| !takes) {
            passed_over.note(path);
        }
        takes
    }
}

/// What lies in a folder, in order of names.
fn sorted(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let listing = fs::read_dir(folder).map_err(|e| StoreError::read(folder, &e))?;
    let paths: Result<Vec<PathBuf>, std::io::Error> = listing.map(|entry| Ok(entry?.path())).collect();
    let mut paths = paths.map_err(|e| StoreError::read(folder, &e))?;
    paths.sort();
    Ok(paths)
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().unwrap_or_default().as_encoded_bytes().starts_with(b".")
}

/// Results lie in one folder per baseline id.
fn is_id(name: &OsStr) -> bool {
    name.len() == 16 && name.as_encoded_bytes().iter().all(u8::is_ascii_hexdigit)
}

fn may_hold_results(folder: &Path) -> bool {
    matches!(folder.file_name().and_then(OsStr::to_str), Some("scores" | "findings"))
}

/// `scores/` and `findings/` hold one folder per baseline id: results, not sources. `incidents/` lies beside findings.
fn is_result_folder(folder: &Path) -> bool {
    let incidents = folder.file_name() == Some(OsStr::new("incidents"));
    if incidents && folder.parent().is_some_and(|out| is_result_folder(&out.join("findings"))) {
        return true;
    }
    may_hold_results(folder)
        && fs::read_dir(folder).is_ok_and(|mut list| list.all(|e| e.is_ok_and(|e| is_id(&e.file_name()))))
}

/// The path relative to the archive: from the table on when the folders follow the archive's layout, else relative to
/// the source. It has ordinary names only, so that nothing of it leads out of where results go.
fn located(path: PathBuf, root: &Path) -> Source {
    let parts: Vec<String> = names_of(&path);
    let relative = match parts.as_slice() {
        [.., day, host, name] if day.starts_with("day=") && host.starts_with("host=") => {
            table_of(&path).map(|table| [table.as_str(), day, host, name].join("/"))
        }
        _ => None,
    };
    let below = || names_of(path.strip_prefix(root).unwrap_or(&path)).join("/");
    let relative = relative.unwrap_or_else(below);
    Source { path, relative, object: None }
}

fn names_of(path: &Path) -> Vec<String> {
    let normal = path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_string_lossy().into_owned()),
        _ => None,
    });
    normal.collect()
}

/// Name of the folder above `day=…/host=…/FILE`, which the path may only imply: `./day=…`, `../day=…`, `day=…`.
fn table_of(path: &Path) -> Option<String> {
    let folder = path.ancestors().nth(3)?;
    let name = |folder: &Path| match folder.components().next_back() {
        Some(Component::Normal(name)) => Some(name.to_string_lossy().into_owned()),
        _ => None,
    };
    name(folder).or_else(|| {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        name(&folder.canonicalize().ok()?)
    })
}

/// A file that was named twice is read once; different files must not share a relative path.
fn without_doubles(files: Vec<Source>) -> Result<Vec<Source>, StoreError> {
    let mut seen: HashMap<String, PathBuf> = HashMap::new();
    let mut known = HashSet::new();
    let mut kept = Vec::with_capacity(files.len());
    for file in files {
        // A folder and one below it give the same file under two names: the first counts.
        if !known.insert(file.path.canonicalize().unwrap_or_else(|_| file.path.clone())) {
            continue;
        }
        let name = sidecar_name(&file.relative).into_owned();
        match seen.get(&name) {
            None => {
                seen.insert(name, file.path.clone());
                kept.push(file);
            }
            Some(first) => {
                let first = first.clone();
                return Err(StoreError::Collision { relative: file.relative, first, second: file.path });
            }
        }
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(root: &Path, relative: &str) {
        let path = root.join(relative);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, b"x").unwrap();
    }

    fn names(sources: &[PathBuf]) -> Vec<String> {
        discover(sources).unwrap().into_iter().map(|s| s.relative).collect()
    }

    #[test]
    fn takes_parquet_and_leaves_the_rest() {
        let root = tempfile::tempdir().unwrap();
        let file = "process/day=2026-11-21/host=a/20261121T140000Z-000001.parquet";
        for name in [file, "x/half.parquet.tmp", ".hidden/a.parquet", "notes.txt", "x/b.parquet"] {
            touch(root.path(), name);
        }
        touch(root.path(), "scores/0123456789abcdef/x/b.parquet");
        touch(root.path(), "findings/0123456789abcdef/all.parquet");
        assert_eq!(names(&[root.path().into()]), [file, "x/b.parquet"]);
        // The same file by another road keeps its name, and is read once.
        assert_eq!(names(&[root.path().join("process/day=2026-11-21"), root.path().join(file)]), [file]);
    }

    #[test]
    fn the_table_is_a_name_even_if_the_path_only_implies_it() {
        let root = tempfile::tempdir().unwrap();
        let file = "process/day=2026-11-21/host=a/x.parquet";
        touch(root.path(), file);
        touch(root.path(), "process/odd/y.parquet");
        let inside = root.path().join("process/odd/..");
        let relative = |path: PathBuf| located(path, &inside).relative;
        assert_eq!(names(std::slice::from_ref(&inside)), ["odd/y.parquet", file]);
        assert_eq!(relative(inside.join("day=2026-11-21/host=a/x.parquet")), file);
        let here = std::env::current_dir().unwrap().file_name().unwrap().to_string_lossy().into_owned();
        for folder in ["", ".", "./"] {
            let path = Path::new(folder).join("day=1/host=a/x.parquet");
            assert_eq!(located(path, Path::new(folder)).relative, format!("{here}/day=1/host=a/x.parquet"));
        }
        let nowhere = located("../no/../day=1/host=a/x.parquet".into(), Path::new("..")).relative;
        assert!(!nowhere.contains(".."), "{nowhere}");
    }

    #[test]
    fn a_fifo_is_named_and_nobody_waits_for_it() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("x.parquet");
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        assert_eq!(names(&[root.path().into()]), ["x.parquet"]);
        let error = crate::ArchiveFile::open(&path).unwrap_err().to_string();
        assert!(error.contains("not a regular file"), "{error}");
    }

    #[test]
    fn refuses_what_is_not_there() {
        let root = tempfile::tempdir().unwrap();
        assert!(matches!(discover(&[root.path().join("no")]), Err(StoreError::Missing(_))));
        assert!(matches!(discover(&[root.path()]), Err(StoreError::NothingFound(_))));
        touch(root.path(), "a/x.parquet");
        touch(root.path(), "b/x.parquet");
        let both = [root.path().join("a"), root.path().join("b")];
        assert!(matches!(discover(&both), Err(StoreError::Collision { .. })));
    }
}
