//! The writer's thread, at the end of a bounded channel.
//!
//! Rings in the kernel are the only place where events are lost: they get their room back here, when what was made of their
//! records is in the journal. A cut that cannot be stored now is kept and tried again, until the end is near.

use crate::{cut::Cut, drain::Consumer, sink::Sink};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
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
/// Room in the channel for a cut and for what comes with it.
const SPARE: usize = 2;
/// Time before a cut that could not be stored is tried again.
const AGAIN: Duration = Duration::from_millis(500);

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
    ending: Arc<AtomicBool>,
    gave_up: Arc<AtomicBool>,
    thread: Option<JoinHandle<Option<String>>>,
}

impl Writer {
    /// Starts the thread, which gives the rings of these consumers their room back.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start(sink: impl Sink + Send + 'static, consumers: Vec<Consumer>) -> std::io::Result<Self> {
        let (queue, orders) = bounded(QUEUE);
        let (stored, [ending, gave_up]) = (Arc::<AtomicU64>::default(), <[Arc<AtomicBool>; 2]>::default());
        let work = Work {
            sink,
            consumers,
            stored: stored.clone(),
            ending: ending.clone(),
            gave_up: gave_up.clone(),
            patience: PATIENCE,
        };
        let thread = std::thread::Builder::new().name("writer".into()).spawn(move || work.run(&orders))?;
        Ok(Self { queue: Some(queue), stored, ending, gave_up, thread: Some(thread) })
    }

    /// Whether a cut can be handed over without waiting. If not, records are better left in their rings.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.ending.load(Ordering::Acquire) || self.queue.as_ref().is_some_and(|queue| queue.len() + SPARE <= QUEUE)
    }

    /// The end is near: what cannot be stored from now on is given up and counted.
    pub fn end(&self) {
        self.ending.store(true, Ordering::Release);
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

    /// Whether a cut could not be stored to the end.
    #[must_use]
    pub fn has_given_up(&self) -> bool {
        self.gave_up.load(Ordering::Acquire)
    }

    /// Waits until the cut of this number is in the journal, or given up.
    pub fn wait(&self, number: u64) {
        let runs = || self.thread.as_ref().is_some_and(|thread| !thread.is_finished());
        while self.stored() < number && runs() {
            std::thread::sleep(Duration::from_millis(1));
        }
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
    ending: Arc<AtomicBool>,
    gave_up: Arc<AtomicBool>,
    patience: Duration,
}

impl<S: Sink> Work<S> {
    fn run(mut self, orders: &Receiver<Order>) -> Option<String> {
        let mut looked = Instant::now();
        loop {
            match orders.recv_timeout(TEND) {
                Ok(Order::Store(cut)) => self.store(cut),
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

    fn store(&mut self, mut cut: Box<Cut>) {
        // Here, where waiting holds up no one but the queue. If it fails, which would be a defect, rows lack digests.
        let asked = Instant::now();
        for batch in &mut cut.batches {
            if let Err(error) = batch.settle(self.patience.saturating_sub(asked.elapsed())) {
                crate::say!("warning: digests of images: {error}; this is a defect");
            }
        }
        self.patience = self.patience.saturating_sub(asked.elapsed());
        let (number, until) = (cut.number, cut.note.given.iter().map(|given| given.until).collect::<Vec<_>>());
        while let Err(back) = self.sink.store(cut) {
            cut = back;
            if self.ending.load(Ordering::Acquire) {
                self.gave_up.store(true, Ordering::Release);
                self.sink.give_up(&cut);
                break;
            }
            std::thread::sleep(AGAIN);
            // What is closed or removed may make room.
            self.sink.tend(Instant::now());
        }
        for (consumer, until) in self.consumers.iter().zip(until) {
            consumer.commit(until);
        }
        self.stored.store(number, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cut::Note;

    /// Refuses to store for a while.
    struct Stubborn {
        refusals: u64,
        told: Sender<&'static str>,
    }

    impl Sink for Stubborn {
        fn store(&mut self, cut: Box<Cut>) -> Result<(), Box<Cut>> {
            if self.refusals == 0 {
                return self.told.send("stored").map_err(|_| cut);
            }
            self.refusals -= 1;
            Err(cut)
        }

        fn give_up(&mut self, _: &Cut) {
            self.told.send("given up").unwrap();
        }

        fn tend(&mut self, _: Instant) {}

        fn close_events(&mut self) {}

        fn finish(&mut self) -> Option<String> {
            None
        }
    }

    fn writer(refusals: u64) -> (Writer, Receiver<&'static str>) {
        let (told, tells) = crossbeam_channel::unbounded();
        (Writer::start(Stubborn { refusals, told }, Vec::new()).unwrap(), tells)
    }

    fn cut(number: u64) -> Cut {
        Cut { number, batches: Vec::new(), note: Note::default() }
    }

    #[test]
    fn a_cut_is_tried_until_it_is_stored_and_keeps_its_place() {
        let (mut writer, tells) = writer(2);
        assert!(writer.send(cut(1)) && writer.send(cut(2)));
        writer.close_events();
        assert_eq!((writer.stored(), writer.finish()), (2, None));
        assert_eq!(tells.iter().collect::<Vec<_>>(), ["stored"; 2]);
    }

    #[test]
    fn what_waits_is_bounded_and_given_up_at_the_end() {
        let (mut writer, tells) = writer(u64::MAX);
        let mut sent = 0;
        while writer.has_room() {
            sent += 1;
            assert!(writer.send(cut(sent)));
        }
        assert_eq!(writer.stored(), 0);
        assert!(sent <= QUEUE as u64);
        writer.end();
        assert!(writer.has_room());
        assert_eq!(writer.finish(), None);
        assert_eq!((writer.stored(), tells.iter().count() as u64), (sent, sent));
    }
}
