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
    let mut done = Vec::new();
    let mut special = if oddities { oddities::all() } else { Vec::new() }.into_iter();
    // Spread over the first three quarters, so that ordinary work surrounds every one of them.
    let pause = time.mul_f64(0.75) / (special.len().max(1) as u32);
    let mut next_special = Instant::now() + Duration::from_secs(1);
    for round in 0.. {
        if Instant::now() >= end {
            break;
        }
        jobs::round(&stage, round)?;
        if Instant::now() >= next_special
            && let Some(act) = special.next()
        {
            next_special = Instant::now() + pause;
            done.push(act.perform(&stage, &services)?);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    for act in special {
        done.push(act.perform(&stage, &services)?);
    }
    services.stop();
    if let Some(plan) = plan {
        let text = serde_json::to_string_pretty(&done)?;
        std::fs::write(plan, text).with_context(|| format!("cannot write {}", plan.display()))?;
    }
    Ok(())
}
