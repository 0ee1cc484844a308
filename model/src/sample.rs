//! The rows that calibrate: whole units, chosen by hash, within a fixed memory.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use crate::encode::{Codes, EncodedBatch, NO_UNIT};
use crate::keys::{HashKey, Pair, PairMap, join};
use crate::lens::Lens;
use crate::segment::day_of;

const MINUTE_NS: i64 = 60_000_000_000;

/// Which units are kept: those whose hash is below `threshold`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Choice {
    threshold: u64,
}

impl Choice {
    /// Keeps about `wanted` of `available` rows; all if that is enough.
    pub(crate) fn of(wanted: u64, available: u64) -> Self {
        if available <= wanted {
            return Self { threshold: u64::MAX };
        }
        Self { threshold: (u128::from(u64::MAX) * u128::from(wanted) / u128::from(available)) as u64 }
    }

    /// How many there were of which `counted` were chosen.
    pub(crate) fn stands_for(self, counted: u64) -> u64 {
        let all = u128::from(counted) * u128::from(u64::MAX) / u128::from(self.threshold.max(1));
        u64::try_from(all).unwrap_or(u64::MAX)
    }

    /// Whether what another choice keeps is among what this one keeps.
    pub(crate) fn keeps_all_of(self, other: Self) -> bool {
        other.threshold <= self.threshold
    }

    /// The key is fixed: which units calibrate does not depend on the baseline's secret.
    fn hash(name: &str) -> u64 {
        join(HashKey([0; 32]).value(Some(name)))
    }
}

/// Names of the units that calibrate, over all tables.
#[derive(Debug, Default)]
pub(crate) struct Units {
    numbers: HashMap<(String, String, i64), u32, ahash::RandomState>,
    /// Each chosen unit.
    pub(crate) chosen: Vec<ChosenUnit>,
}

/// A unit that calibrates.
#[derive(Debug)]
pub(crate) struct ChosenUnit {
    pub(crate) kind: String,
    /// By which it is chosen.
    hash: u64,
    /// The first day of its rows.
    pub(crate) day: i32,
    /// The first by name of the hosts that had rows on that day.
    pub(crate) host: Option<String>,
    /// The days of its window.
    pub(crate) days: Range<i32>,
}

impl Units {
    /// The number of a unit, if it is chosen.
    fn number(&mut self, choice: Choice, kind: &str, key: &str, (window, length): (i64, i64)) -> Option<u32> {
        // Only chosen units are remembered: an archive has many more than calibrate.
        let hash = Choice::hash(&format!("{kind}\n{key}\n{window}"));
        let last = window.saturating_add(length.max(1) - 1);
        let days = day_of(window)..day_of(last).saturating_add(1);
        (hash <= choice.threshold).then(|| self.enter((kind.to_owned(), key.to_owned(), window), hash, days))
    }

    fn enter(&mut self, name: (String, String, i64), hash: u64, days: Range<i32>) -> u32 {
        let (chosen, kind) = (&mut self.chosen, name.0.clone());
        *self.numbers.entry(name).or_insert_with(|| {
            chosen.push(ChosenUnit { kind, hash, host: None, day: i32::MAX, days });
            (chosen.len() - 1) as u32
        })
    }

    /// Of each unit that is chosen by this choice, too, its number among others.
    fn move_to(self, others: &mut Units, choice: Choice) -> Vec<Option<u32>> {
        let mut moved = vec![None; self.chosen.len()];
        let mut names: Vec<((String, String, i64), u32)> = self.numbers.into_iter().collect();
        names.sort_unstable_by_key(|(_, number)| *number);
        for (name, number) in names {
            let unit = &self.chosen[number as usize];
            if unit.hash <= choice.threshold {
                moved[number as usize] = Some(others.enter(name, unit.hash, unit.days.clone()));
            }
        }
        moved
    }

    /// A row of a chosen unit is of this host and day. What comes of it does not depend on the order of rows.
    fn saw(&mut self, unit: u32, host: Option<&str>, day: i32) {
        let unit = &mut self.chosen[unit as usize];
        if (day, host) < (unit.day, unit.host.as_deref()) {
            (unit.day, unit.host) = (day, host.map(str::to_owned));
        }
    }
}

/// Numbers of units by code, each window one after the other: most rows are of the window of the row before.
struct Memo {
    window: Option<i64>,
    windows: u32,
    /// By code: of which of the windows, and the number.
    of_code: Vec<(u32, Option<u32>)>,
    known: HashMap<(u32, i64), Option<u32>, ahash::RandomState>,
}

impl Memo {
    fn new(codes: usize) -> Self {
        Self { window: None, windows: 0, of_code: vec![(0, None); codes], known: HashMap::default() }
    }

    fn number(&mut self, code: u32, window: i64, find: impl FnOnce(i64) -> Option<u32>) -> Option<u32> {
        if self.window != Some(window) {
            self.window = Some(window);
            self.windows += 1;
        }
        let known = &mut self.of_code[code as usize];
        if known.0 != self.windows {
            *known = (self.windows, *self.known.entry((code, window)).or_insert_with(|| find(window)));
        }
        known.1
    }
}

/// A column of codes that grows by batches which each have their own.
#[derive(Debug, Default)]
struct Column {
    codes: Vec<u32>,
    numbers: PairMap<u32>,
    hashes: Vec<Pair>,
}

impl Column {
    fn extend(&mut self, from: &Codes, rows: &[u32]) {
        let mut known = vec![u32::MAX; from.hashes.len()];
        for row in rows {
            let code = from.codes[*row as usize] as usize;
            if known[code] == u32::MAX {
                let (hashes, hash) = (&mut self.hashes, from.hashes[code]);
                known[code] = *self.numbers.entry(join(hash)).or_insert_with(|| {
                    hashes.push(hash);
                    (hashes.len() - 1) as u32
                });
            }
            self.codes.push(known[code]);
        }
    }

    /// Some rows of it.
    fn picked(mut self, rows: &[u32]) -> Self {
        self.codes = pick(&self.codes, rows);
        self
    }

    fn sorted(self, order: &[u32]) -> Codes {
        let codes = order.iter().map(|row| self.codes[*row as usize]).collect();
        Codes { codes, hashes: Arc::new(self.hashes), values: Arc::default() }
    }
}

fn pick<T: Copy>(column: &[T], rows: &[u32]) -> Vec<T> {
    rows.iter().map(|row| column[*row as usize]).collect()
}

/// The kept rows of one table.
#[derive(Debug, Default)]
pub(crate) struct Sample {
    fields: Vec<Column>,
    host: Column,
    class: Vec<u8>,
    time: Vec<i64>,
    /// The unit that is held out together.
    group: Vec<u32>,
    /// Per unit of the lens the number of the row's unit, or [`NO_UNIT`].
    units: Vec<Vec<u32>>,
}

/// Kept rows in an order, without values: `group` and `units` go with the rows of `batch`.
#[derive(Debug)]
pub(crate) struct Sorted {
    pub(crate) batch: EncodedBatch,
    pub(crate) group: Vec<u32>,
    pub(crate) units: Vec<Vec<u32>>,
}

impl Sample {
    pub(crate) fn new(lens: &Lens) -> Self {
        Self {
            fields: lens.fields().iter().map(|_| Column::default()).collect(),
            units: vec![Vec::new(); lens.units().len()],
            ..Self::default()
        }
    }

    pub(crate) fn rows(&self) -> usize {
        self.class.len()
    }

    /// Keeps the rows that `eligible` allows and whose unit is chosen, up to `room` of them.
    pub(crate) fn add(
        &mut self,
        lens: &Lens,
        batch: &EncodedBatch,
        units: &mut Units,
        choice: Choice,
        room: usize,
        eligible: impl Fn(i64) -> bool,
    ) {
        let (mut kept, mut numbers) = (Vec::new(), Vec::with_capacity(lens.units().len()));
        let mut memos: Vec<Memo> = batch.units.iter().map(|column| Memo::new(column.keys.len())).collect();
        let mut of_minute = Memo::new(batch.host.values.len());
        let mut seen: HashSet<(u32, u32, i32), ahash::RandomState> = HashSet::default();
        for row in (0..batch.rows).filter(|row| eligible(batch.time[*row])) {
            if kept.len() == room {
                break;
            }
            numbers.clear();
            for ((spec, column), memo) in lens.units().iter().zip(&batch.units).zip(&mut memos) {
                let code = column.codes[row];
                let find =
                    |window| units.number(choice, &spec.kind, &column.keys[code as usize], (window, spec.window_ns));
                let window = spec.window_near(memo.window, batch.time[row]);
                numbers.push((code != NO_UNIT).then(|| memo.number(code, window, find)));
            }
            let group = match numbers.iter().flatten().next() {
                Some(_) => numbers.iter().flatten().find_map(|chosen| *chosen),
                None => {
                    // No unit: the row's host and minute stand in for one.
                    let (code, minute) = (batch.host.codes[row], batch.time[row].div_euclid(MINUTE_NS));
                    let host = batch.host.values[code as usize].as_deref().unwrap_or_default();
                    of_minute.number(code, minute, |minute| units.number(choice, "", host, (minute, 0)))
                }
            };
            if let Some(group) = group {
                kept.push(row as u32);
                self.group.push(group);
                let (host, day) = (batch.host.codes[row], day_of(batch.time[row]));
                for unit in numbers.iter().copied().flatten().flatten() {
                    if seen.insert((unit, host, day)) {
                        units.saw(unit, batch.host.values[host as usize].as_deref(), day);
                    }
                }
                let own = numbers.iter().map(|n| n.flatten().unwrap_or(NO_UNIT));
                self.units.iter_mut().zip(own).for_each(|(column, n)| column.push(n));
            }
        }
        self.fields.iter_mut().zip(&batch.fields).for_each(|(column, codes)| column.extend(codes, &kept));
        self.host.extend(&batch.host, &kept);
        self.class.extend(kept.iter().map(|row| batch.class[*row as usize]));
        self.time.extend(kept.iter().map(|row| batch.time[*row as usize]));
    }

    /// What remains of rows that were kept by a choice of more units, as if they had been added by `choice`, up to `room` of
    /// them and of times that are `eligible`. `units` are those of the rows; the numbers become those of `others`.
    pub(crate) fn settle(
        self,
        units: Units,
        others: &mut Units,
        choice: Choice,
        room: usize,
        eligible: impl Fn(i64) -> bool,
        name: impl Fn(u64) -> Option<String>,
    ) -> Self {
        // A row without a unit is kept with its host and minute, a group without a kind.
        let minutes: Vec<bool> = units.chosen.iter().map(|unit| unit.kind.is_empty()).collect();
        let moved = units.move_to(others, choice);
        let mut seen: HashSet<(u32, u32, i32), ahash::RandomState> = HashSet::default();
        let (mut kept, mut groups, mut of_rows) = (Vec::new(), Vec::new(), vec![Vec::new(); self.units.len()]);
        for row in (0..self.rows()).filter(|row| eligible(self.time[*row])) {
            if kept.len() == room {
                break;
            }
            let moved = |unit: u32| moved.get(unit as usize).copied().flatten();
            let own = || self.units.iter().map(|column| moved(column[row]));
            let group = self.group[row];
            let minute = minutes[group as usize].then(|| moved(group)).flatten();
            let Some(group) = own().flatten().next().or(minute) else { continue };
            kept.push(row as u32);
            groups.push(group);
            let (host, day) = (self.host.codes[row], day_of(self.time[row]));
            for (column, unit) in of_rows.iter_mut().zip(own()) {
                column.push(unit.unwrap_or(NO_UNIT));
                if unit.is_some_and(|unit| seen.insert((unit, host, day))) {
                    let host = name(join(self.host.hashes[host as usize]));
                    others.saw(unit.unwrap_or(NO_UNIT), host.as_deref(), day);
                }
            }
        }
        Self {
            fields: self.fields.into_iter().map(|column| column.picked(&kept)).collect(),
            host: self.host.picked(&kept),
            class: pick(&self.class, &kept),
            time: pick(&self.time, &kept),
            group: groups,
            units: of_rows,
        }
    }

    /// The rows by the given key, which sees group, host and time; equals keep their order.
    pub(crate) fn sorted_by<K: Ord>(self, key: impl Fn(u32, u32, i64) -> K) -> Sorted {
        let mut order: Vec<u32> = (0..self.rows() as u32).collect();
        order.sort_by_key(|row| {
            let row = *row as usize;
            key(self.group[row], self.host.codes[row], self.time[row])
        });
        Sorted {
            group: pick(&self.group, &order),
            units: self.units.iter().map(|column| pick(column, &order)).collect(),
            batch: EncodedBatch {
                rows: order.len(),
                fields: self.fields.into_iter().map(|column| column.sorted(&order)).collect(),
                host: self.host.sorted(&order),
                class: pick(&self.class, &order),
                time: pick(&self.time, &order),
                units: Vec::new(),
            },
        }
    }
}
