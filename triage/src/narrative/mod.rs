//! An incident in words: made when it is asked for, from its findings and their rows, by the rules of a table.
//! Every sentence leads back to the rows that it is made from.

mod advice;
mod around;
mod facts;
mod graph;
mod looks;
mod origin;
mod parts;
mod rules;
mod sentences;
mod words;

use std::collections::{BTreeMap, BTreeSet};

use model::Lens;
use model::explain::{counts_in_words, thousands};
use rayon::prelude::*;
use store::{Finding, FindingReason, Incident, time_text};

use crate::archive::Archive;
use crate::error::TriageError;
use crate::rarity::Rarity;
use crate::run::Options;
pub use around::{Around, Kin, Relative, Room, around};
use facts::Fact;
pub use graph::{Graph, GraphEdge, GraphNode};
pub use parts::{Narrative, Reason, RowLink, Sentence, Step, Technique, Told};
use rules::{RULES, Rule};
use words::{filled, sentence_of};

/// Steps of a timeline.
const STEPS: usize = 24;
/// Reasons that are told.
const REASONS: usize = 6;
/// Rows behind one sentence.
const LINKS: usize = 5;

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
    let told = told(&archive, &Rarity::of(options), (incident, findings), lenses, &origin);
    Ok(Narrative { unread: archive.unread(), ..told.narrative })
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
    let (origins, rarity) = (origin::of(&roots, &archive), Rarity::of(options));
    let one = |(incident, findings): &(Incident, Vec<Finding>)| {
        let origin = root_of(incident).and_then(|root| origins.get(&root.0)).map_or(&[][..], Vec::as_slice);
        told(&archive, &rarity, (incident, findings), lenses, origin)
    };
    let all = incidents.par_iter().map(one).collect();
    Ok((all, archive.unread()))
}

fn root_of(incident: &Incident) -> Option<origin::Root<'_>> {
    Some((incident.root_key.as_deref()?.parse().ok()?, incident.root_host.as_deref()))
}

fn told(
    archive: &Archive,
    rarity: &Rarity,
    (incident, findings): (&Incident, &[Finding]),
    lenses: &[Lens],
    origin: &[Fact],
) -> Told {
    let facts = facts::of_findings(findings, archive, lenses);
    let story = Story { incident, findings, lenses, facts: &facts, signs: signs(&facts), rarity };
    let root = root_of(incident).map(|root| root.0);
    let mut narrative = Narrative {
        title: story.title(),
        summary: story.summary(origin),
        timeline: story.timeline(origin),
        root: origin::in_words(origin, &facts, root),
        reasons: story.reasons(),
        links: story.links(),
        harmless: story.advice(|rule| rule.harmless, |kind| kind.1),
        checks: story.checks(),
        techniques: story.techniques(),
        ..Narrative::default()
    };
    narrative.evidence = narrative.cited();
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
    rarity: &'a Rarity,
}

impl Story<'_> {
    /// What it is called in every list, with the rows of what is rarest in it.
    fn title(&self) -> Vec<Sentence> {
        let rarest = self.rarest();
        let rows = rarest.and_then(|finding| Some(self.rows_with(finding.reasons.first()?, finding)));
        let rows = rows.unwrap_or_else(|| self.rows_of(rarest));
        some(said(self.incident.title.clone(), rows))
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
            let text = filled(rule.phrase, rows[0]);
            let alike: Vec<&Fact> = rows.iter().copied().filter(|row| filled(rule.phrase, row) == text).collect();
            let times = alike.iter().map(|row| row.event()).collect::<BTreeSet<_>>().len();
            let more = if times > 1 { format!(" ({times} times)") } else { String::new() };
            summary.extend(some(said(format!("{text}{more}."), links_of(alike))));
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
            let given = if reason.context.is_empty() { "anything".to_owned() } else { terminal::told(&reason.context) };
            let counts = counts_in_words(&reason.scope, reason.n, reason.total, reason.distinct);
            let what = terminal::told(&reason.child);
            let text = format!("{:.1} bits: {what} given {given}: {counts} [{}]", reason.bits, reason.view);
            some(said(facts::cut(&text), self.rows_with(reason, finding)))
        };
        self.strongest().iter().flat_map(one).collect()
    }

    fn numbers(&self) -> Vec<Reason> {
        let one = |(reason, finding): &(&FindingReason, &Finding)| Reason {
            bits: reason.bits,
            value: facts::cut(&terminal::told(&reason.child)),
            context: facts::cut(&terminal::told(&reason.context)),
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

    fn rarest(&self) -> Option<&Finding> {
        self.findings.iter().max_by(|a, b| a.log2_n.total_cmp(&b.log2_n).then_with(|| b.id.cmp(&a.id)))
    }

    /// The rows of a finding that a reason is about; all, where that cannot be told.
    fn rows_with(&self, reason: &FindingReason, finding: &Finding) -> Vec<RowLink> {
        let own = self
            .facts
            .iter()
            .filter(|fact| finding.rows.iter().any(|row| row.row == fact.link.row && row.file == fact.link.file));
        let mut with: Vec<(f32, RowLink)> =
            own.filter(|fact| fact.holds(reason)).map(|fact| (fact.bits, fact.link.clone())).collect();
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
