//! What a run that was killed together with its loader had not stored.
//!
//! The last note in the journal says what was stored, the kernel's counters, which outlive the programs that count in them,
//! what happened. The difference is lost: it was in the rings, in the tables or in memory.

use crate::{
    books::Snapshot,
    cut::Note,
    heartbeat::HeartbeatRows,
    load::KernelCounts,
    rows::{Batch, Counts},
};
use arrow_schema::ArrowError;
use events::EventType;

/// The end of a run that could not say its last word.
#[derive(Debug)]
pub struct Gap<'a> {
    note: &'a Note,
    counts: Option<&'a KernelCounts>,
}

impl<'a> Gap<'a> {
    /// After a run with this last note. The counts are the kernel's, when nothing was attached any more; none if they are
    /// gone, as after a reboot.
    #[must_use]
    pub fn new(note: &'a Note, counts: Option<&'a KernelCounts>) -> Self {
        Self { note, counts }
    }

    /// The last books of the run.
    fn books(&self) -> Snapshot {
        let note = self.note;
        let mut books = Snapshot { agent: note.agent.clone(), kernel: note.kernel.events, ..Snapshot::default() };
        if let Some(counts) = self.counts {
            books.kernel = counts.events;
        }
        // The agent itself makes these.
        let throttle = EventType::Throttle.index();
        books.kernel[throttle].produced = note.agent.received[throttle];
        (books.written, books.write_failed, books.spool_full) = (note.rows.stored, note.rows.failed, note.rows.full);
        books
    }

    /// Events lost, by type; `None` if nobody knows.
    #[must_use]
    pub fn lost(&self) -> Option<Counts> {
        self.counts?;
        let books = self.books();
        let lost = |at: usize| {
            let dropped: u64 = books.drops(at).iter().map(|(.., count)| count).sum();
            books.kernel[at].produced.saturating_sub(books.kernel[at].summarised + dropped + books.written[at])
        };
        Some(std::array::from_fn(lost))
    }

    /// Rows of `heartbeat` at a time in nanoseconds UTC: the run's last books, and what was lost since its last note.
    ///
    /// # Errors
    /// If columns do not fit the schema, which is a defect.
    pub fn rows(&self, host: &str, time: i64) -> Result<Batch, ArrowError> {
        let mut rows = HeartbeatRows::new(host, time);
        rows.books(&self.books());
        let (lost, since) = (self.lost(), self.note.time);
        rows.lost("all", lost.map(|lost| lost.iter().sum()), since);
        for kind in EventType::ALL {
            let count = lost.map_or(0, |lost| lost[kind.index()]);
            if count > 0 {
                rows.lost(kind.name(), Some(count), since);
            }
        }
        rows.take()
    }

    /// A line for people, at a time in nanoseconds UTC.
    #[must_use]
    pub fn line(&self, now: i64) -> String {
        let lost = self.lost().map(|lost| lost.iter().sum::<u64>());
        let lost = lost.map_or_else(|| "how many is not known".into(), |lost| lost.to_string());
        let (since, now) = (store::time_text(self.note.time), store::time_text(now));
        format!(
            "the last run left its books as they were at {since} UTC; events of it that are lost: {lost}; nothing was watched from its end to {now} UTC"
        )
    }
}

/// Rows for runs that began at these times and left nothing that says what became of their events.
///
/// # Errors
/// As [`Gap::rows`].
pub fn unknown(host: &str, time: i64, began: impl Iterator<Item = i64>) -> Result<Batch, ArrowError> {
    let mut rows = HeartbeatRows::new(host, time);
    began.for_each(|began| rows.lost("all", None, began));
    rows.take()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::KernelCount;
    use arrow_array::{Array, cast::AsArray, types::UInt64Type};

    fn note() -> Note {
        let mut note = Note { time: 7, ..Note::default() };
        (note.agent.received[0], note.agent.duplicate[0]) = (20, 1);
        (note.rows.stored[0], note.rows.failed[0]) = (15, 2);
        note
    }

    #[test]
    fn what_happened_and_was_not_stored_is_lost() {
        let (note, mut counts) = (note(), KernelCounts::default());
        counts.events[0] = KernelCount { produced: 50, ring_full: 10, summarised: 5, ..KernelCount::default() };
        let gap = Gap::new(&note, Some(&counts));
        // 20 received, of which two are on their way to the journal, and 15 in the rings.
        assert_eq!(gap.lost().unwrap()[0], 50 - 10 - 5 - 1 - 15 - 2);
        assert!(gap.line(9).contains("lost: 17;"), "{}", gap.line(9));
        let rows = gap.rows("h", 9).unwrap().rows;
        let since = rows.column(7);
        assert_eq!(since.len() - since.null_count(), 2);
    }

    #[test]
    fn without_the_kernels_counts_nobody_knows() {
        let note = note();
        let gap = Gap::new(&note, None);
        assert_eq!(gap.lost(), None);
        let rows = gap.rows("h", 9).unwrap().rows;
        let counts = rows.column(6).as_primitive::<UInt64Type>();
        assert_eq!(counts.null_count(), 1);
    }
}
