//! `ebbline baseline …`, and loading for the other commands.

pub(crate) mod args;
mod change;
mod normal;
mod show;

use std::path::Path;

use anyhow::Result;
use model::{Baseline, BaselineError};

use self::args::BaselineCommand;

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
