//! Waiting that a signal ends.

use std::io;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};

/// Exit code of a process that was told twice.
const AT_ONCE: i32 = 130;

/// Whether it is time to end.
#[derive(Clone, Default)]
pub struct Stop(Arc<(Mutex<bool>, Condvar)>);

impl Stop {
    /// One that SIGINT or SIGTERM sets: what is on its way is finished then. A second signal ends the process at once, which
    /// loses nothing either.
    ///
    /// # Errors
    /// The system refuses.
    pub fn on_signals() -> io::Result<Self> {
        let stop = Self::default();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (mut interrupt, mut terminate) = {
            let _inside = runtime.enter();
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
        };
        let own = stop.clone();
        std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            for _ in 0..2 {
                runtime.block_on(async {
                    tokio::select! { _ = interrupt.recv() => (), _ = terminate.recv() => () }
                });
                if own.is_set() {
                    std::process::exit(AT_ONCE);
                }
                own.set();
            }
        })?;
        Ok(stop)
    }

    /// Sets it.
    pub fn set(&self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.1.notify_all();
    }

    /// Whether it is set.
    #[must_use]
    pub fn is_set(&self) -> bool {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until then, or until it is set; returns whether to go on.
    #[must_use]
    pub fn rest(&self, until: Instant) -> bool {
        let mut set = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        while !*set {
            let left = until.saturating_duration_since(Instant::now());
            if left == Duration::ZERO {
                return true;
            }
            set = self.0.1.wait_timeout(set, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_ends_when_it_is_time_or_when_told() {
        let stop = Stop::default();
        assert!(stop.rest(Instant::now() + Duration::from_millis(1)));
        let own = stop.clone();
        let thread = std::thread::spawn(move || own.rest(Instant::now() + Duration::from_secs(3_600)));
        stop.set();
        assert!(!thread.join().unwrap() && stop.is_set());
    }
}
