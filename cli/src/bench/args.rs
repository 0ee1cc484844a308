//! Arguments of `ebbline bench`.

use std::fmt::Display;
use std::path::PathBuf;
use std::str::FromStr;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};

/// Measure what each device does with a model, beside the most that its memory gives.
///
/// First every device must give the scores of the CPU, bit for bit. Then its memory is measured, and what it makes of that:
/// scoring, learning, and files; medians of several runs. Beside the rates stands what share that is of what the memory of the
/// same device gave in the same run. Software adapters are programs on the CPU: their figures say nothing about GPUs.
#[derive(Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
What is measured, of each device:
  streaming, random 32-byte reads,          what its memory gives at most, in GB/s and reads/s
  copy to the device, copy back
  kernel only                               scoring, from codes to scores, in rows/s
  Arrow in to scores out                    scoring, from columns to scores in memory, copies included
  batches                                   scoring, by rows of a batch: from where on a GPU is as fast as the CPU
  learning                                  counting cells
  reading Parquet, Parquet to baseline,     files, as ebbline learn and ebbline score do it
  Parquet to Parquet

Examples:
  ebbline bench --quick                            under a minute, everything that is there
  ebbline bench --json --out today.json            under ten minutes, more sizes; kept for later
  ebbline bench --device cpu --views 8,32 --seed 7
  ebbline bench --quick --html bench.html          the same as a page with charts
  ebbline bench page laptop.json server.json       a page of results that are there already
  ebbline bench compare before.json after.json     how much faster or slower
  ebbline bench auto normal.baseline               what --backend auto takes here, and why

Ctrl-C ends it at any moment with what there is.
Exit codes: 0 done, 1 failed or wrong scores, 2 wrong usage, 3 done but figures were left out and named."
)]
pub(crate) struct BenchArgs {
    #[command(subcommand)]
    pub(super) command: Option<BenchCommand>,
    /// Fewer sizes, in under a minute.
    #[arg(long)]
    pub(super) quick: bool,
    /// Which devices: all, cpu, or an adapter by a part of its name, software adapters too.
    #[arg(long, value_name = "NAME", default_value = "all", value_parser = NonEmptyStringValueParser::new())]
    pub(super) device: String,
    /// Numbers of views of the lens, each from 1 to 256 (default: 8,32,128,256; with --quick 8,128).
    #[arg(long, value_name = "N,…", value_delimiter = ',', value_parser = views, allow_negative_numbers = true)]
    pub(super) views: Vec<usize>,
    /// Sizes of the count table in MiB (default: from a part of the last cache to eight times it).
    #[arg(long, value_name = "N,…", value_delimiter = ',', value_parser = mib, allow_negative_numbers = true)]
    pub(super) table_mib: Vec<usize>,
    /// Rows of a batch (default: 65,536, as files have them); files have so many more.
    #[arg(long, value_name = "N", value_parser = rows, allow_negative_numbers = true)]
    pub(super) rows: Option<usize>,
    /// Where rows and tables come from: the same number gives the same ones.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = seed, allow_negative_numbers = true)]
    pub(super) seed: u64,
    /// The time that it may take; what does not fit is left out by name (default: 570, with --quick 50).
    #[arg(long, value_name = "N", value_parser = seconds, allow_negative_numbers = true)]
    pub(super) seconds: Option<u64>,
    /// Print the result as JSON.
    #[arg(long)]
    pub(super) json: bool,
    /// Write the result as JSON to FILE, too.
    #[arg(long, value_name = "FILE")]
    pub(super) out: Option<PathBuf>,
    /// Write the result as a page with charts to FILE, too: one file for a browser, that needs no network.
    #[arg(long, value_name = "FILE")]
    pub(super) html: Option<PathBuf>,
}

/// What else can be done.
#[derive(Subcommand)]
pub(crate) enum BenchCommand {
    Compare(CompareArgs),
    Page(PageArgs),
    Auto(AutoArgs),
}

/// Say what `--backend auto` takes for the tables of a baseline on this machine, and why.
///
/// A hardware GPU and the CPU are measured with a model of the same size, once: for files, that come in large batches, and for
/// rows as an agent captures them, which come in small ones. Where there is no hardware GPU nothing is measured.
#[derive(Args)]
#[command(after_help = "\
Examples:
  ebbline bench auto normal.baseline
  ebbline bench auto normal.baseline --again       after a change that no version tells

Removing the file that it names is the same as --again.")]
pub(crate) struct AutoArgs {
    /// The baseline to score with.
    #[arg(value_name = "BASELINE")]
    pub(super) baseline: PathBuf,
    /// Forget what was measured before, of all baselines, and measure again.
    #[arg(long)]
    pub(super) again: bool,
    /// A GPU by name, or a part of its name.
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub(super) adapter: Option<String>,
    /// Print as JSON.
    #[arg(long)]
    pub(super) json: bool,
    /// Take software adapters for hardware: for tests.
    #[arg(long, hide = true)]
    pub(super) software_too: bool,
}

/// Set two results side by side: how much faster or slower the second is, and where the runs differ.
#[derive(Args)]
#[command(after_help = "\
Example:
  ebbline bench compare before.json after.json

A ratio of 2 means that the second is twice as fast. Where runs of one were as fast as runs of the other, or there were
fewer than three, the ratio says little, and is in parentheses.")]
pub(crate) struct CompareArgs {
    /// The first result, of `bench --json` or `--out`.
    #[arg(value_name = "A.json")]
    pub(super) before: PathBuf,
    /// The second result.
    #[arg(value_name = "B.json")]
    pub(super) after: PathBuf,
    /// Print as JSON.
    #[arg(long)]
    pub(super) json: bool,
}

/// Write a page of results that are there already, side by side: one file for a browser, that needs no network.
#[derive(Args)]
#[command(after_help = "\
Examples:
  ebbline bench page today.json                          writes ebbline-bench.html
  ebbline bench page laptop.json server.json --out machines.html
  ebbline bench page today.json <(ssh server ebbline bench --quick --json)

Results go by the names of their files.")]
pub(crate) struct PageArgs {
    /// Results, of `bench --json` or `--out`, as files or from pipes; 12 at most.
    #[arg(value_name = "RESULT.json", required = true)]
    pub(super) results: Vec<PathBuf>,
    /// The file to write.
    #[arg(long, value_name = "FILE", default_value = "ebbline-bench.html")]
    pub(super) out: PathBuf,
    /// Print what was written as JSON.
    #[arg(long)]
    pub(super) json: bool,
}

fn views(text: &str) -> Result<usize, String> {
    number(text, 1, 256)
}

fn mib(text: &str) -> Result<usize, String> {
    number(text, 1, 1 << 15)
}

fn rows(text: &str) -> Result<usize, String> {
    number(text, 1, 1 << 22)
}

fn seconds(text: &str) -> Result<u64, String> {
    number(text, 1, 86_400)
}

fn seed(text: &str) -> Result<u64, String> {
    number(text, 0, u64::MAX)
}

fn number<N: FromStr + PartialOrd + Display>(text: &str, least: N, most: N) -> Result<N, String> {
    let number = text.parse().ok().filter(|n| (&least..=&most).contains(&n));
    number.ok_or_else(|| format!("use a whole number from {least} to {most}"))
}
