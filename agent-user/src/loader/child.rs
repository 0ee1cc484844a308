//! A worker, seen from its loader.

use super::Kept;
use crate::orders::{Order, Scorer, Start, Word};
use anyhow::{Context, Result};
use ebbline_agent_user::{
    channel::{Channel, ChannelError},
    error::one_line,
    facts,
    sandbox::Plan,
    say,
    scoring::{OwnProcess, Starter},
    status::serve::Listeners,
    upload::without_credentials,
};
use std::{
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::process::{CommandExt, ExitStatusExt},
    },
    process::{self, Command, ExitStatus, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

/// A worker that takes nothing for so long will not do better.
const PATIENCE: Duration = Duration::from_secs(30);
/// A worker may be long in wanting a scorer.
const BETWEEN: Duration = Duration::from_secs(3600);
/// A worker that has closed its channel ends within this time.
const ENDING: Duration = Duration::from_secs(1);
/// The exit code of a Rust program that panicked.
const PANICKED: i32 = 101;

/// How a worker ended.
pub(super) enum End {
    /// With an exit code, having said what was to say.
    Code(u8),
    /// Otherwise; how, in words.
    Died(String),
    /// It was killed so that another begins by other values.
    Replaced,
}

impl End {
    fn of(status: ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(PANICKED), _) => Self::Died("ended by a defect".into()),
            (Some(code), _) => Self::Code(u8::try_from(code).unwrap_or(1)),
            (None, signal) => Self::Died(format!("killed by signal {}", signal.unwrap_or(0))),
        }
    }
}

/// What a scorer keeps, and the process id of the one that was started last; 0 if there was none.
#[derive(Clone)]
pub(super) struct ScorerPlan {
    pub(super) plan: Plan,
    pub(super) last: Arc<AtomicU32>,
}

impl ScorerPlan {
    pub(super) fn last(&self) -> Option<u32> {
        Some(self.last.load(Ordering::Acquire)).filter(|process| *process != 0)
    }
}

/// A worker; it does not outlive this.
pub(super) struct Child {
    process: process::Child,
    control: Channel,
    /// Where it asks, until somebody answers.
    asked: Option<(Channel, Channel)>,
    began: Instant,
}

impl Child {
    /// Starts one from this program's own file, even if there is a newer one by its name.
    pub(super) fn start(start: &Start, listeners: &Listeners, scorer: Option<&ScorerPlan>) -> Result<Self> {
        let pair = || Channel::pair().context("cannot start: worker");
        let ((control, theirs), (facts, asks), (digests, asks_digests)) = (pair()?, pair()?, pair()?);
        let (scorers, asks_scorers) = pair()?;
        let mut command = Command::new("/proc/self/exe");
        without_credentials(&mut command);
        command.arg0("ebbline-agent").arg("worker").stdin(Stdio::from(OwnedFd::from(theirs)));
        let process = command.spawn().context("cannot start: worker")?;
        let (socket, metrics) = listeners.sockets();
        let lent: Vec<BorrowedFd<'_>> =
            [Some(asks.as_fd()), Some(asks_digests.as_fd()), Some(asks_scorers.as_fd()), socket, metrics]
                .into_iter()
                .flatten()
                .collect();
        let child = Self { process, control, asked: Some((facts, digests)), began: Instant::now() };
        if let Some(ScorerPlan { plan, last }) = scorer.cloned() {
            serve("scorers", move || scorers_for(&scorers, OwnProcess::default().confined(plan), &last))?;
        }
        match child.control.send(start, &lent, PATIENCE) {
            // How it ended is seen by whoever waits for it.
            Ok(()) | Err(ChannelError::Gone) => Ok(child),
            Err(error) => Err(error).context("cannot start: worker"),
        }
    }

    /// Whether it has opened the archive; nothing as long as it neither has nor ended.
    ///
    /// # Errors
    /// Why it cannot begin.
    pub(super) fn has_opened(&mut self, patience: Duration) -> Result<Option<()>> {
        match self.control.receive::<Word>(patience) {
            Ok((Word::Open, _)) => Ok(Some(())),
            Ok((Word::Failed(why), _)) => anyhow::bail!(one_line(&why)),
            Err(ChannelError::Late) => Ok(None),
            Err(_) => anyhow::bail!("worker: it {}", self.last_words()),
        }
    }

    /// How it ended; one that has nothing to say and lives is ended.
    fn last_words(&mut self) -> String {
        let asked = Instant::now();
        while asked.elapsed() < ENDING && matches!(self.process.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = self.process.kill(); // it may have ended
        match self.process.wait().map(End::of) {
            Ok(End::Code(code)) => format!("ended with exit code {code}"),
            Ok(End::Died(how)) => format!("was {how}"),
            Ok(End::Replaced) | Err(_) => "ended".into(),
        }
    }

    /// Gives it the rings, and answers from now on.
    pub(super) fn begin(&mut self, kept: &Kept) -> Result<()> {
        if let Some((questions, images)) = self.asked.take() {
            let desk = kept.desk.clone();
            serve("facts", move || facts::serve(&questions, &desk))?;
            serve("images", move || facts::serve_digests(images))?;
        }
        let (lent, rings) = kept.rings.all.iter().map(|(ring, size)| (ring.as_fd(), *size)).unzip::<_, _, Vec<_>, _>();
        let begin = Order::Begin { hooks: kept.hooks, refused: kept.refused.clone(), rings };
        self.control.send(&begin, &lent, PATIENCE).context("cannot start: worker")
    }

    /// Tells it something. If it cannot hear, it ends.
    pub(super) fn order(&self, order: &Order) {
        let _ = self.control.send(order, &[], PATIENCE);
    }

    /// How long it has lived.
    pub(super) fn age(&self) -> Duration {
        self.began.elapsed()
    }

    /// How it ended, if it has.
    pub(super) fn ended(&mut self) -> Result<Option<End>> {
        Ok(self.process.try_wait().context("cannot wait: worker")?.map(End::of))
    }

    /// Ends it at once; why, in words.
    pub(super) fn kill(&mut self, why: &str) -> Result<End> {
        self.process.kill().and_then(|()| self.process.wait()).context("cannot end: worker")?;
        Ok(End::Died(why.into()))
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !matches!(self.process.try_wait(), Ok(Some(_))) {
            let _ = self.process.kill();
            let _ = self.process.wait();
        }
    }
}

/// Starts and ends scorers for a worker. They are this thread's children: they end with it, as it does with the worker.
fn scorers_for(channel: &Channel, mut starter: OwnProcess, last: &AtomicU32) -> Result<(), ChannelError> {
    loop {
        let wish = match channel.receive::<Scorer>(BETWEEN) {
            Ok((wish, _)) => wish,
            Err(ChannelError::Late) => continue,
            Err(ChannelError::Gone) => return Ok(()),
            Err(error) => return Err(error),
        };
        match wish {
            Scorer::Start => match starter.start() {
                Ok(socket) => {
                    last.store(starter.id().unwrap_or(0), Ordering::Release);
                    channel.send(&String::new(), &[socket.as_fd()], PATIENCE)?;
                }
                Err(error) => channel.send(&error.to_string(), &[], PATIENCE)?,
            },
            Scorer::Stop(patience) => channel.send(&starter.stop(patience), &[], PATIENCE)?,
        }
    }
}

/// Answers in a thread until there is nobody to answer.
fn serve(name: &str, work: impl FnOnce() -> Result<(), ChannelError> + Send + 'static) -> Result<()> {
    let named = name.to_owned();
    let work = move || {
        if let Err(error) = work() {
            say!("warning: {named}: {}; the worker has no more answers", one_line(&error.to_string()));
        }
    };
    std::thread::Builder::new().name(name.into()).spawn(work).map(drop).context("cannot start: a thread")
}
