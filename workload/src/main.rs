//! Ordinary work of a small server, done by real processes, for the demo and for tests.
//!
//! One program with many names, in the manner of busybox: `run` copies it into a folder as `httpd`, `fetch`,
//! `crond` and so on, so that the kernel sees the process tree of a real machine. All traffic stays on loopback.

mod live;

use clap::{Parser, Subcommand};
use std::path::PathBuf;

/// Does the ordinary work of a small server, for a while.
#[derive(Parser)]
#[command(name = "ebbline-workload", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start the services and jobs, and stop after the given time.
    Run {
        /// Folder for programs, scripts and scratch files (made if absent).
        #[arg(long)]
        dir: PathBuf,
        /// Cgroup v2 folder that services and jobs run in [default: this program's own].
        #[arg(long)]
        cgroup: Option<PathBuf>,
        /// How long to work, in seconds.
        #[arg(long, default_value_t = 30)]
        seconds: u64,
        /// Also do twenty-odd ordinary things for the first time, and a few harmless unusual ones.
        #[arg(long)]
        oddities: bool,
        /// Another host, by its address: this one then has a service that hosts can reach.
        #[arg(long, value_name = "ADDRESS")]
        peer: Option<String>,
        /// Play a part of the story of two hosts: 26 ordinary first-evers and four harmless emulations of techniques.
        #[arg(long, value_enum, requires = "peer", conflicts_with = "oddities")]
        story: Option<live::Part>,
        /// Where to write what was done, as JSON: label, kind (`first-ever` or `unusual`) and root pid.
        #[arg(long)]
        plan: Option<PathBuf>,
    },
}

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args();
    let name = args.next().unwrap_or_default();
    let name = name.rsplit('/').next().unwrap_or_default().to_owned();
    if let Some(role) = live::roles::find(&name) {
        return role(&args.collect::<Vec<_>>());
    }
    match Cli::parse().command {
        Command::Run { dir, cgroup, seconds, oddities, peer, story, plan } => live::run(&live::Order {
            dir: &dir,
            cgroup: cgroup.as_deref(),
            time: std::time::Duration::from_secs(seconds),
            oddities,
            peer: peer.as_deref(),
            story,
            plan: plan.as_deref(),
        }),
    }
}
