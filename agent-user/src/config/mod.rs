//! The configuration: flags of `run` over a TOML file over defaults.

mod file;
mod keys;
mod print;
mod reload;
#[cfg(test)]
mod tests;

pub use keys::{Form, KEYS, Key, Shown};
pub use print::{markdown, toml};
pub use reload::{Change, Effect, Reloaded};

use crate::cli::{RunArgs, named};
use clap::{ArgMatches, FromArgMatches, error::ErrorKind, parser::ValueSource};
use std::{
    ffi::OsString,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// Read if it is there and `--config` names no other.
pub const DEFAULT_FILE: &str = "/etc/ebbline/agent.toml";

/// Where something stands in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub path: PathBuf,
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}", self.path.display(), self.line, self.column)
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read configuration: {}: {why}; name another with --config", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Reason in words.
        why: String,
    },
    /// Something in the file is wrong.
    #[error("{what}: {place}: {why}")]
    Wrong {
        /// What kind of mistake.
        what: &'static str,
        /// Where.
        place: Place,
        /// What, and what to write instead.
        why: String,
    },
    /// The flags contradict each other or the file; it knows how to say so and how to end.
    #[error(transparent)]
    Usage(#[from] Box<clap::Error>),
}

/// What a run goes by.
#[derive(Debug)]
pub struct Configuration {
    /// Every value, from the flags, the file or the defaults.
    pub args: RunArgs,
    /// The file it was read from.
    pub file: Option<PathBuf>,
    line: Vec<OsString>,
    /// Of each of [`KEYS`].
    values: Vec<Vec<OsString>>,
    /// The baseline as it is now.
    baseline: Option<Stamp>,
}

/// Device, inode, size and time of a file: another if it was written since.
type Stamp = (u64, u64, u64, i64, i64);

impl Configuration {
    /// Reads the configuration for a command line, from behind the word `run`.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn load(line: impl IntoIterator<Item = OsString>) -> Result<Self, ConfigError> {
        Self::load_with(line.into_iter().collect(), Path::new(DEFAULT_FILE))
    }

    fn load_with(line: Vec<OsString>, default_file: &Path) -> Result<Self, ConfigError> {
        let flags = keys::flags();
        let given = flags.clone().try_get_matches_from(&line).map_err(Box::new)?;
        let file = match given.get_one::<PathBuf>("config") {
            Some(path) => named(path).map(Path::to_path_buf),
            // Asked for nothing: only what is there counts.
            None => default_file.exists().then(|| default_file.to_path_buf()),
        };
        let mut whole = Vec::new();
        for (key, values) in file.as_deref().map(file::read).transpose()?.unwrap_or_default() {
            if !is_given(&given, key.field) {
                whole.extend(values.iter().map(|value| OsString::from(key.argument(&flags, value))));
            }
        }
        whole.extend(line.iter().cloned());
        let matches = flags.clone().try_get_matches_from(whole).map_err(Box::new)?;
        let args = RunArgs::from_arg_matches(&matches).map_err(Box::new)?;
        if is_given(&given, "out") && args.baseline.is_none() {
            let error = flags.clone().error(ErrorKind::MissingRequiredArgument, "--out needs --baseline");
            return Err(Box::new(error).into());
        }
        // Not clap's to say: a key of the file is checked by its flag alone.
        let both = ["alerts_per_day", "rarer_than"].map(|field| matches.value_source(field));
        if both == [Some(ValueSource::CommandLine); 2] {
            let why = "--alerts-per-day and --rarer-than draw the same line: give one of them";
            return Err(Box::new(flags.clone().error(ErrorKind::ArgumentConflict, why)).into());
        }
        let raw = |key: &Key| matches.get_raw(key.field).map(|raw| raw.map(ToOwned::to_owned).collect());
        let values = KEYS.iter().map(|key| raw(key).unwrap_or_default()).collect();
        Ok(Self { baseline: args.baseline.as_deref().and_then(stamp), args, file, line, values })
    }

    /// Reads it again, for the same command line.
    ///
    /// # Errors
    /// See [`ConfigError`]; the one in force stays.
    pub fn again(&self) -> Result<Self, ConfigError> {
        let default_file = self.file.clone().unwrap_or_else(|| DEFAULT_FILE.into());
        Self::load_with(self.line.clone(), &default_file)
    }
}

/// Whether the command line has this flag, or one that stands for it.
fn is_given(matches: &ArgMatches, field: &str) -> bool {
    let given = |field: &str| matches.value_source(field) == Some(ValueSource::CommandLine);
    let instead = match field {
        "calls" => matches.get_flag("no_calls"),
        // Two ways to draw one line.
        "alerts_per_day" => given("rarer_than"),
        "rarer_than" => given("alerts_per_day"),
        _ => false,
    };
    given(field) || instead
}

fn stamp(path: &Path) -> Option<Stamp> {
    let meta = std::fs::metadata(path).ok()?;
    Some((meta.dev(), meta.ino(), meta.len(), meta.mtime(), meta.mtime_nsec()))
}

/// Checks a file.
///
/// # Errors
/// See [`ConfigError`].
pub fn check(path: &Path) -> Result<(), ConfigError> {
    file::read(path).map(drop)
}
