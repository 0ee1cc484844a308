//! Results that are there already.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use bench::Report;

/// The longest text that is taken for a result; a long one has some 100 KB.
const BYTES_MAX: u64 = 16 << 20;

/// Reads a result, to do something with it that the line of an error names.
pub(super) fn load(what: &str, path: &Path) -> Result<Report> {
    let what = || format!("cannot {what}: {}", path.display());
    let mut text = String::new();
    let file = File::open(path).with_context(what)?;
    let read = file.take(BYTES_MAX + 1).read_to_string(&mut text).with_context(what)?;
    if read as u64 > BYTES_MAX {
        return Err(anyhow!("it is longer than {} MiB, so no report of `ebbline bench`", BYTES_MAX >> 20))
            .with_context(what);
    }
    Report::parse(&text).with_context(what)
}
