//! `ebbline show`.

use anyhow::Result;
use model::explain::counts_in_words;
use serde_json::{Value, json};
use store::{Finding, FindingReason};

use crate::args::ShowArgs;
use crate::output::{print, print_json};
use crate::words::{one_in, plural};

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
    for (at, finding) in shown.iter().enumerate() {
        print(&block(at + 1, finding))?;
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

/// One finding: how rare, when and where; what; and why, the strongest reason first.
fn block(number: usize, finding: &Finding) -> String {
    let head = format!("{number:>3}  {}   {:.1} bits", one_in(finding.log2_n), finding.bits);
    let mut text = format!("{head}   {} UTC   {}\n", store::time_text(finding.time), finding.host);
    text += &format!("     {}\n", shorten(&finding.title));
    for reason in finding.reasons.iter().take(REASONS) {
        text += &format!("     {:>6.1}  {}  [{}]\n", reason.bits, shorten(&in_words(reason)), reason.view);
    }
    let rest = finding.bits - finding.reasons.iter().take(REASONS).map(|r| r.bits).sum::<f32>();
    if rest > 0.05 {
        text += &format!("     {rest:>6.1}  other\n");
    }
    text
}

/// Long paths without their middle: `/srv/…/bin/httpd`. JSON has them whole.
fn shorten(text: &str) -> String {
    text.split_inclusive([' ', '=', ','])
        .map(|word| {
            let parts: Vec<&str> = word.split('/').collect();
            match parts.as_slice() {
                ["", first, .., parent, leaf] if parts.len() > 4 => format!("/{first}/…/{parent}/{leaf}"),
                _ => word.to_owned(),
            }
        })
        .collect()
}

/// `exe=/usr/bin/curl given parent_exe=/usr/sbin/nginx: 0 of 41,220 (312 kinds), this host`.
fn in_words(reason: &FindingReason) -> String {
    let given = if reason.context.is_empty() { String::new() } else { format!(" given {}", reason.context) };
    format!("{}{given}: {}", reason.child, counts_in_words(&reason.scope, reason.n, reason.total, reason.distinct))
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

#[cfg(test)]
mod tests {
    use super::shorten;

    #[test]
    fn long_paths_lose_their_middle() {
        assert_eq!(shorten("exe=/a/b/c/d/e given x=/usr/bin/cut"), "exe=/a/…/d/e given x=/usr/bin/cut");
        assert_eq!(shorten("/a/b/c /"), "/a/b/c /");
    }
}
