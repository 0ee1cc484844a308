//! One file on its way: read, hashed and sent part by part.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use object_store::{MultipartUpload, ObjectStoreExt, path::Path as ObjectPath};
use rustix::fs::OFlags;
use sha2::{Digest, Sha256};

use super::pace::Pace;
use super::plan::Stamp;
use super::record::Entry;
use crate::error::one_line;
use crate::target::Target;
use crate::whole::hex;

/// Files up to this size go up at once, larger ones in parts of it.
const PART_BYTES: usize = 8 << 20;
/// What a store without parts is sent at once, at most.
const WHOLE_BYTES: u64 = 256 << 20;

/// Why something did not work.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) why: String,
    /// Nothing else will work either.
    pub(super) fatal: bool,
}

impl Failure {
    pub(super) fn of(why: String) -> Self {
        Self { why: one_line(&why), fatal: false }
    }

    pub(super) fn local(error: std::io::Error) -> Self {
        Self::of(error.to_string())
    }

    pub(super) fn far(error: &object_store::Error) -> Self {
        use object_store::Error;
        let refused = matches!(error, Error::Unauthenticated { .. } | Error::PermissionDenied { .. });
        Self { fatal: refused, ..Self::of(error.to_string()) }
    }
}

/// A file that was opened, and how it looked then.
pub(super) struct Content {
    file: File,
    stamp: Stamp,
    hash: Sha256,
}

impl Content {
    /// `None` if it is gone, or no regular file.
    pub(super) fn open(path: &Path) -> std::io::Result<Option<Self>> {
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
        let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let found = file.metadata()?;
        Ok(found.is_file().then(|| Self { file, stamp: Stamp::of(&found), hash: Sha256::new() }))
    }

    /// Sends it; `None` if it changed meanwhile: then nothing whole was sent, or what was is sent again later.
    pub(super) async fn send(
        mut self,
        target: &Target,
        at: &ObjectPath,
        pace: &mut Pace,
    ) -> Result<Option<Entry>, Failure> {
        let whole = self.stamp.bytes <= PART_BYTES as u64 || !target.takes_parts();
        let e_tag =
            if whole { self.send_whole(target, at, pace).await? } else { self.send_parts(target, at, pace).await? };
        let Some(e_tag) = e_tag else { return Ok(None) };
        let sha256 = hex(&std::mem::take(&mut self.hash).finalize());
        Ok(Some(Entry { stamp: self.stamp, sha256, e_tag }))
    }

    async fn send_whole(
        &mut self,
        target: &Target,
        at: &ObjectPath,
        pace: &mut Pace,
    ) -> Result<Option<Option<String>>, Failure> {
        if self.stamp.bytes > WHOLE_BYTES {
            let (bytes, most) = (self.stamp.bytes, WHOLE_BYTES);
            return Err(Failure::of(format!("{bytes} bytes; this store takes no parts, and {most} are sent at once")));
        }
        let content = self.read(self.stamp.bytes as usize)?;
        if !self.is_the_same(content.len() as u64)? {
            return Ok(None);
        }
        pace.wait(content.len()).await;
        let sent = target.store().put(at, content.into()).await.map_err(|error| Failure::far(&error))?;
        Ok(Some(sent.e_tag))
    }

    async fn send_parts(
        &mut self,
        target: &Target,
        at: &ObjectPath,
        pace: &mut Pace,
    ) -> Result<Option<Option<String>>, Failure> {
        let mut upload = target.store().put_multipart(at).await.map_err(|error| Failure::far(&error))?;
        let sent = self.parts(upload.as_mut(), pace).await;
        let whole = matches!(sent, Ok(true));
        if whole {
            let done = upload.complete().await.map_err(|error| Failure::far(&error))?;
            return Ok(Some(done.e_tag));
        }
        let _ = upload.abort().await; // it is given up; the store's own rules remove what is left
        sent.map(|_| None)
    }

    /// False if the file changed.
    async fn parts(&mut self, upload: &mut dyn MultipartUpload, pace: &mut Pace) -> Result<bool, Failure> {
        let mut sent = 0;
        loop {
            let part = self.read(PART_BYTES)?;
            if part.is_empty() {
                return self.is_the_same(sent);
            }
            sent += part.len() as u64;
            pace.wait(part.len()).await;
            upload.put_part(part.into()).await.map_err(|error| Failure::far(&error))?;
        }
    }

    /// The next bytes, this many if there are.
    fn read(&mut self, most: usize) -> Result<Vec<u8>, Failure> {
        let mut bytes = Vec::with_capacity(most);
        (&mut self.file).take(most as u64).read_to_end(&mut bytes).map_err(Failure::local)?;
        self.hash.update(&bytes);
        Ok(bytes)
    }

    fn is_the_same(&self, read: u64) -> Result<bool, Failure> {
        let now = Stamp::of(&self.file.metadata().map_err(Failure::local)?);
        Ok(now == self.stamp && read == self.stamp.bytes)
    }
}
