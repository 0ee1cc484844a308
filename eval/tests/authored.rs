//! The protocols on small sets written by us, in the shape of the labelled ones, with figures that are kept: a protocol, or a
//! score, that changes is seen by whoever has no labelled set. `EBBLINE_WRITE_GOLDEN=1` writes the figures anew.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray};
use ebbline_eval::{Set, SetReport, evaluate_rows, report};

const SECOND: i64 = 1_000_000_000;
const MINUTE: i64 = 60 * SECOND;
const DAY: i64 = 86_400 * SECOND;

/// Deterministic numbers (SplitMix64).
struct Rng(u64);

impl Rng {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ z >> 31) % n
    }

    fn of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len() as u64) as usize]
    }
}

/// Rows as text by column, and their times.
#[derive(Default)]
struct Rows {
    times: Vec<i64>,
    columns: BTreeMap<&'static str, Vec<String>>,
}

impl Rows {
    fn push(&mut self, time: i64, values: &[(&'static str, &str)]) {
        self.times.push(time);
        for (name, value) in values {
            self.columns.entry(name).or_default().push((*value).to_owned());
        }
    }

    /// The batch; the named columns are truths and numbers.
    fn batch(self, truths: &[&str], numbers: &[&str]) -> RecordBatch {
        let mut columns: Vec<(&str, ArrayRef)> = vec![("time", Arc::new(TimestampNanosecondArray::from(self.times)))];
        for (name, values) in self.columns {
            let array: ArrayRef = if truths.contains(&name) {
                Arc::new(values.iter().map(|v| Some(v == "true")).collect::<BooleanArray>())
            } else if numbers.contains(&name) {
                Arc::new(values.iter().map(|v| v.parse::<i64>().ok()).collect::<Int64Array>())
            } else {
                Arc::new(StringArray::from(values))
            };
            columns.push((name, array));
        }
        RecordBatch::try_from_iter(columns).expect("columns of one length")
    }
}

/// Ten hours of a few machines; then one floods another for ten minutes.
fn edges(attack: &str, rest: &str) -> RecordBatch {
    let (mut rows, mut rng) = (Rows::default(), Rng(1));
    let names = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4", "192.0.2.5"];
    for minute in 0..600 {
        let mut row = |src: &str, dst: &str, label: &str| {
            rows.push(minute * MINUTE, &[("src_ip", src), ("dst_ip", dst), ("attack", label), ("attack_name", "-")]);
        };
        for _ in 0..rng.below(4) {
            row(rng.of(&names), rng.of(&names), rest);
        }
        for _ in 0..if (500..510).contains(&minute) { 120 } else { 0 } {
            row("198.51.100.9", "192.0.2.3", attack);
        }
    }
    rows.batch(&["attack"], &[])
}

/// Requests of two programs on five days; in the later runs some start a shell.
fn calls() -> RecordBatch {
    let (mut rows, mut rng) = (Rows::default(), Rng(2));
    // 2024-10-10 to 2024-10-12 are learned, 2024-10-21 and 2024-10-22 scored.
    for (at, day) in [20_006i64, 20_007, 20_008, 20_017, 20_018].into_iter().enumerate() {
        for request in 0..60i64 {
            let late = day > 20_010;
            let attack = late && request % 20 == 7;
            let run = format!("plain-{}-{at}", if request % 3 == 0 { "rc2" } else { "rc3" });
            let run = if request % 10 == 9 { format!("plain-gt-{at}") } else { run };
            let (id, kind) = (format!("request {request}"), if attack { "attack" } else { "benign" });
            for line in 0..6 + rng.below(4) as i64 {
                let odd = attack && line > 3;
                let (event, fd) = match (line % 3, odd) {
                    (_, true) => ("execve", "/bin/sh"),
                    (0, _) => ("read", "10.0.0.1:41000->10.0.0.2:8080"),
                    (1, _) => ("write", "pipe:[4711]"),
                    _ => ("open", rng.of(&["/etc/hosts", "/etc/resolv.conf", "/srv/app.js"])),
                };
                rows.push(
                    day * DAY + request * MINUTE + line * SECOND,
                    &[
                        ("group", "made"),
                        ("run", &run),
                        ("scenario", if request % 2 == 0 { "even" } else { "odd" }),
                        ("comm", if odd { "sh" } else { "node" }),
                        ("tid", "11"),
                        ("direction", rng.of(&["<", ">"])),
                        ("event", event),
                        ("fd", fd),
                        ("exe", if odd { "/bin/sh" } else { "/usr/bin/node" }),
                        ("res", rng.of(&["0", "64", "70", "-11"])),
                        ("req_type", kind),
                        ("req_id", &id),
                        ("attack", if attack { "true" } else { "false" }),
                    ],
                );
            }
        }
    }
    rows.batch(&["attack"], &["tid"])
}

/// Twelve recordings on six machines; in each, one program comes from a folder it never comes from.
fn creations() -> RecordBatch {
    let (mut rows, mut rng) = (Rows::default(), Rng(3));
    for recording in 0..12i64 {
        for at in 0..25i64 {
            let label = match at {
                7 | 8 => "1",
                12 => "2",
                _ => "0",
            };
            let program = rng.of(&["viewer", "editor", "updater", "indexer"]);
            let folder = if label == "1" { r"C:\Users\ada\AppData\Local\Temp" } else { r"C:\Program Files\Made" };
            let image = format!(r"{folder}\{program}.exe");
            rows.push(
                (18_000 + recording) * DAY + at * MINUTE,
                &[
                    ("recording", &format!("recording {recording}")),
                    ("host", &format!("host{}", recording % 6)),
                    ("user", rng.of(&[r"MADE\ada", r"NT AUTHORITY\SYSTEM"])),
                    ("image", &image),
                    ("command_line", &format!("\"{image}\" /open {}", rng.of(&["a", "b", "c"]))),
                    ("cwd", r"C:\Windows\system32\"),
                    ("integrity", if label == "1" { "High" } else { "Medium" }),
                    ("parent_image", r"C:\Windows\explorer.exe"),
                    ("parent_command_line", r"C:\Windows\explorer.exe"),
                    ("label", label),
                ],
            );
        }
    }
    rows.batch(&[], &["label"])
}

/// Two enterprises, four hosts, five days; on the fifth, codes that a host never had.
fn alerts() -> RecordBatch {
    let (mut rows, mut rng) = (Rows::default(), Rng(4));
    for scenario in ["north", "south"] {
        for minute in (0..5 * 1440i64).step_by(3) {
            let host = rng.of(&["mail", "mail", "mail", "web", "web", "gateway", "share"]);
            let attacked = minute > 4 * 1440 + 600;
            let attack = attacked && minute < 4 * 1440 + 690 && minute % 15 == 0;
            let code = if attack { "W-New" } else { rng.of(&["W-Login", "W-Login", "S-Scan", "A-Type", "A-Value"]) };
            let (host, event) = if attack { ("share", "steps") } else { (host, "-") };
            for _ in 0..1 + rng.below(3) {
                rows.push(
                    (19_000 * DAY) + minute * MINUTE,
                    &[
                        ("scenario", scenario),
                        ("host", host),
                        ("alert_code", code),
                        ("time_label", if attacked { "steps" } else { "false_positive" }),
                        ("event_label", event),
                    ],
                );
            }
        }
    }
    rows.batch(&[], &[])
}

fn measured(set: Set, batch: RecordBatch) -> SetReport {
    evaluate_rows(set, batch).expect("an authored set is in the shape of its protocol")
}

#[test]
fn figures_of_authored_sets_are_as_kept() {
    let sets = [
        (Set::Darpa98Edges, edges("true", "false")),
        (Set::ServerlessSysdig, calls()),
        (Set::WindowsProcesses, creations()),
        (Set::EnterpriseAlerts, alerts()),
    ];
    for (set, batch) in sets {
        let found = report::tables(&[measured(set, batch)], None);
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{}.md", set.name()));
        if std::env::var_os("EBBLINE_WRITE_GOLDEN").is_some() {
            std::fs::write(&path, &found).expect("the folder is there");
        }
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(found, kept, "{}: if this is meant, write it anew with EBBLINE_WRITE_GOLDEN=1", path.display());
    }
}

#[test]
fn labels_are_not_seen_by_the_model() {
    let auroc = |batch| measured(Set::Darpa98Edges, batch).measures[0].auroc.value;
    let (right, turned) = (auroc(edges("true", "false")), auroc(edges("false", "true")));
    assert!((right + turned - 1.0).abs() < 1e-12, "turned labels turn the ranking: {right} {turned}");
}

#[test]
fn what_a_protocol_leaves_out_is_left_out() {
    let requests = &measured(Set::ServerlessSysdig, calls()).measures[0];
    assert_eq!((requests.count, requests.attacks), (108, 6), "variant gt and early days are not scored");
    let rows = &measured(Set::WindowsProcesses, creations()).measures[0];
    assert_eq!((rows.count, rows.attacks), (12 * 24, 24), "ambiguous rows are not measured");
}

#[test]
fn attacks_that_nobody_could_miss_are_not_missed() {
    let all = [
        measured(Set::ServerlessSysdig, calls()).measures[0].clone(),
        measured(Set::WindowsProcesses, creations()).measures[1].clone(),
        measured(Set::EnterpriseAlerts, alerts()).measures[0].clone(),
    ];
    for measure in all {
        assert!(measure.auroc.value > 0.9, "{}: {:?}", measure.name, measure.auroc);
    }
}
