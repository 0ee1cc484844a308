//! Work that may never end: a driver that hangs must not take the rest with it.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

/// How often somebody who waits looks whether to stop.
const LOOK: Duration = Duration::from_millis(50);

/// Whether some work was not waited for to its end.
static LEFT: AtomicBool = AtomicBool::new(false);

/// Whether a thread may be in a driver still that nobody waits for. Then a process must not end as others do: drivers tear
/// themselves down at its end, and fault where a thread is in them.
#[must_use]
pub fn left_behind() -> bool {
    LEFT.load(Relaxed)
}

/// Why work was not waited for to its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Gone {
    /// It takes too long; its thread goes on.
    #[error("no answer within {:.0} s", .0.as_secs_f64().max(1.0))]
    Silent(Duration),
    /// Somebody asked to stop.
    #[error("stopped before")]
    Stopped,
    /// Its thread fell over.
    #[error("its driver panicked")]
    Panicked,
    /// It could not begin.
    #[error("no thread: {0}")]
    NoThread(String),
}

/// Runs `work` on a thread of its own and waits for it, at most `limit` and until `stopped`. A thread that is not waited for
/// any more goes on by itself, until it ends or the process does.
///
/// # Errors
/// [`Gone`].
pub fn within<T: Send + 'static>(
    limit: Duration,
    stopped: &dyn Fn() -> bool,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Gone> {
    let (send, done) = channel();
    let begun = Instant::now();
    let worker = thread::Builder::new().name("measure".to_owned()).spawn(move || {
        let _ = send.send(work()); // nobody waits any more
    });
    worker.map_err(|error| Gone::NoThread(error.to_string()))?;
    loop {
        if stopped() {
            LEFT.store(true, Relaxed);
            return Err(Gone::Stopped);
        }
        let left = limit.saturating_sub(begun.elapsed());
        match done.recv_timeout(left.min(LOOK)) {
            Ok(result) => return Ok(result),
            Err(RecvTimeoutError::Disconnected) => return Err(Gone::Panicked),
            Err(RecvTimeoutError::Timeout) if left.is_zero() => {
                LEFT.store(true, Relaxed);
                return Err(Gone::Silent(limit));
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(600);

    #[test]
    fn what_hangs_or_falls_over_is_one_line() {
        let (never, hang) = (|| false, || thread::sleep(LONG));
        assert_eq!(within(LONG, &never, || 3), Ok(3));
        let short = Duration::from_millis(10);
        assert_eq!(within(short, &never, hang), Err(Gone::Silent(short)));
        assert!(left_behind());
        assert_eq!(within(LONG, &|| true, hang), Err(Gone::Stopped));
        assert_eq!(within(LONG, &never, || panic!("on purpose")), Err::<(), _>(Gone::Panicked));
    }
}
