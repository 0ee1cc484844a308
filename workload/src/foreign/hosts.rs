//! Logs of machines: what runs on them, and who logs in.

use serde_json::{Value, json};

use super::{Log, Written, pick, plain, rfc3339};
use crate::random::Random;

pub(super) const AUDITD: Log = Log {
    name: "auditd",
    written: Written::JsonLines,
    ordinary: auditd,
    odd: odd_auditd,
    odd_unit: "web2.example.com|71",
    odd_view: "program given login",
};

/// Who logged in, as whom they act, the session, and what they run.
type Habit = (&'static str, &'static str, u64, &'static [&'static [&'static str]]);

const HABITS: [Habit; 4] = [
    (
        "unset",
        "root",
        0,
        &[
            &["/usr/sbin/logrotate", "/etc/logrotate.conf"],
            &["/usr/bin/find", "/var/cache", "-mtime", "+7", "-delete"],
            &["/usr/bin/systemctl", "is-active", "web.service"],
        ],
    ),
    (
        "deploy",
        "deploy",
        71,
        &[
            &["/usr/bin/git", "pull", "--ff-only"],
            &["/usr/bin/make", "-C", "/srv/web", "install"],
            &["/usr/bin/ls", "-l", "/srv/web"],
        ],
    ),
    (
        "ada",
        "ada",
        80,
        &[
            &["/usr/bin/less", "/var/log/web/access.log"],
            &["/usr/bin/grep", "-c", "error", "/var/log/web/error.log"],
            &["/usr/bin/ls", "-l", "/var/log/web"],
        ],
    ),
    ("ada", "root", 80, &[&["/usr/bin/systemctl", "reload", "web.service"], &["/usr/bin/journalctl", "-u", "web"]]),
];

fn auditd(random: &mut Random, time: i64) -> Value {
    let host = format!("web{}.example.com", 1 + random.below(3));
    let (login, user, session, commands) = HABITS[random.zipf(HABITS.len())];
    let words = pick(random, commands);
    if random.one_in(5) {
        let file = if login == "unset" { "/etc/passwd" } else { "/srv/web/config.toml" };
        return auditd_row(time, &host, (login, user, session), ("opened-file", words, file));
    }
    auditd_row(time, &host, (login, user, session), ("executed", words, words[0]))
}

fn auditd_row(time: i64, host: &str, who: (&str, &str, u64), what: (&str, &[&str], &str)) -> Value {
    let ((login, user, session), (action, words, object)) = (who, what);
    let session = if session == 0 { "unset".to_owned() } else { session.to_string() };
    json!({
        "@timestamp": rfc3339(time), "ecs": { "version": "8.0.0" }, "host": { "name": host },
        "event": { "module": "auditd", "category": ["process"], "action": action, "outcome": "success" },
        "process": { "executable": words[0], "args": words, "working_directory": format!("/home/{login}") },
        "user": { "name": user, "audit": { "name": login } }, "tags": ["audit"],
        "auditd": { "session": session, "summary": { "how": words[0],
            "object": { "primary": object, "type": if action == "executed" { "file" } else { "config" } } } },
    })
}

/// In the session that deploys, somebody looks around and changes a scheduled job.
fn odd_auditd(time: i64) -> Vec<Value> {
    let steps: [&[&str]; 4] = [
        &["/usr/bin/id"],
        &["/usr/bin/cat", "/etc/cron.d/backup"],
        &["/usr/bin/tee", "-a", "/etc/cron.d/backup"],
        &["/usr/bin/chmod", "0644", "/etc/cron.d/backup"],
    ];
    let row =
        |words: &&[&str]| auditd_row(time, "web2.example.com", ("deploy", "deploy", 71), ("executed", words, words[0]));
    steps.iter().map(row).collect()
}

pub(super) const SYSMON: Log = Log {
    name: "sysmon",
    written: Written::JsonLines,
    ordinary: sysmon,
    odd: odd_sysmon,
    odd_unit: "DESK-03.example.com|EXAMPLE\\kim",
    odd_view: "parent given program",
};

const SYSTEM: &str = r"NT AUTHORITY\SYSTEM";
const OFFICE_PROGRAM: &str = r"C:\Program Files\Office\WRITER.EXE";
const SHELL: &str = r"C:\Windows\System32\WindowsPowerShell\v1.0\powershell.exe";

/// Parent, program, arguments; empty for the person at the desk.
const STARTS: [(&str, &str, &str, &str); 6] = [
    (r"C:\Windows\explorer.exe", OFFICE_PROGRAM, r#""C:\Users\kim\Documents\letter 7.docx""#, ""),
    (r"C:\Windows\explorer.exe", r"C:\Program Files\Browser\browser.exe", "--profile default", ""),
    (r"C:\Windows\System32\services.exe", r"C:\Windows\System32\svchost.exe", "-k netsvcs -p", SYSTEM),
    (r"C:\Program Files\Browser\browser.exe", r"C:\Program Files\Browser\browser.exe", "--type=renderer", ""),
    (r"C:\Windows\System32\svchost.exe", r"C:\Windows\System32\taskhostw.exe", "", SYSTEM),
    (r"C:\Program Files\Agent\agent.exe", SHELL, r"-File C:\ProgramData\Agent\inventory.ps1", SYSTEM),
];

fn sysmon(random: &mut Random, time: i64) -> Value {
    let people = ["kim", "lee", "noor", "sam"];
    let desk = random.below(people.len() as u64);
    let computer = format!("DESK-0{}.example.com", desk + 3);
    let person = format!(r"EXAMPLE\{}", people[desk as usize]);
    if random.one_in(3) {
        let (port, address) = *pick(random, &[(443, "198.51.100.20"), (443, "203.0.113.80"), (445, "10.20.1.12")]);
        let image = if port == 445 { OFFICE_PROGRAM } else { r"C:\Program Files\Browser\browser.exe" };
        return connection(random, time, &computer, &person, (image, address, port));
    }
    let (parent, image, words, user) = *pick(random, &STARTS);
    let words = words.replace('7', &random.below(50).to_string());
    let user = if user.is_empty() { person.as_str() } else { user };
    creation(random, time, &computer, user, (parent, image, &words))
}

fn envelope(time: i64, computer: &str, id: u64, data: Value) -> Value {
    json!({
        "@timestamp": rfc3339(time), "agent": { "type": "winlogbeat" },
        "event": { "code": id.to_string(), "provider": "Microsoft-Windows-Sysmon" },
        "winlog": { "channel": "Microsoft-Windows-Sysmon/Operational", "computer_name": computer, "event_id": id.to_string(),
            "event_data": data },
    })
}

fn creation(random: &mut Random, time: i64, computer: &str, user: &str, what: (&str, &str, &str)) -> Value {
    let (parent, image, words) = what;
    let level = if user == SYSTEM { "System" } else { "Medium" };
    envelope(
        time,
        computer,
        1,
        json!({
            "UtcTime": plain(time), "ProcessGuid": format!("{{{:08x}-0000-0000-0000-{:012x}}}", random.next() >> 32, random.next() >> 16),
            "ProcessId": (1_000 + 4 * random.below(5_000)).to_string(), "Image": image,
            "CommandLine": format!("\"{image}\" {words}"), "CurrentDirectory": r"C:\Windows\system32\", "User": user,
            "IntegrityLevel": level, "ParentImage": parent, "ParentCommandLine": format!("\"{parent}\""),
        }),
    )
}

fn connection(random: &mut Random, time: i64, computer: &str, user: &str, what: (&str, &str, u64)) -> Value {
    let (image, address, port) = what;
    envelope(
        time,
        computer,
        3,
        json!({
            "UtcTime": plain(time), "ProcessId": (1_000 + 4 * random.below(5_000)).to_string(), "Image": image, "User": user,
            "Protocol": "tcp", "Initiated": "true", "SourceIp": "10.20.0.13",
            "SourcePort": (49_152 + random.below(16_000)).to_string(), "DestinationIp": address,
            "DestinationPort": port.to_string(),
        }),
    )
}

/// A letter starts a shell, which calls out.
fn odd_sysmon(time: i64) -> Vec<Value> {
    let (computer, user) = ("DESK-03.example.com", r"EXAMPLE\kim");
    let random = &mut Random::new(5);
    vec![
        creation(random, time, computer, user, (OFFICE_PROGRAM, SHELL, "-NoProfile -Command Get-Date")),
        connection(random, time, computer, user, (SHELL, "192.0.2.77", 8443)),
    ]
}

pub(super) const AUTHENTICATION: Log = Log {
    name: "authentication",
    written: Written::Csv,
    ordinary: login,
    odd: odd_login,
    odd_unit: "10.20.0.15",
    odd_view: "source given user",
};

const PEOPLE: [&str; 8] = ["ada", "ben", "cleo", "dan", "eva", "finn", "gus", "hana"];

fn login(random: &mut Random, time: i64) -> Value {
    let number = random.below(PEOPLE.len() as u64);
    let user = PEOPLE[number as usize];
    let source = if random.one_in(8) { "10.20.2.5".to_owned() } else { format!("10.20.0.{}", 10 + number) };
    let service = *pick(random, &["sshd", "web", "sudo"]);
    let method = if service == "sshd" { "publickey" } else { "password" };
    let outcome = if random.one_in(25) { "failure" } else { "success" };
    let host = format!("srv{}", 1 + number % 3);
    login_row(time, &host, (user, &source), (service, method, outcome))
}

fn login_row(time: i64, host: &str, who: (&str, &str), how: (&str, &str, &str)) -> Value {
    let ((user, source), (service, method, outcome)) = (who, how);
    json!({
        "time": plain(time), "host": host, "user": user, "source": source, "service": service, "method": method,
        "outcome": outcome,
    })
}

/// From one desk somebody tries everybody's password.
fn odd_login(time: i64) -> Vec<Value> {
    PEOPLE.iter().map(|user| login_row(time, "srv2", (user, "10.20.0.15"), ("sshd", "password", "failure"))).collect()
}
