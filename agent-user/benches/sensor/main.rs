//! What the sensor costs and bears on this machine: `cargo xtask sensor-bench`. Needs root.
//!
//! It captures in a cgroup of its own, from rings of ordinary size, what copies of this program do on loopback.

#![allow(missing_docs)] // nobody uses it but cargo

#[path = "../common/agent.rs"]
mod agent;
mod load;
mod measure;
mod memory;
mod report;

use agent::Cgroup;
use anyhow::{Result, ensure};
use clap::Parser;
use load::Kind;

/// What the sensor costs and bears on this machine.
#[derive(Parser)]
#[command(name = "cargo xtask sensor-bench")]
pub(crate) struct Args {
    /// How long each step takes
    #[arg(long, value_name = "SECONDS", default_value_t = 3.0)]
    pub(crate) seconds: f64,
    /// Pairs of runs with and without the agent
    #[arg(long, value_name = "N", default_value_t = 8)]
    pub(crate) pairs: usize,
    /// As one JSON object
    #[arg(long)]
    json: bool,
    /// That this is meant: `cargo bench` without a name runs every benchmark, and this one captures live
    #[arg(long, hide = true)]
    capture: bool,
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.get(1).is_some_and(|first| first == "act") {
        return load::play(&arguments[2..]);
    }
    let args = Args::parse();
    if !args.capture {
        println!("sensor: left out; `cargo xtask sensor-bench` runs it");
        return Ok(());
    }
    let missing = ebbline_agent_user::kernel::missing_rights();
    ensure!(missing.is_empty(), "live capture is not possible: {} missing", missing.join(", "));
    let folder = tempfile::tempdir()?;
    let bench = measure::Bench { cgroup: Cgroup::new("bench")?, folder: folder.path().into(), seconds: args.seconds };
    let mut report = report::Report::default();
    for kind in [Kind::Exec, Kind::Connect, Kind::Refused] {
        report.sustained.push(bench.sustained(kind)?);
    }
    for kind in [Kind::Exec, Kind::Stream] {
        report.overhead.push(bench.overhead(kind, args.pairs)?);
    }
    report.memory = bench.memory()?;
    if args.json {
        println!("{}", serde_json::to_string(&report)?)
    } else {
        report.print()
    }
    Ok(())
}
