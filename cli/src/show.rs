//! `ebbline show`.

use anyhow::Result;
use serde_json::{Value, json};
use store::{Finding, FindingReason};

use crate::args::ShowArgs;
use crate::output::{print, print_json, table};
use crate::words::{counts, one_in, plural};

/// Reasons shown in the table; JSON has all.
const REASONS: usize = 3;

/// Prints the findings of a folder.
pub(crate) fn run(args: &ShowArgs) -> Result<bool> {
    let findings = store::read_all_findings(&args.dir)?;
    let limit = if args.all { usize::MAX } else { args.limit };
    let shown = &findings[..findings.len().min(limit)];
    if args.json {
        print_json(&Value::Array(shown.iter().map(to_json).collect()))?;
        return Ok(false);
    }
    if findings.is_empty() {
        print(&format!("no findings in {}: nothing was rarer than the line", args.dir.display()))?;
        return Ok(false);
    }
    let mut table = table(["#", "rarity", "bits", "when (UTC)", "host", "what and why"]);
    for (at, finding) in shown.iter().enumerate() {
        table.add_row([
            (at + 1).to_string(),
            one_in(finding.log2_n),
            format!("{:.1}", finding.bits),
            store::time_text(finding.time),
            finding.host.clone(),
            what_and_why(finding),
        ]);
    }
    print(&table.to_string())?;
    if shown.len() < findings.len() {
        print(&format!(
            "{} of {}; --all shows the rest",
            shown.len(),
            plural(findings.len() as u64, "finding", "findings")
        ))?;
    }
    Ok(false)
}

fn what_and_why(finding: &Finding) -> String {
    let mut text = finding.title.clone();
    for reason in finding.reasons.iter().take(REASONS) {
        text += &format!("\n· {:.1} bits: {}", reason.bits, in_words(reason));
    }
    let rest = finding.bits - finding.reasons.iter().take(REASONS).map(|r| r.bits).sum::<f32>();
    if rest > 0.05 {
        text += &format!("\n· {rest:.1} bits: other");
    }
    text
}

/// `exe=/usr/bin/curl given parent_exe=/usr/sbin/nginx: 0 of 41,220 (312 kinds), this host`.
fn in_words(reason: &FindingReason) -> String {
    let given = if reason.context.is_empty() { String::new() } else { format!(" given {}", reason.context) };
    format!("{}{given}: {}", reason.child, counts(reason.n, reason.total, reason.distinct, &reason.scope))
}

fn to_json(finding: &Finding) -> Value {
    let reasons: Vec<Value> = finding
        .reasons
        .iter()
        .map(|r| {
            json!({
                "view": r.view, "child": r.child, "context": r.context, "scope": r.scope,
                "n": r.n, "N": r.total, "T": r.distinct, "bits": r.bits, "words": in_words(r),
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
