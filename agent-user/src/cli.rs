//! Arguments.

use crate::load::RingSizes;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

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
    #[command(after_help = RUN_EXAMPLES)]
    Run(Box<RunArgs>),
    /// Say which hooks work on this kernel with these rights, and what to do about those that do not
    Doctor(DoctorArgs),
    /// Say how a running agent is doing: where every event is, whether the books balance, what the agent uses
    #[command(after_help = STATUS_EXAMPLES)]
    Status(StatusArgs),
}

const RUN_EXAMPLES: &str = "\
Examples:
  ebbline-agent run --archive /var/lib/ebbline                     capture until Ctrl-C
  ebbline-agent run --archive /var/lib/ebbline --metrics 9464      and show counts at http://127.0.0.1:9464/metrics
  ebbline-agent run --archive a --status-socket /tmp/second.sock   a second agent beside the first

How a running agent is doing: ebbline-agent status";

const STATUS_EXAMPLES: &str = "\
Examples:
  ebbline-agent status                       once, as a table
  ebbline-agent status --watch               each second, until Ctrl-C
  ebbline-agent status --json | jq .events   for programs: the object of docs/contracts.md, section 7

Events are produced in the kernel, received by the agent, open in a file not yet complete, then written, or dropped
for a reason. What is between two of these is in flight.";

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

impl From<BackendArg> for archive::Choice {
    fn from(wish: BackendArg) -> Self {
        match wish {
            BackendArg::Auto => Self::Auto,
            BackendArg::Cpu => Self::Cpu,
            BackendArg::Gpu => Self::Gpu,
        }
    }
}

fn rarer_than(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(n) if n >= 1.0 && n.is_finite() => Ok(n),
        _ => Err("use a number from 1 up, for example 1000".to_owned()),
    }
}

fn seconds(text: &str) -> Result<std::time::Duration, String> {
    let seconds = text.parse().ok().and_then(|seconds| std::time::Duration::try_from_secs_f64(seconds).ok());
    seconds.ok_or_else(|| "use a number of seconds, for example 60".to_owned())
}

/// A bare port is on the loopback interface: to be seen from elsewhere is a choice to spell out.
fn metrics_address(text: &str) -> Result<SocketAddr, String> {
    let port = text.parse().map(|port: u16| (Ipv4Addr::LOCALHOST, port).into());
    port.or_else(|_| text.parse()).map_err(|_| {
        "use a port, for example 9464, or an address and a port, for example 192.0.2.7:9464 or [::1]:9464".to_owned()
    })
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
    /// Score every row against this baseline while it is captured
    #[arg(long, value_name = "FILE")]
    pub baseline: Option<PathBuf>,
    /// Folder for scores and findings [default: the archive]
    #[arg(long, value_name = "DIR", requires = "baseline")]
    pub out: Option<PathBuf>,
    /// On a clean stop, learn the archive into this baseline file
    #[arg(long, value_name = "FILE")]
    pub learn: Option<PathBuf>,
    /// Where to score
    #[arg(long, value_enum, default_value = "auto")]
    pub backend: BackendArg,
    /// Take this adapter, hardware or not (with --backend gpu)
    #[arg(long, value_name = "NAME")]
    pub adapter: Option<String>,
    /// A unit, for example a process tree in one hour, is a finding if only one in N is as odd
    #[arg(long, value_name = "N", default_value_t = 1000.0, value_parser = rarer_than)]
    pub rarer_than: f64,
    /// Close files that are this old, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..))]
    pub rotate: u64,
    /// Name of this host in the files [default: its own name]
    #[arg(long, value_name = "NAME")]
    pub host: Option<String>,
    /// Size of each of the kernel's buffers of socket events in bytes, a power of two [default: 4 MiB; less above 8
    /// processors, where they are 32 MiB together]
    #[arg(long, value_name = "BYTES")]
    pub ring_size: Option<u32>,
    /// Size of the kernel's buffer of process events in bytes, a power of two [default: 4 MiB]
    #[arg(long, value_name = "BYTES")]
    pub lifecycle_ring_size: Option<u32>,
    /// Events of one type of one process in a second, above which they are only counted; never its execs and its end; 0
    /// for no limit
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub rate_limit: u64,
    /// Leave off the hook at the end of every system call
    ///
    /// It takes about 0.1 µs of each call of every process. Without it there are no credential, ptrace, module and
    /// bpf rows, accept() without an address has no process, a connect() that fails at once has no end, and unix sockets
    /// are not counted.
    #[arg(long)]
    pub no_calls: bool,
    /// Stop after this many seconds
    #[arg(long = "for", value_name = "SECONDS", value_parser = seconds)]
    pub limit: Option<std::time::Duration>,
    /// Status as one JSON object a line on standard output
    #[arg(long)]
    pub json: bool,
    /// Where `ebbline-agent status` asks how it goes: a unix socket, only for the agent's user; "none" for none
    #[arg(long, value_name = "PATH", default_value = crate::status::SOCKET)]
    pub status_socket: PathBuf,
    /// Counts for Prometheus over HTTP, at /metrics: a port, for this machine only, or an address and a port in full
    #[arg(long, value_name = "ADDR", value_parser = metrics_address)]
    pub metrics: Option<SocketAddr>,
    /// Another file of kernel type information
    #[arg(long, value_name = "FILE", hide = true, default_value = crate::kernel::BTF_PATH)]
    pub btf: PathBuf,
}

impl RunArgs {
    /// The rings that suit this machine, in the sizes asked for.
    #[must_use]
    pub fn rings(&self) -> RingSizes {
        let sizes = RingSizes::for_processors(std::thread::available_parallelism().map_or(1, |n| n.get() as u32));
        RingSizes {
            lifecycle: self.lifecycle_ring_size.unwrap_or(sizes.lifecycle),
            sockets: self.ring_size.unwrap_or(sizes.sockets),
            ..sizes
        }
    }
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

/// Arguments of `status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// The agent's socket
    #[arg(long, value_name = "PATH", default_value = crate::status::SOCKET)]
    pub socket: PathBuf,
    /// As one JSON object a line
    #[arg(long)]
    pub json: bool,
    /// Again each second, until Ctrl-C or the agent's end
    #[arg(long)]
    pub watch: bool,
}

impl RunArgs {
    /// Path of the status socket, unless there is to be none.
    #[must_use]
    pub fn socket(&self) -> Option<&Path> {
        (self.status_socket.as_os_str() != "none").then_some(&self.status_socket)
    }
}

#[cfg(test)]
mod tests {
    use super::metrics_address;

    #[test]
    fn a_bare_port_is_for_this_machine_only() {
        assert_eq!(metrics_address("9464").unwrap().to_string(), "127.0.0.1:9464");
        assert_eq!(metrics_address("0.0.0.0:9464").unwrap().to_string(), "0.0.0.0:9464");
        assert_eq!(metrics_address("[::1]:1").unwrap().to_string(), "[::1]:1");
        for wrong in ["", ":9464", "localhost:9464", "65536", "1.2.3.4"] {
            assert!(metrics_address(wrong).unwrap_err().contains("9464"), "{wrong}");
        }
    }
}
