//! What changes when the configuration is read again: what can be done while running, and what waits for a restart.

use super::{Configuration, Form, KEYS, Key};
use std::ffi::OsString;

/// What has to happen before another value counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// The scorer starts again.
    Scorer,
    /// Later files are closed by the new rule.
    Rotate,
    /// The archive is kept small by the new rule.
    Space,
    /// The uploader starts again.
    Upload,
    /// The agent must start again.
    Restart,
}

/// A value that is another one now.
#[derive(Debug, Clone, Copy)]
pub struct Change {
    /// Its key.
    pub key: &'static Key,
}

/// The difference between two configurations.
#[derive(Debug, Default)]
pub struct Reloaded {
    changes: Vec<(Change, String)>,
    rewritten: bool,
}

impl Configuration {
    /// What is different in `next`.
    #[must_use]
    pub fn changes_to(&self, next: &Self) -> Reloaded {
        let changed = KEYS.iter().zip(&self.values).zip(&next.values).filter(|((_, old), new)| old != new);
        let changes = changed.map(|((key, old), new)| (Change { key }, words(key, old, new))).collect();
        let same_path = self.args.baseline == next.args.baseline;
        Reloaded { changes, rewritten: same_path && self.baseline != next.baseline }
    }
}

/// Options of a store, and passwords in its address, are not said.
fn words(key: &Key, old: &[OsString], new: &[OsString]) -> String {
    let text = |values: &[OsString]| match values {
        [] => "unset".to_owned(),
        [value] if key.effect == Effect::Upload => store::shown_url(&value.to_string_lossy()),
        [value] => value.to_string_lossy().into_owned(),
        several => format!("{} values", several.len()),
    };
    match key.form {
        Form::Pairs => format!("{} changed", key.path()),
        _ => format!("{}: {} instead of {}", key.path(), text(new), text(old)),
    }
}

impl Reloaded {
    /// Whether this has to happen.
    #[must_use]
    pub fn touches(&self, effect: Effect) -> bool {
        self.changes().any(|change| change.key.effect == effect) || (effect == Effect::Scorer && self.rewritten)
    }

    /// Every value that is another one.
    pub fn changes(&self) -> impl Iterator<Item = Change> {
        self.changes.iter().map(|(change, _)| *change)
    }

    /// A line for each change, those that wait for a restart last and saying so.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let waits = |change: &Change| change.key.effect == Effect::Restart;
        let now = self.changes.iter().filter(|(change, _)| !waits(change)).map(|(_, words)| words.clone());
        let later = self.changes.iter().filter(|(change, _)| waits(change));
        let later = later.map(|(_, words)| format!("{words}; takes effect when the agent is restarted"));
        let rewritten = self.rewritten.then(|| "score.baseline: the file was written again".to_owned());
        now.chain(rewritten).chain(later).collect()
    }
}
