//! The writer's thread, at the end of a bounded channel.
//!
//! The sender waits when the channel is full, so that the rings in the kernel are the only place where events are lost.

use crate::{rows::Batch, sink::Sink};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use std::{
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// Batches that may wait.
const QUEUE: usize = 16;
/// How often files are looked at for their age.
const ROTATE: Duration = Duration::from_secs(1);

/// A running writer.
pub struct Writer {
    queue: Option<Sender<Batch>>,
    thread: Option<JoinHandle<Option<String>>>,
}

impl Writer {
    /// Starts the thread.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start(sink: impl Sink + Send + 'static) -> std::io::Result<Self> {
        let (queue, batches) = bounded(QUEUE);
        let thread = std::thread::Builder::new().name("writer".into()).spawn(move || work(sink, &batches))?;
        Ok(Self { queue: Some(queue), thread: Some(thread) })
    }

    /// Hands a batch over; waits while the queue is full. Returns false if the writer is gone.
    #[must_use]
    pub fn send(&self, batch: Batch) -> bool {
        self.queue.as_ref().is_some_and(|queue| queue.send(batch).is_ok())
    }

    /// Waits until everything is in files. Returns the last thing that went wrong, if anything did.
    pub fn finish(mut self) -> Option<String> {
        self.queue = None;
        let thread = self.thread.take()?;
        thread.join().unwrap_or_else(|_| Some("writer: thread: it panicked; this is a defect".into()))
    }
}

fn work(mut sink: impl Sink, batches: &Receiver<Batch>) -> Option<String> {
    let mut looked = Instant::now();
    loop {
        match batches.recv_timeout(ROTATE) {
            Ok(batch) => sink.write(&batch),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return sink.finish(),
        }
        if looked.elapsed() >= ROTATE {
            looked = Instant::now();
            sink.rotate(looked);
        }
    }
}
