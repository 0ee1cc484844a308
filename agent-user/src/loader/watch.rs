//! What the loader does once everything is in place: passes signals on, and sees to it that there is a worker.

mod absence;
mod reload;

use super::{
    Kept,
    child::{Child, End, ScorerPlan},
    uploader::Uploader,
};
use crate::orders::{Order, Start};
use absence::Absence;
use anyhow::{Context, Result};
use ebbline_agent_user::{
    cli::RunArgs, config::Configuration, facts::Desk, kernel, notify::Notifier, repeat::Repeats, sandbox::User, say,
    status::serve::Listeners,
};
use reload::Trial;
use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The pause before a worker is started again: twice the last one, from the shortest to the longest. Rings fill meanwhile:
/// after one that had begun it is shorter than after one that could not.
const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);
const LONGEST_UNBEGUN: Duration = Duration::from_secs(60);
/// A worker that lived for so long was well.
const WELL: Duration = Duration::from_secs(60);
/// How often the worker is looked at, should a signal be missed.
const LOOK: Duration = Duration::from_secs(1);
/// Exit code of a worker that has done its work, but for some inputs.
const SKIPPED: u8 = 3;
/// Workers that may die while the end is made.
const LAST_TRIES: u64 = 5;
/// A worker that opens its archive may have a long journal to read; one that takes longer hangs.
const OPENS: Duration = Duration::from_secs(300);
/// An end takes as long as emptying the rings and closing files does; a worker that takes longer hangs.
const ENDS: Duration = Duration::from_secs(40);
/// Time between looks at a worker that opens its archive.
const OPENING: Duration = Duration::from_millis(20);
/// Time between looks at who asks while there is no worker, and at a scorer that is tried.
const GLANCE: Duration = Duration::from_millis(100);
/// A line about a reload, or the death of a worker, is news again after so long.
const NEWS_RELOAD: Duration = Duration::from_secs(10);
const NEWS_DEATH: Duration = Duration::from_secs(30);
/// Who asks for the end again so much later cannot wait for it.
const IMPATIENT: Duration = Duration::from_secs(1);

/// The loader, once everything is in place.
pub(super) struct Loader {
    configuration: Configuration,
    user: Option<User>,
    start: Start,
    scorer: Option<ScorerPlan>,
    uploader: Option<Uploader>,
    listeners: Listeners,
    kept: Kept,
    /// Told that work goes on while there is no worker to do so.
    notifier: Notifier,
    began: Instant,
    stopping: Option<Stopping>,
    /// The configuration is to be read again.
    reload: bool,
    /// Values that are being tried.
    trial: Option<Trial>,
    /// What was in force before the last change.
    previous: Option<(Configuration, RunArgs, Option<ScorerPlan>)>,
    absence: Absence,
    /// What was said of reloads, and of workers that died.
    reloads: Repeats,
    deaths: Repeats,
}

/// The end has been asked for.
struct Stopping {
    /// Workers that had died before.
    before: u64,
    since: Instant,
    /// When the worker that runs was told.
    told: Instant,
    /// It was asked for again.
    at_once: bool,
}

/// The new values, but for those that a run keeps to its end.
fn in_force(next: &RunArgs, now: &RunArgs) -> RunArgs {
    RunArgs {
        baseline: next.baseline.clone(),
        backend: next.backend,
        adapter: next.adapter.clone(),
        alerts_per_day: next.alerts_per_day,
        rarer_than: next.rarer_than,
        rotate: next.rotate,
        rotate_bytes: next.rotate_bytes,
        keep_days: next.keep_days,
        max_bytes: next.max_bytes,
        ..now.clone()
    }
}

impl Loader {
    pub(super) fn new(
        configuration: Configuration,
        (user, scorer, uploader): (Option<User>, Option<ScorerPlan>, Option<Uploader>),
        start: Start,
        listeners: Listeners,
        kept: Kept,
    ) -> Self {
        Self {
            absence: Absence::at(&listeners),
            configuration,
            user,
            start,
            scorer,
            uploader,
            listeners,
            kept,
            notifier: Notifier::from_environment(),
            began: Instant::now(),
            stopping: None,
            reload: false,
            trial: None,
            previous: None,
            reloads: Repeats::after(NEWS_RELOAD),
            deaths: Repeats::after(NEWS_DEATH),
        }
    }

    /// Starts the worker as often as it dies.
    pub(super) async fn watch(mut self, mut child: Child, mut signals: Signals) -> Result<ExitCode> {
        let mut pause = SHORTEST;
        loop {
            let why = match self.live(&mut child, &mut signals).await? {
                End::Replaced => {
                    child = self.replace(&mut signals).await?;
                    continue;
                }
                End::Code(code) if self.is_last(code) => {
                    let counts = [self.reloads.end(), self.deaths.end()];
                    counts.iter().flatten().for_each(|line| say!("{line}"));
                    return Ok(ExitCode::from(code));
                }
                End::Code(code) => format!("at its end with exit code {code}"),
                End::Died(why) => why,
            };
            self.may_go_on(&why)?;
            let line = format!("warning: worker: it was {why}; another goes on");
            self.deaths.take(&line, Instant::now(), kernel::utc_now()).iter().for_each(|line| say!("{line}"));
            pause = if child.age() >= WELL { SHORTEST } else { pause.min(LONGEST) };
            child = self.another(&mut pause, &mut signals).await?;
        }
    }

    /// Whether nobody goes on after a worker that ended with this code. Whatever else ends one passes: a disk is full, an
    /// archive is elsewhere.
    fn is_last(&self, code: u8) -> bool {
        matches!(code, 0 | SKIPPED) || self.stopping.is_some() || self.is_over()
    }

    /// The time that was asked for is over.
    fn is_over(&self) -> bool {
        self.start.args.limit.is_some_and(|limit| self.began.elapsed() >= limit)
    }

    /// Its run is accounted for to the end.
    fn has_ended(&self) -> bool {
        self.desk().has_ended()
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.kept.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether another worker is worth trying after one that died; why it died, in words.
    fn may_go_on(&mut self, why: &str) -> Result<()> {
        if self.has_ended() {
            let learn = self.start.args.learn.is_some();
            let learn = if learn { "; nothing was learned: ebbline learn does it" } else { "" };
            anyhow::bail!(
                "worker: it was {why} after the last event: what is not in files yet is in the journal, for the next start{learn}"
            );
        }
        if self.is_over() && self.stopping.is_none() {
            self.stop();
        }
        self.start.restarts += 1;
        match &self.stopping {
            Some(stopping) if stopping.at_once => {
                anyhow::bail!("ended at once, as asked twice: the next start says what was not stored")
            }
            Some(stopping) if self.start.restarts >= stopping.before + LAST_TRIES => {
                anyhow::bail!("worker: it was {why}, and so were those before it")
            }
            _ => Ok(()),
        }
    }

    /// Another worker, as soon as one begins.
    async fn another(&mut self, pause: &mut Duration, signals: &mut Signals) -> Result<Child> {
        loop {
            self.absence.begins(*pause);
            self.wait(*pause, signals).await;
            *pause = (2 * *pause).min(LONGEST_UNBEGUN);
            match self.begin(signals).await {
                Ok(child) => return Ok(child),
                Err(error) => self.absence.failed(&format!("{error:#}")),
            }
            self.may_go_on("ended before it began")?;
        }
    }

    /// Starts a worker, unless it cannot begin. What signals ask for meanwhile is done afterwards.
    async fn begin(&mut self, signals: &mut Signals) -> Result<Child> {
        self.absence.tries();
        self.start.age = self.began.elapsed();
        self.start.scorer = self.scorer.as_ref().and_then(ScorerPlan::last);
        let note = self.desk().note().map(<[u8]>::to_vec);
        self.start.note = note;
        let mut child = Child::start(&self.start, &self.listeners, self.scorer.as_ref())?;
        while child.has_opened(Duration::ZERO)?.is_none() {
            if child.age() >= OPENS {
                child.kill("")?;
                anyhow::bail!("worker: it did not open the archive in {} s and was ended", OPENS.as_secs());
            }
            self.hear(signals, OPENING).await;
        }
        child.begin(&self.kept)?;
        self.absence.ends();
        if let Some(stopping) = &mut self.stopping {
            stopping.told = Instant::now();
            child.order(&Order::Stop);
        }
        Ok(child)
    }

    /// Lets some time pass while there is no worker that could say that work goes on.
    async fn hear(&mut self, signals: &mut Signals, time: Duration) {
        match signals.next(time).await {
            Some(Order::Stop) => self.stop(),
            Some(Order::Reload) => self.reload = true,
            _ => {}
        }
        self.notifier.alive();
        self.absence.tell(self.start.pid, &self.start.host, self.began.elapsed(), &self.listeners);
        self.tend();
    }

    /// The end is asked for, perhaps again.
    fn stop(&mut self) {
        let now = Instant::now();
        let before = self.start.restarts;
        let stopping = self.stopping.get_or_insert(Stopping { before, since: now, told: now, at_once: false });
        stopping.at_once |= stopping.since.elapsed() >= IMPATIENT;
    }

    fn tend(&mut self) {
        let now = Instant::now();
        [&mut self.reloads, &mut self.deaths]
            .into_iter()
            .filter_map(|said| said.rest(now))
            .for_each(|line| say!("{line}"));
        // Whoever asks for an end asks all of them: an uploader that heard it first needs no other.
        if let Some(uploader) = self.uploader.as_mut().filter(|_| self.stopping.is_none()) {
            uploader.tend();
        }
    }

    /// Passes signals on until the worker has ended.
    async fn live(&mut self, child: &mut Child, signals: &mut Signals) -> Result<End> {
        let folders: Vec<_> = self.folders().map(|folder| (folder.clone(), identity(folder))).collect();
        loop {
            // It may write to the folders that were there, not to those that took their places.
            let replaced = |(folder, was): &&(PathBuf, Option<_>)| {
                was.is_some() && identity(folder).is_some_and(|is| Some(is) != *was)
            };
            if let Some((folder, _)) = folders.iter().find(replaced) {
                return child.kill(&format!("ended, as {} is another folder now", folder.display()));
            }
            if let Some(end) = child.ended()? {
                return Ok(end);
            }
            if let Some(stopping) = &self.stopping {
                if stopping.at_once {
                    return child.kill("ended");
                }
                if stopping.told.elapsed() >= ENDS && !self.has_ended() {
                    return child.kill(&format!("ended, as it made no end in {} s", ENDS.as_secs()));
                }
            }
            self.tend();
            let asked = self.trial.is_none() && std::mem::take(&mut self.reload) && self.stopping.is_none();
            if (asked && self.reload()?) || self.tried() {
                // Nothing is lost with a worker that is killed: the next goes on where it was, by the new values.
                child.kill("")?;
                return Ok(End::Replaced);
            }
            match signals.next(if self.trial.is_some() { GLANCE } else { LOOK }).await {
                Some(Order::Stop) => {
                    self.stop();
                    child.order(&Order::Stop);
                }
                Some(Order::Reload) => self.reload = true,
                _ => {}
            }
        }
    }

    /// Folders that are written.
    fn folders(&self) -> impl Iterator<Item = &PathBuf> {
        std::iter::once(&self.start.args.archive).chain(&self.start.args.out)
    }

    /// Lets time pass. An end that is asked for meanwhile is made by the next worker.
    async fn wait(&mut self, pause: Duration, signals: &mut Signals) {
        let until = Instant::now() + pause;
        let asked = self.reload;
        // Who asks for a reload now wants it tried now.
        while self.stopping.is_none() && (asked || !self.reload) && Instant::now() < until {
            self.hear(signals, until.saturating_duration_since(Instant::now()).min(GLANCE)).await;
        }
    }
}

/// Which folder this is.
fn identity(folder: &Path) -> Option<(u64, u64)> {
    fs::metadata(folder).ok().map(|meta| (meta.dev(), meta.ino()))
}

pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
    child: Signal,
}

impl Signals {
    /// From now on.
    pub(super) fn catch() -> Result<Self> {
        let caught = |kind| signal(kind).context("signals");
        Ok(Self {
            interrupt: caught(SignalKind::interrupt())?,
            terminate: caught(SignalKind::terminate())?,
            hangup: caught(SignalKind::hangup())?,
            child: caught(SignalKind::child())?,
        })
    }

    /// What is wished by a signal within this time.
    async fn next(&mut self, within: Duration) -> Option<Order> {
        tokio::select! {
            _ = self.interrupt.recv() => Some(Order::Stop),
            _ = self.terminate.recv() => Some(Order::Stop),
            _ = self.hangup.recv() => Some(Order::Reload),
            _ = self.child.recv() => None,
            () = tokio::time::sleep(within) => None,
        }
    }
}
