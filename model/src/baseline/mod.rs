//! A baseline: all that was learned, compiled so that it can be scored with, checked before it is believed
//! (docs/contracts.md §6).

mod error;
mod file;
mod parts;
mod version1;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, BufWriter, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use self::error::BaselineError;
pub(crate) use self::parts::Shown;
pub use self::parts::{Origins, Parts, Words};
use crate::compile::{Compiled, Group, Options, compile_with};
use crate::evidence::{self, Evidence};
use crate::keys::{HashKey, Pair};
use crate::lens::Lens;
use crate::segment::Segment;
use crate::snapshot::{Calibration, ROW_BINS, Snapshot};

/// A lens as text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct LensText {
    /// Its TOML.
    pub(crate) toml: String,
    /// Its digest.
    pub(crate) digest: [u8; 32],
}

fn parse_lens(text: &LensText) -> Result<Lens, String> {
    let lens = Lens::parse(&text.toml).map_err(|e| e.to_string())?;
    if lens.digest() != text.digest {
        return Err(format!("the lens of table {:?} does not match its digest", lens.table()));
    }
    Ok(lens)
}

/// What was compiled for one lens, and its calibration.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Table {
    pub(crate) compiled: Compiled,
    pub(crate) calibration: Calibration,
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
    parts: Parts,
    options: Options,
    /// Its tables are those of a file of version 1, which kept nothing to make them again from.
    kept: bool,
    /// Per lens what was compiled, without the slots.
    compiled: Vec<Compiled>,
    snapshots: Vec<Arc<Snapshot>>,
    units: BTreeMap<String, UnitCalibration>,
}

impl Baseline {
    /// Makes everything that follows from the parts.
    pub fn compile(parts: Parts, options: Options) -> Result<Self, String> {
        let compiled = |lens: &Lens| {
            let segments = parts.segments.iter().filter(|s| s.lens_digest == lens.digest());
            compile_with(&parts.key, segments, &options)
        };
        let compiled = parts.lenses.iter().map(compiled).collect();
        Self::with_compiled(parts, options, compiled)
    }

    /// The same parts under other options. Calibration of which no evidence is left stays as it is.
    pub fn compiled_by(self, options: Options) -> Result<Self, String> {
        let (kept, snapshots, units) = (self.kept, self.snapshots, self.units);
        let mut compiled = Self::compile(self.parts, options)?;
        if kept {
            for (table, old) in compiled.snapshots.iter_mut().zip(snapshots) {
                Arc::make_mut(table).calibration = old.calibration.clone();
            }
            (compiled.units, compiled.kept) = (units, true);
            compiled.id = file::id(&compiled).map_err(|e| e.to_string())?;
        }
        Ok(compiled)
    }

    /// The same, if the segments of each lens are compiled already.
    pub(crate) fn with_compiled(parts: Parts, options: Options, compiled: Vec<Compiled>) -> Result<Self, String> {
        let table = |(lens, compiled): (&Lens, Compiled)| Table {
            compiled,
            calibration: evidence::calibration(lens, &parts.evidence),
        };
        let tables = parts.lenses.iter().zip(compiled).map(table).collect();
        let units = evidence::unit_calibrations(&parts.lenses, &parts.evidence);
        let mut baseline = Self::assemble(parts, options, false, tables, units)?;
        baseline.id = file::id(&baseline).map_err(|e| e.to_string())?;
        Ok(baseline)
    }

    /// Puts parts and tables together, and checks that they fit; it has no id yet.
    fn assemble(
        parts: Parts,
        options: Options,
        kept: bool,
        tables: Vec<Table>,
        units: Vec<UnitCalibration>,
    ) -> Result<Self, String> {
        parts.check()?;
        if parts.lenses.len() != tables.len() {
            return Err(format!("{} lenses but {} tables", parts.lenses.len(), tables.len()));
        }
        if let Some(unit) = units.iter().find(|u| u.table.len() != ROW_BINS) {
            return Err(format!("the calibration of unit kind {:?} has the wrong size", unit.kind));
        }
        let (mut snapshots, mut compiled) = (Vec::new(), Vec::new());
        for (lens, mut table) in parts.lenses.iter().zip(tables) {
            let wrong = format!("the counts of table {:?} do not fit its lens", lens.table());
            let slots = std::mem::take(&mut table.compiled.slots); // too large for a copy
            let rest = table.compiled.clone();
            table.compiled.slots = slots;
            let snapshot = Snapshot::of(lens.clone(), &parts.key, table.compiled, table.calibration).ok_or(wrong)?;
            compiled.push(rest);
            snapshots.push(Arc::new(snapshot));
        }
        let units = units.into_iter().map(|u| (u.kind.clone(), u)).collect();
        Ok(Self { id: String::new(), parts, options, kept, compiled, snapshots, units })
    }

    /// Reads and checks a baseline file.
    pub fn load(path: &Path) -> Result<Self, BaselineError> {
        let failed = |source: std::io::Error| match source.kind() {
            ErrorKind::NotFound => BaselineError::Missing { path: path.to_owned() },
            _ => BaselineError::Io { path: path.to_owned(), source },
        };
        // Asked first: opening a pipe waits, and a device may never end.
        let metadata = std::fs::metadata(path).map_err(failed)?;
        if !metadata.is_file() {
            return Err(BaselineError::NotABaseline { path: path.to_owned() });
        }
        file::read(BufReader::new(File::open(path).map_err(failed)?), metadata.len(), path)
    }

    /// Checks and decodes the bytes of a baseline file; `path` is for messages.
    pub fn decode(bytes: &[u8], path: &Path) -> Result<Self, BaselineError> {
        file::read(bytes, bytes.len() as u64, path)
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
        let file = File::options().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        let mut out = BufWriter::with_capacity(1 << 16, file);
        file::write(self, &mut out)?;
        out.flush()?;
        out.into_inner().map_err(|e| e.into_error())?.sync_all()
    }

    /// 16 hex digits that name its content.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What it is made of.
    pub fn parts(&self) -> &Parts {
        &self.parts
    }

    /// What it is made of, to make another from.
    pub fn into_parts(self) -> (Parts, Options) {
        (self.parts, self.options)
    }

    /// How it was compiled.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Whether its calibration is that of a file of version 1, of which no evidence is left.
    pub fn keeps_old_tables(&self) -> bool {
        self.kept
    }

    /// The snapshot of a table.
    pub fn snapshot(&self, table: &str) -> Option<Arc<Snapshot>> {
        self.snapshots.iter().find(|s| s.lens.table() == table).cloned()
    }

    /// All snapshots, in the order of their lenses.
    pub fn snapshots(&self) -> &[Arc<Snapshot>] {
        &self.snapshots
    }

    /// The peer group of each host that has one in a table.
    pub fn groups(&self, table: &str) -> Option<&BTreeMap<String, Group>> {
        let at = self.parts.lenses.iter().position(|l| l.table() == table)?;
        Some(&self.compiled[at].groups)
    }

    /// The lens of a table.
    pub fn lens(&self, table: &str) -> Option<&Lens> {
        self.snapshots.iter().find(|s| s.lens.table() == table).map(|s| &s.lens)
    }

    /// The secret under which values are hashed.
    pub fn hash_key(&self) -> &HashKey {
        &self.parts.key
    }

    /// Whether it learned anything from a host. Others score by the habits of the fleet alone, and their rarity is not
    /// what the calibration promises.
    pub fn knows_host(&self, host: Option<&str>) -> bool {
        self.parts.segments.iter().any(|segment| segment.host.as_deref() == host)
    }

    /// What was counted.
    pub fn segments(&self) -> &[Segment] {
        &self.parts.segments
    }

    /// What calibrates.
    pub fn evidence(&self) -> &[Evidence] {
        &self.parts.evidence
    }

    /// The value with this hash, if it is known; long values are cut.
    pub fn value(&self, hash: Pair) -> Option<&str> {
        self.parts.words.value(hash)
    }

    /// Known values, and whether all that were learned are among them.
    pub fn values(&self) -> (usize, bool) {
        (self.parts.words.values().len(), self.parts.words.complete())
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

/// Nothing there, or a baseline of any version: whatever else a mistyped name hits is somebody's.
fn may_replace(path: &Path) -> bool {
    let Ok(there) = std::fs::symlink_metadata(path) else { return true };
    let mut magic = [0; 8];
    there.is_file()
        && File::open(path).and_then(|mut file| file.read_exact(&mut magic)).is_ok()
        && file::is_magic(&magic)
}
