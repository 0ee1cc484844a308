//! The generators: rows in the shape of each labelled set, from fixed seeds.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray};

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

/// Labels as they are, or each the other way round.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Labels {
    True,
    Turned,
}

/// Ten hours of a few machines; one floods another for ten minutes, and later tries every machine once.
pub(crate) fn edges(labels: Labels) -> RecordBatch {
    let (mut rows, mut rng) = (Rows::default(), Rng(1));
    let names = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4", "192.0.2.5"];
    for minute in 0..600 {
        let mut row = |src: &str, dst: &str, attack: bool| {
            let attack = if attack == (labels == Labels::True) { "true" } else { "false" };
            rows.push(minute * MINUTE, &[("src_ip", src), ("dst_ip", dst), ("attack", attack), ("attack_name", "-")]);
        };
        for _ in 0..rng.below(4) {
            row(rng.of(&names), rng.of(&names), false);
        }
        for _ in 0..if (500..510).contains(&minute) { 120 } else { 0 } {
            row("198.51.100.9", "192.0.2.3", true);
        }
        if minute == 560 {
            names.iter().for_each(|name| row("198.51.100.9", name, true));
        }
    }
    rows.batch(&["attack"], &[])
}

/// What an attack request does that others do not.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Odd {
    Shell,
    File,
    Nothing,
}

/// Requests of one program on five days, three of which are learned. Of each later run three are attacks: one starts a
/// shell, one reads a file that was never read, one does what all do.
pub(crate) fn calls() -> RecordBatch {
    let (mut rows, mut rng) = (Rows::default(), Rng(2));
    // 2024-10-10 to 2024-10-12 are learned, 2024-10-21 and 2024-10-22 scored.
    for (at, day) in [20_006i64, 20_007, 20_008, 20_017, 20_018].into_iter().enumerate() {
        for request in 0..60i64 {
            let attack = match request {
                7 => Some(Odd::Shell),
                27 => Some(Odd::File),
                47 => Some(Odd::Nothing),
                _ => None,
            };
            let attack = attack.filter(|_| day > 20_010);
            let variant = match request {
                _ if request % 10 == 9 => "gt",
                _ if request % 3 == 0 => "rc2",
                _ => "rc3",
            };
            for line in 0..6 + rng.below(4) as i64 {
                let time = day * DAY + request * MINUTE + line * SECOND;
                let odd = attack.filter(|_| line > 3).unwrap_or(Odd::Nothing);
                let run = format!("plain-{variant}-{at}");
                call(&mut rows, &mut rng, time, (&run, request, attack.is_some()), (line, odd));
            }
        }
    }
    rows.batch(&["attack"], &["tid"])
}

/// One system call: of which run and request, its place in the request and what is odd about it.
fn call(rows: &mut Rows, rng: &mut Rng, time: i64, of: (&str, i64, bool), (line, odd): (i64, Odd)) {
    let (run, request, attack) = of;
    let (event, file) = match (odd, line % 3) {
        (Odd::Shell, _) => ("execve", "/bin/sh"),
        (Odd::File, _) => ("open", "/etc/shadow"),
        (_, 0) => ("read", "10.0.0.1:41000->10.0.0.2:8080"),
        (_, 1) => ("write", "pipe:[4711]"),
        _ => ("open", rng.of(&["/etc/hosts", "/etc/resolv.conf", "/srv/app.js"])),
    };
    let shell = odd == Odd::Shell;
    rows.push(
        time,
        &[
            ("group", "made"),
            ("run", run),
            ("scenario", if request % 2 == 0 { "even" } else { "odd" }),
            ("comm", if shell { "sh" } else { "node" }),
            ("tid", "11"),
            ("direction", rng.of(&["<", ">"])),
            ("event", event),
            ("fd", file),
            ("exe", if shell { "/bin/sh" } else { "/usr/bin/node" }),
            ("res", rng.of(&["0", "64", "70", "-11"])),
            ("req_type", if attack { "attack" } else { "benign" }),
            ("req_id", &format!("request {request}")),
            ("attack", if attack { "true" } else { "false" }),
        ],
    );
}

/// Twelve recordings on six machines; in each, two programs come from a folder that nothing else comes from, and one row is
/// ambiguous.
pub(crate) fn creations() -> RecordBatch {
    let (mut rows, mut rng) = (Rows::default(), Rng(3));
    for recording in 0..12i64 {
        for at in 0..25i64 {
            let label = match at {
                7 | 8 => "1",
                12 => "2",
                _ => "0",
            };
            creation(&mut rows, &mut rng, (recording, at), label, label == "1");
        }
    }
    rows.batch(&[], &["label"])
}

/// Recordings without anything odd, each row of which is there twice, once called an attack.
pub(crate) fn twins() -> RecordBatch {
    let mut rows = Rows::default();
    for recording in 0..12i64 {
        for at in 0..25i64 {
            for label in ["0", "1"] {
                let mut rng = Rng((recording * 100 + at) as u64);
                creation(&mut rows, &mut rng, (recording, at), label, false);
            }
        }
    }
    rows.batch(&[], &["label"])
}

fn creation(rows: &mut Rows, rng: &mut Rng, (recording, at): (i64, i64), label: &str, odd: bool) {
    let program = rng.of(&["viewer", "editor", "updater", "indexer"]);
    let folder = if odd { r"C:\Users\ada\AppData\Local\Temp" } else { r"C:\Program Files\Made" };
    let image = format!(r"{folder}\{program}.exe");
    rows.push(
        (18_000 + recording) * DAY + at * MINUTE,
        &[
            ("recording", &format!("recording {recording}")),
            ("process_guid", &format!("process {recording} {at}")),
            ("parent_guid", ""),
            ("host", &format!("host{}", recording % 6)),
            ("user", rng.of(&[r"MADE\ada", r"NT AUTHORITY\SYSTEM"])),
            ("image", &image),
            ("command_line", &format!("\"{image}\" /open {}", rng.of(&["a", "b", "c"]))),
            ("cwd", r"C:\Windows\system32\"),
            ("integrity", if odd { "High" } else { "Medium" }),
            ("parent_image", r"C:\Windows\explorer.exe"),
            ("parent_command_line", r"C:\Windows\explorer.exe"),
            ("label", label),
        ],
    );
}

/// Two enterprises, four hosts, five days; on the fifth an attack of 90 minutes: in the north by a code that was never
/// raised, in the south by one that only another host raises.
pub(crate) fn alerts() -> RecordBatch {
    let (mut rows, mut rng) = (Rows::default(), Rng(4));
    for scenario in ["north", "south"] {
        for minute in (0..5 * 1440i64).step_by(3) {
            let host = rng.of(&["mail", "mail", "mail", "web", "web", "gateway", "share"]);
            let codes: &[&str] = match host {
                "gateway" => &["S-Scan", "S-Scan", "A-Value"],
                _ => &["W-Login", "W-Login", "W-Login", "A-Type", "A-Value"],
            };
            let since = minute - (4 * 1440 + 600);
            let attack = (0..90).contains(&since) && minute % 15 == 0;
            let (host, code) = match (attack, scenario) {
                (true, "north") => ("share", "W-New"),
                (true, _) => ("share", "S-Scan"),
                _ => (host, rng.of(codes)),
            };
            for _ in 0..1 + rng.below(3) {
                rows.push(
                    19_000 * DAY + minute * MINUTE,
                    &[
                        ("scenario", scenario),
                        ("host", host),
                        ("alert_code", code),
                        ("time_label", if since >= 0 { "steps" } else { "false_positive" }),
                        ("event_label", if attack { "steps" } else { "-" }),
                    ],
                );
            }
        }
    }
    rows.batch(&[], &[])
}
