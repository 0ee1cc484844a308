//! Records a second of one core from rings in memory to Arrow batches: order, decode, lineage, rows.
//!
//! `cargo bench -p ebbline-agent-user --profile dev --bench drain`. Times are the thread's processor time, medians of rounds.
//! The copy beside them is what any reader of the rings pays at least.

#![allow(missing_docs)] // nobody uses it but cargo

#[path = "drain/records.rs"]
mod records;

use ebbline_agent_user::{
    drain::{Drain, Ring},
    enrich::Enricher,
};
use records::Records;
use rustix::time::{ClockId, clock_gettime};
use std::hint::black_box;

/// Rounds, of which the median counts.
const ROUNDS: usize = 9;
/// Processes in the cache, as in the agent.
const PROCESSES: usize = 65_536;

/// A ring in memory, read from its beginning. A record's position is its number.
struct Memory<'a> {
    records: &'a Records,
    seen: u64,
}

impl Ring for Memory<'_> {
    fn look(&mut self) -> Option<u64> {
        let position = self.seen;
        self.records.get(position as usize)?;
        self.seen += 1;
        Some(position)
    }

    fn record(&self, position: u64) -> &[u8] {
        self.records.get(position as usize).unwrap_or_default()
    }

    fn seen(&self) -> u64 {
        self.seen
    }

    fn resume(&mut self, position: u64) {
        self.seen = position;
    }

    fn committed(&self) -> u64 {
        0
    }

    fn size(&self) -> u64 {
        u64::MAX
    }
}

fn cpu_ns() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

/// The median of rounds, in nanoseconds a record. What a round needs is made before.
fn median<T>(records: usize, mut prepare: impl FnMut() -> T, mut round: impl FnMut(&mut T)) -> f64 {
    let mut times = [(); ROUNDS].map(|()| {
        let mut prepared = prepare();
        let start = cpu_ns();
        round(&mut prepared);
        (cpu_ns() - start) / records as f64
    });
    times.sort_by(f64::total_cmp);
    times[ROUNDS / 2]
}

/// Everything from rings to `each`.
fn drain(rings: &[Records], each: &mut dyn FnMut(&[u8])) {
    let mut drain = Drain::new(rings.iter().map(|records| Memory { records, seen: 0 }).collect());
    drain.rest();
    let mut given = 0;
    loop {
        match drain.give(each) {
            0 => break,
            some => given += some,
        }
    }
    assert_eq!(given, rings.iter().map(Records::len).sum::<usize>());
}

fn batches(enricher: &mut Enricher) {
    for batch in enricher.take().expect("columns fit their schema") {
        black_box(batch);
    }
}

fn report(name: &str, rings: &[Records]) {
    let count: usize = rings.iter().map(Records::len).sum();
    let bytes: usize = rings.iter().map(Records::bytes).sum();
    println!("{name}: {count} records of {} bytes on average, {} rings", bytes / count, rings.len());
    let line = |what: &str, ns: f64| println!("  {what:<34} {:>8.0} ns  {:>9.0} k records/s", ns, 1e6 / ns);
    let copy = |memory: &mut Vec<u8>| {
        let all = rings.iter().flat_map(|ring| (0..ring.len()).filter_map(|at| ring.get(at)));
        all.for_each(|record| memory.extend_from_slice(record));
        black_box(memory);
    };
    line("copy alone", median(count, || Vec::with_capacity(bytes), copy));
    let ordered = |(): &mut ()| {
        drain(rings, &mut |record| {
            black_box(record);
        });
    };
    line("in order", median(count, || (), ordered));
    let decoded = |(): &mut ()| {
        drain(rings, &mut |record| {
            let _ = black_box(events::decode(record));
        });
    };
    line("in order and decoded", median(count, || (), decoded));
    line("to Arrow batches", median(count, enricher, |enricher| rows(rings, enricher)));
}

fn enricher() -> Enricher {
    let mut enricher = Enricher::new([1; 4], &"host".into(), PROCESSES);
    records::parents().for_each(|record| enricher.record(&record));
    enricher
}

fn rows(rings: &[Records], enricher: &mut Enricher) {
    drain(rings, &mut |record| {
        enricher.record(record);
        if enricher.is_full() {
            batches(enricher);
        }
    });
    batches(enricher);
    assert_eq!(enricher.books().duplicate.iter().sum::<u64>() + enricher.books().unknown, 0);
}

fn main() {
    report("exec-like", &records::exec_like(60_000));
    report("connect-like", &records::connect_like(200_000));
}
