//! Progress on standard error: a bar on a terminal, lines that matter everywhere.

use std::time::Duration;

use archive::Progress;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::words::visible;

/// A bar with rows per second; nothing is drawn where standard error is not a terminal.
pub(crate) struct Bar(ProgressBar);

impl Bar {
    pub(crate) fn new() -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        let style = "{msg:12} {wide_bar} {human_pos} of {human_len} rows, {per_sec}, {eta} left";
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        Self(bar)
    }

    pub(crate) fn done(&self) {
        self.0.finish_and_clear();
    }

    fn line(&self, text: &str) {
        self.0.suspend(|| eprintln!("{}", visible(text)));
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.done();
    }
}

impl Progress for Bar {
    fn total(&self, rows: u64) {
        self.0.set_length(rows);
        self.0.set_position(0);
    }

    fn advance(&self, rows: u64) {
        self.0.inc(rows);
    }

    fn stage(&self, name: &str) {
        if self.0.message() != name {
            self.0.set_message(name.to_owned());
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
