//! One hand-over from the drain to the journal: rows, and where whoever goes on must begin.

use crate::{
    books::{AgentBooks, Totals},
    drain::Given,
    load::KernelCounts,
    rows::Batch,
};
use events::{EventType, Flow, Maker};
use serde::{Deserialize, Serialize};

/// Every row made since the last cut, and what they were made from.
#[derive(Debug)]
pub struct Cut {
    /// Counts the cuts of the run.
    pub number: u64,
    /// The rows.
    pub batches: Vec<Batch>,
    /// What stands beside them in the journal.
    pub note: Note,
}

impl Cut {
    /// The event type of each row.
    pub fn kinds(&self) -> impl Iterator<Item = &EventType> {
        self.batches.iter().flat_map(|batch| &batch.kinds)
    }
}

/// What a run had seen and done when a frame of the journal was written.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Note {
    /// The loader's run: whoever belongs to it goes on, others account for its end.
    pub run: String,
    /// Counts the cuts of the run.
    pub number: u64,
    /// Nanoseconds UTC.
    pub time: i64,
    /// The run has stopped; nothing of it is missing.
    pub ended: bool,
    /// Rows tell of everything that was there when the run began.
    pub settled: bool,
    /// What was given of each ring.
    pub given: Vec<Given>,
    /// The kernel's counts, a second old at most.
    pub kernel: KernelCounts,
    /// The agent's counts.
    pub agent: AgentBooks,
    /// What became of the rows, those of this frame included.
    pub rows: Totals,
    /// What is in rows and still in the kernel's tables.
    pub reported: Reported,
    /// Rows without a score, in complete files.
    pub unscored: u64,
}

/// Entries of the kernel's tables that rows tell of.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Reported {
    /// Flows that are over, and when each began: one that began later is another.
    #[serde(with = "plain")]
    pub flows: Vec<(Flow, u64)>,
    /// Processes that made too many events and no longer do, and when they began to.
    #[serde(with = "plain")]
    pub quiet: Vec<(Maker, u64)>,
    /// Processes that make too many events, whose beginning is in a row.
    #[serde(with = "plain")]
    pub loud: Vec<(Maker, u64)>,
}

/// Plain structures as numbers.
mod plain {
    use bytemuck::Pod;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<T: Pod, S: Serializer>(values: &[(T, u64)], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(values.iter().map(|(value, time)| (bytemuck::bytes_of(value), time)))
    }

    pub(super) fn deserialize<'de, T: Pod, D: Deserializer<'de>>(from: D) -> Result<Vec<(T, u64)>, D::Error> {
        let values = Vec::<(Vec<u8>, u64)>::deserialize(from)?;
        let plain = |(bytes, time): (Vec<u8>, u64)| {
            bytemuck::try_pod_read_unaligned(&bytes).map(|value| (value, time)).map_err(Error::custom)
        };
        values.into_iter().map(plain).collect()
    }
}

/// The first byte: notes of another version are not read, but for those of the one before, which lack the last member.
const VERSION: u8 = 2;
const BEFORE: u8 = 1;

impl Note {
    /// As bytes of the journal.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        postcard::to_stdvec(&(VERSION, self)).unwrap_or_default()
    }

    /// From bytes of the journal; `None` if another version wrote what this one cannot read.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [VERSION, rest @ ..] => postcard::from_bytes(rest).ok(),
            [BEFORE, rest @ ..] => postcard::from_bytes(&[rest, &[0]].concat()).ok(),
            _ => None,
        }
    }

    /// The run that a note is of, if it can be read.
    #[must_use]
    pub fn run_of(bytes: &[u8]) -> Option<&str> {
        // The first of its fields.
        let (VERSION | BEFORE, rest) = bytes.split_first().map(|(version, rest)| (*version, rest))? else {
            return None;
        };
        Some(postcard::take_from_bytes(rest).ok()?.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytemuck::Zeroable;

    #[test]
    fn a_note_comes_back_as_it_was() {
        let flow = Flow { cookie: u64::MAX, ..Flow::zeroed() };
        let given = Given { until: 7, ahead: vec![9, 11] };
        let note = Note {
            run: "r".into(),
            given: vec![given],
            reported: Reported { flows: vec![(flow, 3)], ..Reported::default() },
            ..Note::default()
        };
        let bytes = note.to_bytes();
        assert_eq!((Note::from_bytes(&bytes), Note::run_of(&bytes)), (Some(note), Some("r")));
        assert_eq!(Note::from_bytes(&bytes[1..]), None);
        (0..bytes.len()).for_each(|len| assert_eq!(Note::from_bytes(&bytes[..len]), None, "{len}"));
        // The version before had one member less.
        let before = [&[BEFORE], &bytes[1..bytes.len() - 1]].concat();
        assert_eq!((Note::run_of(&before), Note::from_bytes(&before)), (Some("r"), Note::from_bytes(&bytes)));
    }
}
