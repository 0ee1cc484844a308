//! What is said of it.

use anyhow::Result;
use handover::{Courier, Report, Target};
use serde_json::{Value, json};
use store::{rfc3339, time_text};

use super::gather::Gathered;
use super::{HandoverArgs, warn};
use crate::output::{print, print_json, table};
use crate::show::shorten;
use crate::words::{inline, plural};

/// Prints what became of everything. Returns whether all was handed over; where standard output is for incidents, standard error
/// is for this.
pub(super) fn say(args: &HandoverArgs, couriers: &[Courier], gathered: &Gathered, output: bool) -> Result<bool> {
    let reports: Vec<Report> = couriers.iter().map(Courier::report).collect();
    let whole = reports.iter().all(|report| report.queued == 0 && report.given_up == 0);
    gathered.unread.iter().for_each(|(_, why)| warn(&format!("rows left out: {why}")));
    if args.json {
        let targets = serde_json::to_value(&reports)?;
        print_json(&json!({ "incidents": gathered.incidents, "left": gathered.left, "targets": targets }))?;
        return Ok(whole);
    }
    for report in &reports {
        let line = line(report, gathered.incidents);
        if output { eprintln!("{line}") } else { print(&line)? }
    }
    Ok(whole)
}

fn line(report: &Report, incidents: u64) -> String {
    let sent = plural(report.sent, "incident", "incidents");
    let mut text = format!("{}: {sent} handed over, of {incidents}", inline(&report.target));
    if report.queued > 0 {
        text += &format!(", {} waiting for the next run", report.queued);
    }
    if report.dead > 0 {
        text += &format!(", {} could not be (--dead lists them, --retry-dead tries again)", report.dead);
    }
    if let Some(trouble) = report.trouble.as_ref().filter(|_| report.queued > 0 || report.given_up > 0) {
        text += &format!("\n  last: {trouble}");
    }
    text
}

/// Says that a receiver does not take what waits; a service's log has it at each look.
pub(super) fn say_trouble(courier: &Courier) {
    let Report { target, queued, trouble, .. } = courier.report();
    if let Some(trouble) = trouble.filter(|_| queued > 0) {
        warn(&format!("{target}: {queued} waiting: {trouble}"));
    }
}

/// Lists what could not be handed over.
pub(super) fn say_dead(args: &HandoverArgs, targets: &[Target]) -> Result<bool> {
    let mut all: Vec<Value> = Vec::new();
    let mut rows = table(["delivery", "incident", "given up", "why", "title"], &[]);
    for target in targets {
        for (incident, dead) in handover::dead_letters(&args.dir, target, args.baseline_id.as_deref())? {
            all.push(json!({
                "target": target.shown(), "delivery": dead.delivery(), "incident": incident, "at": rfc3339(dead.at),
                "why": dead.why, "title": dead.title,
            }));
            let title = shorten(&inline(&dead.title));
            rows.add_row([dead.delivery(), &incident, &time_text(dead.at), &inline(&dead.why), &title]);
        }
    }
    if args.json {
        print_json(&Value::Array(all))?;
    } else if all.is_empty() {
        print("Nothing is among the dead letters.")?;
    } else {
        print(&format!("{rows}\n--retry-dead tries them again; `ebbline incident show` tells one"))?;
    }
    Ok(false)
}
