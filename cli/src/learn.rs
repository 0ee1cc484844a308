//! `ebbline learn`.

use anyhow::{Result, bail};
use archive::LearnOptions;
use serde_json::json;

use crate::args::LearnArgs;
use crate::output::{print, print_json};
use crate::progress::Bar;
use crate::words::{plural, thousands, visible};

/// Learns and saves; true if inputs were skipped.
pub(crate) fn run(args: &LearnArgs) -> Result<bool> {
    check_out(args)?;
    crate::score::use_threads(args.reading.threads)?;
    let key = match &args.key_of {
        Some(path) => Some(crate::baseline::load(path)?.hash_key().clone()),
        None => None,
    };
    let originals: Vec<_> = args.onto.iter().filter_map(|path| crate::baseline::Original::of(path)).collect();
    let onto = args.onto.as_deref().map(|path| crate::baseline::current(path, crate::baseline::today())).transpose()?;
    let key = onto.as_ref().map(|onto| onto.hash_key().clone()).or(key);
    let given = crate::lenses::with_builtin(&args.lens)?;
    if let (Some(onto), Some(path)) = (&onto, &args.onto) {
        crate::lenses::check_onto(&args.lens, onto, path)?;
    }
    let lenses = match (&args.entities, &onto) {
        (None, _) => given,
        (Some(path), Some(onto)) => {
            crate::entities::check(onto, path)?;
            given
        }
        (Some(path), None) => crate::entities::given(given, path)?,
    };
    let bar = Bar::new();
    let (settings, filter) = (args.reading.option.clone(), args.reading.filter());
    let options = LearnOptions { strict: args.reading.strict, key, onto, lenses: Some(lenses), settings, filter };
    let learned = archive::learn(&args.reading.sources, &options, &bar)?;
    bar.done();
    crate::baseline::save(&learned.baseline, &args.out, &originals)?;
    let baseline = &learned.baseline;
    for lens in baseline.lenses().filter(|lens| lens.units().is_empty()) {
        eprintln!("{}", visible(&format!("warning: table {}: {}", lens.table(), model::lens_check::NO_UNITS)));
    }
    if args.reading.json {
        print_json(&json!({
            "baseline": args.out, "id": baseline.id(), "rows": learned.rows, "files": learned.files,
            "skipped": learned.skipped, "wall_seconds": learned.wall_seconds,
        }))?;
    } else {
        let bases: Vec<String> =
            baseline.snapshots().iter().map(|s| format!("{}: {}", s.lens.table(), s.calibration.basis)).collect();
        print(&format!(
            "learned {} from {} in {:.1} s ({} rows/s)\nbaseline {} in {}\n{}",
            plural(learned.rows, "row", "rows"),
            plural(learned.files as u64, "file", "files"),
            learned.wall_seconds,
            thousands((learned.rows as f64 / learned.wall_seconds.max(1e-9)) as u64),
            baseline.id(),
            args.out.display(),
            bases.join("\n"),
        ))?;
    }
    Ok(!learned.skipped.is_empty())
}

/// What would fail after an hour of learning fails before it.
fn check_out(args: &LearnArgs) -> Result<()> {
    let out = args.out.display();
    if args.out.is_dir() {
        bail!("cannot write: {out}: it is a folder; name a file");
    }
    let folder = args.out.parent().filter(|p| !p.as_os_str().is_empty());
    if folder.is_some_and(|folder| !folder.is_dir()) {
        bail!("cannot write: {out}: the folder above it does not exist; create it first");
    }
    Ok(())
}
