//! What the engine's crates have to say, on standard error.

use log::{LevelFilter, Log, Metadata, Record};

struct Lines;

impl Log for Lines {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let text = record.args().to_string();
        let level = record.level().as_str().to_lowercase();
        eprintln!("{level}: {}", text.split_whitespace().collect::<Vec<_>>().join(" "));
    }

    fn flush(&self) {}
}

/// Prints everything from information up if `verbose`, else nothing: what matters is told by who asked for it.
pub(crate) fn start(verbose: bool) {
    let level = if verbose { LevelFilter::Info } else { LevelFilter::Off };
    if log::set_logger(&Lines).is_ok() {
        log::set_max_level(level);
    }
}
