//! `cargo xtask cluster`: the room that an engine is compiled for, with a lock file and a target of its own.

use crate::shell::{command, root};
use anyhow::{Context, Result, ensure};

/// Build and test what learns and scores on many machines.
#[derive(clap::Args, Default)]
pub(crate) struct ClusterArgs {
    /// How often an executor is killed (default: 3)
    #[arg(long)]
    pub(crate) kills: Option<u32>,
    /// Rows that are scored in 48 splits, here and on a cluster (default: 20000)
    #[arg(long)]
    pub(crate) rows: Option<u64>,
}

/// Runs the chore. What these tests say of time is shown if it was asked for.
pub(crate) fn run(args: &ClusterArgs) -> Result<()> {
    let folder = root().join("cluster");
    let mut cargo = command(&["cargo", "test", "--locked", "--", "--test-threads=1"]);
    cargo.current_dir(&folder).env("CARGO_TARGET_DIR", folder.join("target"));
    if let Some(kills) = args.kills {
        cargo.env("EBBLINE_CLUSTER_KILLS", kills.to_string());
    }
    if let Some(rows) = args.rows {
        cargo.env("EBBLINE_CLUSTER_ROWS", rows.to_string());
    }
    if args.kills.is_some() || args.rows.is_some() {
        cargo.arg("--nocapture");
    }
    let status = cargo.status().context("cannot start cargo")?;
    ensure!(status.success(), "cluster: tests failed ({status})");
    Ok(())
}
