//! Work that may never end: a driver that hangs must not take the rest with it.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::device::Failure;

/// How often somebody who waits looks whether to stop.
const LOOK: Duration = Duration::from_millis(50);

/// Runs `work` on a thread of its own and waits for it, at most `limit` and until `stopped`. A thread that is not waited for
/// any more goes on by itself, until it ends or the process does.
pub(crate) fn within<T: Send + 'static>(
    limit: Duration,
    stopped: &dyn Fn() -> bool,
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let (send, done) = channel();
    let begun = Instant::now();
    let worker = thread::Builder::new().name("bench".to_owned()).spawn(move || {
        let _ = send.send(work()); // nobody waits any more
    });
    worker.map_err(|error| Failure::Refused(format!("no thread: {error}")))?;
    loop {
        if stopped() {
            return Err(Failure::Stopped);
        }
        let left = limit.saturating_sub(begun.elapsed());
        match done.recv_timeout(left.min(LOOK)) {
            Ok(result) => return result,
            Err(RecvTimeoutError::Disconnected) => return Err(Failure::Lost("its driver panicked".to_owned())),
            Err(RecvTimeoutError::Timeout) if left.is_zero() => return Err(Failure::Silent(limit)),
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(600);

    fn hang() -> Result<(), Failure> {
        thread::sleep(LONG);
        Ok(())
    }

    #[test]
    fn what_hangs_or_falls_over_is_one_line() {
        let never = || false;
        assert!(matches!(within(LONG, &never, || Ok(3)), Ok(3)));
        assert!(matches!(within(Duration::from_millis(10), &never, hang), Err(Failure::Silent(_))));
        assert!(matches!(within(LONG, &|| true, hang), Err(Failure::Stopped)));
        let fell: Result<(), Failure> = within(LONG, &never, || panic!("on purpose"));
        assert!(matches!(fell, Err(Failure::Lost(_))));
    }
}
