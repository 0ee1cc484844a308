//! The second pass of learning: rows are scored against what they did not teach, and the scores counted (docs/model.md §5).

use std::collections::BTreeMap;
use std::ops::Range;

use rayon::prelude::*;

use crate::compile::Options;
use crate::cpu::{Counts, Part, Scratch};
use crate::encode::{Encoder, NO_UNIT};
use crate::evidence::{self, Evidence, Sparse, Subject, sparse};
use crate::heldout::HeldOut;
use crate::keys::{HashKey, PairMap, join};
use crate::learn::{LearnError, LearnStage, RowSource, snapshot};
use crate::lens::Lens;
use crate::sample::{Choice, Sample, Sorted, Units};
use crate::segment::{Segment, day_of};
use crate::snapshot::{Basis, ROW_BINS, Snapshot, VIEW_BINS, ViewProgram};
use crate::units::UNIT_ROWS;

/// Most rows that calibrate, over all tables.
pub(crate) const MAX_ROWS: u64 = 2_000_000;
/// Most days that a day is scored against.
const MAX_DAYS: usize = 7;
/// Rows of a view scored at a time.
const BLOCK: usize = 8192;

/// What calibrates the snapshots and their unit kinds.
pub(crate) fn calibrate(
    snapshots: &[Snapshot],
    segments: &[Vec<Segment>],
    key: &HashKey,
    options: &Options,
    source: &dyn RowSource,
    progress: &dyn Fn(LearnStage, u64),
) -> Result<Vec<Evidence>, LearnError> {
    let plans: Vec<Plan> = segments.iter().map(|s| Plan::new(s)).collect();
    let available = plans.iter().zip(segments).map(|(plan, segments)| plan.available(segments)).sum();
    // Each kind of unit is chosen by itself, and so may take its share of the room.
    let kinds = snapshots.iter().map(|s| s.lens.units().len()).max().unwrap_or(0).max(1) as u64;
    let choice = Choice::of(MAX_ROWS / 10 * 9 / kinds, available);
    let (mut units, mut top) = (Units::default(), UnitBits::default());
    let (mut evidence, mut used) = (Vec::new(), 0);
    for ((snapshot, segments), plan) in snapshots.iter().zip(segments).zip(&plans) {
        let sample = read(&snapshot.lens, key, source, plan, choice, &mut units, &mut used, progress)?;
        progress(LearnStage::Calibrate, used);
        let scored = plan.score(snapshot, segments, (key, options), sample)?;
        evidence.extend(scored.evidence(snapshot, plan.basis, &hosts(segments, key), &mut top));
    }
    let lenses = || snapshots.iter().zip(&plans).map(|(snapshot, plan)| (&snapshot.lens, plan.basis));
    evidence.extend(top.evidence(&units, &|kind| {
        // A unit's rows may be of several tables: it is as good as the weakest.
        let of_kind = lenses().filter(|(lens, _)| lens.units().iter().any(|u| u.kind == kind));
        of_kind.map(|(_, basis)| basis).filter(|basis| *basis != Basis::None).min().unwrap_or(Basis::None)
    }));
    Ok(evidence)
}

/// The hosts of segments by the hash of their names.
fn hosts(segments: &[Segment], key: &HashKey) -> PairMap<Option<String>> {
    segments.iter().map(|s| (join(key.value(s.host.as_deref())), s.host.clone())).collect()
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
        (key, options): (&HashKey, &Options),
        sample: Sample,
    ) -> Result<Scored, LearnError> {
        if self.basis == Basis::WithinDay {
            return Ok(within_day(whole, sample));
        }
        let rows = sample.sorted_by(|_, time| day_of(time));
        let mut scored = Scored::new(whole.views.len(), rows);
        for range in runs(scored.rows.batch.rows, |row| day_of(scored.rows.batch.time[row])) {
            let days = self.against(day_of(scored.rows.batch.time[range.start]));
            let before = snapshot(&whole.lens, key, options, segments.iter().filter(|s| days.contains(&s.day)))?;
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

    /// What was scored, by host and day; adds the rows' bits to their units.
    fn evidence(
        &self,
        snapshot: &Snapshot,
        basis: Basis,
        hosts: &PairMap<Option<String>>,
        top: &mut UnitBits,
    ) -> Vec<Evidence> {
        let batch = &self.rows.batch;
        if batch.rows == 0 {
            return Vec::new();
        }
        let mut parts: BTreeMap<(u64, i32), Vec<u32>> = BTreeMap::new();
        for row in 0..batch.rows {
            let place = (join(batch.host.hash(row)), day_of(batch.time[row]));
            parts.entry(place).or_default().push(row as u32);
        }
        let parts: Vec<((u64, i32), Vec<u32>)> = parts.into_iter().collect();
        // How rare a view's surprisals are is known only of all parts together; from that follow the bits of rows.
        let view = |(surprisal, view): (&[u16], &ViewProgram)| {
            let applying = |row: &&u32| view.class_mask >> batch.class[**row as usize] & 1 == 1;
            let of_rows = |rows: &[u32]| {
                sparse(rows.iter().filter(applying).map(|row| u32::from(surprisal[*row as usize])), VIEW_BINS)
            };
            let counted: Vec<Sparse> = parts.iter().map(|(_, rows)| of_rows(rows)).collect();
            let table = evidence::sum(&counted, VIEW_BINS).view_table();
            (counted, table)
        };
        let columns = self.surprisal.par_chunks(batch.rows).zip(&snapshot.views);
        let (counted, tables): (Vec<Vec<Sparse>>, Vec<Vec<u16>>) = columns.map(view).unzip();
        let mut bits = vec![0u32; batch.rows];
        for ((column, view), table) in self.surprisal.chunks(batch.rows).zip(&snapshot.views).zip(&tables) {
            for row in (0..batch.rows).filter(|row| view.class_mask >> batch.class[*row] & 1 == 1) {
                bits[row] += u32::from(table[usize::from(column[row] >> 6)]);
            }
        }
        for column in &self.rows.units {
            column.iter().zip(&bits).for_each(|(unit, bits)| top.add(*unit, *bits));
        }
        let mut by_view: Vec<_> = counted.into_iter().map(Vec::into_iter).collect();
        let evidence = |((host, day), rows): ((u64, i32), Vec<u32>)| {
            let mut histograms: Vec<Sparse> = by_view.iter_mut().filter_map(Iterator::next).collect();
            histograms.push(sparse(rows.iter().map(|row| bits[*row as usize]), ROW_BINS));
            let place = (hosts.get(&host).cloned().flatten(), day);
            Evidence::new(Subject::Rows(snapshot.lens.digest()), place, basis, rows.len() as u64, histograms)
        };
        parts.into_iter().map(evidence).collect()
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

    fn evidence(&self, units: &Units, basis: &dyn Fn(&str) -> Basis) -> Vec<Evidence> {
        let mut parts: BTreeMap<(&str, Option<&str>, i32), Vec<u32>> = BTreeMap::new();
        for (unit, top) in &self.0 {
            let unit = &units.chosen[*unit as usize];
            parts.entry((&unit.kind, unit.host.as_deref(), unit.day)).or_default().push(top.iter().sum());
        }
        let evidence = |((kind, host, day), bits): ((&str, Option<&str>, i32), Vec<u32>)| {
            let (subject, counted) = (Subject::Units(kind.to_owned()), bits.len() as u64);
            let place = (host.map(str::to_owned), day);
            Evidence::new(subject, place, basis(kind), counted, vec![sparse(bits.into_iter(), ROW_BINS)])
        };
        parts.into_iter().map(evidence).collect()
    }
}
