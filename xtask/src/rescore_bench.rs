//! Rescoring a generated archive beside DuckDB and Polars (benches/rescore/README.md).

use crate::{setup, shell};
use anyhow::{Context, Result, ensure};
use clap::Args;

/// Learn and score a generated archive, beside DuckDB and Polars, and say how much faster or slower.
#[derive(Args)]
pub(crate) struct RescoreBenchArgs {
    /// Rows of the archive.
    #[arg(long, default_value_t = 1_000_000)]
    rows: u64,
    /// Files they are in.
    #[arg(long, default_value_t = 8)]
    files: u64,
    /// Rounds, in each of which every program has its turn.
    #[arg(long, default_value_t = 3)]
    runs: u32,
    /// Threads of each program.
    #[arg(long, default_value_t = 2)]
    threads: u32,
    /// One JSON object instead of lines for people.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &RescoreBenchArgs) -> Result<()> {
    ensure!(
        args.rows >= args.files && args.files > 0 && args.runs > 0,
        "rescore-bench: a row a file and a round at least"
    );
    let python = setup::python()?;
    shell::run(&["cargo", "build", "--workspace", "--locked", "--bins", "--examples"])?;
    let target = shell::target_dir();
    let at = |name: &str| target.join(name).to_string_lossy().into_owned();
    let (python, script) = (python.to_string_lossy(), shell::root().join("benches/rescore/rescore.py"));
    let (work, ebbline, read) = (at("rescore-bench"), at("debug/ebbline"), at("debug/examples/read"));
    let [rows, files, runs] = [args.rows, args.files, args.runs.into()].map(|n: u64| n.to_string());
    let (script, threads) = (script.to_string_lossy(), args.threads.to_string());
    let mut line = vec![&*python, "-B", &*script, "--work", &work, "--ebbline", &ebbline, "--read", &read];
    line.extend(["--rows", &rows, "--files", &files, "--runs", &runs, "--threads", &threads]);
    line.extend(args.json.then_some("--json"));
    let status = shell::command(&line).env("POLARS_MAX_THREADS", &threads).status().context("cannot start Python")?;
    ensure!(status.success(), "rescore-bench: ended with {status}");
    Ok(())
}
