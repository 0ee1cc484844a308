//! Results to standard output.

use anyhow::{Context, Result};
use serde_json::Value;

pub(crate) use terminal::table;

/// Prints text for people, with a line end.
pub(crate) fn print(text: &str) -> Result<()> {
    terminal::print(text).context("cannot write: standard output")
}

/// Prints a value as indented JSON.
pub(crate) fn print_json(value: &Value) -> Result<()> {
    terminal::print_raw(&serde_json::to_string_pretty(value)?).context("cannot write: standard output")
}
