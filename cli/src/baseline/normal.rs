//! `ebbline baseline common` and `diff`: what is normal, in words.

use anyhow::{Context, Result, bail};
use model::Baseline;
use model::diff::{self, Change, ViewDiff};
use model::normal::{self, Children, Question, Whose};
use serde_json::{Value, json};

use super::args::{CommonArgs, DiffArgs};
use super::load;
use crate::output::{print, print_json, table};
use crate::words::{plural, thousands};

/// Lists what was seen in a context, or what can be asked.
pub(super) fn common(args: &CommonArgs) -> Result<()> {
    let baseline = load(&args.baseline)?;
    let Some(view) = &args.view else { return views(&baseline, args.json) };
    let question = Question {
        table: table_of(&baseline, view, args.table.as_deref())?,
        view: view.clone(),
        given: args.given.clone(),
        whose: match (&args.host, &args.group) {
            (Some(host), _) => Whose::Host(host.clone()),
            (None, Some(group)) => Whose::Group(group.clone()),
            (None, None) => Whose::Fleet,
        },
    };
    let found = normal::children(&baseline, &question).context("cannot list what is normal")?;
    if args.json {
        return print_json(&children_json(&baseline, &question, &found, args.limit));
    }
    print(&children_in_words(&question, &found, args.limit))
}

/// The table that has the view, if only one has.
fn table_of(baseline: &Baseline, view: &str, given: Option<&str>) -> Result<String> {
    if let Some(table) = given {
        return Ok(table.to_owned());
    }
    let has = |s: &&std::sync::Arc<model::Snapshot>| s.lens.views().iter().any(|v| v.name == view);
    let tables: Vec<&str> = baseline.snapshots().iter().filter(has).map(|s| s.lens.table()).collect();
    match tables[..] {
        [table] => Ok(table.to_owned()),
        [] => bail!(
            "cannot list what is normal: no table has a view {view:?}; see them with: ebbline baseline common BASELINE"
        ),
        _ => bail!(
            "cannot list what is normal: tables {} have a view {view:?}; name one with --table",
            tables.join(" and ")
        ),
    }
}

/// Every view, and by which fields it can be asked.
fn views(baseline: &Baseline, as_json: bool) -> Result<()> {
    let mut rows = table(["table", "view", "lists", "given"], &[]);
    let mut values = Vec::new();
    for snapshot in baseline.snapshots() {
        let lens = &snapshot.lens;
        let names = |fields: &[usize]| fields.iter().map(|f| lens.fields()[*f].name.as_str()).collect::<Vec<_>>();
        for view in lens.views() {
            let contexts: Vec<Vec<&str>> = view.contexts.iter().map(|fields| names(fields)).collect();
            let asked = contexts.iter().map(|fields| match fields[..] {
                [] => "nothing".to_owned(),
                _ => fields.join(", "),
            });
            let asked = asked.collect::<Vec<_>>().join("; ");
            rows.add_row([lens.table(), &view.name, &names(&view.child).join(", "), &asked]);
            values.push(json!({
                "table": lens.table(), "view": view.name, "lists": names(&view.child), "given": contexts,
            }));
        }
    }
    if as_json { print_json(&json!({ "id": baseline.id(), "views": values })) } else { print(&rows.to_string()) }
}

fn whose(whose: &Whose) -> String {
    match whose {
        Whose::Fleet => "fleet".to_owned(),
        Whose::Host(host) => format!("host {host}"),
        Whose::Group(name) => format!("group {name}"),
    }
}

fn children_in_words(question: &Question, found: &Children, limit: usize) -> String {
    let given = if found.context.is_empty() { String::new() } else { format!(" given {}", found.context) };
    let mut rows = table(["share", "rows", "hosts", "n", "what"], &[0, 1, 2, 3]);
    for child in found.children.iter().take(limit) {
        let [counted, n] = [child.rows, child.n.into()].map(thousands);
        rows.add_row([
            percent(child.rows, found.rows),
            counted,
            thousands(child.hosts.into()),
            n,
            terminal::told(&child.words),
        ]);
    }
    let title = format!(
        "{}{given}, {}: {} on {}; N {}, T {}",
        question.view,
        whose(&question.whose),
        plural(found.rows, "row", "rows"),
        plural(found.hosts.into(), "host", "hosts"),
        thousands(found.total.into()),
        thousands(found.kinds.into()),
    );
    let mut text = format!("{title}\n{rows}");
    let more = found.children.len().saturating_sub(limit);
    if more > 0 {
        text.push_str(&format!("\n{} more; list them with --limit", thousands(more as u64)));
    }
    if found.unknown > 0 {
        let unknown = plural(found.unknown as u64, "is", "are");
        text.push_str(&format!("\n{unknown} not in the dictionary"));
    }
    text
}

/// `12.3 %`.
fn percent(part: u64, all: u64) -> String {
    format!("{:.1} %", if all == 0 { 0.0 } else { 100.0 * part as f64 / all as f64 })
}

fn children_json(baseline: &Baseline, question: &Question, found: &Children, limit: usize) -> Value {
    let share = |rows: u64| if found.rows == 0 { 0.0 } else { rows as f64 / found.rows as f64 };
    let child = |c: &normal::Child| json!({ "what": c.words, "share": share(c.rows), "rows": c.rows, "hosts": c.hosts, "n": c.n });
    let given: serde_json::Map<String, Value> =
        question.given.iter().map(|(field, text)| (field.clone(), json!(text))).collect();
    json!({
        "id": baseline.id(), "table": question.table, "view": question.view, "given": given,
        "scope": whose(&question.whose), "rows": found.rows, "hosts": found.hosts, "N": found.total, "T": found.kinds,
        "children": found.children.iter().take(limit).map(child).collect::<Vec<_>>(),
        "more": found.children.len().saturating_sub(limit), "unknown": found.unknown,
    })
}

/// Says what differs between two baselines.
pub(super) fn diff(args: &DiffArgs) -> Result<()> {
    let (before, after) = (load(&args.before)?, load(&args.after)?);
    let views = diff::diff(&before, &after).context("cannot compare")?;
    let [came, went] = [(&after, &before), (&before, &after)].map(|(one, other)| {
        one.dismissals().iter().filter(|dismissal| !other.dismissals().contains(dismissal)).collect::<Vec<_>>()
    });
    if args.json {
        let views: Vec<Value> = views.iter().map(|view| view_json(view, args.limit)).collect();
        return print_json(&json!({ "before": before.id(), "after": after.id(), "views": views,
            "dismissals_came": came.iter().map(|one| &one.id).collect::<Vec<_>>(),
            "dismissals_went": went.iter().map(|one| &one.id).collect::<Vec<_>>(),
        }));
    }
    let mut texts: Vec<String> = views.iter().filter_map(|view| view_in_words(view, args.limit)).collect();
    let said = came.iter().map(|one| ('+', one)).chain(went.iter().map(|one| ('-', one)));
    let said: Vec<String> = said.map(|(mark, one)| format!("{mark} {}", super::show::dismissal(one))).collect();
    texts.extend((!said.is_empty()).then(|| said.join("\n")));
    if texts.is_empty() {
        return print(&format!("baselines {} and {}: no view differs", before.id(), after.id()));
    }
    print(&texts.join("\n\n"))
}

/// Changes of less than this share are not worth a line.
const LEAST_SHARE: f64 = 0.001;

/// What is worth telling of a view; nothing if nothing differs.
fn view_in_words(view: &ViewDiff, limit: usize) -> Option<String> {
    let changed: Vec<&Change> = view.changed.iter().filter(|c| moved(c).abs() >= LEAST_SHARE).collect();
    if view.came.is_empty() && view.went.is_empty() && changed.is_empty() {
        return None;
    }
    let mut text = format!("{}, {}", view.table, view.view);
    let mut list = |name: &str, mark: char, all: &[&Change]| {
        if !all.is_empty() {
            text.push_str(&format!("\n  {name}: {}", thousands(all.len() as u64)));
        }
        for change in all.iter().take(limit) {
            text.push_str(&format!("\n  {mark} {}", change_in_words(change)));
        }
    };
    list("became normal", '+', &view.came.iter().collect::<Vec<_>>());
    list("went", '-', &view.went.iter().collect::<Vec<_>>());
    list("changed", '~', &changed);
    if view.unknown > 0 {
        text.push_str(&format!("\n  {} more that no dictionary knows", thousands(view.unknown as u64)));
    }
    Some(text)
}

fn moved(change: &Change) -> f64 {
    let [before, after] = change.shares();
    after - before
}

/// `exe=/usr/bin/curl given parent_exe=/usr/sbin/nginx: 0 → 12 rows, 0 → 2 hosts (0.0 % → 3.1 %)`
fn change_in_words(change: &Change) -> String {
    let given = if change.context.is_empty() { String::new() } else { format!(" given {}", change.context) };
    format!(
        "{}{given}: {} → {}, {} → {} ({} → {})",
        terminal::told(&change.child),
        thousands(change.before.rows),
        plural(change.after.rows, "row", "rows"),
        thousands(change.before.hosts.into()),
        plural(change.after.hosts.into(), "host", "hosts"),
        percent(change.before.rows, change.rows_before),
        percent(change.after.rows, change.rows_after),
    )
}

fn view_json(view: &ViewDiff, limit: usize) -> Value {
    let change = |c: &Change| {
        let [before, after] = c.shares();
        json!({
            "child": c.child, "context": c.context,
            "before": { "rows": c.before.rows, "hosts": c.before.hosts, "share": before },
            "after": { "rows": c.after.rows, "hosts": c.after.hosts, "share": after },
        })
    };
    let list = |all: &[Change]| all.iter().take(limit).map(change).collect::<Vec<_>>();
    json!({
        "table": view.table, "view": view.view,
        "came": list(&view.came), "came_in_all": view.came.len(),
        "went": list(&view.went), "went_in_all": view.went.len(),
        "changed": list(&view.changed), "changed_in_all": view.changed.len(), "unknown": view.unknown,
    })
}
