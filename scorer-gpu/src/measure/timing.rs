//! Clocks, and how often something is done to say how long it takes.

use std::time::{Duration, Instant};

/// Time from some beginning on, always later.
pub trait Clock: Send + Sync {
    /// Since the beginning.
    fn now(&self) -> Duration;
}

/// The machine's clock.
#[derive(Debug)]
pub struct SystemClock(Instant);

impl Default for SystemClock {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

/// How often, and for how long.
pub struct Timing<'a> {
    /// By which clock.
    pub clock: &'a dyn Clock,
    /// For one figure.
    pub share: Duration,
    /// Runs of a figure, at most.
    pub runs: usize,
}

impl Timing<'_> {
    /// Seconds of some work.
    ///
    /// # Errors
    /// Those of the work.
    pub fn time<E>(&self, work: impl FnOnce() -> Result<(), E>) -> Result<f64, E> {
        let start = self.clock.now();
        work()?;
        Ok((self.clock.now() - start).as_secs_f64())
    }

    /// Seconds of each run: as many as fit into a part of the share, one at least. `work` may know better than the clock.
    ///
    /// # Errors
    /// Those of the work.
    pub fn repeat<E>(&self, part: u32, mut work: impl FnMut() -> Result<Option<f64>, E>) -> Result<Vec<f64>, E> {
        let begun = self.clock.now();
        let mut seconds = Vec::with_capacity(self.runs);
        while seconds.len() < self.runs.max(1) {
            let mut told = None;
            let clocked = self.time(|| {
                told = work()?;
                Ok(())
            })?;
            seconds.push(told.unwrap_or(clocked));
            if self.clock.now() - begun + Duration::from_secs_f64(clocked) > self.share / part {
                break;
            }
        }
        Ok(seconds)
    }

    /// Rows, at most `most`, of which some runs fit into a part of the share, if so many of a probe took so long.
    #[must_use]
    pub fn rows(&self, most: usize, part: u32, probe: usize, seconds: f64) -> usize {
        let wanted = (self.share / part).as_secs_f64() / (self.runs.min(3) + 1) as f64;
        let fit = probe as f64 * wanted / seconds.max(1e-9);
        if fit >= most as f64 { most } else { 1 << (fit as usize).max(probe).ilog2() }.min(most)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    /// A clock that goes on when it is told to.
    #[derive(Debug, Default)]
    pub(crate) struct FakeClock(AtomicU64);

    impl FakeClock {
        pub(crate) fn pass(&self, time: Duration) {
            self.0.fetch_add(time.as_nanos() as u64, Relaxed);
        }
    }

    impl Clock for FakeClock {
        fn now(&self) -> Duration {
            Duration::from_nanos(self.0.load(Relaxed))
        }
    }

    #[test]
    fn slow_devices_get_fewer_rows() {
        let clock = FakeClock::default();
        let timing = Timing { clock: &clock, share: Duration::from_secs(4), runs: 5 };
        // A quarter of the share for four runs: 0.25 s each.
        assert_eq!(timing.rows(65_536, 4, 512, 0.001), 65_536);
        assert_eq!(timing.rows(65_536, 4, 512, 0.064), 1024);
        assert_eq!(timing.rows(65_536, 4, 512, 60.0), 512);
        assert_eq!(timing.rows(100, 4, 100, 60.0), 64);
    }

    #[test]
    fn repeating_ends_with_the_share_or_the_runs() {
        let clock = FakeClock::default();
        let timing = Timing { clock: &clock, share: Duration::from_secs(4), runs: 5 };
        let of = |seconds: u64, told| {
            let work = || {
                clock.pass(Duration::from_secs(seconds));
                Ok::<_, Infallible>(told)
            };
            timing.repeat(1, work).unwrap()
        };
        assert_eq!(of(0, Some(0.5)), [0.5; 5]);
        assert_eq!(of(1, None), [1.0; 4]);
        assert_eq!(of(60, None), [60.0]);
    }
}
