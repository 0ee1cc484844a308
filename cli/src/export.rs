//! `ebbline export`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use export::{Class, ExportOptions, Exported, OCSF_VERSION, Partition};
use serde_json::{Map, Value, json};

use crate::args::{Filters, option};
use crate::output::{print, print_json};
use crate::progress::Bar;
use crate::words::{plural, thousands};

/// Write rows and findings as events of OCSF, for Amazon Security Lake and other data lakes.
///
/// Processes become Process Activity (1007), connections Network Activity (4001), DNS messages DNS Activity (4003) and
/// findings Detection Findings (2004), each in a folder of its own: `CLASS/region=…/accountId=…/eventDay=YYYYMMDD/`.
/// Every row is an event or counted as left out; filters take some rows alone, and by time and host some findings. Equal inputs give equal files, so it can be run again at any time.
#[derive(Args)]
#[command(after_help = "\
Examples:
  ebbline export archive/ --ocsf 1.3 --out lake/
  ebbline export archive/ --findings scores/ --ocsf 1.3 --region eu-central-1 --account 123456789012 --out lake/
  ebbline export --findings scores/ --ocsf 1.3 --out lake/      findings alone
  ebbline export archive/ --ocsf 1.3 --since 2026-11-21 --host web1 --where 'uid = 0' --out lake/

Then, for each class: aws s3 sync lake/process_activity/ s3://BUCKET/ext/SOURCE-NAME/")]
pub(crate) struct ExportArgs {
    /// Archive files, folders to search for them, patterns in quotes, or the same in a store: s3://, gs://, az://, http(s)://.
    #[arg(required_unless_present = "findings", value_name = "SOURCE")]
    pub(crate) sources: Vec<PathBuf>,
    /// A folder that was given to `score --out`: its findings, too. Those that lie beside a source need not be named.
    #[arg(long, value_name = "DIR")]
    pub(crate) findings: Vec<PathBuf>,
    /// The version of the schema.
    #[arg(long, value_name = "1.3", value_parser = version)]
    pub(crate) ocsf: &'static str,
    /// The folder to write to; it is made if the folder above it exists.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// The region in the names of folders; for Security Lake that of the lake.
    #[arg(long, value_name = "NAME", default_value = "local")]
    pub(crate) region: String,
    /// The account in the names of folders; Amazon wants external, or external_ID, for what is no AWS account's.
    #[arg(long, value_name = "ID", default_value = "external")]
    pub(crate) account: String,
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

/// What is asked for, in full.
fn version(text: &str) -> Result<&'static str, String> {
    match text {
        "1.3" | OCSF_VERSION => Ok(OCSF_VERSION),
        _ => Err(format!("use 1.3: events are those of OCSF {OCSF_VERSION}")),
    }
}

/// Exports; true if inputs were skipped.
pub(crate) fn run(args: &ExportArgs) -> Result<bool> {
    crate::score::use_threads(args.threads)?;
    let partition = Partition::new(&args.region, &args.account)
        .map_err(|why| anyhow::anyhow!("cannot use the partition: --region and --account: {why}"))?;
    let options = ExportOptions {
        partition,
        threads: args.threads.unwrap_or(0),
        strict: args.strict,
        settings: args.option.clone(),
        filter: args.filters.filter(),
    };
    let bar = Bar::new();
    archive::Progress::stage(&bar, "exporting");
    let exported = export::export(&args.sources, &args.findings, &args.out, &options, &bar)?;
    bar.done();
    if args.json {
        print_json(&to_json(args, &exported))?;
    } else {
        print(&in_words(args, &exported))?;
    }
    Ok(!exported.skipped.is_empty())
}

fn in_words(args: &ExportArgs, exported: &Exported) -> String {
    let mut text = String::new();
    for class in Class::ALL {
        let made = exported.classes.get(&class).copied().unwrap_or_default();
        let (events, files) = (plural(made.events, "event", "events"), plural(made.files, "file", "files"));
        text += &format!("{:18} {:>5}  {events} in {files}\n", class.folder(), class.uid());
    }
    for ((table, activity, why), rows) in &exported.left_out {
        text += &format!("left out: {} {activity} of {table}: {why}\n", thousands(*rows));
    }
    let skipped = match exported.skipped.len() as u64 {
        0 => String::new(),
        n => format!(", {} skipped", plural(n, "input", "inputs")),
    };
    text + &format!("OCSF {} in {}, {:.1} s{skipped}", args.ocsf, args.out.display(), exported.wall_seconds)
}

fn to_json(args: &ExportArgs, exported: &Exported) -> Value {
    let made = |class: Class| {
        let made = exported.classes.get(&class).copied().unwrap_or_default();
        json!({ "class_uid": class.uid(), "events": made.events, "files": made.files, "bytes": made.bytes })
    };
    let classes: Map<String, Value> =
        Class::ALL.iter().map(|class| (class.folder().to_owned(), made(*class))).collect();
    let left_out = exported.left_out.iter().map(
        |((table, activity, why), rows)| json!({ "table": table, "activity": activity, "reason": why, "rows": rows }),
    );
    let skipped = exported.skipped.iter().map(|(path, reason)| json!({ "path": path, "reason": reason }));
    json!({
        "out": args.out, "ocsf": args.ocsf, "classes": classes, "left_out": left_out.collect::<Vec<_>>(),
        "skipped": skipped.collect::<Vec<_>>(), "wall_seconds": exported.wall_seconds,
    })
}
