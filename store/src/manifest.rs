//! `manifest.json`: what was run, when, on what, and what became of every input. The only place for facts that differ
//! between equal results.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{StoreError, one_line};
use crate::whole::{WholeFile, ensure_folder};

/// Older runs are dropped beyond this many.
const KEPT_RUNS: usize = 100;

/// All runs that wrote to a folder, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The runs.
    pub runs: Vec<Run>,
}

/// One run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// What ran, for example `score`.
    pub command: String,
    /// Start, RFC 3339, UTC.
    pub started: String,
    /// Wall time.
    pub wall_seconds: f64,
    /// Program version.
    pub version: String,
    /// Baseline id.
    pub baseline: String,
    /// `cpu` or `gpu`.
    pub backend: String,
    /// The device in words.
    pub device: String,
    /// Why this backend, when it was chosen by `auto`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub choice: Option<String>,
    /// Which rows were taken, if not all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// Units rarer than one in this many are findings.
    pub rarer_than: f64,
    /// False alerts a day that were asked for, if that drew the line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alerts_per_day: Option<f64>,
    /// False alerts a day that are expected, over all unit kinds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_per_day: Option<f64>,
    /// Units of each kind that are expected in a day.
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub units_per_day: std::collections::BTreeMap<String, f64>,
    /// Time of the first and the last row scored, RFC 3339, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// See `from`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// Findings of the seven days up to `until`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_7_days: Option<u64>,
    /// How well each host is known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<HostState>,
    /// Rows scored.
    pub rows: u64,
    /// Findings written.
    pub findings: u64,
    /// Cumulative counters of the work, by stage, where it was done.
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub work: std::collections::BTreeMap<String, u64>,
    /// Inputs that were scored.
    pub inputs_done: Vec<InputDone>,
    /// Inputs that were not, and why.
    pub inputs_skipped: Vec<InputSkipped>,
    /// Inputs of a long live run beyond those listed, done and skipped.
    #[serde(default, skip_serializing_if = "Unlisted::is_none")]
    pub inputs_unlisted: Unlisted,
}

/// How many earlier inputs a run does not list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unlisted {
    /// Scored.
    pub done: u64,
    /// Not scored.
    pub skipped: u64,
}

impl Unlisted {
    fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// How well a host that was scored is known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostState {
    /// Its name.
    pub host: String,
    /// On how many days the baseline learned something from it.
    pub days: u64,
    /// `learning day 2 of 7`, or `settled`.
    pub state: String,
    /// Units over the line that are not reported, as nothing says how rare they are.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub held_back: u64,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// An input that was scored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputDone {
    /// Path relative to the archive.
    pub path: String,
    /// Its table.
    pub table: String,
    /// Its rows.
    pub rows: u64,
}

/// An input that was not scored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputSkipped {
    /// Path as given.
    pub path: String,
    /// One line.
    pub reason: String,
}

impl Run {
    /// Inputs of each sort that a run without end lists.
    const LISTED: usize = 1_000;

    /// Lists an input that was scored; of many, the last ones are listed and the others counted.
    pub fn list_done(&mut self, input: InputDone) {
        self.inputs_unlisted.done += push_last(&mut self.inputs_done, input);
    }

    /// Lists an input that was not scored, in the same way.
    pub fn list_skipped(&mut self, input: InputSkipped) {
        self.inputs_unlisted.skipped += push_last(&mut self.inputs_skipped, input);
    }
}

/// Keeps the last [`Run::LISTED`]; returns how many fell out.
fn push_last<T>(list: &mut Vec<T>, item: T) -> u64 {
    list.push(item);
    let surplus = list.len().saturating_sub(Run::LISTED);
    list.drain(..surplus);
    surplus as u64
}

impl Manifest {
    /// The manifest of the folder `out`; an empty one if there is none yet.
    ///
    /// # Errors
    /// When it is unreadable or not a manifest.
    pub fn load(out: &Path) -> Result<Self, StoreError> {
        let path = path_of(out);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(StoreError::read(&path, &error)),
        };
        serde_json::from_slice(&text).map_err(|e| StoreError::damaged(&path, format!("not a manifest: {e}")))
    }

    /// Adds a run to the manifest of `out`.
    ///
    /// # Errors
    /// As [`Manifest::load`], or [`StoreError::Write`].
    pub fn append(out: &Path, run: Run) -> Result<(), StoreError> {
        let mut manifest = Self::load(out)?;
        manifest.runs.push(run);
        let surplus = manifest.runs.len().saturating_sub(KEPT_RUNS);
        manifest.runs.drain(..surplus);
        manifest.save(out)
    }

    fn save(&self, out: &Path) -> Result<(), StoreError> {
        ensure_folder(out)?;
        let path = path_of(out);
        let text = serde_json::to_string_pretty(self)
            .map_err(|e| StoreError::Write { path: path.clone(), why: one_line(&e.to_string()) })?;
        let write = || {
            let mut whole = WholeFile::replace(&path)?;
            whole.write_all(text.as_bytes())?;
            whole.write_all(b"\n")?;
            whole.commit()
        };
        write().map(|_| ()).map_err(|e| StoreError::write(&path, &e))
    }
}

fn path_of(out: &Path) -> PathBuf {
    out.join("manifest.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_run_lists_its_last_inputs() {
        let mut run = Run::default();
        for rows in 0..1_002 {
            run.list_done(InputDone { path: String::new(), table: String::new(), rows });
        }
        run.list_skipped(InputSkipped { path: "x".to_owned(), reason: "y".to_owned() });
        assert_eq!((run.inputs_done.len(), run.inputs_done[0].rows), (1_000, 2));
        assert_eq!(run.inputs_unlisted, Unlisted { done: 2, skipped: 0 });
    }
}
