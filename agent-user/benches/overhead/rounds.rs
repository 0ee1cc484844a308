//! The measurements: rounds in which every sensor has its turn, in random order.

use crate::{
    agent::Agent,
    load::{Load, act},
    place::{Place, STOP, machine_us, wait_until},
    sensor::{Recorded, Sensor, Sensors, Watching},
    stats::Random,
};
use anyhow::{Result, ensure};
use aya::sys::{Stats, enable_stats};
use serde::Serialize;
use std::{collections::BTreeMap, sync::atomic::Ordering::Relaxed, thread::sleep, time::Duration};

/// A sensor has this long after a load to finish with what it saw; what it uses meanwhile counts.
const SETTLE: Duration = Duration::from_millis(400);

/// Programs that are started before anything is measured.
const WARM_UPS: usize = 10;
/// A sensor that uses less of a processor has nothing to do.
const IDLE: f64 = 0.05;

/// How much is done.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Amounts {
    pub(crate) rounds: usize,
    /// The first so many rounds have a build, too.
    pub(crate) build_rounds: usize,
    pub(crate) counts: BTreeMap<Load, usize>,
    /// Units of the project that is built.
    pub(crate) units: usize,
}

/// One load under one sensor in one round.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Sample {
    pub(crate) round: usize,
    pub(crate) load: Load,
    pub(crate) sensor: Sensor,
    pub(crate) wall_us: f64,
    /// Processor time of the load, and with it of the kernel on its behalf.
    pub(crate) load_us: f64,
    /// Processor time of the sensor's own processes.
    pub(crate) sensor_us: f64,
    /// Processor time of everything on the machine.
    pub(crate) machine_us: f64,
}

/// What a sensor did in all rounds.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Whole {
    pub(crate) recorded: Recorded,
    /// From when it was ready until it had ended, files closed.
    pub(crate) cpu_us: f64,
}

/// A kernel program of Ebbline's under one load.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Program {
    pub(crate) load: Load,
    pub(crate) name: String,
    pub(crate) runs_per_action: f64,
    pub(crate) ns_per_run: f64,
}

/// Where and what.
pub(crate) struct Bench<'a> {
    pub(crate) place: &'a Place,
    pub(crate) sensors: &'a Sensors,
    pub(crate) amounts: Amounts,
    pub(crate) samples: Vec<Sample>,
    pub(crate) whole: BTreeMap<Sensor, Whole>,
}

impl Bench<'_> {
    pub(crate) fn run(&mut self, seed: u64) -> Result<()> {
        let mut random = Random(seed);
        for round in 0..self.amounts.rounds {
            let mut order = self.sensors.all();
            random.shuffle(&mut order);
            let words: Vec<_> = order.iter().map(|sensor| sensor.words()).collect();
            eprintln!("round {} of {}: {}", round + 1, self.amounts.rounds, words.join(", "));
            for sensor in order {
                let mut loads: Vec<Load> = self.amounts.counts.keys().copied().collect();
                loads.retain(|load| *load != Load::Build || round < self.amounts.build_rounds);
                random.shuffle(&mut loads);
                self.turn(round, sensor, &loads)?;
            }
        }
        Ok(())
    }

    fn turn(&mut self, round: usize, sensor: Sensor, loads: &[Load]) -> Result<()> {
        let watching = self.sensors.start(sensor, self.place)?;
        self.warm_up(&watching)?;
        let ready = watching.used_us(self.place)?;
        for load in loads {
            self.samples.push(self.sample(round, sensor, &watching, *load)?);
        }
        let threads = watching.kernel_us();
        let recorded = watching.stop()?;
        let whole = self.whole.entry(sensor).or_default();
        whole.recorded.add(recorded);
        whole.cpu_us += crate::place::used_us(&self.place.sensor.0)? + threads - ready;
        Ok(())
    }

    /// What is done once for a program, as reading its image for a digest, is no cost of each time that it is started.
    fn warm_up(&self, watching: &Watching) -> Result<()> {
        act(self.place, Load::Spawn, WARM_UPS)?;
        let mut before = f64::NEG_INFINITY;
        wait_until("the sensor is idle", 20.0, || {
            sleep(SETTLE);
            let used = watching.used_us(self.place)?;
            Ok(used - std::mem::replace(&mut before, used) < IDLE * SETTLE.as_micros() as f64)
        })
    }

    fn sample(&self, round: usize, sensor: Sensor, watching: &Watching, load: Load) -> Result<Sample> {
        ensure!(!STOP.load(Relaxed), "stopped");
        let (machine, used) = (machine_us(), watching.used_us(self.place)?);
        let took = act(self.place, load, self.amounts.counts[&load])?;
        sleep(SETTLE);
        Ok(Sample {
            round,
            load,
            sensor,
            wall_us: took.wall_us,
            load_us: took.cpu_us,
            sensor_us: watching.used_us(self.place)? - used,
            machine_us: machine_us() - machine,
        })
    }

    /// Ebbline's kernel programs, timed by the kernel in a turn of their own: that costs time, too.
    pub(crate) fn programs(&self) -> Result<Vec<Program>> {
        let Watching::Ebbline(agent) = self.sensors.start(Sensor::Ebbline, self.place)? else { return Ok(Vec::new()) };
        let _stats = enable_stats(Stats::RunTime)?;
        let mut programs = Vec::new();
        for (load, count) in &self.amounts.counts {
            ensure!(!STOP.load(Relaxed), "stopped");
            let before = agent.programs()?;
            act(self.place, *load, *count)?;
            programs.extend(ran(&agent, &before)?.map(|(name, time, runs)| Program {
                load: *load,
                name,
                runs_per_action: runs / *count as f64,
                ns_per_run: time / runs,
            }));
        }
        agent.stop()?;
        Ok(programs)
    }
}

/// Programs that ran since then: time in ns, and how often.
fn ran(agent: &Agent, before: &BTreeMap<String, (u64, u64)>) -> Result<impl Iterator<Item = (String, f64, f64)>> {
    let since = agent.programs()?.into_iter().map(|(name, (time, runs))| {
        let (time_before, runs_before) = before.get(&name).copied().unwrap_or_default();
        (name, (time - time_before) as f64, (runs - runs_before) as f64)
    });
    Ok(since.filter(|(_, _, runs)| *runs > 0.0).collect::<Vec<_>>().into_iter())
}
