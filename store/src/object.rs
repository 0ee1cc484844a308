//! Objects of a store at a URL: listed folder by folder, read in ranges.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use object_store::path::Path as ObjectPath;
use object_store::{Error, GetOptions, GetRange, ObjectMeta, ObjectStoreExt};
use tokio::runtime::Runtime;

use crate::error::{StoreError, one_line};
use crate::ranges::Ranged;
use crate::target::{Target, shown};

/// An object as it was when it was listed.
#[derive(Debug)]
pub(crate) struct Object {
    place: Arc<Place>,
    meta: ObjectMeta,
}

/// A store, and what its URL looks like without the path.
pub(crate) struct Place {
    target: Target,
    runtime: &'static Runtime,
    /// `s3://bucket`.
    root: String,
    url: String,
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.root) // a target holds secrets
    }
}

/// What lies in a folder of a store.
pub(crate) struct Folder {
    pub(crate) folders: Vec<ObjectPath>,
    pub(crate) files: Vec<Object>,
}

impl Place {
    /// The store of a URL; nothing is sent.
    pub(crate) fn open(url: &str, settings: &[(String, String)]) -> Result<Arc<Self>, StoreError> {
        let shown = shown(url);
        let fail = |why: String| StoreError::Remote { url: shown.clone(), why };
        if url.contains(['?', '#']) {
            return Err(fail("a URL with ? or # is not read; name the object alone".to_owned()));
        }
        if url.starts_with("file:") {
            return Err(fail("name the path itself".to_owned()));
        }
        let target = Target::connect(url, settings).map_err(fail)?;
        let before = shown.trim_end_matches('/').strip_suffix(target.prefix().as_ref()).map(str::to_owned);
        // Escaped in another way than the store does: then the root ends where the host does.
        let host = || shown.splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
        let root = before.unwrap_or_else(host).trim_end_matches('/').to_owned();
        let runtime = runtime().map_err(|why| fail(why.clone()))?;
        Ok(Arc::new(Self { target, runtime, root, url: shown }))
    }

    /// The path that the URL names.
    pub(crate) fn prefix(&self) -> &ObjectPath {
        self.target.prefix()
    }

    /// The object of this path, if it is one.
    pub(crate) fn object(self: &Arc<Self>, at: &ObjectPath) -> Result<Option<Object>, StoreError> {
        match self.runtime.block_on(self.target.store().head(at)) {
            Ok(meta) => Ok(Some(Object { place: Arc::clone(self), meta })),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.fail(&error)),
        }
    }

    /// Folders and objects in a folder, each in order of names.
    pub(crate) fn list(self: &Arc<Self>, folder: &ObjectPath) -> Result<Folder, StoreError> {
        let folder = (!folder.as_ref().is_empty()).then_some(folder);
        let listing = self.target.store().list_with_delimiter(folder);
        let mut found = self.runtime.block_on(listing).map_err(|error| self.fail(&error))?;
        found.objects.sort_by(|a, b| a.location.cmp(&b.location));
        found.common_prefixes.sort();
        let object = |meta| Object { place: Arc::clone(self), meta };
        Ok(Folder { folders: found.common_prefixes, files: found.objects.into_iter().map(object).collect() })
    }

    fn fail(&self, error: &Error) -> StoreError {
        StoreError::Remote { url: self.url.clone(), why: one_line(&self.target.hide(&error.to_string())) }
    }
}

impl Object {
    /// Its path in the store.
    pub(crate) fn at(&self) -> &ObjectPath {
        &self.meta.location
    }

    /// Its URL.
    pub(crate) fn path(&self) -> PathBuf {
        Path::new(&self.place.root).join(self.meta.location.as_ref())
    }

    /// A weak tag says nothing about bytes, and a store refuses to compare it.
    fn strong_tag(&self) -> Option<&str> {
        self.meta.e_tag.as_deref().filter(|tag| !tag.starts_with("W/"))
    }
}

impl Ranged for Object {
    fn size(&self) -> u64 {
        self.meta.size
    }

    fn version(&self) -> String {
        let version = self.strong_tag().map_or_else(|| self.meta.last_modified.to_rfc3339(), str::to_owned);
        format!("{}:{version}", self.meta.size)
    }

    fn get(&self, range: Range<u64>) -> io::Result<Bytes> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let (wanted, length) = (GetRange::Bounded(range.clone()), range.end - range.start);
        let if_match = self.strong_tag().map(str::to_owned);
        let options = GetOptions { range: Some(wanted), if_match, ..GetOptions::default() };
        let store = self.place.target.store();
        let got = self.place.runtime.block_on(async { store.get_opts(self.at(), options).await?.bytes().await });
        match got {
            Ok(bytes) if bytes.len() as u64 == length => Ok(bytes),
            Ok(bytes) => Err(io::Error::other(format!("the store gave {} bytes of {length}", bytes.len()))),
            Err(Error::NotFound { .. }) => Err(io::Error::other("it is gone from the store")),
            Err(Error::Precondition { .. }) => Err(io::Error::other("it changed while it was read")),
            Err(error) => Err(io::Error::other(one_line(&self.place.target.hide(&error.to_string())))),
        }
    }
}

/// What waits for answers; any number of threads can.
fn runtime() -> Result<&'static Runtime, &'static String> {
    static RUNTIME: OnceLock<Result<Runtime, String>> = OnceLock::new();
    let build =
        || tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string());
    RUNTIME.get_or_init(build).as_ref()
}
