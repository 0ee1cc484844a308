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
/// Time in each [`ROTATE`] that is given to waiting for digests of images.
const PATIENCE: Duration = Duration::from_millis(250);
/// How often files are looked at for their age.
const ROTATE: Duration = Duration::from_secs(1);

/// What the thread is asked to do.
enum Order {
    Write(Batch),
    /// Close the files of events, then drop the sender, which says so.
    CloseEvents(Sender<()>),
}

/// A running writer.
pub struct Writer {
    queue: Option<Sender<Order>>,
    thread: Option<JoinHandle<Option<String>>>,
}

impl Writer {
    /// Starts the thread.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start(sink: impl Sink + Send + 'static) -> std::io::Result<Self> {
        let (queue, orders) = bounded(QUEUE);
        let thread = std::thread::Builder::new().name("writer".into()).spawn(move || work(sink, &orders))?;
        Ok(Self { queue: Some(queue), thread: Some(thread) })
    }

    /// Hands a batch over; waits while the queue is full. Returns false if the writer is gone.
    #[must_use]
    pub fn send(&self, batch: Batch) -> bool {
        self.queue.as_ref().is_some_and(|queue| queue.send(Order::Write(batch)).is_ok())
    }

    /// Waits until the rows handed over are in files that are complete, or given up: their counts are final.
    pub fn close_events(&self) {
        let (done, wait) = bounded(0);
        if let Some(queue) = &self.queue
            && queue.send(Order::CloseEvents(done)).is_ok()
        {
            // Nothing is ever sent: this returns when the other end goes, whatever happens to the thread.
            let _ = wait.recv();
        }
    }

    /// Waits until everything is in files. Returns the last thing that went wrong, if anything did.
    pub fn finish(&mut self) -> Option<String> {
        self.queue = None;
        let thread = self.thread.take()?;
        thread.join().unwrap_or_else(|_| Some("writer: thread: it panicked; this is a defect".into()))
    }
}

fn work(mut sink: impl Sink, orders: &Receiver<Order>) -> Option<String> {
    let mut looked = Instant::now();
    let mut patience = PATIENCE;
    loop {
        match orders.recv_timeout(ROTATE) {
            Ok(Order::Write(mut batch)) => {
                // Here, where waiting holds up no one but the queue. If it fails, which would be a defect, rows lack digests.
                let asked = Instant::now();
                if let Err(error) = batch.settle(patience) {
                    eprintln!("warning: digests of images: {error}; this is a defect");
                }
                patience = patience.saturating_sub(asked.elapsed());
                sink.write(&batch);
            }
            Ok(Order::CloseEvents(done)) => {
                sink.close_events();
                drop(done);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return sink.finish(),
        }
        if looked.elapsed() >= ROTATE {
            looked = Instant::now();
            patience = PATIENCE;
            sink.rotate(looked);
        }
    }
}
