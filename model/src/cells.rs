//! Counting the rows of one segment and view: each distinct tuple of values once, as if row by row (docs/model.md §3).

use std::borrow::Cow;
use std::cell::RefCell;

use crate::alike::Alike;
use crate::cpu::Counted;
use crate::encode::{Codes, EncodedBatch};
use crate::keys::{HashKey, Pair, PairMap, absorb, context_start, join, pair};
use crate::lens::{Lens, UnitSpec};
use crate::segment::{Ticks, for_each_cell_of};
use crate::snapshot::ViewProgram;
use crate::teach::{Cells, Lesson, Teachers};

/// Most rows that are looked at together, which bounds what is held.
const MOST_ROWS: usize = 1 << 16;

thread_local! {
    /// Each thread has one, so that no memory is asked for batch by batch.
    static ALIKE: RefCell<Alike> = RefCell::default();
}

/// What is counted of one view.
pub(crate) struct ViewCounts {
    program: ViewProgram,
    cells: Cells,
    /// Where a cell counts once a tick, those in which each counted last.
    ticks: Option<Ticks>,
    pub(crate) teachers: Teachers,
}

/// The units that teach the rows of a batch.
#[derive(Debug, Default)]
pub struct Taught {
    /// Of each row the number of its unit.
    pub(crate) of_row: Vec<u32>,
    /// Of each unit its hash.
    pub(crate) units: Vec<u64>,
}

impl Taught {
    /// The units that teach the rows of a batch; `None` if the lens has none, and so no caps.
    pub fn new(lens: &Lens, key: &HashKey, batch: &EncodedBatch) -> Option<Self> {
        Self::of(key, &lens.teacher().map(|(number, unit)| (number, unit.clone()))?, batch)
    }

    pub(crate) fn of(key: &HashKey, (number, spec): &(usize, UnitSpec), batch: &EncodedBatch) -> Option<Self> {
        let unit = batch.units.get(*number)?;
        let name = |text: Option<&str>| key.value(text);
        // Rows without a unit share one an hour.
        let names: Vec<Pair> = unit.keys.iter().map(|text| name(Some(text))).chain([name(None)]).collect();
        // By hash over all windows, and by code within the window of the row before.
        let (mut known, mut of_window) = (PairMap::default(), vec![(0u32, 0u32); names.len()]);
        let (mut taught, mut last, mut windows) = (Self::default(), None, 0);
        for (time, code) in batch.time.iter().zip(&unit.codes) {
            let window = spec.window_near(last, *time);
            windows += u32::from(last != Some(window));
            last = Some(window);
            let code = (*code as usize).min(names.len() - 1);
            let (of, number) = &mut of_window[code];
            if *of != windows {
                let unit = join(absorb(names[code], pair(window as u64)));
                *of = windows;
                *number = *known.entry(unit).or_insert_with(|| {
                    taught.units.push(unit);
                    (taught.units.len() - 1) as u32
                });
            }
            taught.of_row.push(*number);
        }
        Some(taught)
    }

    /// Of some rows alone, in their order.
    pub(crate) fn of_rows(&self, rows: &[u32]) -> Self {
        let mut numbers = vec![u32::MAX; self.units.len()];
        let mut some = Self { of_row: Vec::with_capacity(rows.len()), units: Vec::new() };
        for row in rows {
            let unit = self.of_row[*row as usize] as usize;
            if numbers[unit] == u32::MAX {
                numbers[unit] = some.units.len() as u32;
                some.units.push(self.units[unit]);
            }
            some.of_row.push(numbers[unit]);
        }
        some
    }
}

/// Rows of a batch that a view counts in one of its contexts.
#[derive(Clone, Copy)]
struct Rows<'a> {
    batch: &'a EncodedBatch,
    rows: &'a [u32],
    /// Of each row the number of its unit; empty without units.
    teachers: &'a [u32],
    units: &'a [u64],
}

impl Rows<'_> {
    /// Finds those that are equal in these fields and of one unit.
    fn sort<'f>(&self, fields: impl Iterator<Item = &'f u32>, alike: &mut Alike) {
        let run = self.rows.first().zip(self.rows.last()).map(|(first, last)| *first as usize..*last as usize + 1);
        let run = run.filter(|run| run.len() == self.rows.len());
        let column = |field: &u32| {
            let Codes { codes, hashes, .. } = &self.batch.fields[*field as usize];
            let picked = match &run {
                Some(run) => Cow::Borrowed(&codes[run.clone()]),
                None => self.rows.iter().map(|row| codes[*row as usize]).collect(),
            };
            (picked, hashes.len())
        };
        let columns: Vec<(Cow<'_, [u32]>, usize)> = fields.map(column).collect();
        let units = (!self.teachers.is_empty()).then_some((self.teachers, self.units.len()));
        let columns = columns.iter().map(|(codes, values)| (&**codes, *values));
        alike.find(columns.chain(units), self.rows.len());
    }
}

/// A context of a view.
#[derive(Clone, Copy)]
struct Context {
    seed: Pair,
    view: u32,
    number: u32,
}

impl ViewCounts {
    pub(crate) fn new(program: ViewProgram, ticks: Option<Ticks>, teachers: Teachers) -> Self {
        Self { program, cells: Cells::default(), ticks, teachers }
    }

    /// Whether cells count row by row, and not once a tick.
    pub(crate) fn counts_rows(&self) -> bool {
        self.ticks.is_none()
    }

    /// Counts rows of a batch, ascending, in all contexts; `taught` goes with the rows.
    pub(crate) fn add(&mut self, seed: Pair, view: u32, batch: &EncodedBatch, rows: &[u32], taught: Option<&Taught>) {
        let mask = self.program.class_mask;
        let applies = |row: &u32| mask >> batch.class[*row as usize] & 1 == 1;
        let (mut teachers, units) = taught.map_or((&[][..], &[][..]), |taught| (&taught.of_row, &taught.units));
        let (some, of_some): (Vec<u32>, Vec<u32>);
        let mut rows = rows;
        if !rows.iter().all(applies) {
            of_some = rows.iter().zip(teachers).filter(|(row, _)| applies(row)).map(|(_, unit)| *unit).collect();
            some = rows.iter().copied().filter(applies).collect();
            (rows, teachers) = (&some, &of_some);
        }
        for number in 0..self.program.contexts.len() as u32 {
            let context = Context { seed, view, number };
            for (at, rows) in rows.chunks(MOST_ROWS).enumerate() {
                let start = at * MOST_ROWS;
                let teachers = teachers.get(start..start + rows.len()).unwrap_or_default();
                let rows = Rows { batch, rows, teachers, units };
                ALIKE.with_borrow_mut(|alike| self.add_rows(context, rows, alike));
            }
        }
    }

    fn add_rows(&mut self, context: Context, rows: Rows<'_>, alike: &mut Alike) {
        // Which tick a cell counted in last follows from each row.
        if self.ticks.is_some() || !self.teachers.counts_lessons() {
            return self.add_each(context, rows);
        }
        rows.sort(self.program.contexts[context.number as usize].iter().chain(&self.program.child), alike);
        let kinds = || alike.first.iter().zip(alike.counts());
        if rows.teachers.is_empty() {
            for (first, many) in kinds() {
                let (of, cell) = self.keys(context, rows.batch, rows.rows[*first as usize]);
                let count = self.cells.entry(cell).or_insert((of, 0));
                count.1 = count.1.saturating_add(many);
            }
            return;
        }
        let lesson = |(first, many): (&u32, u32)| {
            let (of, cell) = self.keys(context, rows.batch, rows.rows[*first as usize]);
            let teacher = rows.teachers[*first as usize];
            Lesson { teacher, context: of, cell, first: *first, rows: many, unfollowed: 0 }
        };
        let mut lessons: Vec<Lesson> = kinds().map(lesson).collect();
        let places = (rows.teachers, alike.of.as_slice());
        if self.teachers.teach(&mut lessons, context.number, rows.units, places, &mut self.cells) {
            return;
        }
        // Something is forgotten on the way: what, depends on the order of rows.
        if rows.rows.len() < 64 {
            return self.add_each(context, rows);
        }
        let middle = rows.rows.len() / 2;
        let (first, second) = (rows.rows.split_at(middle), rows.teachers.split_at(middle));
        self.add_rows(context, Rows { rows: first.0, teachers: second.0, ..rows }, alike);
        self.add_rows(context, Rows { rows: first.1, teachers: second.1, ..rows }, alike);
    }

    /// Context and cell of a row, without scope.
    fn keys(&self, Context { seed, view, number }: Context, batch: &EncodedBatch, row: u32) -> (u64, u64) {
        let take = |state, field: &u32| absorb(state, batch.fields[*field as usize].hash(row as usize));
        let start = context_start(seed, view, number);
        let context = self.program.contexts[number as usize].iter().fold(start, take);
        (join(context), join(self.program.child.iter().fold(context, take)))
    }

    /// Counts one row after the other.
    fn add_each(&mut self, Context { seed, view, number }: Context, rows: Rows<'_>) {
        use std::collections::hash_map::Entry;
        let Self { program, cells, ticks, teachers: taught } = self;
        let (batch, teachers, mut at) = (rows.batch, rows.teachers, 0);
        for_each_cell_of(program, seed, view, number, batch, rows.rows.iter().copied(), |row, context, cell| {
            let teacher = teachers.get(at).map(|number| rows.units[*number as usize]);
            at += 1;
            if ticks.as_mut().is_some_and(|ticks| !ticks.admit(cell, batch.time[row as usize])) {
                return;
            }
            let entry = cells.entry(cell);
            let known = matches!(entry, Entry::Occupied(_));
            if teacher.is_none_or(|teacher| taught.admits(teacher, number, cell, known)) {
                let count = entry.or_insert((context, 0));
                count.1 = count.1.saturating_add(1);
            }
        });
    }

    /// Adds what was counted elsewhere.
    pub(crate) fn add_counted(&mut self, counted: Counted) {
        for (context, cell, n) in counted {
            let count = self.cells.entry(join(cell)).or_insert((join(context), 0));
            count.1 = count.1.saturating_add(n);
        }
    }

    /// Every cell, in no order.
    pub(crate) fn into_cells(self) -> impl Iterator<Item = crate::segment::Cell> {
        self.cells.into_iter().map(|(cell, (context, n))| (context, cell, n))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::*;
    use crate::teach::Caps;
    use proptest::prelude::*;

    const FIELDS: usize = 3;

    /// A row: its values, its class and who teaches it.
    type Row = ([u8; FIELDS], bool, u8);

    fn rows(most: usize) -> impl Strategy<Value = Vec<Row>> {
        // Few units and values teach much; many of them make room.
        let value = |below: u8| prop_oneof![4 => 0..below.min(3), 1 => 0..below];
        let row = ([value(4), value(12), value(60)], any::<bool>(), value(40));
        prop::collection::vec(row, 1..most)
    }

    fn batch(rows: &[Row]) -> (EncodedBatch, Taught) {
        let column = |field: usize| {
            let codes = rows.iter().map(|row| u32::from(row.0[field])).collect();
            // The last two codes of a field are of one value.
            let hash = |code: u32| [code.min(58), 0x9E37_79B9u32.wrapping_mul(field as u32 + 1)];
            Codes { codes, hashes: Arc::new((0..60).map(hash).collect()), values: Arc::default() }
        };
        let batch = EncodedBatch {
            rows: rows.len(),
            fields: (0..FIELDS).map(column).collect(),
            class: rows.iter().map(|row| u8::from(row.1)).collect(),
            ..EncodedBatch::default()
        };
        let units = (0..40u64).map(|unit| (unit + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15)).collect();
        (batch, Taught { of_row: rows.iter().map(|row| u32::from(row.2)).collect(), units })
    }

    fn counts(class_mask: u32, caps: Caps, (units, cells): (usize, usize)) -> ViewCounts {
        let program =
            ViewProgram { class_mask, child: vec![2], contexts: vec![vec![0, 1], vec![1], vec![]], vocabulary: 0 };
        ViewCounts::new(program, None, Teachers::with_room(caps, units, cells))
    }

    fn found(counts: ViewCounts) -> ([u64; 2], BTreeMap<u64, (u64, u32)>) {
        (counts.teachers.withheld, counts.cells.into_iter().collect())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        /// What counts does not show how it was counted; units that fill their caps and rooms that fill up included.
        #[test]
        fn tuples_count_as_rows_one_after_the_other(
            batches in prop::collection::vec(rows(1200), 1..4),
            (max_count, max_new) in (65u32..140, 65u32..90),
            room in (4usize..60, 20usize..900),
            class_mask in prop::sample::select(vec![2u32, 3]),
            is_taught in prop::bool::weighted(0.8),
        ) {
            let caps = Caps { max_count, max_new };
            let (mut whole, mut single) = (counts(class_mask, caps, room), counts(class_mask, caps, room));
            for rows in &batches {
                let (batch, taught) = batch(rows);
                let taught = is_taught.then_some(&taught);
                let all: Vec<u32> = (0..rows.len() as u32).collect();
                whole.add([1, 2], 7, &batch, &all, taught);
                let applies = |row: &&u32| class_mask >> batch.class[**row as usize] & 1 == 1;
                for number in 0..3 {
                    for row in all.iter().filter(applies) {
                        let teacher = taught.map(|taught| taught.of_row[*row as usize]);
                        let units = taught.map_or(&[][..], |taught| &taught.units);
                        let rows = Rows { batch: &batch, rows: &[*row], teachers: teacher.as_slice(), units };
                        single.add_each(Context { seed: [1, 2], view: 7, number }, rows);
                    }
                }
            }
            prop_assert_eq!(found(whole), found(single));
        }
    }
}
