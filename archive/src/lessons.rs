//! Units of findings counted as what they would teach, wherever their rows lie in an archive.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use model::units::UnitName;
use model::{Baseline, Encoder, Segment, dismissal};
use store::{Source, TableFile};

use crate::error::ArchiveError;
use crate::filter::Filter;
use crate::rows::Rows;
use crate::{Silent, split, tables};

/// What units would teach.
#[derive(Debug, Default)]
pub struct Lessons {
    /// One for each host, day and lens.
    pub segments: Vec<Segment>,
    /// Rows of the units.
    pub rows: u64,
    /// Files that could not be read, with the reason.
    pub missing: Vec<(String, String)>,
}

/// Reads all rows of units again, by the lenses and under the key of a baseline: in the files that are named, by their paths
/// in the archive, and in those of other tables of the same host and hour. What is not there any more, or cannot be read, is
/// named in the result.
///
/// # Errors
/// Nothing is found in the archives.
pub fn lessons<P: AsRef<Path>>(
    archives: &[P],
    files: &BTreeSet<String>,
    units: &BTreeSet<UnitName>,
    baseline: &Baseline,
) -> Result<Lessons, ArchiveError> {
    let sources = tables::discover(archives, baseline.lenses(), &[], &Filter::default(), &Silent)?;
    let by_path: BTreeMap<&str, &Source> = sources.iter().map(|source| (source.relative.as_str(), source)).collect();
    let hours: BTreeSet<&str> = files.iter().filter_map(|file| hour_of(file)).collect();
    let beside = by_path.keys().filter(|path| hour_of(path).is_some_and(|hour| hours.contains(hour)));
    let all: BTreeSet<&str> = files.iter().map(String::as_str).chain(beside.copied()).collect();
    let mut counted = Counted { baseline, units, lessons: dismissal::Lessons::new(baseline.hash_key()), rows: 0 };
    let mut missing = Vec::new();
    for path in all {
        let read = match by_path.get(path) {
            Some(source) => counted.file(source).map_err(|error| error.to_string()),
            None => Err(format!("{path}: not in the archive any more")),
        };
        missing.extend(read.err().map(|why| (path.to_owned(), why)));
    }
    Ok(Lessons { segments: counted.lessons.finish(), rows: counted.rows, missing })
}

/// Of a file of the layout what files of the same host and hour share: `day=…/host=…/20261121T14`.
fn hour_of(path: &str) -> Option<&str> {
    let from = path.find("/day=")? + 1;
    let name = path.rfind('/')? + 1;
    path.get(from..name + "20261121T14".len())
}

struct Counted<'a> {
    baseline: &'a Baseline,
    units: &'a BTreeSet<UnitName>,
    lessons: dismissal::Lessons<'a>,
    rows: u64,
}

impl Counted<'_> {
    fn file(&mut self, source: &Source) -> Result<(), ArchiveError> {
        let file = TableFile::open_source(source)?;
        let table = tables::table_of(&file, self.baseline.lenses())?;
        let Some(snapshot) = self.baseline.snapshot(&table) else { return Ok(()) };
        let lens = &snapshot.lens;
        let mut encoder = Encoder::new(lens, self.baseline.hash_key());
        if lens.is_stateful() {
            let before = split::before(&source.path).into_iter().map(Source::file);
            before.for_each(|source| pass_over(&source, &mut encoder, &snapshot.lens));
        }
        for batch in Rows::open(&file, lens, &Filter::default())? {
            let (batch, _) = batch?;
            let encoded = encoder.encode(&batch).map_err(|error| ArchiveError::encode(file.path(), &error))?;
            let rows = UnitName::rows(self.units, lens, &encoded);
            self.rows += rows.len() as u64;
            self.lessons.add(lens, &encoded, &rows);
        }
        Ok(())
    }
}

/// Lets the encoder see the rows of an earlier file. What cannot be read was skipped when it was scored, too.
fn pass_over(source: &Source, encoder: &mut Encoder, lens: &model::Lens) {
    let Ok(file) = TableFile::open_source(source) else { return };
    let Ok(rows) = Rows::open(&file, lens, &Filter::default()) else { return };
    for batch in rows {
        if !batch.is_ok_and(|(batch, _)| encoder.encode(&batch).is_ok()) {
            break;
        }
    }
}
