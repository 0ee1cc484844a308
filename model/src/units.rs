//! Units: what is alerted on is a group of rows, by the sum of its most surprising ones (docs/model.md §6).

mod batch;
mod saved;

use std::cmp::Reverse;
use std::collections::btree_map::{BTreeMap, Entry};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::backend::Scores;
use crate::baseline::Baseline;
use crate::encode::EncodedBatch;
use crate::lens::Lens;
use crate::snapshot::{ROW_BINS, identity_table, row_bin};
use crate::stage::Stage;
pub use crate::top::UNIT_ROWS;
use crate::top::{Row, Sameness, Top};
use batch::{InBatch, in_batch};

/// Where a row lies.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowRef {
    /// File, relative to its archive.
    pub file: Arc<str>,
    /// Row in the file, from 0.
    pub row: u64,
    /// Table the file belongs to.
    pub table: Arc<str>,
}

/// A unit and how odd it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitScore {
    /// Kind, as the lens names it.
    pub kind: String,
    /// Its key columns as text, joined by `|`.
    pub key: String,
    /// Start of its window, ns since 1970 UTC.
    pub window: i64,
    /// Host of its most surprising row; empty if unknown.
    pub host: String,
    /// Time of its most surprising row, ns since 1970 UTC.
    pub time: i64,
    /// Sum over its most surprising rows, of which equal ones count once, in 1/1024 bit.
    pub bits: u32,
    /// Units like this are expected 1 in 2^(log2_n/1024).
    pub log2_n: u16,
    /// How well its hosts are known: as the one known least.
    pub stage: Stage,
    /// Whether `log2_n` can be relied on: not of a new host in a baseline that has seen none.
    pub judged: bool,
    /// Its most surprising rows and their bits (1/1024), most surprising first.
    pub rows: Vec<(RowRef, u32)>,
}

/// What names a unit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnitName {
    /// Kind, as the lens names it.
    pub kind: String,
    /// Its key columns as text, joined by `|`.
    pub key: String,
    /// Start of its window, ns since 1970 UTC.
    pub window: i64,
}

impl UnitName {
    /// The rows of a batch that belong to one of these units, ascending.
    #[must_use]
    pub fn rows(units: &BTreeSet<Self>, lens: &Lens, batch: &EncodedBatch) -> Vec<u32> {
        let mut rows = BTreeSet::new();
        for (spec, column) in lens.units().iter().zip(&batch.units) {
            for unit in units.iter().filter(|unit| unit.kind == spec.kind) {
                let Some(code) = column.keys.iter().position(|key| *key == unit.key) else { continue };
                let of_unit =
                    |(of, time): (&u32, &i64)| *of as usize == code && spec.window_start(*time) == unit.window;
                let all = (0u32..).zip(column.codes.iter().zip(&batch.time));
                rows.extend(all.filter(|(_, row)| of_unit(*row)).map(|(row, _)| row));
            }
        }
        rows.into_iter().collect()
    }
}

#[derive(Debug, Clone)]
struct TopRow {
    bits: u32,
    same: u64,
    at: RowRef,
    time: i64,
    host: Arc<str>,
    stage: Stage,
}

/// Most bits first, then by place.
type Rank = (Reverse<u32>, RowRef);

impl Row for TopRow {
    type Rank = Rank;

    fn same(&self) -> u64 {
        self.same
    }

    fn rank(&self) -> Rank {
        (Reverse(self.bits), self.at.clone())
    }

    fn bits(&self) -> u32 {
        self.bits
    }
}

/// Kind (as a number), key and window.
type UnitId = (usize, String, i64);

/// Gathers rows into units. Memory is one entry per unit that has any bits, and at most ten rows in each; there is no bound but
/// [`UnitTable::shrink_to`].
pub struct UnitTable {
    rarity: Arc<Rarity>,
    line: f64,
    units: BTreeMap<UnitId, UnitRows>,
}

#[derive(Debug, Default)]
struct UnitRows {
    window_ns: i64,
    top: Top<TopRow>,
}

/// What a baseline knows of how rare units are.
struct Rarity {
    kinds: Vec<Kind>,
    /// By name of the host; others are new.
    stages: HashMap<String, Stage>,
}

struct Kind {
    name: String,
    /// By stage.
    tables: [Vec<u16>; 3],
    judges_new: bool,
}

impl Kind {
    fn new(baseline: &Baseline, name: &str) -> Self {
        let table = |stage| {
            let table = baseline.unit_calibration_of(name, stage).map(<[u16]>::to_vec);
            table.unwrap_or_else(|| identity_table(ROW_BINS))
        };
        let tables = [Stage::New, Stage::Learning, Stage::Settled].map(table);
        Self { name: name.to_owned(), tables, judges_new: baseline.judges(name, Stage::New) }
    }
}

impl Rarity {
    fn new(baseline: &Baseline) -> Self {
        let mut kinds: Vec<Kind> = Vec::new();
        for unit in baseline.snapshots().iter().flat_map(|s| s.lens.units()) {
            if !kinds.iter().any(|k| k.name == unit.kind) {
                kinds.push(Kind::new(baseline, &unit.kind));
            }
        }
        let stage = |(host, days): (Option<&str>, usize)| (host.unwrap_or_default().to_owned(), Stage::of(days));
        Self { kinds, stages: baseline.hosts().map(stage).collect() }
    }

    fn stage(&self, host: &str) -> Stage {
        self.stages.get(host).copied().unwrap_or(Stage::New)
    }
}

impl UnitTable {
    /// For the unit kinds of a baseline; a unit is a finding if it is expected at most once in `rarer_than` units.
    pub fn new(baseline: &Baseline, rarer_than: f64) -> Self {
        Self { rarity: Arc::new(Rarity::new(baseline)), line: rarer_than.log2() * 1024.0, units: BTreeMap::new() }
    }

    /// One without units, for the same baseline and line.
    pub fn empty(&self) -> Self {
        Self { rarity: Arc::clone(&self.rarity), line: self.line, units: BTreeMap::new() }
    }

    /// Sets the line: a unit is a finding if its log2_n, in 1/1024 bit, is as much or more.
    pub fn set_line(&mut self, log2_n: u16) {
        self.line = f64::from(log2_n);
    }

    /// Adds the rows of a scored batch; `locate` says where each row lies, which rises with the rows, and is asked only for
    /// those that may be kept. Returns the rows that a unit kept, though later batches may push some of them out again.
    pub fn add(
        &mut self,
        lens: &Lens,
        batch: &EncodedBatch,
        scores: &Scores,
        locate: &dyn Fn(usize) -> RowRef,
    ) -> Vec<usize> {
        let (mut kept, sameness) = (Vec::new(), Sameness::new(lens));
        let mut hosts: HashMap<u32, (Arc<str>, Stage), ahash::RandomState> = HashMap::default();
        for (spec, column) in lens.units().iter().zip(&batch.units) {
            let Some(kind) = self.rarity.kinds.iter().position(|k| k.name == spec.kind) else { continue };
            for part in in_batch(spec, column, batch, scores, &sameness) {
                let unit = self.units.entry((kind, column.keys[part.code as usize].clone(), part.window)).or_default();
                unit.window_ns = unit.window_ns.max(spec.window_ns);
                for InBatch { bits, same, row } in part.top.into_rows() {
                    if bits < unit.top.least() {
                        break;
                    }
                    let row = row as usize;
                    let (host, stage) = hosts.entry(batch.host.codes[row]).or_insert_with(|| {
                        let host = batch.host.value(row).unwrap_or_default();
                        (Arc::from(host), self.rarity.stage(host))
                    });
                    let (host, stage) = (host.clone(), *stage);
                    let here = TopRow { bits, same, at: locate(row), time: batch.time[row], host, stage };
                    if unit.top.insert(here) {
                        kept.push(row);
                    }
                }
            }
        }
        kept.sort_unstable();
        kept
    }

    /// Every unit over the line, the rarest first.
    pub fn findings(&self) -> Vec<UnitScore> {
        self.over_the_line(self.units.iter())
    }

    /// Adds the units of another table, which was made for the same baseline. The order of merging does not matter.
    pub fn merge(&mut self, other: Self) {
        for (id, rows) in other.units {
            let unit = match self.units.entry(id) {
                Entry::Vacant(place) => {
                    place.insert(rows);
                    continue;
                }
                Entry::Occupied(known) => known.into_mut(),
            };
            unit.window_ns = unit.window_ns.max(rows.window_ns);
            for row in rows.top.into_rows() {
                unit.top.insert(row);
            }
        }
    }

    /// How many units would be over a line, a log2_n in 1/1024 bit.
    pub fn over(&self, line: u16) -> usize {
        let rarities = self.units.iter().map(|(id, rows)| self.rarity_of(id, rows));
        rarities.filter(|rarity| rarity.log2_n >= line && rarity.judged).count()
    }

    /// Number of units held.
    pub fn len(&self) -> usize {
        self.units.len()
    }

    /// Whether no unit is held.
    pub fn is_empty(&self) -> bool {
        self.units.is_empty()
    }

    /// The rows that some unit holds.
    pub fn rows(&self) -> impl Iterator<Item = &RowRef> {
        self.units.values().flat_map(|unit| unit.top.rows().iter().map(|row| &row.at))
    }

    /// Forgets the units with the fewest bits (of equals the later by kind, key and window) until `most` are left, and
    /// returns those over the line. What is left depends on when this is called, so only who must live in bounded memory
    /// does.
    pub fn shrink_to(&mut self, most: usize) -> Vec<UnitScore> {
        if self.units.len() <= most {
            return Vec::new();
        }
        let mut ranks: Vec<(Reverse<u32>, &UnitId)> =
            self.units.iter().map(|(id, unit)| (Reverse(unit.top.bits()), id)).collect();
        ranks.sort_unstable();
        let gone: Vec<UnitId> = ranks.drain(most..).map(|(_, id)| id.clone()).collect();
        let gone: Vec<(UnitId, UnitRows)> = gone.iter().filter_map(|id| self.units.remove_entry(id)).collect();
        self.over_the_line(gone.iter().map(|(id, unit)| (id, unit)))
    }

    /// Forgets the units whose window ended at or before `time` (ns since 1970), and returns those over the line.
    pub fn close_before(&mut self, time: i64) -> Vec<UnitScore> {
        let ended = |id: &UnitId, unit: &UnitRows| id.2.saturating_add(unit.window_ns) <= time;
        let closed = self.over_the_line(self.units.iter().filter(|(id, unit)| ended(id, unit)));
        self.units.retain(|id, unit| !ended(id, unit));
        closed
    }

    /// Units over the line that are not reported, as nothing says how rare they are: by host, how many.
    pub fn held_back(&self) -> BTreeMap<String, u64> {
        let mut hosts = BTreeMap::new();
        for (id, rows) in &self.units {
            let rarity = self.rarity_of(id, rows);
            if self.is_over(rarity) && !rarity.judged {
                *hosts.entry(self.score(id, rows).host).or_default() += 1;
            }
        }
        hosts
    }

    fn is_over(&self, rarity: UnitRarity) -> bool {
        f64::from(rarity.log2_n) >= self.line
    }

    /// Without a line everything is listed; with one only what it means something for.
    fn over_the_line<'a>(&self, units: impl Iterator<Item = (&'a UnitId, &'a UnitRows)>) -> Vec<UnitScore> {
        let over = units.filter(|(id, unit)| {
            let rarity = self.rarity_of(id, unit);
            self.is_over(rarity) && (rarity.judged || self.line <= 0.0)
        });
        let mut scores: Vec<UnitScore> = over.map(|(id, unit)| self.score(id, unit)).collect();
        scores.sort_by(|a, b| {
            let rarest = (b.log2_n, b.bits).cmp(&(a.log2_n, a.bits));
            rarest.then_with(|| (&a.kind, &a.key, a.window).cmp(&(&b.kind, &b.key, b.window)))
        });
        scores
    }

    fn rarity_of(&self, (kind, ..): &UnitId, unit: &UnitRows) -> UnitRarity {
        let kind = &self.rarity.kinds[*kind];
        let stage = unit.top.rows().iter().map(|row| row.stage).min().unwrap_or(Stage::New);
        let log2_n = kind.tables[stage as usize][row_bin(unit.top.bits())];
        UnitRarity { stage, log2_n, judged: stage != Stage::New || kind.judges_new }
    }

    fn score(&self, id: &UnitId, unit: &UnitRows) -> UnitScore {
        let UnitRarity { stage, log2_n, judged } = self.rarity_of(id, unit);
        let (kind, key, window) = id;
        let most = unit.top.rows().first();
        UnitScore {
            kind: self.rarity.kinds[*kind].name.clone(),
            key: key.clone(),
            window: *window,
            host: most.map(|r| r.host.to_string()).unwrap_or_default(),
            time: most.map_or(*window, |r| r.time),
            bits: unit.top.bits(),
            log2_n,
            stage,
            judged,
            rows: unit.top.rows().iter().map(|r| (r.at.clone(), r.bits)).collect(),
        }
    }
}

/// How rare a unit is.
#[derive(Clone, Copy)]
struct UnitRarity {
    stage: Stage,
    log2_n: u16,
    judged: bool,
}
