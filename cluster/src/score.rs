//! `ebbline-cluster submit score`.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use archive::{Choice, Progress, ScoreOptions};
use model::{Baseline, Line};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::args::{Reading, ScoreArgs};
use crate::executor::{host_and_port, tag};
use crate::job::Cluster;
use crate::work::{FilterText, Run, Step};

/// What a run says to people.
pub(crate) struct Lines;

impl Progress for Lines {
    fn skipped(&self, path: &str, reason: &str) {
        eprintln!("skipped {path}: {reason}");
    }

    fn passed_over(&self, text: &str) {
        eprintln!("{text}");
    }

    fn note(&self, text: &str) {
        eprintln!("{text}");
    }
}

/// Scores; true if inputs were skipped.
pub(crate) fn run(args: &ScoreArgs, runtime: &Runtime) -> Result<bool> {
    let reading = &args.reading;
    host_and_port(&reading.scheduler)?;
    let baselines = load(&args.baseline)?;
    let options = ScoreOptions {
        backend: Choice::Cpu.into(), // for the words of findings; what scores is the executors' choice
        line: args.rarer_than.map_or(Line::AlertsPerDay(args.alerts_per_day), Line::RarerThan),
        strict: reading.strict,
        settings: reading.option.clone(),
        filter: reading.filter(),
        ..ScoreOptions::default()
    };
    let named = args.baseline.iter().zip(&baselines);
    let named = named.map(|(path, baseline)| Ok((absolute(path)?, baseline.id().to_owned())));
    let run = new_run(Step::Score(named.collect::<Result<_>>()?), absolute(&args.out)?, reading)?;
    let (run, scheduler) = (Arc::new(run), reading.scheduler.as_str());
    let cluster = Cluster { scheduler, run, at_a_time: usize::from(reading.at_a_time), runtime };
    let all: Vec<&Baseline> = baselines.iter().collect();
    let scored = archive::score_by(Some(&cluster), &reading.sources, &all, &args.out, &options, &Lines)?;
    if reading.json {
        let mut all: Vec<Value> =
            scored.iter().map(|scored| json!({ "run": scored.run, "findings_file": scored.findings_file })).collect();
        println!("{:#}", if all.len() == 1 { all.swap_remove(0) } else { json!({ "runs": all }) });
    } else {
        for (store::Run { rows, inputs_done, wall_seconds, device, findings, .. }, baseline) in
            scored.iter().map(|scored| &scored.run).zip(&args.baseline)
        {
            let (files, baseline) = (inputs_done.len(), baseline.display());
            println!(
                "{baseline}: scored {rows} rows of {files} files in {wall_seconds:.1} s on {device}; {findings} findings"
            );
        }
        println!("see them with: ebbline show {}", args.out.display());
    }
    Ok(scored.iter().any(|scored| !scored.run.inputs_skipped.is_empty()))
}

/// A run that no executor has heard of.
pub(crate) fn new_run(step: Step, out: PathBuf, reading: &Reading) -> Result<Run> {
    let (filter, settings) = (FilterText::of(&reading.filter()), reading.option.clone());
    Ok(Run { id: tag().context("cannot start: the system's randomness")?, step, out, filter, settings })
}

pub(crate) fn absolute(path: &std::path::Path) -> Result<PathBuf> {
    std::path::absolute(path).with_context(|| format!("cannot use: {}", path.display()))
}

/// The baselines, each once.
fn load(paths: &[PathBuf]) -> Result<Vec<Baseline>> {
    let mut baselines: Vec<Baseline> = Vec::with_capacity(paths.len());
    for path in paths {
        let baseline = Baseline::load(path)?;
        let today = model::segment::day_of(store::utc_now());
        if let Some(over) = baseline.dismissals().iter().find(|dismissal| !dismissal.counts_on(today)) {
            let (path, incident) = (path.display(), &over.said.incident);
            bail!(
                "cannot score: {path}: its dismissal of incident {incident} is over; write it without what is over: \
                 ebbline baseline compile {path} --out {path}"
            );
        }
        if baselines.iter().any(|known| known.id() == baseline.id()) {
            bail!("cannot score: {}: the same baseline was given before", path.display());
        }
        baselines.push(baseline);
    }
    Ok(baselines)
}
