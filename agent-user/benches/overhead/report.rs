//! The figures, and how they are printed.

use crate::{
    load::Load,
    rounds::{Amounts, Bench, Program, Sample, Whole},
    sensor::Sensor,
    stats::{Interval, bootstrap, median, signed_rank},
};
use serde::Serialize;
use std::collections::BTreeMap;

/// Everything that was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) amounts: Amounts,
    pub(crate) seed: u64,
    /// Of the machine, before and after: one minute's average of runnable tasks.
    pub(crate) load_average: [String; 2],
    pub(crate) left_out: BTreeMap<String, String>,
    pub(crate) costs: Vec<Cost>,
    pub(crate) ratios: Vec<Ratio>,
    pub(crate) whole: BTreeMap<Sensor, Whole>,
    pub(crate) programs: Vec<Program>,
    pub(crate) samples: Vec<Sample>,
}

/// One load under one sensor; microseconds of one action, of a build as a whole.
#[derive(Debug, Serialize)]
pub(crate) struct Cost {
    pub(crate) load: Load,
    pub(crate) sensor: Sensor,
    pub(crate) rounds: usize,
    pub(crate) wall_us: f64,
    pub(crate) cpu_us: f64,
    /// Of that the sensor's own processes.
    pub(crate) sensor_us: f64,
    pub(crate) machine_us: f64,
    /// Against no sensor, in pairs; absent for no sensor.
    pub(crate) added: Option<Added>,
}

/// What a sensor adds: medians of the differences, and of the ratios less one in percent.
#[derive(Debug, Serialize)]
pub(crate) struct Added {
    pub(crate) wall_us: Interval,
    pub(crate) cpu_us: Interval,
    pub(crate) wall_percent: Interval,
    pub(crate) cpu_percent: Interval,
    pub(crate) p_wall: f64,
    pub(crate) p_cpu: f64,
}

/// What Ebbline adds as a share of what another sensor adds.
#[derive(Debug, Serialize)]
pub(crate) struct Ratio {
    pub(crate) load: Load,
    pub(crate) of: Sensor,
    pub(crate) wall: Interval,
    pub(crate) cpu: Interval,
}

/// Per action, one value a round.
struct Series {
    wall: Vec<f64>,
    cpu: Vec<f64>,
    sensor: Vec<f64>,
    machine: Vec<f64>,
}

impl Series {
    fn of(bench: &Bench, load: Load, sensor: Sensor) -> Self {
        let samples = bench.samples.iter().filter(|sample| sample.load == load && sample.sensor == sensor);
        let samples: Vec<&Sample> = samples.collect();
        let count = bench.amounts.counts[&load] as f64;
        let all = |value: fn(&Sample) -> f64| samples.iter().map(|sample| value(sample) / count).collect();
        Self {
            wall: all(|sample| sample.wall_us),
            cpu: all(|sample| sample.load_us + sample.sensor_us),
            sensor: all(|sample| sample.sensor_us),
            machine: all(|sample| sample.machine_us),
        }
    }
}

/// The median of something of some rounds.
fn middle(rounds: &[usize], of: impl Fn(usize) -> f64) -> f64 {
    median(rounds.iter().map(|round| of(*round)))
}

impl Added {
    fn of(with: &Series, without: &Series) -> Self {
        let added = |with: &[f64], without: &[f64]| {
            bootstrap(with.len(), |rounds| middle(rounds, |round| with[round] - without[round]))
        };
        let percent = |with: &[f64], without: &[f64]| {
            bootstrap(with.len(), |rounds| middle(rounds, |round| (with[round] / without[round] - 1.0) * 100.0))
        };
        let p = |with: &[f64], without: &[f64]| {
            signed_rank(&with.iter().zip(without).map(|(with, without)| with - without).collect::<Vec<_>>())
        };
        Self {
            wall_us: added(&with.wall, &without.wall),
            cpu_us: added(&with.cpu, &without.cpu),
            wall_percent: percent(&with.wall, &without.wall),
            cpu_percent: percent(&with.cpu, &without.cpu),
            p_wall: p(&with.wall, &without.wall),
            p_cpu: p(&with.cpu, &without.cpu),
        }
    }
}

/// All costs, load by load.
pub(crate) fn costs(bench: &Bench) -> (Vec<Cost>, Vec<Ratio>) {
    let (mut costs, mut ratios) = (Vec::new(), Vec::new());
    let loads = bench.amounts.counts.keys().filter(|load| bench.samples.iter().any(|sample| sample.load == **load));
    for load in loads.copied() {
        let (none, ours) = (Series::of(bench, load, Sensor::None), Series::of(bench, load, Sensor::Ebbline));
        for sensor in bench.sensors.all() {
            let series = Series::of(bench, load, sensor);
            costs.push(Cost {
                load,
                sensor,
                rounds: series.wall.len(),
                wall_us: median(series.wall.iter().copied()),
                cpu_us: median(series.cpu.iter().copied()),
                sensor_us: median(series.sensor.iter().copied()),
                machine_us: median(series.machine.iter().copied()),
                added: (sensor != Sensor::None).then(|| Added::of(&series, &none)),
            });
            if matches!(sensor, Sensor::Auditd | Sensor::Bpftrace) {
                let ratio = |ours: &[f64], theirs: &[f64], none: &[f64]| {
                    let share = |rounds: &[usize]| {
                        let ours = middle(rounds, |round| ours[round] - none[round]);
                        ours / middle(rounds, |round| theirs[round] - none[round])
                    };
                    bootstrap(none.len(), share)
                };
                let wall = ratio(&ours.wall, &series.wall, &none.wall);
                let cpu = ratio(&ours.cpu, &series.cpu, &none.cpu);
                ratios.push(Ratio { load, of: sensor, wall, cpu });
            }
        }
    }
    (costs, ratios)
}

impl Report {
    pub(crate) fn print(&self) {
        for (load, count) in &self.amounts.counts {
            self.print_load(*load, *count);
        }
        println!("\nTargets");
        self.print_targets();
        println!("\nWhat each recorded, and lost by its own count; processor time from ready to ended");
        for (sensor, Whole { recorded, cpu_us }) in self.whole.iter().filter(|(sensor, _)| **sensor != Sensor::None) {
            let events: Vec<_> = recorded.events.iter().map(|(name, count)| format!("{name} {count}")).collect();
            let all: u64 = recorded.events.values().sum();
            let (cpu_s, each) = (cpu_us / 1e6, cpu_us / all.max(1) as f64);
            println!(
                "  {}: {all} records, {} lost, {cpu_s:.2} s, {each:.1} µs a record",
                sensor.words(),
                recorded.lost
            );
            println!("    {}", events.join(", "));
        }
        println!("\nEbbline's kernel programs in a turn of their own, timed by the kernel (the timing is in it)");
        for load in self.amounts.counts.keys() {
            let programs = self.programs.iter().filter(|program| program.load == *load);
            let all: f64 = programs.clone().map(|program| program.runs_per_action * program.ns_per_run).sum();
            println!("  {}: {:.2} µs an action", load.words(), all / 1000.0);
            for Program { name, runs_per_action, ns_per_run, .. } in programs {
                println!("    {name:<18} {runs_per_action:>9.2} runs, {ns_per_run:>7.0} ns each");
            }
        }
        for (sensor, why) in &self.left_out {
            println!("\nLEFT OUT: {sensor}: {why}");
        }
        println!("\nLoad average before and after: {}; seed {}", self.load_average.join(", "), self.seed);
    }

    fn print_load(&self, load: Load, count: usize) {
        let costs = self.costs.iter().filter(|cost| cost.load == load);
        let Some(rounds) = costs.clone().map(|cost| cost.rounds).max() else { return };
        let (unit, scale) = if load == Load::Build { ("milliseconds", 1000.0) } else { ("microseconds", 1.0) };
        println!("\n{}: {rounds} rounds of {count}; {unit} each, medians", load.words());
        println!("  sensor         wall      cpu  of it sensor  machine   added wall                added cpu");
        for Cost { sensor, wall_us, cpu_us, sensor_us, machine_us, added, .. } in costs {
            let added = added.as_ref().map(|added| match load {
                Load::Build => format!(
                    "{} % p {:.3}   {} % p {:.3}",
                    of(added.wall_percent, 2),
                    added.p_wall,
                    of(added.cpu_percent, 2),
                    added.p_cpu
                ),
                _ => format!(
                    "{} p {:.4}   {} p {:.4}",
                    of(added.wall_us, 1),
                    added.p_wall,
                    of(added.cpu_us, 1),
                    added.p_cpu
                ),
            });
            let (name, added) = (sensor.words(), added.unwrap_or_default());
            let [wall_us, cpu_us, sensor_us, machine_us] =
                [wall_us, cpu_us, sensor_us, machine_us].map(|us| us / scale);
            println!("  {name:<10} {wall_us:>8.1} {cpu_us:>8.1} {sensor_us:>13.1} {machine_us:>8.1}   {added}");
        }
        for Ratio { of: other, wall, cpu, .. } in self.ratios.iter().filter(|ratio| ratio.load == load) {
            println!("  Ebbline adds of what {} adds: wall {}, cpu {}", other.words(), of(*wall, 3), of(*cpu, 3));
        }
    }

    fn print_targets(&self) {
        let build = self.costs.iter().find(|cost| cost.load == Load::Build && cost.sensor == Sensor::Ebbline);
        if let Some(added) = build.and_then(|cost| cost.added.as_ref()) {
            let (wall, cpu) = (added.wall_percent, added.cpu_percent);
            println!("  under 1 % on the parallel build: wall {}, cpu {}", verdict(wall, 1.0), verdict(cpu, 1.0));
        }
        let short = [Load::Spawn, Load::Connect];
        for ratio in self.ratios.iter().filter(|ratio| ratio.of == Sensor::Auditd && short.contains(&ratio.load)) {
            let (wall, cpu) = (verdict(ratio.wall, 0.2), verdict(ratio.cpu, 0.2));
            println!("  a fifth of what auditd adds, {}: wall {wall}, cpu {cpu}", ratio.load.words());
        }
    }
}

fn of(Interval { low, middle, high }: Interval, digits: usize) -> String {
    format!("{middle:.digits$} [{low:.digits$}, {high:.digits$}]")
}

fn verdict(figure: Interval, target: f64) -> String {
    let word = match figure {
        Interval { high, .. } if high < target => "met",
        Interval { low, .. } if low >= target => "missed",
        Interval { middle, .. } if middle < target => "met, within the noise",
        _ => "missed, within the noise",
    };
    format!("{} {word}", of(figure, 2))
}
