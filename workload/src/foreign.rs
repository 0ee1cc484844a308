//! Logs as other programs write them, from a seed: for the samples beside the lenses, and for tests.
//!
//! Each log is some days of ordinary work, in which everybody has habits, and on the last day one thing that nobody does.
//! People, machines and names are made up; addresses are private or those for documentation.

mod hosts;
mod network;
mod office;
mod text;

use serde_json::{Map, Value};

use crate::random::Random;

const SECOND: i64 = 1_000_000_000;
const DAY_SECONDS: i64 = 86_400;
/// Monday, 16 November 2026, 00:00 UTC, in seconds since 1970.
const FIRST_DAY: i64 = 1_794_787_200;

/// A row: its time in nanoseconds since 1970, and its values.
pub type LogRow = (i64, Map<String, Value>);

/// A log: what it is called, and how it is made.
#[derive(Debug, Clone, Copy)]
pub struct Log {
    /// The name of its lens.
    pub name: &'static str,
    /// How its program writes it.
    pub written: Written,
    ordinary: fn(&mut Random, i64) -> Value,
    odd: fn(i64) -> Vec<Value>,
    /// Key of the unit that is odd.
    pub odd_unit: &'static str,
    /// A view that says so, if any does.
    pub odd_view: &'static str,
}

/// How a log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// One JSON object a line.
    JsonLines,
    /// Values between commas, below a header.
    Csv,
    /// Zeek's own format.
    Zeek,
}

impl Written {
    /// What the names of such files end in.
    #[must_use]
    pub fn extension(self) -> &'static str {
        match self {
            Self::JsonLines => "jsonl",
            Self::Csv => "csv",
            Self::Zeek => "log",
        }
    }
}

/// Every log.
pub const LOGS: [Log; 11] = [
    network::ZEEK_CONN,
    network::ZEEK_DNS,
    network::WEB_PROXY,
    network::MODBUS,
    hosts::AUDITD,
    hosts::SYSMON,
    hosts::AUTHENTICATION,
    office::CLOUD_TRAIL,
    office::MAIL,
    office::CHAT,
    office::LLM_GATEWAY,
];

impl Log {
    /// The log with this lens.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        LOGS.into_iter().find(|log| log.name == name)
    }

    /// The rows of a day, counted from 0, in order of time. Equal arguments give equal rows.
    #[must_use]
    pub fn day(&self, seed: u64, day: u32, rows: usize) -> Vec<LogRow> {
        let mut random = Random::new(seed ^ (u64::from(day) << 32) ^ self.name.len() as u64);
        let start = FIRST_DAY + i64::from(day) * DAY_SECONDS;
        let mut all: Vec<LogRow> = (0..rows)
            .map(|_| {
                let time = (start + working_second(&mut random)) * SECOND + random.below(1_000) as i64 * 1_000_000;
                (time, object((self.ordinary)(&mut random, time)))
            })
            .collect();
        all.sort_by_key(|row| row.0);
        all
    }

    /// The same with one oddity in the afternoon.
    #[must_use]
    pub fn odd_day(&self, seed: u64, day: u32, rows: usize) -> Vec<LogRow> {
        let mut all = self.day(seed, day, rows);
        let start = (FIRST_DAY + i64::from(day) * DAY_SECONDS + 14 * 3600 + 600) * SECOND;
        let odd = (self.odd)(start).into_iter().enumerate();
        all.extend(odd.map(|(at, row)| (start + at as i64 * 20 * SECOND, object(row))));
        all.sort_by_key(|row| row.0);
        all
    }

    /// The sample that is committed beside the lenses: some rows of each of four days.
    #[must_use]
    pub fn sample(&self) -> String {
        let rows: Vec<LogRow> = (0..4).flat_map(|day| self.day(1, day, 20)).collect();
        self.text(&rows)
    }

    /// Rows as a text file, as the program writes it.
    #[must_use]
    pub fn text(&self, rows: &[LogRow]) -> String {
        match self.written {
            Written::JsonLines => text::json_lines(rows),
            Written::Csv => text::csv(rows, ','),
            Written::Zeek => text::zeek(rows),
        }
    }
}

/// Rows as JSON lines, whatever the program writes.
#[must_use]
pub fn json_lines(rows: &[LogRow]) -> String {
    text::json_lines(rows)
}

/// Rows as CSV, nested values by their path.
#[must_use]
pub fn csv(rows: &[LogRow]) -> String {
    text::csv(rows, ',')
}

/// Every path to a value and what each row has there; lists joined by commas.
#[must_use]
pub fn columns(rows: &[LogRow]) -> Vec<(String, Vec<Option<String>>)> {
    text::columns(rows)
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// Most work is done by day, but some goes on all night.
fn working_second(random: &mut Random) -> i64 {
    let seconds = match random.below(8) {
        0 => random.below(DAY_SECONDS as u64),
        _ => 8 * 3600 + random.below(10 * 3600),
    };
    seconds as i64
}

/// `2026-11-16T08:30:00.123Z`
fn rfc3339(time: i64) -> String {
    timestamp(time).strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

/// `2026-11-16 08:30:00.123`
fn plain(time: i64) -> String {
    timestamp(time).strftime("%Y-%m-%d %H:%M:%S.%3f").to_string()
}

fn timestamp(time: i64) -> jiff::Timestamp {
    jiff::Timestamp::from_nanosecond(i128::from(time)).unwrap_or_default()
}

/// Seconds since 1970, with a fraction.
fn epoch(time: i64) -> f64 {
    (time / 1_000) as f64 / 1e6
}

/// A quantity around another: between half of it and one and a half.
fn about(random: &mut Random, usual: u64) -> u64 {
    usual / 2 + random.below(usual.max(1))
}

/// One of a list, the first ones most often.
fn pick<'a, T>(random: &mut Random, list: &'a [T]) -> &'a T {
    &list[random.zipf(list.len())]
}
