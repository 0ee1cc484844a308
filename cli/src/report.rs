//! `ebbline report`.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use pages::Page;
use serde_json::{Value, json};
use store::Incident;
use triage::{Gap, Options, Standing, Standings, Told};

use crate::incident::{Promise, standings, to_json, with_feedback};
use crate::output::{print, print_json};
use crate::techniques;
use crate::words::plural;

/// Write a report: one file for a browser, with the incidents, charts, and a map of who talks to whom.
///
/// The file needs no network and no other file. It has command lines and addresses in it: keep it as you keep the logs.
/// Incidents are grouped anew first, as by `ebbline incident list`.
#[derive(Args)]
#[command(after_help = "\
Examples:
  ebbline report scored/ --archive archive/              writes ebbline-report.html
  ebbline report /var/lib/ebbline --out /tmp/today.html  of an agent that scores into its archive")]
pub(crate) struct ReportArgs {
    /// The folder that was given to `score --out`, or the archive of an agent that scores.
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Where the rows are that were scored, if not in DIR; more than once for several archives.
    #[arg(long, value_name = "FOLDER")]
    archive: Vec<PathBuf>,
    /// Take the findings of this baseline alone: its id, as the folders in DIR/findings are called.
    #[arg(long, value_name = "ID")]
    baseline_id: Option<String>,
    /// The baseline that was scored with, for lenses that do not come with Ebbline.
    #[arg(long, value_name = "BASELINE")]
    baseline: Option<PathBuf>,
    /// The file to write.
    #[arg(long, value_name = "FILE", default_value = "ebbline-report.html")]
    out: PathBuf,
    /// How many incidents to tell, the most unusual first; the others are counted.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    limit: usize,
    /// Print what was written as JSON.
    #[arg(long)]
    json: bool,
}

/// Writes the report.
pub(crate) fn run(args: &ReportArgs) -> Result<bool> {
    let options = Options { out: args.dir.clone(), archives: args.archive.clone(), baseline: args.baseline_id.clone() };
    let triaged = triage::triage(&options)?;
    let (mut shown, mut lasts, mut hidden): (Vec<Incident>, Vec<i64>, u64) = (Vec::new(), Vec::new(), 0);
    let standings = standings(&options)?;
    store::read_incidents(&options.path(), |incident| {
        lasts.push(incident.last);
        if standings.get(&incident.id).is_some_and(Standing::is_hidden) {
            hidden += 1;
        } else if shown.len() < args.limit {
            shown.push(incident);
        }
        true
    })?;
    let findings = triage::findings_of_all(&options, &shown)?;
    let shown: Vec<_> = shown.into_iter().zip(findings).collect();
    let given = args.baseline.as_deref().map(crate::baseline::load).transpose()?;
    let lenses = techniques::lenses(given.map(|baseline| baseline.parts().lenses.clone()));
    let (told, unread) = triage::tell_all(&options, &shown, &lenses)?;
    let overview = triage::overview(&options)?;
    let unread = [triaged.unread.clone(), unread, overview.unread.clone()].concat();
    let promise = Promise::of(&options, &lasts)?;
    let mut data = serde_json::to_value(&overview)?;
    data["format"] = triage::REPORT_FORMAT.into();
    data["version"] = env!("CARGO_PKG_VERSION").into();
    data["source"] = name_of(&args.dir).into();
    data["expected_per_day"] = promise.expected.into();
    data["last_7_days"] = promise.last_7_days.into();
    data["findings"] = triaged.findings.into();
    let mut gaps = triage::coverage(&options, &unread)?;
    gaps.extend(Gap::dismissed(hidden));
    data["coverage"] = serde_json::to_value(gaps)?;
    let incidents: Result<Vec<Value>> = shown
        .iter()
        .zip(told)
        .zip(1..)
        .map(|(((incident, _), told), rank)| entry(rank, incident, &standings, &told))
        .collect();
    data["incidents"] = json!({ "total": triaged.incidents, "shown": incidents? });
    pages::write(&args.out, Page::Report, &data)?;
    say(args, triaged.incidents, shown.len())?;
    Ok(!unread.is_empty())
}

/// As `incident list --json` has it, and told.
fn entry(rank: usize, incident: &Incident, standings: &Standings, told: &Told) -> Result<Value> {
    let mut value = with_feedback(to_json(rank, incident), standings, incident);
    value["narrative"] = serde_json::to_value(&told.narrative)?;
    value["reasons"] = serde_json::to_value(&told.reasons)?;
    value["graph"] = serde_json::to_value(&told.graph)?;
    Ok(value)
}

/// The folder's own name: where it lies is nobody's business who reads the report.
fn name_of(dir: &Path) -> String {
    let whole = std::path::absolute(dir).unwrap_or_else(|_| dir.to_path_buf());
    whole.file_name().map_or_else(|| "/".to_owned(), |name| name.to_string_lossy().into_owned())
}

fn say(args: &ReportArgs, incidents: u64, told: usize) -> Result<()> {
    let bytes = std::fs::metadata(&args.out).map(|meta| meta.len()).unwrap_or_default();
    if args.json {
        return print_json(&json!({ "file": args.out, "bytes": bytes, "incidents": incidents, "told": told }));
    }
    let all = plural(incidents, "incident", "incidents");
    let of = if told as u64 == incidents { all } else { format!("{told} of {all}") };
    print(&format!("{}: {of}, {}; open it in a browser", args.out.display(), terminal::bytes(bytes)))
}
