//! `cargo xtask overhead-bench`: what watching costs the watched, beside auditd and bpftrace.

use crate::{
    setup::is_root,
    shell::{command, run as run_loudly, target_dir},
};
use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use std::path::{Path, PathBuf};

/// Packages of the sensors that are compared.
const PEERS: [&str; 2] = ["auditd", "bpftrace"];

/// Measure what watching costs the watched, beside auditd and bpftrace. Live, in cgroups and as a user of its own; needs
/// root.
///
/// Auditing is used only if nobody uses it, and is limited to that user. Once it was on, the kernel prepares it for every
/// new process until the machine starts again, which slows system calls: `auditctl -a never,task` keeps it from that.
#[derive(Args)]
pub(crate) struct OverheadBenchArgs {
    /// Three rounds only.
    #[arg(long)]
    quick: bool,
    /// Unpack auditd and bpftrace below the target folder; Debian and Ubuntu. Nothing is installed or started.
    #[arg(long)]
    install: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    /// Write the JSON object to a file, too.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Rounds of spawns, connections and datagrams.
    #[arg(long, default_value = "15", value_name = "N")]
    rounds: String,
    /// How many of them have a parallel build, too.
    #[arg(long, default_value = "7", value_name = "N")]
    build_rounds: String,
    /// For the order of the sensors.
    #[arg(long, value_name = "N")]
    seed: Option<String>,
}

/// Three rounds for the page of benchmarks; the file they are in.
pub(crate) fn quick() -> Result<PathBuf> {
    let out = target_dir().join("overhead.json");
    let rounds = "3".to_owned();
    run(&OverheadBenchArgs {
        quick: true,
        install: true,
        json: false,
        out: Some(out.clone()),
        rounds: rounds.clone(),
        build_rounds: rounds,
        seed: None,
    })?;
    Ok(out)
}

pub(crate) fn run(args: &OverheadBenchArgs) -> Result<()> {
    let peers = target_dir().join("peers");
    if args.install {
        unpack(&peers)?;
    }
    let mut line = vec!["cargo", "bench", "--quiet", "--locked", "--workspace", "--profile", "dev"];
    line.extend(["--bench", "overhead", "--", "--capture"]);
    line.extend(["--rounds", &args.rounds, "--build-rounds", &args.build_rounds]);
    line.extend(args.quick.then_some("--quick"));
    line.extend(args.json.then_some("--json"));
    if let Some(seed) = &args.seed {
        line.extend(["--seed", seed]);
    }
    // Cargo runs it elsewhere.
    let out = args.out.as_ref().map(std::path::absolute).transpose()?;
    if let Some(out) = &out {
        line.extend(["--out", out.to_str().context("the name of the file is not UTF-8")?]);
    }
    eprintln!("$ {}", line.join(" "));
    let status = command(&line).env("EBBLINE_PEERS", peers.join("root")).status().context("cannot start cargo")?;
    ensure!(status.success(), "the benchmark ended with {status}");
    Ok(())
}

/// Downloads the packages with what they need and this system lacks, and unpacks them.
fn unpack(peers: &Path) -> Result<()> {
    ensure!(is_root(), "--install needs root");
    let (packages, root) = (peers.join("packages"), peers.join("root"));
    std::fs::create_dir_all(packages.join("partial"))?;
    std::fs::create_dir_all(&root)?;
    let cache = format!("Dir::Cache::archives={}", packages.display());
    let mut line = vec!["apt-get", "install", "-y", "-qq", "--no-install-recommends", "--download-only", "-o", &cache];
    line.extend(PEERS);
    run_loudly(&line)?;
    for entry in std::fs::read_dir(&packages)?.flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            let (Some(package), Some(root)) = (path.to_str(), root.to_str()) else { bail!("a path is not UTF-8") };
            run_loudly(&["dpkg-deb", "--extract", package, root])?;
        }
    }
    Ok(())
}
