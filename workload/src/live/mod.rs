//! The live workload: sets the stage, starts the services, and keeps the jobs going until time is up.

mod jobs;
mod oddities;
pub(crate) mod roles;
mod spawn;
mod stage;
mod story;

use anyhow::Context;
use stage::Stage;
use std::path::Path;
use std::time::{Duration, Instant};
pub(crate) use story::Part;

/// The fewest rounds of jobs, and acts beside them, that make a baseline worth learning.
const ROUNDS: u64 = 150;
/// The same of two hosts at once, for a line that lies further out.
const ROUNDS_OF_TWO: u64 = 350;
const ACTS: usize = 20;

/// What `run` was asked for.
pub(crate) struct Order<'a> {
    /// Folder for programs, scripts and scratch files.
    pub(crate) dir: &'a Path,
    /// Cgroup that the jobs enter.
    pub(crate) cgroup: Option<&'a Path>,
    /// How long to work.
    pub(crate) time: Duration,
    /// Mix in new first-evers and unusual things.
    pub(crate) oddities: bool,
    /// The other host of a story, which this one can reach.
    pub(crate) peer: Option<&'a str>,
    /// Play this host's part of the story.
    pub(crate) story: Option<story::Part>,
    /// Where to write what was done.
    pub(crate) plan: Option<&'a Path>,
}

/// Runs services and jobs.
pub(crate) fn run(order: &Order<'_>) -> anyhow::Result<()> {
    let Order { time, plan, peer, story, .. } = *order;
    let oddities = order.oddities || story.is_some();
    let stage = Stage::set(order.dir, order.cgroup)?;
    let services = jobs::Services::start(&stage, peer.is_some())?;
    // A slow machine gets longer, so that there is as much to learn as on a fast one.
    let (end, patience) = (Instant::now() + time, Instant::now() + time * 4);
    let least = if peer.is_some() && !oddities { ROUNDS_OF_TWO } else { ROUNDS };
    let enough = |rounds: u64, acts: usize| rounds >= least && acts >= ACTS;
    let mut acts: Box<dyn Iterator<Item = oddities::Act>> = match story {
        Some(part) => Box::new(story::acts(part, peer.unwrap_or("127.0.0.1")).into_iter()),
        None if oddities => Box::new(oddities::all().into_iter()),
        None => Box::new((0..1000).map(oddities::first_ever)),
    };
    // About one a second; with oddities, done well before the end, so that ordinary work surrounds every one of them.
    let pause = if oddities { time.mul_f64(0.8 / 30.0) } else { Duration::from_millis(900) };
    let (mut done, mut next_act) = (Vec::new(), Instant::now() + pause);
    for round in 0.. {
        let now = Instant::now();
        if now >= patience || now >= end && enough(round, done.len()) {
            break;
        }
        jobs::round(&stage, round, peer.is_some())?;
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
    drop(services);
    if let Some(plan) = plan {
        let text = serde_json::to_string_pretty(&done)?;
        std::fs::write(plan, text).with_context(|| format!("cannot write {}", plan.display()))?;
    }
    Ok(())
}
