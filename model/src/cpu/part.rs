//! A part of a batch, view by view and level by level (docs/model.md §4).

use std::ops::Range;

use super::lanes::{Keys, Mask, Path, Scopes};
use super::level::{ContextKeys, Level, Made, Open};
use crate::backend::StageCounters;
use crate::encode::{Codes, EncodedBatch};
use crate::keys::{FLEET, NO_GROUP, Pair, context_start};
use crate::log2::lg;
use crate::snapshot::{Snapshot, ViewProgram};

/// Where counts come from: a snapshot, or a snapshot less what is held out. Of each key there is also what it was before
/// its scope was mixed in.
pub(crate) trait Counts: Sync {
    /// Whether hosts have counts of their own.
    fn has_hosts(&self) -> bool {
        true
    }

    /// (N, T) of a context, (n, 0) of a cell, by scoped key; zeros if absent.
    fn find(&self, bare: Pair, key: Pair) -> [u32; 2];
    /// Whether there are cells that the table had no room for.
    fn sketched(&self) -> bool;
    /// n of a cell in a context of which `total` was seen, from wherever it is.
    fn seen(&self, bare: Pair, cell: Pair, total: u32) -> u32;
    /// The scope of a host's peer group, by the host's value hash; [`NO_GROUP`] if it has none.
    fn group(&self, host: Pair) -> Pair;
    /// V of a view.
    fn vocabulary(&self, view: usize) -> u32;

    /// Asks for the memory that finding these keys will read.
    fn expect_chunk(&self, bare: &Keys, keys: &Keys, asked: &Mask) {
        let _ = (bare, keys, asked);
    }

    /// `find` of the keys that are asked for; zeros for the others.
    fn find_chunk(&self, bare: &Keys, keys: &Keys, asked: &Mask, found: &mut Keys) {
        for (i, asked) in asked.iter().enumerate() {
            [found.lo[i], found.hi[i]] = if *asked == 0 { [0; 2] } else { self.find(bare.pair(i), keys.pair(i)) };
        }
    }
}

impl Counts for Snapshot {
    #[inline]
    fn find(&self, _bare: Pair, key: Pair) -> [u32; 2] {
        Snapshot::find(self, key)
    }

    #[inline(always)]
    fn expect_chunk(&self, _bare: &Keys, keys: &Keys, asked: &Mask) {
        super::probe::expect(&self.slots, self.mask, keys, asked);
    }

    #[inline(always)]
    fn find_chunk(&self, _bare: &Keys, keys: &Keys, asked: &Mask, found: &mut Keys) {
        super::probe::find(&self.slots, self.mask, keys, asked, found);
    }

    fn sketched(&self) -> bool {
        !self.sketch.is_empty()
    }

    fn seen(&self, _bare: Pair, cell: Pair, total: u32) -> u32 {
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
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new(Path::detect())
    }
}

impl Scratch {
    pub(crate) fn new(path: Path) -> Self {
        Self { path, hosts: Vec::new(), groups: Vec::new(), open: Open::default() }
    }
}

/// A column: codes by row, and hashes by code.
pub(super) type Column<'a> = (&'a [u32], &'a [Pair]);

/// The columns of some rows, as views read them.
pub(super) struct Columns<'a> {
    pub(super) class: &'a [u8],
    pub(super) host: Column<'a>,
    /// By number; those that no view of interest reads may be empty.
    pub(super) fields: Vec<Column<'a>>,
}

impl<'a> Columns<'a> {
    pub(super) fn of(batch: &'a EncodedBatch, rows: Range<usize>) -> Self {
        let column = |of: &'a Codes| (&of.codes[rows.clone()], &of.hashes[..]);
        let fields = batch.fields.iter().map(column).collect();
        Self { class: &batch.class[rows.clone()], host: column(&batch.host), fields }
    }

    /// Some of the rows.
    pub(super) fn part(&self, rows: Range<usize>) -> Self {
        let part =
            |(codes, hashes): &Column<'a>| (if codes.is_empty() { *codes } else { &codes[rows.clone()] }, *hashes);
        Self {
            class: &self.class[rows.clone()],
            host: part(&self.host),
            fields: self.fields.iter().map(part).collect(),
        }
    }
}

/// Some rows, whose views are scored one after the other.
pub(crate) struct Part<'a, C> {
    counts: &'a C,
    seed: Pair,
    columns: Columns<'a>,
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
        Self::of(counts, seed, Columns::of(batch, rows), scratch)
    }

    pub(super) fn of(counts: &'a C, seed: Pair, columns: Columns<'a>, scratch: &'a mut Scratch) -> Self {
        scratch.hosts.clear();
        scratch.groups.clear();
        let (codes, hashes) = columns.host;
        let mut last = None;
        for code in codes {
            let host = hashes[*code as usize];
            // Rows come by host, as a rule.
            let group = match last {
                Some((same, group)) if same == *code => group,
                _ => counts.group(host),
            };
            last = Some((*code, group));
            scratch.hosts.push(host);
            scratch.groups.push(group);
        }
        let grouped = scratch.groups.iter().any(|g| *g != NO_GROUP);
        Self { counts, seed, columns, scratch, grouped }
    }

    /// Writes a view's surprisals to `out`, 0 where it does not apply.
    pub(crate) fn score(&mut self, view: u32, program: &ViewProgram, out: &mut [u16]) -> StageCounters {
        let Self { counts, columns, .. } = self;
        let Scratch { path, hosts, groups, open } = &mut *self.scratch;
        out.fill(0);
        let classes = (0..).zip(columns.class);
        open.begin(classes.filter(|(_, class)| program.class_mask >> *class & 1 == 1).map(|(row, _)| row));
        let mut counters = StageCounters { backoffs: open.length() as u64, ..StageCounters::default() };
        let codes = |field: &u32| columns.fields[*field as usize];
        let group = self.grouped.then_some(Scopes::OfMembers(groups));
        let own = counts.has_hosts().then_some(Scopes::Each(hosts));
        let scopes = [own, group, Some(Scopes::One(FLEET))];
        for (number, context) in program.contexts.iter().enumerate() {
            let keys = ContextKeys {
                start: context_start(self.seed, view, number as u32),
                context: context.iter().map(codes).collect(),
                child: program.child.iter().map(codes).collect(),
            };
            for (scope, scopes) in scopes.iter().flatten().enumerate() {
                if open.length() > 0 {
                    let made = if scope == 0 { Made::Now(&keys) } else { Made::Before };
                    Level { counts: *counts, path: *path, made, scopes: *scopes }.run(open, out, &mut counters);
                }
            }
        }
        open.finish(lg(counts.vocabulary(view as usize).saturating_add(1)), out);
        counters
    }
}
