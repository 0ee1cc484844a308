//! `ARCHIVE/.uploaded`: what a store has confirmed, a line for each file. Appended to, so that a crash costs the last line
//! at most, and that file goes up again.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, OFlags, flock};
use serde::{Deserialize, Serialize};
use std::os::unix::fs::OpenOptionsExt;

use super::plan::{Stamp, stamp};
use super::relative_to;
use crate::error::StoreError;
use crate::whole::WholeFile;

const NAME: &str = ".uploaded";
/// Longer lines are none of ours.
const LINE_BYTES: u64 = 16 << 10;
/// The record is written anew when it has this many lines of files that are gone, and they are the larger part.
const STALE_LINES: u64 = 1_000;

/// What is known of one file at one store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    #[serde(flatten)]
    pub(super) stamp: Stamp,
    pub(super) sha256: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) e_tag: Option<String>,
}

/// A line: an entry, and whose.
#[derive(Serialize, Deserialize)]
struct Line {
    to: String,
    path: String,
    #[serde(flatten)]
    entry: Entry,
}

fn encode(line: &Line) -> Vec<u8> {
    let json = serde_json::to_string(line).unwrap_or_default();
    format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes())).into_bytes()
}

/// A line that is whole; another is as if it had never been written.
fn decode(line: &[u8]) -> Option<Line> {
    let line = std::str::from_utf8(line).ok()?.strip_suffix('\n')?;
    let (sum, json) = line.split_once(' ')?;
    (sum == format!("{:08x}", crc32fast::hash(json.as_bytes()))).then(|| serde_json::from_str(json).ok())?
}

/// Gives each whole line; returns how many lines there are, and where the last whole one ends.
fn read(file: &mut File, from: u64, mut each: impl FnMut(Line)) -> std::io::Result<(u64, u64)> {
    file.seek(SeekFrom::Start(from))?;
    let mut reader = BufReader::new(file);
    let (mut lines, mut end, mut line) = (0, from, Vec::new());
    loop {
        line.clear();
        let length = reader.by_ref().take(LINE_BYTES).read_until(b'\n', &mut line)?;
        if length == 0 || line.last() != Some(&b'\n') && length < LINE_BYTES as usize {
            return Ok((lines, end));
        }
        end += length as u64;
        lines += 1;
        if let Some(line) = decode(&line) {
            each(line);
        }
    }
}

fn open(path: &Path, write: bool) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    // Whoever can write to the archive's folder shall not send us elsewhere.
    options.read(true).write(write).create(write).mode(0o640).custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
    options.open(path)
}

/// The record of one archive, for one store; other stores' lines are left as they are.
pub(super) struct Record {
    path: PathBuf,
    file: File,
    to: String,
    entries: HashMap<String, Entry>,
    lines: u64,
    end: u64,
}

impl Record {
    pub(super) fn open(archive: &Path, to: &str) -> Result<Self, StoreError> {
        let path = archive.join(NAME);
        let file = open(&path, true).map_err(|error| StoreError::write(&path, &error))?;
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Err(StoreError::Write { path, why: "another upload of this archive runs".into() });
        }
        let mut record = Self { path, file, to: to.into(), entries: HashMap::new(), lines: 0, end: 0 };
        record.load().map_err(|error| StoreError::write(&record.path, &error))?;
        Ok(record)
    }

    fn load(&mut self) -> std::io::Result<()> {
        let Self { file, to, entries, .. } = self;
        (self.lines, self.end) = read(file, 0, |line| {
            if line.to == *to {
                entries.insert(line.path, line.entry);
            }
        })?;
        // A line that was cut short would spoil the next.
        self.file.set_len(self.end)
    }

    pub(super) fn get(&self, relative: &str) -> Option<&Entry> {
        self.entries.get(relative)
    }

    pub(super) fn append(&mut self, relative: &str, entry: &Entry) -> Result<(), StoreError> {
        let line = encode(&Line { to: self.to.clone(), path: relative.into(), entry: entry.clone() });
        let write = |file: &mut File| {
            file.seek(SeekFrom::Start(self.end))?;
            file.write_all(&line)?;
            file.sync_data()
        };
        write(&mut self.file).map_err(|error| StoreError::write(&self.path, &error))?;
        self.end += line.len() as u64;
        self.lines += 1;
        self.entries.insert(relative.into(), entry.clone());
        Ok(())
    }

    /// Forgets files that are gone from here, and now and then writes the record anew without them.
    pub(super) fn forget(&mut self, is_here: impl Fn(&str) -> bool) -> Result<(), StoreError> {
        self.entries.retain(|relative, _| is_here(relative));
        let stale = self.lines.saturating_sub(self.entries.len() as u64);
        if stale < STALE_LINES || stale < self.lines / 2 {
            return Ok(());
        }
        let rewrite = |record: &mut Self| {
            let mut whole = WholeFile::replace(&record.path)?;
            let mut kept = Vec::new();
            // One line for each store and file.
            read(&mut record.file, 0, |line| {
                let newest = line.to != record.to || record.entries.get(&line.path) == Some(&line.entry);
                if newest && is_here(&line.path) {
                    kept.push(encode(&line));
                }
            })?;
            kept.iter().try_for_each(|line| whole.write_all(line))?;
            whole.commit()?;
            record.file = open(&record.path, true)?;
            flock(&record.file, FlockOperation::NonBlockingLockExclusive)?;
            record.load()
        };
        rewrite(self).map_err(|error| StoreError::write(&self.path.clone(), &error))
    }
}

/// What was confirmed, for those who remove files.
pub struct Uploaded {
    archive: PathBuf,
    entries: HashMap<String, Stamp>,
    read: Option<(u64, u64)>,
}

impl Uploaded {
    /// Of an archive, to whichever store; nothing is, if there is no record.
    #[must_use]
    pub fn of(archive: &Path) -> Self {
        let mut uploaded = Self { archive: archive.into(), entries: HashMap::new(), read: None };
        uploaded.refresh();
        uploaded
    }

    /// Takes in what was confirmed since. Cheap if nothing was.
    pub fn refresh(&mut self) {
        use std::os::unix::fs::MetadataExt;
        let path = self.archive.join(NAME);
        let Ok(mut file) = open(&path, false) else { return };
        let Ok(found) = file.metadata() else { return };
        let from = match self.read {
            Some((inode, end)) if inode == found.ino() && end <= found.len() => end,
            _ => {
                self.entries.clear();
                0
            }
        };
        let entries = &mut self.entries;
        if let Ok((_, end)) = read(&mut file, from, |line| _ = entries.insert(line.path, line.entry.stamp)) {
            self.read = Some((found.ino(), end));
        }
    }

    /// Whether a store has confirmed this file of the archive as it is now. The path may be that on disk.
    #[must_use]
    pub fn uploaded(&self, path: &Path) -> bool {
        let entry = relative_to(&self.archive, path).and_then(|relative| Some((relative, self.entries.get(relative)?)));
        entry.is_some_and(|(relative, entry)| stamp(&self.archive.join(relative)) == Some(*entry))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(bytes: u64) -> Entry {
        let stamp = Stamp { bytes, modified_s: 1, modified_ns: 2 };
        Entry { stamp, sha256: "ab".into(), e_tag: None }
    }

    #[test]
    fn a_record_cut_anywhere_keeps_its_whole_lines_and_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(NAME);
        let mut record = Record::open(folder.path(), "s3").unwrap();
        record.append("a", &entry(1)).unwrap();
        let first = record.end as usize;
        record.append("b", &entry(2)).unwrap();
        drop(record);
        let whole = std::fs::read(&path).unwrap();
        for length in 0..=whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            let mut record = Record::open(folder.path(), "s3").unwrap();
            assert_eq!(record.get("a").is_some(), length >= first, "{length}");
            assert_eq!(record.get("b").is_some(), length == whole.len(), "{length}");
            record.append("c", &entry(3)).unwrap();
            drop(record);
            assert_eq!(Record::open(folder.path(), "s3").unwrap().get("c"), Some(&entry(3)), "{length}");
        }
        for at in 0..first {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            std::fs::write(&path, &changed).unwrap();
            let record = Record::open(folder.path(), "s3").unwrap();
            assert_eq!(record.get("a").filter(|a| **a != entry(1)), None, "{at}");
        }
    }

    #[test]
    fn a_record_is_for_one_process_and_each_store_has_its_own_lines() {
        let folder = tempfile::tempdir().unwrap();
        let mut record = Record::open(folder.path(), "s3").unwrap();
        record.append("a", &entry(1)).unwrap();
        let error = Record::open(folder.path(), "gs").err().unwrap().to_string();
        assert!(error.contains("another upload"), "{error}");
        drop(record);
        assert_eq!(Record::open(folder.path(), "gs").unwrap().get("a"), None);
    }

    #[test]
    fn files_that_are_gone_are_forgotten_in_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(NAME);
        let mut record = Record::open(folder.path(), "s3").unwrap();
        let mut written = Vec::new();
        for at in 0..STALE_LINES + 10 {
            written.extend(encode(&Line { to: "s3".into(), path: at.to_string(), entry: entry(at) }));
        }
        std::fs::write(&path, &written).unwrap();
        record.load().unwrap();
        record.forget(|relative| relative == "7").unwrap();
        assert_eq!((record.lines, record.entries.len()), (1, 1));
        record.append("8", &entry(8)).unwrap();
        drop(record);
        let record = Record::open(folder.path(), "s3").unwrap();
        assert_eq!((record.get("7"), record.get("8")), (Some(&entry(7)), Some(&entry(8))));
    }

    #[test]
    fn a_file_that_changed_is_not_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, "rows").unwrap();
        let mut uploaded = Uploaded::of(folder.path());
        assert!(!uploaded.uploaded(&path));
        let mut record = Record::open(folder.path(), "s3").unwrap();
        record.append("a", &Entry { stamp: stamp(&path).unwrap(), ..entry(0) }).unwrap();
        assert!(!uploaded.uploaded(&path));
        uploaded.refresh();
        assert!(uploaded.uploaded(&path) && uploaded.uploaded(Path::new("a")) && !uploaded.uploaded(Path::new("b")));
        std::fs::write(&path, "more rows").unwrap();
        assert!(!uploaded.uploaded(&path));
    }
}
