//! Writes an archive of generated rows: `cargo run -p ebbline-tests --example generate -- DIR SEED ROWS HOSTS DAYS`.

use std::path::Path;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| args.get(at).and_then(|arg| arg.parse::<u64>().ok());
    let (Some(dir), Some(seed), Some(rows), Some(hosts), Some(days)) =
        (args.first(), number(1), number(2), number(3), number(4))
    else {
        eprintln!("error: usage: generate DIR SEED ROWS HOSTS DAYS");
        std::process::exit(2);
    };
    let parts = workload::columns::archive(seed, rows, hosts as u32, days as u32);
    ebbline_tests::write_archive(Path::new(dir), parts);
}
