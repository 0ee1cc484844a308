//! The time without a worker: why there is none, said once and then counted, and said to whoever asks.

use ebbline_agent_user::{
    error::one_line,
    kernel,
    repeat::Repeats,
    say,
    status::{Status, excuse::Excuse, serve::Listeners},
};
use std::time::{Duration, Instant};

/// A worker that begins soon answers by itself.
const SOON: Duration = Duration::from_secs(2);
/// The same cause after so long is another.
const QUIET: Duration = Duration::from_secs(3600);

/// See above. It begins when a worker is gone, and ends when another has begun.
pub(super) struct Absence {
    excuse: Excuse,
    since: Option<Instant>,
    /// Why no worker began, the last time one was tried.
    why: Option<String>,
    next: Option<Instant>,
    causes: Repeats,
}

impl Absence {
    pub(super) fn at(listeners: &Listeners) -> Self {
        Self { excuse: Excuse::at(listeners), since: None, why: None, next: None, causes: Repeats::after(QUIET) }
    }

    /// There is no worker from now on, or still none; the next is tried after a pause.
    pub(super) fn begins(&mut self, pause: Duration) {
        let now = Instant::now();
        self.since.get_or_insert(now);
        self.next = Some(now + pause);
    }

    /// A worker is being tried.
    pub(super) fn tries(&mut self) {
        self.since.get_or_insert_with(Instant::now);
        self.next = None;
    }

    /// It could not begin.
    pub(super) fn failed(&mut self, why: &str) {
        let why = format!("the worker cannot begin: {}", one_line(why));
        let line = format!("warning: {why}; it is tried again, each time a little later");
        let lines = self.causes.take(&line, Instant::now(), kernel::utc_now());
        lines.iter().for_each(|line| say!("{line}"));
        self.why = Some(why);
    }

    /// A worker has begun.
    pub(super) fn ends(&mut self) {
        if self.why.take().is_some() {
            self.causes.end().into_iter().for_each(|line| say!("{line}"));
            say!("the worker has begun");
        }
        (self.since, self.next) = (None, None);
    }

    /// Answers whoever asks meanwhile.
    pub(super) fn tell(&mut self, pid: u32, host: &str, age: Duration, listeners: &Listeners) {
        let Some(since) = self.since else { return };
        if self.why.is_none() && since.elapsed() < SOON {
            return;
        }
        let why = self.why.as_deref().unwrap_or("there is no worker");
        let then = match self.next.map(|next| next.saturating_duration_since(Instant::now()).as_secs()) {
            Some(seconds) => format!("next try in {} s", seconds + 1),
            None => "another begins now".to_owned(),
        };
        self.excuse.answer(&Status {
            time: kernel::utc_text(kernel::utc_now()),
            uptime_s: age.as_secs_f64(),
            agent_version: env!("CARGO_PKG_VERSION").into(),
            host: host.to_owned(),
            pid,
            metrics: listeners.metrics().map(|address| address.to_string()),
            no_worker: Some(format!("{why}; {then}")),
            ..Status::default()
        });
    }
}
