//! `ebbline baseline show`.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use model::days::day_text;
use model::{Baseline, Dismissal, Snapshot, Stage};
use serde_json::{Value, json};

use super::args::ShowArgs;
use crate::output::{print, print_json, table};
use crate::words::{inline, plural, thousands};

/// Prints what a baseline holds.
pub(super) fn run(args: &ShowArgs) -> Result<()> {
    let baseline = super::load(&args.baseline)?;
    if args.json {
        return print_json(&to_json(&baseline, args.segments));
    }
    let mut rows = table(["table", "rows", "hosts", "days", "counts", "calibration"], &[1, 2, 3, 4]);
    for snapshot in baseline.snapshots() {
        let [learned, hosts, days] = learned(&baseline, snapshot).map(thousands);
        let calibration = &snapshot.calibration;
        let basis = format!("{}, {} rows", calibration.basis, thousands(calibration.rows_used));
        let counts = thousands(used(snapshot));
        rows.add_row([snapshot.lens.table().to_owned(), learned, hosts, days, counts, basis]);
    }
    let mut text = format!("{}\n{rows}", title(&baseline));
    for line in in_words(&baseline) {
        text.push_str(&format!("\n{line}"));
    }
    if args.segments {
        text.push_str(&format!("\n{}", segments(&baseline)));
    }
    print(&text)
}

/// `baseline 0123456789abcdef, 12 segments`.
pub(super) fn title(baseline: &Baseline) -> String {
    format!("baseline {}, {}", baseline.id(), plural(baseline.segments().len() as u64, "segment", "segments"))
}

/// What else there is to say, a line each.
pub(super) fn in_words(baseline: &Baseline) -> Vec<String> {
    let mut lines = vec![calibrated(baseline), stages(baseline)];
    let runs = baseline.parts().origins.len() as u64;
    if runs > 1 {
        lines.push(format!("learned in {}", plural(runs, "run", "runs")));
    }
    if let Some(who) = baseline.entities() {
        let names = plural(who.names() as u64, "entity", "entities");
        lines.push(format!("{names} by {}", plural(who.ids() as u64, "id", "ids")));
    }
    let options = baseline.options();
    if let Some(days) = options.half_life_days {
        let from = options.as_of.map_or("the newest day".to_owned(), day_text);
        lines.push(format!("counts lose half of their weight in {}, as of {from}", plural(days.into(), "day", "days")));
    }
    if let Some(most) = options.max_entries {
        lines.push(format!("at most {} entries of a table", thousands(most)));
    }
    lines.extend(groups(baseline).into_iter().map(|(name, hosts)| format!("group {name}: {}", hosts.join(", "))));
    lines.extend(options.groups.iter().map(|(host, group)| format!("  {host}: {}", group.why)));
    lines.extend(baseline.dismissals().iter().map(dismissal));
    let (values, complete) = baseline.values();
    let all = if complete { "all that were seen" } else { "not all that were seen" };
    lines.push(format!("{}, {all}", plural(values as u64, "value in words", "values in words")));
    lines
}

/// `dismissal 0123456789abcdef: incident 3f9c…, until 2027-02-21, by alice: backup`.
pub(super) fn dismissal(Dismissal { id, said, .. }: &Dismissal) -> String {
    let (incident, until, owner, why) = (inline(&said.incident), day_text(said.until), inline(&said.owner), &said.why);
    format!("dismissal {id}: incident {incident}, until {until}, by {owner}: {}", inline(why))
}

fn dismissal_to_json(dismissal: &Dismissal) -> Value {
    let said = &dismissal.said;
    json!({
        "id": dismissal.id, "incident": said.incident, "owner": said.owner, "why": said.why,
        "at": store::rfc3339(said.at), "until": day_text(said.until), "rows": dismissal.rows(),
        "hosts": dismissal.hosts(),
    })
}

/// How well its hosts are known, and whether it can judge others.
fn stages(baseline: &Baseline) -> String {
    let hosts: Vec<(Option<&str>, usize)> = baseline.hosts().collect();
    let settled = hosts.iter().filter(|(_, days)| Stage::of(*days) == Stage::Settled).count();
    let kinds = baseline.snapshots().iter().flat_map(|s| s.lens.units());
    let judges = kinds.map(|unit| &unit.kind).all(|kind| baseline.judges(kind, Stage::New));
    let new = if judges { "new ones are judged by their peers" } else { "new ones cannot be judged" };
    format!("{} of {} settled, {new}", thousands(settled as u64), plural(hosts.len() as u64, "host", "hosts"))
}

/// By how much it is calibrated, without hiding what is missing.
pub(super) fn calibrated(baseline: &Baseline) -> String {
    let bare = baseline.parts().rows_without_evidence();
    let parts = format!("calibrated by {}", plural(baseline.evidence().len() as u64, "part", "parts"));
    if bare == 0 { parts } else { format!("{parts}; {} without evidence", plural(bare, "row", "rows")) }
}

/// Groups and their hosts.
fn groups(baseline: &Baseline) -> BTreeMap<&str, Vec<&str>> {
    let mut all: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (host, group) in &baseline.options().groups {
        all.entry(&group.name).or_default().push(host);
    }
    all
}

fn segments(baseline: &Baseline) -> String {
    let mut rows = table(["table", "host", "day", "rows", "cells", "segment"], &[3, 4]);
    for segment in sorted(baseline) {
        rows.add_row([
            table_of(baseline, &segment.lens_digest).to_owned(),
            segment.host.clone().unwrap_or_else(|| "(none)".to_owned()),
            day_text(segment.day),
            thousands(segment.rows),
            thousands(segment.cells() as u64),
            segment.id.clone(),
        ]);
    }
    rows.to_string()
}

fn sorted(baseline: &Baseline) -> Vec<&model::Segment> {
    let mut all: Vec<&model::Segment> = baseline.segments().iter().collect();
    all.sort_by_key(|s| (table_of(baseline, &s.lens_digest), &s.host, s.day));
    all
}

fn table_of<'a>(baseline: &'a Baseline, digest: &[u8; 32]) -> &'a str {
    baseline.snapshots().iter().find(|s| s.lens.digest() == *digest).map_or("", |s| s.lens.table())
}

/// Rows, hosts and days that taught a table.
fn learned(baseline: &Baseline, snapshot: &Snapshot) -> [u64; 3] {
    let digest = snapshot.lens.digest();
    let of_table = || baseline.segments().iter().filter(|segment| segment.lens_digest == digest);
    let hosts: BTreeSet<_> = of_table().map(|segment| &segment.host).collect();
    let days: BTreeSet<_> = of_table().map(|segment| segment.day).collect();
    [of_table().map(|segment| segment.rows).sum(), hosts.len() as u64, days.len() as u64]
}

fn used(snapshot: &Snapshot) -> u64 {
    snapshot.slots.iter().filter(|slot| slot[2] != 0).count() as u64
}

pub(super) fn to_json(baseline: &Baseline, segments: bool) -> Value {
    let tables: Vec<Value> = baseline
        .snapshots()
        .iter()
        .map(|snapshot| {
            let [rows, hosts, days] = learned(baseline, snapshot);
            let views: Vec<_> = snapshot.lens.views().iter().map(|view| &view.name).collect();
            json!({
                "table": snapshot.lens.table(), "rows": rows, "hosts": hosts, "days": days, "counts": used(snapshot),
                "views": views, "calibration": snapshot.calibration.basis.to_string(),
                "calibration_rows": snapshot.calibration.rows_used,
            })
        })
        .collect();
    let options = baseline.options();
    let (values, complete) = baseline.values();
    let mut value = json!({
        "id": baseline.id(), "segments": baseline.segments().len(), "tables": tables,
        "evidence": baseline.evidence().len(), "rows_without_evidence": baseline.parts().rows_without_evidence(),
        "host_days": baseline.hosts().map(|(host, days)| (host.unwrap_or("(none)"), days)).collect::<BTreeMap<_, _>>(),
        "runs": baseline.parts().origins.keys().collect::<Vec<_>>(),
        "values": values, "values_complete": complete,
        "entities": baseline.entities().map(|who| json!({ "names": who.names(), "ids": who.ids() })),
        "as_of": options.as_of.map(day_text), "half_life_days": options.half_life_days,
        "max_entries": options.max_entries,
        "dismissals": baseline.dismissals().iter().map(dismissal_to_json).collect::<Vec<_>>(),
        "groups": groups(baseline),
        "group_reasons": options.groups.iter().map(|(host, group)| (host, &group.why)).collect::<BTreeMap<_, _>>(),
    });
    if segments {
        let all = sorted(baseline).into_iter().map(|s| {
            let table = table_of(baseline, &s.lens_digest);
            json!({
                "id": s.id, "table": table, "host": s.host, "day": day_text(s.day), "rows": s.rows,
                "cells": s.cells(), "withheld": s.withheld,
            })
        });
        value["segment_list"] = all.collect();
    }
    value
}
