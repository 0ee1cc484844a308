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

    /// The key is fixed: which units calibrate does not depend on the baseline's secret.
    fn keeps(self, name: &str) -> bool {
        join(HashKey([0; 32]).value(Some(name))) <= self.threshold
    }
}

/// Names of the units that calibrate, over all tables.
#[derive(Debug, Default)]
pub(crate) struct Units {
    numbers: HashMap<(String, String, i64), u32>,
    /// Each chosen unit.
    pub(crate) chosen: Vec<ChosenUnit>,
}

/// A unit that calibrates.
#[derive(Debug)]
pub(crate) struct ChosenUnit {
    pub(crate) kind: String,
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
        if !choice.keeps(&format!("{kind}\n{key}\n{window}")) {
            return None;
        }
        let chosen = &mut self.chosen;
        let number = self.numbers.entry((kind.to_owned(), key.to_owned(), window)).or_insert_with(|| {
            let last = window.saturating_add(length.max(1) - 1);
            let days = day_of(window)..day_of(last).saturating_add(1);
            chosen.push(ChosenUnit { kind: kind.to_owned(), host: None, day: i32::MAX, days });
            (chosen.len() - 1) as u32
        });
        Some(*number)
    }

    /// A row of a chosen unit is of this host and day. What comes of it does not depend on the order of rows.
    fn saw(&mut self, unit: u32, host: Option<&str>, day: i32) {
        let unit = &mut self.chosen[unit as usize];
        if (day, host) < (unit.day, unit.host.as_deref()) {
            (unit.day, unit.host) = (day, host.map(str::to_owned));
        }
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

    fn sorted(self, order: &[u32]) -> Codes {
        let codes = order.iter().map(|row| self.codes[*row as usize]).collect();
        Codes { codes, hashes: Arc::new(self.hashes), values: Arc::default() }
    }
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
        let mut kept = Vec::new();
        let mut memo: HashMap<(usize, u32, i64), Option<u32>> = HashMap::new();
        let mut seen = HashSet::new();
        for row in (0..batch.rows).filter(|row| eligible(batch.time[*row])) {
            if kept.len() == room {
                break;
            }
            let mut numbers = Vec::with_capacity(lens.units().len());
            for (i, (spec, column)) in lens.units().iter().zip(&batch.units).enumerate() {
                let (code, window) = (column.codes[row], spec.window_start(batch.time[row]));
                let number = (code != NO_UNIT).then(|| {
                    let find =
                        || units.number(choice, &spec.kind, &column.keys[code as usize], (window, spec.window_ns));
                    *memo.entry((i, code, window)).or_insert_with(find)
                });
                numbers.push(number);
            }
            let group = match numbers.iter().flatten().next() {
                Some(_) => numbers.iter().flatten().find_map(|chosen| *chosen),
                None => {
                    // No unit: the row's host and minute stand in for one.
                    let (code, minute) = (batch.host.codes[row], batch.time[row].div_euclid(MINUTE_NS));
                    let host = batch.host.values[code as usize].as_deref().unwrap_or_default();
                    *memo
                        .entry((usize::MAX, code, minute))
                        .or_insert_with(|| units.number(choice, "", host, (minute, 0)))
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

    /// The rows by the given key, which sees group, host and time; equals keep their order.
    pub(crate) fn sorted_by<K: Ord>(self, key: impl Fn(u32, u32, i64) -> K) -> Sorted {
        let mut order: Vec<u32> = (0..self.rows() as u32).collect();
        order.sort_by_key(|row| {
            let row = *row as usize;
            key(self.group[row], self.host.codes[row], self.time[row])
        });
        let pick = |column: &[u32]| order.iter().map(|row| column[*row as usize]).collect::<Vec<u32>>();
        Sorted {
            group: pick(&self.group),
            units: self.units.iter().map(|column| pick(column)).collect(),
            batch: EncodedBatch {
                rows: order.len(),
                fields: self.fields.into_iter().map(|column| column.sorted(&order)).collect(),
                host: self.host.sorted(&order),
                class: order.iter().map(|row| self.class[*row as usize]).collect(),
                time: order.iter().map(|row| self.time[*row as usize]).collect(),
                units: Vec::new(),
            },
        }
    }
}
