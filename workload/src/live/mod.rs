//! The live workload: sets the stage, starts the services, and keeps the jobs going until time is up.

mod jobs;
mod oddities;
pub(crate) mod roles;
mod stage;

use anyhow::Context;
use stage::Stage;
use std::path::Path;
use std::time::{Duration, Instant};

/// Runs services and jobs for `time`; with `oddities`, mixes in first-evers and unusual things and writes `plan`.
pub(crate) fn run(dir: &Path, time: Duration, oddities: bool, plan: Option<&Path>) -> anyhow::Result<()> {
    let stage = Stage::set(dir)?;
    let mut services = jobs::Services::start(&stage)?;
    let end = Instant::now() + time;
    let mut acts: Box<dyn Iterator<Item = oddities::Act>> =
        if oddities { Box::new(oddities::all().into_iter()) } else { Box::new((0..1000).map(oddities::first_ever)) };
    // About one a second; with oddities, done well before the end, so that ordinary work surrounds every one of them.
    let pause = if oddities { time.mul_f64(0.8 / 27.0) } else { Duration::from_millis(900) };
    let (mut done, mut next_act) = (Vec::new(), Instant::now() + pause);
    for round in 0.. {
        if Instant::now() >= end {
            break;
        }
        jobs::round(&stage, round)?;
        if Instant::now() >= next_act
            && let Some(act) = acts.next()
        {
            next_act += pause;
            done.push(act.perform(&stage, &services)?);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    if oddities {
        for act in acts {
            done.push(act.perform(&stage, &services)?);
        }
    }
    services.stop();
    if let Some(plan) = plan {
        let text = serde_json::to_string_pretty(&done)?;
        std::fs::write(plan, text).with_context(|| format!("cannot write {}", plan.display()))?;
    }
    Ok(())
}
