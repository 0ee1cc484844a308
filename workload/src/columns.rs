//! Realistic process and connection rows as Arrow batches, from a seed: for tests and benchmarks.
//!
//! The rows come hour by hour. In each hour the services of a host start small trees of programs: who starts whom is a
//! Markov chain over [`habits`], choices follow Zipf's law, and a long tail of rare programs keeps novelty ordinary.

mod habits;
mod rows;
mod session;
mod weeks;

use arrow_array::RecordBatch;
use rows::{ConnectionRow, ProcessRow};
use session::Session;
pub use weeks::weeks;

use crate::random::Random;

const HOUR: i64 = 3_600_000_000_000;
/// Monday, 2 November 2026, 00:00 UTC.
pub const FIRST_DAY: i64 = 1_793_577_600 * 1_000_000_000;

/// A batch of one table and host, in the table's schema, ordered by time.
#[derive(Debug, Clone)]
pub struct Part {
    /// `process` or `connection`.
    pub table: &'static str,
    /// Name of the host.
    pub host: String,
    /// The rows.
    pub batch: RecordBatch,
}

/// `rows` rows over both tables, spread over `hosts` hosts and `days` days from [`FIRST_DAY`] on. Equal arguments give
/// equal batches. Every batch lies within one UTC hour.
pub fn archive(seed: u64, rows: u64, hosts: u32, days: u32) -> impl Iterator<Item = Part> {
    archive_from(seed, rows, hosts, FIRST_DAY, days)
}

/// As [`archive`], from another first day (nanoseconds since 1970, UTC) on.
pub fn archive_from(seed: u64, rows: u64, hosts: u32, first_day: i64, days: u32) -> impl Iterator<Item = Part> {
    let (hosts, hours) = (u64::from(hosts.max(1)), u64::from(days.max(1)) * 24);
    let slots = hosts * hours;
    (0..slots).flat_map(move |slot| {
        let share = (slot + 1) * rows / slots - slot * rows / slots;
        let (host, hour) = (slot % hosts, slot / hosts);
        one_hour(seed, host as u32, first_day + hour as i64 * HOUR, share as usize)
    })
}

/// One hour of one host, exactly `quota` rows over both tables.
fn one_hour(seed: u64, host: u32, start: i64, quota: usize) -> Vec<Part> {
    let mut random = Random::new(seed ^ (u64::from(host) << 40) ^ start as u64);
    let (mut processes, mut connections) = (Vec::new(), Vec::new());
    while processes.len() + connections.len() < quota {
        let at = start + random.below(HOUR as u64 - HOUR as u64 / 10) as i64;
        let session = Session::generate(&mut random, host, at, start + HOUR - 1);
        let room = quota - processes.len() - connections.len();
        processes.extend(session.processes.into_iter().take(room));
        let room = quota - processes.len() - connections.len();
        connections.extend(session.connections.into_iter().take(room));
    }
    parts(&format!("host{host}"), processes, connections)
}

fn parts(host: &str, mut processes: Vec<ProcessRow>, mut connections: Vec<ConnectionRow>) -> Vec<Part> {
    processes.sort_by_key(|row| row.time);
    connections.sort_by_key(|row| row.time);
    let mut parts = Vec::new();
    if !processes.is_empty() {
        parts.push(Part { table: events::PROCESS, host: host.into(), batch: rows::process_batch(host, &processes) });
    }
    if !connections.is_empty() {
        let batch = rows::connection_batch(host, &connections);
        parts.push(Part { table: events::CONNECTION, host: host.into(), batch });
    }
    parts
}

/// An intrusion at `time` on `host`: the web server starts a shell that fetches a program into `/dev/shm`, which dials
/// out. One process tree of a handful of rows.
#[must_use]
pub fn intrusion(host: &str, time: i64) -> Vec<Part> {
    let session = Session::intrusion(time);
    parts(host, session.processes, session.connections)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_deterministic_and_exact() {
        let make = || archive(7, 5_000, 2, 1).collect::<Vec<_>>();
        let (one, two) = (make(), make());
        assert_eq!(one.iter().map(|p| p.batch.num_rows()).sum::<usize>(), 5_000);
        assert!(one.iter().zip(&two).all(|(a, b)| a.batch == b.batch && a.table == b.table));
        let other = archive(8, 5_000, 2, 1).collect::<Vec<_>>();
        assert!(one.iter().zip(&other).any(|(a, b)| a.batch != b.batch));
    }

    #[test]
    fn batches_have_the_schema_of_their_table() {
        for part in archive(1, 2_000, 1, 1).chain(intrusion("host0", FIRST_DAY)) {
            let schema = if part.table == "process" { events::process_schema() } else { events::connection_schema() };
            assert_eq!(part.batch.schema(), schema);
        }
    }
}
