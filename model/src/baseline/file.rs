//! The baseline file, format version 4: sections with lengths and checksums of their own, so that nothing is believed or
//! allocated before it is checked, and damage has a place (docs/contracts.md §6).

use std::io::{ErrorKind, Read, Write};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use rayon::prelude::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::parts::{Origins, Parts, Words};
use super::{Baseline, BaselineError, LensText, Table, UnitCalibration, UnitTables, parse_lens};
use crate::compile::{Compiled, Options};
use crate::days::day_text;
use crate::dismissal::Dismissal;
use crate::entities::Entities;
use crate::evidence::{Evidence, Subject};
use crate::keys::HashKey;
use crate::pod;
use crate::segment::{Segment, hex_id};
use crate::snapshot::Calibration;

const MAGIC: &[u8; 8] = b"EBBLBASE";
/// The format.
pub(super) const VERSION: u32 = 4;
/// Bytes before the directory.
pub(super) const HEADER: usize = 56;
/// Slots of a table in one section.
const SLOTS: usize = 1 << 20;
/// Sections that are encoded beside each other: few, because each may be as large as that.
const AT_ONCE: usize = 8;

/// What the first bytes of a file say.
pub(super) struct Header {
    /// Bytes of the directory.
    pub(super) length: u64,
    /// Their SHA-256.
    pub(super) digest: [u8; 32],
}

/// One section, as the directory names it.
#[derive(Serialize, Deserialize)]
struct Entry {
    name: String,
    length: u64,
    digest: [u8; 32],
}

/// What is said once.
#[derive(Serialize, Deserialize)]
struct Head {
    key: HashKey,
    lenses: Vec<LensText>,
    options: Options,
}

/// A part of the file.
enum Section<'a> {
    Head,
    Entities(&'a Entities),
    Origins,
    Values,
    Segment(&'a Segment),
    Evidence(&'a Evidence),
    Dismissal(&'a Dismissal),
    Table(usize),
    Counts(usize, Range<usize>),
    Units,
}

/// Every section of a baseline, in the order of the file.
fn sections(baseline: &Baseline) -> Vec<Section<'_>> {
    let mut all = vec![Section::Head];
    all.extend(baseline.parts.entities().map(|entities| Section::Entities(entities)));
    all.extend([Section::Origins, Section::Values]);
    all.extend(baseline.parts.segments.iter().map(Section::Segment));
    all.extend(baseline.parts.evidence.iter().map(Section::Evidence));
    all.extend(baseline.parts.dismissals.iter().map(Section::Dismissal));
    for (at, snapshot) in baseline.snapshots.iter().enumerate() {
        all.push(Section::Table(at));
        let slots = snapshot.slots.len();
        all.extend((0..slots).step_by(SLOTS).map(|start| Section::Counts(at, start..slots.min(start + SLOTS))));
    }
    all.push(Section::Units);
    all
}

impl Section<'_> {
    /// What an error calls it.
    fn name(&self, baseline: &Baseline) -> String {
        let table = |at: &usize| baseline.snapshots[*at].lens.table();
        let place =
            |host: &Option<String>, day: i32| format!("host={} day={}", host.as_deref().unwrap_or("-"), day_text(day));
        let of_lens = |digest: &[u8; 32]| {
            let lens = baseline.parts.lenses.iter().find(|l| l.digest() == *digest);
            lens.map_or("-", |lens| lens.table())
        };
        match self {
            Self::Head => "head".to_owned(),
            Self::Entities(_) => "entities".to_owned(),
            Self::Origins => "origins".to_owned(),
            Self::Values => "values".to_owned(),
            Self::Segment(s) => format!("segments, table={} {}", of_lens(&s.lens_digest), place(&s.host, s.day)),
            Self::Evidence(e) => match &e.subject {
                Subject::Rows(digest) => format!("evidence, table={} {}", of_lens(digest), place(&e.host, e.day)),
                Subject::Units(kind) => format!("evidence, unit={kind} {}", place(&e.host, e.day)),
            },
            Self::Dismissal(dismissal) => format!("dismissals, id={}", dismissal.id),
            Self::Table(at) => format!("tables, table={}", table(at)),
            Self::Counts(at, slots) => format!("counts, table={} part={}", table(at), slots.start / SLOTS),
            Self::Units => "units".to_owned(),
        }
    }

    fn encode(&self, baseline: &Baseline) -> std::io::Result<Vec<u8>> {
        let parts = &baseline.parts;
        match self {
            Self::Head => {
                let text = |lens: &crate::Lens| LensText { toml: lens.source().to_owned(), digest: lens.digest() };
                let lenses = parts.lenses.iter().map(text).collect();
                encoded(&Head { key: parts.key.clone(), lenses, options: baseline.options.clone() })
            }
            Self::Entities(entities) => encoded(entities),
            Self::Origins => encoded(&parts.origins),
            Self::Values => encoded(&parts.words),
            Self::Segment(segment) => encoded(segment),
            Self::Evidence(evidence) => encoded(evidence),
            Self::Dismissal(dismissal) => encoded(dismissal),
            Self::Table(at) => {
                let (compiled, table) = (&baseline.compiled[*at], &baseline.snapshots[*at]);
                encoded(&(compiled, &table.calibration, &table.learning, &table.newcomers))
            }
            Self::Counts(at, slots) => Ok(pod::bytes(&baseline.snapshots[*at].slots[slots.clone()])),
            Self::Units => {
                let UnitTables { settled, learning, newcomers } = &baseline.units;
                encoded(&(settled, learning, newcomers))
            }
        }
    }
}

fn encoded<T: Serialize>(value: &T) -> std::io::Result<Vec<u8>> {
    postcard::to_allocvec(value).map_err(std::io::Error::other)
}

/// The directory of a baseline's sections.
fn directory(baseline: &Baseline) -> std::io::Result<Vec<u8>> {
    let entry = |section: &Section<'_>| {
        let bytes = section.encode(baseline)?;
        let digest = Sha256::digest(&bytes).into();
        Ok(Entry { name: section.name(baseline), length: bytes.len() as u64, digest })
    };
    let mut entries = Vec::new();
    for some in sections(baseline).chunks(AT_ONCE) {
        let some: std::io::Result<Vec<Entry>> = some.par_iter().map(entry).collect();
        entries.extend(some?);
    }
    encoded(&entries)
}

/// The id, by the first bytes of a file: it is the beginning of the directory's digest.
pub(super) fn id_of_header(header: &[u8; HEADER]) -> String {
    hex_id(&header[24..])
}

/// What names the content: as the header's checksum covers the directory, and that all sections'.
pub(super) fn id(baseline: &Baseline) -> std::io::Result<String> {
    Ok(hex_id(&Sha256::digest(directory(baseline)?)))
}

/// Writes the whole file, one section in memory at a time.
pub(super) fn write(baseline: &Baseline, out: &mut impl Write) -> std::io::Result<()> {
    let directory = directory(baseline)?;
    out.write_all(MAGIC)?;
    out.write_all(&VERSION.to_le_bytes())?;
    out.write_all(&[0; 4])?;
    out.write_all(&(directory.len() as u64).to_le_bytes())?;
    out.write_all(&Sha256::digest(&directory))?;
    out.write_all(&directory)?;
    sections(baseline).iter().try_for_each(|section| out.write_all(&section.encode(baseline)?))
}

/// Whether these are the first bytes of a baseline of any version.
pub(super) fn is_magic(bytes: &[u8; 8]) -> bool {
    bytes == MAGIC
}

/// Bytes that come one after the other, and how many there are in all.
struct Input<'a, R> {
    inner: R,
    found: u64,
    path: &'a Path,
}

impl<R: Read> Input<'_, R> {
    /// The next `length` bytes, which are there by `found`: no more is allocated than the file has.
    fn take(&mut self, length: u64, place: &str) -> Result<Vec<u8>, BaselineError> {
        let mut bytes = Vec::with_capacity(usize::try_from(length.min(self.found)).unwrap_or(0));
        let read = self.inner.by_ref().take(length).read_to_end(&mut bytes);
        let path = self.path.to_owned();
        match read {
            Ok(read) if read as u64 == length => Ok(bytes),
            Ok(_) => Err(self.truncated(place, self.found.saturating_add(1))), // it shrank meanwhile
            Err(source) if source.kind() == ErrorKind::UnexpectedEof => Err(self.truncated(place, self.found)),
            Err(source) => Err(BaselineError::Io { path, source }),
        }
    }

    fn truncated(&self, place: &str, expected: u64) -> BaselineError {
        let (path, place, found) = (self.path.to_owned(), place.to_owned(), self.found);
        BaselineError::Truncated { path, place, found, expected }
    }

    fn malformed(&self, reason: String) -> BaselineError {
        BaselineError::Malformed { path: self.path.to_owned(), reason }
    }

    fn damaged(&self, place: &str) -> BaselineError {
        BaselineError::Damaged { path: self.path.to_owned(), place: place.to_owned() }
    }
}

/// Reads and checks a file of `found` bytes; `path` is for messages.
pub(super) fn read(inner: impl Read, found: u64, path: &Path) -> Result<Baseline, BaselineError> {
    let mut input = Input { inner, found, path };
    if found < HEADER as u64 {
        return Err(input.truncated("header", HEADER as u64));
    }
    let bytes = input.take(HEADER as u64, "header")?;
    let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    if &bytes[..8] != MAGIC {
        return Err(BaselineError::NotABaseline { path: path.to_owned() });
    }
    if word(12) != 0 {
        return Err(input.malformed("header: its reserved bytes are not zero".to_owned()));
    }
    let length = u64::from(word(20)) << 32 | u64::from(word(16));
    let digest = std::array::from_fn(|at| bytes[24 + at]);
    let header = Header { length, digest };
    match word(8) {
        VERSION => sectioned(&mut input, &header),
        found => Err(BaselineError::Version { path: path.to_owned(), found }),
    }
}

/// The directory, whole and as it was written.
fn entries<R: Read>(input: &mut Input<'_, R>, header: &Header) -> Result<Vec<Entry>, BaselineError> {
    let mut end = header.length.saturating_add(HEADER as u64);
    if end > input.found {
        return Err(input.truncated("directory", end));
    }
    let bytes = input.take(header.length, "directory")?;
    if Sha256::digest(&bytes)[..] != header.digest {
        return Err(input.damaged("directory"));
    }
    let entries: Vec<Entry> = decoded(&bytes).map_err(|why| input.malformed(format!("directory: {why}")))?;
    for entry in &entries {
        end = end.saturating_add(entry.length);
        if end > input.found {
            return Err(input.truncated(&entry.name, end));
        }
    }
    match input.found - end {
        0 => Ok(entries),
        more => Err(input.malformed(format!("{more} bytes after its end"))),
    }
}

fn sectioned<R: Read>(input: &mut Input<'_, R>, header: &Header) -> Result<Baseline, BaselineError> {
    let entries = entries(input, header)?;
    let mut draft = Draft::default();
    for entry in &entries {
        let bytes = input.take(entry.length, &entry.name)?;
        if Sha256::digest(&bytes)[..] != entry.digest {
            return Err(input.damaged(&entry.name));
        }
        draft.take(&entry.name, &bytes).map_err(|why| input.malformed(format!("{}: {why}", entry.name)))?;
    }
    let mut baseline = draft.finish().map_err(|why| input.malformed(why))?;
    let names = sections(&baseline).iter().map(|s| s.name(&baseline)).collect::<Vec<_>>();
    if !entries.iter().map(|e| &e.name).eq(&names) {
        return Err(input.malformed("directory: it does not name what is there".to_owned()));
    }
    baseline.id = hex_id(&header.digest);
    Ok(baseline)
}

fn decoded<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => Ok(value),
        Ok((_, rest)) => Err(format!("{} bytes after its end", rest.len())),
        Err(error) => Err(error.to_string()),
    }
}

type Units = Vec<UnitCalibration>;

/// What was read so far.
#[derive(Default)]
struct Draft {
    head: Option<Head>,
    entities: Option<Arc<Entities>>,
    origins: Origins,
    words: Words,
    segments: Vec<Segment>,
    evidence: Vec<Evidence>,
    dismissals: Vec<Dismissal>,
    tables: Vec<Table>,
    units: UnitTables,
}

impl Draft {
    fn take(&mut self, name: &str, bytes: &[u8]) -> Result<(), String> {
        match name.split(',').next().unwrap_or_default() {
            "head" => self.head = Some(decoded(bytes)?),
            "entities" => self.entities = Some(Arc::new(decoded(bytes)?)),
            "origins" => self.origins = decoded(bytes)?,
            "values" => self.words = decoded(bytes)?,
            "segments" => self.segments.push(decoded(bytes)?),
            "evidence" => self.evidence.push(decoded(bytes)?),
            "dismissals" => self.dismissals.push(decoded(bytes)?),
            "tables" => {
                let (compiled, calibration, learning, newcomers): (Compiled, Calibration, _, _) = decoded(bytes)?;
                self.tables.push(Table { compiled, calibration, learning, newcomers });
            }
            "counts" => {
                let table = self.tables.last_mut().ok_or("it belongs to no table")?;
                table.compiled.slots.extend(pod::array::<[u32; 4]>(bytes).ok_or("it is not made of slots")?);
            }
            "units" => {
                let (settled, learning, newcomers): (Units, Units, Units) = decoded(bytes)?;
                self.units = UnitTables { settled, learning, newcomers };
            }
            _ => return Err("no section of this format".to_owned()),
        }
        Ok(())
    }

    fn finish(self) -> Result<Baseline, String> {
        let head = self.head.ok_or("there is no head")?;
        let lenses: Result<Vec<_>, String> =
            head.lenses.iter().map(|text| parse_lens(text, self.entities.as_ref())).collect();
        let Self { segments, evidence, dismissals, origins, words, tables, units, .. } = self;
        let parts = Parts { key: head.key, lenses: lenses?, segments, evidence, dismissals, origins, words };
        Baseline::assemble(parts, head.options, tables, units)
    }
}
