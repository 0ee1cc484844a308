//! Learning: a first pass counts, a second calibrates (docs/model.md §3, §5).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use arrow_array::RecordBatch;

use crate::baseline::{Baseline, Body, LensText, Table};
use crate::compile::compile;
use crate::encode::{EncodeError, EncodedBatch, Encoder};
use crate::keys::HashKey;
use crate::lens::Lens;
use crate::pass::calibrate;
use crate::segment::{Segment, SegmentBuilder, day_of};
use crate::snapshot::{Calibration, Snapshot};
use crate::values::ValueCollector;

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
    let tables: BTreeSet<String> = source.tables().into_iter().collect();
    let lenses: Vec<&Lens> = lenses.iter().filter(|l| tables.contains(l.table())).collect();
    let mut values = ValueCollector::default();
    let mut counted = Vec::new();
    let mut rows = 0;
    for lens in &lenses {
        counted.push(count(lens, &key, source, &mut values, &mut rows, progress)?);
    }
    if rows == 0 {
        return Err(LearnError::Empty);
    }
    let mut snapshots = Vec::new();
    for (lens, segments) in lenses.iter().zip(&counted) {
        progress(LearnStage::Compile, rows);
        snapshots.push(snapshot(lens, &key, segments)?);
    }
    let (calibrations, units) = calibrate(&snapshots, &counted, &key, source, progress)?;
    let text = |l: &&Lens| LensText { toml: l.source().to_owned(), digest: l.digest() };
    let (values, values_complete) = values.finish();
    let mut segments: Vec<Segment> = counted.into_iter().flatten().collect();
    segments.sort_by(|a, b| a.id.cmp(&b.id));
    let tables = snapshots.into_iter().zip(calibrations);
    Baseline::new(Body {
        lenses: lenses.iter().map(text).collect(),
        tables: tables.map(|(s, calibration)| Table { slots: s.slots, calibration }).collect(),
        key,
        segments,
        values,
        values_complete,
        units,
    })
    .map_err(LearnError::Inconsistent)
}

/// A snapshot without calibration.
pub(crate) fn snapshot<'a>(
    lens: &Lens,
    key: &HashKey,
    segments: impl IntoIterator<Item = &'a Segment>,
) -> Result<Snapshot, LearnError> {
    let slots = compile(key, segments);
    Snapshot::new(lens.clone(), key, slots, Calibration::identity(lens.views().len()))
        .ok_or_else(|| LearnError::Inconsistent(format!("table {:?} has too many distinct cells", lens.table())))
}

/// Counts a table into segments; rows are added to `rows`.
fn count(
    lens: &Lens,
    key: &HashKey,
    source: &dyn RowSource,
    values: &mut ValueCollector,
    rows: &mut u64,
    progress: &dyn Fn(LearnStage, u64),
) -> Result<Vec<Segment>, LearnError> {
    let mut encoder = Encoder::new(lens, key);
    let mut builders: BTreeMap<(Option<String>, i32), SegmentBuilder> = BTreeMap::new();
    source.for_each(lens.table(), &mut |batch| {
        let batch = encoder.encode(batch)?;
        batch.fields.iter().chain([&batch.host]).for_each(|codes| values.add(codes));
        for ((host, day), group) in by_host_and_day(&batch) {
            let host = batch.host.values[host as usize].clone();
            let new = || SegmentBuilder::new(lens, key, host.as_deref(), day);
            builders.entry((host.clone(), day)).or_insert_with(new).add(&batch, &group);
        }
        *rows += batch.rows as u64;
        progress(LearnStage::Count, *rows);
        Ok(())
    })?;
    Ok(builders.into_values().map(SegmentBuilder::finish).collect())
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
