//! What the lines of a log come to.

use std::collections::HashMap;

use super::log::{Line, Span};
use crate::message::{Event, Version};
use crate::outbox::Dead;

/// Format of the log.
pub(super) const FORMAT: u32 = 1;

/// A message that waits.
#[derive(Debug, Clone)]
pub(super) struct Queued {
    pub(super) version: Version,
    pub(super) order: u64,
    pub(super) span: Span,
    /// Answers that were no, in the life of this process.
    pub(super) refused: u32,
}

/// By incident: what the receiver has, what waits, what could not be handed over.
#[derive(Default)]
pub(super) struct State {
    pub(super) known: HashMap<String, Version>,
    pub(super) queued: HashMap<String, Queued>,
    pub(super) dead: HashMap<String, Dead>,
    /// Messages that were ever queued in this log.
    orders: u64,
    /// A later version of Ebbline wrote it.
    pub(super) later: bool,
    /// Bytes of messages that wait no longer.
    pub(super) stale: u64,
}

impl State {
    pub(super) fn apply(&mut self, line: Line, span: Span) {
        match line {
            Line::Begun { format, .. } => self.later = format > FORMAT,
            Line::Queued { incident, version, .. } => self.queue(incident, version, span),
            Line::Sent { incident, delivery } => {
                if let Some(queued) = self.take(&incident, &delivery) {
                    self.known.insert(incident, queued.version);
                }
            }
            Line::Dead { incident, dead } => {
                let _ = self.take(&incident, &dead.version.delivery);
                self.dead.insert(incident, dead);
            }
            Line::Known { incident, version } => drop(self.known.insert(incident, version)),
            Line::Again { incident } => drop(self.dead.remove(&incident)),
        }
    }

    /// A later version takes the place of what waits, and of what was given up.
    fn queue(&mut self, incident: String, version: Version, span: Span) {
        self.orders += 1;
        let before = self.queued.remove(&incident);
        self.stale += before.as_ref().map_or(0, |before| before.span.bytes);
        let order = before.map_or(self.orders, |before| before.order);
        self.dead.remove(&incident);
        self.queued.insert(incident, Queued { version, order, span, refused: 0 });
    }

    /// What waits under this id, if it still does.
    fn take(&mut self, incident: &str, delivery: &str) -> Option<Queued> {
        if self.queued.get(incident)?.version.delivery != delivery {
            return None;
        }
        let queued = self.queued.remove(incident)?;
        self.stale += queued.span.bytes;
        Some(queued)
    }

    /// What this version is for the receiver; `None` if there is nothing in it that was not in the last one.
    pub(super) fn needs(&self, incident: &str, version: &Version) -> Option<Event> {
        let known = self.known.get(incident);
        let queued = self.queued.get(incident).map(|queued| &queued.version);
        let dead = self.dead.get(incident).map(|dead| &dead.version);
        let last = queued.or(dead).or(known);
        let event = if known.is_some() { Event::Grown } else { Event::New };
        last.is_none_or(|last| version.adds_to(last)).then_some(event)
    }

    /// Incidents whose messages wait, the first first; after so many refusals one lets the others go before it.
    pub(super) fn in_order(&self, patience: u32) -> Vec<&Queued> {
        let mut waiting: Vec<&Queued> = self.queued.values().collect();
        waiting.sort_unstable_by_key(|queued| (queued.refused / patience, queued.order));
        waiting
    }
}
