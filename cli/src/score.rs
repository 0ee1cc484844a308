//! `ebbline score`.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail};
use archive::ScoreOptions;
use model::Baseline;
use serde_json::json;

use crate::args::ScoreArgs;
use crate::output::{print, print_json};
use crate::progress::Bar;
use crate::words::{one_in, plural, thousands};

/// Scores; true if inputs were skipped.
pub(crate) fn run(args: &ScoreArgs) -> Result<bool> {
    use_threads(args.threads)?;
    let baseline = crate::baseline::load(&args.baseline)?;
    let options = ScoreOptions {
        choice: args.backend,
        adapter: args.adapter.clone(),
        rarer_than: args.rarer_than,
        threads: args.threads.unwrap_or(0),
        strict: args.strict,
    };
    if let Some(warning) = out_of_reach(&baseline, args.rarer_than) {
        eprintln!("warning: {warning}");
    }
    let bar = Bar::new();
    archive::Progress::stage(&bar, "scoring");
    let scored = archive::score(&args.sources, &baseline, &args.out, &options, &bar)?;
    bar.done();
    let run = &scored.run;
    if args.json {
        print_json(&json!({ "run": run, "findings_file": scored.findings_file }))?;
    } else {
        let skipped = match run.inputs_skipped.len() as u64 {
            0 => String::new(),
            n => format!(", {} skipped", plural(n, "input", "inputs")),
        };
        print(&format!(
            "scored {} of {} in {:.1} s ({} rows/s) on {}{skipped}\n{} rarer than 1 in {}; see them with: ebbline show {}",
            plural(run.rows, "row", "rows"),
            plural(run.inputs_done.len() as u64, "file", "files"),
            run.wall_seconds,
            thousands((run.rows as f64 / run.wall_seconds.max(1e-9)) as u64),
            run.device,
            plural(run.findings, "finding", "findings"),
            thousands(run.rarer_than as u64),
            args.out.display(),
        ))?;
    }
    Ok(!run.inputs_skipped.is_empty())
}

/// Said when no unit of some kind can be a finding: its calibration saw too few units to call any so rare.
fn out_of_reach(baseline: &Baseline, rarer_than: f64) -> Option<String> {
    let units = baseline.snapshots().iter().flat_map(|snapshot| snapshot.lens.units());
    let kinds: BTreeSet<&str> = units.map(|unit| unit.kind.as_str()).collect();
    let below = |kind: &str| {
        let rarest = f32::from(*baseline.unit_calibration(kind)?.last()?) / 1024.0;
        let most = one_in(rarest);
        (f64::from(rarest) < rarer_than.log2()).then(|| format!("no {kind} can be rarer than {most}"))
    };
    let below: Vec<String> = kinds.into_iter().filter_map(below).collect();
    let line = thousands(rarer_than as u64);
    (!below.is_empty()).then(|| {
        format!("the line of 1 in {line} is out of reach: {}; learn from more, or lower --rarer-than", below.join(", "))
    })
}

/// Sizes the pool of threads that scoring and learning share.
pub(crate) fn use_threads(threads: Option<usize>) -> Result<()> {
    match threads {
        None => Ok(()),
        Some(n @ 1..=1024) => {
            rayon::ThreadPoolBuilder::new().num_threads(n).build_global().context("cannot use threads")
        }
        Some(n) => bail!("cannot use threads: --threads {n}: use 1 to 1024"),
    }
}
