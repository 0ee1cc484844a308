//! Takes what waits in an outbox to its receiver, again and again.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::error::HandoverError;
use crate::message::{Draft, Parcel};
use crate::outbox::Outbox;
use crate::retry::pause;
use crate::settings::Settings;
use crate::sink::{self, Again, Failure, Sink};
use crate::stop::Stop;
use crate::target::Target;

/// What became of the messages of one target.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Where they go, without secrets.
    pub target: String,
    /// Name of its state.
    pub state: String,
    /// Handed over by this process.
    pub sent: u64,
    /// Waiting.
    pub queued: usize,
    /// Could not be handed over, by this process or one before.
    pub dead: usize,
    /// Those of them that this process gave up.
    pub given_up: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// Why the last of them did.
    pub trouble: Option<String>,
}

/// One target, its outbox and the way to it.
pub struct Courier {
    outbox: Outbox,
    sink: Box<dyn Sink>,
    settings: Settings,
    report: Report,
    /// Failures in a row.
    failures: u32,
    /// The receiver is left alone until then.
    rests_until: Instant,
    /// What a run before this one left was looked at.
    resumed: bool,
    chance: fn(u32) -> u32,
}

impl Courier {
    /// For a target, in a folder of results, of the findings of one baseline or of all. Nothing is sent.
    ///
    /// # Errors
    /// Another process hands over to it, its state cannot be had, or nothing can be sent to such a target.
    pub fn open(
        out: &Path,
        target: &Target,
        baseline: Option<&str>,
        settings: Settings,
    ) -> Result<Self, HandoverError> {
        let sink = sink::open(target, &settings)?;
        let outbox = Outbox::open(out, target, baseline)?;
        let (target, state) = (target.shown().to_owned(), target.state_name(baseline));
        let report = Report { target, state, ..Report::default() };
        let chance = |failures| RandomState::new().hash_one(failures) as u32;
        let rests_until = Instant::now();
        Ok(Self { outbox, sink, settings, report, failures: 0, rests_until, resumed: false, chance })
    }

    /// Its outbox.
    #[must_use]
    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// Writes down what is to be sent. See [`Outbox::queue`].
    ///
    /// # Errors
    /// [`HandoverError::Write`].
    pub fn queue(&mut self, drafts: &[Draft]) -> Result<(), HandoverError> {
        self.resume()?; // before anything takes the place of what was on its way
        self.outbox.queue(drafts)
    }

    /// Has what could not be handed over tried again. See [`Outbox::again`].
    ///
    /// # Errors
    /// [`HandoverError::Write`].
    pub fn again(&mut self) -> Result<usize, HandoverError> {
        self.outbox.again()
    }

    /// What became of the messages so far.
    #[must_use]
    pub fn report(&self) -> Report {
        let (queued, dead) = self.outbox.counts();
        Report { queued, dead, ..self.report.clone() }
    }

    /// Sends what waits, until nothing does, it is told to stop, or that time comes; without a time until as many attempts in a
    /// row have failed as the settings say.
    ///
    /// # Errors
    /// The outbox cannot be read or written. A receiver that fails is no error.
    pub fn deliver(&mut self, until: Option<Instant>, stop: &Stop) -> Result<(), HandoverError> {
        self.resume()?;
        if until.is_none() {
            self.failures = 0;
        }
        while !stop.is_set() {
            let parcels = self.outbox.next(self.sink.at_once())?;
            if parcels.is_empty() {
                break;
            }
            if until.is_some_and(|until| self.rests_until >= until) || !stop.rest(self.rests_until) {
                break;
            }
            match self.sink.send(&parcels) {
                Ok(()) => self.sent(&parcels)?,
                Err(failure) => self.failed(&parcels, failure)?,
            }
            if until.is_none() && self.failures >= self.settings.attempts {
                break;
            }
        }
        self.outbox.rest()
    }

    /// Asks the receiver, where it can be asked, what it has of what a run before this one left.
    fn resume(&mut self) -> Result<(), HandoverError> {
        let first = if self.resumed { None } else { self.outbox.next(1)?.pop() };
        let Some(first) = first else {
            self.resumed = true;
            return Ok(());
        };
        let waiting: BTreeSet<&str> = self.outbox.deliveries().collect();
        // Who cannot be asked now cannot be sent to either, and is asked later.
        let Ok(there) = self.sink.resume(&first, &waiting) else { return Ok(()) };
        self.resumed = true;
        let parcels = self.outbox.next(usize::MAX)?;
        let there: Vec<Parcel> = parcels.into_iter().filter(|parcel| there.contains(&parcel.delivery)).collect();
        self.outbox.sent(&there)
    }

    fn sent(&mut self, parcels: &[Parcel]) -> Result<(), HandoverError> {
        self.failures = 0;
        self.report.sent += parcels.len() as u64;
        self.outbox.sent(parcels)
    }

    fn failed(&mut self, parcels: &[Parcel], failure: Failure) -> Result<(), HandoverError> {
        self.report.failed += 1;
        self.report.trouble = Some(failure.why.clone());
        if failure.again == Again::Never {
            self.failures = 0; // it answers
            return self.give_up(parcels, &failure.why);
        }
        self.failures = self.failures.saturating_add(1);
        self.rests_until = Instant::now() + pause(self.failures, (self.chance)(self.failures), failure.after);
        if failure.again == Again::Refused {
            self.outbox.refused(parcels);
        }
        let limit = self.settings.give_up_after;
        let late: Vec<Parcel> = parcels.iter().filter(|parcel| age(parcel) >= limit).cloned().collect();
        let why = format!("{}; not handed over for {} s", failure.why, limit.as_secs());
        self.give_up(&late, &why)
    }

    fn give_up(&mut self, parcels: &[Parcel], why: &str) -> Result<(), HandoverError> {
        if parcels.is_empty() {
            return Ok(());
        }
        self.report.given_up += parcels.len() as u64;
        self.outbox.dead(parcels, why)
    }
}

/// How long ago it was written down.
fn age(parcel: &Parcel) -> Duration {
    let now = jiff::Timestamp::now().as_nanosecond();
    Duration::from_nanos(u64::try_from(now - i128::from(parcel.at)).unwrap_or(0))
}

#[cfg(test)]
mod tests;
