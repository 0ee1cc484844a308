//! Says how a run goes, on a thread of its own: whoever reads may stall or go away, and capture goes on.

use crossbeam_channel::{Receiver, Sender, bounded};
use std::{io::Write, time::Duration};

/// Texts that may wait for the reader.
const QUEUE: usize = 8;

/// A running speaker.
pub(crate) struct Speaker {
    queue: Sender<String>,
    /// Disconnected when everything is said.
    done: Receiver<()>,
}

impl Speaker {
    /// Starts the thread.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub(crate) fn start(mut to: impl Write + Send + 'static) -> std::io::Result<Self> {
        let (queue, texts) = bounded::<String>(QUEUE);
        let (end, done) = bounded(0);
        std::thread::Builder::new().name("speaker".into()).spawn(move || {
            let _end: Sender<()> = end;
            for text in texts {
                let _ = to.write_all(text.as_bytes()).and_then(|()| to.flush());
            }
        })?;
        Ok(Self { queue, done })
    }

    /// Says a text, unless the reader is so far behind that too many wait.
    pub(crate) fn say(&self, text: String) {
        let _ = self.queue.try_send(text);
    }

    /// Says the last text. A reader that stalls is waited for this long at most, then left without it.
    pub(crate) fn last(self, text: String, wait: Duration) {
        let until = std::time::Instant::now() + wait;
        let _ = self.queue.send_deadline(text, until);
        drop(self.queue);
        let _ = self.done.recv_deadline(until);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn all_is_said_before_the_last_text_returns() {
        let (mut read, write) = std::io::pipe().unwrap();
        let speaker = Speaker::start(write).unwrap();
        speaker.say("one\n".into());
        speaker.last("two\n".into(), Duration::from_secs(60));
        let mut said = String::new();
        std::io::Read::read_to_string(&mut read, &mut said).unwrap();
        assert_eq!(said, "one\ntwo\n");
    }

    #[test]
    fn a_reader_that_stalls_holds_nothing_up() {
        let (read, write) = std::io::pipe().unwrap();
        let speaker = Speaker::start(write).unwrap();
        // More than the pipe and the queue take: were they waited for, this would never end.
        (0..100).for_each(|_| speaker.say("x".repeat(1 << 20)));
        let asked = Instant::now();
        speaker.last("the end".into(), Duration::from_millis(50));
        assert!(asked.elapsed() >= Duration::from_millis(50));
        drop(read);
    }
}
