//! Rescoring a generated archive beside query engines and detectors (benches/peers/README.md), and the page of it.

use crate::{overhead_bench, peers, shell};
use anyhow::{Context, Result, ensure};
use clap::Args;
use std::path::Path;

/// Learn and score a generated archive, beside DuckDB, Polars and DataFusion, and say how much faster or slower.
#[derive(Args)]
pub(crate) struct RescoreBenchArgs {
    /// Rows of the archive.
    #[arg(long, default_value_t = 1_000_000)]
    rows: u64,
    /// Files they are in.
    #[arg(long, default_value_t = 8)]
    files: u64,
    /// Rounds, in each of which every program has its turn.
    #[arg(long, default_value_t = 5)]
    runs: u32,
    /// Threads of each program.
    #[arg(long, default_value_t = 2)]
    threads: u32,
    /// Detectors of other people, too, beside the full model.
    #[arg(long)]
    detectors: bool,
    /// One JSON object instead of lines for people.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &RescoreBenchArgs) -> Result<()> {
    measure(args, None)
}

fn measure(args: &RescoreBenchArgs, out: Option<&Path>) -> Result<()> {
    ensure!(
        args.rows >= args.files && args.files > 0 && args.runs > 0 && args.threads > 0,
        "rescore-bench: a row a file, a round and a thread at least"
    );
    let python = peers::environment()?;
    shell::run(&["cargo", "build", "--workspace", "--locked", "--bins", "--examples"])?;
    let target = shell::target_dir();
    let at = |name: &str| target.join(name).to_string_lossy().into_owned();
    let (python, script) = (python.to_string_lossy(), peers::script("speed.py"));
    let (work, ebbline, read) = (at("rescore-bench"), at("debug/ebbline"), at("debug/examples/read"));
    let [rows, files, runs] = [args.rows, args.files, args.runs.into()].map(|n: u64| n.to_string());
    let threads = args.threads.to_string();
    let mut line = vec![&*python, "-B", &*script, "--work", &work, "--ebbline", &ebbline, "--read", &read];
    line.extend(["--rows", &rows, "--files", &files, "--runs", &runs, "--threads", &threads]);
    line.extend(args.json.then_some("--json"));
    line.extend(args.detectors.then_some("--detectors"));
    let out = out.map(|out| out.to_string_lossy().into_owned());
    line.extend(out.iter().flat_map(|out| ["--out", out]));
    // Each has its own name for the number of its threads.
    let mut command = shell::command(&line);
    for name in ["POLARS_MAX_THREADS", "TOKIO_WORKER_THREADS", "OMP_NUM_THREADS", "NUMBA_NUM_THREADS"] {
        command.env(name, &threads);
    }
    let status = command.status().context("cannot start Python")?;
    ensure!(status.success(), "rescore-bench: ended with {status}");
    Ok(())
}

/// Measure Ebbline beside query engines, detectors and sensors, and write docs/benchmarks.md and docs/benchmarks.json.
///
/// Nothing else should run beside it. What watching costs is measured as root, with auditd and bpftrace unpacked below
/// the target folder.
#[derive(Args)]
pub(crate) struct BenchmarksArgs {
    #[command(flatten)]
    rescore: RescoreBenchArgs,
    /// Leave out what watching costs, which needs root; the page then has none of it.
    #[arg(long, conflicts_with = "overhead")]
    no_overhead: bool,
    /// What `overhead-bench --out` wrote, instead of measuring that anew.
    #[arg(long, value_name = "FILE")]
    overhead: Option<std::path::PathBuf>,
}

pub(crate) fn page(args: &BenchmarksArgs) -> Result<()> {
    let figures = shell::target_dir().join("benchmarks.json");
    let rescore = RescoreBenchArgs { detectors: true, ..args.rescore };
    measure(&rescore, Some(&figures))?;
    let overhead = match &args.overhead {
        Some(file) => Some(file.clone()),
        None if args.no_overhead => None,
        None => Some(overhead_bench::quick()?),
    };
    let python = peers::environment()?;
    let docs = shell::root().join("docs");
    let [python, figures, docs] = [&python, &figures, &docs].map(|path| path.to_string_lossy());
    let script = peers::script("page.py");
    let overhead = overhead.map(|path| path.to_string_lossy().into_owned());
    let mut line = vec![&*python, "-B", &*script, &*figures, &*docs];
    line.extend(overhead.as_deref());
    shell::run(&line)
}
