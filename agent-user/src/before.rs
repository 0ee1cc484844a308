//! What earlier processes left in the journal, and what of it is missing.

use crate::{cut::Note, rows::Counts};
use events::EventType;
use std::sync::Arc;

/// What was there when the journal was opened.
#[derive(Debug, Default)]
pub struct Before {
    /// The last note; `None` if there was none, or another version wrote it. Rows that it tells of and that are gone are
    /// in it as failed.
    pub note: Option<Note>,
    /// Rows that are not in complete files yet.
    pub rows: u64,
    /// Rows that the last note tells of and that are gone.
    pub missing: u64,
}

impl Before {
    /// Of the journal's last note, and of the one that somebody kept beside it; that one may be of an archive that is
    /// elsewhere now.
    #[must_use]
    pub(crate) fn of(journal: Option<Note>, kept: Option<Note>, found: &Tally, rows: u64) -> Self {
        let is_later =
            |kept: &Note| journal.as_ref().is_none_or(|last| last.run != kept.run || last.number < kept.number);
        let kept = kept.filter(is_later);
        let last = journal.as_ref().map(|last| (last.run.clone(), last.rows.stored));
        let Some(mut note) = kept.or(journal) else { return Self { rows, ..Self::default() } };
        let of_last = || last.filter(|(run, _)| *run == note.run).map(|(_, stored)| stored);
        let gone = match found.stored(&note.run).or_else(of_last) {
            Some(found) => minus(&note.rows.stored, &found),
            None => note.rows.open,
        };
        note.rows.stored = minus(&note.rows.stored, &gone);
        note.rows.failed = std::array::from_fn(|at| note.rows.failed[at] + gone[at]);
        Self { note: Some(note), rows, missing: gone.iter().sum() }
    }

    /// Where a run must go on: it is that of the last note.
    #[must_use]
    pub fn of_run(&self, run: &str) -> Option<&Note> {
        self.note.as_ref().filter(|note| note.run == run && !note.ended)
    }

    /// The run that ended without a word before this one.
    #[must_use]
    pub fn other_than(&self, run: &str) -> Option<&Note> {
        self.note.as_ref().filter(|note| note.run != run && !note.ended)
    }
}

fn minus(all: &Counts, some: &Counts) -> Counts {
    std::array::from_fn(|at| all[at].saturating_sub(some[at]))
}

/// Adds up the rows of the last run in a journal.
#[derive(Default)]
pub(crate) struct Tally {
    /// The note of its first frame with rows, as bytes and read.
    first: Option<(Arc<[u8]>, Note)>,
    /// Rows of the frames after that one.
    later: Counts,
}

impl Tally {
    /// Enters rows that were committed with a note.
    pub(crate) fn enter(&mut self, note: &Arc<[u8]>, kinds: &[EventType]) {
        match &self.first {
            Some((bytes, _)) if Arc::ptr_eq(bytes, note) => {}
            Some((_, first)) if Note::run_of(note) == Some(&first.run) => {
                kinds.iter().for_each(|kind| self.later[kind.index()] += 1);
            }
            _ => self.first = Note::from_bytes(note).map(|read| (note.clone(), read)),
        }
    }

    /// Rows of a run that are stored, as the journal shows: those up to its first frame, and all that came later. The
    /// frames between are gone if their bytes are damaged.
    fn stored(&self, run: &str) -> Option<Counts> {
        let (_, first) = self.first.as_ref().filter(|(_, first)| first.run == run)?;
        Some(std::array::from_fn(|at| first.rows.stored[at] + self.later[at]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(number: u64, stored: u64, open: u64) -> Note {
        let mut note = Note { run: "a".into(), number, ..Note::default() };
        (note.rows.stored[1], note.rows.open[1]) = (stored, open);
        note
    }

    fn tally(frames: &[(u64, u64)]) -> Tally {
        let mut tally = Tally::default();
        for (number, (stored, rows)) in frames.iter().enumerate() {
            let bytes: Arc<[u8]> = note(number as u64, *stored, 0).to_bytes().into();
            tally.enter(&bytes, &vec![EventType::Fork; *rows as usize]);
        }
        tally
    }

    fn counts(before: &Before) -> (u64, u64, u64) {
        let note = before.note.as_ref().unwrap();
        (note.rows.stored[1], note.rows.failed[1], before.missing)
    }

    #[test]
    fn what_is_whole_misses_nothing() {
        let found = tally(&[(30, 10), (35, 5), (42, 7)]);
        assert_eq!(counts(&Before::of(Some(note(3, 42, 22)), None, &found, 22)), (42, 0, 0));
        // Nothing but a note is left of a journal whose rows are all in files.
        assert_eq!(counts(&Before::of(Some(note(3, 42, 0)), Some(note(3, 42, 0)), &Tally::default(), 0)), (42, 0, 0));
        assert!(Before::of(None, None, &Tally::default(), 0).note.is_none());
    }

    #[test]
    fn frames_that_are_gone_are_counted() {
        let damaged = tally(&[(30, 10), (42, 7)]);
        assert_eq!(counts(&Before::of(Some(note(3, 42, 22)), None, &damaged, 17)), (37, 5, 5));
        let cut = tally(&[(30, 10), (35, 5)]);
        assert_eq!(counts(&Before::of(Some(note(2, 35, 15)), Some(note(3, 42, 22)), &cut, 15)), (35, 7, 7));
    }

    #[test]
    fn a_journal_that_is_elsewhere_takes_its_rows_along() {
        let elsewhere = Before::of(None, Some(note(3, 42, 22)), &Tally::default(), 0);
        assert_eq!(counts(&elsewhere), (20, 22, 22));
        assert!(elsewhere.of_run("a").is_some());
    }
}
