//! The overview: what is captured, what is lost, what the agent uses, what is new.

use std::collections::VecDeque;

use model::explain::thousands;
use store::time_text;
use terminal::one_in;

use super::{Row, clock, fit, heading};
use crate::data::Data;
use crate::page::memory;
use crate::state::State;
use crate::status::{Event, Status};
use crate::text::{Parts, clean, pad, pad_left, spark, wrap};
use crate::theme::Role;
use crate::volume::{HOURS, Volume};

/// From so many columns on there are two columns of sections.
const WIDE: usize = 140;
const TABLES: [&str; 3] = ["process", "connection", "dns"];

/// Something to be told, how many lines of it at least, and how many more there are than are known here.
struct Section {
    title: String,
    lines: Vec<Parts>,
    least: usize,
    more: u64,
}

impl Section {
    fn new(title: &str, least: usize, lines: Vec<Parts>) -> Self {
        Self { title: title.to_owned(), lines, least, more: 0 }
    }
}

pub(super) fn overview(state: &State, (columns, lines): (usize, usize)) -> Vec<Row> {
    let rows = if columns < WIDE {
        let sections = running(state, columns, lines >= 25).into_iter().chain(unseen(state)).chain(found(state));
        stack(&sections.collect::<Vec<_>>(), columns, lines)
    } else {
        let left = (columns - 3) / 2;
        let right = columns - 3 - left;
        let first: Vec<Section> =
            running(state, left, true).into_iter().chain(unseen(state)).chain(types(state, left)).collect();
        let (first, second) = (stack(&first, left, lines), stack(&found(state), right, lines));
        (0..lines).map(|at| beside(first.get(at), second.get(at), left)).collect()
    };
    rows.into_iter().map(Row::of).collect()
}

fn beside(left: Option<&Parts>, right: Option<&Parts>, columns: usize) -> Parts {
    let mut parts = fit(left.unwrap_or(&Vec::new()), columns);
    parts.push((Role::Dim, " │ ".to_owned()));
    parts.extend(right.into_iter().flatten().cloned());
    parts
}

/// Sections one below the other. Each has its least; what is left goes round, a line to each that has more to say.
fn stack(sections: &[Section], columns: usize, lines: usize) -> Vec<Parts> {
    let mut rooms: Vec<usize> = sections.iter().map(|section| section.lines.len().min(section.least)).collect();
    let mut left = lines.saturating_sub(rooms.iter().map(|room| 1 + room).sum());
    while left > 0 && rooms.iter().zip(sections).any(|(room, section)| *room < section.lines.len()) {
        for (room, section) in rooms.iter_mut().zip(sections) {
            let more = usize::from(*room < section.lines.len()).min(left);
            (*room, left) = (*room + more, left - more);
        }
    }
    let mut rows = Vec::new();
    for (section, room) in sections.iter().zip(rooms) {
        let untold = section.lines.len() - room;
        rows.push(heading(&section.title, columns));
        rows.extend(section.lines.iter().take(if untold > 0 { room.saturating_sub(1) } else { room }).cloned());
        if untold > 0 && room > 0 {
            rows.push(vec![(
                Role::Dim,
                format!("  … and {} more", thousands((untold as u64 + 1).saturating_add(section.more))),
            )]);
        }
    }
    rows
}

/// What is captured.
fn running(state: &State, columns: usize, roomy: bool) -> Vec<Section> {
    let data = state.data();
    let mut sections = Vec::new();
    if let Some(status) = data.agent.status.as_deref() {
        sections.push(rates(state, status, columns));
        sections.push(books(status, columns));
        sections.push(agent(state, status));
    }
    // Where there is little room, what the agent counts says more than its files.
    if let Some(volume) = data.volume.as_deref().filter(|_| roomy || sections.is_empty()) {
        sections.push(rows_by_hour(volume, columns));
    }
    if sections.is_empty() {
        let text = if data.folder.is_some() { "Reading the archive …" } else { "Nothing is known yet." };
        sections.push(Section::new("Captured", 1, vec![vec![(Role::Dim, text.to_owned())]]));
    }
    sections
}

/// Columns beside a chart: the name, a number before it, a number behind it.
const BESIDE: usize = 11 + 10 + 2 + 16;

fn chart(name: &str, now: String, bars: String, all: String) -> Parts {
    vec![
        (Role::Strong, pad(name, 11)),
        (Role::Plain, pad_left(&now, 10)),
        (Role::Plain, "  ".to_owned()),
        (Role::Number, bars),
        (Role::Plain, pad_left(&all, 16)),
    ]
}

fn rates(state: &State, status: &Status, columns: usize) -> Section {
    let rates = &state.data().agent.rates;
    let room = columns.saturating_sub(BESIDE);
    let last = |kept: &VecDeque<u64>| kept.back().map_or_else(|| "–".to_owned(), |rate| thousands(*rate));
    let produced = status.produced();
    let mut lines: Vec<Parts> = (0..3)
        .map(|at| {
            let kept = &rates.tables[at];
            chart(TABLES[at], last(kept), spark(kept.iter().copied(), room), thousands(produced[at]))
        })
        .collect();
    let lost = thousands(status.lost());
    let mut line = chart("lost", last(&rates.lost), spark(rates.lost.iter().copied(), room), lost);
    if status.lost() > 0 {
        line[0].0 = Role::Bad;
    }
    lines.push(line);
    let shown = room.min(rates.tables[0].len());
    Section::new(&format!("Events a second: now, the last {shown} s, all"), 4, lines)
}

fn books(status: &Status, columns: usize) -> Section {
    let mut lines = Vec::new();
    match status.books() {
        Ok(all) => {
            let [produced, open, written, dropped, counted, flight] =
                [all.produced, all.open, all.written, all.dropped, all.summarised, all.in_flight].map(thousands);
            let sum = format!(
                "{produced} = {open} open + {written} written + {dropped} dropped + {counted} counted + {flight} in flight"
            );
            lines.extend(wrap(&vec![(Role::Good, "balance: ".to_owned()), (Role::Plain, sum)], columns, 2));
        }
        Err(event) => lines.push(vec![(Role::Bad, format!("DO NOT BALANCE: {}", clean(event)))]),
    }
    let losses = status.losses();
    if losses.is_empty() {
        lines.push(vec![(Role::Good, "nothing lost".to_owned())]);
    }
    for (reason, (count, of)) in &losses {
        let lost = (Role::Bad, format!("lost {}: ", thousands(*count)));
        lines.push(vec![lost, (Role::Plain, format!("{} of {}", clean(reason), clean(&of.join(", "))))]);
    }
    if let Some(why) = &status.blocked {
        let head = (Role::Bad, "ARCHIVE CANNOT BE WRITTEN: ".to_owned());
        lines.insert(0, vec![head, (Role::Plain, format!("{}; events wait", clean(why)))]);
    }
    Section::new("Books", 3, lines)
}

fn agent(state: &State, status: &Status) -> Section {
    let own = &status.own;
    let cpu = state.data().agent.rates.cpu.back();
    let cpu = cpu.map_or_else(|| "–".to_owned(), |cpu| format!("{:.1} % of one core", *cpu as f64 / 100.0));
    let used = vec![
        (Role::Plain, "cpu ".to_owned()),
        (Role::Strong, cpu),
        (Role::Plain, "   memory ".to_owned()),
        (Role::Strong, memory(own.rss_bytes)),
        (Role::Plain, format!(", {} proportional   rings {}", memory(own.pss_bytes), memory(own.ring_bytes))),
    ];
    let (hooks, processes, restarts) = (own.hooks, thousands(own.processes), own.restarts);
    let baseline = status.baseline.as_deref().map(|id| format!("   baseline {}", clean(id))).unwrap_or_default();
    let cpu = own.cpu_s;
    let holds = format!("cpu {cpu:.1} s   hooks {hooks}   processes {processes}   restarts {restarts}{baseline}");
    let lines = vec![used, vec![(Role::Plain, scoring(status))], vec![(Role::Plain, holds)]];
    Section::new("Agent", 2, lines)
}

fn scoring(status: &Status) -> String {
    let (Some(backend), Some(_)) = (&status.backend, &status.baseline) else {
        return "scores nothing: it has no baseline".to_owned();
    };
    let expected = status
        .expected_per_day
        .map(|n| format!(", false alerts expected: {} a day", terminal::expected(n)))
        .unwrap_or_default();
    let known = status.host_state.as_ref().map(|state| format!(", {}", clean(state))).unwrap_or_default();
    let unscored = match status.unscored {
        0 => String::new(),
        rows => format!(", rows not scored {}", thousands(rows)),
    };
    let findings = thousands(status.findings);
    format!("findings {findings}{expected}{known}{unscored}   on {}", clean(backend))
}

fn rows_by_hour(volume: &Volume, columns: usize) -> Section {
    let room = columns.saturating_sub(BESIDE).min(HOURS);
    let mut lines: Vec<Parts> = Vec::new();
    for (table, hours) in &volume.tables {
        let last = hours.last().copied().unwrap_or_default();
        let all = hours.iter().fold(0u64, |sum, rows| sum.saturating_add(*rows));
        lines.push(chart(&clean(table), thousands(last), spark(hours.iter().copied(), room), thousands(all)));
    }
    if volume.unread > 0 {
        lines.push(vec![(Role::Warn, format!("{} files cannot be read", thousands(volume.unread)))]);
    }
    if lines.is_empty() {
        lines.push(vec![(Role::Dim, "no complete files yet".to_owned())]);
    }
    let hour = time_text(volume.last_hour.saturating_mul(3_600_000_000_000));
    let hour = hour.get(..16).unwrap_or_default().to_owned();
    let title = if volume.tables.is_empty() {
        "Rows in files".to_owned()
    } else {
        format!("Rows in files: the hour of {hour} UTC, {HOURS} hours, their sum")
    };
    Section::new(&title, 3, lines)
}

/// What was not seen.
fn unseen(state: &State) -> Vec<Section> {
    let data = state.data();
    let mut sections = Vec::new();
    if let Some(why) = &data.trouble {
        sections.push(Section::new("Cannot be read", 1, vec![vec![(Role::Bad, clean(why))]]));
    }
    if data.folder.is_none() {
        return sections;
    }
    let all = data.incidents.as_deref();
    let gaps = all.map_or(&[][..], |all| &all.gaps);
    let mut lines: Vec<Parts> = gaps
        .iter()
        .map(|gap| vec![(Role::Warn, format!("{:<9} ", gap.kind.replace('_', " "))), (Role::Plain, clean(&gap.text))])
        .collect();
    if lines.is_empty() {
        let text = if all.is_some() { "no gap is known" } else { "reading …" };
        lines.push(vec![(Role::Dim, text.to_owned())]);
    }
    sections.push(Section::new("Not seen, or not whole (Enter: all)", 2, lines));
    sections
}

/// What was found.
fn found(state: &State) -> Vec<Section> {
    let data = state.data();
    if data.folder.is_none() {
        return Vec::new();
    }
    let all = data.incidents.as_deref();
    let incidents = all.map_or(&[][..], |all| &all.first);
    let lines = incidents.iter().map(|one| {
        let hosts = clean(&one.hosts.join(" "));
        vec![
            (Role::Number, pad(&format!("{:.1} bits", one.bits), 13)),
            (Role::Strong, pad(&hosts, 8)),
            (Role::Plain, format!(" {}", terminal::shorten(&clean(&one.title)))),
        ]
    });
    let incidents = told(data, "Incidents, the most unusual", lines.collect(), all.map(|all| all.total));
    let newest = data.findings.as_deref();
    let lines = newest.iter().flat_map(|all| &all.newest).map(|finding| {
        vec![
            (Role::Dim, format!("{} ", clock(finding.time))),
            (Role::Number, pad(&one_in(finding.log2_n), 18)),
            (Role::Plain, format!(" {}", terminal::shorten(&clean(&finding.title)))),
        ]
    });
    let findings = told(data, "Findings, the newest", lines.collect(), newest.map(|all| all.total));
    vec![incidents, findings]
}

/// The first of so many; nothing is known of how many before they are read.
fn told(data: &Data, title: &str, mut lines: Vec<Parts>, total: Option<u64>) -> Section {
    let more = total.unwrap_or_default().saturating_sub(lines.len() as u64);
    if lines.is_empty() {
        lines.push(vec![(Role::Dim, if total.is_some() { data.why_none() } else { "reading …" }.to_owned())]);
    }
    Section { more, ..Section::new(title, 2, lines) }
}

/// The books by event type, where there is room.
fn types(state: &State, columns: usize) -> Option<Section> {
    let status = state.data().agent.status.as_deref()?;
    let row = |cells: [&str; 6], role: Role| {
        let name = (Role::Strong, pad(cells[0], 12));
        let numbers = cells[1..].iter().map(|cell| pad_left(cell, 14.min((columns - 12) / 5)));
        std::iter::once(name).chain(numbers.map(|cell| (role, cell))).collect::<Parts>()
    };
    let head = row(["event", "produced", "open", "written", "dropped", "in flight"], Role::Dim);
    let of = |(name, event): (&String, &Event)| {
        let flight = event.in_flight().map_or_else(|| "wrong".to_owned(), thousands);
        let [produced, open, written, dropped] =
            [event.produced, event.open, event.written, event.drops()].map(thousands);
        row([&clean(name), &produced, &open, &written, &dropped, &flight], Role::Plain)
    };
    let seen = status.events.iter().filter(|(_, event)| event.is_seen());
    let lines: Vec<Parts> = std::iter::once(head).chain(seen.map(of)).collect();
    Some(Section::new("Events by type", 4, lines))
}
