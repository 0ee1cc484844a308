//! Scoring while learning: each row is scored by what came before it, then counted (docs/model.md §8).

use std::collections::BTreeMap;
use std::ops::Range;

use rayon::prelude::*;

use crate::backend::{BackendError, REASONS, Reason, Scores};
use crate::encode::EncodedBatch;
use crate::keys::{FLEET, HashKey, Pair, PairMap, absorb, context_start, join, pair, scoped};
use crate::lens::Lens;
use crate::log2::lg;
use crate::segment::Ticks;
use crate::snapshot::{Calibration, ViewProgram, lay_out, programs};

/// Counts that grow with the rows they score. Memory: one entry per distinct scoped context and cell, and the rows of one
/// tick.
///
/// The counts are at any time those of [`crate::compile::compile`] over the segments of the rows counted so far, and the
/// scores those of a backend with that table, bit for bit; how rows are cut into batches is all the same. Counts do not
/// decay, and nothing is held back or let go.
pub struct Stream {
    views: Vec<ViewCounts>,
    seed: Pair,
    groups: BTreeMap<u64, Pair>,
    calibration: Calibration,
    fields: usize,
    tick_ns: i64,
    /// The tick whose rows are pending.
    now: Option<i64>,
    /// Rows that are scored but not counted yet.
    pending: PendingRows,
}

/// The counts of one view: keys of different views never meet, so each view is counted by a thread of its own.
struct ViewCounts {
    number: u32,
    program: ViewProgram,
    /// By scoped key: (N, T) of a context, (n, 0) of a cell.
    counts: PairMap<[u32; 2]>,
    /// Where a cell counts once a tick, those of each host.
    ticks: Option<Ticks>,
    /// Of the row at hand, each context and its cell, without scope.
    keys: Vec<(Pair, Pair)>,
}

/// Whose habits a row is measured by.
#[derive(Clone, Copy)]
struct Scopes {
    host: Pair,
    group: Option<Pair>,
}

impl Stream {
    /// Nothing counted yet. Ticks are those of the lens, and surprisals are taken as bits.
    pub fn new(lens: &Lens, key: &HashKey) -> Self {
        let view = |(number, program)| ViewCounts {
            number: number as u32,
            program,
            counts: PairMap::default(),
            ticks: Ticks::of(lens),
            keys: Vec::new(),
        };
        Self {
            views: programs(lens).into_iter().enumerate().map(view).collect(),
            seed: key.seed(&lens.digest()),
            groups: BTreeMap::new(),
            calibration: Calibration::identity(lens.views().len()),
            fields: lens.fields().len(),
            tick_ns: lens.tick_ns(),
            now: None,
            pending: PendingRows { fields: vec![Vec::new(); lens.fields().len()], ..PendingRows::default() },
        }
    }

    /// With ticks of this many ns of event time instead of the lens's: the rows of a tick see the counts of all ticks
    /// before it. 0: a row sees the counts of all rows before it.
    #[must_use]
    pub fn with_tick(mut self, tick_ns: i64) -> Self {
        self.tick_ns = tick_ns.max(0);
        self
    }

    /// With peer groups: [`crate::Snapshot::groups`].
    #[must_use]
    pub fn with_groups(mut self, groups: BTreeMap<u64, Pair>) -> Self {
        self.groups = groups;
        self
    }

    /// With the calibration of a baseline of the same lens. Returns `None` if its tables are not of the lens's views.
    #[must_use]
    pub fn with_calibration(mut self, calibration: Calibration) -> Option<Self> {
        if !calibration.fits(self.views.len()) {
            return None;
        }
        self.calibration = calibration;
        Some(self)
    }

    /// Scores the rows in order, into `out`, and counts them when their tick is over. A row of an earlier tick than the
    /// current one is late: it is scored now and counted with the current tick.
    ///
    /// # Errors
    /// The batch was encoded with another lens, or is inconsistent in itself; then nothing has changed.
    pub fn feed(&mut self, batch: &EncodedBatch, out: &mut Scores) -> Result<(), BackendError> {
        self.check(batch)?;
        out.reset(batch.rows, self.views.len());
        if batch.rows == 0 {
            return Ok(());
        }
        let scopes = self.scopes(batch);
        let rows = BatchRows { batch, scopes: &scopes };
        let (steps, from) = self.steps(batch);
        let (pending, seed) = (&self.pending, self.seed);
        let mut surprisal = std::mem::take(&mut out.surprisal);
        surprisal.resize(batch.rows * self.views.len(), 0);
        let columns = self.views.par_iter_mut().zip(surprisal.par_chunks_mut(batch.rows));
        columns.for_each(|(view, out)| steps.iter().for_each(|step| view.step(seed, step, &rows, pending, out)));
        if steps.iter().any(|step| matches!(step, Step::CountPending)) {
            self.pending.clear();
        }
        self.pending.extend(&rows, from..batch.rows);
        self.combine(batch, &surprisal, out);
        if !out.only_rows {
            out.surprisal = surprisal;
        }
        Ok(())
    }

    /// Counts rows without scoring them, and first those that are pending: for what is known to be normal.
    ///
    /// # Errors
    /// As for [`Stream::feed`].
    pub fn learn(&mut self, batch: &EncodedBatch) -> Result<(), BackendError> {
        self.check(batch)?;
        self.finish();
        let scopes = self.scopes(batch);
        let (rows, seed) = (BatchRows { batch, scopes: &scopes }, self.seed);
        self.views.par_iter_mut().for_each(|view| view.count_all(seed, &rows, 0..batch.rows));
        Ok(())
    }

    /// Counts the rows of the current tick, though it may not be over.
    pub fn finish(&mut self) {
        let (seed, pending) = (self.seed, &self.pending);
        self.views.par_iter_mut().for_each(|view| view.count_all(seed, pending, 0..pending.len()));
        self.pending.clear();
    }

    /// The table of what is counted, as compiling would lay it out.
    pub fn table(&self) -> Vec<[u32; 4]> {
        let entries = self.views.iter().flat_map(|view| &view.counts);
        lay_out(entries.map(|(key, [n, kinds])| [pair(*key)[0], pair(*key)[1], *n, *kinds]).collect())
    }

    /// Distinct scoped contexts and cells.
    pub fn entries(&self) -> usize {
        self.views.iter().map(|view| view.counts.len()).sum()
    }

    fn check(&self, batch: &EncodedBatch) -> Result<(), BackendError> {
        match batch.is_consistent(self.fields) {
            true => Ok(()),
            false => Err(BackendError::Batch("its columns do not match the lens".to_owned())),
        }
    }

    fn scopes(&self, batch: &EncodedBatch) -> Vec<Scopes> {
        let of = |host: &Pair| Scopes { host: *host, group: self.groups.get(&join(*host)).copied() };
        let of_code: Vec<Scopes> = batch.host.hashes.iter().map(of).collect();
        batch.host.codes.iter().map(|code| of_code[*code as usize]).collect()
    }

    /// What to do with a batch, and from which row on its rows stay pending.
    fn steps(&mut self, batch: &EncodedBatch) -> (Vec<Step>, usize) {
        if self.tick_ns == 0 {
            return (vec![Step::ScoreAndCount], batch.rows);
        }
        let (mut steps, mut from) = (Vec::new(), 0);
        for (row, time) in batch.time.iter().enumerate() {
            let tick = time.div_euclid(self.tick_ns);
            if self.now.is_some_and(|now| tick > now) {
                if steps.is_empty() {
                    steps.extend([Step::Score(0..row), Step::CountPending, Step::Count(0..row)]);
                } else {
                    steps.extend([Step::Score(from..row), Step::Count(from..row)]);
                }
                from = row;
            }
            self.now = self.now.max(Some(tick));
        }
        steps.push(Step::Score(from..batch.rows));
        (steps, from)
    }

    /// Surprisals into bits, reasons and rarity.
    fn combine(&self, batch: &EncodedBatch, surprisal: &[u16], out: &mut Scores) {
        let rows = batch.rows;
        let columns = out.bits.par_iter_mut().zip(&mut out.reasons).zip(&mut out.log2_n).enumerate();
        columns.with_min_len(1024).for_each(|(row, ((bits, reasons), log2_n))| {
            for (number, view) in self.views.iter().enumerate() {
                if view.program.class_mask >> batch.class[row] & 1 == 1 {
                    let of_view = self.calibration.view_bits(number, surprisal[number * rows + row]);
                    *bits += u32::from(of_view);
                    place(reasons, Reason { view: number as u16, bits: of_view });
                }
            }
            *log2_n = self.calibration.row_log2_n(*bits);
        });
    }
}

/// Places a view among a row's reasons. Views come in order, so that the first of equals stays ahead.
fn place(reasons: &mut [Reason; REASONS], reason: Reason) {
    if let Some(at) = reasons.iter().position(|known| reason.bits > known.bits) {
        reasons[at..].rotate_right(1);
        reasons[at] = reason;
    }
}

/// A part of the work on a batch.
enum Step {
    /// Score each row and count it before the next.
    ScoreAndCount,
    Score(Range<usize>),
    CountPending,
    Count(Range<usize>),
}

/// Rows by the hashes of their values.
trait Hashes {
    fn class(&self, row: usize) -> u8;
    fn time(&self, row: usize) -> i64;
    fn scopes(&self, row: usize) -> Scopes;
    fn hash(&self, field: u32, row: usize) -> Pair;
}

struct BatchRows<'a> {
    batch: &'a EncodedBatch,
    scopes: &'a [Scopes],
}

impl Hashes for BatchRows<'_> {
    fn class(&self, row: usize) -> u8 {
        self.batch.class[row]
    }

    fn time(&self, row: usize) -> i64 {
        self.batch.time[row]
    }

    fn scopes(&self, row: usize) -> Scopes {
        self.scopes[row]
    }

    fn hash(&self, field: u32, row: usize) -> Pair {
        self.batch.fields[field as usize].hash(row)
    }
}

/// Rows of batches that are gone.
#[derive(Default)]
struct PendingRows {
    class: Vec<u8>,
    time: Vec<i64>,
    scopes: Vec<Scopes>,
    fields: Vec<Vec<Pair>>,
}

impl PendingRows {
    fn len(&self) -> usize {
        self.class.len()
    }

    fn clear(&mut self) {
        self.class.clear();
        self.time.clear();
        self.scopes.clear();
        self.fields.iter_mut().for_each(Vec::clear);
    }

    fn extend(&mut self, rows: &BatchRows<'_>, range: Range<usize>) {
        self.class.extend_from_slice(&rows.batch.class[range.clone()]);
        self.time.extend_from_slice(&rows.batch.time[range.clone()]);
        self.scopes.extend_from_slice(&rows.scopes[range.clone()]);
        for (field, codes) in self.fields.iter_mut().zip(&rows.batch.fields) {
            field.extend(range.clone().map(|row| codes.hash(row)));
        }
    }
}

impl Hashes for PendingRows {
    fn class(&self, row: usize) -> u8 {
        self.class[row]
    }

    fn time(&self, row: usize) -> i64 {
        self.time[row]
    }

    fn scopes(&self, row: usize) -> Scopes {
        self.scopes[row]
    }

    fn hash(&self, field: u32, row: usize) -> Pair {
        self.fields[field as usize][row]
    }
}

impl ViewCounts {
    fn step(&mut self, seed: Pair, step: &Step, rows: &BatchRows<'_>, pending: &PendingRows, out: &mut [u16]) {
        match step {
            Step::ScoreAndCount => {
                for (row, out) in out.iter_mut().enumerate() {
                    if self.take(seed, rows, row) {
                        *out = self.score(rows.scopes(row));
                        self.count(rows.scopes(row), rows.time(row));
                    }
                }
            }
            Step::Score(range) => {
                for row in range.clone() {
                    if self.take(seed, rows, row) {
                        out[row] = self.score(rows.scopes(row));
                    }
                }
            }
            Step::CountPending => self.count_all(seed, pending, 0..pending.len()),
            Step::Count(range) => self.count_all(seed, rows, range.clone()),
        }
    }

    fn count_all(&mut self, seed: Pair, rows: &impl Hashes, range: Range<usize>) {
        for row in range {
            if self.take(seed, rows, row) {
                self.count(rows.scopes(row), rows.time(row));
            }
        }
    }

    /// Makes the keys of a row; false if the view does not apply to it.
    fn take(&mut self, seed: Pair, rows: &impl Hashes, row: usize) -> bool {
        if self.program.class_mask >> rows.class(row) & 1 == 0 {
            return false;
        }
        let take = |state, field: &u32| absorb(state, rows.hash(*field, row));
        self.keys.clear();
        for (number, fields) in self.program.contexts.iter().enumerate() {
            let context = fields.iter().fold(context_start(seed, self.number, number as u32), take);
            self.keys.push((context, self.program.child.iter().fold(context, take)));
        }
        true
    }

    /// docs/model.md §4 for the row whose keys are at hand.
    fn score(&self, scopes: Scopes) -> u16 {
        let mut sum = 0u32;
        for (context, cell) in &self.keys {
            for scope in scopes.levels() {
                let [total, kinds] = self.find(scoped(*context, scope));
                if total == 0 {
                    continue;
                }
                let [seen, _] = self.find(scoped(*cell, scope));
                let all = lg(total.saturating_add(kinds));
                if seen > 0 {
                    return rounded(sum.wrapping_add(all.wrapping_sub(lg(seen))));
                }
                sum = sum.wrapping_add(all.wrapping_sub(lg(kinds)));
            }
        }
        let [_, vocabulary] = self.keys.last().map_or([0, 0], |(empty, _)| self.find(scoped(*empty, FLEET)));
        rounded(sum.wrapping_add(lg(vocabulary.saturating_add(1))))
    }

    /// Counts the row whose keys are at hand: once on its host, and on its group and the fleet if it is new to its host.
    fn count(&mut self, scopes: Scopes, time: i64) {
        let Self { counts, keys, ticks, .. } = self;
        for (context, cell) in keys.iter() {
            if ticks.as_mut().is_some_and(|ticks| !ticks.admit(join(scoped(*cell, scopes.host)), time)) {
                continue;
            }
            let is_new = add(counts, *context, *cell, scopes.host);
            for scope in scopes.levels().skip(1).filter(|_| is_new) {
                add(counts, *context, *cell, scope);
            }
        }
    }

    fn find(&self, key: Pair) -> [u32; 2] {
        self.counts.get(&join(key)).copied().unwrap_or([0, 0])
    }
}

/// Adds one to a cell and to its context; whether the scope had no such cell.
fn add(counts: &mut PairMap<[u32; 2]>, context: Pair, cell: Pair, scope: Pair) -> bool {
    let n = &mut counts.entry(join(scoped(cell, scope))).or_insert([0, 0])[0];
    let is_new = *n == 0;
    *n = n.saturating_add(1);
    let [total, kinds] = counts.entry(join(scoped(context, scope))).or_insert([0, 0]);
    *total = total.saturating_add(1);
    *kinds = kinds.saturating_add(u32::from(is_new));
    is_new
}

impl Scopes {
    /// Fine to coarse.
    fn levels(self) -> impl Iterator<Item = Pair> {
        [Some(self.host), self.group, Some(FLEET)].into_iter().flatten()
    }
}

/// Q16 to 1/1024 bit.
fn rounded(sum: u32) -> u16 {
    (sum.wrapping_add(32) >> 6).min(u32::from(u16::MAX)) as u16
}
