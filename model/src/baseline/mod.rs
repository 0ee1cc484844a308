//! A baseline: all that was learned, compiled so that it can be scored with, checked before it is believed
//! (docs/contracts.md §6).

mod error;
mod file;
mod parts;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufReader, BufWriter, ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use self::error::BaselineError;
pub(crate) use self::parts::Shown;
pub use self::parts::{Origins, Parts, Words};
use crate::compile::{Compiled, Group, Options};
use crate::dismissal::{self, Dismissal};
use crate::entities::Entities;
use crate::evidence::{self, Evidence};
use crate::keys::{HashKey, Pair, join};
use crate::lens::Lens;
use crate::segment::Segment;
use crate::snapshot::{Calibration, ROW_BINS, Snapshot};
use crate::stage::Stage;

/// A lens as text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct LensText {
    /// Its TOML.
    pub(crate) toml: String,
    /// Its digest.
    pub(crate) digest: [u8; 32],
}

fn parse_lens(text: &LensText, entities: Option<&Arc<Entities>>) -> Result<Lens, String> {
    let lens = Lens::parse(&text.toml).map_err(|e| e.to_string())?;
    let lens = match entities {
        Some(entities) => lens.with_entities(entities),
        None => lens,
    };
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
    pub(crate) learning: Option<Calibration>,
    pub(crate) newcomers: Option<Calibration>,
}

impl Table {
    fn new(lens: &Lens, compiled: Compiled, evidence: &[Evidence]) -> Self {
        let of = |stage| evidence::calibration(lens, evidence, stage);
        let calibration = of(Stage::Settled).unwrap_or_else(|| Calibration::identity(lens.views().len()));
        // What would say the same is left out.
        let learning = of(Stage::Learning).filter(|learning| *learning != calibration);
        Self { compiled, calibration, learning, newcomers: of(Stage::New) }
    }
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
    /// Per lens what was compiled, without the slots.
    compiled: Vec<Compiled>,
    snapshots: Vec<Arc<Snapshot>>,
    units: UnitTables,
    /// By host the days of which there are segments.
    days: BTreeMap<Option<String>, BTreeSet<i32>>,
}

/// Calibrations of unit kinds, by stage; of those that learn the same as of settled ones if there is none.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct UnitTables {
    pub(crate) settled: Vec<UnitCalibration>,
    pub(crate) learning: Vec<UnitCalibration>,
    pub(crate) newcomers: Vec<UnitCalibration>,
}

impl UnitTables {
    fn new(parts: &Parts) -> Self {
        let of = |stage| evidence::unit_calibrations(&parts.lenses, &parts.evidence, stage);
        let settled = of(Stage::Settled);
        let learning = of(Stage::Learning).into_iter().filter(|learning| !settled.contains(learning)).collect();
        Self { learning, newcomers: of(Stage::New), settled }
    }

    fn all(&self) -> impl Iterator<Item = &UnitCalibration> {
        self.settled.iter().chain(&self.learning).chain(&self.newcomers)
    }

    fn get(&self, kind: &str, stage: Stage) -> Option<&UnitCalibration> {
        let find = |all: &'_ [UnitCalibration]| all.iter().position(|u| u.kind == kind);
        let learning = || find(&self.learning).map(|at| &self.learning[at]);
        let settled = || find(&self.settled).map(|at| &self.settled[at]);
        match stage {
            Stage::New => find(&self.newcomers).map(|at| &self.newcomers[at]),
            Stage::Learning => learning().or_else(settled),
            Stage::Settled => settled(),
        }
    }
}

impl Baseline {
    /// Makes everything that follows from the parts.
    pub fn compile(parts: Parts, options: Options) -> Result<Self, String> {
        let compiled = |lens: &Lens| {
            let segments: Vec<&Segment> = parts.segments.iter().filter(|s| s.lens_digest == lens.digest()).collect();
            dismissal::compile(&parts.key, lens.digest(), &segments, &parts.dismissals, &options)
        };
        let compiled = parts.lenses.iter().map(compiled).collect();
        Self::with_compiled(parts, options, compiled)
    }

    /// The same, if the segments of each lens are compiled already.
    pub(crate) fn with_compiled(parts: Parts, options: Options, compiled: Vec<Compiled>) -> Result<Self, String> {
        let table = |(lens, compiled): (&Lens, Compiled)| Table::new(lens, compiled, &parts.evidence);
        let tables = parts.lenses.iter().zip(compiled).map(table).collect();
        let units = UnitTables::new(&parts);
        let mut baseline = Self::assemble(parts, options, tables, units)?;
        baseline.id = file::id(&baseline).map_err(|e| e.to_string())?;
        Ok(baseline)
    }

    /// Puts parts and tables together, and checks that they fit; it has no id yet.
    fn assemble(parts: Parts, options: Options, tables: Vec<Table>, units: UnitTables) -> Result<Self, String> {
        parts.check()?;
        if parts.lenses.len() != tables.len() {
            return Err(format!("{} lenses but {} tables", parts.lenses.len(), tables.len()));
        }
        if let Some(unit) = units.all().find(|u| u.table.len() != ROW_BINS) {
            return Err(format!("the calibration of unit kind {:?} has the wrong size", unit.kind));
        }
        let days = days_of(&parts.segments);
        let stage = |(host, days): (&Option<String>, &BTreeSet<i32>)| {
            (join(parts.key.value(host.as_deref())), Stage::of(days.len()))
        };
        let stages: BTreeMap<u64, Stage> = days.iter().map(stage).collect();
        let (mut snapshots, mut compiled) = (Vec::new(), Vec::new());
        for (lens, mut table) in parts.lenses.iter().zip(tables) {
            let wrong = format!("the counts of table {:?} do not fit its lens", lens.table());
            let slots = std::mem::take(&mut table.compiled.slots); // too large for a copy
            let rest = table.compiled.clone();
            table.compiled.slots = slots;
            let others = [&table.learning, &table.newcomers];
            if others.into_iter().flatten().any(|calibration| !calibration.fits(lens.views().len())) {
                return Err(wrong);
            }
            let snapshot = Snapshot::of(lens.clone(), &parts.key, table.compiled, table.calibration);
            let mut snapshot = snapshot.ok_or(wrong)?;
            (snapshot.learning, snapshot.newcomers) = (table.learning, table.newcomers);
            snapshot.stages = Some(stages.clone());
            compiled.push(rest);
            snapshots.push(Arc::new(snapshot));
        }
        Ok(Self { id: String::new(), parts, options, compiled, snapshots, units, days })
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

    /// Writes the baseline under a temporary name beside `path`, and renames it when it is safe on disk. A link is followed;
    /// what is replaced hands on its owner, as far as that is allowed, and its mode.
    pub fn save(&self, path: &Path) -> Result<(), BaselineError> {
        let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        if !may_replace(&path) {
            return Err(BaselineError::InTheWay { path });
        }
        let failed = |source| BaselineError::Io { path: path.clone(), source };
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{}.tmp", std::process::id()));
        let temporary = PathBuf::from(name);
        let written = self.write(&temporary).and_then(|()| {
            hand_on(&path, &temporary)?;
            std::fs::rename(&temporary, &path)
        });
        written.map_err(|source| {
            let _ = std::fs::remove_file(&temporary); // it may never have been made
            failed(source)
        })?;
        // The rename itself is safe only when the folder is.
        let folder = folder_of(&path);
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(|source| BaselineError::Io { path: folder.to_owned(), source })
    }

    /// The same over the baseline that this one was made from, if its file still has it: of two that change a baseline at a
    /// time one is refused, and nothing is lost. `was` is its [`Baseline::id_of`].
    pub fn save_over(&self, path: &Path, was: &str) -> Result<(), BaselineError> {
        let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let folder = folder_of(&path);
        let lock = File::open(folder).and_then(|folder| folder.lock().map(|()| folder));
        let lock = lock.map_err(|source| BaselineError::Io { path: folder.to_owned(), source })?;
        if Self::id_of(&path)? != was {
            return Err(BaselineError::Changed { path });
        }
        self.save(&path)?;
        drop(lock);
        Ok(())
    }

    /// The id of the baseline in a file, by its first bytes alone: nothing else is checked.
    pub fn id_of(path: &Path) -> Result<String, BaselineError> {
        let mut header = [0; file::HEADER];
        let read = File::open(path).and_then(|mut file| file.read_exact(&mut header));
        read.map_err(|source| match source.kind() {
            ErrorKind::NotFound => BaselineError::Missing { path: path.to_owned() },
            ErrorKind::UnexpectedEof => BaselineError::NotABaseline { path: path.to_owned() },
            _ => BaselineError::Io { path: path.to_owned(), source },
        })?;
        Ok(file::id_of_header(&header))
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

    /// Who is who, if a lens asks.
    pub fn entities(&self) -> Option<&Arc<Entities>> {
        self.parts.entities()
    }

    /// The lens of every table.
    pub fn lenses(&self) -> impl Iterator<Item = &Lens> {
        self.snapshots.iter().map(|s| &s.lens)
    }

    /// The secret under which values are hashed.
    pub fn hash_key(&self) -> &HashKey {
        &self.parts.key
    }

    /// Whether it learned anything from a host. Others score by the habits of the fleet alone, and their rarity is not
    /// what the calibration promises.
    pub fn knows_host(&self, host: Option<&str>) -> bool {
        self.host_days(host) > 0
    }

    /// On how many days it learned something from a host, in any table.
    pub fn host_days(&self, host: Option<&str>) -> usize {
        self.days.get(&host.map(str::to_owned)).map_or(0, BTreeSet::len)
    }

    /// Every host that it learned from, and on how many days.
    pub fn hosts(&self) -> impl Iterator<Item = (Option<&str>, usize)> {
        self.days.iter().map(|(host, days)| (host.as_deref(), days.len()))
    }

    /// Whether it can say how rare what a host does is: of one that taught nothing only if it has seen how new hosts look
    /// to their peers, for which it takes two hosts.
    pub fn judges(&self, kind: &str, stage: Stage) -> bool {
        stage != Stage::New || self.units.get(kind, Stage::New).is_some()
    }

    /// What was counted.
    pub fn segments(&self) -> &[Segment] {
        &self.parts.segments
    }

    /// What calibrates.
    pub fn evidence(&self) -> &[Evidence] {
        &self.parts.evidence
    }

    /// What was said to be harmless.
    pub fn dismissals(&self) -> &[Dismissal] {
        &self.parts.dismissals
    }

    /// The value with this hash, if it is known; long values are cut.
    pub fn value(&self, hash: Pair) -> Option<&str> {
        self.parts.words.value(hash)
    }

    /// Known values, and whether all that were learned are among them.
    pub fn values(&self) -> (usize, bool) {
        (self.parts.words.values().len(), self.parts.words.complete())
    }

    /// The table from a unit's bits to its rarity, of settled hosts: [`ROW_BINS`] entries.
    pub fn unit_calibration(&self, kind: &str) -> Option<&[u16]> {
        self.unit_calibration_of(kind, Stage::Settled)
    }

    /// The same of hosts of a stage; of new ones that it cannot judge, that of settled ones.
    pub fn unit_calibration_of(&self, kind: &str, stage: Stage) -> Option<&[u16]> {
        let found = self.units.get(kind, stage).or_else(|| self.units.get(kind, Stage::Settled));
        found.map(|u| u.table.as_slice())
    }

    /// How many units of a kind calibrated it.
    pub fn units_used(&self, kind: &str) -> u64 {
        self.units.get(kind, Stage::Settled).map_or(0, |u| u.units_used)
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Gives a file the mode of another, and its owner where that is allowed; nothing if there is no other.
fn hand_on(from: &Path, to: &Path) -> std::io::Result<()> {
    let Ok(there) = std::fs::metadata(from) else { return Ok(()) };
    // Who may not give files away keeps it: then it was his, or he is told by the mode.
    let _ = std::os::unix::fs::chown(to, Some(there.uid()), Some(there.gid()));
    std::fs::set_permissions(to, there.permissions())
}

/// By host, the days of which there are segments.
fn days_of(segments: &[Segment]) -> BTreeMap<Option<String>, BTreeSet<i32>> {
    let mut days: BTreeMap<Option<String>, BTreeSet<i32>> = BTreeMap::new();
    segments.iter().for_each(|s| _ = days.entry(s.host.clone()).or_default().insert(s.day));
    days
}

/// Nothing there, or a baseline of any version: whatever else a mistyped name hits is somebody's.
fn may_replace(path: &Path) -> bool {
    let Ok(there) = std::fs::symlink_metadata(path) else { return true };
    let mut magic = [0; 8];
    there.is_file()
        && File::open(path).and_then(|mut file| file.read_exact(&mut magic)).is_ok()
        && file::is_magic(&magic)
}
