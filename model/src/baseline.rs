//! The baseline file: all that was learned, checked before it is believed (docs/contracts.md §6).

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::keys::{HashKey, Pair, join};
use crate::lens::Lens;
use crate::pod;
use crate::segment::{Segment, hex_id};
use crate::snapshot::{Calibration, ROW_BINS, Snapshot};

const MAGIC: &[u8; 8] = b"EBBLBASE";
const VERSION: u32 = 1;
const HEADER: usize = 56;

/// What a baseline file holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Body {
    /// The secret under which all is hashed.
    pub key: HashKey,
    /// One per table.
    pub lenses: Vec<LensText>,
    /// What was counted.
    pub segments: Vec<Segment>,
    /// Known values by hash, ascending; bounded.
    pub values: Vec<(Pair, String)>,
    /// Whether `values` holds all of them.
    pub values_complete: bool,
    /// One per lens, in order.
    pub tables: Vec<Table>,
    /// One per unit kind.
    pub units: Vec<UnitCalibration>,
}

/// A lens as text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LensText {
    /// Its TOML.
    pub toml: String,
    /// Its digest.
    pub digest: [u8; 32],
}

/// A compiled snapshot and its calibration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// [`Snapshot::slots`].
    #[serde(with = "pod")]
    pub slots: Vec<[u32; 4]>,
    /// [`Snapshot::calibration`].
    pub calibration: Calibration,
}

/// From a unit's bits to its rarity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitCalibration {
    /// The unit kind.
    pub kind: String,
    /// [`ROW_BINS`] entries, indexed by `min(bits >> 6, 16383)`.
    pub table: Vec<u16>,
    /// How many units it was made from.
    pub units_used: u64,
}

/// A baseline, ready to score with.
#[derive(Debug, Clone)]
pub struct Baseline {
    id: String,
    key: HashKey,
    segments: Vec<Segment>,
    values: Vec<(Pair, String)>,
    values_complete: bool,
    snapshots: Vec<Arc<Snapshot>>,
    units: BTreeMap<String, UnitCalibration>,
}

/// Why a file is not a usable baseline, or could not be written.
#[derive(Debug, thiserror::Error)]
pub enum BaselineError {
    /// There is no such file.
    #[error("{}: there is no such file", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is some other file.
    #[error("{}: not an Ebbline baseline", path.display())]
    NotABaseline {
        /// The file.
        path: PathBuf,
    },
    /// Something that is not a baseline is where one was to be written.
    #[error("{}: exists and is not an Ebbline baseline; it was left as it is", path.display())]
    InTheWay {
        /// The file.
        path: PathBuf,
    },
    /// It was written by another version.
    #[error("{}: format version {found}; this program reads version {VERSION}; use the release that wrote it", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// Part of it is missing.
    #[error("{}: truncated: {found} of {expected} bytes", path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Its length.
        found: u64,
        /// The length it should have.
        expected: u64,
    },
    /// Its content is not what was written.
    #[error("{}: damaged: its checksum does not match", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// It is whole but makes no sense.
    #[error("{}: malformed: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// A writer that digests and counts what passes through.
struct Digesting<W> {
    inner: W,
    digest: Sha256,
    length: u64,
}

impl<W: Write> Write for Digesting<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.digest.update(&bytes[..written]);
        self.length += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}

fn digest_body<W: Write>(body: &Body, inner: W) -> std::io::Result<Digesting<W>> {
    // postcard writes byte by byte; the buffer stands before the digest.
    let digesting = Digesting { inner, digest: Sha256::new(), length: 0 };
    let buffered =
        postcard::to_io(body, BufWriter::with_capacity(1 << 16, digesting)).map_err(std::io::Error::other)?;
    buffered.into_inner().map_err(|e| e.into_error())
}

/// Nothing there, or a baseline of any version: whatever else a mistyped name hits is somebody's.
fn may_replace(path: &Path) -> bool {
    let Ok(there) = std::fs::symlink_metadata(path) else { return true };
    let mut magic = [0; 8];
    there.is_file() && File::open(path).and_then(|mut file| file.read_exact(&mut magic)).is_ok() && &magic == MAGIC
}

impl Baseline {
    /// Checks that the parts of a body fit each other.
    pub fn new(body: Body) -> Result<Self, String> {
        let done = digest_body(&body, std::io::sink()).map_err(|e| e.to_string())?;
        Self::checked(body, hex_id(&done.digest.finalize()))
    }

    fn checked(body: Body, id: String) -> Result<Self, String> {
        if body.lenses.len() != body.tables.len() {
            return Err(format!("{} lenses but {} tables", body.lenses.len(), body.tables.len()));
        }
        let mut snapshots: Vec<Arc<Snapshot>> = Vec::new();
        for (text, table) in body.lenses.into_iter().zip(body.tables) {
            let lens = Lens::parse(&text.toml).map_err(|e| e.to_string())?;
            if lens.digest() != text.digest {
                return Err(format!("the lens of table {:?} does not match its digest", lens.table()));
            }
            if snapshots.iter().any(|s| s.lens.table() == lens.table()) {
                return Err(format!("two lenses for table {:?}", lens.table()));
            }
            let wrong = format!("the counts of table {:?} do not fit its lens", lens.table());
            snapshots.push(Arc::new(Snapshot::new(lens, &body.key, table.slots, table.calibration).ok_or(wrong)?));
        }
        let known = |s: &Segment| s.is_consistent() && snapshots.iter().any(|t| t.lens.digest() == s.lens_digest);
        if let Some(segment) = body.segments.iter().find(|s| !known(s)) {
            return Err(format!("segment {:?} is inconsistent", segment.id));
        }
        if !body.values.is_sorted_by_key(|v| join(v.0)) {
            return Err("the value dictionary is out of order".to_owned());
        }
        if let Some(unit) = body.units.iter().find(|u| u.table.len() != ROW_BINS) {
            return Err(format!("the calibration of unit kind {:?} has the wrong size", unit.kind));
        }
        let units = body.units.into_iter().map(|u| (u.kind.clone(), u)).collect();
        let (key, segments, values, values_complete) = (body.key, body.segments, body.values, body.values_complete);
        Ok(Self { id, key, segments, values, values_complete, snapshots, units })
    }

    fn body(&self) -> Body {
        let text = |s: &Arc<Snapshot>| LensText { toml: s.lens.source().to_owned(), digest: s.lens.digest() };
        let table = |s: &Arc<Snapshot>| Table { slots: s.slots.clone(), calibration: s.calibration.clone() };
        Body {
            key: self.key.clone(),
            lenses: self.snapshots.iter().map(text).collect(),
            segments: self.segments.clone(),
            values: self.values.clone(),
            values_complete: self.values_complete,
            tables: self.snapshots.iter().map(table).collect(),
            units: self.units.values().cloned().collect(),
        }
    }

    /// Reads and checks a baseline file.
    pub fn load(path: &Path) -> Result<Self, BaselineError> {
        let failed = |source: std::io::Error| match source.kind() {
            ErrorKind::NotFound => BaselineError::Missing { path: path.to_owned() },
            _ => BaselineError::Io { path: path.to_owned(), source },
        };
        // Asked first: opening a pipe waits, and a device may never end.
        if !std::fs::metadata(path).map_err(failed)?.is_file() {
            return Err(BaselineError::NotABaseline { path: path.to_owned() });
        }
        Self::decode(&std::fs::read(path).map_err(failed)?, path)
    }

    /// Checks and decodes the bytes of a baseline file; `path` is for messages.
    pub fn decode(bytes: &[u8], path: &Path) -> Result<Self, BaselineError> {
        let path = path.to_owned();
        let found = bytes.len() as u64;
        let Some((header, body)) = bytes.split_at_checked(HEADER) else {
            return Err(BaselineError::Truncated { path, found, expected: HEADER as u64 });
        };
        let word = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        if &header[..8] != MAGIC {
            return Err(BaselineError::NotABaseline { path });
        }
        if word(8) != VERSION {
            return Err(BaselineError::Version { path, found: word(8) });
        }
        let length = u64::from(word(20)) << 32 | u64::from(word(16));
        if (body.len() as u64) < length {
            return Err(BaselineError::Truncated { path, found, expected: length.saturating_add(HEADER as u64) });
        }
        if body.len() as u64 > length || word(12) != 0 {
            let reason = "the header does not match the file's length, or its reserved bytes are not zero".to_owned();
            return Err(BaselineError::Malformed { path, reason });
        }
        let digest = Sha256::digest(body);
        if digest[..] != header[24..HEADER] {
            return Err(BaselineError::Damaged { path });
        }
        let malformed = |reason| BaselineError::Malformed { path: path.clone(), reason };
        let (decoded, rest) = postcard::take_from_bytes::<Body>(body).map_err(|e| malformed(e.to_string()))?;
        if !rest.is_empty() {
            return Err(malformed(format!("{} bytes after its end", rest.len())));
        }
        Self::checked(decoded, hex_id(&digest)).map_err(malformed)
    }

    /// Writes the baseline under a temporary name beside `path`, and renames it when it is safe on disk.
    pub fn save(&self, path: &Path) -> Result<(), BaselineError> {
        if !may_replace(path) {
            return Err(BaselineError::InTheWay { path: path.to_owned() });
        }
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{}.tmp", std::process::id()));
        let temporary = PathBuf::from(name);
        self.write(&temporary).and_then(|()| std::fs::rename(&temporary, path)).map_err(|source| {
            let _ = std::fs::remove_file(&temporary); // it may never have been made
            BaselineError::Io { path: path.to_owned(), source }
        })?;
        // The rename itself is safe only when the folder is.
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(|source| BaselineError::Io { path: folder.to_owned(), source })
    }

    fn write(&self, path: &Path) -> std::io::Result<()> {
        // For its owner alone: it holds the key, and values such as arguments.
        let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        file.write_all(&[0; HEADER])?;
        let done = digest_body(&self.body(), &mut file)?;
        let (length, digest) = (done.length, done.digest.finalize());
        let mut header = Vec::with_capacity(HEADER);
        header.extend_from_slice(MAGIC);
        header.extend_from_slice(&VERSION.to_le_bytes());
        header.extend_from_slice(&[0; 4]);
        header.extend_from_slice(&length.to_le_bytes());
        header.extend_from_slice(&digest);
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&header)?;
        file.sync_all()
    }

    /// 16 hex digits that name its content.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The snapshot of a table.
    pub fn snapshot(&self, table: &str) -> Option<Arc<Snapshot>> {
        self.snapshots.iter().find(|s| s.lens.table() == table).cloned()
    }

    /// All snapshots, in the order of their lenses.
    pub fn snapshots(&self) -> &[Arc<Snapshot>] {
        &self.snapshots
    }

    /// The lens of a table.
    pub fn lens(&self, table: &str) -> Option<&Lens> {
        self.snapshots.iter().find(|s| s.lens.table() == table).map(|s| &s.lens)
    }

    /// The secret under which values are hashed.
    pub fn hash_key(&self) -> &HashKey {
        &self.key
    }

    /// Whether it learned anything from a host. Others score by the habits of the fleet alone, and their rarity is not
    /// what the calibration promises.
    pub fn knows_host(&self, host: Option<&str>) -> bool {
        self.segments.iter().any(|segment| segment.host.as_deref() == host)
    }

    /// What was counted.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The value with this hash, if it is known; long values are cut.
    pub fn value(&self, hash: Pair) -> Option<&str> {
        let at = self.values.binary_search_by_key(&join(hash), |v| join(v.0)).ok()?;
        Some(&self.values[at].1)
    }

    /// Known values, and whether all that were learned are among them.
    pub fn values(&self) -> (usize, bool) {
        (self.values.len(), self.values_complete)
    }

    /// The table from a unit's bits to its rarity: [`ROW_BINS`] entries.
    pub fn unit_calibration(&self, kind: &str) -> Option<&[u16]> {
        self.units.get(kind).map(|u| u.table.as_slice())
    }

    /// How many units of a kind calibrated it.
    pub fn units_used(&self, kind: &str) -> u64 {
        self.units.get(kind).map_or(0, |u| u.units_used)
    }
}
