//! Progress on standard error: a bar on a terminal, lines that matter everywhere.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use archive::Progress;
use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use model::Line;

use crate::words::{plural, visible};

/// How often findings so far are counted; that goes over all units.
const COUNTED_EVERY: Duration = Duration::from_secs(2);

/// A bar with rows and bytes per second, the time left and findings so far; nothing is drawn where standard error is not a
/// terminal.
pub(crate) struct Bar {
    bar: ProgressBar,
    started: Instant,
    /// Bytes of the files, and those done.
    bytes: (AtomicU64, AtomicU64),
    /// The line that findings are over, log2 in 1/1024, if it is known before the end.
    line: Option<u16>,
    /// When units were counted last, and how many.
    found: Mutex<Option<(Instant, usize)>>,
}

impl Bar {
    pub(crate) fn new() -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        let style = "{prefix:12} {wide_bar} {human_pos} of {human_len} rows, {per_sec}{msg}, {eta} left";
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        let (bytes, found) = Default::default();
        Self { bar, started: Instant::now(), bytes, line: None, found }
    }

    /// One that counts findings. How many alerts a day are wanted draws the line at the end only: until then those are counted
    /// that are rarer than one in a thousand.
    pub(crate) fn with_findings(line: Line) -> Self {
        let rarer_than = if let Line::RarerThan(n) = line { n } else { 1000.0 };
        let mut this = Self::new();
        this.line = Some((rarer_than.log2() * 1024.0).ceil().clamp(0.0, f64::from(u16::MAX)) as u16);
        this
    }

    fn show(&self) {
        let (all, done) = (self.bytes.0.load(Relaxed), self.bytes.1.load(Relaxed));
        let seconds = self.started.elapsed().as_secs_f64().max(0.001);
        let bytes =
            if all == 0 { String::new() } else { format!(", {}/s", HumanBytes((done as f64 / seconds) as u64)) };
        let found = *self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let found =
            found.map_or_else(String::new, |(_, n)| format!(", {}", plural(n as u64, "rare unit", "rare units")));
        self.bar.set_message(format!("{bytes}{found}"));
    }

    pub(crate) fn done(&self) {
        self.bar.finish_and_clear();
    }

    fn line(&self, text: &str) {
        self.bar.suspend(|| eprintln!("{}", visible(text)));
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.done();
    }
}

impl Progress for Bar {
    fn total(&self, rows: u64) {
        self.bar.set_length(rows);
        self.bar.set_position(0);
    }

    fn advance(&self, rows: u64) {
        self.bar.inc(rows);
    }

    fn total_bytes(&self, bytes: u64) {
        self.bytes.0.store(bytes, Relaxed);
    }

    fn advance_bytes(&self, bytes: u64) {
        self.bytes.1.fetch_add(bytes, Relaxed);
        self.show();
    }

    fn units(&self, over: &dyn Fn(u16) -> usize) {
        let Some(line) = self.line.filter(|_| !self.bar.is_hidden()) else { return };
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if found.is_none_or(|(at, _)| at.elapsed() > COUNTED_EVERY) {
            *found = Some((Instant::now(), over(line)));
            drop(found);
            self.show();
        }
    }

    fn stage(&self, name: &str) {
        if self.bar.prefix() != name {
            self.bar.set_prefix(name.to_owned());
        }
    }

    fn skipped(&self, path: &str, reason: &str) {
        // The reason names the file in most cases; saying it twice helps nobody.
        if reason.contains(path) {
            self.line(&format!("skipped: {reason}"));
        } else {
            self.line(&format!("skipped: {path}: {reason}"));
        }
    }

    fn note(&self, text: &str) {
        self.line(&format!("backend {text}"));
    }
}
