//! Writes the logs that the foreign lenses read: `cargo run -p ebbline-tests --example samples -- DIR [SEED DAYS ROWS]`.
//!
//! With DIR alone the samples that are committed in `lenses/samples`; else for each log a folder with a file a day, the last
//! of them with its oddity.

use std::path::Path;

use workload::foreign::{LOGS, Log};

fn main() -> std::io::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| args.get(at).and_then(|arg| arg.parse::<u64>().ok());
    match (args.first(), number(1), number(2), number(3)) {
        (Some(dir), None, None, None) => LOGS.iter().try_for_each(|log| sample(log, Path::new(dir))),
        (Some(dir), Some(seed), Some(days), Some(rows)) => LOGS
            .iter()
            .try_for_each(|log| folder(log, &Path::new(dir).join(log.name), seed, days as u32, rows as usize)),
        _ => {
            eprintln!("error: usage: samples DIR [SEED DAYS ROWS]");
            std::process::exit(2);
        }
    }
}

fn sample(log: &Log, dir: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(dir)?;
    std::fs::write(dir.join(format!("{}.{}", log.name, log.written.extension())), log.sample())
}

fn folder(log: &Log, dir: &Path, seed: u64, days: u32, rows: usize) -> std::io::Result<()> {
    std::fs::create_dir_all(dir)?;
    (0..days).try_for_each(|day| {
        let rows = if day + 1 == days { log.odd_day(seed, day, rows) } else { log.day(seed, day, rows) };
        std::fs::write(dir.join(format!("day{day}.{}", log.written.extension())), log.text(&rows))
    })
}
