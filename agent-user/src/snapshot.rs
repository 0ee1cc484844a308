//! Reads the kernel's iterators to their ends: each makes records of what was there when the agent started.

use std::{
    fs::File,
    io::{self, ErrorKind, Read},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

/// A thread that reads.
pub struct Reader {
    enough: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Reader {
    /// Reads one after the other. An iterator that fails is said on standard error; capture goes on.
    ///
    /// # Errors
    /// If there can be no thread.
    pub fn start(iterators: Vec<(String, File)>) -> io::Result<Self> {
        let enough = Arc::new(AtomicBool::new(false));
        let told = enough.clone();
        let thread = std::thread::Builder::new().name("snapshot".into()).spawn(move || {
            for (name, mut file) in iterators {
                if let Err(error) = exhaust(&mut file, &told) {
                    crate::say!("warning: {name}: {error}; what was there before the agent is not all recorded");
                }
            }
        })?;
        Ok(Self { enough, thread })
    }

    /// Whether all is read.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Ends, at the latest when the kernel comes back from what it iterates over at the moment; does something meanwhile.
    ///
    /// # Errors
    /// What that returns.
    pub fn end<E>(self, mut meanwhile: impl FnMut() -> Result<(), E>) -> Result<(), E> {
        self.enough.store(true, Ordering::Relaxed);
        while !self.thread.is_finished() {
            meanwhile()?;
            std::thread::sleep(Duration::from_millis(1));
        }
        let _ = self.thread.join();
        Ok(())
    }
}

/// The bytes mean nothing: the records come through the rings.
fn exhaust(file: &mut impl Read, enough: &AtomicBool) -> io::Result<()> {
    let mut bytes = [0; 4096];
    while !enough.load(Ordering::Relaxed) {
        match file.read(&mut bytes) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            // After a million of them the kernel wants to be asked again.
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Kernel(Vec<io::Result<usize>>);

    impl Read for Kernel {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            self.0.pop().unwrap_or(Ok(0))
        }
    }

    #[test]
    fn an_iterator_is_read_to_its_end() {
        let goes_on = AtomicBool::new(false);
        let busy = || Err(ErrorKind::WouldBlock.into());
        let mut kernel = Kernel(vec![Ok(9), Ok(0), busy(), Ok(5), busy()]);
        exhaust(&mut kernel, &goes_on).unwrap();
        assert_eq!(kernel.0.len(), 1);
        assert!(exhaust(&mut Kernel(vec![Err(ErrorKind::InvalidInput.into())]), &goes_on).is_err());
        assert!(exhaust(&mut Kernel(vec![Ok(1)]), &AtomicBool::new(true)).is_ok());
    }
}
