//! Rows a second of the CPU backend and of every adapter found, upload and readback included.
//!
//! `cargo bench -p ebbline-benches --profile dev --bench score`. A software adapter computes on the CPU: its figures say how
//! slow tests are, nothing about GPUs.

#![allow(missing_docs)] // criterion's macros make public items

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use model::testing::{self, Case, Plan, Rng};
use model::{Backend, CpuBackend, EncodedBatch, Scores};
use scorer_gpu::{AdapterKind, adapters, open_adapter};
use std::sync::Arc;
use std::time::Duration;

const ROWS: usize = 1 << 18;
/// For software adapters, which would take minutes for more.
const FEW_ROWS: usize = 1 << 15;

fn plan(views: u32) -> Plan {
    Plan { rows: ROWS, hosts: 50, values: 1000, fields: 12, views, unknown: 10, ..Plan::default() }
}

/// 256 k rows for a table of exactly `1 << log2_slots` slots, half full. One in ten values is unknown.
fn case(views: u32, log2_slots: u32) -> Case {
    let slots = 1usize << log2_slots;
    let plan = Plan { learned: slots / 1000, ..plan(views) };
    let mut case = testing::case(&format!("{views} views, 2^{log2_slots} slots"), plan, 1);
    case.fill(slots);
    case
}

/// The backends, and whether each one computes in hardware.
fn backends(case: &Case) -> Vec<(Box<dyn Backend>, bool)> {
    let mut backends: Vec<(Box<dyn Backend>, bool)> =
        vec![(Box::new(CpuBackend::new(Arc::clone(&case.snapshot))), true)];
    for adapter in adapters() {
        match open_adapter(&adapter.name, &case.snapshot) {
            Ok(gpu) => backends.push((Box::new(gpu), adapter.kind == AdapterKind::Hardware)),
            Err(error) => eprintln!("left out: {error}"),
        }
    }
    backends
}

fn score(c: &mut Criterion) {
    for (views, log2_slots) in [(8, 16), (8, 22), (32, 16), (32, 22)] {
        let case = case(views, log2_slots);
        let few: EncodedBatch = testing::batch(&plan(views), FEW_ROWS, 10, &mut Rng(3));
        let mut group = c.benchmark_group(&case.name);
        group.sample_size(10).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(3));
        for (mut backend, hardware) in backends(&case) {
            let batch = if hardware { &case.batch } else { &few };
            let mut scores = Scores::of_rows();
            group.throughput(Throughput::Elements(batch.rows as u64));
            group.bench_function(format!("{}: {}", backend.name(), backend.device()), |bencher| {
                bencher.iter(|| backend.score(batch, &mut scores).expect("the device works"));
            });
        }
        group.finish();
    }
}

criterion_group!(benches, score);
criterion_main!(benches);
