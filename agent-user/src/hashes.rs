//! SHA-256 of images, made once for each version of a file, on a thread of its own.
//!
//! The file is opened while the record is taken in, as the process may be gone a moment later; its bytes are read behind.

use crate::facts;
use crossbeam_channel::{Sender, bounded};
use events::{Image, ImageHead};
use rustix::fs::{FileType, Mode, OFlags};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::{
    collections::HashMap,
    fs::{File, Metadata},
    io::Read,
    os::{fd::AsRawFd, unix::fs::MetadataExt},
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

/// Files that may wait, each an open descriptor.
const QUEUE: usize = 256;
/// Digests that are remembered.
const REMEMBERED: usize = 8192;
/// Larger files are not read.
const FILE_MAX: u64 = 256 << 20;

/// A digest in hex, once it is known; `None` inside if the file could not be read.
pub type Digest = Arc<OnceLock<Option<Arc<str>>>>;

/// One version of a file: what is written to it changes its ctime.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Version {
    device: u64,
    inode: u64,
    changed: (i64, i64),
    size: u64,
}

impl Version {
    fn of(meta: &Metadata) -> Self {
        Self { device: meta.dev(), inode: meta.ino(), changed: (meta.ctime(), meta.ctime_nsec()), size: meta.size() }
    }
}

/// Which image: what its record says of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Which {
    /// The process that ran it, and may be gone.
    tgid: u32,
    inode: u64,
    device: u32,
    /// Its path, seen from the root folder of the process.
    path: Option<String>,
    /// When it ran, in nanoseconds UTC.
    time: i64,
}

/// Digests of images, made by this process or by another.
pub struct Hashes(Source);

enum Source {
    Here(Hasher),
    Away(facts::Away),
}

impl Hashes {
    /// Made here; none known yet.
    #[must_use]
    pub fn new() -> Self {
        Self(Source::Here(Hasher::new()))
    }

    /// Made by another process.
    #[must_use]
    pub fn away(away: facts::Away) -> Self {
        Self(Source::Away(away))
    }

    /// The digest of the image of a record, or the promise of one; `None` if the file is gone, is not the one that the
    /// kernel ran, is too large, or too many wait. `time` is when it ran, in nanoseconds UTC.
    pub fn of(&mut self, image: &Image<'_>, exe: Option<&str>, time: i64) -> Option<Digest> {
        let ImageHead { task, inode, device, .. } = image.head;
        let which = Which { tgid: task.tgid, inode, device, path: exe.map(Into::into), time };
        match &mut self.0 {
            _ if inode == 0 => None,
            Source::Here(hasher) => hasher.of(&which),
            Source::Away(away) => away.of(which),
        }
    }
}

impl Default for Hashes {
    fn default() -> Self {
        Self::new()
    }
}

/// A file to read, unless another before it in the queue makes the same digest, and whom to tell.
struct Job {
    file: Option<File>,
    digest: Digest,
    tell: Tell,
}

type Tell = Box<dyn FnOnce(Option<Arc<str>>) + Send>;

/// Opens and reads images.
pub struct Hasher {
    known: HashMap<Version, Digest>,
    queue: Option<Sender<Job>>,
}

impl Hasher {
    /// None known yet.
    #[must_use]
    pub fn new() -> Self {
        let (queue, jobs) = bounded::<Job>(QUEUE);
        let work = move || {
            for Job { file, digest, tell } in jobs {
                if let Some(file) = file {
                    let _ = digest.set(hash(file));
                }
                tell(digest.get().cloned().flatten());
            }
        };
        let started = std::thread::Builder::new().name("hasher".into()).spawn(work);
        Self { known: HashMap::new(), queue: started.is_ok().then_some(queue) }
    }

    /// As [`Hashes::of`].
    fn of(&mut self, which: &Which) -> Option<Digest> {
        let (file, version) = open(which)?;
        match self.known.get(&version) {
            Some(known) => Some(known.clone()),
            None => self.read(version, file, Box::new(drop)),
        }
    }

    /// Tells the digest once it is known; `None` where [`Hashes::of`] has none.
    pub fn tell(&mut self, which: &Which, tell: impl FnOnce(Option<Arc<str>>) + Send + 'static) {
        // In a place that both may take it from: whether it is queued is known only afterwards.
        let tell = Arc::new(Mutex::new(Some(tell)));
        let told = tell.clone();
        let later: Tell = Box::new(move |hex| {
            if let Some(tell) = told.lock().unwrap_or_else(PoisonError::into_inner).take() {
                tell(hex);
            }
        });
        let digest = open(which).and_then(|(file, version)| match self.known.get(&version).cloned() {
            Some(digest) => self.queue(Job { file: None, digest, tell: later }),
            None => self.read(version, file, later),
        });
        if digest.is_none()
            && let Some(tell) = tell.lock().unwrap_or_else(PoisonError::into_inner).take()
        {
            tell(None);
        }
    }

    fn read(&mut self, version: Version, file: File, tell: Tell) -> Option<Digest> {
        let digest = self.queue(Job { file: Some(file), digest: Digest::default(), tell })?;
        if self.known.len() >= REMEMBERED {
            self.known.clear();
        }
        self.known.insert(version, digest.clone());
        Some(digest)
    }

    fn queue(&self, job: Job) -> Option<Digest> {
        let digest = job.digest.clone();
        self.queue.as_ref()?.try_send(job).ok()?;
        Some(digest)
    }
}

impl Default for Hasher {
    fn default() -> Self {
        Self::new()
    }
}

/// The image, if it can still be had.
fn open(which: &Which) -> Option<(File, Version)> {
    let of_process = File::open(format!("/proc/{}/exe", which.tgid)).ok();
    let found = of_process.and_then(|file| version(file, which));
    found.or_else(|| version(at_path(which)?, which))
}

/// The file at a path, if it is the image. Whoever ran it chose the path, and may have put a pipe or a device there since,
/// which do things when they are opened: so it is looked at first, and what was looked at is opened. While a program runs,
/// its file cannot be written to; afterwards it can, and then it is no longer what ran. What nobody may run is not read:
/// whoever asks may have been taken over, and would learn something of a file that is kept from it.
fn at_path(which: &Which) -> Option<File> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let path = which.path.as_deref().filter(|path| path.starts_with('/'))?;
    let place = rustix::fs::open(path, flags, Mode::empty()).ok()?;
    let meta = rustix::fs::fstat(&place).ok()?;
    let device = rustix::fs::major(meta.st_dev) << 20 | rustix::fs::minor(meta.st_dev);
    let regular = FileType::from_raw_mode(meta.st_mode) == FileType::RegularFile;
    let runs = Mode::from_raw_mode(meta.st_mode).intersects(Mode::XUSR | Mode::XGRP | Mode::XOTH);
    let changed = meta.st_ctime.saturating_mul(1_000_000_000).saturating_add(meta.st_ctime_nsec as i64);
    let same = meta.st_ino == which.inode && device == which.device && changed <= which.time;
    (regular && runs && same).then(|| File::open(format!("/proc/self/fd/{}", place.as_raw_fd())).ok()).flatten()
}

/// The version of an open file, if it is the image.
fn version(file: File, which: &Which) -> Option<(File, Version)> {
    let meta = file.metadata().ok()?;
    let same = meta.is_file() && meta.ino() == which.inode && meta.size() <= FILE_MAX;
    same.then(|| (file, Version::of(&meta)))
}

/// The digest of what is in a file, if it stays the same meanwhile.
fn hash(file: File) -> Option<Arc<str>> {
    let before = Version::of(&file.metadata().ok()?);
    // One that grows without end is not read without end.
    let mut file = file.take(before.size + 1);
    let (mut hasher, mut buffer) = (Sha256::new(), vec![0; 1 << 16]);
    loop {
        match file.read(&mut buffer).ok()? {
            0 => break,
            read => hasher.update(&buffer[..read]),
        }
    }
    let after = Version::of(&file.get_ref().metadata().ok()?);
    (before == after).then(|| hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect::<String>().into())
}

/// Digests of rows that wait for their batch, in order.
#[derive(Debug, Clone, Default)]
pub struct Waiting(Vec<Option<Digest>>);

impl Waiting {
    /// The next row's.
    pub fn push(&mut self, digest: Option<Digest>) {
        self.0.push(digest);
    }

    /// Whether there is none to wait for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }

    /// All of them, as far as they are known after waiting this long at most.
    pub fn take(&mut self, patience: Duration) -> impl Iterator<Item = Option<Arc<str>>> + use<> {
        let until = Instant::now() + patience;
        std::mem::take(&mut self.0).into_iter().map(move |digest| {
            let digest = digest?;
            while digest.get().is_none() && Instant::now() < until {
                std::thread::sleep(Duration::from_millis(1));
            }
            digest.get()?.clone()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytemuck::Zeroable;
    use events::TaskHead;
    use std::{fs::Permissions, os::unix::fs::PermissionsExt};

    fn known(hashes: &Hashes) -> usize {
        match &hashes.0 {
            Source::Here(hasher) => hasher.known.len(),
            Source::Away(_) => 0,
        }
    }

    fn image(inode: u64, tgid: u32) -> Image<'static> {
        let task = TaskHead { tgid, ..TaskHead::zeroed() };
        Image { head: ImageHead { task, inode, ..ImageHead::zeroed() }, name: b"", image: b"", folder: b"", args: b"" }
    }

    fn digest(hashes: &mut Hashes, image: &Image<'_>, exe: Option<&str>) -> Option<Arc<str>> {
        let mut waiting = Waiting::default();
        waiting.push(hashes.of(image, exe, crate::kernel::utc_now()));
        waiting.take(Duration::from_secs(60)).next().flatten()
    }

    #[test]
    fn an_image_is_read_once() {
        let mut hashes = Hashes::new();
        let own = image(std::fs::metadata("/proc/self/exe").unwrap().ino(), std::process::id());
        let first = digest(&mut hashes, &own, None);
        assert_eq!(first.as_ref().map(|hex| hex.len()), Some(64));
        assert_eq!((digest(&mut hashes, &own, None), known(&hashes)), (first, 1));
    }

    #[test]
    fn another_image_or_none_has_no_digest() {
        let mut hashes = Hashes::new();
        assert_eq!(digest(&mut hashes, &image(1, std::process::id()), None), None);
        assert_eq!(digest(&mut hashes, &image(1, u32::MAX), Some("/proc/self/exe")), None);
    }

    #[test]
    fn the_image_of_a_process_that_is_gone_is_found_by_its_path_and_nothing_else_is_opened() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image");
        std::fs::write(&path, "abc").unwrap();
        let mode = |mode| std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        mode(0o755);
        let meta = std::fs::metadata(&path).unwrap();
        let mut gone = image(meta.ino(), u32::MAX);
        let mut hashes = Hashes::new();
        assert_eq!(digest(&mut hashes, &gone, path.to_str()), None, "another device");
        gone.head.device = rustix::fs::major(meta.dev()) << 20 | rustix::fs::minor(meta.dev());
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(digest(&mut hashes, &gone, path.to_str()).as_deref(), Some(abc));
        mode(0o600);
        assert_eq!(digest(&mut hashes, &gone, path.to_str()), None, "nobody may run it");
        mode(0o755);
        std::fs::write(&path, "abcd").unwrap();
        assert!(digest(&mut hashes, &gone, path.to_str()).is_some_and(|other| &*other != abc));
        assert!(hashes.of(&gone, path.to_str(), crate::kernel::utc_now() - 60_000_000_000).is_none(), "changed since");
        // Opening a pipe that nobody writes to would wait for ever.
        let pipe = folder.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, FileType::Fifo, Mode::RUSR, 0).unwrap();
        gone.head.inode = std::fs::metadata(&pipe).unwrap().ino();
        assert_eq!(digest(&mut hashes, &gone, pipe.to_str()), None);
        std::os::unix::fs::symlink(&path, folder.path().join("link")).unwrap();
        assert_eq!(digest(&mut hashes, &gone, folder.path().join("link").to_str()), None);
    }

    #[test]
    fn what_is_not_known_in_time_is_left_out() {
        let mut waiting = Waiting::default();
        waiting.push(Some(Digest::default()));
        waiting.push(None);
        assert_eq!(waiting.take(Duration::ZERO).collect::<Vec<_>>(), [None, None]);
    }
}
