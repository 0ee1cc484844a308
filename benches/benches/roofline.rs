//! How near the backends come to what memory gives: bandwidth in order, random 32-byte reads, copies between host and card,
//! and the share of the random reads that scoring with 8, 32 and 128 views makes of a table eight times the last cache.
//!
//! `cargo bench --profile dev --bench roofline`; `-- --json` for a script, `-- --small` for a first look, `-- --cpu` without
//! adapters. A look-up counts as a read from memory if a direct-mapped cache of the size of the processor's last one would
//! not have had its line: coarse contexts are asked for again and again and never leave it.

use bench::{best, gathers_per_s, last_cache, stream_bytes_per_s};
use model::testing::{self, Case, Plan, Rng};
use model::{Backend, CpuBackend, EncodedBatch, Scores};
use scorer_gpu::roofline::{Rates, measure};
use scorer_gpu::{AdapterKind, adapters, open_adapter};
use serde_json::{Value, json};
use std::sync::Arc;

const VIEWS: [u32; 3] = [8, 32, 128];
/// Rows scored, and on software adapters, which would take minutes for more.
const ROWS: usize = 1 << 17;
const FEW_ROWS: usize = 1 << 13;
/// Each rate is the best of so many tries.
const TRIES: usize = 3;
/// Reads and scores that follow each other on a processor, which is never as fast twice: the share is the median of theirs.
const PAIRS: usize = 7;
const LINE: usize = 64;
/// Random reads of each thread.
const READS: usize = 1 << 22;

fn main() {
    let given = |flag: &str| std::env::args().any(|arg| arg == flag);
    let cache = last_cache();
    let table = if given("--small") { 16 << 20 } else { (8 * cache).next_power_of_two() };
    let cases: Vec<Case> = VIEWS.iter().map(|views| case(*views, table)).collect();
    let mut report = json!({"last_cache_bytes": cache, "table_bytes": table, "devices": [cpu(&cases, cache)]});
    for adapter in adapters().iter().filter(|_| !given("--cpu")) {
        let rates = measure(&adapter.name, table as u64);
        match rates {
            Ok(rates) => {
                let few = adapter.kind == AdapterKind::Software;
                let device = card(&adapter.name, &adapter.to_string(), rates, &cases, few);
                report["devices"].as_array_mut().expect("an array").push(device);
            }
            Err(error) => eprintln!("left out: {error}"),
        }
    }
    if given("--json") { println!("{report:#}") } else { print(&report) }
}

/// A half-full table of so many bytes, learned from as many rows as leave it room; one value in ten is unknown.
fn case(views: u32, bytes: usize) -> Case {
    let slots = bytes / 16;
    let plan = Plan {
        rows: ROWS,
        learned: (slots / (20 * views as usize)).min(ROWS),
        hosts: 50,
        values: 2000,
        fields: 12,
        views,
        unknown: 10,
        ..Plan::default()
    };
    let mut case = testing::case(&format!("{views} views"), plan, 1);
    case.fill(slots);
    case
}

fn cpu(cases: &[Case], cache: usize) -> Value {
    // The very memory that scoring reads, so that its pages are the same.
    let slots = &cases[0].snapshot.slots;
    let gather = || gathers_per_s(slots, READS);
    let of_views = |case: &Case| {
        let mut backend = CpuBackend::new(Arc::clone(&case.snapshot));
        let from_memory = from_memory(case, cache);
        let one = |_| {
            let gather = gather();
            score(&mut backend, &case.batch, case.snapshot.views.len(), from_memory, gather, 1)
        };
        let mut pairs: Vec<Value> = (0..PAIRS).map(one).collect();
        let share = |pair: &Value| pair["share_of_gathers"].as_f64().unwrap_or(0.0);
        pairs.sort_by(|a, b| share(a).total_cmp(&share(b)));
        pairs.swap_remove(PAIRS / 2)
    };
    json!({
        "device": format!("cpu, {}", CpuBackend::new(Arc::clone(&cases[0].snapshot)).device()),
        "stream_bytes_per_s": stream_bytes_per_s(slots, TRIES),
        "gathers_per_s": (0..TRIES).map(|_| gather()).fold(0.0, f64::max),
        "views": cases.iter().map(of_views).collect::<Vec<_>>(),
    })
}

/// The share of a case's look-ups whose line a direct-mapped cache would not have.
fn from_memory(case: &Case, cache: usize) -> f64 {
    let lines = (cache / LINE).next_power_of_two();
    let mut cached = vec![u32::MAX; lines];
    let slots = testing::slots_read(&case.snapshot, &case.batch);
    let missed = slots.iter().filter(|slot| {
        let line = **slot / (LINE / 16) as u32;
        std::mem::replace(&mut cached[line as usize & (lines - 1)], line) != line
    });
    missed.count() as f64 / slots.len().max(1) as f64
}

fn card(name: &str, device: &str, rates: Rates, cases: &[Case], few: bool) -> Value {
    let of_views = |case: &Case| {
        let mut gpu = match open_adapter(name, &case.snapshot) {
            Ok(gpu) => gpu,
            Err(error) => return json!({"views": case.snapshot.views.len(), "left_out": error.to_string()}),
        };
        let plan = Plan { hosts: 50, values: 2000, fields: 12, ..Plan::default() };
        let small = few.then(|| testing::batch(&plan, FEW_ROWS, 10, &mut Rng(3)));
        score(&mut gpu, small.as_ref().unwrap_or(&case.batch), case.snapshot.views.len(), 1.0, rates.gather, TRIES)
    };
    json!({
        "device": device,
        "stream_bytes_per_s": rates.stream,
        "gathers_per_s": rates.gather,
        "up_bytes_per_s": rates.up,
        "down_bytes_per_s": rates.down,
        "views": cases.iter().map(of_views).collect::<Vec<_>>(),
    })
}

/// Scores the batch a few times and relates its look-ups to the random reads that memory gives.
fn score(
    backend: &mut dyn Backend,
    batch: &EncodedBatch,
    views: usize,
    from_memory: f64,
    gather: f64,
    tries: usize,
) -> Value {
    let mut scores = Scores::of_rows();
    let before = backend.counters().lookups;
    backend.score(batch, &mut scores).expect("the device works");
    let lookups = (backend.counters().lookups - before) as f64;
    let seconds = best(|| backend.score(batch, &mut scores).expect("the device works"), tries);
    json!({
        "views": views,
        "rows_per_s": batch.rows as f64 / seconds,
        "lookups_per_s": lookups / seconds,
        "from_memory": from_memory,
        "share_of_gathers": lookups * from_memory / seconds / gather,
    })
}

fn print(report: &Value) {
    let million = |value: &Value| format!("{:.1} M", value.as_f64().unwrap_or(0.0) / 1e6);
    let giga = |value: &Value| format!("{:.2} GB/s", value.as_f64().unwrap_or(0.0) / 1e9);
    let mib = |value: &Value| value.as_u64().unwrap_or(0) >> 20;
    println!("table {} MiB, last cache {} MiB", mib(&report["table_bytes"]), mib(&report["last_cache_bytes"]));
    for device in report["devices"].as_array().into_iter().flatten() {
        println!("{}", device["device"].as_str().unwrap_or(""));
        println!(
            "  in order {}, random 32-byte reads {}/s",
            giga(&device["stream_bytes_per_s"]),
            million(&device["gathers_per_s"])
        );
        if device["up_bytes_per_s"].is_f64() {
            println!("  to the card {}, back {}", giga(&device["up_bytes_per_s"]), giga(&device["down_bytes_per_s"]));
        }
        for views in device["views"].as_array().into_iter().flatten() {
            if let Some(why) = views["left_out"].as_str() {
                println!("  {} views: left out: {why}", views["views"]);
                continue;
            }
            let percent = |key: &str| format!("{:.0} %", views[key].as_f64().unwrap_or(0.0) * 100.0);
            println!(
                "  {} views: {} rows/s, {} look-ups/s, {} of them from memory: {} of the random reads",
                views["views"],
                million(&views["rows_per_s"]),
                million(&views["lookups_per_s"]),
                percent("from_memory"),
                percent("share_of_gathers")
            );
        }
    }
}
