//! What people said of incidents: accepted, dismissed or watched, by whom and why (docs/contracts.md §10, "Feedback").

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use store::{Finding, Incident, incident_id, read_incidents};

use crate::error::TriageError;
use crate::look::findings_of_all;
use crate::run::Options;

/// What was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It is what it looks like: somebody deals with it.
    Accepted,
    /// It is harmless, until a day.
    Dismissed,
    /// Tell me when it goes on.
    Watched,
    /// What was said last does not hold.
    Undone,
}

impl Verdict {
    /// Its word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Dismissed => "dismissed",
            Self::Watched => "watched",
            Self::Undone => "undone",
        }
    }
}

/// One thing that somebody said: a line of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Opinion {
    /// Id of the incident as it was then.
    pub incident: String,
    /// What.
    pub verdict: Verdict,
    /// Who answers for it.
    pub owner: String,
    /// Why.
    pub why: String,
    /// When, RFC 3339.
    pub at: String,
    /// The last day on which it holds, of what is dismissed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// The units of the incident as it was then, by the id that each gives ([`store::incident_id`]).
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub units: BTreeSet<String>,
    /// The baseline that was taught, by its id before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taught: Option<String>,
}

/// What holds of an incident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// What was said last and not undone.
    pub opinion: Opinion,
    /// Its day has passed.
    pub is_over: bool,
    /// Units that came since.
    pub since: usize,
}

impl Standing {
    /// In a line: what, by whom, until when and why, and what came since.
    #[must_use]
    pub fn in_words(&self) -> String {
        let Opinion { verdict, owner, why, until, .. } = &self.opinion;
        let until = until.as_ref().map_or_else(String::new, |until| format!(" until {until}"));
        let since = match (self.is_over, self.since) {
            (true, _) => ", which is over".to_owned(),
            (false, 0) => String::new(),
            (false, 1) => ", but something was added since".to_owned(),
            (false, n) => format!(", but {n} units were added since"),
        };
        format!("{} by {owner}{until}{since}: {why}", verdict.word())
    }

    /// Whether it need not be shown: dismissed, its day has not passed, and nothing came since.
    #[must_use]
    pub fn is_hidden(&self) -> bool {
        self.opinion.verdict == Verdict::Dismissed && !self.is_over && self.since == 0
    }
}

/// Where incidents stand of which something was said, by their id.
pub type Standings = BTreeMap<String, Standing>;

/// Where the incidents of a folder stand on a day (`2026-11-02`), as they were written last.
///
/// # Errors
/// A file cannot be read.
pub fn standings(options: &Options, day: &str) -> Result<Standings, TriageError> {
    let feedback = Feedback::load(&options.out)?;
    let mut known: Vec<(Incident, Opinion)> = Vec::new();
    if feedback.opinions.is_empty() || !options.path().exists() {
        return Ok(Standings::new());
    }
    let named: BTreeSet<&str> = feedback.opinions.iter().map(|opinion| opinion.incident.as_str()).collect();
    read_incidents(&options.path(), |incident| {
        let mut names = std::iter::once(&incident.id).chain(&incident.aliases);
        if names.any(|name| named.contains(name.as_str()))
            && let Some(opinion) = feedback.last(&incident)
        {
            known.push((incident, opinion.clone()));
        }
        true
    })?;
    let (incidents, opinions): (Vec<Incident>, Vec<Opinion>) = known.into_iter().unzip();
    let units = findings_of_all(options, &incidents)?.into_iter().map(|findings| units(&findings));
    let standing = |opinion: Opinion, units: BTreeSet<String>| Standing {
        is_over: opinion.until.as_deref().is_some_and(|until| until < day),
        since: units.difference(&opinion.units).count(),
        opinion,
    };
    let all = incidents.into_iter().zip(opinions).zip(units);
    Ok(all.map(|((incident, opinion), units)| (incident.id, standing(opinion, units))).collect())
}

/// The units of findings, each by the id that it would give an incident.
#[must_use]
pub fn units(findings: &[Finding]) -> BTreeSet<String> {
    findings.iter().map(|one| incident_id(&one.unit_kind, &one.unit_key, one.window)).collect()
}

/// All that was said, the first first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Feedback {
    /// Line by line.
    pub opinions: Vec<Opinion>,
}

/// Where it is written.
#[must_use]
pub fn feedback_path(out: &Path) -> PathBuf {
    out.join("incidents").join("feedback.jsonl")
}

impl Feedback {
    /// What was said in a folder of results; nothing if there is no file.
    ///
    /// # Errors
    /// It cannot be read, or a line is none of ours.
    pub fn load(out: &Path) -> Result<Self, TriageError> {
        let path = feedback_path(out);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(TriageError::Feedback { path, why: error.to_string() }),
        };
        let parse = |(number, line): (usize, &str)| {
            serde_json::from_str(line).map_err(|error| TriageError::Feedback {
                path: path.clone(),
                why: format!("line {}: {error}; mend the line, or take it out", number + 1),
            })
        };
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        Ok(Self { opinions: lines.map(parse).collect::<Result<_, _>>()? })
    }

    /// Adds what somebody said, and writes all of it anew: a reader sees it with it or without it. Two that write at a time
    /// take turns.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn say(out: &Path, opinion: Opinion) -> Result<Self, TriageError> {
        let path = feedback_path(out);
        let failed = |why: String| TriageError::Feedback { path: path.clone(), why };
        let folder = path.parent().unwrap_or(out);
        let lock = File::open(folder).map_err(|error| failed(error.to_string()))?;
        lock.lock().map_err(|error| failed(error.to_string()))?;
        let mut this = Self::load(out)?;
        this.opinions.push(opinion);
        let mut text = String::new();
        for opinion in &this.opinions {
            text += &serde_json::to_string(opinion).map_err(|error| failed(error.to_string()))?;
            text.push('\n');
        }
        store::write_whole(&path, |to| to.write_all(text.as_bytes()))?;
        Ok(this)
    }

    /// What was said last of an incident, by any of its names, and not undone.
    #[must_use]
    pub fn last(&self, incident: &Incident) -> Option<&Opinion> {
        let is_of = |one: &&Opinion| one.incident == incident.id || incident.aliases.contains(&one.incident);
        let mut said: Vec<&Opinion> = Vec::new();
        for opinion in self.opinions.iter().filter(is_of) {
            match opinion.verdict {
                Verdict::Undone => _ = said.pop(),
                _ => said.push(opinion),
            }
        }
        said.pop()
    }
}
