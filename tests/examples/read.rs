//! Reads columns of Parquet files as they are, dictionaries kept, and does nothing with them: what no scoring can be faster than.
//! `cargo run -p ebbline-tests --example read -- FOLDER THREADS COLUMN…` prints rows and seconds.

use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

/// As many as scoring takes at a time.
const BATCH_ROWS: usize = 65_536;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (Some(folder), Some(threads), true) =
        (args.first(), args.get(1).and_then(|arg| arg.parse::<usize>().ok()), args.len() > 2)
    else {
        eprintln!("error: usage: read FOLDER THREADS COLUMN…");
        std::process::exit(2);
    };
    let columns: Vec<&str> = args[2..].iter().map(String::as_str).collect();
    let sources = store::discover(&[Path::new(folder)]).expect("files can be found");
    let (next, rows, start) = (AtomicUsize::new(0), AtomicU64::new(0), Instant::now());
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                while let Some(source) = sources.get(next.fetch_add(1, Relaxed)) {
                    let file = store::ArchiveFile::open(&source.path).expect("a whole file");
                    for batch in file.batches(&columns, BATCH_ROWS).expect("it has the columns") {
                        rows.fetch_add(batch.expect("whole rows").num_rows() as u64, Relaxed);
                    }
                }
            });
        }
    });
    println!("{} {}", rows.into_inner(), start.elapsed().as_secs_f64());
}
