//! The time that a run may take, shared out over what is still to do.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use scorer_gpu::measure::Clock;

/// When a run is to end, by its clock or because somebody asks.
#[derive(Clone)]
pub struct Budget {
    clock: Arc<dyn Clock>,
    end: Duration,
    stop: Arc<AtomicBool>,
}

/// The least that a figure is worth trying in.
const LEAST: Duration = Duration::from_millis(20);

impl Budget {
    /// `time` from now on; `stop` ends it at any moment.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, time: Duration, stop: Arc<AtomicBool>) -> Self {
        let end = clock.now() + time;
        Self { clock, end, stop }
    }

    /// The clock.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// What is left; nothing if it is over.
    #[must_use]
    pub fn left(&self) -> Duration {
        self.end.saturating_sub(self.clock.now())
    }

    /// Whether somebody asked to stop.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.stop.load(Relaxed)
    }

    /// The time for the next of so many steps: an equal share. `None` if that is too little to measure anything.
    #[must_use]
    pub fn share(&self, steps_left: usize) -> Option<Duration> {
        let steps = u32::try_from(steps_left.max(1)).unwrap_or(u32::MAX);
        Some(self.left() / steps).filter(|share| *share >= LEAST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::FakeClock;

    #[test]
    fn what_one_step_leaves_is_for_the_others() {
        let clock = Arc::new(FakeClock::default());
        let stop = Arc::new(AtomicBool::new(false));
        let budget = Budget::new(clock.clone(), Duration::from_secs(10), stop.clone());
        assert_eq!(budget.share(5), Some(Duration::from_secs(2)));
        clock.pass(Duration::from_secs(1));
        assert_eq!(budget.share(3), Some(Duration::from_secs(3)));
        clock.pass(Duration::from_millis(8_990));
        assert_eq!(budget.share(1), None);
        clock.pass(Duration::from_secs(100));
        assert_eq!(budget.left(), Duration::ZERO);
        assert!(!budget.is_stopped());
        stop.store(true, Relaxed);
        assert!(budget.is_stopped());
    }
}
