//! The kernel's counters, pinned: they outlive the agent, so that whoever comes next can say what a killed run lost.
//!
//! A file below a BPF file system for each run, `DIR/KEY-RUN`, where KEY stands for an archive and a host.

use crate::load::{Counters, KernelCounts, Loaded};
use sha2::{Digest, Sha256};
use std::{
    fs,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
};

/// The pins of one host in one archive.
pub struct Pins {
    folder: PathBuf,
    key: String,
    /// That of this run.
    own: Option<PathBuf>,
}

impl Pins {
    /// Pins below a folder, which is made if its parent is there.
    ///
    /// # Errors
    /// Why there can be none, in words.
    pub fn open(folder: &Path, archive: &Path, host: &str) -> Result<Self, String> {
        let fail = |error: std::io::Error| format!("{}: {error}", folder.display());
        if !folder.is_dir() {
            fs::DirBuilder::new().mode(0o700).create(folder).map_err(fail)?;
        }
        // Whoever may write there can say what a run lost.
        let found = fs::metadata(folder).map_err(fail)?;
        if found.uid() != rustix::process::geteuid().as_raw() || found.mode() & 0o022 != 0 {
            return Err(format!("{}: others may write to it", folder.display()));
        }
        let whole = archive.canonicalize().unwrap_or_else(|_| archive.into());
        let digest = Sha256::digest([whole.as_os_str().as_encoded_bytes(), b"\0", host.as_bytes()].concat());
        let key = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { folder: folder.into(), key, own: None })
    }

    /// What a run left, if it left something.
    #[must_use]
    pub fn left_by(&self, run: &str) -> Option<KernelCounts> {
        Counters::from_pin(&self.path(run)).ok()?.read().ok()
    }

    /// Runs other than this one that left something, and when each began, in nanoseconds UTC.
    #[must_use]
    pub fn others(&self) -> Vec<(String, i64)> {
        let prefix = format!("{}-", self.key);
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let others = entries.filter(|entry| Some(entry.path()) != self.own);
        let run = |entry: fs::DirEntry| {
            let name = entry.file_name().into_string().ok()?;
            let began = entry.metadata().ok()?.modified().ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
            Some((name.strip_prefix(&prefix)?.to_owned(), i64::try_from(began.as_nanos()).ok()?))
        };
        others.filter_map(run).collect()
    }

    /// Removes what earlier runs left. For when it is accounted for.
    pub fn clear(&self) {
        let prefix = format!("{}-", self.key);
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(&prefix) && Some(entry.path()) != self.own {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    /// Pins the counters of a run.
    ///
    /// # Errors
    /// Why not, in words.
    pub fn pin(&mut self, run: &str, loaded: &Loaded) -> Result<(), String> {
        let path = self.path(run);
        loaded.pin_counters(&path).map_err(|why| format!("{}: {why}", path.display()))?;
        self.own = Some(path);
        Ok(())
    }

    /// Removes that of this run, which ended well.
    pub fn remove(&mut self) {
        if let Some(path) = self.own.take() {
            let _ = fs::remove_file(path);
        }
    }

    fn path(&self, run: &str) -> PathBuf {
        self.folder.join(format!("{}-{run}", self.key))
    }
}
