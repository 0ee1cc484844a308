//! `ebbline show`.

use std::path::Path;

use anyhow::Result;
use model::Lens;
use model::days::day_text;
use serde_json::{Value, json};
use store::{Finding, FindingReason};
use triage::{Options, Rarity};

pub(crate) use terminal::shorten;

use crate::args::ShowArgs;
use crate::incident::not_seen;
use crate::output::{print, print_json};
use crate::score::promise;
use crate::techniques;
use crate::words::{Role, inline, mark, one_in, plural};

const DAY_NS: i64 = 86_400_000_000_000;

/// Reasons shown in the table; JSON has all.
const REASONS: usize = 3;

/// Prints the findings of a folder.
pub(crate) fn run(args: &ShowArgs) -> Result<bool> {
    let findings = store::read_all_findings(&args.dir)?;
    let given = args.baseline.as_deref().map(crate::baseline::load).transpose()?;
    let lenses = techniques::lenses(given.map(|baseline| baseline.parts().lenses.clone()));
    let promise = Promise::of(&args.dir, &findings)?;
    let options = Options { out: args.dir.clone(), ..Options::default() };
    let (gaps, rarity) = (triage::coverage(&options, &[])?, Rarity::of(&options));
    let limit = if args.all { usize::MAX } else { args.limit };
    let shown = &findings[..findings.len().min(limit)];
    if args.json {
        let mut value = promise.to_json();
        value["coverage"] = serde_json::to_value(&gaps)?;
        value["findings"] = shown.iter().map(|finding| to_json(finding, &lenses)).collect();
        print_json(&value)?;
        return Ok(false);
    }
    let header = format!("{}{}", not_seen(&gaps), promise.in_words(args.days));
    if findings.is_empty() {
        print(&format!("{header}no findings in {}: nothing was rarer than the line", args.dir.display()))?;
        return Ok(false);
    }
    print(&header)?;
    for (at, finding) in shown.iter().enumerate() {
        print(&block(at + 1, finding, &lenses, &rarity))?;
    }
    if shown.len() < findings.len() {
        print(&format!(
            "{} of {}; --all shows the rest",
            shown.len(),
            plural(findings.len() as u64, "finding", "findings")
        ))?;
    }
    Ok(false)
}

/// What was expected, and how many there were.
struct Promise {
    /// The last one.
    run: store::Run,
    /// Findings of the last days, by day, the first first.
    days: Vec<(String, u64)>,
    last_7_days: Option<u64>,
}

impl Promise {
    fn of(dir: &Path, findings: &[Finding]) -> Result<Self> {
        let mut runs = store::Manifest::load(dir)?.runs;
        let times = || findings.iter().map(|f| f.time);
        let ended = runs.iter().filter_map(|run| store::from_rfc3339(run.until.as_ref()?));
        let until = ended.chain(times()).max();
        let mut run = runs.pop().unwrap_or_default();
        // A run that goes on is in no manifest yet, but its findings say it.
        run.expected_per_day = store::expected_per_day(dir)?.or(run.expected_per_day);
        let last_7_days = until.map(|until| archive::last_days(times(), until));
        let day = |back: i64| {
            let (until, length) = (until?, DAY_NS);
            let day = until.div_euclid(length).saturating_sub(back);
            let count = times().filter(|time| time.div_euclid(length) == day).count() as u64;
            Some((day_text(i32::try_from(day).ok()?), count))
        };
        Ok(Self { run, days: (0..archive::LAST_DAYS).rev().filter_map(day).collect(), last_7_days })
    }

    /// Lines that come before the findings.
    fn in_words(&self, days: bool) -> String {
        let mut text = format!("{}\n", promise(&self.run, self.last_7_days, "finding"));
        for (day, count) in self.days.iter().filter(|_| days) {
            text += &format!("  {day}  {}\n", plural(*count, "finding", "findings"));
        }
        text
    }

    fn to_json(&self) -> Value {
        json!({
            "expected_per_day": self.run.expected_per_day, "alerts_per_day": self.run.alerts_per_day,
            "units_per_day": self.run.units_per_day, "last_7_days": self.last_7_days,
            "days": self.days.iter().map(|(day, count)| json!({ "day": day, "findings": count })).collect::<Vec<_>>(),
            "hosts": self.run.hosts,
        })
    }
}

/// One finding: how rare, when, where and who; what; why, the strongest reason first; and the rarest row, where to look.
fn block(number: usize, finding: &Finding, lenses: &[Lens], rarities: &Rarity) -> String {
    let rarity = mark(Role::Number, &one_in(finding.log2_n));
    let head = format!("{number:>3}  {rarity}   {:.1} bits", finding.bits);
    let mut text = format!("{head}   {} UTC{}\n", store::time_text(finding.time), whose(finding));
    text += &format!("     {}\n", mark(Role::Strong, &shorten(&inline(&finding.title))));
    let shown = telling(&finding.reasons);
    for reason in &shown {
        text += &format!(
            "     {:>6.1}  {}  [{}]\n",
            reason.bits,
            shorten(&inline(&archive::reason_in_words(reason))),
            reason.view
        );
    }
    let rest = finding.bits - shown.iter().map(|r| r.bits).sum::<f32>();
    if rest > 0.05 {
        text += &format!("{}\n", mark(Role::Dim, &format!("     {rest:>6.1}  other")));
    }
    if let Some(row) = rarities.rarest(&finding.rows) {
        let more = finding.rows.len() - 1;
        let more = if more == 0 { String::new() } else { format!(", and {}", plural(more as u64, "more", "more")) };
        let row = format!("row {} of {}{more}", row.row, inline(&row.file));
        text += &format!("             {}\n", mark(Role::Dim, &row));
    }
    let reasons = shown.iter().map(|r| techniques::of(lenses, &tables(finding), &r.view));
    if let Some(suggestions) = techniques::in_words(reasons) {
        text += &format!("             {}\n", mark(Role::Dim, &suggestions));
    }
    text
}

/// Host and key of the unit. The key of a process is for programs: the title says which it is.
fn whose(finding: &Finding) -> String {
    let is_process = finding.unit_key.len() == 32 && finding.unit_key.bytes().all(|b| b.is_ascii_hexdigit());
    let key = if is_process || finding.unit_key == finding.host { "" } else { &finding.unit_key };
    let kind = if key.is_empty() { "" } else { &finding.unit_kind };
    let parts = [finding.host.as_str(), kind, key].into_iter().filter(|part| !part.is_empty());
    parts.map(|part| format!("   {}", inline(part))).collect()
}

/// The reasons for the table: of those that several views give for the same value, the strongest.
fn telling(reasons: &[FindingReason]) -> Vec<&FindingReason> {
    let mut told: Vec<&FindingReason> = Vec::new();
    for reason in reasons {
        if told.len() < REASONS && told.iter().all(|known| known.child != reason.child) {
            told.push(reason);
        }
    }
    told
}

/// The tables that its rows are of.
fn tables(finding: &Finding) -> Vec<&str> {
    finding.rows.iter().map(|row| row.table.as_str()).collect()
}

fn to_json(finding: &Finding, lenses: &[Lens]) -> Value {
    let tables = tables(finding);
    let reasons: Vec<Value> = finding
        .reasons
        .iter()
        .map(|r| {
            json!({
                "view": r.view, "child": r.child, "context": r.context, "scope": r.scope,
                "n": r.n, "N": r.total, "T": r.distinct, "bits": r.bits, "words": archive::reason_in_words(r),
                "attack": techniques::of(lenses, &tables, &r.view),
            })
        })
        .collect();
    let rows: Vec<Value> = finding
        .rows
        .iter()
        .map(|r| json!({ "file": r.file, "row": r.row, "table": r.table, "bits": r.bits }))
        .collect();
    json!({
        "id": finding.id, "host": finding.host, "unit_kind": finding.unit_kind, "unit_key": finding.unit_key,
        "window": store::rfc3339(finding.window), "time": store::rfc3339(finding.time), "title": finding.title,
        "bits": finding.bits, "log2_n": finding.log2_n, "one_in": f64::from(finding.log2_n).exp2(),
        "reasons": reasons, "rows": rows, "action": finding.action,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(child: &str, context: &str, bits: f32) -> FindingReason {
        FindingReason { child: child.into(), context: context.into(), bits, ..FindingReason::default() }
    }

    #[test]
    fn a_finding_says_who_why_once_and_where_to_look() {
        let reasons = vec![
            reason("asn=131279", "", 12.0),
            reason("asn=131279", "user=ada", 9.0),
            reason("os=a\nb", "", 5.0),
            reason("gw=1", "", 4.0),
            reason("gw=2", "", 1.0),
        ];
        let row = store::FindingRow { file: "vpn.csv".into(), row: 7, table: "vpn".into(), bits: 31.0 };
        let mut finding = Finding {
            unit_kind: "user".into(),
            unit_key: "ada".into(),
            bits: 31.0,
            reasons,
            rows: vec![row.clone(), row],
            ..Finding::default()
        };
        let text = block(1, &finding, &[], &Rarity::default());
        let has = |part: &str| text.contains(part);
        assert!(text.lines().next().is_some_and(|line| line.ends_with("UTC   user   ada")), "{text}");
        assert!(has("12.0  asn=131279 given anything: ") && !has("given user=ada"), "{text}");
        assert!(has("5.0  os=a\\nb") && has("4.0  gw=1") && !has("gw=2") && has("10.0  other"), "{text}");
        assert!(has("row 7 of vpn.csv, and 1 more"), "{text}");
        finding.host = "web1".into();
        finding.unit_key = "0123456789abcdef0123456789abcdef".into();
        assert!(
            block(1, &finding, &[], &Rarity::default()).lines().next().is_some_and(|line| line.ends_with("UTC   web1"))
        );
    }
}
