//! The arguments of `ebbline baseline`.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand};

#[derive(Subcommand)]
pub(crate) enum BaselineCommand {
    Show(ShowArgs),
    Common(CommonArgs),
    Diff(DiffArgs),
    Merge(MergeArgs),
    Forget(ForgetArgs),
    Compile(CompileArgs),
}

/// Show what a baseline was learned from and how it was calibrated.
///
/// A baseline is a set of segments (the counts of one host, UTC day and table), of evidence (how surprising their rows
/// were, for calibration) and of the words behind the hashes. Each run of `learn` brought some of them.
#[derive(Args)]
#[command(after_help = "\
Examples:
  ebbline baseline show normal.baseline
  ebbline baseline show normal.baseline --segments    each host and day, with the id that `forget --segment` takes")]
pub(crate) struct ShowArgs {
    /// The baseline.
    #[arg(value_name = "BASELINE")]
    pub(crate) baseline: PathBuf,
    /// List every segment.
    #[arg(long)]
    pub(crate) segments: bool,
    /// Print as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// List what is normal: what was seen in a context, most often first.
///
/// Without --view, the views of the baseline and what each can be asked by. Values are those that `ebbline explain` shows.
/// n is what scoring looks up: rows of a host; hosts, for a group or the whole fleet.
#[derive(Args)]
#[command(after_help = "\
Examples:
  ebbline baseline common normal.baseline                                  what can be asked
  ebbline baseline common normal.baseline --view 'exe given parent' --given parent_exe=/usr/sbin/nginx
  ebbline baseline common normal.baseline --view 'exe given parent' --host web1
  ebbline baseline common normal.baseline --view 'remote port given exe' --given exe=/usr/sbin/nginx --group web

A baseline holds hashes; words come from its dictionary, which is bounded. What is not in it is listed as such.")]
pub(crate) struct CommonArgs {
    /// The baseline.
    #[arg(value_name = "BASELINE")]
    pub(crate) baseline: PathBuf,
    /// The view, by its name.
    #[arg(long, value_name = "VIEW")]
    pub(crate) view: Option<String>,
    /// The table, if views of two tables have the same name.
    #[arg(long, value_name = "TABLE", requires = "view")]
    pub(crate) table: Option<String>,
    /// A field of the context and its value; once for each field.
    #[arg(long, value_name = "FIELD=VALUE", value_parser = pair, requires = "view")]
    pub(crate) given: Vec<(String, String)>,
    /// The habits of one host (default: of the fleet).
    #[arg(long, value_name = "HOST", conflicts_with = "group", requires = "view")]
    pub(crate) host: Option<String>,
    /// The habits of a peer group.
    #[arg(long, value_name = "GROUP", requires = "view")]
    pub(crate) group: Option<String>,
    /// List at most this many.
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(crate) limit: usize,
    /// Print as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Say what differs between two baselines, view by view: what became normal, what went, what is seen more or less.
///
/// Compared are the children of each view at all and given its coarsest context. Both must have been learned under one
/// key (`learn --key-of`).
#[derive(Args)]
#[command(after_help = "\
Examples:
  ebbline baseline diff last-month.baseline this-month.baseline
  ebbline baseline diff before.baseline after.baseline --json | jq '.views[] | {view, came}'")]
pub(crate) struct DiffArgs {
    /// The earlier one.
    #[arg(value_name = "BEFORE")]
    pub(crate) before: PathBuf,
    /// The later one.
    #[arg(value_name = "AFTER")]
    pub(crate) after: PathBuf,
    /// Of each view, list at most this many that came, went and changed.
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub(crate) limit: usize,
    /// Print as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Join baselines: every host, day and table that one of them has, each once.
///
/// The order does not matter and joining twice changes nothing. They must have been learned under one key (`learn
/// --key-of`) and with the same lenses. The first one's way of compiling (decay, groups) is kept.
#[derive(Args)]
#[command(after_help = "\
Examples:
  ebbline learn today/ --out today.baseline --key-of normal.baseline
  ebbline baseline merge normal.baseline today.baseline --out normal.baseline
  ebbline baseline forget normal.baseline --what-came-from today.baseline --out normal.baseline    undoes it")]
pub(crate) struct MergeArgs {
    /// Two or more baselines.
    #[arg(required = true, num_args = 2.., value_name = "BASELINE")]
    pub(crate) baselines: Vec<PathBuf>,
    /// The file to write; it may be one of them.
    #[arg(long, value_name = "BASELINE")]
    pub(crate) out: PathBuf,
    /// Print as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Take away what a baseline should not have learned: hosts, days, segments, or all that another baseline brought.
///
/// --host, --from and --to hold together: that host's days. What is forgotten takes its words and its part of the
/// calibration along, as if it had never been learned.
#[derive(Args)]
#[command(group(ArgGroup::new("what").required(true).multiple(true).args(["host", "from", "to", "segment", "dismissal", "what_came_from"])))]
#[command(after_help = "\
Examples:
  ebbline baseline forget normal.baseline --host web1 --out normal.baseline
  ebbline baseline forget normal.baseline --from 2026-11-02 --to 2026-11-03 --out normal.baseline
  ebbline baseline forget normal.baseline --segment 0123456789abcdef --out normal.baseline
  ebbline baseline forget normal.baseline --what-came-from today.baseline --out normal.baseline

The last one undoes a merge, byte for byte: what another run of learning had brought, too, stays.")]
pub(crate) struct ForgetArgs {
    /// The baseline.
    #[arg(value_name = "BASELINE")]
    pub(crate) baseline: PathBuf,
    /// This host; again for more hosts.
    #[arg(long, value_name = "HOST")]
    pub(crate) host: Vec<String>,
    /// This UTC day and later ones.
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = day)]
    pub(crate) from: Option<i32>,
    /// This UTC day and earlier ones.
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = day)]
    pub(crate) to: Option<i32>,
    /// One segment, by its id; again for more.
    #[arg(long, value_name = "ID")]
    pub(crate) segment: Vec<String>,
    /// One dismissal, by its id; again for more. `ebbline incident undo` finds it by the incident.
    #[arg(long, value_name = "ID")]
    pub(crate) dismissal: Vec<String>,
    /// All that the runs of learning in this baseline brought.
    #[arg(long, value_name = "BASELINE", conflicts_with_all = ["host", "from", "to", "segment", "dismissal"])]
    pub(crate) what_came_from: Option<PathBuf>,
    /// The file to write; it may be the baseline itself.
    #[arg(long, value_name = "BASELINE")]
    pub(crate) out: PathBuf,
    /// Print as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Compile the same counts in another way: older days count less, hosts have peer groups, tables have a limit.
///
/// Nothing is lost: what an option changes, compiling without it gives back. Options that are not named keep their value;
/// --plain begins from none.
#[derive(Args)]
#[command(after_help = "\
Examples:
  ebbline baseline compile normal.baseline --half-life 30 --out fresh.baseline
  ebbline baseline compile normal.baseline --group web=web1,web2 --group db=db1 --out grouped.baseline
  ebbline baseline compile normal.baseline --learn-groups --out grouped.baseline    `show` says who is with whom
  ebbline baseline compile fresh.baseline --plain --out normal.baseline")]
pub(crate) struct CompileArgs {
    /// The baseline.
    #[arg(value_name = "BASELINE")]
    pub(crate) baseline: PathBuf,
    /// Forget all earlier options first.
    #[arg(long)]
    pub(crate) plain: bool,
    /// In so many days what was counted loses half of its weight.
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=i64::from(model::decay::MAX_HALF_LIFE)))]
    pub(crate) half_life: Option<u32>,
    /// The UTC day from which age is measured (default: the newest that was learned).
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = day)]
    pub(crate) as_of: Option<i32>,
    /// Most entries of a table; what was counted least goes into a sketch.
    #[arg(long, value_name = "N")]
    pub(crate) max_entries: Option<u64>,
    /// A peer group and its hosts; again for more groups. Replaces the groups that were given before.
    #[arg(long, value_name = "GROUP=HOST,HOST", value_parser = pair)]
    pub(crate) group: Vec<(String, String)>,
    /// Put hosts that are in no group given here into groups of hosts that do much the same.
    #[arg(long)]
    pub(crate) learn_groups: bool,
    /// The file to write; it may be the baseline itself.
    #[arg(long, value_name = "BASELINE")]
    pub(crate) out: PathBuf,
    /// Print as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("use NAME=VALUE".to_owned()),
    }
}

pub(crate) fn day(text: &str) -> Result<i32, String> {
    model::days::parse_day(text).ok_or_else(|| "use a day such as 2026-11-02".to_owned())
}
