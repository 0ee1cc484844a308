//! `ebbline baseline …`, and loading for the other commands.

pub(crate) mod args;
mod change;
mod normal;
mod show;

use std::path::Path;

use anyhow::Result;
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

/// Loads a baseline as it counts on a day: without the dismissals that are over, which is said.
pub(crate) fn current(path: &Path, day: i32) -> Result<Baseline> {
    let (baseline, over) = model::ops::expire(load(path)?, day)?;
    for Dismissal { said, .. } in &over {
        eprintln!(
            "note: {}: the dismissal of incident {} by {} was over on {}; without it, this is baseline {}",
            path.display(),
            inline(&said.incident),
            inline(&said.owner),
            model::days::day_text(said.until),
            baseline.id()
        );
    }
    Ok(baseline)
}

/// Loads a baseline.
pub(crate) fn load(path: &Path) -> Result<Baseline> {
    Baseline::load(path).map_err(|error| {
        let hint = match error {
            BaselineError::Missing { .. } => format!("; make one with: ebbline learn SOURCE --out {}", path.display()),
            BaselineError::Version { .. } => {
                format!(", or make another with: ebbline learn SOURCE --out {}", path.display())
            }
            BaselineError::Damaged { .. } | BaselineError::Truncated { .. } => {
                format!("; take a copy of it, or make another with: ebbline learn SOURCE --out {}", path.display())
            }
            _ => "; name a file that `ebbline learn` wrote".to_owned(),
        };
        anyhow::anyhow!("cannot use baseline: {error}{hint}")
    })
}
