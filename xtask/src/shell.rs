//! Running other programs, loudly.

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The repository's root folder: cargo says where, as checkouts can share what was built.
pub(crate) fn root() -> PathBuf {
    let room = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    room.parent().map(Path::to_path_buf).unwrap_or_default()
}

/// Where cargo puts what it builds.
pub(crate) fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// A program of this workspace, built by `cargo build`.
pub(crate) fn program(name: &str) -> PathBuf {
    target_dir().join("debug").join(name)
}

/// A command in the repository's root.
pub(crate) fn command(line: &[&str]) -> Command {
    let mut command = Command::new(line[0]);
    command.args(&line[1..]).current_dir(root());
    command
}

/// Runs a command and fails, naming it, unless it ends with 0.
pub(crate) fn run(line: &[&str]) -> Result<()> {
    eprintln!("$ {}", line.join(" "));
    let status = command(line).status().with_context(|| format!("cannot start {}", line[0]))?;
    if !status.success() {
        bail!("`{}` ended with {status}", line.join(" "));
    }
    Ok(())
}

/// True when the program can be started and ends with 0.
pub(crate) fn works(line: &[&str]) -> bool {
    command(line).output().is_ok_and(|output| output.status.success())
}
