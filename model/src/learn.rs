//! Learning: a first pass counts, a second calibrates (docs/model.md §3, §5).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use arrow_array::RecordBatch;

use crate::baseline::{Baseline, Parts};
use crate::compile::{Compiled, Options, compile_with};
use crate::encode::{EncodeError, EncodedBatch, Encoder};
use crate::keys::HashKey;
use crate::lens::Lens;
use crate::ops;
use crate::partial::{Partial, gather};
use crate::pass::{Counted, calibrate};
use crate::segment::{Segment, SegmentBuilder, day_of};
use crate::snapshot::{Calibration, Snapshot};
use crate::words::WordCollector;

/// Rows to learn from, which can be read more than once.
pub trait RowSource {
    /// The tables it has.
    fn tables(&self) -> Vec<String>;

    /// Hands every batch of a table to `f`, in the same order each time; stops at the first error.
    fn for_each(
        &self,
        table: &str,
        f: &mut dyn FnMut(&RecordBatch) -> Result<(), LearnError>,
    ) -> Result<(), LearnError>;

    /// What others have counted of a table, if they have counted all of it.
    fn counted(&self, _table: &str) -> Option<Vec<Partial>> {
        None
    }
}

/// What learning is busy with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LearnStage {
    /// Counting rows.
    Count,
    /// Making the tables.
    Compile,
    /// Reading rows again to calibrate.
    Sample,
    /// Scoring them against what they did not teach.
    Calibrate,
}

/// Why nothing was learned.
#[derive(Debug, thiserror::Error)]
pub enum LearnError {
    /// A batch does not fit its lens.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The source failed.
    #[error("{0}")]
    Source(Box<dyn std::error::Error + Send + Sync>),
    /// There was nothing to learn from.
    #[error("no rows in any table that a lens reads")]
    Empty,
    /// The parts do not fit; more than 2^31 distinct cells, for example.
    #[error("{0}")]
    Inconsistent(String),
}

/// Learns a baseline from all rows of `source` whose table has a lens. `progress` gets the stage and the rows done in it.
///
/// Memory: the distinct cells of all segments, and in the second pass at most 2,000,000 rows.
pub fn learn(
    lenses: &[Lens],
    key: HashKey,
    source: &dyn RowSource,
    progress: &dyn Fn(LearnStage, u64),
) -> Result<Baseline, LearnError> {
    learn_with(lenses, key, source, Options::default(), progress)
}

/// The same, compiled and calibrated by these options.
pub fn learn_with(
    lenses: &[Lens],
    key: HashKey,
    source: &dyn RowSource,
    options: Options,
    progress: &dyn Fn(LearnStage, u64),
) -> Result<Baseline, LearnError> {
    learn_parts(lenses, key, source, (None, options), progress)
}

/// Learns more: the union of a baseline and what the rows teach. Each new day is scored against the days before it, those
/// of the baseline included, so that a baseline that grows day by day is calibrated forward. Tables that the baseline
/// knows keep their lenses.
pub fn learn_onto(
    earlier: Baseline,
    lenses: &[Lens],
    source: &dyn RowSource,
    progress: &dyn Fn(LearnStage, u64),
) -> Result<Baseline, LearnError> {
    let known = |lens: &Lens| earlier.lens(lens.table()).cloned().unwrap_or_else(|| lens.clone());
    let lenses: Vec<Lens> = lenses.iter().map(known).collect();
    let (parts, options) = earlier.into_parts();
    learn_parts(&lenses, parts.key.clone(), source, (Some(parts), options), progress)
}

fn learn_parts(
    lenses: &[Lens],
    key: HashKey,
    source: &dyn RowSource,
    (earlier, options): (Option<Parts>, Options),
    progress: &dyn Fn(LearnStage, u64),
) -> Result<Baseline, LearnError> {
    let tables: BTreeSet<String> = source.tables().into_iter().collect();
    let (mut words, mut of_others, mut rows) = (WordCollector::default(), Vec::new(), 0);
    let mut learned: BTreeMap<String, (Lens, Vec<Segment>)> = BTreeMap::new();
    for lens in earlier.iter().flat_map(|parts| &parts.lenses) {
        learned.insert(lens.table().to_owned(), (lens.clone(), Vec::new()));
    }
    for lens in lenses.iter().filter(|l| tables.contains(l.table())) {
        let segments = match source.counted(lens.table()) {
            None => count(lens, &key, source, &mut words, &mut rows, progress)?,
            Some(partials) => gather(lens, partials, &mut of_others, &mut rows)?,
        };
        // What has no rows leaves nothing behind.
        if !segments.is_empty() {
            learned.insert(lens.table().to_owned(), (lens.clone(), segments));
        }
    }
    if rows == 0 {
        return Err(LearnError::Empty);
    }
    let (lenses, fresh): (Vec<Lens>, Vec<Vec<Segment>>) = learned.into_values().unzip();
    let known = |lens: &Lens| -> Vec<&Segment> {
        let of_lens = earlier.iter().flat_map(|parts| &parts.segments);
        of_lens.filter(|s| s.lens_digest == lens.digest()).collect()
    };
    let segments: Vec<Vec<&Segment>> =
        lenses.iter().zip(&fresh).map(|(lens, fresh)| known(lens).into_iter().chain(fresh).collect()).collect();
    let (mut snapshots, mut compiled) = (Vec::new(), Vec::new());
    for (lens, segments) in lenses.iter().zip(&segments) {
        progress(LearnStage::Compile, rows);
        let mut table = compile_with(&key, segments.iter().copied(), &options);
        snapshots.push(uncalibrated(lens, &key, &mut table)?);
        compiled.push(table);
    }
    let counted = Counted { key: &key, options: &options, snapshots: &snapshots, segments: &segments, fresh: &fresh };
    let evidence = calibrate(&counted, source, progress)?;
    for (table, snapshot) in compiled.iter_mut().zip(snapshots) {
        table.slots = snapshot.slots;
    }
    let segments = fresh.into_iter().flatten().collect();
    let mut words = words.finish();
    of_others.into_iter().for_each(|more| words.merge(more));
    let mut parts = Parts::learned(key, lenses, segments, evidence, words);
    if let Some(mut earlier) = earlier {
        ops::add(&mut earlier, parts);
        earlier.tidy();
        parts = earlier;
    }
    Baseline::with_compiled(parts, options, compiled).map_err(LearnError::Inconsistent)
}

/// A snapshot of some segments without calibration.
pub(crate) fn snapshot<'a>(
    lens: &Lens,
    key: &HashKey,
    options: &Options,
    segments: impl IntoIterator<Item = &'a Segment>,
) -> Result<Snapshot, LearnError> {
    uncalibrated(lens, key, &mut compile_with(key, segments, options))
}

/// A snapshot without calibration; it takes the slots along.
fn uncalibrated(lens: &Lens, key: &HashKey, compiled: &mut Compiled) -> Result<Snapshot, LearnError> {
    let slots = std::mem::take(&mut compiled.slots);
    let compiled = Compiled { slots, ..compiled.clone() };
    Snapshot::of(lens.clone(), key, compiled, Calibration::identity(lens.views().len()))
        .ok_or_else(|| LearnError::Inconsistent(format!("table {:?} has too many distinct cells", lens.table())))
}

/// Counts a table into segments; rows are added to `rows`.
pub(crate) fn count(
    lens: &Lens,
    key: &HashKey,
    source: &dyn RowSource,
    words: &mut WordCollector,
    rows: &mut u64,
    progress: &dyn Fn(LearnStage, u64),
) -> Result<Vec<Segment>, LearnError> {
    let mut encoder = Encoder::new(lens, key);
    let mut builders: BTreeMap<(Option<String>, i32), SegmentBuilder> = BTreeMap::new();
    source.for_each(lens.table(), &mut |batch| {
        let batch = encoder.encode(batch)?;
        for ((host, day), group) in by_host_and_day(&batch) {
            let host = batch.host.values[host as usize].clone();
            let new = || SegmentBuilder::new(lens, key, host.as_deref(), day);
            builders.entry((host.clone(), day)).or_insert_with(new).add(&batch, &group);
            words.add((host.as_deref(), day), &batch, &group);
        }
        *rows += batch.rows as u64;
        progress(LearnStage::Count, *rows);
        Ok(())
    })?;
    let finish = |(place, builder): ((Option<String>, i32), SegmentBuilder)| {
        let segment = builder.finish();
        words.closed(place, &segment.id);
        segment
    };
    Ok(builders.into_iter().map(finish).collect())
}

/// The rows of each host code and UTC day.
fn by_host_and_day(batch: &EncodedBatch) -> HashMap<(u32, i32), Vec<u32>> {
    let mut groups: HashMap<(u32, i32), Vec<u32>> = HashMap::new();
    let of_row = |row: usize| (batch.host.codes[row], day_of(batch.time[row]));
    let mut start = 0;
    while start < batch.rows {
        let group = of_row(start);
        let end = (start..batch.rows).find(|row| of_row(*row) != group).unwrap_or(batch.rows);
        groups.entry(group).or_default().extend(start as u32..end as u32);
        start = end;
    }
    groups
}
