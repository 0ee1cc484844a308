//! A file that appears whole or not at all.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use parquet::arrow::ArrowWriter;
use sha2::{Digest, Sha256};

use crate::error::StoreError;

/// What is recorded is for its owner, and for a group to read.
pub(crate) const FILE_MODE: u32 = 0o640;
const FOLDER_MODE: u32 = 0o750;

/// Names this process among all that write to the same folders.
static TAG: OnceLock<String> = OnceLock::new();
/// Temporaries with that name so far.
static NUMBER: AtomicU64 = AtomicU64::new(0);
/// What tags in names begin with, so that none is a process id.
const TAGGED: char = 'x';

/// From now on results have temporary names that no other process gives, on whatever machine, and this one once alone: where
/// machines share a folder process ids say nothing, and where work is done twice at a time neither copy may see the other.
/// `tag` is letters and digits, and this process's own; a second call changes nothing.
pub fn tag_temporaries(tag: &str) {
    let tag = tag.chars().filter(char::is_ascii_alphanumeric).collect();
    TAG.get_or_init(|| tag);
}

/// Whether what stands before `.tmp` is a tag.
pub(crate) fn is_tag(text: &str) -> bool {
    let parts = text.strip_prefix(TAGGED).and_then(|text| text.split_once('-'));
    parts.is_some_and(|(_, number)| number.parse::<u64>().is_ok())
}

/// Writes under a temporary name and hashes on the way; [`WholeFile::commit`] makes it durable and gives it its name.
/// Dropped without commit, it leaves nothing.
pub(crate) struct WholeFile {
    file: File,
    tmp: PathBuf,
    path: PathBuf,
    hash: Sha256,
    bytes: u64,
    done: bool,
}

impl WholeFile {
    /// A new file at `path`, which must not exist; the temporary name is `path` + `.tmp`.
    pub(crate) fn create_new(path: &Path) -> io::Result<Self> {
        if path.exists() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        Self::at(path, suffixed(path, ".tmp"))
    }

    /// A file that takes the place of `path` when committed. The temporary name holds the process id, so that two
    /// programs that write the same result do not mix. What a link leads to is replaced, and not the link.
    ///
    /// # Errors
    /// There is something of that name which is no file, such as a device or a pipe.
    pub(crate) fn replace(path: &Path) -> io::Result<Self> {
        let path = &match fs::symlink_metadata(path) {
            Ok(found) if found.is_symlink() => fs::canonicalize(path)?,
            _ => path.to_path_buf(),
        };
        if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is there and is no file; give another name"));
        }
        if let Some(tag) = TAG.get() {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            return Self::at(path, suffixed(path, &format!(".{TAGGED}{tag}-{number}.tmp")));
        }
        let tmp = suffixed(path, &format!(".{}.tmp", std::process::id()));
        let _ = fs::remove_file(&tmp); // left by a dead process that had our id
        Self::at(path, tmp)
    }

    fn at(path: &Path, tmp: PathBuf) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(&tmp)?;
        Ok(Self { file, tmp, path: path.into(), hash: Sha256::new(), bytes: 0, done: false })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Durable, renamed, and the folder durable too. Returns size and SHA-256 in hex.
    pub(crate) fn commit(&mut self) -> io::Result<(u64, String)> {
        self.file.sync_all()?;
        fs::rename(&self.tmp, &self.path)?;
        self.done = true;
        if let Some(folder) = self.path.parent()
            && let Err(error) = sync_folder(folder)
        {
            let _ = fs::remove_file(&self.path); // reported as lost, so it must not be there
            return Err(error);
        }
        Ok((self.bytes, hex(&std::mem::take(&mut self.hash).finalize())))
    }
}

impl Write for WholeFile {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let written = self.file.write(buffer)?;
        self.hash.update(&buffer[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Writes a file that is not Parquet, in place of one of that name.
///
/// # Errors
/// [`StoreError::Write`] naming the path; nothing is left behind.
pub fn write_whole(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), StoreError> {
    let all = || {
        let mut buffered = io::BufWriter::new(WholeFile::replace(path)?);
        write(&mut buffered)?;
        let mut whole = buffered.into_inner().map_err(io::IntoInnerError::into_error)?;
        whole.commit()
    };
    all().map(drop).map_err(|error| StoreError::write(path, &error))
}

/// Whether [`write_whole`] could begin now, for what is to be written much later.
///
/// # Errors
/// [`StoreError::Write`] naming the path; nothing is left behind.
pub fn check_whole(path: &Path) -> Result<(), StoreError> {
    WholeFile::replace(path).map(drop).map_err(|error| StoreError::write(path, &error))
}

impl Drop for WholeFile {
    fn drop(&mut self) {
        if !self.done {
            let _ = fs::remove_file(&self.tmp);
        }
    }
}

pub(crate) fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    File::open(folder)?.sync_all()
}

fn make_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().mode(FOLDER_MODE).create(folder)
}

/// Makes sure that the folder `root` exists. Its parent must exist: a mistyped path is not quietly created.
///
/// # Errors
/// [`StoreError::Write`] naming the folder.
pub fn ensure_folder(root: &Path) -> Result<(), StoreError> {
    match make_folder(root) {
        Ok(()) => {}
        Err(_) if root.is_dir() => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(StoreError::Write { path: root.into(), why: "it is a file, not a folder".into() });
        }
        Err(error) => return Err(StoreError::write(root, &error)),
    }
    Ok(())
}

/// Tries a file in a folder: better to fail now than after an hour.
///
/// # Errors
/// [`StoreError::Write`] naming the folder.
pub fn try_folder(folder: &Path) -> Result<(), StoreError> {
    let path = folder.join(format!("probe-{}.tmp", std::process::id()));
    let tried = fs::write(&path, [0; 4096]).and_then(|()| File::open(&path)?.sync_all());
    let removed = fs::remove_file(&path);
    tried.and(removed).map_err(|error| StoreError::write(folder, &error))
}

/// Folders below `root` (which is made too, but not its parent), each durable in its parent.
pub(crate) fn make_folders(root: &Path, relative: &Path) -> Result<PathBuf, StoreError> {
    ensure_folder(root)?;
    let mut folder = root.to_path_buf();
    for part in relative.components() {
        let parent = folder.clone();
        folder.push(part);
        match make_folder(&folder) {
            Ok(()) => sync_folder(&parent).map_err(|e| StoreError::write(&parent, &e))?,
            Err(_) if folder.is_dir() => {}
            Err(error) => return Err(StoreError::write(&folder, &error)),
        }
    }
    Ok(folder)
}

/// Completes a Parquet file: footer, commit. Returns size and SHA-256 in hex.
pub(crate) fn complete(mut parquet: ArrowWriter<WholeFile>) -> Result<(u64, String), StoreError> {
    let finished = parquet.finish().map(|_| ());
    let whole = parquet.inner_mut();
    finished.map_err(|e| StoreError::write_parquet(&whole.path, &e))?;
    whole.commit().map_err(|e| StoreError::write(&whole.path, &e))
}

/// SHA-256 of a file, in hex.
///
/// # Errors
/// [`StoreError::Read`] naming the file.
pub fn file_sha256(path: &Path) -> Result<String, StoreError> {
    let mut file = File::open(path).map_err(|e| StoreError::read(path, &e))?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer).map_err(|e| StoreError::read(path, &e))? {
            0 => return Ok(hex(&hash.finalize())),
            n => hash.update(&buffer[..n]),
        }
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // writing to a String cannot fail
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_file_stays_and_links_lead_on() {
        let folder = tempfile::tempdir().unwrap();
        let (socket, file, link) =
            (folder.path().join("socket"), folder.path().join("file"), folder.path().join("link"));
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let write = |path: &Path| write_whole(path, |to| to.write_all(b"new"));
        let error = write(&socket).unwrap_err().to_string();
        assert!(error.contains("socket") && error.contains("is no file"), "{error}");
        assert!(!fs::metadata(&socket).unwrap().is_file());
        fs::write(&file, "old").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        write(&link).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&file).unwrap(), "new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3, "nothing is left behind");
    }
}
