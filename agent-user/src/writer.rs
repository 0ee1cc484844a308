//! The writer's thread, at the end of a bounded channel.
//!
//! The sender waits when the channel is full, so that the rings in the kernel are the only place where events are lost. They
//! get their room back here, when what was made of their records is in the journal.

use crate::{cut::Cut, drain::Consumer, sink::Sink};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// Cuts that may wait.
const QUEUE: usize = 16;
/// Time in each [`TEND`] that is given to waiting for digests of images.
const PATIENCE: Duration = Duration::from_millis(250);
/// How often the sink is looked after.
const TEND: Duration = Duration::from_secs(1);

/// What the thread is asked to do.
enum Order {
    Store(Box<Cut>),
    /// Make complete files of all events, then drop the sender, which says so.
    CloseEvents(Sender<()>),
}

/// A running writer.
pub struct Writer {
    queue: Option<Sender<Order>>,
    stored: Arc<AtomicU64>,
    thread: Option<JoinHandle<Option<String>>>,
}

impl Writer {
    /// Starts the thread, which gives the rings of these consumers their room back.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start(sink: impl Sink + Send + 'static, consumers: Vec<Consumer>) -> std::io::Result<Self> {
        let (queue, orders) = bounded(QUEUE);
        let stored = Arc::<AtomicU64>::default();
        let work = Work { sink, consumers, stored: stored.clone(), patience: PATIENCE };
        let thread = std::thread::Builder::new().name("writer".into()).spawn(move || work.run(&orders))?;
        Ok(Self { queue: Some(queue), stored, thread: Some(thread) })
    }

    /// Hands a cut over; waits while the queue is full. Returns false if the writer is gone.
    #[must_use]
    pub fn send(&self, cut: Cut) -> bool {
        self.queue.as_ref().is_some_and(|queue| queue.send(Order::Store(Box::new(cut))).is_ok())
    }

    /// The number of the last cut that is in the journal, or given up.
    #[must_use]
    pub fn stored(&self) -> u64 {
        self.stored.load(Ordering::Acquire)
    }

    /// Waits until the rows handed over are in files that are complete, as far as that is possible now.
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

/// What the thread has.
struct Work<S> {
    sink: S,
    consumers: Vec<Consumer>,
    stored: Arc<AtomicU64>,
    patience: Duration,
}

impl<S: Sink> Work<S> {
    fn run(mut self, orders: &Receiver<Order>) -> Option<String> {
        let mut looked = Instant::now();
        loop {
            match orders.recv_timeout(TEND) {
                Ok(Order::Store(cut)) => self.store(*cut),
                Ok(Order::CloseEvents(done)) => {
                    self.sink.close_events();
                    drop(done);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.sink.finish(),
            }
            if looked.elapsed() >= TEND {
                looked = Instant::now();
                self.patience = PATIENCE;
                self.sink.tend(looked);
            }
        }
    }

    fn store(&mut self, mut cut: Cut) {
        // Here, where waiting holds up no one but the queue. If it fails, which would be a defect, rows lack digests.
        let asked = Instant::now();
        for batch in &mut cut.batches {
            if let Err(error) = batch.settle(self.patience.saturating_sub(asked.elapsed())) {
                eprintln!("warning: digests of images: {error}; this is a defect");
            }
        }
        self.patience = self.patience.saturating_sub(asked.elapsed());
        let (number, until) = (cut.number, cut.note.given.iter().map(|given| given.until).collect::<Vec<_>>());
        self.sink.store(cut);
        for (consumer, until) in self.consumers.iter().zip(until) {
            consumer.commit(until);
        }
        self.stored.store(number, Ordering::Release);
    }
}
