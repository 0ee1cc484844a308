//! What a baseline that was taught would have hidden: the archive of the last months, scored by it and by the one before.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use archive::{Filter, Progress, ScoreOptions};
use model::{Baseline, Line};
use serde_json::{Value, json};
use store::Manifest;
use triage::Options;

use crate::progress::Bar;
use crate::words::plural;

/// How far back is looked.
const DAYS: i64 = 90;
const DAY_NS: i64 = 86_400_000_000_000;

/// What was found in the last rows, by the one baseline and the other.
pub(super) struct Effect {
    /// Findings of the baseline as it was.
    before: usize,
    /// Those that the taught one does not have.
    hidden: usize,
    /// Those that only the taught one has.
    new: usize,
    /// Of the hidden, those of incidents that were accepted.
    pub(super) accepted: usize,
}

impl Effect {
    /// Scores the rows of the last 90 days up to the last that was scored, with the line of that run.
    pub(super) fn measure(
        options: &Options,
        baseline: &Baseline,
        taught: &Baseline,
        accepted: &BTreeSet<String>,
    ) -> Result<Self> {
        let manifest = Manifest::load(&options.out)?;
        let run = manifest.runs.last();
        let until = run.and_then(|run| store::from_rfc3339(run.until.as_ref()?));
        let filter = Filter { since: until.map(|until| until.saturating_sub(DAYS * DAY_NS)), ..Filter::default() };
        let line = run.map_or_else(Line::default, |run| Line::RarerThan(run.rarer_than));
        let how = ScoreOptions { line, filter, sidecars: false, ..ScoreOptions::default() };
        let folder = Folder::new(&options.out.join("incidents"))?;
        let bar = Bar::with_findings(line);
        bar.stage("measuring");
        let scored = archive::score_all(options.archives(), &[baseline, taught], &folder.0, &how, &bar);
        bar.done();
        let scored = scored.context("cannot measure what it would hide; --unmeasured teaches without")?;
        let units: Vec<BTreeSet<String>> = scored.iter().map(|scored| triage::units(&scored.findings)).collect();
        let [before, after] = units.as_slice() else { anyhow::bail!("cannot measure: nothing was scored") };
        let hidden: BTreeSet<&String> = before.difference(after).collect();
        Ok(Self {
            before: before.len(),
            hidden: hidden.len(),
            new: after.difference(before).count(),
            accepted: hidden.iter().filter(|unit| accepted.contains(**unit)).count(),
        })
    }

    /// `would have hidden 12 of the 40 findings of the last 90 days, none of them accepted`.
    pub(super) fn in_words(&self) -> String {
        let of = plural(self.before as u64, "finding", "findings");
        let accepted = match self.accepted {
            0 => "none of them accepted".to_owned(),
            n => format!("{n} of them accepted"),
        };
        let new = match self.new {
            0 => String::new(),
            n => format!("; {n} are new"),
        };
        format!("would have hidden {} of {of} of the last {DAYS} days, {accepted}{new}", self.hidden)
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "days": DAYS, "findings": self.before, "hidden": self.hidden, "new": self.new, "accepted": self.accepted,
        })
    }
}

/// A folder for findings that nobody keeps.
struct Folder(PathBuf);

impl Folder {
    fn new(parent: &Path) -> Result<Self> {
        let path = parent.join(format!(".effect-{}.tmp", std::process::id()));
        std::fs::create_dir(&path).with_context(|| format!("cannot measure: {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0); // what stays is named .tmp, and nothing reads it
    }
}
