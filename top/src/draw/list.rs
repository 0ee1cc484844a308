//! Lists and pages: what is selected is always in view.

use std::sync::Arc;

use model::explain::thousands;
use store::{Finding, Incident, time_text};
use terminal::{one_in, plural, shorten};
use triage::Standing;

use super::{Row, fit, heading};
use crate::page::{Item, when};
use crate::state::State;
use crate::text::{Parts, clean, pad, wrap};
use crate::theme::Role;

/// From so many columns on, what is selected is told beside the list.
const WIDE: usize = 140;
/// Reasons beside a list.
const REASONS: usize = 12;

/// The findings.
pub(super) fn findings(state: &State, size: (usize, usize)) -> Vec<Row> {
    let shown = state.findings();
    let order = ("the newest first", "the rarest first");
    let total = state.data().findings.as_ref().map(|all| all.total);
    let head = caption(state, "findings", (shown.len(), total), order);
    let none = match (&state.data().findings, state.data().folder.is_some()) {
        (_, false) => "No folder of results is known. Name it: ebbline top DIR",
        (None, _) => "Reading findings …",
        _ if state.list().is_some_and(|list| !list.filter.is_empty()) => "No finding holds this text.",
        _ => state.data().why_none(),
    };
    let line = |finding: &Arc<Finding>| {
        vec![
            (Role::Dim, format!("{} ", day_and_time(finding.time, size.0))),
            (Role::Number, format!("{} ", pad(&one_in(finding.log2_n), 16))),
            (Role::Strong, format!("{} ", pad(&clean(&finding.host), hosts(size.0)))),
            (Role::Plain, shorten(&clean(&finding.title))),
        ]
    };
    list(state, size, head, none, &shown, line, beside_finding)
}

/// The incidents.
pub(super) fn incidents(state: &State, size: (usize, usize)) -> Vec<Row> {
    let shown = state.incidents();
    let all = state.data().incidents.as_ref();
    let order = ("the most unusual first", "the newest first");
    let mut head = caption(state, "incidents", (shown.len(), all.map(|all| all.total)), order);
    if all.is_some_and(|all| all.grouped) {
        head += "; grouped here, not written";
    }
    let none = match (all, state.data().folder.is_some()) {
        (_, false) => "No folder of results is known. Name it: ebbline top DIR",
        (None, _) => "Reading incidents …",
        _ if state.list().is_some_and(|list| !list.filter.is_empty()) => "No incident holds this text.",
        _ => state.data().why_none(),
    };
    let standing = |incident: &Incident| all.and_then(|all| all.standings.get(&incident.id));
    let line = |incident: &Arc<Incident>| {
        vec![
            (Role::Dim, format!("{} ", day_and_time(incident.last, size.0))),
            (Role::Number, format!("{:>7.1} bits ", incident.bits)),
            (Role::Plain, format!("{:>4} ", format!("×{}", incident.findings.len()))),
            (Role::Strong, format!("{} ", pad(&clean(&incident.hosts.join(" ")), hosts(size.0)))),
            (Role::Warn, standing(incident).map_or(String::new(), |one| format!("{} ", one.word()))),
            (Role::Plain, shorten(&clean(&incident.title))),
        ]
    };
    list(state, size, head, none, &shown, line, |incident| beside_incident(incident, standing(incident)))
}

/// Without the year; where there is little room, without seconds.
fn day_and_time(time: i64, columns: usize) -> String {
    let text = time_text(time);
    text.get(5..if columns < 100 { 16 } else { 19 }).unwrap_or_default().to_owned()
}

/// Columns for names of hosts.
fn hosts(columns: usize) -> usize {
    if columns < 100 { 8 } else { 14 }
}

/// `12 of 3,400 findings, the newest first, with "curl"`.
fn caption(state: &State, what: &str, (shown, total): (usize, Option<u64>), order: (&str, &str)) -> String {
    let list = state.list();
    let order = if list.is_some_and(|list| list.other_order) { order.1 } else { order.0 };
    let of = match total {
        Some(total) if total != shown as u64 => format!(" of {}", thousands(total)),
        _ => String::new(),
    };
    let with = list.map(|list| list.filter.as_str()).filter(|filter| !filter.is_empty());
    let with = with.map(|filter| format!(", with \"{}\"", clean(filter))).unwrap_or_default();
    format!("{}{of} {what}, {order}{with}", thousands(shown as u64))
}

/// A list, and beside it what is told of the selected line where there is room.
fn list<T>(
    state: &State,
    (columns, lines): (usize, usize),
    head: String,
    none: &str,
    all: &[T],
    parts: impl Fn(&T) -> Parts,
    beside: impl Fn(&T) -> Vec<Item>,
) -> Vec<Row> {
    let mut rows = vec![Row::of(heading(&head, columns))];
    let cursor = state.list().map_or(0, |list| list.cursor).min(all.len().saturating_sub(1));
    let Some(selected) = all.get(cursor) else {
        rows.push(Row::of(vec![(Role::Plain, none.to_owned())]));
        return rows;
    };
    let room = lines - 1;
    let first = from(cursor, all.len(), room);
    let left = if columns >= WIDE { columns * 3 / 5 } else { columns };
    let told = if columns >= WIDE { wrapped(&beside(selected), columns - left - 3) } else { Vec::new() };
    let mut told = told.into_iter();
    for at in first..first + room {
        let mut line = Vec::new();
        if let Some(one) = all.get(at) {
            line.push((Role::Plain, if at == cursor { "▸ " } else { "  " }.to_owned()));
            line.extend(parts(one));
        }
        let mut selected = if at == cursor { usize::MAX } else { 0 };
        if columns >= WIDE {
            line = fit(&line, left);
            selected = selected.min(line.len());
            line.push((Role::Dim, " │ ".to_owned()));
            line.extend(told.next().unwrap_or_default());
        }
        rows.push(Row { parts: line, selected });
    }
    rows
}

/// The first line to show, so that the selected one is in the middle where it can be.
fn from(cursor: usize, count: usize, room: usize) -> usize {
    cursor.saturating_sub(room / 2).min(count.saturating_sub(room))
}

fn wrapped(items: &[Item], columns: usize) -> Vec<Parts> {
    items.iter().flat_map(|item| wrap(&item.parts, columns, item.indent)).collect()
}

fn beside_finding(finding: &Arc<Finding>) -> Vec<Item> {
    let text = |parts: Parts, indent: usize| Item { parts, indent, ..Item::default() };
    let mut items = vec![
        text(vec![(Role::Value, clean(&finding.title))], 0),
        text(
            vec![(
                Role::Dim,
                format!("{:.1} bits; {} {}", finding.bits, clean(&finding.unit_kind), clean(&finding.unit_key)),
            )],
            0,
        ),
        text(vec![(Role::Head, "Why it is unusual".to_owned())], 0),
    ];
    for one in finding.reasons.iter().take(REASONS) {
        let bits = (Role::Number, format!("{:>6.1}  ", one.bits));
        items.push(text(vec![bits, (Role::Plain, shorten(&clean(&archive::reason_in_words(one))))], 8));
    }
    let rows = plural(finding.rows.len() as u64, "row", "rows");
    items.push(text(vec![(Role::Dim, format!("{rows}; Enter tells all"))], 0));
    items
}

fn beside_incident(incident: &Arc<Incident>, standing: Option<&Standing>) -> Vec<Item> {
    let text = |role: Role, text: String| Item { parts: vec![(role, text)], indent: 2, ..Item::default() };
    let findings = plural(incident.findings.len() as u64, "finding", "findings");
    let steps = plural(u64::from(incident.steps), "step", "steps");
    let mut items = vec![
        text(Role::Value, clean(&incident.title)),
        text(Role::Plain, format!("incident {}, {}", incident.id, when(incident))),
        text(Role::Plain, format!("{findings}, the rarest {}; {steps}", one_in(incident.log2_n))),
    ];
    items.extend(standing.map(|one| text(Role::Warn, clean(&one.in_words()))));
    if !incident.links.is_empty() {
        items.push(text(Role::Head, "Joined by".to_owned()));
    }
    for link in incident.links.iter().take(REASONS) {
        let rare =
            if link.of == 0 { String::new() } else { format!(", in {} of {} trees", link.seen, thousands(link.of)) };
        items.push(text(Role::Plain, format!("  {}: {}{rare}", clean(&link.kind), clean(&link.value))));
    }
    if incident.links.len() > REASONS {
        items.push(text(Role::Dim, format!("  … and {} more", incident.links.len() - REASONS)));
    }
    items.push(text(Role::Dim, "Enter tells it".to_owned()));
    items
}

/// A page of items. Marks at the left say which is selected, and which lead on.
pub(super) fn page(state: &State, items: &[Item], (columns, lines): (usize, usize)) -> Vec<Row> {
    let cursor = state.stack.last().map_or(0, |open| open.cursor).min(items.len().saturating_sub(1));
    let mut rows: Vec<Row> = Vec::new();
    let (mut above, mut tall) = (0, 0);
    for (at, item) in items.iter().enumerate() {
        if at == cursor {
            above = rows.len();
        }
        for (number, line) in wrap(&item.parts, columns - 2, item.indent).into_iter().enumerate() {
            let mark = match (at == cursor, number, item.leads.is_some()) {
                (true, 0, _) => "▸ ",
                (_, 0, true) => "+ ",
                _ => "  ",
            };
            let parts = [vec![(Role::Plain, mark.to_owned())], line].concat();
            rows.push(Row { parts, selected: if at == cursor { usize::MAX } else { 0 } });
        }
        if at == cursor {
            tall = rows.len() - above;
        }
    }
    // All of the selected item if it fits, else its beginning.
    let middle = if tall < lines { above + tall / 2 } else { above + lines / 2 };
    let first = from(middle, rows.len(), lines);
    rows.drain(..first.min(rows.len()));
    rows
}
