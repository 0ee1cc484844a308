//! How fast, and how soon again.

use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

/// First pause after a failure.
const SHORTEST: Duration = Duration::from_millis(500);
/// Longest pause within a pass.
const LONGEST: Duration = Duration::from_secs(30);

/// Longest pause between passes to an endpoint that is down, unless passes are rarer anyway.
const LONGEST_REST: Duration = Duration::from_secs(600);

/// Keeps to a bandwidth, on the average since the last idle moment.
pub(super) struct Pace {
    limit: Option<u64>,
    free_at: Instant,
}

impl Pace {
    pub(super) fn new(limit: Option<u64>) -> Self {
        Self { limit, free_at: Instant::now() }
    }

    /// Waits until as many bytes may go.
    pub(super) async fn wait(&mut self, bytes: usize) {
        let Some(limit) = self.limit.filter(|limit| *limit > 0) else { return };
        let now = Instant::now();
        let start = self.free_at.max(now);
        self.free_at = start + Duration::from_secs_f64(bytes as f64 / limit as f64);
        tokio::time::sleep(start - now).await;
    }
}

/// Pauses that grow, each cut by up to a half by chance, so that many agents do not come back at once.
#[derive(Default)]
pub(super) struct Pause(u32);

impl Pause {
    pub(super) fn next(&mut self) -> Duration {
        self.grown(SHORTEST, LONGEST)
    }

    /// Twice as long each time, from this on.
    pub(super) fn longer_than(&mut self, shortest: Duration) -> Duration {
        shortest + self.grown(shortest, LONGEST_REST.max(shortest))
    }

    fn grown(&mut self, shortest: Duration, longest: Duration) -> Duration {
        let pause = shortest.saturating_mul(1 << self.0.min(16)).min(longest);
        self.0 += 1;
        let chance = RandomState::new().hash_one(self.0) as u32;
        pause / 2 + (pause / 2).mul_f64(f64::from(chance) / f64::from(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound_and_differ() {
        let pauses = || {
            let mut pause = Pause::default();
            (0..40).map(|_| pause.next()).collect::<Vec<_>>()
        };
        let (a, b) = (pauses(), pauses());
        assert!(a[0] >= SHORTEST / 2 && a[0] <= SHORTEST && a[3] > a[0]);
        assert!(a.iter().all(|pause| *pause <= LONGEST) && a[39] >= LONGEST / 2);
        assert_ne!(a, b);
    }
}
