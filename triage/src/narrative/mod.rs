//! An incident in words: made when it is asked for, from its findings and their rows, by the rules of a table.
//! Every sentence leads back to the rows that it is made from.

mod around;
mod facts;
mod graph;
mod origin;
mod rules;
mod words;

use std::collections::{BTreeMap, BTreeSet};

use model::Lens;
use model::explain::{counts_in_words, thousands};
use rayon::prelude::*;
use serde::Serialize;
use store::{Finding, FindingReason, Incident, time_text};

use crate::archive::Archive;
use crate::error::TriageError;
use crate::run::Options;
pub use around::{Around, Kin, Relative, around};
use facts::Fact;
pub use graph::{Graph, GraphEdge, GraphNode};
use rules::{KINDS, RULES, Rule};
use words::{filled, sentence_of};

/// Steps of a timeline.
const STEPS: usize = 24;
/// Reasons that are told.
const REASONS: usize = 6;
/// Harmless explanations and checks, each.
const ADVICE: usize = 4;
/// Techniques.
const TECHNIQUES: usize = 6;
/// Rows behind one sentence.
const LINKS: usize = 5;

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

/// Tells an incident from its findings. Lenses are those that it was scored with, or all that are known.
///
/// # Errors
/// The archive's folders cannot be listed. Rows that cannot be read are left out and named.
pub fn tell(
    options: &Options,
    incident: &Incident,
    findings: &[Finding],
    lenses: &[Lens],
) -> Result<Narrative, TriageError> {
    let archive = Archive::open(options.archives())?;
    let origin = root_of(incident).and_then(|root| origin::of(&[root], &archive).remove(&root.0)).unwrap_or_default();
    let told = told(&archive, incident, findings, lenses, &origin);
    Ok(Narrative { unread: archive.unread(), ..told.narrative })
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

/// Files that could not be read, and why.
pub(crate) type Unread = Vec<(std::path::PathBuf, String)>;

/// Tells several at once, each with its findings: the archive is gone over once for where they began. What could not be read is
/// named, too.
///
/// # Errors
/// As for [`tell`].
pub fn tell_all(
    options: &Options,
    incidents: &[(Incident, Vec<Finding>)],
    lenses: &[Lens],
) -> Result<(Vec<Told>, Unread), TriageError> {
    let archive = Archive::open(options.archives())?;
    let roots: Vec<origin::Root<'_>> = incidents.iter().filter_map(|(incident, _)| root_of(incident)).collect();
    let origins = origin::of(&roots, &archive);
    let one = |(incident, findings): &(Incident, Vec<Finding>)| {
        let origin = root_of(incident).and_then(|root| origins.get(&root.0)).map_or(&[][..], Vec::as_slice);
        told(&archive, incident, findings, lenses, origin)
    };
    let all = incidents.par_iter().map(one).collect();
    Ok((all, archive.unread()))
}

fn root_of(incident: &Incident) -> Option<origin::Root<'_>> {
    Some((incident.root_key.as_deref()?.parse().ok()?, incident.root_host.as_deref()))
}

fn told(archive: &Archive, incident: &Incident, findings: &[Finding], lenses: &[Lens], origin: &[Fact]) -> Told {
    let facts = facts::of_findings(findings, archive, lenses);
    let story = Story { incident, findings, lenses, facts: &facts, signs: signs(&facts) };
    let root = root_of(incident).map(|root| root.0);
    let narrative = Narrative {
        title: story.title(),
        summary: story.summary(origin),
        timeline: story.timeline(origin),
        root: origin::in_words(origin, &facts, root),
        reasons: story.reasons(),
        links: story.links(),
        harmless: story.advice(|rule| rule.harmless, |kind| kind.1),
        checks: story.checks(),
        techniques: story.techniques(),
        unread: Vec::new(),
    };
    Told { narrative, reasons: story.numbers(), graph: graph::graph(&facts, origin) }
}

/// What holds for which rows.
type Signs<'a> = Vec<(&'static Rule, Vec<&'a Fact>)>;

/// The rules that hold for any row, the most telling first; of rows, the most surprising first.
fn signs(facts: &[Fact]) -> Signs<'_> {
    let of = |rule: &'static Rule| {
        let mut rows: Vec<&Fact> = facts.iter().filter(|fact| (rule.test)(fact)).collect();
        rows.sort_by(|a, b| b.bits.total_cmp(&a.bits).then(a.time.cmp(&b.time)));
        (!rows.is_empty()).then_some((rule, rows))
    };
    let mut signs: Signs<'_> = RULES.iter().filter_map(of).collect();
    signs.sort_by_key(|(rule, _)| std::cmp::Reverse(rule.weight));
    signs
}

fn links_of<'a>(facts: impl IntoIterator<Item = &'a Fact>) -> Vec<RowLink> {
    let links: BTreeSet<&RowLink> = facts.into_iter().map(|fact| &fact.link).collect();
    links.into_iter().take(LINKS).cloned().collect()
}

fn said(text: String, rows: Vec<RowLink>) -> Sentence {
    Sentence { text, rows }
}

struct Story<'a> {
    incident: &'a Incident,
    findings: &'a [Finding],
    lenses: &'a [Lens],
    facts: &'a [Fact],
    signs: Signs<'a>,
}

impl Story<'_> {
    fn title(&self) -> Vec<Sentence> {
        let strongest = self.facts.iter().max_by(|a, b| a.bits.total_cmp(&b.bits));
        let (text, rows) = match (self.signs.first(), strongest) {
            (Some((rule, rows)), _) => (filled(rule.phrase, rows[0]), links_of([rows[0]])),
            (None, Some(fact)) if fact.table == events::PROCESS => (sentence_of(fact), links_of([fact])),
            _ => (self.incident.title.clone(), self.rows_of(self.findings.first())),
        };
        let hosts = match self.incident.hosts.as_slice() {
            [] => String::new(),
            [host] => format!(", on {host}"),
            [first, rest @ ..] => format!(", on {first} and {} more", rest.len()),
        };
        some(said(format!("{}{hosts}", facts::cut(&text)), rows))
    }

    fn summary(&self, origin: &[Fact]) -> Vec<Sentence> {
        let incident = self.incident;
        let times = if incident.first == incident.last {
            format!("at {} UTC", time_text(incident.first))
        } else {
            format!("between {} and {} UTC", time_text(incident.first), time_text(incident.last))
        };
        let one_in = terminal::one_in(self.incident.log2_n);
        let number = match self.findings.len() {
            1 => "One finding".to_owned(),
            number => format!("{} findings", thousands(number as u64)),
        };
        let hosts =
            if incident.hosts.is_empty() { String::new() } else { format!(" on {}", incident.hosts.join(", ")) };
        let head = format!("{number}{hosts}, {times}; the rarest is {one_in}.");
        let mut summary = some(said(head, self.rows_of(self.rarest())));
        for (rule, rows) in self.signs.iter().take(3) {
            let more = if rows.len() > 1 { format!(" ({} times)", rows.len()) } else { String::new() };
            summary
                .extend(some(said(format!("{}{more}.", filled(rule.phrase, rows[0])), links_of(rows.iter().copied()))));
        }
        if let Some(first) = origin.first() {
            let text = format!("All of it comes from {} (pid {}).", name_of(origin), first.get("pid"));
            summary.extend(some(said(text, links_of(origin))));
        }
        summary
    }

    fn timeline(&self, origin: &[Fact]) -> Vec<Step> {
        let mut facts: Vec<&Fact> = self.facts.iter().collect();
        // The most surprising, in order of time, after what they come from.
        facts.sort_by(|a, b| b.bits.total_cmp(&a.bits).then_with(|| a.link.cmp(&b.link)));
        facts.truncate(STEPS);
        facts.extend(origin.iter().filter(|fact| self.facts.iter().all(|known| known.link != fact.link)));
        facts.sort_by(|a, b| a.time.cmp(&b.time).then_with(|| a.link.cmp(&b.link)));
        let step = |fact: &&Fact| {
            let host = self.host_of(fact);
            Step { time: fact.time, host, said: said(sentence_of(fact), links_of([*fact])) }
        };
        facts.iter().map(step).collect()
    }

    /// The host in the row; of tables of others that of the incident, if there is one alone.
    fn host_of(&self, fact: &Fact) -> String {
        let lens = self.lenses.iter().find(|lens| lens.table() == fact.table);
        let named = fact.get(lens.and_then(Lens::host_column).unwrap_or("host"));
        match (named, self.incident.hosts.as_slice()) {
            ("", [host]) => host.clone(),
            (named, _) => named.to_owned(),
        }
    }

    /// The strongest reasons of all findings; of those for the same value the strongest.
    fn strongest(&self) -> Vec<(&FindingReason, &Finding)> {
        let mut all: Vec<(&FindingReason, &Finding)> = self
            .findings
            .iter()
            .flat_map(|finding| finding.reasons.iter().map(move |reason| (reason, finding)))
            .collect();
        all.sort_by(|a, b| {
            b.0.bits.total_cmp(&a.0.bits).then_with(|| (&a.0.view, &a.0.child).cmp(&(&b.0.view, &b.0.child)))
        });
        let mut told: Vec<(&FindingReason, &Finding)> = Vec::new();
        for one in all {
            if told.len() < REASONS && told.iter().all(|known| known.0.child != one.0.child) {
                told.push(one);
            }
        }
        told
    }

    fn reasons(&self) -> Vec<Sentence> {
        let one = |(reason, finding): &(&FindingReason, &Finding)| {
            let given = if reason.context.is_empty() { "anything" } else { reason.context.as_str() };
            let counts = counts_in_words(&reason.scope, reason.n, reason.total, reason.distinct);
            let text = format!("{:.1} bits: {} given {given}: {counts} [{}]", reason.bits, reason.child, reason.view);
            some(said(facts::cut(&text), self.rows_with(reason, finding)))
        };
        self.strongest().iter().flat_map(one).collect()
    }

    fn numbers(&self) -> Vec<Reason> {
        let one = |(reason, finding): &(&FindingReason, &Finding)| Reason {
            bits: reason.bits,
            value: facts::cut(&reason.child),
            context: facts::cut(&reason.context),
            words: counts_in_words(&reason.scope, reason.n, reason.total, reason.distinct),
            n: reason.n,
            total: reason.total,
            distinct: reason.distinct,
            scope: reason.scope.clone(),
            view: reason.view.clone(),
            rows: self.rows_with(reason, finding),
        };
        self.strongest().iter().map(one).collect()
    }

    fn links(&self) -> Vec<Sentence> {
        let by_id: BTreeMap<&str, &Finding> =
            self.findings.iter().map(|finding| (finding.id.as_str(), finding)).collect();
        let one = |link: &store::IncidentLink| {
            let ends = [&link.from, &link.to].map(|id| by_id.get(id.as_str()).copied());
            let of = match link.of {
                0 => String::new(),
                of => format!(", which {} of {} process trees had by then", link.seen, thousands(of)),
            };
            let place = |finding: Option<&Finding>| {
                let host = finding.map_or("", |finding| finding.host.as_str());
                let time = finding.map_or_else(String::new, |finding| time_text(finding.time));
                format!("{host} {time}").trim().to_owned()
            };
            let text = format!(
                "{} and {} share a {}: {}{of}",
                place(ends[0]),
                place(ends[1]),
                kind_in_words(&link.kind),
                link.value
            );
            let rows = ends.into_iter().flat_map(|end| self.rows_of(end).into_iter().take(1)).collect();
            some(said(facts::cut(&text), rows))
        };
        self.incident.links.iter().take(STEPS).flat_map(one).collect()
    }

    /// Texts of the rules that hold, and of the kinds of values that are new in tables of others.
    fn advice(
        &self,
        of_rule: fn(&Rule) -> &'static str,
        of_kind: fn(&(&'static str, &'static str, &'static str)) -> &'static str,
    ) -> Vec<Sentence> {
        let mut advice: Vec<Sentence> = Vec::new();
        let mut put = |text: String, rows: Vec<RowLink>| {
            if advice.len() < ADVICE && !rows.is_empty() && advice.iter().all(|known| known.text != text) {
                advice.push(said(text, rows));
            }
        };
        for (rule, rows) in &self.signs {
            put(filled(of_rule(rule), rows[0]), links_of([rows[0]]));
        }
        for (reason, finding) in self.strongest() {
            if let Some(kind) = self.kind_of(reason, finding) {
                put(of_kind(kind).to_owned(), self.rows_of(Some(finding)));
            }
        }
        advice
    }

    fn checks(&self) -> Vec<Sentence> {
        let mut checks = self.advice(|rule| rule.check, |kind| kind.2);
        if let Some(row) = self.rarest().and_then(|finding| finding.rows.first()) {
            let text = format!(
                "See every view of the strongest row: ebbline explain ARCHIVE/{} {} --baseline BASELINE",
                row.file, row.row
            );
            checks.push(said(text, vec![RowLink { file: row.file.clone(), row: row.row }]));
        }
        checks
    }

    /// The kind of the value that a reason of a table of others is about.
    fn kind_of(
        &self,
        reason: &FindingReason,
        finding: &Finding,
    ) -> Option<&'static (&'static str, &'static str, &'static str)> {
        let tables: BTreeSet<&str> = finding.rows.iter().map(|row| row.table.as_str()).collect();
        if tables.iter().any(|table| [events::PROCESS, events::CONNECTION, events::DNS].contains(table)) {
            return None;
        }
        let field = reason.child.split('=').next().unwrap_or_default();
        let lenses = self.lenses.iter().filter(|lens| tables.contains(lens.table()));
        let kind = lenses
            .flat_map(|lens| lens.fields())
            .find(|known| known.name == field)
            .map_or("", |known| known.kind.name());
        KINDS.iter().find(|(name, ..)| *name == kind || name.is_empty())
    }

    fn techniques(&self) -> Vec<Technique> {
        let mut all: Vec<Technique> = Vec::new();
        let mut put = |id: &str, why: String, rows: Vec<RowLink>| {
            if all.len() < TECHNIQUES && !rows.is_empty() && all.iter().all(|known| known.id != id) {
                all.push(Technique { id: id.to_owned(), why, rows });
            }
        };
        for (rule, rows) in &self.signs {
            // The connection that everything makes suggests nothing where something else does.
            if rule.weight > 20 || self.signs.iter().all(|(other, _)| other.weight <= 20) {
                rule.techniques.iter().take(2).for_each(|id| put(id, rule.sign.to_owned(), links_of([rows[0]])));
            }
        }
        for (reason, finding) in self.strongest() {
            let of_table = |lens: &&Lens| finding.rows.iter().any(|row| row.table == lens.table());
            let mut views =
                self.lenses.iter().filter(of_table).flat_map(Lens::views).filter(|view| view.name == reason.view);
            let attack = views.next().map_or(&[][..], |view| &view.attack);
            attack.iter().for_each(|id| put(id, reason.view.clone(), self.rows_of(Some(finding))));
        }
        all
    }

    fn rarest(&self) -> Option<&Finding> {
        self.findings.iter().max_by(|a, b| a.log2_n.total_cmp(&b.log2_n).then_with(|| b.id.cmp(&a.id)))
    }

    /// The rows of a finding in which a reason's value can be read; all, where it is not in a column as it is told.
    fn rows_with(&self, reason: &FindingReason, finding: &Finding) -> Vec<RowLink> {
        let own = self
            .facts
            .iter()
            .filter(|fact| finding.rows.iter().any(|row| row.row == fact.link.row && row.file == fact.link.file));
        let mut with: Vec<(f32, RowLink)> =
            own.filter(|fact| fact.holds(&reason.child)).map(|fact| (fact.bits, fact.link.clone())).collect();
        with.sort_by(|one, other| other.0.total_cmp(&one.0));
        let with: Vec<RowLink> = with.into_iter().map(|(_, link)| link).take(LINKS).collect();
        if with.is_empty() { self.rows_of(Some(finding)) } else { with }
    }

    fn rows_of(&self, finding: Option<&Finding>) -> Vec<RowLink> {
        let rows = finding.into_iter().flat_map(|finding| &finding.rows).take(LINKS);
        rows.map(|row| RowLink { file: row.file.clone(), row: row.row }).collect()
    }
}

/// A sentence, if it has a row.
fn some(sentence: Sentence) -> Vec<Sentence> {
    if sentence.rows.is_empty() { Vec::new() } else { vec![sentence] }
}

/// What a root is called: the image it ran last.
fn name_of(origin: &[Fact]) -> String {
    let named = origin.iter().rev().find(|fact| !fact.get("exe").is_empty());
    named.map_or_else(|| "a process of which no image is known".to_owned(), |fact| fact.get("exe").to_owned())
}

fn kind_in_words(kind: &str) -> &str {
    match kind {
        "lineage" => "process tree above them",
        "unit" => "unit",
        "before" => "history",
        "name" => "DNS name",
        other => other,
    }
}

#[cfg(test)]
mod tests;
