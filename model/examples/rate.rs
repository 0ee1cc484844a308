//! Times each stage on this machine and shows the findings among which an intrusion was planted:
//! `cargo run -p ebbline-model --example rate -- [ROWS] [HOSTS] [DAYS]`.

use std::collections::HashMap;
use std::time::Instant;

use arrow_array::RecordBatch;
use arrow_select::concat::concat_batches;
use ebbline_model::{
    Backend, CpuBackend, Encoder, HashKey, LearnError, RowRef, RowSource, Scores, UnitTable, builtin, explain, learn,
};
use workload::columns::{self, FIRST_DAY, Part};

const DAY: i64 = 86_400_000_000_000;

struct Parts(Vec<Part>);

impl RowSource for Parts {
    fn tables(&self) -> Vec<String> {
        vec!["process".to_owned(), "connection".to_owned()]
    }

    fn for_each(
        &self,
        table: &str,
        f: &mut dyn FnMut(&RecordBatch) -> Result<(), LearnError>,
    ) -> Result<(), LearnError> {
        self.0.iter().filter(|p| p.table == table).try_for_each(|p| f(&p.batch))
    }
}

fn main() {
    let arguments: Vec<u32> = std::env::args().skip(1).filter_map(|a| a.parse().ok()).collect();
    let argument = |i: usize, default| arguments.get(i).copied().unwrap_or(default);
    let (rows, hosts, days) = (argument(0, 1_000_000), argument(1, 8), argument(2, 7));
    let source = Parts(columns::archive(1, u64::from(rows), hosts, days).collect());

    let start = Instant::now();
    let baseline = learn(&builtin::all(), HashKey([9; 32]), &source, &|_, _| {}).expect("learns");
    println!("learn: {rows} rows in {:.2?}", start.elapsed());
    for snapshot in baseline.snapshots() {
        let Some(calibration) = Some(&snapshot.calibration) else { continue };
        let bytes = snapshot.slots.len() * 16;
        println!("  {}: table {} KiB, {}", snapshot.lens.table(), bytes >> 10, calibration.basis);
    }

    let next_day = FIRST_DAY + i64::from(days) * DAY;
    let scored = rows / days;
    let mut fresh: Vec<Part> = columns::archive_from(1, u64::from(scored), hosts, next_day, 1).collect();
    fresh.extend(columns::intrusion("host0", next_day + DAY / 2));
    let mut units = UnitTable::new(&baseline, f64::from(argument(3, 100)));
    let mut batches = HashMap::new();
    for lens in builtin::all() {
        let parts: Vec<&RecordBatch> = fresh.iter().filter(|p| p.table == lens.table()).map(|p| &p.batch).collect();
        let copies = (rows / scored).max(1) as usize;
        let many: Vec<&RecordBatch> = std::iter::repeat_n(&parts, copies).flatten().copied().collect();
        let one = concat_batches(&parts[0].schema(), parts.iter().copied()).expect("one schema");
        let big = concat_batches(&parts[0].schema(), many).expect("one schema");
        let (start, mut encoder) = (Instant::now(), Encoder::new(&lens, baseline.hash_key()));
        let encoded = encoder.encode(&big).expect("encodes");
        let encoding = start.elapsed();
        let mut backend = CpuBackend::new(baseline.snapshot(lens.table()).expect("learned"));
        let mut scores = Scores::of_rows();
        backend.score(&encoded, &mut scores).expect("scores");
        let start = Instant::now();
        backend.score(&encoded, &mut scores).expect("scores");
        let scoring = start.elapsed();
        let rate = |t: std::time::Duration| encoded.rows as f64 / t.as_secs_f64() / 1e6;
        println!(
            "{}: {} rows, encode {:.2} M rows/s, score {:.2} M rows/s on {}",
            lens.table(),
            encoded.rows,
            rate(encoding),
            rate(scoring),
            backend.device()
        );
        let encoded = encoder.encode(&one).expect("encodes");
        backend.score(&encoded, &mut scores).expect("scores");
        let table: std::sync::Arc<str> = lens.table().into();
        let locate = |row: usize| RowRef { file: table.clone(), row: row as u64, table: table.clone() };
        units.add(&lens, &encoded, &scores, &locate);
        batches.insert(lens.table().to_owned(), encoded);
    }
    let findings = units.findings();
    println!("{} units, {} findings", units.len(), findings.len());
    for unit in findings.iter().take(6) {
        let per = |n: u16| f64::from(n) / 1024.0;
        println!(
            "1 in 2^{:.1}: {} {} {:.1} bits",
            per(unit.log2_n),
            unit.host,
            unit.key,
            f64::from(unit.bits) / 1024.0
        );
        let (at, _) = &unit.rows[0];
        let snapshot = baseline.snapshot(&at.table).expect("learned");
        let mut views = explain(&snapshot, &batches[&*at.table], at.row as usize);
        views.sort_by_key(|v| std::cmp::Reverse(v.bits));
        for view in views.iter().take(3) {
            println!("    {:5.1} bits: {view}", per(view.bits));
        }
    }
}
