//! The figures, and how they are printed.

use crate::{load::Kind, measure::LARGE};
use serde::Serialize;
use std::collections::BTreeMap;

/// Everything that was measured.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    pub(crate) sustained: Vec<Sustained>,
    pub(crate) overhead: Vec<Overhead>,
    pub(crate) memory: Memory,
}

/// The highest rate without a loss, and what it cost.
#[derive(Debug, Serialize)]
pub(crate) struct Sustained {
    pub(crate) kind: Kind,
    /// The load could not do more; the sensor may.
    pub(crate) limited_by_load: bool,
    pub(crate) actions_per_s: f64,
    pub(crate) events_per_s: f64,
    pub(crate) lost: u64,
    pub(crate) agent_us_per_event: f64,
    /// All programs of the agent on the whole machine, the timing itself included.
    pub(crate) kernel_ns_per_event: f64,
    pub(crate) programs: Vec<Program>,
    /// By type: produced, lost.
    pub(crate) events: BTreeMap<String, (u64, u64)>,
}

/// One kernel program in that run.
#[derive(Debug, Serialize)]
pub(crate) struct Program {
    pub(crate) name: String,
    pub(crate) runs: u64,
    pub(crate) ns_per_run: f64,
}

impl Program {
    pub(crate) fn of((name, (time, runs)): (String, (u64, u64))) -> Option<Self> {
        (runs > 0).then(|| Self { name, runs, ns_per_run: time as f64 / runs as f64 })
    }
}

/// Microseconds of one action, with and without the agent.
#[derive(Debug, Serialize)]
pub(crate) struct Overhead {
    pub(crate) kind: Kind,
    pub(crate) pairs: usize,
    pub(crate) min_us: (f64, f64),
    pub(crate) median_us: (f64, f64),
    /// Median of the differences of pairs.
    pub(crate) added_us: f64,
}

impl Overhead {
    /// From nanoseconds.
    pub(crate) fn of(kind: Kind, with: &[f64], without: &[f64]) -> Self {
        let sorted = |values: &mut Vec<f64>| values.sort_by(f64::total_cmp);
        let median = |mut values: Vec<f64>| {
            sorted(&mut values);
            values.get(values.len() / 2).copied().unwrap_or(f64::NAN) / 1000.0
        };
        let min = |values: &[f64]| values.iter().copied().fold(f64::INFINITY, f64::min) / 1000.0;
        Self {
            kind,
            pairs: with.len(),
            min_us: (min(with), min(without)),
            median_us: (median(with.to_vec()), median(without.to_vec())),
            added_us: median(with.iter().zip(without).map(|(with, without)| with - without).collect()),
        }
    }
}

/// Bytes.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Memory {
    pub(crate) processors: u32,
    pub(crate) pss_idle: u64,
    pub(crate) pss_flood: u64,
    pub(crate) rings: u64,
    pub(crate) maps: u64,
    /// Computed for a large machine.
    pub(crate) rings_large: u64,
    pub(crate) maps_large: u64,
}

impl Report {
    pub(crate) fn print(&self) {
        println!("Highest rate without a loss");
        for of in &self.sustained {
            let limit = if of.limited_by_load { ", all that the load could do" } else { "" };
            println!(
                "\n  {:?}: {:.0} events/s ({:.0} actions/s{limit}), {} lost",
                of.kind, of.events_per_s, of.actions_per_s, of.lost
            );
            println!("    agent {:.2} µs of processor time an event", of.agent_us_per_event);
            println!("    kernel {:.0} ns an event, all programs together", of.kernel_ns_per_event);
            for program in &of.programs {
                println!("      {:<18} {:>9} runs {:>7.0} ns each", program.name, program.runs, program.ns_per_run);
            }
            let events: Vec<_> = of.events.iter().map(|(kind, (count, _))| format!("{kind} {count}")).collect();
            println!("    {}", events.join(", "));
        }
        println!("\nWhat one action takes, in µs: with the agent, without it\n");
        for of in &self.overhead {
            let ((min, min_without), (median, median_without)) = (of.min_us, of.median_us);
            println!(
                "  {:?}: least {min:.1}, {min_without:.1}; median {median:.1}, {median_without:.1}; added {:.1} (median of {} pairs)",
                of.kind, of.added_us, of.pairs
            );
        }
        self.memory.print();
    }
}

impl Memory {
    fn print(&self) {
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let here = format!("{} processors", self.processors);
        println!("\nMemory in MiB               {here:>16}   {LARGE} processors, computed");
        // The agent maps the rings, so that they are in its memory already.
        println!("  agent with rings (PSS)    {:>16.1}", mib(self.pss_idle));
        println!("  the same, in a flood      {:>16.1}", mib(self.pss_flood));
        println!("  of it rings               {:>16.1}   {:>8.1}", mib(self.rings), mib(self.rings_large));
        println!("  other maps                {:>16.1}   {:>8.1}", mib(self.maps), mib(self.maps_large));
    }
}
