//! The compiled, immutable form of a baseline for one table, which every backend scores with (docs/model.md §3).

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::compile::{Compiled, Group};
use crate::cpu::huge_pages;
use crate::keys::{FLEET, HashKey, Pair, context_start, join, scoped};
use crate::lens::Lens;
use crate::stage::Stage;

/// The fewest slots of a table.
pub const MIN_SLOTS: usize = 64;
/// Bins of a view's calibration table, each 1/16 bit of surprisal.
pub const VIEW_BINS: usize = 1024;
/// Bins of the calibration tables of rows and units, each 1/16 bit.
pub const ROW_BINS: usize = 16384;

/// Counts and calibration of one table under one lens.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// What the columns mean.
    pub lens: Lens,
    /// Where all keys start.
    pub seed: Pair,
    /// The lens's views, in its order.
    pub views: Vec<ViewProgram>,
    /// Open-addressing table: `[key.lo, key.hi, N, T]` for a context, `[key.lo, key.hi, n, 0]` for a cell; an empty
    /// slot has a third word of 0. The length is a power of two.
    pub slots: Vec<[u32; 4]>,
    /// `slots.len() - 1`.
    pub mask: u32,
    /// How surprisals become bits, of settled hosts and of those without a calibration of their own.
    pub calibration: Calibration,
    /// The same of hosts that taught something, but less than a settled one; `None`: as settled.
    pub learning: Option<Calibration>,
    /// The same of hosts that taught nothing. `None`: as settled, which promises nothing.
    pub newcomers: Option<Calibration>,
    /// How well each host is known, by [`join`]ed value hash of the host; absent ones are new. `None`: all are settled.
    pub stages: Option<BTreeMap<u64, Stage>>,
    /// The scope of each host's peer group, by [`join`]ed value hash of the host; hosts without a group are absent.
    pub groups: BTreeMap<u64, Pair>,
    /// The names of those groups, and why each host is in its own; for explaining alone.
    pub members: BTreeMap<u64, Group>,
    /// What is left of cells that the table has no room for: empty, or a power of two of counters
    /// ([`crate::sketch::count`]).
    pub sketch: Vec<u32>,
}

/// A view in the form that backends run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewProgram {
    /// Bit c is set if the view applies to rows of class c.
    pub class_mask: u32,
    /// Numbers of the child fields.
    pub child: Vec<u32>,
    /// Numbers of the context fields, fine to coarse; the last context is empty.
    pub contexts: Vec<Vec<u32>>,
    /// V of docs/model.md §4: distinct cells of the empty context in fleet scope.
    pub vocabulary: u32,
}

/// Look-up tables from surprisal to calibrated bits, all in 1/1024 bit (docs/model.md §5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Calibration {
    /// Per view [`VIEW_BINS`] entries, indexed by `surprisal >> 6`.
    pub views: Vec<Vec<u16>>,
    /// [`ROW_BINS`] entries, indexed by `min(bits >> 6, 16383)`.
    pub rows: Vec<u16>,
    /// How it was made.
    pub basis: Basis,
    /// How many rows it was made from.
    pub rows_used: u64,
}

/// What the calibration rows were scored against, the weakest way first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Basis {
    /// Nothing: tables pass surprisal through.
    None,
    /// Each unit against the rest of its only day: the weakest way.
    WithinDay,
    /// Each of two days against the other.
    LeaveOneOut,
    /// Each day against the days before it.
    Forward,
}

impl fmt::Display for Basis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Basis::None => "not calibrated",
            Basis::WithinDay => "calibrated within one day (weak)",
            Basis::LeaveOneOut => "calibrated on two days, each against the other",
            Basis::Forward => "calibrated forward, each day against the days before it",
        })
    }
}

impl Calibration {
    /// Tables that keep surprisal and bits as they are.
    pub fn identity(views: usize) -> Self {
        Self {
            views: vec![identity_table(VIEW_BINS); views],
            rows: identity_table(ROW_BINS),
            basis: Basis::None,
            rows_used: 0,
        }
    }

    /// Calibrated bits of a view's surprisal.
    #[inline]
    pub fn view_bits(&self, view: usize, surprisal: u16) -> u16 {
        self.views[view][usize::from(surprisal >> 6)]
    }

    /// log2 of how rare a row with so many bits is.
    #[inline]
    pub fn row_log2_n(&self, bits: u32) -> u16 {
        self.rows[row_bin(bits)]
    }

    pub(crate) fn fits(&self, views: usize) -> bool {
        self.views.len() == views && self.views.iter().all(|v| v.len() == VIEW_BINS) && self.rows.len() == ROW_BINS
    }
}

/// The bin of a row's or unit's bits.
#[inline]
pub fn row_bin(bits: u32) -> usize {
    ((bits >> 6) as usize).min(ROW_BINS - 1)
}

/// A table that maps each bin to its lower edge.
pub(crate) fn identity_table(bins: usize) -> Vec<u16> {
    (0..bins).map(|i| (i << 6).min(usize::from(u16::MAX)) as u16).collect()
}

/// The programs of a lens's views, with V still 0.
pub fn programs(lens: &Lens) -> Vec<ViewProgram> {
    let numbers = |fields: &[usize]| fields.iter().map(|f| *f as u32).collect();
    let program = |view: &crate::lens::View| ViewProgram {
        class_mask: view.class_mask,
        child: numbers(&view.child),
        contexts: view.contexts.iter().map(|c| numbers(c)).collect(),
        vocabulary: 0,
    };
    lens.views().iter().map(program).collect()
}

impl Snapshot {
    /// Puts a table and its calibration under a lens. Returns `None` if their sizes do not fit each other.
    pub fn new(lens: Lens, key: &HashKey, slots: Vec<[u32; 4]>, calibration: Calibration) -> Option<Self> {
        let used = slots.iter().filter(|s| s[2] != 0).count();
        let sized = slots.len().is_power_of_two() && slots.len() >= MIN_SLOTS && used <= slots.len() / 2;
        if !sized || u32::try_from(slots.len() - 1).is_err() || !calibration.fits(lens.views().len()) {
            return None;
        }
        let mut snapshot = Self {
            seed: key.seed(&lens.digest()),
            views: programs(&lens),
            mask: (slots.len() - 1) as u32,
            lens,
            slots,
            calibration,
            learning: None,
            newcomers: None,
            stages: None,
            groups: BTreeMap::new(),
            members: BTreeMap::new(),
            sketch: Vec::new(),
        };
        for v in 0..snapshot.views.len() {
            let last = snapshot.views[v].contexts.len() - 1;
            let empty = context_start(snapshot.seed, v as u32, last as u32);
            snapshot.views[v].vocabulary = snapshot.find(scoped(empty, FLEET))[1];
        }
        Some(snapshot)
    }

    /// Puts what was compiled and its calibration under a lens. Returns `None` if their sizes do not fit each other.
    pub fn of(lens: Lens, key: &HashKey, compiled: Compiled, calibration: Calibration) -> Option<Self> {
        let Compiled { slots, sketch, groups } = compiled;
        let sized = sketch.is_empty() || sketch.len().is_power_of_two();
        if !sized || u32::try_from(sketch.len()).is_err() {
            return None;
        }
        let mut snapshot = Self::new(lens, key, slots, calibration)?;
        for (host, group) in groups {
            let host = join(key.value(Some(&host)));
            snapshot.groups.insert(host, key.group(&group.name));
            snapshot.members.insert(host, group);
        }
        snapshot.sketch = sketch;
        Some(snapshot)
    }

    /// The calibrations: of settled hosts, then of those that some host has beside it. [`Snapshot::set`] says which is whose.
    pub fn calibrations(&self) -> Vec<&Calibration> {
        [&self.calibration].into_iter().chain(&self.learning).chain(&self.newcomers).collect()
    }

    /// The number in [`Snapshot::calibrations`] of a host's.
    #[inline]
    pub fn set(&self, host: Pair) -> usize {
        let Some(stages) = &self.stages else { return 0 };
        match stages.get(&join(host)).copied().unwrap_or(Stage::New) {
            Stage::Learning if self.learning.is_some() => 1,
            Stage::New if self.newcomers.is_some() => 1 + usize::from(self.learning.is_some()),
            _ => 0,
        }
    }

    /// How a host's surprisals become bits.
    #[inline]
    pub fn calibration_of(&self, host: Pair) -> &Calibration {
        match (self.set(host), &self.learning, &self.newcomers) {
            (0, ..) => &self.calibration,
            (1, Some(learning), _) => learning,
            (_, _, Some(newcomers)) => newcomers,
            _ => &self.calibration,
        }
    }

    /// The scope of a host's peer group; `None` if it has none, so that its level costs nothing.
    #[inline]
    pub fn group(&self, host: Pair) -> Option<Pair> {
        self.groups.get(&join(host)).copied()
    }

    /// n of a cell by its scoped key, in a context of which `total` was seen: from the table, else from the sketch, which
    /// may say more than there was but never more than `total`.
    #[inline]
    pub fn seen(&self, cell: Pair, total: u32) -> u32 {
        match self.find(cell)[0] {
            0 => crate::sketch::count(&self.sketch, cell).min(total),
            n => n,
        }
    }

    /// The third and fourth word of the slot with this scoped key: (N, T) of a context, (n, 0) of a cell, zeros if absent.
    #[inline]
    pub fn find(&self, key: Pair) -> [u32; 2] {
        let mut at = key[0] & self.mask;
        // A table is at most half full, but a look-up ends in any table.
        for _ in 0..self.slots.len() {
            let slot = &self.slots[at as usize];
            if slot[2] == 0 {
                break;
            }
            if slot[0] == key[0] && slot[1] == key[1] {
                return [slot[2], slot[3]];
            }
            at = (at + 1) & self.mask;
        }
        [0, 0]
    }
}

/// Lays scoped counts `[key.lo, key.hi, n or N, T or 0]` out in the canonical table: the result depends on the set
/// alone, not on its order.
pub fn lay_out(mut entries: Vec<[u32; 4]>) -> Vec<[u32; 4]> {
    entries.retain(|e| e[2] != 0);
    entries.sort_unstable_by_key(|e| (join([e[0], e[1]]), e[2], e[3]));
    entries.dedup_by_key(|e| [e[0], e[1]]); // two keys that collide: 64 bits of chance
    let capacity = (entries.len() * 2).next_power_of_two().max(MIN_SLOTS);
    let mut slots = vec![[0; 4]; capacity];
    huge_pages(&mut slots);
    let mask = capacity - 1;
    for entry in entries {
        let mut at = entry[0] as usize & mask;
        while slots[at][2] != 0 {
            at = (at + 1) & mask;
        }
        slots[at] = entry;
    }
    slots
}
