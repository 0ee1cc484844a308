//! What an incident in words is made of.

use std::collections::BTreeSet;

use serde::Serialize;

use super::Graph;

/// Where a sentence comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct RowLink {
    /// Path relative to the archive.
    pub file: String,
    /// Row in it.
    pub row: u64,
}

/// Something that is said, and the rows that say it; never without any.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Sentence {
    /// One line.
    pub text: String,
    /// Its rows.
    pub rows: Vec<RowLink>,
}

/// One moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Step {
    /// When, nanoseconds since 1970, UTC.
    #[serde(serialize_with = "as_rfc3339")]
    pub time: i64,
    /// Where.
    pub host: String,
    /// What.
    #[serde(flatten)]
    pub said: Sentence,
}

/// A technique of ATT&CK that it may be about.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Technique {
    /// Its id.
    pub id: String,
    /// What suggests it.
    pub why: String,
    /// Rows that do.
    pub rows: Vec<RowLink>,
}

/// An incident in words.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Narrative {
    /// In one line.
    pub title: Vec<Sentence>,
    /// In a few.
    pub summary: Vec<Sentence>,
    /// What happened, the first first.
    pub timeline: Vec<Step>,
    /// The root process and how it came to be.
    pub root: Vec<Sentence>,
    /// Why it is unusual, with counts.
    pub reasons: Vec<Sentence>,
    /// What joins the findings.
    pub links: Vec<Sentence>,
    /// What would make it harmless.
    pub harmless: Vec<Sentence>,
    /// What to look at next.
    pub checks: Vec<Sentence>,
    /// Suggestions.
    pub techniques: Vec<Technique>,
    /// Every row that these name, each once; its number, from 1 on, is that by which people are led to it.
    pub evidence: Vec<RowLink>,
    /// Rows that could not be read, with the reason.
    #[serde(skip)]
    pub unread: Vec<(std::path::PathBuf, String)>,
}

/// A reason with its numbers, of the level that cost most.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Reason {
    /// Calibrated bits.
    pub bits: f32,
    /// What was seen.
    pub value: String,
    /// Under what.
    pub context: String,
    /// The counts in words.
    pub words: String,
    /// Times it was seen there.
    pub n: u32,
    /// Times anything was seen there.
    #[serde(rename = "N")]
    pub total: u32,
    /// Distinct things seen there.
    #[serde(rename = "T")]
    pub distinct: u32,
    /// Whose habits.
    pub scope: String,
    /// View.
    pub view: String,
    /// Rows of its finding.
    pub rows: Vec<RowLink>,
}

fn as_rfc3339<S: serde::Serializer>(time: &i64, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&store::rfc3339(*time))
}

/// An incident in words, in numbers and as a graph.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Told {
    /// In words.
    pub narrative: Narrative,
    /// The reasons that the words give, with their numbers.
    pub reasons: Vec<Reason>,
    /// Where it came from and what it reached.
    pub graph: Graph,
}

impl Narrative {
    /// Every row that is named, in the order in which the parts are told and name them.
    pub(super) fn cited(&self) -> Vec<RowLink> {
        let (mut rows, mut known) = (Vec::new(), BTreeSet::new());
        let mut put = |more: &[RowLink]| {
            for row in more {
                if known.insert(row.clone()) {
                    rows.push(row.clone());
                }
            }
        };
        [&self.title, &self.summary].into_iter().flatten().for_each(|one| put(&one.rows));
        self.timeline.iter().for_each(|step| put(&step.said.rows));
        let rest = [&self.reasons, &self.root, &self.harmless, &self.checks, &self.links];
        rest.into_iter().flatten().for_each(|one| put(&one.rows));
        self.techniques.iter().for_each(|one| put(&one.rows));
        rows
    }
}
