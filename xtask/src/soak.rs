//! `cargo xtask soak`: what takes too long for every change.

use crate::{cluster, fuzz, shell};
use anyhow::{Context, Result, ensure};
use clap::Args;
use std::time::Instant;

/// Kills, stops and load for a long time, then long fuzzing. Needs root.
#[derive(Args)]
pub(crate) struct SoakArgs {
    /// How often the agent is killed under load.
    #[arg(long, default_value_t = 500)]
    kills: u32,
    /// Minutes of mixed load.
    #[arg(long, default_value_t = 30)]
    minutes: u32,
    /// Seconds for which the agent is stopped.
    #[arg(long, default_value_t = 60)]
    stopped: u32,
    /// How often scoring of an archive is killed and run again.
    #[arg(long, default_value_t = 50)]
    rescore_kills: u32,
    /// How often handing over is killed, for each sort of receiver.
    #[arg(long, default_value_t = 300)]
    handover_kills: u32,
    /// How often an executor of a cluster is killed.
    #[arg(long, default_value_t = 20)]
    executor_kills: u32,
    /// Streams of 60 days on each of which the promise of one false alert a day is kept.
    #[arg(long, default_value_t = 10)]
    streams: u32,
    /// Findings that are made incidents in under a minute and a gigabyte.
    #[arg(long, default_value_t = 1_000_000)]
    findings: u32,
    /// Minutes of fuzzing, for each target.
    #[arg(long, default_value_t = 10)]
    fuzz_minutes: u32,
}

pub(crate) fn run(args: &SoakArgs) -> Result<()> {
    let start = Instant::now();
    live("live_crash", ("EBBLINE_KILLS", args.kills), "kill")?;
    live("live_crash", ("EBBLINE_STOPPED_S", args.stopped), "stopped")?;
    live("live_soak", ("EBBLINE_SOAK_S", args.minutes * 60), "flat")?;
    live("restart", ("EBBLINE_RESCORE_KILLS", args.rescore_kills), "killed")?;
    live("handover", ("EBBLINE_HANDOVER_KILLS", args.handover_kills), "killed")?;
    live("promise", ("EBBLINE_PROMISE_STREAMS", args.streams), "one_alert")?;
    cluster::run(&cluster::ClusterArgs { kills: Some(args.executor_kills), rows: None })?;
    live("incidents", ("EBBLINE_FINDINGS", args.findings), "plenty")?;
    shell::run(&["cargo", "test", "--workspace", "--locked", "--test", "story", "--", "--nocapture", "--ignored"])?;
    if args.fuzz_minutes > 0 {
        fuzz::run(&fuzz::FuzzArgs { seconds: args.fuzz_minutes * 60, targets: Vec::new() })?;
    }
    eprintln!("soaked for {} s", start.elapsed().as_secs());
    Ok(())
}

/// Tests whose names hold a word, at full length; what they print is shown.
fn live(program: &str, (variable, value): (&str, u32), tests: &str) -> Result<()> {
    let line = ["cargo", "test", "--workspace", "--locked", "--test", program, "--", "--nocapture", tests];
    eprintln!("── {program}: {variable}={value}");
    let mut command = shell::command(&line);
    let status = command.env(variable, value.to_string()).status().context("cannot start cargo test")?;
    ensure!(status.success(), "{program}: {tests}: failed ({status})");
    Ok(())
}
