//! What is to be measured.

use std::time::Duration;

use crate::memory::last_cache;

/// What is to be measured, and in what time.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Whether this is the short one; for the report alone.
    pub quick: bool,
    /// Numbers of views, each 1 to 256.
    pub views: Vec<usize>,
    /// Bytes of count tables.
    pub tables: Vec<usize>,
    /// Rows of a batch, at most.
    pub rows: usize,
    /// Rows from file to file.
    pub file_rows: usize,
    /// Runs of each figure, at most.
    pub runs: usize,
    /// Seed of the rows.
    pub seed: u64,
    /// Time for all of it.
    pub time: Duration,
    /// The longest that anything is waited for.
    pub patience: Duration,
}

/// As many rows as an archive's row groups have, which is what backends are handed.
const ROWS: usize = archive::SCORE_ROWS;

impl Plan {
    /// Under a minute: what a device does, and whether it is worth it.
    #[must_use]
    pub fn quick() -> Self {
        let cache = last_cache();
        Self {
            quick: true,
            views: vec![8, 128],
            tables: vec![cache / 8, 8 * cache].into_iter().map(usize::next_power_of_two).collect(),
            rows: ROWS,
            file_rows: 2 * ROWS,
            runs: 9,
            seed: 1,
            time: Duration::from_secs(50),
            patience: Duration::from_secs(20),
        }
    }

    /// Under ten minutes: all numbers of views, and more tables.
    #[must_use]
    pub fn full() -> Self {
        let cache = last_cache();
        let tables = [cache / 32, cache / 4, 8 * cache];
        Self {
            quick: false,
            views: vec![8, 32, 128, 256],
            tables: tables.into_iter().map(usize::next_power_of_two).collect(),
            file_rows: 16 * ROWS,
            runs: 15,
            time: Duration::from_secs(570),
            patience: Duration::from_secs(120),
            ..Self::quick()
        }
    }
}
