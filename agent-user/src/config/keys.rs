//! The keys of the configuration file. A key stands for a flag of `run`, which has the meaning, the default and the check.

use super::Effect;
use crate::cli::RunArgs;
use clap::{Arg, Args, Command};

/// A key of the file.
#[derive(Debug)]
pub struct Key {
    /// Its section.
    pub section: &'static str,
    /// Its name there.
    pub name: &'static str,
    /// The field of [`RunArgs`] it sets, which is also clap's name of the flag.
    pub field: &'static str,
    /// How it is written.
    pub form: Form,
    /// What the printed file shows for it.
    pub shown: Shown,
    /// What has to happen before another value counts.
    pub effect: Effect,
}

/// How a value is written in TOML.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A string.
    Text,
    /// A number.
    Number,
    /// A number, or a string: sizes with a unit, ports.
    Amount,
    /// `true` or `false`.
    Switch,
    /// A table of strings.
    Pairs,
}

impl Form {
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Text => "a string",
            Self::Number => "a number",
            Self::Amount => "a number or a string",
            Self::Switch => "true or false",
            Self::Pairs => "a table of strings",
        }
    }
}

/// What the printed file shows for a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// The flag's default, as a comment.
    Default,
    /// There is no default: an example, as a comment.
    Example(&'static str),
    /// A value that an installed agent should have, which a run by hand should not.
    Set(&'static str),
}

/// A section and what it is about.
pub(super) const SECTIONS: &[(&str, &str)] = &[
    ("archive", "What is written, and how long it stays."),
    ("capture", "What is watched."),
    ("score", "How odd each row is, said while it is captured. Without a baseline nothing is scored."),
    ("process", "Whose rights are used."),
    ("status", "Who may ask how it goes. Counts only, never events."),
    ("upload", "Copies of closed files, somewhere else. Without `to` nothing leaves this machine."),
];

const fn key(
    (section, name, field): (&'static str, &'static str, &'static str),
    form: Form,
    shown: Shown,
    effect: Effect,
) -> Key {
    Key { section, name, field, form, shown, effect }
}

/// Every key, in the order of the printed file.
#[rustfmt::skip]
pub static KEYS: &[Key] = {
    use {Effect::*, Form::*, Shown::*};
    &[
        key(("archive", "path", "archive"), Text, Default, Restart),
        key(("archive", "host", "host"), Text, Example(r#""web1""#), Restart),
        key(("archive", "rotate_seconds", "rotate"), Number, Default, Rotate),
        key(("archive", "rotate_bytes", "rotate_bytes"), Amount, Default, Rotate),
        key(("archive", "keep_days", "keep_days"), Number, Set("90"), Space),
        key(("archive", "max_bytes", "max_bytes"), Amount, Set(r#""10G""#), Space),
        key(("archive", "sync_seconds", "sync"), Number, Default, Restart),
        key(("capture", "cgroup", "cgroup"), Text, Example(r#""/sys/fs/cgroup/system.slice""#), Restart),
        key(("capture", "rate_limit", "rate_limit"), Number, Default, Restart),
        key(("capture", "calls", "calls"), Switch, Default, Restart),
        key(("capture", "ring_size", "ring_size"), Amount, Example(r#""8M""#), Restart),
        key(("capture", "lifecycle_ring_size", "lifecycle_ring_size"), Amount, Example(r#""8M""#), Restart),
        key(("score", "baseline", "baseline"), Text, Example(r#""/var/lib/ebbline/normal.baseline""#), Scorer),
        key(("score", "out", "out"), Text, Example(r#""/var/lib/ebbline/scored""#), Restart),
        key(("score", "backend", "backend"), Text, Default, Scorer),
        key(("score", "adapter", "adapter"), Text, Example(r#""NVIDIA""#), Scorer),
        key(("score", "alerts_per_day", "alerts_per_day"), Number, Default, Scorer),
        key(("score", "rarer_than", "rarer_than"), Number, Example("1000"), Scorer),
        key(("process", "user", "user"), Text, Default, Restart),
        key(("process", "pin", "pin"), Text, Default, Restart),
        key(("status", "socket", "status_socket"), Text, Default, Restart),
        key(("status", "metrics", "metrics"), Amount, Example("9464"), Restart),
        key(("upload", "to", "upload"), Text, Example(r#""s3://bucket/ebbline""#), Upload),
        key(("upload", "delete", "upload_delete"), Switch, Default, Upload),
        key(("upload", "every_seconds", "upload_every"), Number, Default, Upload),
        key(("upload", "limit", "upload_limit"), Amount, Example(r#""1M""#), Upload),
        key(("upload", "options", "upload_option"), Pairs, Example(r#"{ region = "eu-central-1" }"#), Upload),
    ]
};

/// The flags of `run`.
pub(super) fn flags() -> Command {
    RunArgs::augment_args(Command::new("run").no_binary_name(true))
}

impl Key {
    /// `section.name`.
    #[must_use]
    pub fn path(&self) -> String {
        format!("{}.{}", self.section, self.name)
    }

    /// Its flag.
    ///
    /// # Panics
    /// Never: a test looks for every one.
    pub(super) fn flag(&self, flags: &Command) -> Arg {
        flags.get_arguments().find(|flag| flag.get_id() == self.field).expect("a key stands for a flag").clone()
    }

    /// The argument that gives this value.
    pub(super) fn argument(&self, flags: &Command, value: &str) -> String {
        let flag = self.flag(flags);
        format!("--{}={value}", flag.get_long().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What belongs to one run, not to a machine.
    const FLAGS_ONLY: &[&str] = &["config", "no_calls", "learn", "limit", "json", "btf", "try_outside", "try_panic"];

    #[test]
    fn every_flag_is_a_key_or_belongs_to_one_run() {
        let flags = flags();
        let mut fields: Vec<&str> = KEYS.iter().map(|key| key.field).chain(FLAGS_ONLY.iter().copied()).collect();
        let mut found: Vec<&str> = flags.get_arguments().map(|flag| flag.get_id().as_str()).collect();
        fields.sort_unstable();
        found.sort_unstable();
        assert_eq!(fields, found);
    }

    #[test]
    fn every_key_is_in_a_section_of_the_printed_file_and_sections_are_whole() {
        let sections: Vec<&str> = SECTIONS.iter().map(|(name, _)| *name).collect();
        let mut used: Vec<&str> = KEYS.iter().map(|key| key.section).collect();
        used.dedup();
        assert_eq!(used, sections);
    }
}
