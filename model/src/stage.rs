//! How well a host is known: how many days of its own a baseline has (docs/model.md §5, "Stages").

use std::fmt;

use serde::{Deserialize, Serialize};

/// Days of its own after which a host is settled.
pub const SETTLED_DAYS: usize = 7;

/// How well a host is known, the least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Stage {
    /// It taught nothing: it is scored by the habits of its peers.
    New,
    /// It taught less than [`SETTLED_DAYS`] days.
    Learning,
    /// It taught as many or more.
    Settled,
}

impl Stage {
    /// That of a host with so many days of its own.
    pub fn of(days: usize) -> Self {
        match days {
            0 => Self::New,
            1..SETTLED_DAYS => Self::Learning,
            _ => Self::Settled,
        }
    }
}

/// `learning day 2 of 7` of a host that taught one day; `settled`.
pub struct InWords(pub usize);

impl fmt::Display for InWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Stage::of(self.0) {
            Stage::Settled => f.write_str("settled"),
            _ => write!(f, "learning day {} of {SETTLED_DAYS}", self.0 + 1),
        }
    }
}
