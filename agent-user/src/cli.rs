//! Arguments.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Watches processes and connections on this machine.
///
/// Captures with eBPF, writes Parquet, and with a baseline says live what is surprising. Needs root, or the capabilities
/// CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN. What it may watch is limited with --cgroup.
#[derive(Debug, Parser)]
#[command(name = "ebbline-agent", version, after_help = "Start with: ebbline-agent doctor")]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Capture and write until stopped by Ctrl-C or SIGTERM
    ///
    /// Nothing is lost silently: the last line accounts for every event that the kernel produced.
    Run(Box<RunArgs>),
    /// Say which hooks work on this kernel with these rights, and what to do about those that do not
    Doctor(DoctorArgs),
}

/// Where to score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BackendArg {
    /// A hardware GPU if there is one, else the CPU
    Auto,
    /// The CPU
    Cpu,
    /// A hardware GPU, or the adapter named by --adapter
    Gpu,
}

/// Arguments of `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Folder to write Parquet files to; its parent must exist
    #[arg(long, value_name = "DIR")]
    pub archive: PathBuf,
    /// Watch only this cgroup and those below it [default: the whole machine]
    #[arg(long, value_name = "PATH")]
    pub cgroup: Option<PathBuf>,
    /// Score every row against this baseline while it is captured; scores and findings go to the archive
    #[arg(long, value_name = "FILE")]
    pub baseline: Option<PathBuf>,
    /// On a clean stop, learn what was captured into this baseline file
    #[arg(long, value_name = "FILE")]
    pub learn: Option<PathBuf>,
    /// Where to score
    #[arg(long, value_enum, default_value = "auto")]
    pub backend: BackendArg,
    /// Take this adapter, hardware or not (with --backend gpu)
    #[arg(long, value_name = "NAME")]
    pub adapter: Option<String>,
    /// Report units expected less than once in N
    #[arg(long, value_name = "N", default_value_t = 1000.0)]
    pub rarer_than: f64,
    /// Close files that are this old, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..))]
    pub rotate: u64,
    /// Name of this host in the files [default: its own name]
    #[arg(long, value_name = "NAME")]
    pub host: Option<String>,
    /// Size of the kernel's buffer of socket events in bytes: a power of two
    #[arg(long, value_name = "BYTES", default_value_t = 8 << 20)]
    pub ring_size: u32,
    /// Size of the kernel's buffer of process events in bytes: a power of two
    #[arg(long, value_name = "BYTES", default_value_t = 4 << 20)]
    pub lifecycle_ring_size: u32,
    /// Stop after this many seconds
    #[arg(long = "for", value_name = "SECONDS")]
    pub limit: Option<f64>,
    /// Status as one JSON object a line on standard output
    #[arg(long)]
    pub json: bool,
    /// Another file of kernel type information
    #[arg(long, value_name = "FILE", hide = true, default_value = crate::kernel::BTF_PATH)]
    pub btf: PathBuf,
}

/// Arguments of `doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Try the hooks on this cgroup [default: the whole machine]
    #[arg(long, value_name = "PATH")]
    pub cgroup: Option<PathBuf>,
    /// The report as JSON on standard output
    #[arg(long)]
    pub json: bool,
    /// Another file of kernel type information
    #[arg(long, value_name = "FILE", hide = true, default_value = crate::kernel::BTF_PATH)]
    pub btf: PathBuf,
}
