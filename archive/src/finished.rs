//! Which inputs a run has finished, so that a run that was killed goes on where it was (docs/contracts.md §4, "Restart").
//!
//! `OUT/.finished-KEY` is frames one after the other: length and CRC-32 of what follows (4 bytes each, little endian), then
//! the process, or a part with its files and units (postcard). A frame that is not whole ends the file. KEY names baselines,
//! filter and release.

use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use store::{ArchiveFile, META_FILTER, META_SOURCE_DIGEST, Source, sidecar_path};

use crate::file::Step;
use crate::part::Done;

/// Changes with the form of what is written.
const FORM: u32 = 1;
/// What names of records begin with.
const NAME: &str = ".finished-";
/// Length and checksum.
const HEAD_BYTES: usize = 8;
/// What was made by an earlier run is read into memory up to this many bytes; the rest is made again.
const MOST_BYTES: u64 = 256 << 20;

/// A file that was scored.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct FinishedFile {
    relative: String,
    stamp: String,
    /// Rows to show as done.
    pub(crate) read: u64,
    pub(crate) table: String,
    pub(crate) rows: u64,
    pub(crate) digest: String,
    pub(crate) hosts: BTreeSet<Option<String>>,
    pub(crate) times: Option<(i64, i64)>,
    pub(crate) by: Vec<usize>,
}

impl FinishedFile {
    pub(crate) fn new(source: &Source, stamp: String, done: &Done) -> Self {
        let Done { table, rows, digest, hosts, times, by } = done;
        Self {
            relative: source.relative.clone(),
            stamp,
            read: *rows,
            table: table.clone(),
            rows: *rows,
            digest: digest.clone(),
            hosts: hosts.clone(),
            times: *times,
            by: by.clone(),
        }
    }
}

/// Files that depend on one another, and the units of their rows by number of the baseline.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct FinishedPart {
    pub(crate) files: Vec<FinishedFile>,
    pub(crate) units: Vec<(usize, Vec<u8>)>,
    pub(crate) crowded: u64,
}

#[derive(Serialize, Deserialize)]
enum Frame {
    Process(u32),
    Part(FinishedPart),
}

/// What earlier runs have finished, and where this one writes down what it has.
pub(crate) struct Finished {
    path: PathBuf,
    /// By the path of the first file.
    parts: HashMap<String, FinishedPart>,
    /// Nothing if another run has it, or it cannot be written: then only the restart is lost.
    file: Mutex<Option<File>>,
}

impl Finished {
    /// Takes up what a run with the same baselines and filter has left in `out`, and removes what dead runs had begun.
    pub(crate) fn open(step: &Step<'_>) -> Self {
        let path = record(step);
        let opened = OpenOptions::new().read(true).append(true).create(true).mode(0o640).open(&path);
        let mut this = Self { path, parts: HashMap::new(), file: Mutex::new(None) };
        let Ok(mut file) = opened else { return this };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock | TryLockError::Error(_)) => return this,
        }
        let (frames, whole) = frames(&mut file);
        for frame in frames {
            if let Frame::Part(part) = frame
                && let Some(first) = part.files.first()
            {
                this.parts.insert(first.relative.clone(), part);
            }
        }
        remove_begun(step.out);
        if file.set_len(whole).is_ok() && append(&mut file, &Frame::Process(std::process::id())).is_ok() {
            this.file = Mutex::new(Some(file));
        }
        this
    }

    /// What was made of these files, if it was made of all of them, as they are now, and is still there.
    pub(crate) fn find(&self, sources: &[&Source], step: &Step<'_>) -> Option<FinishedPart> {
        let part = self.parts.get(sources.first()?.relative.as_str())?;
        let filter = (!step.filter.is_all()).then(|| step.filter.text());
        // Another run, with another filter, may have put its own in their place since.
        let is_there = |file: &FinishedFile| {
            let is_ours = |number: &usize| {
                let against = step.against.get(*number)?;
                let sidecar = ArchiveFile::open(&sidecar_path(step.out, against.baseline.id(), &file.relative)).ok()?;
                let digest = sidecar.footer(META_SOURCE_DIGEST)?;
                Some(digest == file.digest && sidecar.footer(META_FILTER) == filter)
            };
            let has_sidecars = step.sidecars && (file.rows > 0 || step.filter.is_all());
            !has_sidecars || file.by.iter().all(|number| is_ours(number) == Some(true))
        };
        let same = part.files.len() == sources.len()
            && part.files.iter().zip(sources).all(|(file, source)| {
                file.relative == source.relative && source.stamp().as_ref() == Some(&file.stamp) && is_there(file)
            });
        same.then(|| part.clone())
    }

    /// Writes down that a part is finished. What cannot be written is made again, should this run be killed.
    pub(crate) fn add(&self, part: FinishedPart) {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if file.as_mut().is_some_and(|file| append(file, &Frame::Part(part)).is_err()) {
            *file = None;
        }
    }

    /// The run is complete: nothing is left to take up.
    pub(crate) fn remove(self) {
        if self.file.into_inner().unwrap_or_else(PoisonError::into_inner).is_some() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Whether a run with these baselines and this filter has begun in the folder.
pub(crate) fn is_begun(step: &Step<'_>) -> bool {
    record(step).exists()
}

fn record(step: &Step<'_>) -> PathBuf {
    step.out.join(format!("{NAME}{}", key(step)))
}

/// Removes what runs had begun that are no more, whatever their filter and baselines were.
fn remove_begun(out: &Path) {
    let names = fs::read_dir(out).into_iter().flatten().flatten();
    let records = names.filter(|entry| entry.file_name().to_string_lossy().starts_with(NAME));
    let files = records.filter_map(|entry| File::open(entry.path()).ok());
    let processes = files.flat_map(|mut file| frames(&mut file).0).filter_map(|frame| match frame {
        Frame::Process(id) => Some(id),
        Frame::Part(_) => None,
    });
    for id in processes.collect::<BTreeSet<u32>>() {
        if !Path::new("/proc").join(id.to_string()).exists() {
            store::remove_leftovers(out, Some(id));
        }
    }
}

fn key(step: &Step<'_>) -> String {
    let mut hash = Sha256::new();
    hash.update(format!("{FORM} {}\n", env!("CARGO_PKG_VERSION")));
    step.against.iter().for_each(|against| hash.update(format!("{}\n", against.baseline.id())));
    hash.update(step.filter.text());
    hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// One write, so that frames of a run that is killed are whole or the last is not.
fn append(file: &mut File, frame: &Frame) -> io::Result<()> {
    let body = postcard::to_stdvec(frame).map_err(io::Error::other)?;
    let length = u32::try_from(body.len()).map_err(io::Error::other)?;
    let mut bytes = Vec::with_capacity(HEAD_BYTES + body.len());
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&crc32fast::hash(&body).to_le_bytes());
    bytes.extend_from_slice(&body);
    file.write_all(&bytes)
}

/// The whole frames, and how many bytes they are.
fn frames(file: &mut File) -> (Vec<Frame>, u64) {
    let (mut bytes, mut found) = (Vec::new(), Vec::new());
    if file.take(MOST_BYTES).read_to_end(&mut bytes).is_err() {
        return (found, 0);
    }
    let mut rest = bytes.as_slice();
    while let Some((frame, after)) = first(rest) {
        found.push(frame);
        rest = after;
    }
    (found, (bytes.len() - rest.len()) as u64)
}

fn first(bytes: &[u8]) -> Option<(Frame, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (crc, rest) = rest.split_first_chunk::<4>()?;
    let (body, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    let whole = crc32fast::hash(body) == u32::from_le_bytes(*crc);
    whole.then(|| postcard::from_bytes(body).ok()).flatten().map(|frame| (frame, rest))
}
