//! Arguments.

mod values;

use crate::load::RingSizes;
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
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
    /// Print the whole configuration file with its defaults, or check one
    #[command(after_help = CONFIG_EXAMPLES)]
    Config(ConfigArgs),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Do what the agent's loader asks for, without any rights of its own
    #[command(hide = true)]
    Worker,
    /// Write the manual pages
    #[command(hide = true)]
    Man {
        /// Folder to write to
        dir: PathBuf,
    },
    /// Copy the closed files of an archive to an object store, and go on until stopped
    ///
    /// What is there already is not sent again. Keys and passwords come from the environment (AWS_…, GOOGLE_…, AZURE_…).
    #[command(after_help = UPLOAD_EXAMPLES)]
    Upload(UploadArgs),
    /// Score what the agent on standard input sends
    #[command(hide = true)]
    Scorer,
}

const CONFIG_EXAMPLES: &str = "\
Examples:
  ebbline-agent config                                   every key, with its default, as TOML
  ebbline-agent config --check /etc/ebbline/agent.toml   before a restart or a reload";

const RUN_EXAMPLES: &str = "\
Examples:
  ebbline-agent run                                                as /etc/ebbline/agent.toml says
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

const UPLOAD_EXAMPLES: &str = "\
Examples:
  ebbline-agent upload --archive a --to s3://bucket/ebbline --option region=eu-central-1
  ebbline-agent upload --archive a --to file:///mnt/backup/ebbline --once
  ebbline-agent upload --archive a --to https://dav.example.org/ebbline --delete --limit 1M";

/// Where to score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
pub enum BackendArg {
    /// A hardware GPU if it is faster here than the CPU, which is measured once
    Auto,
    /// The CPU
    Cpu,
    /// A hardware GPU, or the adapter that is named
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

/// Arguments of `run`. Each value is defined here, once: name, meaning, default and check. `config::KEYS` says which key of
/// the configuration file stands for which.
#[derive(Debug, Clone, Args, Serialize, Deserialize)]
pub struct RunArgs {
    /// Configuration file; "none" for none [default: /etc/ebbline/agent.toml, if it is there]
    ///
    /// Flags win over the file, the file over the defaults.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Folder to write to; its parent must exist
    #[arg(long, value_name = "DIR", default_value = "/var/lib/ebbline", help_heading = "Archive")]
    pub archive: PathBuf,
    /// Name of this host in the files [default: its own name]
    #[arg(long, value_name = "NAME", value_parser = values::host, help_heading = "Archive")]
    pub host: Option<String>,
    /// Close files that are this old, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 300, help_heading = "Archive")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    pub rotate: u64,
    /// Close files when what will be in them has about this many bytes, before compression; at most a quarter of --max-bytes
    #[arg(long, value_name = "BYTES", default_value = "128M", value_parser = values::size, help_heading = "Archive")]
    pub rotate_bytes: u64,
    /// Remove files that are older than this many days [default: keep all]
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=36_500), help_heading = "Archive")]
    pub keep_days: Option<u32>,
    /// Remove the oldest files when the archive has more bytes than this, such as 10G [default: no limit]
    #[arg(long, value_name = "BYTES", value_parser = values::size, help_heading = "Archive")]
    pub max_bytes: Option<u64>,
    /// Make sure that rows are on disk every so many seconds: what a power failure can take
    #[arg(long, value_name = "SECONDS", default_value_t = 5, help_heading = "Archive")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub sync: u64,

    /// Watch only this cgroup and those below it [default: the whole machine]
    #[arg(long, value_name = "PATH", help_heading = "Capture")]
    pub cgroup: Option<PathBuf>,
    /// Events of one type of one process in a second, above which they are only counted; never its execs and its end; 0
    /// for no limit
    #[arg(long, value_name = "N", default_value_t = 10_000, help_heading = "Capture")]
    pub rate_limit: u64,
    /// Follow system calls at their end
    ///
    /// It takes about 0.1 µs of each call of every process. Without it there are no credential, ptrace, module and
    /// bpf rows, accept() without an address has no process, a connect() that fails at once has no end, and unix sockets
    /// are not counted.
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set, help_heading = "Capture")]
    pub calls: bool,
    /// The same as --calls false
    #[arg(long, overrides_with = "calls", help_heading = "Capture")]
    pub no_calls: bool,
    /// Size of each of the kernel's buffers of socket events in bytes, a power of two [default: 4M; less above 8
    /// processors, where they are 32M together]
    #[arg(long, value_name = "BYTES", value_parser = values::ring_size, help_heading = "Capture")]
    pub ring_size: Option<u32>,
    /// Size of the kernel's buffer of process events in bytes, a power of two [default: 4M]
    #[arg(long, value_name = "BYTES", value_parser = values::ring_size, help_heading = "Capture")]
    pub lifecycle_ring_size: Option<u32>,

    /// Score every row against this baseline while it is captured
    #[arg(long, value_name = "FILE", help_heading = "Scoring")]
    pub baseline: Option<PathBuf>,
    /// Folder for scores and findings, if there is a baseline [default: the archive]
    #[arg(long, value_name = "DIR", help_heading = "Scoring")]
    pub out: Option<PathBuf>,
    /// Where to score
    #[arg(long, value_enum, default_value = "auto", help_heading = "Scoring")]
    pub backend: BackendArg,
    /// Take this adapter, hardware or not, if the backend is gpu
    #[arg(long, value_name = "NAME", help_heading = "Scoring")]
    pub adapter: Option<String>,
    /// So many false alerts a day are expected of this host, over all kinds of units together
    #[arg(long, value_name = "N", default_value_t = 5.0, value_parser = values::alerts_per_day, help_heading = "Scoring")]
    pub alerts_per_day: f64,
    /// Instead: a unit, for example a process tree in one hour, is a finding if only one in N is as odd
    #[arg(long, value_name = "N", value_parser = values::rarer_than, help_heading = "Scoring")]
    pub rarer_than: Option<f64>,
    /// On a clean stop, learn the archive into this baseline file
    #[arg(long, value_name = "FILE", help_heading = "Scoring")]
    pub learn: Option<PathBuf>,

    /// User to write the archive as, when started by root; "" for the same user. It stays the same user, with a warning,
    /// if there is no "ebbline"
    #[arg(long, value_name = "NAME", default_value = DEFAULT_USER, help_heading = "Process")]
    pub user: String,
    /// Folder of a BPF file system where the kernel's counters stay if the agent is killed; "none" for none
    #[arg(long, value_name = "DIR", default_value = "/sys/fs/bpf/ebbline", help_heading = "Process")]
    pub pin: PathBuf,
    /// Stop after this many seconds
    #[arg(long = "for", value_name = "SECONDS", value_parser = values::seconds, help_heading = "Process")]
    pub limit: Option<Duration>,

    /// Status as one JSON object a line on standard output
    #[arg(long, help_heading = "Status")]
    pub json: bool,
    /// Where `ebbline-agent status` asks how it goes: a unix socket, only for the agent's user; "none" for none
    #[arg(long, value_name = "PATH", default_value = crate::status::SOCKET, help_heading = "Status")]
    pub status_socket: PathBuf,
    /// Counts for Prometheus over HTTP, at /metrics: a port, for this machine only, or an address and a port in full
    #[arg(long, value_name = "ADDR", value_parser = values::metrics_address, help_heading = "Status")]
    pub metrics: Option<SocketAddr>,

    /// Copy closed files to this object store: s3://, gs://, az://, http://, https:// or file://
    #[arg(long, value_name = "URL", help_heading = "Upload")]
    pub upload: Option<String>,
    /// Remove files from the archive once the store has confirmed them
    #[arg(long, value_name = "BOOL", default_value_t = false, action = ArgAction::Set, help_heading = "Upload")]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub upload_delete: bool,
    /// Look for closed files every so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60, help_heading = "Upload")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub upload_every: u64,
    /// Send at most this many bytes a second, such as 1M [default: no limit]
    #[arg(long, value_name = "BYTES", value_parser = values::size, help_heading = "Upload")]
    pub upload_limit: Option<u64>,
    /// An option of the store, such as region=eu-central-1; as often as needed. Keys and passwords belong in the environment
    #[arg(long, value_name = "KEY=VALUE", value_parser = values::option, help_heading = "Upload")]
    pub upload_option: Vec<(String, String)>,

    /// Another file of kernel type information
    #[arg(long, value_name = "FILE", hide = true, default_value = crate::kernel::BTF_PATH)]
    pub btf: PathBuf,
    /// The worker tries to read this file, and says what came of it
    #[arg(long, value_name = "FILE", hide = true)]
    pub try_outside: Option<PathBuf>,
    /// The first worker ends by a panic after so many seconds
    #[arg(long, value_name = "SECONDS", hide = true, value_parser = values::seconds)]
    pub try_panic: Option<Duration>,
}

/// The user of `--user`, unless another is named.
pub const DEFAULT_USER: &str = "ebbline";

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

    /// Whether to follow system calls.
    #[must_use]
    pub fn follows_calls(&self) -> bool {
        self.calls && !self.no_calls
    }

    /// Age at which files are closed.
    #[must_use]
    pub fn rotate_age(&self) -> Duration {
        Duration::from_secs(self.rotate)
    }

    /// Age at which files are removed, if they are.
    #[must_use]
    pub fn keep(&self) -> Option<Duration> {
        self.keep_days.map(|days| Duration::from_secs(u64::from(days) * 24 * 60 * 60))
    }

    /// What the archive may hold.
    #[must_use]
    pub fn limits(&self) -> store::Limits {
        store::Limits { keep: self.keep(), max_bytes: self.max_bytes }
    }

    /// Says so if files are closed sooner than was asked for.
    #[must_use]
    pub fn closed_sooner(&self) -> Option<String> {
        let bytes = self.limits().segment_bytes(self.rotate_bytes);
        (bytes < self.rotate_bytes).then(|| {
            format!(
                "files are closed at {bytes} bytes, a quarter of --max-bytes: --rotate-bytes is {}",
                self.rotate_bytes
            )
        })
    }

    /// Path of the status socket, unless there is to be none.
    #[must_use]
    pub fn socket(&self) -> Option<&Path> {
        named(&self.status_socket)
    }

    /// Folder to pin the counters in, unless there is to be none.
    #[must_use]
    pub fn pin(&self) -> Option<&Path> {
        named(&self.pin)
    }
}

/// "none" for none.
pub(crate) fn named(path: &Path) -> Option<&Path> {
    (path.as_os_str() != "none").then_some(path)
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
    /// Colours: auto, always or never; `auto` goes by the terminal and NO_COLOR
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub color: terminal::Colour,
    /// Another file of kernel type information
    #[arg(long, value_name = "FILE", hide = true, default_value = crate::kernel::BTF_PATH)]
    pub btf: PathBuf,
}

/// Arguments of `upload`.
#[derive(Debug, Args)]
pub struct UploadArgs {
    /// The archive
    #[arg(long, value_name = "DIR")]
    pub archive: PathBuf,
    /// Where to: s3://, gs://, az://, http://, https:// (WebDAV) or file:///
    #[arg(long, value_name = "URL")]
    pub to: String,
    /// Remove rows and scores from the archive once the store has confirmed them
    #[arg(long)]
    pub delete: bool,
    /// Look for closed files every so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub every: u64,
    /// Look once
    #[arg(long)]
    pub once: bool,
    /// Send at most this many bytes a second, such as 1M [default: no limit]
    #[arg(long, value_name = "BYTES", value_parser = values::size)]
    pub limit: Option<u64>,
    /// An option of the store, such as region=eu-central-1; as often as needed
    #[arg(long, value_name = "KEY=VALUE", value_parser = values::option)]
    pub option: Vec<(String, String)>,
    /// As one JSON object a line
    #[arg(long)]
    pub json: bool,
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
    /// Colours: auto, always or never; `auto` goes by the terminal and NO_COLOR
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub color: terminal::Colour,
}

/// Arguments of `config`.
#[derive(Debug, Args)]
pub struct ConfigArgs {
    /// Check this file instead, and say where it is wrong
    #[arg(long, value_name = "FILE")]
    pub check: Option<PathBuf>,
    /// As the page docs/configuration.md
    #[arg(long, hide = true, conflicts_with = "check")]
    pub markdown: bool,
}
