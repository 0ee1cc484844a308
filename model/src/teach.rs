//! How much one process may teach: caps for each unit, while a segment is counted (docs/model.md §3, "Caps").

use crate::keys::{PairMap, absorb, join, pair};

/// What one unit, such as a process tree in an hour, may add to a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caps {
    /// Most occurrences of one cell.
    pub max_count: u32,
    /// Most cells of one context of a view that the segment had not before.
    pub max_new: u32,
}

impl Default for Caps {
    fn default() -> Self {
        Self { max_count: 1000, max_new: 256 }
    }
}

/// Rows of a unit that are not followed cell by cell. They are taken to have been all of one cell and all new.
const UNFOLLOWED: u32 = 64;
/// Units and contexts remembered of a view, and as many again that were used before.
const MAX_UNITS: usize = 4096;
/// Cells of units remembered of a view, and as many again that were used before.
const MAX_CELLS: usize = 1 << 16;

/// Why something did not count, as [`crate::Segment::withheld`] has it.
pub(crate) const REASONS: [&str; 2] = ["one unit, the same too often", "one unit, too much that is new"];

/// What the units of one view have taught.
#[derive(Debug)]
pub(crate) struct Teachers {
    caps: Caps,
    /// Rows of a unit in a context, and new cells beyond the rows that were not followed.
    units: Recent<[u32; 2]>,
    /// Occurrences of a cell beyond them.
    cells: Recent<u32>,
    /// Occurrences refused, by [`REASONS`].
    pub(crate) withheld: [u64; 2],
}

/// Rows of a unit that have one cell, in one context number of a view.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lesson {
    /// The number of the unit.
    pub(crate) teacher: u32,
    pub(crate) context: u64,
    pub(crate) cell: u64,
    /// The position of the first row.
    pub(crate) first: u32,
    /// How many rows.
    pub(crate) rows: u32,
    /// Those of them, the first ones, that are not followed cell by cell.
    pub(crate) unfollowed: u32,
}

/// Counts of one view: cell to its context and count.
pub(crate) type Cells = PairMap<(u64, u32)>;

impl Teachers {
    pub(crate) fn new(caps: Caps) -> Self {
        Self::with_room(caps, MAX_UNITS, MAX_CELLS)
    }

    /// As [`Teachers::new`], remembering so many units and cells.
    pub(crate) fn with_room(caps: Caps, units: usize, cells: usize) -> Self {
        Self { caps, units: Recent::new(units), cells: Recent::new(cells), withheld: [0; 2] }
    }

    /// Counts all rows of the lessons, which are in the order of their first rows, as [`Teachers::admits`] would one row
    /// after the other. Of each row there are the numbers of its unit and of its lesson. `false`, with nothing changed, if
    /// something might have to be forgotten meanwhile.
    pub(crate) fn teach(
        &mut self,
        lessons: &mut [Lesson],
        context: u32,
        units: &[u64],
        rows: (&[u32], &[u32]),
        cells: &mut Cells,
    ) -> bool {
        let mut pupils = vec![Pupil::default(); units.len()];
        for lesson in lessons.iter() {
            pupils[lesson.teacher as usize].rows += lesson.rows;
        }
        let key_of = |unit: &u64| unit ^ u64::from(context) << 32;
        let (mut unknown, mut unfollowed) = (0, false);
        for (unit, pupil) in units.iter().zip(&mut pupils).filter(|(_, pupil)| pupil.rows > 0) {
            let (known, [rows, new]) = self.units.peek(key_of(unit));
            unknown += usize::from(!known);
            (pupil.left, pupil.new) = (UNFOLLOWED.saturating_sub(rows), new);
            unfollowed |= pupil.left > 0;
        }
        if !self.units.has_room(unknown) {
            return false;
        }
        if unfollowed {
            leave(lessons, &mut pupils, rows);
        }
        let key = |lesson: &Lesson| join(absorb(pair(units[lesson.teacher as usize]), pair(lesson.cell)));
        let followed = lessons.iter().filter(|lesson| lesson.rows > lesson.unfollowed);
        if !self.cells.has_room(followed.filter(|lesson| !self.cells.peek(key(lesson)).0).count()) {
            return false;
        }
        self.count(lessons, &mut pupils, (units, rows.1), cells);
        for (unit, pupil) in units.iter().zip(pupils).filter(|(_, pupil)| pupil.rows > 0) {
            let [rows, new] = self.units.of(key_of(unit));
            (*rows, *new) = (rows.saturating_add(pupil.rows), pupil.new);
        }
        true
    }

    fn count(
        &mut self,
        lessons: &[Lesson],
        pupils: &mut [Pupil],
        (units, of_row): (&[u64], &[u32]),
        cells: &mut Cells,
    ) {
        // Lessons of cells that were too much that is new, until another unit brings them in.
        let mut refused: PairMap<Vec<usize>> = PairMap::default();
        for (at, lesson) in lessons.iter().enumerate() {
            let Lesson { context, cell, rows, unfollowed, .. } = *lesson;
            let pupil = &mut pupils[lesson.teacher as usize];
            let is_new = !cells.contains_key(&cell);
            if is_new && unfollowed == 0 {
                if pupil.new + UNFOLLOWED >= self.caps.max_new {
                    self.withheld[1] += u64::from(rows);
                    refused.entry(cell).or_default().push(at);
                    continue;
                }
                pupil.new += 1;
            }
            let teacher = |lesson: &Lesson| units[lesson.teacher as usize];
            let count = unfollowed + self.follow(teacher(lesson), cell, rows - unfollowed);
            if count > 0 {
                let known = cells.entry(cell).or_insert((context, 0));
                known.1 = known.1.saturating_add(count);
            }
            if is_new && !refused.is_empty() {
                for earlier in refused.remove(&cell).unwrap_or_default() {
                    let after =
                        of_row[lesson.first as usize..].iter().filter(|of| **of as usize == earlier).count() as u32;
                    self.withheld[1] -= u64::from(after);
                    let count = self.follow(teacher(&lessons[earlier]), cell, after);
                    if let Some(known) = cells.get_mut(&cell) {
                        known.1 = known.1.saturating_add(count);
                    }
                }
            }
        }
    }

    /// How many of so many rows of a unit count for a cell that the segment has, or may have.
    fn follow(&mut self, teacher: u64, cell: u64, rows: u32) -> u32 {
        if rows == 0 {
            return 0;
        }
        let count = self.cells.of(join(absorb(pair(teacher), pair(cell))));
        let room = (self.caps.max_count - UNFOLLOWED).saturating_sub(*count);
        let counted = rows.min(room);
        *count += counted;
        self.withheld[0] += u64::from(rows - counted);
        counted
    }

    /// Whether a cell that is new is always let in while its unit may bring in new ones, so that lessons can be counted as
    /// a whole.
    pub(crate) fn counts_lessons(&self) -> bool {
        self.caps.max_count > UNFOLLOWED
    }

    /// Whether a cell of context number `context` may count once more; `known` if the segment has it.
    pub(crate) fn admits(&mut self, teacher: u64, context: u32, cell: u64, known: bool) -> bool {
        let [rows, new] = self.units.of(teacher ^ u64::from(context) << 32);
        *rows = rows.saturating_add(1);
        if *rows <= UNFOLLOWED {
            return true;
        }
        if !known && *new + UNFOLLOWED >= self.caps.max_new {
            self.withheld[1] += 1;
            return false;
        }
        *new += u32::from(!known);
        let count = self.cells.of(join(absorb(pair(teacher), pair(cell))));
        if *count + UNFOLLOWED >= self.caps.max_count {
            self.withheld[0] += 1;
            return false;
        }
        *count += 1;
        true
    }
}

/// What a unit brings in some rows.
#[derive(Debug, Clone, Copy, Default)]
struct Pupil {
    rows: u32,
    /// Rows that are not followed yet.
    left: u32,
    new: u32,
}

/// Finds which rows of the lessons are not followed: a unit's first ones.
fn leave(lessons: &mut [Lesson], pupils: &mut [Pupil], (teachers, of_row): (&[u32], &[u32])) {
    let mut open: u64 = pupils.iter().map(|pupil| u64::from(pupil.left.min(pupil.rows))).sum();
    for (teacher, lesson) in teachers.iter().zip(of_row) {
        if open == 0 {
            break;
        }
        let pupil = &mut pupils[*teacher as usize];
        if pupil.left > 0 {
            pupil.left -= 1;
            open -= 1;
            lessons[*lesson as usize].unfollowed += 1;
        }
    }
}

/// A map that forgets what was not used for a while.
#[derive(Debug)]
struct Recent<V> {
    limit: usize,
    young: PairMap<V>,
    old: PairMap<V>,
}

impl<V: Default> Recent<V> {
    fn new(limit: usize) -> Self {
        Self { limit, young: PairMap::default(), old: PairMap::default() }
    }

    /// Whether the young have a key, and what is remembered under it.
    fn peek(&self, key: u64) -> (bool, V)
    where
        V: Copy,
    {
        match self.young.get(&key) {
            Some(value) => (true, *value),
            None => (false, self.old.get(&key).copied().unwrap_or_default()),
        }
    }

    /// Whether nothing is forgotten if so many keys come that the young do not have.
    fn has_room(&self, keys: usize) -> bool {
        self.young.len() + keys <= self.limit
    }

    /// What is remembered under a key, or a new beginning.
    fn of(&mut self, key: u64) -> &mut V {
        if !self.young.contains_key(&key) {
            let known = self.old.remove(&key).unwrap_or_default();
            if self.young.len() >= self.limit {
                self.old = std::mem::take(&mut self.young);
            }
            self.young.insert(key, known);
        }
        self.young.entry(key).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn one_unit_adds_so_much_and_no_more() {
        let caps = Caps { max_count: 100, max_new: 70 };
        let mut teachers = Teachers::new(caps);
        let same = (0..1_000_000).filter(|i| teachers.admits(1, 0, 5, *i > 0)).count();
        assert_eq!((same, teachers.withheld), (100, [999_900, 0]));
        let new: BTreeSet<u64> = (0..100_000).filter(|i| teachers.admits(2, 0, *i, false)).collect();
        assert_eq!((new.len(), teachers.withheld[1]), (70, 99_930));
        assert!(teachers.admits(3, 0, 5, true), "another unit may");
        assert!(teachers.admits(2, 1, 5, false), "another context may");
        assert!(!teachers.admits(1, 0, 5, true), "it is remembered");
        assert!(teachers.admits(2, 0, 5, true), "what the segment has is not new");
    }

    #[test]
    fn what_is_used_stays_and_memory_is_bounded() {
        let mut recent = Recent::new(100);
        *recent.of(7) = 1;
        for key in 1000..100_000 {
            recent.of(key);
            assert_eq!(*recent.of(7), 1);
            assert!(recent.young.len() + recent.old.len() <= 200);
        }
        (0..300).for_each(|key| *recent.of(1 << 40 | key) = 1);
        assert_eq!(*recent.of(7), 0);
    }
}
