//! Copies closed files to an object store, and knows afterwards what is there.
//!
//! ```text
//! plan (what lies in the archive) ─▶ upload, part by part ─▶ HEAD ─▶ record (.uploaded) ─▶ remove here, if that is wished
//! ```
//! Nothing is removed before the store has confirmed it. Memory does not grow with the archive or with the time an
//! endpoint is down: one part of one file is held, and a line's worth of every file that lies here.

mod pace;
mod plan;
mod record;
mod send;

use crate::error::{StoreError, one_line};
use crate::target::Target;
use object_store::{ObjectStoreExt, path::Path as ObjectPath};
use pace::{Pace, Pause};
pub use record::Uploaded;
use record::{Entry, Record};
use send::{Content, Failure};
use serde::Serialize;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often a file is tried in one pass.
const TRIES: u32 = 4;
/// After this many files in a row that could not be sent, a pass ends: the endpoint is down.
const DOWN: u32 = 3;

/// What to upload, and where to.
#[derive(Debug, Clone, Default)]
pub struct UploadOptions {
    /// The archive.
    pub archive: PathBuf,
    /// `s3://`, `gs://`, `az://`, `http(s)://` or `file:///`, with a prefix.
    pub to: String,
    /// Settings of the store, as KEY and VALUE.
    pub settings: Vec<(String, String)>,
    /// Remove the rows and scores that are confirmed.
    pub delete: bool,
    /// Bytes a second at most.
    pub limit: Option<u64>,
}

/// What became of the files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct UploadStatus {
    /// Files sent and confirmed.
    pub uploaded: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files that were there before.
    pub known: u64,
    /// Files that the store did not have any more, though it had confirmed them; they are sent again.
    pub missing: u64,
    /// Files that changed or went while they were read; a later pass takes them.
    pub changed: u64,
    /// Files removed here, once confirmed.
    pub deleted: u64,
    /// Files that could not be sent or confirmed.
    pub failed: u64,
    /// Attempts beyond the first.
    pub retries: u64,
    /// Whether the pass ended early, for the endpoint is down or refuses everything.
    pub down: bool,
    /// What went wrong last.
    pub trouble: Option<String>,
}

impl UploadStatus {
    /// One line for people.
    #[must_use]
    pub fn line(&self) -> String {
        let mut words =
            vec![format!("{} files up ({} bytes)", self.uploaded, self.bytes), format!("{} there before", self.known)];
        let more = [
            (self.missing, "missing there, sent again"),
            (self.changed, "changed meanwhile, for a later pass"),
            (self.deleted, "removed here"),
            (self.failed, "failed"),
            (self.retries, "attempts more"),
        ];
        words.extend(more.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")));
        if self.down {
            words.push("given up for now".to_owned());
        }
        words.join(", ")
    }

    fn fail(&mut self, why: &str) {
        self.failed += 1;
        self.trouble = Some(one_line(why));
    }
}

/// Copies the closed files of one archive to one place.
pub struct Uploader {
    archive: PathBuf,
    target: Target,
    record: Record,
    pace: Pace,
    delete: bool,
    /// What the record says was confirmed is asked for once in the life of this process.
    first: bool,
    /// Passes in a row that found the endpoint down.
    down: Pause,
    was_down: bool,
}

impl Uploader {
    /// Opens the record of the archive, for this process alone, and the store; nothing is sent.
    ///
    /// # Errors
    /// [`StoreError::Upload`] if the store cannot be made of URL and settings, [`StoreError::Write`] if the record cannot be had.
    pub fn open(options: &UploadOptions) -> Result<Self, StoreError> {
        let target = Target::open(&options.to, &options.settings)?;
        let record = Record::open(&options.archive, target.id())?;
        let (archive, pace) = (options.archive.clone(), Pace::new(options.limit));
        Ok(Self {
            archive,
            target,
            record,
            pace,
            delete: options.delete,
            first: true,
            down: Pause::default(),
            was_down: false,
        })
    }

    /// How long to wait before the next pass: longer each time that the endpoint was down.
    pub fn rest(&mut self, every: Duration) -> Duration {
        if self.was_down { self.down.longer_than(every) } else { every }
    }

    /// Takes every file of the archive once. What goes wrong is counted and told.
    ///
    /// # Errors
    /// [`StoreError`] if the archive or the record cannot be used at all.
    pub async fn pass(&mut self) -> Result<UploadStatus, StoreError> {
        let status = self.round().await?;
        self.was_down = status.down;
        if !self.was_down {
            self.down = Pause::default();
        }
        Ok(status)
    }

    async fn round(&mut self) -> Result<UploadStatus, StoreError> {
        let mut status = UploadStatus::default();
        let mut in_a_row = 0;
        for folder in plan::folders(&self.archive)? {
            for relative in plan::files(&self.archive, &folder)? {
                if self.file(&relative, &mut status).await? {
                    in_a_row = 0;
                    continue;
                }
                in_a_row += 1;
                if in_a_row >= DOWN || status.down {
                    status.down = true;
                    return Ok(status);
                }
            }
        }
        self.first = false;
        self.record.forget(|relative| self.archive.join(relative).exists())?;
        Ok(status)
    }

    /// Whether the store took, or has, one file, or it need not.
    async fn file(&mut self, relative: &str, status: &mut UploadStatus) -> Result<bool, StoreError> {
        let Some(found) = plan::stamp(&self.archive.join(relative)) else {
            status.changed += 1;
            return Ok(true);
        };
        let known = self.record.get(relative).filter(|entry| entry.stamp == found).cloned();
        let at = match self.target.place(relative) {
            Ok(at) => at,
            Err(why) => {
                status.fail(&format!("cannot upload: {relative}: {}", self.target.hide(&why)));
                return Ok(true);
            }
        };
        let deletes = self.delete && plan::may_go(relative);
        if let Some(entry) = known {
            if !(self.first || deletes) {
                status.known += 1;
                return Ok(true);
            }
            match self.confirm(&at, &entry).await {
                Ok(true) => {
                    status.known += 1;
                    self.remove(relative, &entry, deletes, status);
                    return Ok(true);
                }
                Ok(false) => status.missing += 1,
                Err(failure) => return Ok(self.failed(relative, &failure, status)),
            }
        }
        let failed_before = status.failed;
        if let Some(entry) = self.send(relative, &at, status).await? {
            self.remove(relative, &entry, deletes, status);
        }
        Ok(status.failed == failed_before)
    }

    /// Sends a file, with pauses between attempts, and enters it in the record once it is confirmed.
    async fn send(
        &mut self,
        relative: &str,
        at: &ObjectPath,
        status: &mut UploadStatus,
    ) -> Result<Option<Entry>, StoreError> {
        let mut pause = Pause::default();
        for attempt in 1.. {
            let failure = match self.attempt(relative, at).await {
                Ok(Some(entry)) => {
                    self.record.append(relative, &entry)?;
                    status.uploaded += 1;
                    status.bytes += entry.stamp.bytes;
                    return Ok(Some(entry));
                }
                Ok(None) => {
                    status.changed += 1;
                    return Ok(None);
                }
                Err(failure) => failure,
            };
            if attempt >= TRIES || failure.fatal {
                self.failed(relative, &failure, status);
                return Ok(None);
            }
            status.retries += 1;
            tokio::time::sleep(pause.next()).await;
        }
        Ok(None)
    }

    /// `None` if the file changed or went meanwhile.
    async fn attempt(&mut self, relative: &str, at: &ObjectPath) -> Result<Option<Entry>, Failure> {
        let Some(content) = Content::open(&self.archive.join(relative)).map_err(Failure::local)? else {
            return Ok(None);
        };
        let Some(entry) = content.send(&self.target, at, &mut self.pace).await? else { return Ok(None) };
        match self.confirm(at, &entry).await? {
            true => Ok(Some(entry)),
            false => Err(Failure::of("the store does not have what was sent".into())),
        }
    }

    /// Whether the store has the object that the entry tells of.
    async fn confirm(&self, at: &ObjectPath, entry: &Entry) -> Result<bool, Failure> {
        let found = match self.target.store().head(at).await {
            Ok(found) => found,
            Err(object_store::Error::NotFound { .. }) => return Ok(false),
            Err(error) => return Err(Failure::far(&error)),
        };
        let same_tag = match (&found.e_tag, &entry.e_tag) {
            (Some(found), Some(sent)) => found == sent,
            _ => true,
        };
        Ok(found.size == entry.stamp.bytes && same_tag)
    }

    /// Counts and says a failure; false, as it was one.
    fn failed(&self, relative: &str, failure: &Failure, status: &mut UploadStatus) -> bool {
        status.fail(&format!("cannot upload: {relative}: {}", self.target.hide(&failure.why)));
        status.down |= failure.fatal;
        false
    }

    /// Removes a file that is confirmed, if it is still the one that was sent.
    fn remove(&self, relative: &str, entry: &Entry, deletes: bool, status: &mut UploadStatus) {
        let path = self.archive.join(relative);
        if !deletes || plan::stamp(&path) != Some(entry.stamp) {
            return;
        }
        match fs::remove_file(&path) {
            Ok(()) => status.deleted += 1,
            Err(error) => status.trouble = Some(one_line(&StoreError::write(&path, &error).to_string())),
        }
    }
}

/// Whether a path is below an archive, and which.
fn relative_to<'a>(archive: &Path, path: &'a Path) -> Option<&'a str> {
    path.strip_prefix(archive).unwrap_or(path).to_str()
}
