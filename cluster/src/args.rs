//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use archive::{Choice, Condition, Filter};
use clap::{Args, Parser, Subcommand};

/// Learn and score on many machines.
#[derive(Parser)]
#[command(
    name = "ebbline-cluster",
    version,
    after_help = "\
Examples, on one machine:
  ebbline-cluster scheduler &
  ebbline-cluster executor --port 50061 &
  ebbline-cluster executor --port 50062 &
  ebbline-cluster submit score archive/ --baseline normal.baseline --out scored/
  ebbline show scored/

All processes see sources, baseline and results at the same paths, or take sources from an object store. Nothing asks who
connects and nothing is encrypted: keep the ports in a network of their own.
Exit codes: 0 done, 1 failed, 2 wrong usage, 3 done but some inputs were skipped and named."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Say what the engine does, on standard error.
    #[arg(long, short, global = true)]
    pub(crate) verbose: bool,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    Scheduler(SchedulerArgs),
    Executor(ExecutorArgs),
    /// Have the executors do what `ebbline` does alone.
    #[command(subcommand)]
    Submit(SubmitCommand),
    Sql(SqlArgs),
}

#[derive(Subcommand)]
pub(crate) enum SubmitCommand {
    Score(ScoreArgs),
    Learn(LearnArgs),
}

/// Hand out work to executors; one for each cluster.
#[derive(Args)]
pub(crate) struct SchedulerArgs {
    /// Where to listen for executors and for `submit`.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:50050")]
    pub(crate) listen: SocketAddr,
    /// The name by which others reach this machine (default: the address of --listen).
    #[arg(long, value_name = "NAME")]
    pub(crate) host: Option<String>,
    /// Seconds without a word after which an executor counts as lost, and others do its work.
    #[arg(long, value_name = "SECONDS", default_value_t = 12, value_parser = clap::value_parser!(u64).range(8..=3600))]
    pub(crate) lost_after: u64,
}

/// Do work that the scheduler hands out; one or more on each machine.
#[derive(Args)]
pub(crate) struct ExecutorArgs {
    /// The scheduler; an executor waits a minute for it.
    #[arg(long, value_name = "NAME:PORT", default_value = "127.0.0.1:50050")]
    pub(crate) scheduler: String,
    /// The address to give results out from.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub(crate) listen: std::net::IpAddr,
    /// Its port.
    #[arg(long, value_name = "PORT", default_value_t = 50051)]
    pub(crate) port: u16,
    /// The name by which others reach this machine (default: the address of --listen).
    #[arg(long, value_name = "NAME")]
    pub(crate) host: Option<String>,
    /// Files to work on at a time (default: one per core).
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) tasks: Option<u16>,
    /// What computes the scores: auto takes a hardware GPU if it is faster here than the CPU, which it measures
    /// once. All give the same bits.
    #[arg(long, value_name = "auto|cpu|gpu", default_value = "auto", value_parser = choice)]
    pub(crate) backend: Choice,
    /// A GPU by name, or a part of its name; with --backend gpu also a software adapter.
    #[arg(long, value_name = "NAME")]
    pub(crate) adapter: Option<String>,
    /// A folder for reports until they are fetched (default: a new one below the system's for temporary files).
    #[arg(long, value_name = "DIR")]
    pub(crate) work_dir: Option<PathBuf>,
}

/// How `submit` finds the cluster and the rows.
#[derive(Args)]
pub(crate) struct Reading {
    /// Files, folders to search for them, patterns in quotes ("logs/**/*.csv"), or the same in a store: s3://, gs://, az://,
    /// http(s)://.
    #[arg(required = true, value_name = "SOURCE")]
    pub(crate) sources: Vec<PathBuf>,
    /// The scheduler.
    #[arg(long, value_name = "NAME:PORT", default_value = "127.0.0.1:50050")]
    pub(crate) scheduler: String,
    /// Take rows at this time or later.
    #[arg(long, value_name = "TIME", value_parser = since, help_heading = "Filters")]
    pub(crate) since: Option<i64>,
    /// Take rows before this moment, or up to the end of this day (UTC).
    #[arg(long, value_name = "TIME", value_parser = until, help_heading = "Filters")]
    pub(crate) until: Option<i64>,
    /// Take rows of this host alone; more than once for several.
    #[arg(long = "host", value_name = "NAME", help_heading = "Filters")]
    pub(crate) hosts: Vec<String>,
    /// Take rows of which this holds, as `ebbline score --where`.
    #[arg(long = "where", value_name = "CONDITION", value_parser = condition, help_heading = "Filters")]
    pub(crate) condition: Option<Condition>,
    /// An option of the store that a URL names; executors get it. Keys and passwords belong in their environment.
    #[arg(long, value_name = "KEY=VALUE", value_parser = option)]
    pub(crate) option: Vec<(String, String)>,
    /// Fail on the first input that cannot be used, instead of skipping it.
    #[arg(long)]
    pub(crate) strict: bool,
    /// Print the result as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// Files or groups of files to hand out at a time; what a `submit` that was killed had handed out is still done.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub(crate) at_a_time: u16,
}

/// Score every row of the sources, as `ebbline score`: the same sidecars and findings, byte for byte.
#[derive(Args)]
pub(crate) struct ScoreArgs {
    /// The baseline to score against; more than once for several.
    #[arg(long, required = true, value_name = "BASELINE")]
    pub(crate) baseline: Vec<PathBuf>,
    /// The folder to write to, which every executor sees; it is made if the folder above it exists.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// So many false alerts a day are expected, over all hosts and kinds of units together.
    #[arg(long, value_name = "N", default_value_t = 5.0, value_parser = alerts_per_day)]
    pub(crate) alerts_per_day: f64,
    /// Instead: a unit is a finding if only one in N is as odd.
    #[arg(long, value_name = "N", conflicts_with = "alerts_per_day", value_parser = rarer_than)]
    pub(crate) rarer_than: Option<f64>,
    #[command(flatten)]
    pub(crate) reading: Reading,
}

/// Build a baseline, as `ebbline learn`: the same under the same key (`--key-of`), byte for byte.
///
/// Executors count: the files of one table, host and day together, as their paths in an archive say; other files in one part
/// for each table. Counts go by a folder beside BASELINE, `BASELINE.learning`, which every executor sees; a run that is
/// killed and run again takes over what is in it.
#[derive(Args)]
pub(crate) struct LearnArgs {
    /// The baseline file to write; it holds a secret key, so keep it as you keep the logs.
    #[arg(long, value_name = "BASELINE")]
    pub(crate) out: PathBuf,
    /// A lens for a table of another program: its name, or a file of TOML. Can be given more than once.
    #[arg(long, value_name = "NAME|FILE")]
    pub(crate) lens: Vec<String>,
    /// Who is who: a file of TOML with the ids that one person or thing has, for lenses that ask.
    #[arg(long, value_name = "FILE", conflicts_with = "onto")]
    pub(crate) entities: Option<PathBuf>,
    /// Use the hash key of another baseline, so that the two can be compared and joined.
    #[arg(long, value_name = "BASELINE")]
    pub(crate) key_of: Option<PathBuf>,
    /// Learn onto another baseline, which keeps its lenses: the result has both.
    #[arg(long, value_name = "BASELINE", conflicts_with = "key_of")]
    pub(crate) onto: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) reading: Reading,
}

/// Ask in SQL, here or on a cluster.
///
/// Tables: process, connection, dns, heartbeat and others that the folders of an archive are called after, each with `file` and
/// `row`; `scores` (`baseline`, `file`, `row`, bits, reasons), `findings`, and `finding_rows` (`baseline`, `finding`, `file`,
/// `row`).
#[derive(Args)]
#[command(after_help = "\
Examples:
  ebbline-cluster sql \"select exe, count(*) from process group by exe order by 2 desc limit 10\" --archive archive/
  ebbline-cluster sql \"select p.exe, s.bits from process p join scores s using (file, row) order by s.bits desc limit 10\" \\
    --archive archive/ --scored scored/")]
pub(crate) struct SqlArgs {
    /// The query.
    #[arg(value_name = "QUERY")]
    pub(crate) query: String,
    /// An archive; more than once for several.
    #[arg(long, value_name = "DIR")]
    pub(crate) archive: Vec<PathBuf>,
    /// A folder that was given to `score --out`; more than once for several.
    #[arg(long, value_name = "DIR")]
    pub(crate) scored: Vec<PathBuf>,
    /// Have a cluster answer; every executor sees the folders at the same paths.
    #[arg(long, value_name = "NAME:PORT")]
    pub(crate) scheduler: Option<String>,
    /// Print an object for each row, one a line.
    #[arg(long)]
    pub(crate) json: bool,
}

impl Reading {
    pub(crate) fn filter(&self) -> Filter {
        let (hosts, condition) = (self.hosts.iter().cloned().collect(), self.condition.clone());
        Filter { since: self.since, until: self.until, hosts, condition }
    }
}

fn choice(text: &str) -> Result<Choice, String> {
    text.parse().map_err(|_| "use auto, cpu or gpu".to_owned())
}

fn since(text: &str) -> Result<i64, String> {
    time(text, false)
}

fn until(text: &str) -> Result<i64, String> {
    time(text, true)
}

fn time(text: &str, is_end: bool) -> Result<i64, String> {
    archive::time_bound(text, is_end).ok_or_else(|| "use a day such as 2026-11-02, or 2026-11-02T14:00:00Z".to_owned())
}

fn condition(text: &str) -> Result<Condition, String> {
    text.parse().map_err(|error: archive::ConditionError| error.to_string())
}

fn option(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("use KEY=VALUE, for example region=eu-central-1".to_owned()),
    }
}

fn alerts_per_day(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(n) if (0.001..=1e6).contains(&n) => Ok(n),
        _ => Err("use a number from 0.001 to 1000000, for example 5".to_owned()),
    }
}

fn rarer_than(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(n) if n >= 1.0 && n.is_finite() => Ok(n),
        _ => Err("use a number from 1 up, for example 1000".to_owned()),
    }
}
