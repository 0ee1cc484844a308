//! `cargo xtask sensor-bench`: what the sensor costs and bears on this machine's own kernel.

use crate::shell::run as run_loudly;
use anyhow::Result;
use clap::Args;

/// Measure what the sensor bears without a loss, what it costs, and its memory. Live, in a cgroup of its own; needs root.
#[derive(Args)]
pub(crate) struct SensorBenchArgs {
    /// How long each step takes.
    #[arg(long, default_value = "3", value_name = "SECONDS")]
    seconds: String,
    /// Pairs of runs with and without the agent.
    #[arg(long, default_value = "8", value_name = "N")]
    pairs: String,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &SensorBenchArgs) -> Result<()> {
    let mut line = vec!["cargo", "bench", "--quiet", "--locked", "--workspace", "--profile", "dev"];
    line.extend(["--bench", "sensor", "--", "--capture", "--seconds", &args.seconds, "--pairs", &args.pairs]);
    line.extend(args.json.then_some("--json"));
    run_loudly(&line)
}
