//! Publishes the status: says it on standard output or error, and shows it to whoever reads the socket or the page.

use super::{
    Status,
    serve::{Listeners, Published, Server},
    speaker::Speaker,
};
use crate::notify::Notifier;
use std::{
    io::{self, IsTerminal},
    time::Duration,
};

/// A reader of the last line that stalls is waited for this long.
const LAST_LINE: Duration = Duration::from_secs(10);
/// Back to the start of the line, which is emptied.
const AGAIN: &str = "\r\x1b[2K";

/// Who reads the lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Voice {
    /// A program, on standard output.
    Json,
    /// A person, on standard error.
    Terminal,
    /// A log: standard error elsewhere.
    Log,
}

/// A running publisher.
pub(crate) struct Publisher {
    voice: Voice,
    speaker: Speaker,
    server: Option<Server>,
    notifier: Notifier,
}

impl Publisher {
    /// Starts the threads, with a first status for whoever is there already.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub(crate) fn start(json: bool, listeners: Listeners, notifier: Notifier, first: Status) -> io::Result<Self> {
        let voice = match json {
            true => Voice::Json,
            false if io::stderr().is_terminal() => Voice::Terminal,
            false => Voice::Log,
        };
        let speaker = if json { Speaker::start(io::stdout()) } else { Speaker::start(io::stderr()) }?;
        let server = Server::start(listeners, Published::now(first))?;
        Ok(Self { voice, speaker, server, notifier })
    }

    /// Says that hooks are in place; people hear it once.
    pub(crate) fn ready(&self, first: bool) {
        self.notifier.ready();
        if !first {
            return;
        }
        self.speaker.say(if self.voice == Voice::Json { "{\"ready\":true}\n" } else { "ready\n" }.into());
    }

    /// Publishes how it goes.
    pub(crate) fn publish(&self, status: Status) {
        self.notifier.alive();
        let published = Published::now(status);
        match self.voice {
            Voice::Json => self.speaker.say(published.line.clone()),
            Voice::Terminal => self.speaker.say(format!("{AGAIN}{}", published.status.line())),
            Voice::Log => {}
        }
        if let Some(server) = &self.server {
            server.show(published);
        }
    }

    /// Publishes how it ended. Returns when that is said, or its readers had their time.
    pub(crate) fn last(self, status: Status) {
        let published = Published::now(status);
        let text = match self.voice {
            Voice::Json => published.line.clone(),
            Voice::Terminal => format!("{AGAIN}{}\n", published.status.line()),
            Voice::Log => published.status.line() + "\n",
        };
        if let Some(server) = &self.server {
            server.show(published);
        }
        self.speaker.last(text, LAST_LINE);
    }
}
