//! Capture until told to stop.

use crate::{
    books::{RunFacts, Snapshot, WriterBooks},
    cut::{Cut, Note},
    drain::{Drain, GIVEN, KernelRing, Pace},
    enrich::Enricher,
    error::AgentError,
    facts::Facts,
    hashes::Hashes,
    kernel,
    load::KernelCounts,
    notify::Notifier,
    ready::readable,
    rows::Batch,
    sandbox::Report,
    scoring::Promise,
    snapshot::Reader,
    status::{Status, publish::Publisher, serve::Listeners},
    sweep::Sweep,
    usage::Usage,
    writer::Writer,
};
use events::EventType;
use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc::UnboundedReceiver,
};

/// Rows wait at most this long for the journal: what a crash of everything can take.
const BATCH_AGE: Duration = Duration::from_millis(250);
/// Time between two statuses.
const STATUS: Duration = Duration::from_secs(1);
/// Time between heartbeats.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// After detaching, programs that already run get this long to end; after the snapshot, its records to become rows.
const SETTLE: Duration = Duration::from_secs(2);
/// Processes in the cache.
const PROCESSES: usize = 65_536;

/// What a run needs to know beside the capture itself.
pub struct Settings {
    /// Host name in the rows.
    pub host: Arc<str>,
    /// First bytes of the boot id.
    pub boot: [u8; 4],
    /// Stop after this long.
    pub limit: Option<Duration>,
    /// Status as JSON lines on standard output.
    pub json: bool,
    /// Backend that scores, for the status.
    pub backend: Option<String>,
    /// Baseline id, for the status.
    pub baseline: Option<String>,
    /// What is to be expected of scoring, if there is a baseline.
    pub promise: Option<Promise>,
    /// The archive, for the status.
    pub archive: Option<String>,
    /// Where scores and findings go, for the status; nothing without a baseline.
    pub out: Option<String>,
    /// Size of the kernel's ring buffers, for the status.
    pub ring_bytes: u64,
    /// The loader's run.
    pub run: String,
    /// The process that people know the agent by.
    pub pid: u32,
    /// How long ago it began.
    pub age: Duration,
    /// Workers of this run that died before this one.
    pub restarts: u64,
    /// One of them has begun to capture.
    pub begun: bool,
    /// Who wants to know how it goes.
    pub notifier: Notifier,
    /// What holds this one.
    pub sandbox: Option<Report>,
    /// Where a worker of this run stopped before.
    pub resume: Option<Note>,
    /// Rows that come before all others.
    pub first: Vec<Batch>,
    /// For tests: fall over a defect after so long.
    pub panics: Option<Duration>,
}

/// What is in the kernel.
pub struct Sources {
    /// Where events come from.
    pub rings: Vec<KernelRing>,
    /// Who answers what must be asked.
    pub facts: Facts,
    /// Who makes digests of images.
    pub hashes: Hashes,
    /// How many hooks are in place.
    pub hooks: u64,
    /// Hooks that the kernel refused.
    pub refused: Vec<String>,
}

/// What the loader asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// An end, in order.
    Stop,
    /// Reading the configuration again.
    Reload,
    /// Nothing, as it is gone.
    Gone,
}

/// How a run ended.
pub struct Summary {
    /// The last status, all events accounted for.
    pub status: Status,
    /// What went wrong with the archive, if anything did.
    pub trouble: Option<String>,
}

/// A run.
struct Run {
    settings: Settings,
    drain: Drain,
    facts: Facts,
    sweep: Sweep,
    hooks: u64,
    refused: Vec<String>,
    reader: Option<Reader>,
    /// What was there at the start is in the journal.
    settled: bool,
    /// When all of it was seen to be read.
    read: Option<Instant>,
    enricher: Enricher,
    writer: Writer,
    /// Cuts made.
    cuts: u64,
    /// The first of them accounts for an earlier run.
    accounts: bool,
    /// The kernel's counts, as last read.
    counts: KernelCounts,
    metrics: Option<SocketAddr>,
    books: Arc<WriterBooks>,
    started: Instant,
    flushed: Instant,
    spoke: Instant,
    beat: Instant,
}

/// Captures until the loader wishes an end, SIGINT, SIGTERM or the limit, then has the programs taken out, empties the rings
/// and closes all files.
///
/// # Errors
/// [`AgentError::Read`] if the kernel's counters cannot be read, signals not be caught, or the loader is gone.
pub fn run(
    mut settings: Settings,
    sources: Sources,
    writer: Writer,
    books: Arc<WriterBooks>,
    listeners: Listeners,
    wishes: UnboundedReceiver<Wish>,
) -> Result<Summary, AgentError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| system("event loop", &error))?;
    let now = Instant::now();
    let (mut drain, mut sweep) = (Drain::new(sources.rings), Sweep::new(sources.facts.clone()));
    let facts = sources.facts;
    let mut enricher = Enricher::asking(settings.boot, &settings.host, PROCESSES, facts.clone(), sources.hashes);
    let (mut settled, mut cuts) = (false, 0);
    if let Some(note) = settings.resume.take() {
        drain = drain.resume(note.given);
        sweep = sweep.resume(&note.reported, note.number)?;
        enricher = enricher.resume(note.agent, note.settled);
        (settled, cuts) = (note.settled, note.number);
    }
    let notifier = std::mem::take(&mut settings.notifier);
    let mut run = Run {
        enricher,
        settings,
        hooks: sources.hooks,
        refused: sources.refused,
        reader: None,
        settled,
        read: None,
        drain,
        facts,
        sweep,
        writer,
        cuts,
        accounts: false,
        counts: KernelCounts::default(),
        metrics: listeners.metrics(),
        books,
        started: now,
        flushed: now,
        spoke: now,
        beat: now,
    };
    let publisher = Publisher::start(run.settings.json, listeners, notifier, run.status()?);
    let publisher = publisher.map_err(|error| system("status threads", &error))?;
    runtime.block_on(run.capture(&publisher, wishes))?;
    let summary = run.stop()?;
    publisher.last(summary.status.clone());
    Ok(summary)
}

fn system(what: &str, error: &std::io::Error) -> AgentError {
    AgentError::Read { what: what.into(), why: error.to_string() }
}

impl Run {
    async fn capture(&mut self, publisher: &Publisher, mut wishes: UnboundedReceiver<Wish>) -> Result<(), AgentError> {
        let caught = |kind| signal(kind).map_err(|error| system("signals", &error));
        let (mut interrupt, mut terminate) = (caught(SignalKind::interrupt())?, caught(SignalKind::terminate())?);
        let filling = readable(self.drain.rings().iter()).map_err(|error| system("rings", &error))?;
        let end = self.settings.limit.map(|limit| tokio::time::Instant::now() + limit);
        let limit = async move {
            match end {
                Some(end) => tokio::time::sleep_until(end).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(limit);
        publisher.ready(!self.settings.begun);
        // Whoever comes after a crash knows from the first moment on what run it was.
        let first = std::mem::take(&mut self.settings.first);
        self.accounts = !first.is_empty();
        self.cut(first, false)?;
        // While the rings are emptied, so that a big machine does not fill them.
        let iterators = self.facts.iterators()?.into_iter().map(|(name, iterator)| (name, iterator.into())).collect();
        self.reader = Some(Reader::start(iterators).map_err(|error| system("snapshot thread", &error))?);
        let mut pace = Pace::default();
        loop {
            tokio::select! {
                _ = interrupt.recv() => return Ok(()),
                _ = terminate.recv() => return Ok(()),
                () = &mut limit => return Ok(()),
                wish = wishes.recv() => match wish {
                    Some(Wish::Stop) => return Ok(()),
                    Some(Wish::Reload) => crate::say!("warning: not reloaded: configuration: it is read at the start"),
                    Some(Wish::Gone) | None => return Err(gone()),
                },
                () = tokio::time::sleep(pace.wait()) => {}
                // A ring is a quarter full.
                Ok(mut guard) = filling.readable(), if self.writer.has_room() => guard.clear_ready(),
            }
            let given = self.round()?;
            pace.adapt(given);
            self.periodic(publisher)?;
        }
    }

    /// While the archive cannot be written, records stay where they are.
    fn round(&mut self) -> Result<usize, AgentError> {
        if !self.writer.has_room() {
            return Ok(0);
        }
        self.drain.look();
        self.give()
    }

    /// Takes in all records that are due; returns how many.
    fn give(&mut self) -> Result<usize, AgentError> {
        let mut all = 0;
        while self.writer.has_room() {
            let enricher = &mut self.enricher;
            let given = self.drain.give(&mut |record| enricher.record(record));
            all += given;
            if self.enricher.is_full() || (self.drain.is_pressed() && !self.enricher.is_empty()) {
                self.cut(Vec::new(), false)?;
            }
            if given < GIVEN {
                break;
            }
        }
        Ok(all)
    }

    /// Hands the rows made so far to the writer, with where whoever goes on must begin.
    fn cut(&mut self, heartbeats: Vec<Batch>, ended: bool) -> Result<(), AgentError> {
        let mut batches = self.enricher.take().map_err(defect)?;
        batches.extend(heartbeats);
        self.cuts += 1;
        let note = Note {
            run: self.settings.run.clone(),
            number: self.cuts,
            time: kernel::utc_now(),
            ended,
            settled: self.settled,
            given: self.drain.cut(),
            kernel: self.counts,
            agent: self.enricher.books().clone(),
            reported: self.sweep.cut(self.cuts),
            ..Note::default()
        };
        let gone = || AgentError::Read { what: "writer".into(), why: "its thread ended; this is a defect".into() };
        if self.writer.send(Cut { number: self.cuts, batches, note }) { Ok(()) } else { Err(gone()) }
    }

    /// What was read from the iterators is in rows a moment later.
    fn settle(&mut self) {
        if self.read.is_none() && self.reader.as_ref().is_some_and(Reader::is_finished) {
            self.read = Some(Instant::now());
        }
        self.settled |= self.read.is_some_and(|read| read.elapsed() >= SETTLE);
    }

    fn periodic(&mut self, publisher: &Publisher) -> Result<(), AgentError> {
        self.facts.check()?;
        self.sweep.stored(self.writer.stored())?;
        self.accounted()?;
        self.settle();
        if self.flushed.elapsed() >= BATCH_AGE && self.writer.has_room() {
            self.flushed = Instant::now();
            self.enricher.tick();
            self.sweep.due(&mut self.enricher)?;
            let mut beats = Vec::new();
            if self.beat.elapsed() >= HEARTBEAT {
                self.beat = Instant::now();
                beats.push(self.heartbeat()?);
            }
            if !beats.is_empty() || !self.enricher.is_empty() {
                self.cut(beats, false)?;
            }
        }
        let defect = self.settings.panics.is_some_and(|after| self.started.elapsed() >= after);
        assert!(!defect, "a defect, asked for by a test");
        if self.spoke.elapsed() >= STATUS {
            self.spoke = Instant::now();
            let status = self.status()?;
            publisher.publish(status);
        }
        Ok(())
    }

    /// What an earlier run left may go once rows tell of it.
    fn accounted(&mut self) -> Result<(), AgentError> {
        if self.accounts && self.writer.stored() > 0 {
            self.accounts = false;
            self.facts.accounted()?;
        }
        Ok(())
    }

    fn snapshot(&mut self) -> Result<Snapshot, AgentError> {
        self.counts = self.facts.counts()?;
        let counts = self.counts;
        let agent = self.enricher.books().clone();
        let mut kernel = counts.events;
        // The agent itself makes these.
        kernel[EventType::Throttle.index()].produced = agent.received[EventType::Throttle.index()];
        let snapshot = Snapshot {
            kernel,
            unix: counts.unix,
            agent,
            evicted: self.enricher.lineage().evicted(),
            processes: self.enricher.lineage().len() as u64,
            hooks: self.hooks,
            refused: self.refused.clone(),
            ring_bytes: self.settings.ring_bytes,
            order: self.drain.order(),
            usage: Usage::now().and(self.facts.usage()),
            restarts: self.settings.restarts,
            ..Snapshot::default()
        };
        Ok(snapshot.with_writer(&self.books))
    }

    fn heartbeat(&mut self) -> Result<Batch, AgentError> {
        self.snapshot()?.heartbeat(&self.settings.host, kernel::utc_now()).map_err(defect)
    }

    fn status(&mut self) -> Result<Status, AgentError> {
        Ok(self.snapshot()?.status(&RunFacts {
            time: &kernel::utc_text(kernel::utc_now()),
            uptime_s: (self.settings.age + self.started.elapsed()).as_secs_f64(),
            pid: self.settings.pid,
            sandbox: self.settings.sandbox.as_ref(),
            backend: self.settings.backend.as_deref(),
            baseline: self.settings.baseline.as_deref(),
            promise: self.settings.promise.as_ref(),
            follows: self.settings.begun,
            host: &self.settings.host,
            metrics: self.metrics,
            archive: self.settings.archive.as_deref(),
            out: self.settings.out.as_deref(),
        }))
    }

    /// Takes the programs out, then everything that they left.
    fn stop(mut self) -> Result<Summary, AgentError> {
        self.writer.end();
        if let Some(reader) = self.reader.take() {
            // What it still makes must find room.
            reader.end(|| self.round().map(drop))?;
        }
        self.facts.detach()?;
        let detached = Instant::now();
        // What processes began comes before the flows that they left.
        self.rest()?;
        self.sweep.rest(&mut self.enricher)?;
        // A program that ran while it was detached may still be writing its record.
        while !self.snapshot()?.all_received() && detached.elapsed() < SETTLE {
            if self.round()? == 0 {
                std::thread::sleep(Duration::from_millis(5));
            }
            self.sweep.rest(&mut self.enricher)?;
        }
        self.rest()?;
        self.sweep.last(&mut self.enricher)?;
        self.cut(Vec::new(), false)?;
        self.finish()
    }

    fn rest(&mut self) -> Result<usize, AgentError> {
        self.drain.rest();
        self.give()
    }

    /// The last heartbeat comes after the files of events are complete, so that its counts are final.
    fn finish(mut self) -> Result<Summary, AgentError> {
        self.writer.close_events();
        self.sweep.stored(self.writer.stored())?;
        self.accounted()?;
        let beat = self.heartbeat()?;
        self.cut(vec![beat], true)?;
        self.writer.wait(self.cuts);
        // What was given up is accounted for by whoever starts next, who needs the kernel's counters for that.
        if !self.writer.has_given_up() {
            self.facts.ended()?;
        }
        let trouble = self.writer.finish();
        Ok(Summary { status: self.status()?, trouble })
    }
}

fn gone() -> AgentError {
    AgentError::Read { what: "loader".into(), why: "it is gone".into() }
}

fn defect(error: arrow_schema::ArrowError) -> AgentError {
    AgentError::Read { what: "rows".into(), why: format!("{error}; this is a defect") }
}
