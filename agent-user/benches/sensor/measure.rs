//! The measurements.

use crate::{
    agent::{AGENT, Agent, Cgroup, Told},
    load::{Amount, Done, Kind, act},
    memory,
    report::{Memory, Overhead, Program, Sustained},
};
use anyhow::Result;
use aya::sys::{Stats, enable_stats};
use ebbline_agent_user::load::RingSizes;
use std::{
    path::PathBuf,
    process::Command,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Duration,
};

/// Halvings of the interval that holds the highest rate.
const HALVINGS: usize = 3;
/// Processors of the machine that memory is computed for.
pub(crate) const LARGE: u32 = 128;

/// Where it happens.
pub(crate) struct Bench {
    pub(crate) cgroup: Cgroup,
    pub(crate) folder: PathBuf,
    pub(crate) seconds: f64,
}

/// One run at one rate.
struct Step {
    rate: u64,
    done: Done,
    told: Told,
}

impl Step {
    /// Nothing was lost.
    fn whole(&self) -> bool {
        self.told.lost() == 0
    }

    /// The load did what it was asked for.
    fn kept_up(&self) -> bool {
        self.done.rate() > 0.9 * self.rate as f64
    }
}

impl Bench {
    fn agent(&self) -> Result<Agent> {
        Agent::start(Command::new(AGENT), &self.cgroup.0, &self.folder)
    }

    fn amount(&self, rate: u64) -> Amount {
        Amount { rate, seconds: self.seconds, most: u64::MAX, threads: processors().into() }
    }

    fn step(&self, kind: Kind, rate: u64) -> Result<Step> {
        let agent = self.agent()?;
        let done = act(&self.cgroup.0, &self.folder, kind, self.amount(rate))?;
        let step = Step { rate, done, told: agent.stop()? };
        eprintln!("{kind:?} at {rate}/s: did {:.0}/s, lost {}", step.done.rate(), step.told.lost());
        Ok(step)
    }

    /// The highest rate without a loss: doubled until something is lost or the load cannot do more, then halved in.
    pub(crate) fn sustained(&self, kind: Kind) -> Result<Sustained> {
        let mut good = if kind == Kind::Exec { 500 } else { 10_000 };
        let mut bad = None;
        let mut limited = false;
        while bad.is_none() && !limited {
            let step = self.step(kind, good * 2)?;
            match (step.whole(), step.kept_up()) {
                (true, true) => good *= 2,
                (true, false) => (good, limited) = (step.done.rate() as u64, true),
                (false, _) => bad = Some(step.done.rate().min(step.rate as f64) as u64),
            }
        }
        for _ in 0..HALVINGS {
            let Some(high) = bad.filter(|high| *high > good) else { break };
            let step = self.step(kind, good.midpoint(high))?;
            if step.whole() { good = step.rate } else { bad = Some(step.rate) }
        }
        self.measured(kind, good, limited)
    }

    /// One more run at this rate, with the kernel timing the programs.
    fn measured(&self, kind: Kind, rate: u64, limited: bool) -> Result<Sustained> {
        let agent = self.agent()?;
        let stats = enable_stats(Stats::RunTime)?;
        let done = act(&self.cgroup.0, &self.folder, kind, self.amount(rate))?;
        let programs = agent.programs()?;
        drop(stats);
        let told = agent.stop()?;
        let events: u64 = told.events.values().map(|(produced, _)| produced).sum();
        Ok(Sustained {
            kind,
            limited_by_load: limited,
            actions_per_s: done.rate(),
            events_per_s: events as f64 / done.seconds,
            lost: told.lost(),
            agent_us_per_event: told.cpu_s * 1e6 / events as f64,
            kernel_ns_per_event: programs.values().map(|(time, _)| *time).sum::<u64>() as f64 / events as f64,
            programs: programs.into_iter().filter_map(Program::of).collect(),
            events: told.events.into_iter().filter(|(_, (produced, _))| *produced > 0).collect(),
        })
    }

    /// What one action takes with and without the agent, in pairs of runs, each first by turns.
    pub(crate) fn overhead(&self, kind: Kind, pairs: usize) -> Result<Overhead> {
        let most = if kind == Kind::Exec { 500 } else { 3000 };
        let amount = Amount { rate: 0, seconds: 60.0, most, threads: 1 };
        let run = || act(&self.cgroup.0, &self.folder, kind, amount).map(Done::ns_each);
        let (mut with, mut without) = (Vec::new(), Vec::new());
        for pair in 0..pairs {
            if pair % 2 == 0 {
                without.push(run()?);
            }
            let agent = self.agent()?;
            with.push(run()?);
            agent.stop()?;
            if pair % 2 == 1 {
                without.push(run()?);
            }
        }
        Ok(Overhead::of(kind, &with, &without))
    }

    /// Memory in a flood of connects, and what a large machine takes.
    pub(crate) fn memory(&self) -> Result<Memory> {
        let agent = self.agent()?;
        let (idle, pid, over) = (memory::pss(agent.pid()).unwrap_or(0), agent.pid(), AtomicBool::new(false));
        let flood = std::thread::scope(|scope| {
            let most = scope.spawn(|| {
                let mut most = 0;
                while !over.load(Relaxed) {
                    most = most.max(memory::pss(pid).unwrap_or(0));
                    std::thread::sleep(Duration::from_millis(100));
                }
                most
            });
            let acted = act(&self.cgroup.0, &self.folder, Kind::Connect, self.amount(0));
            over.store(true, Relaxed);
            acted.map(|_| most.join().unwrap_or(0))
        })?;
        let (maps_once, maps_each) = memory::maps(&agent)?;
        agent.stop()?;
        let here = processors();
        let scaled = maps_each / u64::from(possible_processors()) * u64::from(LARGE);
        Ok(Memory {
            processors: here,
            pss_idle: idle,
            pss_flood: flood,
            rings: RingSizes::for_processors(here).total(),
            rings_large: RingSizes::for_processors(LARGE).total(),
            maps: maps_once + maps_each,
            maps_large: maps_once + scaled,
        })
    }
}

fn processors() -> u32 {
    std::thread::available_parallelism().map_or(1, |count| count.get() as u32)
}

/// Processors that maps have room for.
fn possible_processors() -> u32 {
    let text = std::fs::read_to_string("/sys/devices/system/cpu/possible").unwrap_or_default();
    text.trim().rsplit(['-', ',']).next().and_then(|last| last.parse().ok()).map_or(1, |last: u32| last + 1)
}
