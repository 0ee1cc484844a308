//! What would make it harmless, what to check next, and which techniques it may be about.

use std::collections::BTreeSet;

use model::Lens;
use store::{Finding, FindingReason};

use super::facts::Fact;
use super::rules::{Needs, Rule};
use super::sentences::KINDS;
use super::words::filled;
use super::{RowLink, Sentence, Story, Technique, links_of, said};

/// Harmless explanations and checks, each.
const ADVICE: usize = 4;
/// Techniques.
const TECHNIQUES: usize = 6;
/// Reasons with fewer bits, less rare than 1 in 16 in their context, make nothing unusual.
const UNUSUAL: f32 = 4.0;

impl Story<'_> {
    /// Texts of the rules that hold, and of the kinds of values that are new in tables of others.
    pub(super) fn advice(
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

    pub(super) fn checks(&self) -> Vec<Sentence> {
        let mut checks = self.advice(|rule| rule.check, |kind| kind.2);
        if let Some(row) = self.rarity.rarest(self.findings.iter().flat_map(|finding| &finding.rows)) {
            let text = format!(
                "See every view of the rarest row: ebbline explain ARCHIVE/{} {} --baseline BASELINE",
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

    pub(super) fn techniques(&self) -> Vec<Technique> {
        let mut all: Vec<Technique> = Vec::new();
        let mut put = |id: &str, why: String, rows: Vec<RowLink>| {
            if all.len() < TECHNIQUES && !rows.is_empty() && all.iter().all(|known| known.id != id) {
                all.push(Technique { id: id.to_owned(), why, rows });
            }
        };
        for (rule, rows) in &self.signs {
            // The connection that everything makes suggests nothing where something else does.
            let is_telling = rule.weight > 20 || self.signs.iter().all(|(other, _)| other.weight <= 20);
            if let Some(row) = rows.iter().find(|row| self.is_unusual(rule.needs, row)).filter(|_| is_telling) {
                rule.techniques.iter().take(2).for_each(|id| put(id, rule.sign.to_owned(), links_of([*row])));
            }
        }
        for (reason, finding) in self.strongest().into_iter().filter(|(reason, _)| reason.bits >= UNUSUAL) {
            let of_table = |lens: &&Lens| finding.rows.iter().any(|row| row.table == lens.table());
            let mut views =
                self.lenses.iter().filter(of_table).flat_map(Lens::views).filter(|view| view.name == reason.view);
            let attack = views.next().map_or(&[][..], |view| &view.attack);
            attack.iter().for_each(|id| put(id, reason.view.clone(), self.rows_of(Some(finding))));
        }
        all
    }

    /// Whether a reason of a finding that the row is of is about what a sign of the row needs: shells and programs from temporary
    /// folders are above or beside much that is unusual for something else.
    fn is_unusual(&self, needs: Needs, row: &Fact) -> bool {
        let is_of =
            |finding: &&Finding| finding.rows.iter().any(|one| one.row == row.link.row && one.file == row.link.file);
        let reasons = || self.findings.iter().filter(is_of).flat_map(|finding| &finding.reasons);
        let mut unusual = reasons().filter(|reason| reason.bits >= UNUSUAL);
        let about = |reason: &FindingReason, fields: &[&str]| {
            let named = reason.child.split(", ").filter_map(|pair| pair.split_once('='));
            row.holds(reason) && named.map(|(field, _)| field).any(|field| fields.contains(&field))
        };
        let exe = row.get("exe");
        let under =
            |reason: &FindingReason| reason.child.split(", ").any(|pair| pair.strip_prefix("parent_exe=") == Some(exe));
        match needs {
            Needs::Nothing => true,
            Needs::Image => unusual.any(|reason| about(reason, &["exe", "exe_place"])),
            Needs::Shell => unusual.any(|reason| about(reason, &["exe"]) || under(reason)),
            Needs::Command => unusual.any(|reason| about(reason, &["exe", "arguments", "flags"]) || under(reason)),
        }
    }
}
