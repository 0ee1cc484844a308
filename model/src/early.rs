//! Rows that may calibrate, kept while they are counted, so that most archives are read once (docs/model.md §5).
//!
//! Which rows calibrate is known only when all are counted: each unit whose hash is below a threshold that follows from how
//! many rows there are. A higher threshold keeps all of them and some more. Where it turns out too low, or keeps too
//! many rows, the rows are read again.

use crate::encode::EncodedBatch;
use crate::lens::Lens;
use crate::presence::{Presence, Times};
use crate::sample::{Choice, Sample, Units};

/// Of four rows at least three are expected to be of days that calibrate: one in four is room for a first day.
const EXPECTED: (u64, u64) = (3, 4);
/// Most rows that are kept for each that may calibrate in the end.
const SPARE: (u64, u64) = (13, 10);

/// What was kept of one table.
pub(crate) struct Early {
    choice: Choice,
    most: usize,
    units: Units,
    sample: Option<Sample>,
    times: Times,
}

impl Early {
    /// Of `wanted` rows, `most` at most, and so many in all tables; as many as fit are kept if that is not known.
    pub(crate) fn new(lens: &Lens, (wanted, most): (u64, u64), rows: Option<u64>) -> Self {
        let available = rows.map_or(0, |rows| rows / EXPECTED.1 * EXPECTED.0);
        let most = usize::try_from(most / SPARE.1 * SPARE.0).unwrap_or(usize::MAX);
        let choice = Choice::of(wanted, available);
        Self { choice, most, units: Units::default(), sample: Some(Sample::new(lens)), times: Times::default() }
    }

    /// Keeps what may calibrate.
    pub(crate) fn saw(&mut self, lens: &Lens, batch: &EncodedBatch) {
        self.times.saw(batch);
        let Some(sample) = &mut self.sample else { return };
        sample.add(lens, batch, &mut self.units, self.choice, usize::MAX, |_| true);
        if sample.rows() > self.most {
            (self.sample, self.units) = (None, Units::default());
        }
    }

    /// The rows that calibrate by the choice that turned out to be right, up to `room`, of times that are `eligible`; nothing
    /// if some of them may not have been kept.
    pub(crate) fn settle(
        self,
        choice: Choice,
        room: usize,
        (units, presence): (&mut Units, &mut Presence),
        eligible: impl Fn(i64) -> bool,
    ) -> Option<Sample> {
        let sample = self.sample.filter(|_| self.choice.keeps_all_of(choice))?;
        presence.saw(&self.times);
        Some(sample.settle(self.units, units, choice, room, eligible, |host| presence.name(host)))
    }
}
