//! The command line.

use std::path::PathBuf;

use archive::{Choice, Condition, Filter};
use clap::{Args, Parser, Subcommand};
use eval::Set;

pub(crate) use crate::baseline::args::BaselineCommand;
pub(crate) use crate::bench::BenchArgs;
pub(crate) use crate::export::ExportArgs;
pub(crate) use crate::handover::HandoverArgs;
pub(crate) use crate::incident::IncidentCommand;
pub(crate) use crate::lens::args::LensCommand;
pub(crate) use crate::report::ReportArgs;
pub(crate) use crate::top::TopArgs;

/// Learn what is normal for the processes and connections of your machines, and find what is not.
#[derive(Parser)]
#[command(
    name = "ebbline",
    version,
    after_help = "\
Examples:
  ebbline learn archive/ --out normal.baseline        what is normal
  ebbline score archive/ --baseline normal.baseline --out scores/
  ebbline show scores/                                what stands out, rarest first
  ebbline incident list scores/ --archive archive/    the same as stories
  ebbline report scores/ --archive archive/           all of it as one file for a browser
  ebbline handover scores/ --to https://hooks.example/in    the same for other systems
  ebbline top scores/ --archive archive/              the same in a terminal, as it comes
  ebbline explain archive/process/…/20261121T140000Z-000001.parquet 17 --baseline normal.baseline

The files come from `ebbline-agent run`. Results go to standard output, progress to standard error.
Exit codes: 0 done, 1 failed, 2 wrong usage, 3 done but some inputs were skipped and named."
)]
pub(crate) struct Cli {
    /// Colours: auto, always or never; `auto` goes by the terminal and NO_COLOR.
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: terminal::Colour,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    Learn(LearnArgs),
    Score(ScoreArgs),
    Show(ShowArgs),
    Explain(ExplainArgs),
    /// Group findings into incidents, and read one in a minute.
    #[command(subcommand)]
    Incident(IncidentCommand),
    Report(ReportArgs),
    Top(TopArgs),
    Export(ExportArgs),
    Handover(HandoverArgs),
    Eval(EvalArgs),
    Bench(BenchArgs),
    /// Look into baselines, join them, take away what one should not have learned.
    #[command(subcommand)]
    Baseline(BaselineCommand),
    /// See what a lens sees in a table, or draft one.
    #[command(subcommand)]
    Lens(LensCommand),
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Write the manual pages.
    #[command(hide = true)]
    Man {
        /// The folder to write to.
        dir: PathBuf,
    },
}

/// Build a baseline from files, folders or object stores.
///
/// What the agent writes needs no lens. For a table of another program, in Parquet, JSON lines, CSV or as Zeek writes it,
/// name a lens, which says what its columns mean: one that comes with Ebbline, or a file of yours.
///
/// Three days or more calibrate it best: each day is then scored against the days before it, as new data will be.
#[derive(Args)]
#[command(after_help = "\
Examples:
  ebbline learn archive/ --out normal.baseline
  ebbline learn archive/process/day=2026-11-2* archive/connection/day=2026-11-2* --out normal.baseline
  ebbline learn yesterday/ --onto normal.baseline --out normal.baseline      one day more, every day
  ebbline learn zeek-logs/ --lens zeek-conn --lens zeek-dns --out zeek.baseline
  ebbline learn orders.csv --lens orders.toml --out orders.baseline
  ebbline learn archive/ --until 2026-11-14 --host web1 --host web2 --out web.baseline
  ebbline learn s3://logs/ebbline/ --option region=eu-central-1 --out normal.baseline")]
pub(crate) struct LearnArgs {
    /// The baseline file to write; it holds a secret key, so keep it as you keep the logs.
    #[arg(long, value_name = "BASELINE")]
    pub(crate) out: PathBuf,
    /// A lens for a table of another program: its name, or a file of TOML. Can be given more than once.
    #[arg(long, value_name = "NAME|FILE")]
    pub(crate) lens: Vec<String>,
    /// Who is who: a file of TOML with the ids that one person or thing has, for lenses that ask.
    #[arg(long, value_name = "FILE")]
    pub(crate) entities: Option<PathBuf>,
    /// Use the hash key of another baseline, so that the two can be compared and joined.
    #[arg(long, value_name = "BASELINE")]
    pub(crate) key_of: Option<PathBuf>,
    /// Learn onto another baseline: the result has both, and each new day is scored against the days before it.
    #[arg(long, value_name = "BASELINE", conflicts_with = "key_of")]
    pub(crate) onto: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) reading: Reading,
}

/// What is read, and how: the same for learning and scoring.
#[derive(Args)]
pub(crate) struct Reading {
    /// Files, folders to search for them, patterns in quotes ("logs/**/*.csv"), or the same in a store: s3://, gs://, az://,
    /// http(s)://.
    #[arg(required = true, value_name = "SOURCE")]
    pub(crate) sources: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) filters: Filters,
    /// An option of the store that a URL names, such as region=eu-central-1; as often as needed. Keys and passwords belong in
    /// the environment.
    #[arg(long, value_name = "KEY=VALUE", value_parser = option)]
    pub(crate) option: Vec<(String, String)>,
    /// Threads to use (default: one per core).
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<usize>,
    /// Fail on the first input that cannot be used, instead of skipping it.
    #[arg(long)]
    pub(crate) strict: bool,
    /// Print the result as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Which rows are taken.
#[derive(Args)]
pub(crate) struct Filters {
    /// Take rows at this time or later: a day, or a moment such as 2026-11-21T14:00:00Z. Files and parts of files that
    /// cannot hold any are not read.
    #[arg(long, value_name = "TIME", value_parser = since, help_heading = "Filters")]
    pub(crate) since: Option<i64>,
    /// Take rows before this moment, or up to the end of this day (UTC).
    #[arg(long, value_name = "TIME", value_parser = until, help_heading = "Filters")]
    pub(crate) until: Option<i64>,
    /// Take rows of this host alone; more than once for several.
    #[arg(long, value_name = "NAME", help_heading = "Filters")]
    pub(crate) host: Vec<String>,
    /// Take rows of which this holds: columns compared by =, !=, <, <=, >, >= or in (…) with numbers and 'texts', joined by
    /// and, or and parentheses.
    #[arg(long = "where", value_name = "CONDITION", value_parser = condition, help_heading = "Filters")]
    pub(crate) condition: Option<Condition>,
}

/// Score every row of the sources; write sidecars and findings.
///
/// Equal inputs and baseline give equal files, whatever the number of threads and the backend.
#[derive(Args)]
#[command(after_help = "\
Examples:
  ebbline score archive/ --baseline normal.baseline --out scores/
  ebbline score archive/ --baseline normal.baseline --out scores/ --alerts-per-day 1
  ebbline score archive/process/day=2026-11-21 --baseline normal.baseline --out scores/ --rarer-than 100000
  ebbline score 's3://logs/ebbline/process/day=2026-11-2*' --baseline normal.baseline --out scores/
  ebbline score archive/ --baseline normal.baseline --out scores/ --since 2026-11-01 --where \"uid = 0 and exe != '/bin/sh'\"
  ebbline score archive/ --baseline web.baseline --baseline fleet.baseline --out scores/
  ebbline score archive/ --baseline normal.baseline --out scores/ --backend gpu")]
pub(crate) struct ScoreArgs {
    /// The baseline to score against. Given more than once, files are read once, and each baseline has results of its own.
    #[arg(long, required = true, value_name = "BASELINE")]
    pub(crate) baseline: Vec<PathBuf>,
    /// Check that the baseline was learned with this mapping of ids.
    #[arg(long, value_name = "FILE")]
    pub(crate) entities: Option<PathBuf>,
    /// The folder to write to; it is made if the folder above it exists.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// What computes the scores: auto takes a hardware GPU if it is faster here than the CPU, which it measures once.
    #[arg(long, value_name = "auto|cpu|gpu", default_value = "auto", value_parser = choice)]
    pub(crate) backend: Choice,
    /// A GPU by name, or a part of its name; with --backend gpu also a software adapter.
    #[arg(long, value_name = "NAME")]
    pub(crate) adapter: Option<String>,
    /// Rows scored at a time (default: what suits the backend, at most 65,536). Scores do not depend on it, memory does.
    #[arg(long, value_name = "N", value_parser = batch_rows)]
    pub(crate) batch_rows: Option<usize>,
    /// So many false alerts a day are expected, over all hosts and kinds of units together.
    #[arg(long, value_name = "N", default_value_t = 5.0, value_parser = alerts_per_day)]
    pub(crate) alerts_per_day: f64,
    /// Instead: a unit, for example a process tree in one hour, is a finding if only one in N is as odd.
    #[arg(long, value_name = "N", conflicts_with = "alerts_per_day", value_parser = rarer_than)]
    pub(crate) rarer_than: Option<f64>,
    /// Dismissals in the baseline that were over before this day do not count (default: today).
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = crate::baseline::args::day)]
    pub(crate) as_of: Option<i32>,
    #[command(flatten)]
    pub(crate) reading: Reading,
}

/// Show the findings of a scored folder, most surprising first.
#[derive(Args)]
#[command(after_help = "\
Examples:
  ebbline show scores/
  ebbline show scores/ --days
  ebbline show scores/ --json --all | jq '.findings[].title'

\"1 in N\" is absolute: of N units like this (process trees in one hour) that look like what was learned, one is as odd.
Reasons name what was seen and how often before: \"0 of 41,220 (312 kinds), this host\".")]
pub(crate) struct ShowArgs {
    /// The folder that was given to `score --out`, or the agent's.
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// Take suggestions of techniques from the lenses of this baseline, instead of those that come with Ebbline.
    #[arg(long, value_name = "BASELINE")]
    pub(crate) baseline: Option<PathBuf>,
    /// Show at most this many.
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(crate) limit: usize,
    /// Show all.
    #[arg(long)]
    pub(crate) all: bool,
    /// Count the findings of each of the last seven days, too.
    #[arg(long)]
    pub(crate) days: bool,
    /// Print as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Take one row of an archive file apart: every view of it, level by level.
///
/// n is how often this was seen in the context, N how often anything was, T how many distinct things. Levels go from the
/// finest context to the coarsest, each for this host, then for its group and the fleet (where hosts are counted, not
/// rows), down to where this was seen. ▸ marks the level that cost most: the one that reasons quote.
#[derive(Args)]
#[command(after_help = "\
Example:
  ebbline explain archive/process/day=2026-11-21/host=web1/20261121T140000Z-000001.parquet 17 --baseline normal.baseline

`ebbline show DIR` names file and row of each finding; `--json` has all of its rows.")]
pub(crate) struct ExplainArgs {
    /// A file of the archive, or one of another program whose lens the baseline has.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// The row, from 0.
    #[arg(value_name = "ROW")]
    pub(crate) row: u64,
    /// The baseline to explain against.
    #[arg(long, value_name = "BASELINE")]
    pub(crate) baseline: PathBuf,
    /// Print as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Measure how right the scores are, on labelled sets, each by its protocol.
///
/// The sets are no part of Ebbline: DIR holds them, one Parquet file each. Labels are read here alone; the model is not shown
/// them. Intervals are 95 %: of figures by bootstrap, of false alerts the exact ones of a Poisson mean.
#[derive(Args)]
#[command(after_help = "\
Examples:
  ebbline eval --all --data sets/
  ebbline eval windows-processes --data sets/ --json
  ebbline eval darpa98-edges --data sets/ --lens mine.toml

The sets: darpa98-edges, serverless-sysdig, windows-processes, enterprise-alerts.")]
pub(crate) struct EvalArgs {
    /// Names of sets.
    #[arg(required_unless_present = "all", value_name = "SET")]
    pub(crate) sets: Vec<Set>,
    /// Every set.
    #[arg(long, conflicts_with = "sets")]
    pub(crate) all: bool,
    /// The folder that holds the sets.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// Another lens for the one set that is named.
    #[arg(long, value_name = "FILE", conflicts_with = "all")]
    pub(crate) lens: Option<PathBuf>,
    /// Figures of other detectors to show beside, as benches/peers/accuracy.py writes them.
    #[arg(long, value_name = "FILE", conflicts_with = "combinations")]
    pub(crate) peers: Option<PathBuf>,
    /// Write a page of it to FILE, too.
    #[arg(long, value_name = "FILE")]
    pub(crate) write: Option<PathBuf>,
    /// Compare ways of combining views and of summing a unit's rows instead, each set by the choice made on the others.
    #[arg(long)]
    pub(crate) combinations: bool,
    /// Print as JSON.
    #[arg(long, conflicts_with = "combinations")]
    pub(crate) json: bool,
}

impl Reading {
    pub(crate) fn filter(&self) -> Filter {
        self.filters.filter()
    }
}

impl Filters {
    pub(crate) fn filter(&self) -> Filter {
        let (hosts, condition) = (self.host.iter().cloned().collect(), self.condition.clone());
        Filter { since: self.since, until: self.until, hosts, condition }
    }
}

fn choice(text: &str) -> Result<Choice, String> {
    text.parse().map_err(|_| "use auto, cpu or gpu".to_owned())
}

fn batch_rows(text: &str) -> Result<usize, String> {
    let rows = text.parse().ok().filter(|rows| (256..=1 << 20).contains(rows));
    rows.ok_or_else(|| "use a number from 256 to 1048576".to_owned())
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

pub(crate) fn option(text: &str) -> Result<(String, String), String> {
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
