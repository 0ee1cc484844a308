//! The status as a table for people.

use super::{Dropped, EventStatus, Status};
use crate::{
    books::{InFlight, balanced},
    error::one_line,
};
use terminal::{Role, bytes, duration, mark, thousands};

const HEADER: [&str; 9] =
    ["event", "produced", "summarised", "received", "open", "written", "dropped", "in flight", "reasons"];

/// The whole text, without a line end.
#[must_use]
pub fn text(status: &Status) -> String {
    let word = |text: &Option<String>| one_line(text.as_deref().unwrap_or("none"));
    let own = &status.own;
    // Before that, starting is most of it.
    let load = (status.uptime_s >= 60.0).then(|| 100.0 * own.cpu_s / status.uptime_s);
    let load = load.map_or(String::new(), |load| format!(", {load:.1} % of one since the start"));
    let head = format!(
        "ebbline-agent {} on {}, process {}, up {}, at {}",
        one_line(&status.agent_version),
        one_line(&status.host),
        status.pid,
        duration(status.uptime_s),
        time_text(&status.time)
    );
    if let Some(why) = &status.no_worker {
        return format!("{head}\n{}", one_line(why));
    }
    let mut lines = vec![
        head,
        format!(
            "backend {}   baseline {}   findings {}{}{}",
            word(&status.backend),
            word(&status.baseline),
            thousands(status.findings),
            promise(status),
            unscored(status)
        ),
        String::new(),
        table(status),
    ];
    let unseen: Vec<String> =
        status.events.iter().filter(|(_, event)| !seen(event)).map(|(name, _)| one_line(name)).collect();
    if !unseen.is_empty() {
        lines.push(format!("none of: {}", unseen.join(", ")));
    }
    lines.extend([
        String::new(),
        books(status),
        format!(
            "memory {} resident, {} proportional   rings {}   cpu {:.1} s{load}",
            bytes(own.rss_bytes),
            if own.pss_bytes == 0 { "unknown".into() } else { bytes(own.pss_bytes) },
            bytes(own.ring_bytes),
            own.cpu_s
        ),
        format!(
            "hooks {}   processes {}, {} evicted   unix sockets made {}   restarts {}",
            own.hooks,
            thousands(own.processes),
            thousands(own.processes_evicted),
            thousands(own.unix_sockets),
            own.restarts
        ),
    ]);
    let blocked = status.blocked.iter().map(|why| format!("ARCHIVE CANNOT BE WRITTEN: {}; events wait", one_line(why)));
    lines.extend(blocked.map(|line| mark(Role::Bad, &line)));
    lines.extend(status.unread.iter().map(|why| mark(Role::Warn, &format!("not read: {}", one_line(why)))));
    lines.extend(own.sandbox.iter().map(|report| format!("worker: {}", one_line(&report.text()))));
    lines.extend(status.metrics.iter().map(|address| format!("metrics http://{}/metrics", one_line(address))));
    lines.join("\n")
}

/// `2026-11-21 21:54:38 UTC`; what is no time, as it is.
fn time_text(text: &str) -> String {
    store::from_rfc3339(text).map_or_else(|| one_line(text), |time| format!("{} UTC", store::time_text(time)))
}

/// `   false alerts expected: 5.0 a day, learning day 2 of 7`.
fn promise(status: &Status) -> String {
    match (&status.host_state, status.expected_per_day) {
        (Some(state), Some(expected)) => {
            format!("   false alerts expected: {} a day, {}", terminal::expected(expected), one_line(state))
        }
        _ => String::new(),
    }
}

/// Rows without a score, in words.
fn unscored(status: &Status) -> String {
    match (status.unscored, status.unscored_at_least) {
        (0, false) => String::new(),
        (rows, false) => format!("   rows not scored {}", thousands(rows)),
        (rows, true) => format!("   rows not scored at least {}", thousands(rows)),
    }
}

/// Whether the books balance, in words.
fn books(status: &Status) -> String {
    let lost = match status.lost() {
        0 => mark(Role::Good, "nothing lost"),
        lost => mark(Role::Bad, &format!("{} lost", thousands(lost))),
    };
    match status.in_flight() {
        Ok(flight) => format!(
            "books balance: produced = summarised + open + written + dropped + in flight {} ({} in the kernel, {} on the way \
             to a file); {lost}",
            thousands(flight.total()),
            thousands(flight.ring),
            thousands(flight.waiting)
        ),
        Err((name, wrong)) => {
            let wrong = format!("BOOKS DO NOT BALANCE: {}: {wrong}", one_line(name));
            format!("{}; {lost}", mark(Role::Bad, &wrong))
        }
    }
}

fn seen(event: &EventStatus) -> bool {
    event.produced + event.received + event.open + event.written > 0 || !event.dropped.is_empty()
}

fn table(status: &Status) -> String {
    let mut table = terminal::table(HEADER, &[1, 2, 3, 4, 5, 6, 7]);
    let mut all = EventStatus::default();
    for (name, event) in status.events.iter().filter(|(_, event)| seen(event)) {
        table.add_row(row(name, event, balanced(event).ok()));
        add(&mut all, event);
    }
    if status.unknown > 0 {
        let dropped = Dropped::from([("malformed".to_owned(), status.unknown)]);
        table.add_row(row("unknown", &EventStatus { dropped, ..EventStatus::default() }, Some(InFlight::default())));
    }
    table.add_row(row("all", &all, status.in_flight().ok()));
    table.trim_fmt()
}

fn add(all: &mut EventStatus, event: &EventStatus) {
    all.produced += event.produced;
    all.summarised += event.summarised;
    all.received += event.received;
    all.open += event.open;
    all.written += event.written;
    for (reason, count) in &event.dropped {
        *all.dropped.entry(reason.clone()).or_default() += count;
    }
}

fn row(name: &str, event: &EventStatus, flight: Option<InFlight>) -> [String; 9] {
    let reasons: Vec<String> =
        event.dropped.iter().map(|(reason, count)| format!("{} {}", one_line(reason), thousands(*count))).collect();
    [
        one_line(name),
        thousands(event.produced),
        thousands(event.summarised),
        thousands(event.received),
        thousands(event.open),
        thousands(event.written),
        thousands(event.dropped.values().sum()),
        flight.map_or_else(|| "wrong".to_owned(), |flight| thousands(flight.total())),
        reasons.join(", "),
    ]
}

#[cfg(test)]
mod tests {
    use super::{text as marked, *};
    use crate::status::{AgentStage, KernelStage, WriterStage};

    /// Without colours: standard output of a test is no terminal.
    fn text(status: &Status) -> String {
        terminal::for_stdout(&marked(status))
    }

    fn event(produced: u64, lost: u64, received: u64, written: u64) -> EventStatus {
        let dropped: Dropped = (lost > 0).then(|| ("ring_full".to_owned(), lost)).into_iter().collect();
        EventStatus {
            produced,
            received,
            written,
            dropped: dropped.clone(),
            kernel: KernelStage { produced, submitted: produced - lost, dropped, ..KernelStage::default() },
            agent: AgentStage { received, ..AgentStage::default() },
            writer: WriterStage { written, ..WriterStage::default() },
            ..EventStatus::default()
        }
    }

    fn words(text: &str, start: &str) -> Vec<String> {
        let line = text.lines().find(|line| line.trim_start().starts_with(start)).unwrap_or_else(|| panic!("{text}"));
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn the_table_says_where_every_event_is() {
        let mut status = Status { host: "web\u{1b}[2J1".into(), uptime_s: 3725.0, ..Status::default() };
        status.events = [
            ("exec".into(), event(10, 2, 7, 4)),
            ("exit".into(), event(5, 0, 5, 5)),
            ("dns".into(), event(0, 0, 0, 0)),
        ]
        .into();
        let text = text(&status);
        assert_eq!(words(&text, "exec"), ["exec", "10", "0", "7", "0", "4", "2", "4", "ring_full", "2"]);
        assert_eq!(words(&text, "all"), ["all", "15", "0", "12", "0", "9", "2", "4", "ring_full", "2"]);
        assert!(text.contains("\nnone of: dns\n"), "{text}");
        assert!(text.contains("in flight 4 (1 in the kernel, 3 on the way to a file); 2 lost"), "{text}");
        assert!(text.contains("up 1 h 2 min") && !text.contains('\u{1b}'), "{text}");
    }

    #[test]
    fn rows_without_a_score_are_exact_or_a_bound() {
        for (rows, bound, said) in
            [(0, false, None), (7, false, Some("scored 7")), (0, true, Some("scored at least 0"))]
        {
            let text = text(&Status { unscored: rows, unscored_at_least: bound, ..Status::default() });
            assert!(said.map_or(!text.contains("not scored"), |said| text.contains(said)), "{text}");
        }
    }

    #[test]
    fn without_a_worker_only_that_is_said() {
        let status = Status { no_worker: Some("the worker cannot begin: disk".into()), ..Status::default() };
        assert_eq!(text(&status).lines().skip(1).collect::<Vec<_>>(), ["the worker cannot begin: disk"]);
    }

    #[test]
    fn wrong_books_are_said() {
        let mut status = Status::default();
        assert!(text(&status).contains("in flight 0 (0 in the kernel, 0 on the way to a file); nothing lost"));
        status.events = [("exec".to_owned(), event(3, 0, 3, 4))].into();
        assert!(text(&status).contains("\nBOOKS DO NOT BALANCE: exec: "), "{}", text(&status));
    }
}
