//! What the host does for a device that scores: its processor time, the bytes that go up and come back, and how much is gained
//! where several batches are under way at once.
//!
//! `cargo bench --profile dev --bench host`; `-- --noop` without drivers. The noop adapter computes nothing: what is timed
//! with it is the host's work alone, on any machine. Other adapters give their kernels' time by their own clock beside it.

use model::testing::{self, Case, Plan};
use model::{Backend, Scores};
use rustix::time::{ClockId, clock_gettime};
use scorer_gpu::{AdapterKind, GpuBackend, adapters, open_adapter_timed, open_noop};
use std::time::{Duration, Instant};

const VIEWS: [u32; 3] = [8, 32, 128];
/// Rows of a batch, and on software adapters, which would take minutes for more.
const ROWS: usize = 1 << 16;
const FEW_ROWS: usize = 1 << 13;
/// Runs that a median is of, and the least time that they take.
const RUNS: usize = 9;
const LEAST: Duration = Duration::from_millis(300);
/// Batches under way at once.
const BESIDE: [usize; 3] = [1, 2, 4];

fn main() {
    let only_noop = std::env::args().any(|arg| arg == "--noop");
    let cases: Vec<Case> = VIEWS.iter().map(|views| case(*views)).collect();
    println!("us of a row: median; batches of {ROWS} rows ({FEW_ROWS} on software adapters)");
    println!(
        "{:<28} views  gives back  host cpu  kernels   whole  B up  hashes  B back  rows/s, batches at once",
        "adapter"
    );
    for case in &cases {
        show("noop (host alone)", case, ROWS, &open_noop(&case.snapshot).expect("noop needs no driver"));
    }
    for adapter in adapters().iter().filter(|_| !only_noop) {
        let rows = if adapter.kind == AdapterKind::Software { FEW_ROWS } else { ROWS };
        for case in &cases {
            match open_adapter_timed(&adapter.name, &case.snapshot) {
                Ok(gpu) => show(&adapter.name, case, rows, &gpu),
                Err(error) => eprintln!("left out: {error}"),
            }
        }
    }
}

/// A small table: the host's work does not depend on its size.
fn case(views: u32) -> Case {
    let plan =
        Plan { rows: ROWS, learned: 4096, hosts: 50, values: 2000, fields: 12, views, unknown: 10, ..Plan::default() };
    testing::case(&format!("{views} views"), plan, 1)
}

fn show(adapter: &str, case: &Case, rows: usize, gpu: &GpuBackend) {
    let batch = scorer_gpu::measure::head(&case.batch, rows);
    for (what, scores) in [("all", Scores::default()), ("rows", Scores::of_rows())] {
        let mut gpu = gpu.another_here();
        let mut out = scores.clone();
        // Makes room, and sends the hashes.
        gpu.score(&batch, &mut out).expect("the device works");
        let hashes = gpu.traffic().hashes;
        let (before, kernels_before) = (gpu.traffic(), gpu.kernel_seconds());
        let (mut host, mut whole) = (Vec::new(), Vec::new());
        let begun = Instant::now();
        while whole.len() < RUNS || begun.elapsed() < LEAST {
            let (now, cpu) = (Instant::now(), thread_seconds());
            gpu.score(&batch, &mut out).expect("the device works");
            host.push(thread_seconds() - cpu);
            whole.push(now.elapsed().as_secs_f64());
        }
        let after = gpu.traffic();
        let scored = (whole.len() * rows) as f64;
        let kernels = kernels_before.zip(gpu.kernel_seconds()).map(|(before, after)| (after - before) / scored * 1e6);
        let per_row = |seconds: &mut Vec<f64>| median(seconds) / rows as f64 * 1e6;
        let bytes = |bytes: u64| bytes as f64 / scored;
        let beside = BESIDE.map(|number| format!("{number}: {:.2} M", at_once(&gpu, &batch, &scores, number) / 1e6));
        println!(
            "{adapter:<28.28} {:>5}  {what:<10}  {:>8.4}  {:>7}  {:>6.3}  {:>4.1}  {:>6}  {:>6.1}  {}",
            case.snapshot.views.len(),
            per_row(&mut host),
            kernels.map_or_else(|| "-".to_owned(), |us| format!("{us:.3}")),
            per_row(&mut whole),
            bytes(after.codes - before.codes),
            hashes,
            bytes(after.back - before.back),
            beside.join(", "),
        );
    }
}

/// Rows a second where so many threads score batches, each with a backend of its own beside the others.
fn at_once(gpu: &GpuBackend, batch: &model::EncodedBatch, scores: &Scores, number: usize) -> f64 {
    let backends: Vec<GpuBackend> = (0..number).map(|_| gpu.another_here()).collect();
    let begun = Instant::now();
    let batches: usize = std::thread::scope(|scope| {
        let one = |mut gpu: GpuBackend| {
            let mut out = scores.clone();
            let mut batches = 0;
            while batches < 3 || begun.elapsed() < LEAST {
                gpu.score(batch, &mut out).expect("the device works");
                batches += 1;
            }
            batches
        };
        let threads: Vec<_> = backends.into_iter().map(|gpu| scope.spawn(move || one(gpu))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).sum()
    });
    (batches * batch.rows) as f64 / begun.elapsed().as_secs_f64()
}

fn thread_seconds() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn median(seconds: &mut [f64]) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}
