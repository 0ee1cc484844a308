//! A part of a batch, view by view and level by level (docs/model.md §4).
//!
//! A table larger than the caches answers a look-up from memory, which takes a hundred times longer than making its key.
//! So keys are made a chunk at a time, their slots are asked for ahead, and what was asked for two chunks ago is read.

use std::ops::Range;

use super::lanes::{CHUNK, Keys, Lanes, Path, Scopes};
use crate::backend::StageCounters;
use crate::encode::{Codes, EncodedBatch};
use crate::keys::{FLEET, NO_GROUP, Pair, context_start, scoped};
use crate::log2::lg;
use crate::snapshot::{Snapshot, ViewProgram};

/// Chunks whose slots are on their way.
const AHEAD: usize = 4;

/// Where counts come from: a snapshot, or a snapshot less what is held out.
pub(crate) trait Counts: Sync {
    /// (N, T) of a context, (n, 0) of a cell, by scoped key; zeros if absent.
    fn find(&self, key: Pair) -> [u32; 2];
    /// Whether there are cells that the table had no room for.
    fn sketched(&self) -> bool;
    /// n of a cell in a context of which `total` was seen, from wherever it is.
    fn seen(&self, cell: Pair, total: u32) -> u32;
    /// The scope of a host's peer group, by the host's value hash; [`NO_GROUP`] if it has none.
    fn group(&self, host: Pair) -> Pair;
    /// V of a view.
    fn vocabulary(&self, view: usize) -> u32;

    /// `find` of the first `due` keys; the memory for the first `coming` of `next` is asked for meanwhile.
    fn find_chunk(&self, keys: &Keys, due: usize, next: &Keys, coming: usize, found: &mut Keys) {
        let _ = (next, coming);
        for i in 0..due {
            [found.lo[i], found.hi[i]] = self.find([keys.lo[i], keys.hi[i]]);
        }
    }
}

impl Counts for Snapshot {
    #[inline]
    fn find(&self, key: Pair) -> [u32; 2] {
        Snapshot::find(self, key)
    }

    #[inline]
    fn find_chunk(&self, keys: &Keys, due: usize, next: &Keys, coming: usize, found: &mut Keys) {
        super::probe::chunk(&self.slots, self.mask, keys, due, next, coming, found);
    }

    fn sketched(&self) -> bool {
        !self.sketch.is_empty()
    }

    fn seen(&self, cell: Pair, total: u32) -> u32 {
        Snapshot::seen(self, cell, total)
    }

    fn group(&self, host: Pair) -> Pair {
        Snapshot::group(self, host).unwrap_or(NO_GROUP)
    }

    fn vocabulary(&self, view: usize) -> u32 {
        self.views[view].vocabulary
    }
}

/// Working memory of a thread.
pub(crate) struct Scratch {
    path: Path,
    /// Per row of the part: the scopes of its host and group.
    hosts: Vec<Pair>,
    groups: Vec<Pair>,
    open: Open,
    /// 0, 1, 2 …: the places of all entries of `open`.
    places: Vec<u32>,
    /// The entries of `open` whose host has a group.
    members: Vec<u32>,
    /// Of the current level: the entries of `open` whose context is known.
    present: Vec<u32>,
    /// Per entry of `open`: (N, T) of its context, and (n, 0) of its cell; zeros if not there.
    totals: Lanes,
    seen: Lanes,
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new(Path::detect())
    }
}

impl Scratch {
    pub(crate) fn new(path: Path) -> Self {
        Self {
            path,
            hosts: Vec::new(),
            groups: Vec::new(),
            open: Open::default(),
            places: Vec::new(),
            members: Vec::new(),
            present: Vec::new(),
            totals: Lanes::default(),
            seen: Lanes::default(),
        }
    }
}

/// The rows of a view still undecided.
#[derive(Default)]
struct Open {
    /// Rows, counted from the start of the part.
    rows: Vec<u32>,
    /// The surprisals so far, Q16.
    sums: Vec<u32>,
    contexts: Lanes,
    cells: Lanes,
}

impl Open {
    /// Keeps the entries `kept`, which ascend.
    fn keep(&mut self, kept: &[u32]) {
        let Self { rows, sums, contexts, cells } = self;
        for column in [rows, sums, &mut contexts.lo, &mut contexts.hi, &mut cells.lo, &mut cells.hi] {
            for (to, from) in kept.iter().enumerate() {
                column[to] = column[*from as usize];
            }
            column.truncate(kept.len());
        }
    }
}

/// A range of rows, whose views are scored one after the other.
pub(crate) struct Part<'a, C> {
    counts: &'a C,
    seed: Pair,
    batch: &'a EncodedBatch,
    rows: Range<usize>,
    scratch: &'a mut Scratch,
    /// Whether any row's host has a group: else there is no such level.
    grouped: bool,
}

impl<'a, C: Counts> Part<'a, C> {
    pub(crate) fn new(
        counts: &'a C,
        seed: Pair,
        batch: &'a EncodedBatch,
        rows: Range<usize>,
        scratch: &'a mut Scratch,
    ) -> Self {
        scratch.hosts.clear();
        scratch.groups.clear();
        let mut last = None;
        for code in &batch.host.codes[rows.clone()] {
            let host = batch.host.hashes[*code as usize];
            // Rows come by host, as a rule.
            let group = match last {
                Some((same, group)) if same == *code => group,
                _ => counts.group(host),
            };
            last = Some((*code, group));
            scratch.hosts.push(host);
            scratch.groups.push(group);
        }
        scratch.places.clear();
        scratch.places.extend(0..rows.len() as u32);
        let grouped = scratch.groups.iter().any(|g| *g != NO_GROUP);
        Self { counts, seed, batch, rows, scratch, grouped }
    }

    /// Writes a view's surprisals to `out`, 0 where it does not apply.
    pub(crate) fn score(&mut self, view: u32, program: &ViewProgram, out: &mut [u16]) -> StageCounters {
        self.start(program, out);
        let mut counters = StageCounters { backoffs: self.scratch.open.rows.len() as u64, ..StageCounters::default() };
        for (number, fields) in program.contexts.iter().enumerate() {
            if self.scratch.open.rows.is_empty() {
                break;
            }
            self.keys(context_start(self.seed, view, number as u32), fields, &program.child);
            self.level(Level::Host, out, &mut counters);
            if self.grouped {
                self.level(Level::Group, out, &mut counters);
            }
            self.level(Level::Fleet, out, &mut counters);
        }
        let end = lg(self.counts.vocabulary(view as usize).saturating_add(1));
        let Open { rows, sums, .. } = &self.scratch.open;
        for (row, sum) in rows.iter().zip(sums) {
            out[*row as usize] = rounded(sum.wrapping_add(end));
        }
        counters
    }

    fn start(&mut self, program: &ViewProgram, out: &mut [u16]) {
        out.fill(0);
        let Open { rows, sums, .. } = &mut self.scratch.open;
        rows.clear();
        let classes = (0..).zip(&self.batch.class[self.rows.clone()]);
        rows.extend(classes.filter(|(_, class)| program.class_mask >> *class & 1 == 1).map(|(row, _)| row));
        sums.clear();
        sums.resize(rows.len(), 0);
    }

    /// Builds each open row's context and cell, still without scope.
    fn keys(&mut self, start: Pair, context: &[u32], child: &[u32]) {
        let Self { batch, rows: range, scratch, .. } = self;
        let path = scratch.path;
        let Open { rows, contexts, cells, .. } = &mut scratch.open;
        let absorb = |state: &mut Lanes, field: &u32| {
            let Codes { codes, hashes, .. } = &batch.fields[*field as usize];
            path.absorb(state, rows, &codes[range.clone()], hashes);
        };
        contexts.fill(rows.len(), start);
        context.iter().for_each(|field| absorb(contexts, field));
        cells.copy_from(contexts);
        child.iter().for_each(|field| absorb(cells, field));
    }

    /// One scope of the current context: rows whose cell is known are decided, the others stay open, and so do those
    /// that have no such scope.
    fn level(&mut self, level: Level, out: &mut [u16], counters: &mut StageCounters) {
        let Self { counts, scratch, .. } = self;
        let Scratch { path, hosts, groups, open, places, members, present, totals, seen } = &mut **scratch;
        let Open { rows, contexts, cells, .. } = &*open;
        let (length, scopes) = (rows.len(), level.scopes(hosts, groups));
        let mut asked = &places[..length];
        if level == Level::Group {
            members.clear();
            members.extend(asked.iter().filter(|at| groups[rows[**at as usize] as usize] != NO_GROUP));
            asked = members;
        }
        totals.fill(length, [0; 2]);
        look_up(*counts, asked, |at, keys| path.scoped(keys, contexts, at, rows, scopes), totals);
        list(present, &totals.lo);
        seen.fill(length, [0; 2]);
        look_up(*counts, present, |at, keys| path.scoped(keys, cells, at, rows, scopes), seen);
        if counts.sketched() {
            for at in present.iter().map(|at| *at as usize) {
                if seen.lo[at] == 0 {
                    let cell = scoped([cells.lo[at], cells.hi[at]], scopes.of(rows[at] as usize));
                    seen.lo[at] = counts.seen(cell, totals.lo[at]);
                }
            }
        }
        let lookups = (asked.len() + present.len()) as u64;
        counters.keys += lookups;
        counters.lookups += lookups;
        decide(scratch, out);
    }
}

/// Lists the entries whose context is known.
fn list(present: &mut Vec<u32>, totals: &[u32]) {
    // Whether one is known is hard to foresee, so nothing branches on it.
    present.clear();
    present.resize(totals.len(), 0);
    let mut known = 0;
    for (at, total) in (0..).zip(totals) {
        present[known] = at;
        known += usize::from(*total > 0);
    }
    present.truncate(known);
}

/// Adds what the level costs to the open rows, writes their surprisals, and keeps those open whose cell is not known.
fn decide(scratch: &mut Scratch, out: &mut [u16]) {
    let Scratch { path, open, totals, seen, present: kept, .. } = scratch;
    path.add_costs(&mut open.sums, totals, &seen.lo);
    kept.clear();
    kept.resize(seen.lo.len(), 0);
    let mut still = 0;
    for ((at, n), (row, sum)) in (0..).zip(&seen.lo).zip(open.rows.iter().zip(&open.sums)) {
        // Of a row that stays open this is not the last word.
        out[*row as usize] = rounded(*sum);
        kept[still] = at;
        still += usize::from(*n == 0);
    }
    kept.truncate(still);
    open.keep(kept);
}

/// Looks up the keys of the entries `at`, which `keys` makes a chunk at a time; entry i's answer goes to `answers[i]`.
#[inline]
fn look_up<C: Counts>(counts: &C, at: &[u32], keys: impl Fn(&[u32], &mut Keys), answers: &mut Lanes) {
    let mut ring = [Keys::EMPTY; AHEAD + 1];
    let mut found = Keys::EMPTY;
    let (mut coming, mut due) = (at.chunks(CHUNK), at.chunks(CHUNK));
    for number in 0..at.len().div_ceil(CHUNK) + AHEAD {
        let coming = coming.next().unwrap_or_default();
        keys(coming, &mut ring[number % (AHEAD + 1)]);
        let due = if number < AHEAD { &[][..] } else { due.next().unwrap_or_default() };
        let (next, ready) = (&ring[number % (AHEAD + 1)], &ring[(number + 1) % (AHEAD + 1)]);
        counts.find_chunk(ready, due.len(), next, coming.len(), &mut found);
        for (at, (lo, hi)) in due.iter().zip(found.lo.iter().zip(&found.hi)) {
            answers.lo[*at as usize] = *lo;
            answers.hi[*at as usize] = *hi;
        }
    }
}

/// Whose habits count.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Host,
    Group,
    Fleet,
}

impl Level {
    fn scopes<'a>(self, hosts: &'a [Pair], groups: &'a [Pair]) -> Scopes<'a> {
        match self {
            Level::Host => Scopes::Each(hosts),
            Level::Group => Scopes::Each(groups),
            Level::Fleet => Scopes::One(FLEET),
        }
    }
}

/// Q16 to 1/1024 bit.
#[inline]
fn rounded(sum: u32) -> u16 {
    (sum.wrapping_add(32) >> 6).min(u32::from(u16::MAX)) as u16
}
