//! What a baseline that was taught would have hidden: the archive of the last months, scored by it and by the one before.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use archive::{Filter, Progress, ScoreOptions};
use model::{Baseline, Line};
use serde_json::{Value, json};
use store::{Finding, Manifest};
use triage::Options;

use crate::progress::Bar;
use crate::show::shorten;
use crate::words::{inline, plural};

/// How far back is looked.
const DAYS: i64 = 90;
const DAY_NS: i64 = 86_400_000_000_000;
/// Half of the least difference between two log2_n.
const HALF_STEP: f64 = 1.0 / 2048.0;
/// Titles that are shown; JSON has all.
const TITLES: usize = 5;
/// Folders of runs that were killed go after this.
const STALE: Duration = Duration::from_secs(86_400);

/// Findings by the ids of their units, with their titles.
type Titles = BTreeMap<String, String>;

/// What was found in the last rows, by the one baseline and the other.
pub(super) struct Effect {
    /// Findings of the baseline as it was.
    before: usize,
    /// Those that the taught one does not have.
    hidden: Titles,
    /// Those that only the taught one has.
    new: Titles,
    /// Of the incident that is dismissed: those that are findings all the same.
    left: usize,
    /// Of the hidden, those of incidents that were accepted.
    pub(super) accepted: Titles,
    /// Inputs that could not be scored.
    skipped: usize,
}

impl Effect {
    /// Scores the rows of the last 90 days up to the last that was scored, with a line that all findings in the folder
    /// pass. `dismissed` and `accepted` are units.
    pub(super) fn measure(
        options: &Options,
        (baseline, taught): (&Baseline, &Baseline),
        dismissed: &BTreeSet<String>,
        accepted: &BTreeSet<String>,
    ) -> Result<Self> {
        let manifest = Manifest::load(&options.out)?;
        let run = manifest.runs.last();
        let until = run.and_then(|run| store::from_rfc3339(run.until.as_ref()?));
        let filter = Filter { since: until.map(|until| until.saturating_sub(DAYS * DAY_NS)), ..Filter::default() };
        let line = line(options, run.map(|run| run.rarer_than))?;
        let how = ScoreOptions { line, filter, sidecars: false, ..ScoreOptions::default() };
        let unmeasured = "cannot measure what it would hide; --unmeasured does it without";
        let folder = Folder::new(&options.out.join("incidents")).context(unmeasured)?;
        let bar = Bar::with_findings(line);
        bar.stage("measuring");
        let scored = archive::score_all(options.archives(), &[baseline, taught], &folder.0, &how, &bar);
        bar.done();
        let mut scored = scored.context(unmeasured)?;
        let skipped = scored.first().map_or(0, |scored| scored.run.inputs_skipped.len());
        let after = scored.pop().map(|scored| titles(&scored.findings)).unwrap_or_default();
        let before = scored.pop().map(|scored| titles(&scored.findings)).unwrap_or_default();
        let less = |all: &Titles, other: &Titles| -> Titles {
            all.iter()
                .filter(|(unit, _)| !other.contains_key(*unit))
                .map(|(unit, title)| (unit.clone(), title.clone()))
                .collect()
        };
        let hidden = less(&before, &after);
        let is_accepted = |(unit, _): &(&String, &String)| accepted.contains(*unit);
        Ok(Self {
            before: before.len(),
            new: less(&after, &before),
            left: dismissed.iter().filter(|unit| after.contains_key(*unit)).count(),
            accepted: hidden.iter().filter(is_accepted).map(|(unit, title)| (unit.clone(), title.clone())).collect(),
            hidden,
            skipped,
        })
    }

    /// `would have hidden 12 of 40 findings of the last 90 days, none of them accepted`.
    pub(super) fn in_words(&self) -> String {
        let of = plural(self.before as u64, "finding", "findings");
        let accepted = match self.accepted.len() {
            0 => "none of them accepted".to_owned(),
            n => format!("{n} of them accepted"),
        };
        format!("would have hidden {} of {of} of the last {DAYS} days, {accepted}", self.hidden.len())
    }

    /// What else there is to say, a line each.
    pub(super) fn details(&self) -> Vec<String> {
        let mut lines: Vec<String> = shown("  would be hidden:", &self.hidden);
        lines.extend(shown("  would be a finding then:", &self.new));
        if self.left > 0 {
            lines.push(format!(
                "  of this incident {} would be found all the same: what is left is over the line",
                plural(self.left as u64, "unit", "units")
            ));
        }
        if self.skipped > 0 {
            let inputs = plural(self.skipped as u64, "input", "inputs");
            lines.push(format!("  {inputs} could not be read, and what is in them was not measured"));
        }
        lines
    }

    pub(super) fn to_json(&self) -> Value {
        let list = |titles: &Titles| -> Value {
            titles.iter().map(|(unit, title)| json!({ "unit": unit, "title": title })).collect()
        };
        json!({
            "days": DAYS, "findings": self.before, "hidden": list(&self.hidden), "new": list(&self.new),
            "accepted": list(&self.accepted), "left": self.left, "skipped": self.skipped,
        })
    }
}

/// The line of the last run, or a lower one that each finding in the folder passed.
fn line(options: &Options, of_run: Option<f64>) -> Result<Line> {
    let findings = store::read_all_findings(&options.out)?;
    let least =
        findings.iter().map(|finding| (f64::from(finding.log2_n) - HALF_STEP).exp2()).fold(f64::INFINITY, f64::min);
    let line = of_run.unwrap_or(f64::INFINITY).min(least);
    Ok(if line.is_finite() { Line::RarerThan(line.max(1.0)) } else { Line::default() })
}

fn titles(findings: &[Finding]) -> Titles {
    let name = |one: &Finding| store::incident_id(&one.unit_kind, &one.unit_key, one.window);
    findings.iter().map(|one| (name(one), one.title.clone())).collect()
}

fn shown(what: &str, titles: &Titles) -> Vec<String> {
    let mut lines: Vec<String> =
        titles.values().take(TITLES).map(|title| format!("{what} {}", shorten(&inline(title)))).collect();
    let more = titles.len().saturating_sub(TITLES);
    lines.extend((more > 0).then(|| format!("{what} {more} more, all in --json")));
    lines
}

/// A folder for findings that nobody keeps.
struct Folder(PathBuf);

impl Folder {
    fn new(parent: &Path) -> std::io::Result<Self> {
        remove_stale(parent);
        let path = parent.join(format!(".effect-{}-{}.tmp", std::process::id(), store::utc_now()));
        std::fs::create_dir(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0); // what stays is named .tmp, and goes another day
    }
}

/// Removes what runs left that were killed.
fn remove_stale(parent: &Path) {
    for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let changed = entry.metadata().and_then(|found| found.modified());
        let is_stale = changed.is_ok_and(|at| SystemTime::now().duration_since(at).is_ok_and(|age| age > STALE));
        if is_stale && name.starts_with(".effect-") && name.ends_with(".tmp") {
            let _ = std::fs::remove_dir_all(entry.path()); // another process may be faster
        }
    }
}
