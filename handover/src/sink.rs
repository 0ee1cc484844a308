//! What speaks to a receiver.

mod lines;
mod stream;
mod syslog;
mod webhook;

use std::collections::BTreeSet;
use std::time::Duration;

use crate::error::HandoverError;
use crate::message::Parcel;
use crate::settings::Settings;
use crate::target::{Place, Target};
use crate::words::{cut, inline};

/// Of what a receiver or a library says of a failure, so many bytes are told.
const WHY_BYTES: usize = 400;

/// What a failure says of the next attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Again {
    /// The receiver cannot be reached, or asks for time.
    Later,
    /// It is there, and does not take this message for now.
    Refused,
    /// It will never take this message.
    Never,
}

/// Why a message was not handed over, as far as is known.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) why: String,
    pub(crate) again: Again,
    /// How long the receiver wants to be left alone.
    pub(crate) after: Option<Duration>,
}

impl Failure {
    pub(crate) fn new(again: Again, why: &str) -> Self {
        let line: Vec<&str> = why.split_whitespace().collect();
        Self { why: cut(&inline(&line.join(" ")), WHY_BYTES), again, after: None }
    }

    pub(crate) fn later(why: &str) -> Self {
        Self::new(Again::Later, why)
    }
}

/// A way to a receiver.
pub(crate) trait Sink: Send {
    /// How many messages are confirmed together.
    fn at_once(&self) -> usize {
        1
    }

    /// Sends messages; when it is well the receiver has all of them, else it may have any.
    fn send(&mut self, parcels: &[Parcel]) -> Result<(), Failure>;

    /// Called once, after a run that may have been killed: which of those that wait does the receiver have? The first was perhaps
    /// on its way.
    fn resume(&mut self, _first: &Parcel, _waiting: &BTreeSet<&str>) -> Result<BTreeSet<String>, Failure> {
        Ok(BTreeSet::new())
    }
}

/// The way to a target; nothing is sent.
pub(crate) fn open(target: &Target, settings: &Settings) -> Result<Box<dyn Sink>, HandoverError> {
    let wait = settings.timeout;
    let wrong = |why: String| HandoverError::Target { shown: target.shown().to_owned(), why };
    Ok(match &target.place {
        Place::Webhook(url) => Box::new(webhook::Webhook::new(url.clone(), settings).map_err(wrong)?),
        Place::Udp { host, port } => Box::new(syslog::Datagrams::udp(host, *port)),
        Place::Unix(path) => Box::new(syslog::Datagrams::unix(path)),
        Place::Tcp { host, port } => Box::new(stream::Stream::tcp(host, *port, wait)),
        Place::Tls { host, port } => Box::new(stream::Stream::tls(host, *port, wait).map_err(wrong)?),
        Place::Lines(path) => Box::new(lines::Lines::new(path)),
        Place::Output => Box::new(lines::Output),
    })
}
