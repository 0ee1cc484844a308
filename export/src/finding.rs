//! Findings as Detection Findings (docs/contracts.md §9).

use std::sync::Arc;

use arrow_array::{ArrayRef, Float32Array, Int64Array, StringArray};
use serde_json::json;
use store::{Finding, FindingReason};

use crate::columns::{Result, Struct, ints, lists, longs, texts, valid_if};
use crate::event::{self, Class, Source, millis, row_id};

/// How many bits of rarity each severity begins at, the worst first: one in about a million, sixteen thousand and a
/// thousand units.
const SEVERITIES: [(f32, i32); 3] = [(20.0, 5), (14.0, 4), (10.0, 3)];
/// Low: over the line, and no more.
const LEAST: i32 = 2;

/// Severity by how rare a unit is: 1 in 2^`log2_n`.
pub(crate) fn severity_of(log2_n: f32) -> i32 {
    SEVERITIES.iter().find(|(from, _)| log2_n >= *from).map_or(LEAST, |(_, severity)| *severity)
}

/// The events of findings that one baseline made.
pub(crate) fn events(findings: &[&Finding], baseline: &str) -> Result<Struct> {
    let count = findings.len();
    let text = |of: fn(&Finding) -> &str| texts(count, |row| Some(of(findings[row])));
    let times: Int64Array = findings.iter().map(|finding| finding.time).collect::<Vec<_>>().into();
    let mut event = Struct::default();
    event::classify(&mut event, Class::DetectionFinding, count, |_| 1, |_| String::new());
    event::severity(&mut event, count, |row| severity_of(findings[row].log2_n));
    event.put("time", longs(count, |row| Some(millis(findings[row].time))));
    event.put("start_time", longs(count, |row| Some(millis(findings[row].window.min(findings[row].time)))));
    event.put("end_time", longs(count, |row| Some(millis(findings[row].time))));
    event.put_all(count, "status_id", 1);
    event.put_all(count, "status", "New");
    event.put("message", text(|f| &f.title));
    let source = Source { profiles: &["host"], log_name: "findings", log_provider: "ebbline" };
    event.put("metadata", event::metadata(&source, &times, text(|f| &f.id), text(|f| &f.unit_kind))?);
    let hosts: StringArray = findings.iter().map(|f| Some(f.host.as_str())).collect();
    event.put("device", event::device(&hosts, false)?);
    event.put("finding_info", info(findings, baseline)?);
    event.put("evidences", evidences(findings)?);
    event.put("unmapped", unmapped(findings, baseline)?);
    Ok(event)
}

fn info(findings: &[&Finding], baseline: &str) -> Result<ArrayRef> {
    let count = findings.len();
    let mut analytic = Struct::default();
    analytic.put_all(count, "name", "Ebbline baseline");
    analytic.put_all(count, "uid", baseline);
    analytic.put_all(count, "type_id", 3);
    analytic.put_all(count, "type", "Statistical");
    let mut info = Struct::default();
    info.put("uid", texts(count, |row| Some(&findings[row].id)));
    info.put("title", texts(count, |row| Some(&findings[row].title)));
    info.put("desc", texts(count, |row| Some(description(findings[row]))));
    info.put("types", list_of_texts(count, |row| vec![findings[row].unit_kind.clone()])?);
    info.put("data_sources", list_of_texts(count, |row| tables(findings[row]))?);
    info.put("analytic", analytic.nested(None)?);
    info.put("first_seen_time", longs(count, |row| Some(millis(findings[row].window.min(findings[row].time)))));
    info.put("last_seen_time", longs(count, |row| Some(millis(findings[row].time))));
    info.put("related_events", related(findings)?);
    info.nested(None)
}

/// `1 in 149796 (236.4 bits): exe=/usr/bin/curl given …: 0 of 41220; …`: the reasons in words, most bits first.
fn description(finding: &Finding) -> String {
    let one_in = f64::from(finding.log2_n).exp2().round();
    let mut text = format!("1 in {one_in:.0} ({:.1} bits)", finding.bits);
    for (at, reason) in finding.reasons.iter().enumerate() {
        text += if at == 0 { ": " } else { "; " };
        text += &reason.child;
        if !reason.context.is_empty() {
            text += &format!(" given {}", reason.context);
        }
        text += &format!(": {} of {}, {}", reason.n, reason.total, reason.scope);
    }
    text
}

/// The tables that its rows are of, each once.
fn tables(finding: &Finding) -> Vec<String> {
    let mut tables: Vec<String> = finding.rows.iter().map(|row| row.table.clone()).collect();
    tables.sort_unstable();
    tables.dedup();
    tables
}

fn list_of_texts(rows: usize, of: impl Fn(usize) -> Vec<String>) -> Result<ArrayRef> {
    let all: Vec<Vec<String>> = (0..rows).map(of).collect();
    let lengths: Vec<usize> = all.iter().map(Vec::len).collect();
    let items: StringArray = all.into_iter().flatten().map(Some).collect();
    lists(Arc::new(items), lengths, None)
}

/// The rows of the evidence, by the ids that their own events have.
fn related(findings: &[&Finding]) -> Result<ArrayRef> {
    let rows: Vec<_> = findings.iter().flat_map(|finding| &finding.rows).collect();
    let mut event = Struct::default();
    event.put("uid", texts(rows.len(), |at| Some(row_id(&rows[at].file, rows[at].row))));
    event.put("type", texts(rows.len(), |at| Some(&rows[at].table)));
    let items = event.nested(valid_if(rows.len(), |_| true))?;
    lists(items, findings.iter().map(|finding| finding.rows.len()), None)
}

/// Each reason is a piece of evidence.
fn evidences(findings: &[&Finding]) -> Result<ArrayRef> {
    let reasons: Vec<&FindingReason> = findings.iter().flat_map(|finding| &finding.reasons).collect();
    let data = |reason: &FindingReason| {
        let FindingReason { view, child, context, scope, n, total, distinct, bits } = reason;
        json!({ "view": view, "child": child, "context": context, "scope": scope, "n": n, "N": total, "T": distinct, "bits": bits })
    };
    let mut evidence = Struct::default();
    evidence.put("data", texts(reasons.len(), |at| Some(data(reasons[at]).to_string())));
    let items = evidence.nested(valid_if(reasons.len(), |_| true))?;
    lists(items, findings.iter().map(|finding| finding.reasons.len()), None)
}

fn unmapped(findings: &[&Finding], baseline: &str) -> Result<ArrayRef> {
    let count = findings.len();
    let floats = |of: fn(&Finding) -> f32| -> ArrayRef {
        Arc::new(findings.iter().map(|finding| Some(of(finding))).collect::<Float32Array>())
    };
    let mut all = Struct::default();
    all.put_all(count, "baseline", baseline);
    all.put("unit_kind", texts(count, |row| Some(&findings[row].unit_kind)));
    all.put("unit_key", texts(count, |row| Some(&findings[row].unit_key)));
    all.put("bits", floats(|finding| finding.bits));
    all.put("log2_n", floats(|finding| finding.log2_n));
    all.put("rows", ints(count, |row| i32::try_from(findings[row].rows.len()).ok()));
    all.put("action", texts(count, |row| findings[row].action.as_deref()));
    all.nested(None)
}

#[cfg(test)]
mod tests {
    use super::severity_of;

    #[test]
    fn severity_rises_with_rarity() {
        let of: Vec<i32> = [0.0, 9.99, 10.0, 13.99, 14.0, 19.99, 20.0, 64.0].map(severity_of).into();
        assert_eq!(of, [2, 2, 3, 3, 4, 4, 5, 5]);
    }
}
