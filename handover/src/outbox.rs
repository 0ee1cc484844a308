//! What is to be sent to one target, what it has, and what could not be handed over.
//!
//! ```text
//! needs ─▶ queue (written, durable) ─▶ next ─▶ the receiver ─▶ sent or dead (written)
//! ```
//! A process that is killed between any two of these has lost nothing: what was not entered as sent is sent again, under the
//! same id.

mod log;
mod state;

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::error::HandoverError;
use crate::message::{Draft, Parcel, Version};
use crate::target::Target;
use log::{Line, Log, Span};
use state::{FORMAT, State};

/// Messages that may wait; further incidents wait where they are.
const ROOM_MESSAGES: usize = 1_000;
/// Bytes that may wait.
const ROOM_BYTES: u64 = 64 << 20;
/// The log is written anew when so many bytes of it are of no more use, and they are the larger part.
const STALE_BYTES: u64 = 1 << 20;
/// After so many answers that were no, a message lets others go first.
const PATIENCE: u32 = 3;

/// A message that could not be handed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dead {
    pub(crate) version: Version,
    /// Why not.
    pub why: String,
    /// When it was given up, nanoseconds.
    pub at: i64,
    /// Title of the incident.
    pub title: String,
}

impl Dead {
    /// Id of the delivery.
    #[must_use]
    pub fn delivery(&self) -> &str {
        &self.version.delivery
    }
}

/// The outbox of one target, for this process alone.
pub struct Outbox {
    state: State,
    log: Log,
    target: String,
    _lock: File,
}

impl Outbox {
    /// Opens, or makes, that of a target in a folder of results, for the findings of one baseline or of all.
    ///
    /// # Errors
    /// [`HandoverError::Busy`] if another process has it, [`HandoverError::Write`] if it cannot be had.
    pub fn open(out: &Path, target: &Target, baseline: Option<&str>) -> Result<Self, HandoverError> {
        let folder = folder(out, target, baseline);
        make_folders(out, &folder)?;
        let lock = lock(&folder.join("lock"), target)?;
        let path = folder.join("log");
        let mut state = State::default();
        let log = Log::open(&path, |line, span| state.apply(line, span));
        let log = log.map_err(|error| HandoverError::write(&path, &error))?;
        if state.later {
            return Err(HandoverError::Later(path));
        }
        let mut outbox = Self { state, log, target: target.shown().to_owned(), _lock: lock };
        if outbox.log.end == 0 {
            outbox.write(vec![outbox.begun()])?;
        }
        outbox.tidy()?;
        Ok(outbox)
    }

    /// Whether the receiver needs an incident with these findings: not if it has it, will have it, or cannot have it, and nothing
    /// came to it since.
    #[must_use]
    pub fn needs(&self, incident: &str, findings: &[String]) -> bool {
        self.state.needs(incident, &Version::of(incident, findings)).is_some()
    }

    /// How many more messages may wait.
    #[must_use]
    pub fn room(&self) -> usize {
        let bytes: u64 = self.state.queued.values().map(|queued| queued.span.bytes).sum();
        if bytes < ROOM_BYTES { ROOM_MESSAGES.saturating_sub(self.state.queued.len()) } else { 0 }
    }

    /// Writes down what is to be sent, durably. What the receiver does not need is passed over.
    ///
    /// # Errors
    /// [`HandoverError::Write`]; then none of them is queued.
    pub fn queue(&mut self, drafts: &[Draft]) -> Result<(), HandoverError> {
        let at = now();
        let line = |draft: &Draft| {
            let event = self.state.needs(&draft.incident, &draft.version)?;
            let (incident, version, body) = (draft.incident.clone(), draft.version.clone(), draft.body(event));
            Some(Line::Queued { incident, version, event, at, body })
        };
        let lines: Vec<Line> = drafts.iter().filter_map(line).collect();
        self.write(lines)?;
        self.sync()
    }

    /// The messages that are to be sent next, in the order in which they were queued; those that the receiver refused for now
    /// let others go first.
    pub(crate) fn next(&self, most: usize) -> Result<Vec<Parcel>, HandoverError> {
        let parcel = |span| match self.log.get(span)? {
            Line::Queued { incident, version, event, at, body } => {
                Ok(Parcel { incident, delivery: version.delivery, event, at, body })
            }
            _ => Err(log::changed()),
        };
        let spans = self.state.in_order(PATIENCE).into_iter().take(most).map(|queued| queued.span);
        let parcels: io::Result<Vec<Parcel>> = spans.map(parcel).collect();
        parcels.map_err(|error| HandoverError::read(&self.log.path, &error))
    }

    /// Enters that the receiver has them.
    pub(crate) fn sent(&mut self, parcels: &[Parcel]) -> Result<(), HandoverError> {
        let line =
            |parcel: &Parcel| Line::Sent { incident: parcel.incident.clone(), delivery: parcel.delivery.clone() };
        self.write(parcels.iter().map(line).collect())
    }

    /// Enters that they cannot be handed over.
    pub(crate) fn dead(&mut self, parcels: &[Parcel], why: &str) -> Result<(), HandoverError> {
        let at = now();
        let line = |parcel: &Parcel| {
            let version = self.state.queued.get(&parcel.incident)?.version.clone();
            let dead = Dead { version, why: why.to_owned(), at, title: parcel.title() };
            Some(Line::Dead { incident: parcel.incident.clone(), dead })
        };
        let lines = parcels.iter().filter_map(line).collect();
        self.write(lines)?;
        self.sync()
    }

    /// The receiver is there, and does not take them for now.
    pub(crate) fn refused(&mut self, parcels: &[Parcel]) {
        for parcel in parcels {
            if let Some(queued) = self.state.queued.get_mut(&parcel.incident) {
                queued.refused += 1;
            }
        }
    }

    /// Forgets that messages could not be handed over: their incidents, as they are now, are needed again. Returns how many.
    ///
    /// # Errors
    /// [`HandoverError::Write`].
    pub fn again(&mut self) -> Result<usize, HandoverError> {
        let lines: Vec<Line> =
            self.state.dead.keys().map(|incident| Line::Again { incident: incident.clone() }).collect();
        let number = lines.len();
        self.write(lines)?;
        self.sync()?;
        Ok(number)
    }

    /// Messages that wait, and such as could not be handed over.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        (self.state.queued.len(), self.state.dead.len())
    }

    /// Ids of what waits.
    pub(crate) fn deliveries(&self) -> impl Iterator<Item = &str> {
        self.state.queued.values().map(|queued| queued.version.delivery.as_str())
    }

    /// Durable also if the machine dies; a log that is mostly stale is written anew.
    pub(crate) fn rest(&mut self) -> Result<(), HandoverError> {
        self.sync()?;
        self.tidy()
    }

    fn begun(&self) -> Line {
        Line::Begun { format: FORMAT, target: self.target.clone() }
    }

    fn write(&mut self, lines: Vec<Line>) -> Result<(), HandoverError> {
        let spans = self.log.append(&lines).map_err(|error| HandoverError::write(&self.log.path, &error))?;
        lines.into_iter().zip(spans).for_each(|(line, span)| self.state.apply(line, span));
        Ok(())
    }

    fn sync(&self) -> Result<(), HandoverError> {
        self.log.sync().map_err(|error| HandoverError::write(&self.log.path, &error))
    }

    fn tidy(&mut self) -> Result<(), HandoverError> {
        if self.state.stale < STALE_BYTES || self.state.stale < self.log.end / 2 {
            return Ok(());
        }
        self.rewrite().map_err(|error| HandoverError::write(&self.log.path, &error))
    }

    /// A line for what the receiver has of each incident, one for what could not be handed over, and what waits as it stands.
    fn rewrite(&mut self) -> io::Result<()> {
        let known = |(incident, version): (&String, &Version)| Line::Known {
            incident: incident.clone(),
            version: version.clone(),
        };
        let dead = |(incident, dead): (&String, &Dead)| Line::Dead { incident: incident.clone(), dead: dead.clone() };
        let lines = std::iter::once(self.begun());
        let lines = lines.chain(self.state.known.iter().map(known)).chain(self.state.dead.iter().map(dead));
        let waiting: Vec<Span> = self.state.in_order(u32::MAX).into_iter().map(|queued| queued.span).collect();
        let waiting = waiting.into_iter().map(|span| self.log.get(span));
        self.log.replace(lines.map(Ok).chain(waiting))?;
        let mut state = State::default();
        self.log = Log::open(&self.log.path, |line, span| state.apply(line, span))?;
        self.state = state;
        Ok(())
    }
}

/// What could not be handed over to a target, the last first, by incident. Another process may be handing over.
///
/// # Errors
/// [`HandoverError::Read`] if its state cannot be read.
pub fn dead_letters(out: &Path, target: &Target, baseline: Option<&str>) -> Result<Vec<(String, Dead)>, HandoverError> {
    let path = folder(out, target, baseline).join("log");
    let mut state = State::default();
    let read = Log::look(&path, |line, span| state.apply(line, span));
    read.map_err(|error| HandoverError::read(&path, &error))?;
    let mut dead: Vec<_> = state.dead.into_iter().collect();
    dead.sort_by(|a, b| b.1.at.cmp(&a.1.at).then_with(|| a.0.cmp(&b.0)));
    Ok(dead)
}

fn folder(out: &Path, target: &Target, baseline: Option<&str>) -> PathBuf {
    out.join("incidents").join("handover").join(target.state_name(baseline))
}

/// Those below `out`, for us alone: what waits has arguments and addresses in it.
fn make_folders(out: &Path, folder: &Path) -> Result<(), HandoverError> {
    let parts = [(out.join("incidents"), 0o750), (out.join("incidents/handover"), 0o700), (folder.into(), 0o700)];
    for (folder, mode) in parts {
        match DirBuilder::new().mode(mode).create(&folder) {
            Ok(()) => log::sync_folder(&folder).map_err(|error| HandoverError::write(&folder, &error))?,
            Err(_) if folder.is_dir() => {}
            Err(error) => return Err(HandoverError::write(&folder, &error)),
        }
    }
    Ok(())
}

/// One process at a time: two would send the same.
fn lock(path: &Path, target: &Target) -> Result<File, HandoverError> {
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
    let file = file.map_err(|error| HandoverError::write(path, &error))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(_) => Err(HandoverError::Busy { target: target.shown().to_owned() }),
    }
}

fn now() -> i64 {
    i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
