//! The second pass of learning: rows are scored against what they did not teach, and the scores counted (docs/model.md §5).

use std::collections::BTreeMap;
use std::ops::Range;

use rayon::prelude::*;

use crate::baseline::UnitCalibration;
use crate::calibrate::Histogram;
use crate::cpu::{Counts, Part, Scratch};
use crate::encode::{Encoder, NO_UNIT};
use crate::heldout::HeldOut;
use crate::keys::HashKey;
use crate::learn::{LearnError, LearnStage, RowSource, snapshot};
use crate::lens::Lens;
use crate::sample::{Choice, Sample, Sorted, Units};
use crate::segment::{Segment, day_of};
use crate::snapshot::{Basis, Calibration, ROW_BINS, Snapshot, VIEW_BINS};
use crate::units::UNIT_ROWS;

/// Most rows that calibrate, over all tables.
pub(crate) const MAX_ROWS: u64 = 2_000_000;
/// Most days that a day is scored against.
const MAX_DAYS: usize = 7;
/// Rows of a view scored at a time.
const BLOCK: usize = 8192;

/// A calibration per snapshot, and one per unit kind.
pub(crate) fn calibrate(
    snapshots: &[Snapshot],
    segments: &[Vec<Segment>],
    key: &HashKey,
    source: &dyn RowSource,
    progress: &dyn Fn(LearnStage, u64),
) -> Result<(Vec<Calibration>, Vec<UnitCalibration>), LearnError> {
    let plans: Vec<Plan> = segments.iter().map(|s| Plan::new(s)).collect();
    let available = plans.iter().zip(segments).map(|(plan, segments)| plan.available(segments)).sum();
    // Each kind of unit is chosen by itself, and so may take its share of the room.
    let kinds = snapshots.iter().map(|s| s.lens.units().len()).max().unwrap_or(0).max(1) as u64;
    let choice = Choice::of(MAX_ROWS / 10 * 9 / kinds, available);
    let (mut units, mut top) = (Units::default(), UnitBits::default());
    let (mut calibrations, mut used) = (Vec::new(), 0);
    for ((snapshot, segments), plan) in snapshots.iter().zip(segments).zip(&plans) {
        let sample = read(&snapshot.lens, key, source, plan, choice, &mut units, &mut used, progress)?;
        progress(LearnStage::Calibrate, used);
        let scored = plan.score(snapshot, segments, key, sample)?;
        calibrations.push(scored.calibration(snapshot, plan.basis, &mut top));
    }
    Ok((calibrations, top.calibrations(&units, snapshots)))
}

/// What each row of a table is scored against.
struct Plan {
    basis: Basis,
    /// The days that have data, ascending.
    days: Vec<i32>,
}

impl Plan {
    fn new(segments: &[Segment]) -> Self {
        let mut days: Vec<i32> = segments.iter().map(|s| s.day).collect();
        days.sort_unstable();
        days.dedup();
        let basis = match days.len() {
            0 => Basis::None,
            1 => Basis::WithinDay,
            2 => Basis::LeaveOneOut,
            _ => Basis::Forward,
        };
        Self { basis, days }
    }

    /// Whether rows of this day calibrate: nothing comes before the first day.
    fn takes(&self, day: i32) -> bool {
        self.basis != Basis::Forward || self.days.first() != Some(&day)
    }

    fn available(&self, segments: &[Segment]) -> u64 {
        segments.iter().filter(|s| self.takes(s.day)).map(|s| s.rows).sum()
    }

    /// The days that rows of `day` are scored against.
    fn against(&self, day: i32) -> Vec<i32> {
        if self.basis == Basis::LeaveOneOut {
            return self.days.iter().copied().filter(|d| *d != day).collect();
        }
        let before = self.days.partition_point(|d| *d < day);
        self.days[before.saturating_sub(MAX_DAYS)..before].to_vec()
    }

    fn score(
        &self,
        whole: &Snapshot,
        segments: &[Segment],
        key: &HashKey,
        sample: Sample,
    ) -> Result<Scored, LearnError> {
        if self.basis == Basis::WithinDay {
            return Ok(within_day(whole, sample));
        }
        let rows = sample.sorted_by(|_, time| day_of(time));
        let mut scored = Scored::new(whole.views.len(), rows);
        for range in runs(scored.rows.batch.rows, |row| day_of(scored.rows.batch.time[row])) {
            let days = self.against(day_of(scored.rows.batch.time[range.start]));
            let before = snapshot(&whole.lens, key, segments.iter().filter(|s| days.contains(&s.day)))?;
            scored.score(&before, &before, range);
        }
        Ok(scored)
    }
}

/// Maximal ranges of rows with equal keys.
fn runs<K: PartialEq>(rows: usize, key: impl Fn(usize) -> K) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for row in 0..rows {
        match runs.last_mut() {
            Some(run) if key(run.start) == key(row) => run.end = row + 1,
            _ => runs.push(row..row + 1),
        }
    }
    runs
}

/// Reads a table again and keeps the rows that calibrate; `used` counts them over all tables.
#[allow(clippy::too_many_arguments)] // one call; a struct would only rename them
fn read(
    lens: &Lens,
    key: &HashKey,
    source: &dyn RowSource,
    plan: &Plan,
    choice: Choice,
    units: &mut Units,
    used: &mut u64,
    progress: &dyn Fn(LearnStage, u64),
) -> Result<Sample, LearnError> {
    let (mut encoder, mut sample) = (Encoder::new(lens, key), Sample::new(lens));
    let (before, mut done) = (*used, 0);
    source.for_each(lens.table(), &mut |batch| {
        let batch = encoder.encode(batch)?;
        let room = MAX_ROWS.saturating_sub(before + sample.rows() as u64) as usize;
        sample.add(lens, &batch, units, choice, room, |time| plan.takes(day_of(time)));
        done += batch.rows as u64;
        progress(LearnStage::Sample, done);
        Ok(())
    })?;
    *used += sample.rows() as u64;
    Ok(sample)
}

/// Each unit against the rest of its day.
fn within_day(whole: &Snapshot, sample: Sample) -> Scored {
    let mut scored = Scored::new(whole.views.len(), sample.sorted_by(|group, _| group));
    let batch = &scored.rows.batch;
    let groups = runs(batch.rows, |row| scored.rows.group[row]);
    let score = |scratch: &mut Scratch, range: Range<usize>| {
        let rest = HeldOut::rows(whole, batch, range.start as u32..range.end as u32);
        let mut out = vec![0; whole.views.len() * range.len()];
        let mut rows = Part::new(&rest, whole.seed, batch, range.clone(), scratch);
        for ((view, program), out) in (0..).zip(&whole.views).zip(out.chunks_mut(range.len())) {
            rows.score(view, program, out);
        }
        (range, out)
    };
    let parts: Vec<(Range<usize>, Vec<u16>)> = groups.into_par_iter().map_init(Scratch::default, score).collect();
    let rows = batch.rows;
    for (range, part) in parts {
        for (view, part) in part.chunks(range.len()).enumerate() {
            scored.surprisal[view * rows..][range.clone()].copy_from_slice(part);
        }
    }
    scored
}

/// Calibration rows and their surprisals, view-major.
struct Scored {
    rows: Sorted,
    surprisal: Vec<u16>,
}

impl Scored {
    fn new(views: usize, rows: Sorted) -> Self {
        Self { surprisal: vec![0; views * rows.batch.rows], rows }
    }

    /// Scores a range of rows with `counts`.
    fn score<C: Counts>(&mut self, counts: &C, snapshot: &Snapshot, range: Range<usize>) {
        let batch = &self.rows.batch;
        self.surprisal.par_chunks_mut(batch.rows).enumerate().for_each(|(view, out)| {
            let mut scratch = Scratch::default();
            for start in range.clone().step_by(BLOCK) {
                let block = start..range.end.min(start + BLOCK);
                let mut part = Part::new(counts, snapshot.seed, batch, block.clone(), &mut scratch);
                part.score(view as u32, &snapshot.views[view], &mut out[block]);
            }
        });
    }

    /// The tables of the views and of rows; adds the rows' bits to their units.
    fn calibration(&self, snapshot: &Snapshot, basis: Basis, top: &mut UnitBits) -> Calibration {
        let batch = &self.rows.batch;
        if batch.rows == 0 {
            return Calibration::identity(snapshot.views.len());
        }
        let columns = || self.surprisal.chunks(batch.rows).zip(&snapshot.views);
        let applying = |view: &crate::ViewProgram, row: usize| view.class_mask >> batch.class[row] & 1 == 1;
        let mut bits = vec![0u32; batch.rows];
        let mut views = Vec::new();
        for (column, view) in columns() {
            let mut counted = Histogram::new(VIEW_BINS);
            (0..batch.rows).filter(|row| applying(view, *row)).for_each(|row| counted.add(u32::from(column[row])));
            let table = counted.view_table();
            for row in (0..batch.rows).filter(|row| applying(view, *row)) {
                bits[row] += u32::from(table[usize::from(column[row] >> 6)]);
            }
            views.push(table);
        }
        let mut of_rows = Histogram::new(ROW_BINS);
        bits.iter().for_each(|b| of_rows.add(*b));
        for column in &self.rows.units {
            column.iter().zip(&bits).for_each(|(unit, bits)| top.add(*unit, *bits));
        }
        Calibration { views, rows: of_rows.table(), basis, rows_used: batch.rows as u64 }
    }
}

/// The most surprising rows of every calibrating unit, most bits first.
#[derive(Default)]
struct UnitBits(BTreeMap<u32, [u32; UNIT_ROWS]>);

impl UnitBits {
    fn add(&mut self, unit: u32, bits: u32) {
        if unit == NO_UNIT {
            return;
        }
        let top = self.0.entry(unit).or_default();
        if bits > top[UNIT_ROWS - 1] {
            let at = top.partition_point(|b| *b >= bits);
            top[at..].rotate_right(1);
            top[at] = bits;
        }
    }

    fn calibrations(&self, units: &Units, snapshots: &[Snapshot]) -> Vec<UnitCalibration> {
        let mut kinds: Vec<&str> = snapshots.iter().flat_map(|s| s.lens.units()).map(|u| u.kind.as_str()).collect();
        kinds.sort_unstable();
        kinds.dedup();
        let calibration = |kind: &str| {
            let mut counted = Histogram::new(ROW_BINS);
            let of_kind = self.0.iter().filter(|(unit, _)| units.kinds[**unit as usize] == kind);
            of_kind.for_each(|(_, top)| counted.add(top.iter().sum()));
            UnitCalibration { kind: kind.to_owned(), table: counted.table(), units_used: counted.total() }
        };
        kinds.into_iter().map(calibration).collect()
    }
}
