//! Learning: a first pass counts, a second calibrates (docs/model.md §3, §5).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use arrow_array::RecordBatch;
use rayon::prelude::*;

use crate::baseline::{Baseline, Parts};
use crate::cells::Taught;
use crate::compile::{Compiled, Options, compile_with};
use crate::dismissal;
use crate::early::Early;
use crate::encode::{EncodeError, EncodedBatch, Encoder};
use crate::keys::HashKey;
use crate::lens::Lens;
use crate::ops;
use crate::partial::{Partial, gather};
use crate::pass::{Counted, MAX_ROWS, WANTED_ROWS, calibrate};
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

    /// How many rows a table has, about: nothing but how often rows are read depends on it.
    fn rows(&self, _table: &str) -> Option<u64> {
        None
    }

    /// While a batch is handed over: a time (ns since 1970) before which no row of the batches after it is, if that is
    /// known. Days that are over need not be held open.
    fn rest_from(&self) -> Option<i64> {
        None
    }

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
/// Memory: the distinct cells of all segments at 20 bytes, twice to thrice as much for those of days that may go on and
/// for what is remembered of their units ([`RowSource::rest_from`]), and in the second pass at most 2,000,000 rows.
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
    let mut learned: BTreeMap<String, (Lens, Vec<Segment>, Option<Early>)> = BTreeMap::new();
    for lens in earlier.iter().flat_map(|parts| &parts.lenses) {
        learned.insert(lens.table().to_owned(), (lens.clone(), Vec::new(), None));
    }
    let mut expected = lenses.iter().filter(|lens| tables.contains(lens.table())).map(|lens| source.rows(lens.table()));
    let expected = expected.try_fold(0u64, |sum, rows| Some(sum.saturating_add(rows?)));
    for lens in lenses.iter().filter(|l| tables.contains(l.table())) {
        let (segments, early) = match source.counted(lens.table()) {
            Some(partials) => (gather(lens, partials, &mut of_others, &mut rows)?, None),
            None => {
                let wanted = WANTED_ROWS / lens.units().len().max(1) as u64;
                let mut early = Early::new(lens, (wanted, MAX_ROWS), expected);
                (count(lens, &key, source, (Some(&mut early), &mut words), &mut rows, progress)?, Some(early))
            }
        };
        // What has no rows leaves nothing behind.
        if !segments.is_empty() {
            learned.insert(lens.table().to_owned(), (lens.clone(), segments, early));
        }
    }
    if rows == 0 {
        return Err(LearnError::Empty);
    }
    let (mut lenses, mut fresh, mut early) = (Vec::new(), Vec::new(), Vec::new());
    for (lens, segments, kept) in learned.into_values() {
        lenses.push(lens);
        fresh.push(segments);
        early.push(kept);
    }
    let known = |lens: &Lens| -> Vec<&Segment> {
        let of_lens = earlier.iter().flat_map(|parts| &parts.segments);
        of_lens.filter(|s| s.lens_digest == lens.digest()).collect()
    };
    let segments: Vec<Vec<&Segment>> =
        lenses.iter().zip(&fresh).map(|(lens, fresh)| known(lens).into_iter().chain(fresh).collect()).collect();
    // Calibrating compiles what it scores against by itself: the whole table comes after it, not beside it.
    let snapshots: Result<Vec<Snapshot>, LearnError> =
        lenses.iter().map(|lens| uncalibrated(lens, &key, compile_with(&key, [], &Options::default()))).collect();
    let snapshots = snapshots?;
    let counted = Counted { key: &key, options: &options, snapshots: &snapshots, segments: &segments, fresh: &fresh };
    let evidence = calibrate(&counted, early, source, progress)?;
    let mut compiled = Vec::new();
    let dismissals = earlier.as_ref().map_or(&[][..], |parts| &parts.dismissals);
    for (lens, segments) in lenses.iter().zip(&segments) {
        progress(LearnStage::Compile, rows);
        compiled.push(dismissal::compile(&key, lens.digest(), segments, dismissals, &options));
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

/// A snapshot of what was compiled, without calibration.
pub(crate) fn uncalibrated(lens: &Lens, key: &HashKey, compiled: Compiled) -> Result<Snapshot, LearnError> {
    Snapshot::of(lens.clone(), key, compiled, Calibration::identity(lens.views().len()))
        .ok_or_else(|| LearnError::Inconsistent(format!("table {:?} has too many distinct cells", lens.table())))
}

/// Counts a table into segments, by host and day; rows are added to `rows`.
pub(crate) fn count(
    lens: &Lens,
    key: &HashKey,
    source: &dyn RowSource,
    (mut early, words): (Option<&mut Early>, &mut WordCollector),
    rows: &mut u64,
    progress: &dyn Fn(LearnStage, u64),
) -> Result<Vec<Segment>, LearnError> {
    let mut encoder = Encoder::new(lens, key);
    let (mut open, mut segments) = (Open::default(), Vec::new());
    source.for_each(lens.table(), &mut |batch| {
        let batch = encoder.encode(batch)?;
        let taught = Taught::new(lens, key, &batch);
        let groups = by_host_and_day(&batch);
        let count = || {
            for ((host, day), group) in &groups {
                let new = || SegmentBuilder::new(lens, key, host.as_deref(), *day);
                open.entry((*day, host.clone())).or_insert_with(new).add_taught(&batch, group, taught.as_ref());
            }
        };
        let remember = || {
            for ((host, day), group) in &groups {
                words.add((host.as_deref(), *day), &batch, group);
            }
            early.iter_mut().for_each(|early| early.saw(lens, &batch));
        };
        rayon::join(count, remember);
        if let Some(rest) = source.rest_from() {
            let later = open.split_off(&(day_of(rest), None));
            segments.extend(closed(std::mem::replace(&mut open, later), words));
        }
        *rows += batch.rows as u64;
        progress(LearnStage::Count, *rows);
        Ok(())
    })?;
    segments.extend(closed(open, words));
    segments.sort_by(|a, b| (&a.host, a.day).cmp(&(&b.host, b.day)));
    Ok(segments)
}

/// Segments that may go on, by day and host.
type Open = BTreeMap<(i32, Option<String>), SegmentBuilder>;

/// The segments of what does not go on.
fn closed(open: Open, words: &mut WordCollector) -> Vec<Segment> {
    let finish = |((day, host), builder): ((i32, Option<String>), SegmentBuilder)| ((host, day), builder.finish());
    let finished: Vec<(Place, Segment)> = open.into_iter().collect::<Vec<_>>().into_par_iter().map(finish).collect();
    let segment = |(place, segment): (Place, Segment)| {
        words.closed(place, &segment.id);
        segment
    };
    finished.into_iter().map(segment).collect()
}

/// A host and UTC day.
type Place = (Option<String>, i32);

/// The rows of each host and day.
fn by_host_and_day(batch: &EncodedBatch) -> Vec<(Place, Vec<u32>)> {
    let mut groups: HashMap<(u32, i32), Vec<u32>> = HashMap::new();
    let of_row = |row: usize| (batch.host.codes[row], day_of(batch.time[row]));
    let mut start = 0;
    while start < batch.rows {
        let group = of_row(start);
        let end = (start..batch.rows).find(|row| of_row(*row) != group).unwrap_or(batch.rows);
        groups.entry(group).or_default().extend(start as u32..end as u32);
        start = end;
    }
    let name = |host: u32| batch.host.values[host as usize].clone();
    groups.into_iter().map(|((host, day), rows)| ((name(host), day), rows)).collect()
}
