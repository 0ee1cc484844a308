//! The status as a page for Prometheus, in its text exposition format 0.0.4.

use super::{Dropped, Status};
use std::fmt::{Display, Write};

/// Content type of the page.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

const EVENTS: &str = "Events by stage and outcome since the agent started.";

/// The page for a status that is so many seconds old.
#[must_use]
pub fn page(status: &Status, age_s: f64) -> String {
    let mut page = Page::default();
    events(&mut page, status);
    page.family("ebbline_events_open", "gauge", "Rows in files that are not complete, by event type.");
    for (name, event) in &status.events {
        page.sample(&[("event", name)], event.writer.open);
    }
    let own = &status.own;
    let blocked = status.blocked.is_some();
    let mut one = |name: &str, kind: &str, help: &str, value: f64| {
        page.family(name, kind, help);
        page.sample(&[], value);
    };
    one("ebbline_lossy", "gauge", "1 if some event was lost since the agent started.", f64::from(status.lossy));
    one("ebbline_blocked", "gauge", "1 if the archive cannot be written now.", f64::from(blocked));
    one("ebbline_findings", "gauge", "Units of surprise found.", status.findings as f64);
    let unscored = status.unscored as f64;
    one("ebbline_unscored_rows_total", "counter", "Rows stored without a score that could have had one.", unscored);
    one("ebbline_rss_bytes", "gauge", "Resident memory.", own.rss_bytes as f64);
    one("ebbline_pss_bytes", "gauge", "Proportional memory, 0 if the kernel does not say.", own.pss_bytes as f64);
    one("ebbline_ring_bytes", "gauge", "Size of the kernel's ring buffers.", own.ring_bytes as f64);
    one("ebbline_unix_sockets_total", "counter", "Unix sockets made in scope.", own.unix_sockets as f64);
    one("ebbline_cpu_seconds_total", "counter", "Processor time used.", own.cpu_s);
    one("ebbline_hooks", "gauge", "Kernel programs in place.", own.hooks as f64);
    one(
        "ebbline_worker_restarts_total",
        "counter",
        "Workers that died and were followed by others.",
        own.restarts as f64,
    );
    one("ebbline_processes", "gauge", "Processes in the cache.", own.processes as f64);
    let evicted = own.processes_evicted as f64;
    one("ebbline_processes_evicted_total", "counter", "Processes that the cache gave up early.", evicted);
    one("ebbline_uptime_seconds", "gauge", "Seconds since the agent started.", status.uptime_s);
    one("ebbline_status_age_seconds", "gauge", "Age of these numbers: more than a few when capture waits.", age_s);
    facts(&mut page, status);
    page.0
}

fn events(page: &mut Page, status: &Status) {
    page.family("ebbline_events_total", "counter", EVENTS);
    for (name, event) in &status.events {
        let mut stage = |stage: &str, counts: &[(&str, u64)], dropped: &Dropped| {
            for (outcome, count) in counts {
                page.sample(&[("stage", stage), ("event", name), ("outcome", outcome)], count);
            }
            for (reason, count) in dropped {
                page.sample(&[("stage", stage), ("event", name), ("outcome", "dropped"), ("reason", reason)], count);
            }
        };
        let kernel = [("produced", event.kernel.produced), ("summarised", event.kernel.summarised)];
        stage("kernel", &kernel, &event.kernel.dropped);
        stage("agent", &[("received", event.agent.received)], &event.agent.dropped);
        stage("writer", &[("written", event.writer.written)], &event.writer.dropped);
    }
    let labels = [("stage", "agent"), ("event", "unknown"), ("outcome", "dropped"), ("reason", "malformed")];
    page.sample(&labels, status.unknown);
}

fn facts(page: &mut Page, status: &Status) {
    page.family("ebbline_build_info", "gauge", "Version of the agent.");
    page.sample(&[("version", &status.agent_version)], 1);
    page.family("ebbline_run_info", "gauge", "What runs: host name in the files, backend and baseline if it scores.");
    let or_none = |text: &Option<String>| text.clone().unwrap_or_default();
    let (backend, baseline) = (or_none(&status.backend), or_none(&status.baseline));
    page.sample(&[("host", &status.host), ("backend", &backend), ("baseline", &baseline)], 1);
}

/// Text of the page, and the name of the family that samples belong to.
#[derive(Default)]
struct Page(String, String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string never fails.
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
        name.clone_into(&mut self.1);
    }

    fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) {
        let labels: Vec<String> = labels.iter().map(|(key, value)| format!("{key}=\"{}\"", escaped(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.0, "{}{labels} {value}", self.1);
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{EventStatus, KernelStage};
    use std::collections::{HashMap, HashSet};

    fn is_name(text: &str) -> bool {
        let first = |c: char| c.is_ascii_alphabetic() || c == '_';
        text.starts_with(first) && text.chars().all(|c| first(c) || c.is_ascii_digit())
    }

    /// Labels in braces, as the format has them; panics where it would be refused.
    fn labels(mut text: &str) -> Vec<(String, String)> {
        let mut found = Vec::new();
        while !text.is_empty() {
            let (key, rest) = text.split_once("=\"").unwrap();
            assert!(is_name(key), "{key}");
            let (mut value, mut chars) = (String::new(), rest.char_indices());
            let end = loop {
                match chars.next().expect("a label's value ends") {
                    (at, '"') => break at + 1,
                    (_, '\\') => value.push(match chars.next().unwrap().1 {
                        'n' => '\n',
                        c @ ('\\' | '"') => c,
                        c => panic!("\\{c}"),
                    }),
                    (_, c) => value.push(c),
                }
            };
            found.push((key.to_owned(), value));
            text = &rest[end..];
            text = if text.is_empty() { text } else { text.strip_prefix(',').unwrap() };
        }
        found
    }

    /// Reads a page strictly: each family once, with help and type before its samples, no sample twice.
    fn read(page: &str) -> HashMap<(String, Vec<(String, String)>), f64> {
        assert!(page.ends_with('\n'));
        let (mut samples, mut families, mut family) = (HashMap::new(), HashSet::new(), ["", ""]);
        for line in page.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').unwrap();
                assert!(is_name(name) && !help.is_empty() && families.insert(name), "{line}");
                family = [name, ""];
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                assert!(name == family[0] && ["counter", "gauge"].contains(&kind), "{line}");
                assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
                family = [name, kind];
            } else {
                let (series, value) = line.rsplit_once(' ').unwrap();
                let (name, inner) = series.split_once('{').unwrap_or((series, "}"));
                assert!(name == family[0] && !family[1].is_empty(), "{line}");
                let key = (name.to_owned(), labels(inner.strip_suffix('}').unwrap()));
                assert!(samples.insert(key, value.parse().unwrap()).is_none(), "{line}");
            }
        }
        samples
    }

    #[test]
    fn the_page_is_what_the_format_asks_for() {
        let dropped = Dropped::from([("ring_full".to_owned(), 2)]);
        let kernel = KernelStage { produced: 7, submitted: 5, dropped, ..KernelStage::default() };
        let event = EventStatus { produced: 7, kernel, ..EventStatus::default() };
        let mut status = Status { host: "a\\b\"c\nd".into(), lossy: true, ..Status::default() };
        status.own.cpu_s = 1.25;
        status.events = [("exec".to_owned(), event.clone()), ("exit".to_owned(), event)].into();
        let samples = read(&page(&status, 0.5));
        let get = |name: &str, labels: &[(&str, &str)]| {
            let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            samples.get(&(name.to_owned(), labels)).copied()
        };
        let of = |outcome| [("stage", "kernel"), ("event", "exec"), ("outcome", outcome)];
        assert_eq!(get("ebbline_events_total", &of("produced")), Some(7.0));
        let lost = [of("dropped").as_slice(), &[("reason", "ring_full")]].concat();
        assert_eq!(get("ebbline_events_total", &lost), Some(2.0));
        assert_eq!(get("ebbline_cpu_seconds_total", &[]), Some(1.25));
        assert_eq!(get("ebbline_lossy", &[]), Some(1.0));
        let run = [("host", "a\\b\"c\nd"), ("backend", ""), ("baseline", "")];
        assert_eq!(get("ebbline_run_info", &run), Some(1.0));
    }
}
