//! How far a benchmark is, on standard error.

use std::fmt::Write;
use std::time::Duration;

use bench::{LeftOut, Watch};
use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use crate::words::visible;

/// A bar of steps with the time left; nothing is drawn where standard error is no terminal.
pub(super) struct Steps {
    bar: ProgressBar,
}

impl Steps {
    pub(super) fn new(time: Duration) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{bar:12} {wide_msg} at most {most} left") {
            bar.set_style(style.with_key("most", move |state: &ProgressState, out: &mut dyn Write| {
                let left = HumanDuration(time.saturating_sub(state.elapsed()));
                let _ = write!(out, "{left}"); // a line that is drawn again at once
            }));
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar }
    }
}

impl Watch for Steps {
    fn begin(&self, what: &str, done: usize, of: usize) {
        self.bar.set_length(of as u64);
        self.bar.set_position(done as u64);
        self.bar.set_message(visible(what));
    }

    fn left_out(&self, left_out: &LeftOut) {
        let LeftOut { device, what, why } = left_out;
        self.bar.suspend(|| eprintln!("{}", visible(&format!("left out: {device}: {what}: {why}"))));
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
