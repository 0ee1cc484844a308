//! The second pass of learning: rows are scored against what they did not teach, and the scores counted (docs/model.md §5).

use std::collections::BTreeMap;
use std::ops::Range;

use rayon::prelude::*;

use crate::compile::{Options, compile_sources, sources};
use crate::count::Alone;
use crate::cpu::{Counts, Part, Scratch};
use crate::early::Early;
use crate::encode::{EncodedBatch, Encoder};
use crate::evidence::Evidence;
use crate::heldout::{HeldOut, Learned};
use crate::keys::{HashKey, Pair, join};
use crate::learn::{LearnError, LearnStage, RowSource, uncalibrated};
use crate::lens::Lens;
use crate::presence::{Presence, Times};
use crate::sample::{Choice, Sample, Sorted, Units};
use crate::segment::{Segment, day_of};
use crate::snapshot::{Basis, Snapshot};
use crate::tally::{Tally, UnitTops};
use crate::without::WithoutHost;

/// Most rows that calibrate, over all tables.
pub(crate) const MAX_ROWS: u64 = 2_000_000;
/// So many of them are aimed at.
pub(crate) const WANTED_ROWS: u64 = MAX_ROWS / 10 * 9;
/// Most days that a day is scored against.
const MAX_DAYS: usize = 7;
/// Rows of a view scored at a time.
const BLOCK: usize = 8192;

/// What was learned, by table.
pub(crate) struct Counted<'a> {
    pub(crate) key: &'a HashKey,
    pub(crate) options: &'a Options,
    pub(crate) snapshots: &'a [Snapshot],
    /// What each snapshot was compiled from.
    pub(crate) segments: &'a [Vec<&'a Segment>],
    /// Rows that are to calibrate are of these days alone, by table.
    pub(crate) fresh: &'a [Vec<Segment>],
}

/// What calibrates the snapshots and their unit kinds.
pub(crate) fn calibrate(
    counted: &Counted<'_>,
    early: Vec<Option<Early>>,
    source: &dyn RowSource,
    progress: &dyn Fn(LearnStage, u64),
) -> Result<Vec<Evidence>, LearnError> {
    let Counted { key, snapshots, segments, fresh, .. } = *counted;
    let plans: Vec<Plan> = segments.iter().map(|s| Plan::new(s)).collect();
    let available = plans.iter().zip(fresh).map(|(plan, fresh)| plan.available(fresh)).sum();
    // Each kind of unit is chosen by itself, and so may take its share of the room.
    let kinds = snapshots.iter().map(|s| s.lens.units().len()).max().unwrap_or(0).max(1) as u64;
    let choice = Choice::of(WANTED_ROWS / kinds, available);
    let mut presence = Presence::new(key, segments.iter().flatten().copied());
    let (mut units, mut samples, mut used) = (Units::default(), Vec::new(), 0);
    for ((snapshot, plan), early) in snapshots.iter().zip(&plans).zip(early) {
        let read = Read { lens: &snapshot.lens, key, plan, choice };
        let room = usize::try_from(MAX_ROWS.saturating_sub(used)).unwrap_or(usize::MAX);
        let takes = |time| plan.takes(day_of(time));
        let kept = early.and_then(|early| early.settle(choice, room, (&mut units, &mut presence), takes));
        let sample = match kept {
            Some(sample) => sample,
            None => read.sample(source, (&mut units, &mut presence), room, progress)?,
        };
        used += sample.rows() as u64;
        samples.push(sample);
    }
    let (mut evidence, mut tops) = (Vec::new(), UnitTops::new(&presence, choice));
    for (at, (plan, sample)) in plans.iter().zip(samples).enumerate() {
        progress(LearnStage::Calibrate, used);
        let scored = plan.score(counted, at, &presence, sample)?;
        let tally = Tally { scored: &scored, snapshot: &snapshots[at], basis: plan.basis };
        evidence.extend(tally.evidence(&mut tops));
    }
    let tables: Vec<(&Lens, &Plan)> = snapshots.iter().map(|s| &s.lens).zip(&plans).collect();
    evidence.extend(tops.evidence(&units, &tables));
    Ok(evidence)
}

/// What each row of a table is scored against.
pub(crate) struct Plan {
    pub(crate) basis: Basis,
    /// The days that have data, ascending.
    days: Vec<i32>,
}

impl Plan {
    fn new(segments: &[&Segment]) -> Self {
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

    /// Whether rows of some of these days do not calibrate: a unit that has rows there is not whole.
    pub(crate) fn cuts(&self, days: &Range<i32>) -> bool {
        self.basis == Basis::Forward && self.days.first().is_some_and(|first| days.contains(first))
    }

    fn score(
        &self,
        counted: &Counted<'_>,
        table: usize,
        presence: &Presence,
        sample: Sample,
    ) -> Result<Scored, LearnError> {
        let (segments, lens) = (&counted.segments[table], &counted.snapshots[table].lens);
        let against = |days: &[i32]| {
            let segments: Vec<&Segment> = segments.iter().copied().filter(|s| days.contains(&s.day)).collect();
            Against::new(counted, lens, segments, days, presence)
        };
        if self.basis == Basis::WithinDay {
            return Ok(within_day(&against(&self.days)?, sample));
        }
        let mut scored = Scored::new(lens.views().len(), sample.sorted_by(|_, host, time| (day_of(time), host)));
        for range in runs(scored.rows.batch.rows, |row| day_of(scored.rows.batch.time[row])) {
            let against = against(&self.against(day_of(scored.rows.batch.time[range.start])))?;
            scored.own_days(&against, range.clone());
            scored.score(&against, range.clone());
            scored.by_peers(&against, range);
        }
        Ok(scored)
    }
}

/// What rows are scored against.
struct Against<'a> {
    key: &'a HashKey,
    options: Options,
    segments: Vec<&'a Segment>,
    days: Vec<i32>,
    presence: &'a Presence,
    snapshot: Snapshot,
    /// What hosts that may be taken out have alone.
    alone: Alone,
}

impl<'a> Against<'a> {
    /// Reckoned from the newest of the days, as what is learned up to now will be, whatever the options say of today.
    fn new(
        counted: &Counted<'a>,
        lens: &Lens,
        segments: Vec<&'a Segment>,
        days: &[i32],
        presence: &'a Presence,
    ) -> Result<Self, LearnError> {
        let options = Options { as_of: days.last().copied(), ..counted.options.clone() };
        let mut sources = sources(counted.key, segments.iter().copied(), &options);
        sources.iter_mut().for_each(|source| source.is_asked = presence.is_chosen(join(source.host)));
        let (compiled, alone) = compile_sources(&sources, &options);
        let snapshot = uncalibrated(lens, counted.key, compiled)?;
        Ok(Self { key: counted.key, options, segments, days: days.to_vec(), presence, snapshot, alone })
    }

    /// The same without a host; `None` if it has no peers, or taught nothing that could be held out, or is not chosen.
    fn without(&self, host: Pair) -> Option<WithoutHost<'_>> {
        let of = join(host);
        let is_held_out = self.presence.is_chosen(of)
            && self.presence.days(of, &self.days) > 0
            && self.presence.has_peers(of, &self.days);
        is_held_out.then(|| WithoutHost::new(&self.snapshot, &self.alone, host))
    }
}

/// Some rows and their surprisals, view after view.
type Piece = (Range<usize>, Vec<u16>);

/// Scores some rows of a batch.
fn surprisals<C: Counts>(
    snapshot: &Snapshot,
    counts: &C,
    batch: &EncodedBatch,
    rows: Range<usize>,
    scratch: &mut Scratch,
) -> Piece {
    let mut out = vec![0; snapshot.views.len() * rows.len()];
    let mut part = Part::new(counts, snapshot.seed, batch, rows.clone(), scratch);
    for ((view, program), out) in (0..).zip(&snapshot.views).zip(out.chunks_mut(rows.len())) {
        part.score(view, program, out);
    }
    (rows, out)
}

/// The rows in pieces that a thread scores at a time.
fn blocks(rows: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let end = rows.end;
    rows.step_by(BLOCK).map(move |start| start..end.min(start + BLOCK))
}

/// Maximal ranges of rows with equal keys.
pub(crate) fn runs<K: PartialEq>(rows: usize, key: impl Fn(usize) -> K) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for row in 0..rows {
        match runs.last_mut() {
            Some(run) if key(run.start) == key(row) => run.end = row + 1,
            _ => runs.push(row..row + 1),
        }
    }
    runs
}

/// How a table is read again.
struct Read<'a> {
    lens: &'a Lens,
    key: &'a HashKey,
    plan: &'a Plan,
    choice: Choice,
}

impl Read<'_> {
    /// Keeps the rows that calibrate, up to `room` of them.
    fn sample(
        &self,
        source: &dyn RowSource,
        (units, presence): (&mut Units, &mut Presence),
        room: usize,
        progress: &dyn Fn(LearnStage, u64),
    ) -> Result<Sample, LearnError> {
        let Self { lens, key, plan, choice } = *self;
        let (mut encoder, mut sample) = (Encoder::new(lens, key), Sample::new(lens));
        let (mut times, mut done) = (Times::default(), 0);
        source.for_each(lens.table(), &mut |batch| {
            let batch = encoder.encode(batch)?;
            times.saw(&batch);
            let room = room.saturating_sub(sample.rows());
            sample.add(lens, &batch, units, choice, room, |time| plan.takes(day_of(time)));
            done += batch.rows as u64;
            progress(LearnStage::Sample, done);
            Ok(())
        })?;
        presence.saw(&times);
        Ok(sample)
    }
}

/// Each unit against the rest of its day.
fn within_day(against: &Against<'_>, sample: Sample) -> Scored {
    let whole = &against.snapshot;
    let learned = Learned::new(against.key, against.segments.iter().copied(), &against.options);
    let mut scored = Scored::new(whole.views.len(), sample.sorted_by(|group, _, _| group));
    let batch = &scored.rows.batch;
    let groups = runs(batch.rows, |row| scored.rows.group[row]);
    let score = |scratch: &mut Scratch, rows: Range<usize>| {
        let rest = HeldOut::rows(whole, &learned, batch, rows.start as u32..rows.end as u32);
        surprisals(whole, &rest, batch, rows, scratch)
    };
    let parts: Vec<Piece> = groups.into_par_iter().map_init(Scratch::default, score).collect();
    let rows = batch.rows;
    put(&mut scored.surprisal, rows, parts);
    scored.own_days(against, 0..rows);
    scored.by_peers(against, 0..rows);
    scored
}

/// Puts surprisals in their place among those of all rows, of which there are so many.
fn put(surprisal: &mut [u16], rows: usize, parts: Vec<Piece>) {
    for (range, part) in parts {
        for (view, part) in part.chunks(range.len()).enumerate() {
            surprisal[view * rows..][range.clone()].copy_from_slice(part);
        }
    }
}

/// Calibration rows and their surprisals, view-major.
pub(crate) struct Scored {
    pub(crate) rows: Sorted,
    pub(crate) surprisal: Vec<u16>,
    /// The same as if the row's host had taught nothing.
    pub(crate) by_peers: Vec<u16>,
    /// By row, whether there is such a surprisal.
    pub(crate) has_peers: Vec<bool>,
    /// By row, how many days its host had in what it was scored against.
    pub(crate) own_days: Vec<u8>,
}

impl Scored {
    fn new(views: usize, rows: Sorted) -> Self {
        let count = rows.batch.rows;
        let surprisal = vec![0; views * count];
        let (has_peers, own_days) = (vec![false; count], vec![0; count]);
        Self { rows, by_peers: surprisal.clone(), surprisal, has_peers, own_days }
    }

    /// Scores a range of rows as they are.
    fn score(&mut self, against: &Against<'_>, range: Range<usize>) {
        let (snapshot, batch) = (&against.snapshot, &self.rows.batch);
        let score = |scratch: &mut Scratch, rows| surprisals(snapshot, snapshot, batch, rows, scratch);
        let blocks: Vec<Range<usize>> = blocks(range).collect();
        let parts = blocks.into_par_iter().map_init(Scratch::default, score).collect();
        put(&mut self.surprisal, batch.rows, parts);
    }

    fn own_days(&mut self, against: &Against<'_>, range: Range<usize>) {
        for row in range {
            let days = against.presence.days(join(self.rows.batch.host.hash(row)), &against.days);
            self.own_days[row] = u8::try_from(days).unwrap_or(u8::MAX);
        }
    }

    /// Scores a range of rows as if each one's host had taught nothing.
    fn by_peers(&mut self, against: &Against<'_>, range: Range<usize>) {
        let batch = &self.rows.batch;
        let mut hosts: BTreeMap<Pair, Option<WithoutHost<'_>>> = BTreeMap::new();
        let runs = runs(range.len(), |row| batch.host.hash(range.start + row));
        let runs: Vec<Range<usize>> =
            runs.into_iter().map(|run| range.start + run.start..range.start + run.end).collect();
        for host in runs.iter().map(|rows| batch.host.hash(rows.start)) {
            hosts.entry(host).or_insert_with(|| against.without(host));
        }
        let of_run = |rows: Range<usize>| {
            let without = hosts[&batch.host.hash(rows.start)].as_ref();
            without.into_iter().flat_map(move |without| blocks(rows.clone()).map(move |rows| (without, rows)))
        };
        let work: Vec<(&WithoutHost<'_>, Range<usize>)> = runs.into_iter().flat_map(of_run).collect();
        let score = |scratch: &mut Scratch, (without, rows): (&WithoutHost<'_>, Range<usize>)| {
            surprisals(&against.snapshot, without, batch, rows, scratch)
        };
        let parts: Vec<Piece> = work.into_par_iter().map_init(Scratch::default, score).collect();
        parts.iter().for_each(|(rows, _)| self.has_peers[rows.clone()].fill(true));
        put(&mut self.by_peers, batch.rows, parts);
    }
}
