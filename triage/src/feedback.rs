//! What people said of incidents: accepted, dismissed or watched, by whom and why (docs/contracts.md §10, "Feedback").

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use model::days::parse_day;
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

/// What is longer is no reason that anybody reads.
const LONGEST: usize = 2000;
/// A file that is larger was not written by people.
const MOST_BYTES: u64 = 64 << 20;

impl Opinion {
    /// What is wrong with it, if something is.
    fn is_wrong(&self) -> Option<String> {
        let until = match (self.verdict, &self.until) {
            (Verdict::Dismissed, Some(until)) => parse_day(until).is_none().then_some("until is no day"),
            (Verdict::Dismissed, None) => Some("until is missing"),
            (_, Some(_)) => Some("until is of dismissals alone"),
            (_, None) => None,
        };
        let long = [&self.incident, &self.owner, &self.why].iter().any(|text| text.len() > LONGEST);
        let at = store::from_rfc3339(&self.at).is_none().then_some("at is no time");
        let long = long.then(|| format!("longer than {LONGEST} bytes"));
        until.or(at).map(str::to_owned).or(long)
    }
}

/// A line of the file.
fn parse(line: &[u8]) -> Result<Opinion, String> {
    let text = std::str::from_utf8(line).map_err(|error| error.to_string())?;
    if !text.trim_start().starts_with('{') {
        return Err("no object".to_owned());
    }
    let opinion: Opinion = serde_json::from_str(text).map_err(|error| {
        let (text, column) = (error.to_string(), error.column());
        format!("{}, column {column}", text.split(" at line ").next().unwrap_or_default())
    })?;
    opinion.is_wrong().map_or(Ok(opinion), Err)
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

    /// What was said, in a word, with what became of it: `accepted`, `dismissed, over`.
    #[must_use]
    pub fn word(&self) -> String {
        let more = match (self.is_over, self.since) {
            (true, _) => ", over",
            (false, 0) => "",
            (false, _) => ", more since",
        };
        format!("{}{more}", self.opinion.verdict.word())
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
    weigh(options, known, day)
}

/// Where these incidents stand on a day, written or not.
///
/// # Errors
/// A file cannot be read.
pub fn standings_of(options: &Options, incidents: &[Incident], day: &str) -> Result<Standings, TriageError> {
    let feedback = Feedback::load(&options.out)?;
    let known = incidents.iter().filter_map(|one| Some((one.clone(), feedback.last(one)?.clone())));
    weigh(options, known.collect(), day)
}

fn weigh(options: &Options, known: Vec<(Incident, Opinion)>, day: &str) -> Result<Standings, TriageError> {
    let (incidents, opinions): (Vec<Incident>, Vec<Opinion>) = known.into_iter().unzip();
    if incidents.is_empty() {
        return Ok(Standings::new());
    }
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
        let failed = |why: String| TriageError::Feedback { path: path.clone(), why };
        let found = match std::fs::metadata(&path) {
            Ok(found) => found,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(failed(error.to_string())),
        };
        if !found.is_file() || found.len() > MOST_BYTES {
            return Err(failed(format!("no file of at most {} MiB; move it away", MOST_BYTES >> 20)));
        }
        let bytes = std::fs::read(&path).map_err(|error| failed(error.to_string()))?;
        let lines = bytes.split(|byte| *byte == b'\n').enumerate().filter(|(_, line)| !line.trim_ascii().is_empty());
        let parse = |(number, line): (usize, &[u8])| {
            parse(line).map_err(|why| failed(format!("line {}: {why}; mend the line, or take it out", number + 1)))
        };
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
        if let Some(why) = opinion.is_wrong() {
            return Err(failed(why));
        }
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
        // Where it leads to, if it is a link.
        let path = std::fs::canonicalize(&path).unwrap_or_else(|_| path.clone());
        store::write_whole(&path, |to| to.write_all(text.as_bytes()))?;
        // Whose results it is about may read it, too; who may not give files away is that already, or the only one.
        let _ = std::fs::metadata(folder).map(|of| std::os::unix::fs::chown(&path, Some(of.uid()), Some(of.gid())));
        Ok(this)
    }

    /// The units of all incidents that somebody accepted and did not take back, whatever was said after.
    #[must_use]
    pub fn accepted(&self) -> BTreeSet<String> {
        let mut said: BTreeMap<&str, Vec<&Opinion>> = BTreeMap::new();
        for opinion in &self.opinions {
            let of_incident = said.entry(&opinion.incident).or_default();
            match opinion.verdict {
                Verdict::Undone => _ = of_incident.pop(),
                _ => of_incident.push(opinion),
            }
        }
        let accepted = said.into_values().flatten().filter(|opinion| opinion.verdict == Verdict::Accepted);
        accepted.flat_map(|opinion| opinion.units.iter().cloned()).collect()
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
