//! `ebbline score`.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, bail};
use archive::{BackendWish, ScoreOptions};
use model::{Baseline, Budget, Line, Stage};
use serde_json::{Value, json};

use crate::args::ScoreArgs;
use crate::output::{print, print_json};
use crate::progress::Bar;
use crate::words::{one_in, plural, thousands};

/// Scores; true if inputs were skipped.
pub(crate) fn run(args: &ScoreArgs) -> Result<bool> {
    use_threads(args.reading.threads)?;
    let baselines = load(args)?;
    let options = ScoreOptions {
        backend: BackendWish::for_files(args.backend, args.adapter.clone(), args.batch_rows).kept_for_user(),
        line: args.rarer_than.map_or(Line::AlertsPerDay(args.alerts_per_day), Line::RarerThan),
        threads: args.reading.threads.unwrap_or(0),
        strict: args.reading.strict,
        settings: args.reading.option.clone(),
        filter: args.reading.filter(),
        sidecars: true,
    };
    let bar = Bar::with_findings(options.line);
    archive::Progress::stage(&bar, "scoring");
    let all: Vec<&Baseline> = baselines.iter().collect();
    let scored = archive::score_all(&args.reading.sources, &all, &args.out, &options, &bar)?;
    bar.done();
    for (baseline, scored) in baselines.iter().zip(&scored) {
        if let Some(warning) = out_of_reach(baseline, scored.run.rarer_than) {
            eprintln!("warning: {warning}");
        }
    }
    if args.reading.json {
        let mut all: Vec<Value> =
            scored.iter().map(|scored| json!({ "run": scored.run, "findings_file": scored.findings_file })).collect();
        print_json(&if all.len() == 1 { all.swap_remove(0) } else { json!({ "runs": all }) })?;
    } else {
        let several = scored.len() > 1;
        let texts: Vec<String> = scored.iter().zip(&args.baseline).map(|(s, b)| summary(&s.run, b, several)).collect();
        print(&format!("{}see them with: ebbline show {}", texts.concat(), args.out.display()))?;
    }
    Ok(scored.iter().any(|scored| !scored.run.inputs_skipped.is_empty()))
}

/// The baselines, each once.
fn load(args: &ScoreArgs) -> Result<Vec<Baseline>> {
    let mut baselines: Vec<Baseline> = Vec::with_capacity(args.baseline.len());
    for path in &args.baseline {
        let baseline = crate::baseline::current(path, args.as_of.unwrap_or_else(crate::baseline::today))?;
        if let Some(entities) = &args.entities {
            crate::entities::check(&baseline, entities)?;
        }
        if baselines.iter().any(|known| known.id() == baseline.id()) {
            bail!("cannot score: {}: the same baseline was given before", path.display());
        }
        baselines.push(baseline);
    }
    Ok(baselines)
}

/// A run in words, with a line end.
fn summary(run: &store::Run, baseline: &Path, several: bool) -> String {
    let skipped = match run.inputs_skipped.len() as u64 {
        0 => String::new(),
        n => format!(", {} skipped", plural(n, "input", "inputs")),
    };
    let by = if several { format!("{}: ", baseline.display()) } else { String::new() };
    format!(
        "{by}scored {} of {} in {:.1} s ({} rows/s) on {}{skipped}\n{} rarer than 1 in {}; {}\n{}",
        plural(run.rows, "row", "rows"),
        plural(run.inputs_done.len() as u64, "file", "files"),
        run.wall_seconds,
        thousands((run.rows as f64 / run.wall_seconds.max(1e-9)) as u64),
        run.device,
        plural(run.findings, "finding", "findings"),
        thousands(run.rarer_than as u64),
        promise(run, run.last_7_days, "finding"),
        learning(&run.hosts),
    )
}

/// `false alerts expected: 5.0 a day; last 7 days: 12 findings`.
pub(crate) fn promise(run: &store::Run, last_7_days: Option<u64>, what: &str) -> String {
    let expected = expected(run.expected_per_day, false);
    format!("{}{}", expected.trim_start_matches("; "), last_days(last_7_days, what))
}

/// `; false alerts expected: 5.0 a day`, of findings, or at most so many of what they are joined to.
pub(crate) fn expected(per_day: Option<f64>, at_most: bool) -> String {
    let Some(n) = per_day else { return "; not known how many false alerts are expected".to_owned() };
    let at_most = if at_most { "at most " } else { "" };
    format!("; false alerts expected: {at_most}{} a day", terminal::expected(n))
}

/// `; last 7 days: 12 findings`.
pub(crate) fn last_days(found: Option<u64>, what: &str) -> String {
    found.map_or_else(String::new, |n| format!("; last 7 days: {}", plural(n, what, &format!("{what}s"))))
}

/// Hosts named in a line; of more only how many.
const NAMED: usize = 5;

/// A line for people on hosts that are not settled, or nothing.
pub(crate) fn learning(hosts: &[store::HostState]) -> String {
    let young: Vec<&store::HostState> =
        hosts.iter().filter(|host| Stage::of(host.days as usize) != Stage::Settled).collect();
    if young.is_empty() {
        return String::new();
    }
    let named: Vec<String> =
        young.iter().take(NAMED).map(|host| format!("{} {}", host.host, host.state.replace("learning ", ""))).collect();
    let more = match young.len().saturating_sub(NAMED) {
        0 => String::new(),
        n => format!(" and {} more", thousands(n as u64)),
    };
    format!("learning: {}{more}\n", named.join(", "))
}

/// Said when no unit of some kind can be a finding: its calibration saw too few units to call any so rare.
fn out_of_reach(baseline: &Baseline, rarer_than: f64) -> Option<String> {
    let budget = Budget::new(baseline, &BTreeSet::new(), Line::RarerThan(rarer_than));
    let below = budget.out_of_reach(baseline).into_iter();
    let below: Vec<String> =
        below.map(|(kind, most)| format!("no {kind} can be rarer than {}", one_in(f32::from(most) / 1024.0))).collect();
    let line = thousands(rarer_than as u64);
    (!below.is_empty()).then(|| {
        format!(
            "the line of 1 in {line} is out of reach: {}; learn from more, or ask for more alerts a day",
            below.join(", ")
        )
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
