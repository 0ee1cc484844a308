//! Reading the configuration again: what can be tried is tried before anything is let go.

use super::super::{child::ScorerPlan, scorer_plan, uploader::Uploader};
use super::{Loader, in_force};
use crate::loader::child::Child;
use anyhow::{Context, Result};
use ebbline_agent_user::{
    cli::RunArgs,
    config::{Configuration, Effect, Reloaded},
    error::one_line,
    kernel, say,
    scoring::{self, OwnProcess},
};
use std::{
    sync::mpsc::{Receiver, TryRecvError, channel},
    time::Instant,
};

/// Values that are asked for.
pub(super) struct Wished {
    next: Configuration,
    changes: Reloaded,
    args: RunArgs,
    scorer: Option<ScorerPlan>,
}

/// Values whose scorer is being tried, beside the one that runs.
pub(super) struct Trial {
    wished: Wished,
    outcome: Receiver<Result<(), String>>,
}

impl Trial {
    /// In a thread, as a baseline may be large: signals are heard meanwhile.
    fn start(wished: Wished, plan: &ScorerPlan, settings: scoring::Settings) -> Result<Self> {
        let (tell, outcome) = channel();
        let starter = Box::new(OwnProcess::default().confined(plan.plan.clone()));
        // The scorer ends with this thread.
        let work = move || drop(tell.send(scoring::attempt(settings, starter)));
        std::thread::Builder::new().name("trial".into()).spawn(work).context("cannot start: a thread")?;
        Ok(Self { wished, outcome })
    }
}

impl Loader {
    /// Reads the configuration again. Whether a worker must begin by it; if a scorer must be tried first, not yet.
    pub(super) fn reload(&mut self) -> Result<bool> {
        let wished = match self.wished() {
            Ok(wished) => wished,
            Err(error) => {
                self.refuse(&format!("{error:#}"));
                return Ok(false);
            }
        };
        // One that is as it was when it was opened can be opened again.
        let settings = scoring::Settings::of(&wished.args).filter(|_| wished.changes.touches(Effect::Scorer));
        Ok(match wished.scorer.clone().zip(settings) {
            Some((plan, settings)) => {
                self.trial = Some(Trial::start(wished, &plan, settings)?);
                false
            }
            None => self.adopt(wished),
        })
    }

    fn wished(&self) -> Result<Wished> {
        let next = self.configuration.again()?;
        let changes = self.configuration.changes_to(&next);
        let args = in_force(&next.args, &self.start.args);
        let last = self.scorer.as_ref().map(|scorer| scorer.last.clone()).unwrap_or_default();
        let scorer = scorer_plan(&args, self.user.as_ref(), last)?;
        Ok(Wished { next, changes, args, scorer })
    }

    /// Once a trial is over. Whether a worker must begin by what was tried.
    pub(super) fn tried(&mut self) -> bool {
        let outcome = match self.trial.as_ref().map(|trial| trial.outcome.try_recv()) {
            None | Some(Err(TryRecvError::Empty)) => return false,
            Some(Err(TryRecvError::Disconnected)) => Err("scorer: its trial ended by a defect".into()),
            Some(Ok(outcome)) => outcome,
        };
        match (self.trial.take(), outcome) {
            (Some(trial), Ok(())) => self.adopt(trial.wished),
            (_, Err(why)) => {
                self.refuse(&why);
                false
            }
            (None, Ok(())) => false,
        }
    }

    fn refuse(&mut self, why: &str) {
        self.say_again(&format!("warning: not reloaded: {}; the values before stay in force", one_line(why)));
    }

    /// Says a line about a reload. Who asks over and over is told once, and then how often.
    fn say_again(&mut self, line: &str) {
        let lines = self.reloads.take(line, Instant::now(), kernel::utc_now());
        lines.iter().for_each(|line| say!("{line}"));
    }

    /// Goes by these values from now on. Whether a worker must begin by them.
    fn adopt(&mut self, wished: Wished) -> bool {
        let worker = wished.needs_worker();
        let Wished { next, changes, args, scorer } = wished;
        changes.lines().iter().for_each(|line| say!("reloaded: {}", one_line(line)));
        if changes.lines().is_empty() {
            self.say_again("reloaded: nothing has changed");
        }
        if changes.touches(Effect::Upload) {
            self.uploader = None;
            self.uploader = Uploader::wanted(&next.args, self.user.as_ref());
        }
        let before = std::mem::replace(&mut self.configuration, next);
        if worker {
            args.closed_sooner().into_iter().for_each(|line| say!("warning: {line}"));
            let args = std::mem::replace(&mut self.start.args, args);
            self.previous = Some((before, args, std::mem::replace(&mut self.scorer, scorer)));
        }
        worker
    }

    /// Another worker, by the new values; by those before if it cannot begin by them.
    pub(super) async fn replace(&mut self, signals: &mut super::Signals) -> Result<Child> {
        // What is asked for must be had; what was there and is gone must not end capture.
        self.start.lenient = false;
        let begun = self.begin(signals).await;
        self.start.lenient = true;
        let error = match begun {
            Ok(child) => return Ok(child),
            Err(error) => error,
        };
        self.refuse(&format!("{error:#}"));
        if let Some((configuration, args, scorer)) = self.previous.take() {
            (self.configuration, self.start.args, self.scorer) = (configuration, args, scorer);
        }
        let mut pause = super::SHORTEST;
        self.another(&mut pause, signals).await
    }
}

impl Wished {
    /// Whether something changes that the worker or the scorer goes by.
    fn needs_worker(&self) -> bool {
        [Effect::Scorer, Effect::Rotate, Effect::Space].into_iter().any(|effect| self.changes.touches(effect))
    }
}
