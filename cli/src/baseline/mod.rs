//! `ebbline baseline …`, and loading for the other commands.

pub(crate) mod args;
mod change;
mod normal;
mod show;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use model::{Baseline, BaselineError, Dismissal};

use self::args::BaselineCommand;
use crate::words::inline;

/// Runs a command; true if inputs were skipped.
pub(crate) fn run(command: BaselineCommand) -> Result<bool> {
    match command {
        BaselineCommand::Show(args) => show::run(&args),
        BaselineCommand::Common(args) => normal::common(&args),
        BaselineCommand::Diff(args) => normal::diff(&args),
        BaselineCommand::Merge(args) => change::merge(&args),
        BaselineCommand::Forget(args) => change::forget(&args),
        BaselineCommand::Compile(args) => change::compile(&args),
    }?;
    Ok(false)
}

/// The UTC day, counted from 1970.
pub(crate) fn today() -> i32 {
    model::segment::day_of(store::utc_now())
}

/// Loads a baseline as it counts on a day: without the dismissals that do not, which is said.
pub(crate) fn current(path: &Path, day: i32) -> Result<Baseline> {
    let (baseline, over) = model::ops::expire(load(path)?, day)?;
    let Some(Dismissal { said, .. }) = over.first() else { return Ok(baseline) };
    let more = match over.len() - 1 {
        0 => String::new(),
        n => format!(" and {n} more"),
    };
    eprintln!(
        "note: {}: without the dismissal of incident {} by {} ({} to {}){more}, as of {} this is baseline {}",
        path.display(),
        inline(&said.incident),
        inline(&said.owner),
        store::day_text(said.at),
        model::days::day_text(said.until),
        model::days::day_text(day),
        baseline.id()
    );
    Ok(baseline)
}

/// A file that a baseline is read from, and the id that it has before.
pub(crate) struct Original {
    path: PathBuf,
    id: String,
}

impl Original {
    /// To be asked before the file is read. What is wrong with it, reading it says.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        Some(Self { path: std::fs::canonicalize(path).ok()?, id: Baseline::id_of(path).ok()? })
    }
}

/// Writes a baseline. In the place of one that it was made from only if nobody else changed that meanwhile.
pub(crate) fn save(baseline: &Baseline, out: &Path, originals: &[Original]) -> Result<()> {
    let there = std::fs::canonicalize(out).ok();
    let over = originals.iter().find(|original| Some(&original.path) == there.as_ref());
    let saved = over.map_or_else(|| baseline.save(out), |original| baseline.save_over(out, &original.id));
    saved.context("cannot write")
}

/// Loads a baseline.
pub(crate) fn load(path: &Path) -> Result<Baseline> {
    Baseline::load(path).map_err(|error| {
        let make = "make one with: ebbline learn SOURCE --out";
        let hint = match &error {
            BaselineError::Missing { .. } => format!("; {make} {}", path.display()),
            BaselineError::Version { .. } => {
                format!(", or make another with: ebbline learn SOURCE --out {}", path.display())
            }
            // What is no baseline is somebody's: nothing is to be written over it.
            BaselineError::Truncated { place, .. } if place == "header" => {
                format!("; too short for a baseline: name a file that `ebbline learn` wrote, or {make} NEW.baseline")
            }
            BaselineError::Damaged { .. } | BaselineError::Truncated { .. } => {
                format!("; take a copy of it, or make another with: ebbline learn SOURCE --out {}", path.display())
            }
            _ => format!("; name a file that `ebbline learn` wrote, or {make} NEW.baseline"),
        };
        anyhow::anyhow!("cannot use baseline: {error}{hint}")
    })
}
