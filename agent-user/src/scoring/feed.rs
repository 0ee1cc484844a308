//! The thread that feeds the scorer, and starts another when one dies.

use super::{
    Settings,
    message::{Answer, File, Place, Ready, Reply, Request, encode, receive, send},
    remote::{FELL_BEHIND, Order, Shared},
    start::Starter,
};
use crate::books::WriterBooks;
use std::{
    collections::{HashMap, HashSet},
    io::{ErrorKind, Result},
    os::unix::net::UnixStream,
    sync::{Arc, PoisonError, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};
use store::{Finished, InputDone, Placed};

/// A scorer that takes or says nothing for this long while it should hangs.
const HANGS: Duration = Duration::from_secs(60);
/// A scorer may take this long to load its baseline and open its device.
const OPENS: Duration = Duration::from_secs(120);
/// One that is started to write the manifest of a run that is over.
const OPENS_LAST: Duration = Duration::from_secs(10);
/// A scorer that was told to end may take this long to do so.
const ENDS: Duration = Duration::from_secs(5);
/// Pause before a scorer is started again, doubled each time.
const PAUSE: Duration = Duration::from_millis(100);
/// Longest pause; a scorer that lived as long counts as sound.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Why a file has no sidecar.
const ENDED: &str = "the scorer ended before it was complete";

/// The scorer that runs, if one does.
pub(super) struct Link {
    settings: Settings,
    starter: Box<dyn Starter>,
    shared: Arc<Shared>,
    socket: Option<UnixStream>,
    baseline: Option<String>,
    process: u32,
    since: Instant,
    limit: Duration,
}

impl Link {
    pub(super) fn new(settings: Settings, starter: Box<dyn Starter>, shared: Arc<Shared>) -> Self {
        let since = Instant::now();
        Self { settings, starter, shared, socket: None, baseline: None, process: 0, since, limit: OPENS }
    }

    /// Starts a scorer and waits until it is ready; else says why there is none.
    pub(super) fn open(&mut self) -> std::result::Result<Ready, String> {
        let socket = self.starter.start().map_err(|error| format!("cannot start: scorer: {error}"))?;
        let asked = self.ask(socket);
        let ready = match asked {
            Ok(ready) => ready,
            Err(Said(error)) => {
                self.close(ENDS);
                return Err(error);
            }
            Err(Silent(error)) => return Err(format!("cannot start: scorer: {}", self.fallen(&error))),
        };
        let known = self.baseline.get_or_insert_with(|| ready.baseline.clone());
        if *known != ready.baseline {
            self.close(ENDS);
            let path = self.settings.baseline.display();
            return Err(format!("cannot start: scorer: {path} is another baseline now; start the agent anew"));
        }
        (self.settings.again, self.since, self.process) = (true, Instant::now(), ready.process);
        self.settings.left_by = Some(ready.process);
        Ok(ready)
    }

    fn ask(&mut self, socket: UnixStream) -> std::result::Result<Ready, Refused> {
        let limit = Some(self.limit);
        let set = || {
            socket.set_write_timeout(limit)?;
            socket.set_read_timeout(limit)?;
            socket.try_clone()
        };
        self.shared.lock().socket = Some(set()?);
        self.socket = Some(socket);
        let reply = self.exchange(&Request::Settings(self.settings.clone()), &[])?;
        if let Some(socket) = &self.socket {
            socket.set_write_timeout(Some(HANGS.min(self.limit)))?;
            socket.set_read_timeout(Some(HANGS.min(self.limit)))?;
        }
        match reply.answer {
            Answer::Ready(ready) => Ok(ready),
            Answer::Failed(error) => Err(Said(error)),
            _ => Err(Silent(ErrorKind::InvalidData.into())),
        }
    }

    fn exchange(&self, request: &Request, body: &[u8]) -> Result<Reply> {
        let socket = self.socket.as_ref().ok_or(ErrorKind::NotConnected)?;
        send(socket, request, body)?;
        let reply = receive(socket)?;
        Ok(reply.ok_or(ErrorKind::UnexpectedEof)?.0)
    }

    fn close(&mut self, patience: Duration) -> String {
        self.shared.lock().socket = None;
        self.socket = None;
        self.starter.stop(patience)
    }

    /// In words, how a scorer fell that gave this error instead of an answer.
    fn fallen(&mut self, error: &std::io::Error) -> String {
        match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => {
                self.close(Duration::ZERO);
                "it hung".into()
            }
            ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => {
                format!("it ended with {}", self.close(ENDS))
            }
            _ => {
                self.close(Duration::ZERO);
                error.to_string()
            }
        }
    }
}

/// Whether a scorer can be had by these settings: starts one, lets it open its baseline and its device, and ends it.
///
/// # Errors
/// Why not, in words.
pub fn attempt(settings: Settings, starter: Box<dyn Starter>) -> std::result::Result<(), String> {
    // What others have begun is not touched, and nothing is said twice.
    let settings = Settings { again: true, left_by: None, ..settings };
    let mut link = Link::new(settings, starter, Arc::default());
    let opened = link.open().map(drop);
    link.close(ENDS);
    opened
}

/// Why there is no scorer: in its own words, or it did not get to say any.
enum Refused {
    Said(String),
    Silent(std::io::Error),
}
use Refused::{Said, Silent};

impl From<std::io::Error> for Refused {
    fn from(error: std::io::Error) -> Self {
        Silent(error)
    }
}

/// The feeding thread.
pub(super) struct Feed {
    link: Link,
    shared: Arc<Shared>,
    books: Arc<WriterBooks>,
    /// Files that are not complete, of which the scorer that runs has rows.
    begun: HashSet<Arc<str>>,
    /// Of these a scorer that is gone had rows: its process id.
    orphans: HashMap<Arc<str>, u32>,
    /// Findings of scorers that ran before.
    earlier: u64,
    pause: Duration,
    started: Instant,
}

impl Feed {
    pub(super) fn new(link: Link, shared: Arc<Shared>, books: Arc<WriterBooks>) -> Self {
        let (begun, orphans) = (HashSet::new(), HashMap::new());
        Self { link, shared, books, begun, orphans, earlier: 0, pause: PAUSE, started: Instant::now() }
    }

    pub(super) fn work(mut self) {
        while let Some(order) = self.next() {
            match order {
                Order::Placed { table, rows, placed, .. } => self.placed(table, &rows, &placed),
                Order::Finished(file) => self.finished(&file),
                Order::Tick => drop(self.tell(&Request::Tick, &[])),
                Order::Finish => break,
            }
        }
        self.leave();
        let finishing = self.shared.lock().finishing;
        if finishing {
            self.finish();
        }
        self.link.close(ENDS);
        self.shared.lock().done = true;
        self.shared.changed.notify_all();
    }

    /// The next order; `None` if there is no time for any more.
    fn next(&self) -> Option<Order> {
        let mut state = self.shared.lock();
        loop {
            if state.over {
                return None;
            }
            if let Some(order) = state.queue.pop_front() {
                if let Order::Placed { bytes, .. } = &order {
                    state.bytes -= bytes;
                }
                return Some(order);
            }
            state = self.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn placed(&mut self, table: &str, rows: &arrow_array::RecordBatch, placed: &[Placed]) {
        let request = Request::Placed { table: table.into(), placed: placed.iter().map(Place::of).collect() };
        let answer = match encode(rows) {
            Ok(body) if self.connected() => {
                self.begun.extend(placed.iter().map(|run| run.relative.clone()));
                self.tell(&request, &body)
            }
            Ok(_) => None,
            Err(error) => {
                self.shared.lock().say(&format!("scorer: rows of {table}: {error}"));
                None
            }
        };
        let scored = if let Some(Answer::Scored(rows)) = answer { rows } else { 0 };
        let mut state = self.shared.lock();
        if answer.is_none() {
            state.give_up(placed.iter().map(|run| &run.relative), ENDED);
        }
        state.enter(placed, scored);
    }

    fn finished(&mut self, file: &Finished) {
        let given_up = self.shared.lock().given_up.remove(&file.relative);
        if let Some(why) = given_up {
            self.forget(&file.relative);
            return self.shared.lock().skip(file, why);
        }
        self.begun.insert(file.relative.clone());
        let answer = if self.connected() { self.tell(&Request::Finished(File::of(file)), &[]) } else { None };
        if answer.is_none() {
            // It may have fallen over this very file.
            self.shared.lock().given_up.remove(&file.relative);
            self.forget(&file.relative);
        }
        self.begun.remove(&file.relative);
        let mut state = self.shared.lock();
        if matches!(answer, Some(Answer::FileDone { .. })) {
            state.tally.done(&file.relative);
        }
        match answer {
            Some(Answer::FileDone { scored: false }) => {}
            Some(Answer::FileDone { scored: true }) => {
                let path = file.relative.to_string();
                let table = path.split('/').next().unwrap_or_default().to_owned();
                state.record.list_done(InputDone { path, table, rows: file.rows });
            }
            Some(Answer::FileSkipped(reason)) => state.skip(file, &reason),
            _ => state.skip(file, ENDED),
        }
    }

    /// A file will have no sidecar, nor what a scorer that is gone had begun of it.
    fn forget(&mut self, relative: &Arc<str>) {
        self.begun.remove(relative);
        let begun_by = self.orphans.get(relative).copied();
        if begun_by.is_none() || self.connected() {
            let request = Request::GivenUp { relative: relative.to_string(), begun_by };
            if self.tell(&request, &[]).is_some() {
                self.orphans.remove(relative);
            }
        }
    }

    /// Asks the scorer that runs. If there is none, or it ends over this, there is no answer.
    fn tell(&mut self, request: &Request, body: &[u8]) -> Option<Answer> {
        self.link.socket.as_ref()?;
        match self.link.exchange(request, body) {
            Ok(reply) => {
                self.books.findings.store(self.earlier + reply.findings, Relaxed);
                Some(reply.answer)
            }
            Err(error) => {
                self.fell(&error);
                None
            }
        }
    }

    /// The scorer is gone: what it had begun will not be completed, what it found stays.
    fn fell(&mut self, error: &std::io::Error) {
        self.earlier = self.books.findings.load(Relaxed);
        if self.link.since.elapsed() >= LONGEST_PAUSE {
            self.pause = PAUSE;
        }
        let over = self.shared.lock().over;
        let how = self.link.fallen(error);
        let mut state = self.shared.lock();
        state.give_up(self.begun.iter(), if over { FELL_BEHIND } else { ENDED });
        self.orphans.extend(self.begun.drain().map(|file| (file, self.link.process)));
        if !over {
            state.say(&format!("scorer: {how}; another is started, files that it had begun have no scores"));
        }
    }

    /// Whether a scorer runs; if not, starts one, with pauses until it can be had. False if there is no time for that.
    fn connected(&mut self) -> bool {
        while self.link.socket.is_none() {
            if !self.rest() {
                return false;
            }
            if let Err(error) = self.link.open() {
                let mut state = self.shared.lock();
                if !state.over {
                    state.say(&error);
                }
                if state.finishing {
                    return false;
                }
            }
        }
        true
    }

    /// Waits before a scorer is started again; false if the run is over before. A run that ends waits no longer.
    fn rest(&mut self) -> bool {
        let pause = self.pause;
        self.pause = (pause * 2).min(LONGEST_PAUSE);
        let wait = |state: &mut super::remote::State| !state.over && !state.finishing;
        let state = self.shared.lock();
        let waited = self.shared.changed.wait_timeout_while(state, pause, wait);
        !waited.unwrap_or_else(PoisonError::into_inner).0.over
    }

    /// What waits will not be scored: it is counted and named.
    fn leave(&mut self) {
        let mut state = self.shared.lock();
        let mut rows = 0;
        for order in std::mem::take(&mut state.queue) {
            match order {
                Order::Placed { rows: left, placed, .. } => {
                    rows += left.num_rows() as u64;
                    state.give_up(placed.iter().map(|run| &run.relative), FELL_BEHIND);
                    state.enter(&placed, 0);
                }
                Order::Finished(file) => {
                    let why = state.given_up.remove(&file.relative).unwrap_or(FELL_BEHIND);
                    state.skip(&file, why);
                }
                _ => {}
            }
        }
        state.bytes = 0;
        if rows > 0 {
            state.say(&format!("scorer: {rows} rows were not scored: it was not done in time; ebbline score does it"));
        }
    }

    /// Has the run written into the manifest, if need be by a scorer that is started for that.
    fn finish(&mut self) {
        self.link.limit = OPENS_LAST;
        let body = |feed: &Self| {
            let record = &mut feed.shared.lock().record;
            (record.wall_seconds, record.findings) = (feed.started.elapsed().as_secs_f64(), feed.earlier);
            record.rows = feed.books.scored.load(Relaxed);
            serde_json::to_vec(&*record).unwrap_or_default()
        };
        for _ in 0..2 {
            if self.link.socket.is_none()
                && let Err(error) = self.link.open()
            {
                return self.shared.lock().say(&format!("no manifest of this run: {error}"));
            }
            for relative in self.orphans.keys().cloned().collect::<Vec<_>>() {
                self.forget(&relative);
            }
            let run = body(self);
            if let Some(Answer::Ended(trouble)) = self.tell(&Request::Finish, &run) {
                let state = &mut self.shared.lock();
                state.trouble = trouble.or(state.trouble.take());
                return;
            }
        }
    }
}
