//! Compiles and scores with many distinct cells, and says what that takes: `cells [MILLIONS] [--half]`.
//!
//! Three hosts at a time do the same, so that there is a cell of the fleet for every three of hosts. With `--half`, the table
//! has room for half of its entries and the rest goes into the sketch. What is printed is seen, not computed.

use std::sync::Arc;
use std::time::Instant;

use ebbline_model::compile::{Options, compile_with};
use ebbline_model::encode::Codes;
use ebbline_model::keys::pair;
use ebbline_model::testing::{Rng, key};
use ebbline_model::{
    Backend, Calibration, CpuBackend, EncodedBatch, HashKey, Lens, Scores, Segment, SegmentBuilder, Snapshot,
};

const VIEWS: usize = 8;
/// Each makes a cell in both contexts of every view.
const ROWS: usize = 62_500;
const CELLS_A_HOST: usize = ROWS * VIEWS * 2;

fn lens() -> Lens {
    let mut toml =
        "table = \"t\"\ntime = \"time\"\n[scopes]\nhost = \"host\"\n[fields]\nc = { column = \"c\", kind = \"id\" }\n"
            .to_owned();
    (0..VIEWS).for_each(|v| toml.push_str(&format!("f{v} = {{ column = \"c{v}\", kind = \"id\" }}\n")));
    for v in 0..VIEWS {
        toml.push_str(&format!("[[views]]\nname = \"v{v}\"\nchild = [\"f{v}\"]\ncontext = [[\"c\"], []]\n"));
    }
    Lens::parse(&toml).expect("the lens is valid")
}

/// A column whose row `i` has value number `first + i % values`.
fn column(rows: usize, first: u64, values: usize) -> Codes {
    Codes {
        codes: (0..rows).map(|row| (row % values) as u32).collect(),
        hashes: Arc::new((0..values as u64).map(|value| pair(Rng(first + value).bits())).collect()),
        values: Arc::new(vec![None; values]),
    }
}

/// What the trio of hosts number `trio` does.
fn batch(lens: &Lens, key: &HashKey, trio: usize, host: &str) -> EncodedBatch {
    // Fields stand in the order of their names: the context first.
    let mut fields = vec![column(ROWS, 0, 100)];
    fields.extend((0..VIEWS).map(|v| column(ROWS, ((trio * VIEWS + v + 1) * ROWS) as u64, ROWS)));
    assert_eq!(fields.len(), lens.fields().len());
    EncodedBatch {
        rows: ROWS,
        fields,
        host: Codes {
            codes: vec![0; ROWS],
            hashes: Arc::new(vec![key.value(Some(host))]),
            values: Arc::new(vec![Some(host.to_owned())]),
        },
        class: vec![ebbline_model::lens::NO_CLASS; ROWS],
        time: vec![0; ROWS],
        units: Vec::new(),
    }
}

fn segment(lens: &Lens, host: usize) -> Segment {
    let name = format!("host{host}");
    let mut builder = SegmentBuilder::new(lens, &key(), Some(&name), 0);
    let rows: Vec<u32> = (0..ROWS as u32).collect();
    builder.add(&batch(lens, &key(), host / 3, &name), &rows);
    builder.finish()
}

/// The most memory that this process has had so far, in GiB.
fn peak() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().split(' ').next()?.parse::<f64>().ok());
    kib.unwrap_or(f64::NAN) / (1 << 20) as f64
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let millions: f64 = arguments.iter().find_map(|a| a.parse().ok()).unwrap_or(10.0);
    // Of every four cells of the table three are of hosts.
    let hosts = ((millions * 1e6 * 0.75 / CELLS_A_HOST as f64).round() as usize).max(1);
    let (lens, begin) = (lens(), Instant::now());
    let segments: Vec<Segment> = (0..hosts).map(|host| segment(&lens, host)).collect();
    let cells: usize = segments.iter().map(Segment::cells).sum();
    println!("{hosts} segments of {cells} cells: {:.1} s, peak {:.2} GiB", begin.elapsed().as_secs_f64(), peak());
    let room = arguments.iter().any(|a| a == "--half").then_some((millions * 0.5e6) as u64);
    let begin = Instant::now();
    let compiled = compile_with(&key(), &segments, &Options { max_entries: room, ..Options::default() });
    let used = compiled.slots.iter().filter(|s| s[2] != 0);
    let (contexts, cells) = used.fold((0, 0), |(c, n), s| if s[3] > 0 { (c + 1, n) } else { (c, n + 1) });
    println!(
        "compiled: {contexts} contexts, {cells} cells in {} slots, {} counters: {:.1} s, peak {:.2} GiB",
        compiled.slots.len(),
        compiled.sketch.len(),
        begin.elapsed().as_secs_f64(),
        peak()
    );
    let identity = Calibration::identity(VIEWS);
    let snapshot = Arc::new(Snapshot::of(lens.clone(), &key(), compiled, identity).expect("what is compiled fits"));
    let (mut backend, mut scores) = (CpuBackend::new(snapshot), Scores::default());
    let (begin, last) = (Instant::now(), batch(&lens, &key(), (hosts - 1) / 3, "new"));
    let rounds = 16;
    for _ in 0..rounds {
        backend.score(&last, &mut scores).expect("the batch fits");
    }
    let rate = (rounds * ROWS) as f64 / begin.elapsed().as_secs_f64();
    println!("scored: {rate:.0} rows/s of {VIEWS} views, peak {:.2} GiB", peak());
}
