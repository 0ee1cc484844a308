//! Progress on standard error: a bar on a terminal, lines that matter everywhere.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use archive::Progress;
use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use model::Line;

use crate::words::{plural, visible};

/// How often findings so far are counted; that goes over all units.
const COUNTED_EVERY: Duration = Duration::from_secs(2);

/// A bar with rows and bytes per second, the time left and findings so far; nothing is drawn where standard error is not a
/// terminal.
pub(crate) struct Bar {
    bar: ProgressBar,
    bytes: Arc<Bytes>,
    /// The line that findings are over, log2 in 1/1024, if it is known before the end.
    line: Option<u16>,
    /// When units were counted last, and how many.
    found: Mutex<Option<(Instant, usize)>>,
}

/// Bytes of the files.
#[derive(Default)]
struct Bytes {
    all: AtomicU64,
    done: AtomicU64,
}

impl Bytes {
    /// Rows a second and, where bytes are known, those. A file is done at its end, so rows tell bytes, too, if they are known.
    fn rates(&self, state: &ProgressState, out: &mut dyn Write) -> std::fmt::Result {
        write!(out, "{}/s", HumanCount(state.per_sec() as u64))?;
        let (all, done) = (self.all.load(Relaxed), self.done.load(Relaxed));
        let bytes = match state.len() {
            Some(rows) if rows > 0 => all as f64 * (state.pos() as f64 / rows as f64).min(1.0),
            _ => done as f64,
        };
        match all {
            0 => Ok(()),
            _ => write!(out, ", {}/s", HumanBytes((bytes / state.elapsed().as_secs_f64().max(0.001)) as u64)),
        }
    }
}

impl Bar {
    pub(crate) fn new() -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        let style = "{prefix:12} {wide_bar} {human_pos} of {human_len} rows, {rates}{msg}, {eta} left";
        let bytes = Arc::new(Bytes::default());
        if let Ok(style) = ProgressStyle::with_template(style) {
            let bytes = Arc::clone(&bytes);
            bar.set_style(style.with_key("rates", move |state: &ProgressState, out: &mut dyn Write| {
                let _ = bytes.rates(state, out); // a line that is drawn again at once
            }));
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar, bytes, line: None, found: Mutex::default() }
    }

    /// One that counts findings. How many alerts a day are wanted draws the line at the end only: until then those are counted
    /// that are rarer than one in a thousand.
    pub(crate) fn with_findings(line: Line) -> Self {
        let rarer_than = if let Line::RarerThan(n) = line { n } else { 1000.0 };
        let mut this = Self::new();
        this.line = Some((rarer_than.log2() * 1024.0).ceil().clamp(0.0, f64::from(u16::MAX)) as u16);
        this
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
        self.bar.reset(); // each pass over the rows has its own rates
    }

    fn advance(&self, rows: u64) {
        self.bar.inc(rows);
    }

    fn total_bytes(&self, bytes: u64) {
        self.bytes.all.store(bytes, Relaxed);
    }

    fn advance_bytes(&self, bytes: u64) {
        self.bytes.done.fetch_add(bytes, Relaxed);
    }

    fn units(&self, over: &dyn Fn(u16) -> usize) {
        let Some(line) = self.line.filter(|_| !self.bar.is_hidden()) else { return };
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if found.is_none_or(|(at, _)| at.elapsed() > COUNTED_EVERY) {
            let count = over(line);
            *found = Some((Instant::now(), count));
            self.bar.set_message(format!(", {}", plural(count as u64, "rare unit", "rare units")));
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

    fn passed_over(&self, text: &str) {
        self.line(text);
    }

    fn note(&self, text: &str) {
        self.line(&format!("backend {text}"));
    }
}
