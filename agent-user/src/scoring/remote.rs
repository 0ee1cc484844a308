//! The writer's side of the scorer: hands over and goes on.

use super::{
    Settings,
    feed::{Feed, Link},
    message::{Promise, Ready},
    start::{OwnProcess, Starter},
    tally::Tally,
};
use crate::{
    books::WriterBooks,
    cli::RunArgs,
    error::{AgentError, one_line},
    kernel,
    rows::Batch,
    sink::Follower,
};
use arrow_array::RecordBatch;
use std::{
    collections::{HashMap, VecDeque},
    os::unix::net::UnixStream,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};
use store::{Finished, InputSkipped, Placed, Run};

/// Bytes of rows that may wait for the scorer.
const QUEUE_BYTES: usize = 64 << 20;
/// Orders that may wait, whatever their size.
const QUEUE_ORDERS: usize = 4_096;
/// A clean stop waits this long for the scorer to be done.
const FINISH: Duration = Duration::from_secs(20);

/// Why a file has no sidecar.
pub(super) const FELL_BEHIND: &str = "the scorer fell behind";

/// What the scorer is to be told.
pub(super) enum Order {
    Placed { table: &'static str, rows: RecordBatch, placed: Vec<Placed>, bytes: usize },
    Finished(Finished),
    Tick,
    Finish,
}

/// Between the writer and the feeding thread.
#[derive(Default)]
pub(super) struct Shared {
    state: Mutex<State>,
    pub(super) changed: Condvar,
}

/// See [`Shared`].
#[derive(Default)]
pub(super) struct State {
    pub(super) queue: VecDeque<Order>,
    /// Of the rows that wait.
    pub(super) bytes: usize,
    /// Files that are not complete and will have no sidecar, and why.
    pub(super) given_up: HashMap<Arc<str>, &'static str>,
    /// What has a score and what has none.
    pub(super) tally: Tally,
    /// The run so far.
    pub(super) record: Run,
    pub(super) trouble: Option<String>,
    /// The socket to the scorer that runs: shut down, whoever waits for it waits no longer.
    pub(super) socket: Option<UnixStream>,
    /// The run ends; what waits is still scored.
    pub(super) finishing: bool,
    /// Nothing more is scored.
    pub(super) over: bool,
    /// The feeding thread has done all that it will do.
    pub(super) done: bool,
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Says what went wrong once, not once a batch.
    pub(super) fn say(&mut self, text: &str) {
        let text = one_line(text);
        if self.trouble.as_ref() != Some(&text) {
            crate::say!("warning: {text}");
            self.trouble = Some(text);
        }
    }

    /// Names a file that has no sidecar.
    pub(super) fn skip(&mut self, file: &Finished, reason: &str) {
        self.say(&format!("not scored: {}: {reason}", file.relative));
        self.tally.void(&file.relative);
        self.tally.done(&file.relative);
        self.record.list_skipped(InputSkipped { path: file.relative.to_string(), reason: reason.into() });
    }

    /// Of files that are given up already, the first reason stays.
    pub(super) fn give_up<'a>(&mut self, files: impl IntoIterator<Item = &'a Arc<str>>, why: &'static str) {
        for file in files {
            self.given_up.entry(file.clone()).or_insert(why);
            self.tally.void(file);
        }
    }

    /// Enters rows that were given to a scorer, which scored as many of them.
    pub(super) fn enter(&mut self, placed: &[Placed], scored: u64) {
        let all: u64 = placed.iter().map(|run| run.rows as u64).sum();
        for run in placed {
            if scored == all && !self.given_up.contains_key(&run.relative) {
                self.tally.scored(&run.relative, run.rows as u64);
            } else {
                self.tally.missed(&run.relative, run.rows as u64);
            }
        }
    }
}

/// Follows the archive's writer with a scorer in a process of its own. Nothing here waits for that process but the start
/// and the end.
pub struct RemoteScoring {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    ready: Ready,
    room: usize,
    patience: Duration,
}

impl RemoteScoring {
    /// Starts a scorer for the arguments; `None` if they name no baseline.
    ///
    /// # Errors
    /// [`AgentError::Scorer`]: what is wrong with the baseline, the backend or the folder, or that there is no process.
    pub fn start(args: &RunArgs, books: Arc<WriterBooks>) -> Result<Option<Self>, AgentError> {
        Settings::of(args).map(|settings| Self::with(settings, Box::<OwnProcess>::default(), books)).transpose()
    }

    /// Starts a scorer in some other way.
    ///
    /// # Errors
    /// As [`RemoteScoring::start`].
    pub fn with(settings: Settings, starter: Box<dyn Starter>, books: Arc<WriterBooks>) -> Result<Self, AgentError> {
        let shared = Arc::new(Shared::default());
        let mut link = Link::new(settings, starter, shared.clone());
        let ready = link.open().map_err(AgentError::Scorer)?;
        shared.lock().tally = Tally::into(books.clone());
        shared.lock().record.started = kernel::utc_text(kernel::utc_now());
        let feed = Feed::new(link, shared.clone(), books.clone());
        let thread = std::thread::Builder::new().name("scorer".into()).spawn(move || feed.work());
        let thread =
            thread.map_err(|error| AgentError::Scorer(format!("cannot start: scorer: its thread: {error}")))?;
        Ok(Self { shared, thread: Some(thread), ready, room: QUEUE_BYTES, patience: FINISH })
    }

    /// Lets this many bytes of rows wait, and waits this long at a clean stop.
    #[must_use]
    pub fn bounded(mut self, room: usize, patience: Duration) -> Self {
        (self.room, self.patience) = (room, patience);
        self
    }

    /// Backend, device and reason of the choice, in words.
    #[must_use]
    pub fn backend(&self) -> (&str, &str, &str) {
        (&self.ready.backend, &self.ready.device, &self.ready.reason)
    }

    /// What is to be expected.
    #[must_use]
    pub fn promise(&self) -> &Promise {
        &self.ready.promise
    }

    /// Baseline id.
    #[must_use]
    pub fn baseline(&self) -> &str {
        &self.ready.baseline
    }

    fn order(&self, state: &mut State, order: Order) {
        state.queue.push_back(order);
        self.shared.changed.notify_all();
    }

    /// Lets the scorer do what waits, but not longer than `patience`; then the rest is left.
    fn end(&mut self, finish: bool, patience: Duration) {
        let Some(thread) = self.thread.take() else { return };
        let mut state = self.shared.lock();
        state.finishing = finish;
        self.order(&mut state, Order::Finish);
        let asked = Instant::now();
        while !state.done && asked.elapsed() < patience {
            let left = patience.saturating_sub(asked.elapsed());
            state = self.shared.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        if !state.done {
            state.over = true;
            if let Some(socket) = &state.socket {
                let _ = socket.shutdown(std::net::Shutdown::Both); // it may be gone already
            }
            self.shared.changed.notify_all();
        }
        drop(state);
        if thread.join().is_err() {
            self.shared.lock().say("scorer: thread: it panicked; this is a defect");
        }
    }
}

impl Follower for RemoteScoring {
    fn placed(&mut self, batch: &Batch, placed: &[Placed]) {
        if !self.ready.tables.iter().any(|table| table == batch.table) {
            return;
        }
        let (rows, bytes) = (&batch.rows, batch.rows.get_array_memory_size());
        let mut state = self.shared.lock();
        if state.bytes + bytes > self.room || state.queue.len() >= QUEUE_ORDERS {
            state.give_up(placed.iter().map(|run| &run.relative), FELL_BEHIND);
            state.enter(placed, 0);
            return;
        }
        state.bytes += bytes;
        let order = Order::Placed { table: batch.table, rows: rows.clone(), placed: placed.to_vec(), bytes };
        self.order(&mut state, order);
    }

    fn finished(&mut self, file: &Finished) {
        let mut state = self.shared.lock();
        // Behind its rows, as a rule also where these find no more room.
        if state.queue.len() < 2 * QUEUE_ORDERS {
            self.order(&mut state, Order::Finished(file.clone()));
        } else {
            state.given_up.remove(&file.relative);
            state.skip(file, FELL_BEHIND);
        }
    }

    fn tick(&mut self) {
        let mut state = self.shared.lock();
        // One that has work to do looks at the time by itself.
        if state.queue.is_empty() {
            self.order(&mut state, Order::Tick);
        }
    }

    fn finish(&mut self) -> Option<String> {
        self.end(true, self.patience);
        self.shared.lock().trouble.take()
    }
}

impl Drop for RemoteScoring {
    fn drop(&mut self) {
        self.end(false, Duration::ZERO);
    }
}
