//! What watching costs the watched, beside auditd and bpftrace: `cargo xtask overhead-bench`. Needs root.
//!
//! Copies of this program act as a user of their own in a cgroup of their own; every sensor is limited to one of the two.

#![allow(missing_docs)] // nobody uses it but cargo

#[path = "../common/agent.rs"]
mod agent;
mod auditd;
mod bpftrace;
mod load;
mod peer;
mod place;
mod project;
mod report;
mod rounds;
mod sensor;
mod smoke;
mod stats;

use anyhow::{Result, ensure};
use clap::Parser;
use load::Load;
use place::{Place, STOP};
use report::Report;
use rounds::{Amounts, Bench};
use sensor::Sensors;
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::atomic::Ordering::Relaxed,
    time::{SystemTime, UNIX_EPOCH},
};
use tokio::signal::unix::{SignalKind, signal};

/// What watching costs the watched, beside auditd and bpftrace.
#[derive(Parser)]
#[command(name = "cargo xtask overhead-bench")]
struct Args {
    /// Rounds of spawns, connections and datagrams
    #[arg(long, value_name = "N", default_value_t = 15)]
    rounds: usize,
    /// How many of them have a parallel build, too
    #[arg(long, value_name = "N", default_value_t = 7)]
    build_rounds: usize,
    /// Three rounds, a build in each
    #[arg(long)]
    quick: bool,
    /// For the order; by default the time
    #[arg(long)]
    seed: Option<u64>,
    /// As one JSON object, every sample in it
    #[arg(long)]
    json: bool,
    /// Write the JSON object to a file, too
    #[arg(long, value_name = "FILE")]
    out: Option<std::path::PathBuf>,
    /// That this is meant: `cargo bench` without a name runs every benchmark, and this one captures live
    #[arg(long, hide = true)]
    capture: bool,
    #[arg(long, hide = true)]
    bench: bool,
}

impl Args {
    fn amounts(&self) -> Amounts {
        let (rounds, build_rounds) = if self.quick { (3, 3) } else { (self.rounds, self.build_rounds) };
        let counts = [400, 3000, 20_000, 20_000, 1];
        let loads = Load::SHORT.into_iter().chain([Load::Build]);
        Amounts { rounds, build_rounds, counts: loads.zip(counts).collect(), units: 120 }
    }
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == "act") {
        return load::play(&arguments[1..]);
    }
    let is = |name: &str| arguments.iter().any(|argument| argument == name);
    match (is("--capture"), is("--bench")) {
        (false, false) => smoke::run(&arguments),
        (false, true) => {
            println!("overhead: left out; `cargo xtask overhead-bench` runs it");
            Ok(())
        }
        (true, _) => bench(&Args::parse()),
    }
}

fn bench(args: &Args) -> Result<()> {
    let missing = ebbline_agent_user::kernel::missing_rights();
    ensure!(missing.is_empty(), "live capture is not possible: {} missing", missing.join(", "));
    ensure!(rustix::process::geteuid().is_root(), "the load runs as a user of its own: that takes root");
    stop_on_signals()?;
    let report = measure(args.amounts(), args.seed.unwrap_or_else(now), true)?;
    if let Some(file) = &args.out {
        fs::write(file, serde_json::to_string_pretty(&report)?)?;
    }
    if args.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        report.print();
    }
    Ok(())
}

/// Everything, in a folder and in cgroups that go at the end.
fn measure(mut amounts: Amounts, seed: u64, peers: bool) -> Result<Report> {
    let folder = tempfile::tempdir()?;
    // The load's user has to come through.
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
    let place = Place::new(folder.path())?;
    load::install(folder.path())?;
    let mut left_out = std::collections::BTreeMap::new();
    match project::missing() {
        Some(why) => {
            amounts.counts.remove(&Load::Build);
            left_out.insert(Load::Build.words().to_owned(), why);
        }
        None => project::write(&project::folder(folder.path()), amounts.units, place.user)?,
    }
    let sensors = if peers { Sensors::find(&place) } else { Sensors::default() };
    left_out.extend(sensors.left_out.iter().map(|(sensor, why)| (sensor.words().to_owned(), why.clone())));
    for (what, why) in &left_out {
        eprintln!("LEFT OUT: {what}: {why}");
    }
    let before = load_average();
    let (samples, whole) = <_>::default();
    let mut bench = Bench { place: &place, sensors: &sensors, amounts, samples, whole };
    bench.run(seed)?;
    let programs = bench.programs()?;
    let (costs, ratios) = report::costs(&bench);
    let Bench { amounts, samples, whole, .. } = bench;
    let load_average = [before, load_average()];
    Ok(Report { amounts, seed, load_average, left_out, costs, ratios, whole, programs, samples })
}

/// Asked to stop, it goes the way of an error, on which everything is undone.
fn stop_on_signals() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let guard = runtime.enter();
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    drop(guard);
    std::thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! { _ = interrupt.recv() => {} _ = terminate.recv() => {} }
        });
        STOP.store(true, Relaxed);
        eprintln!("stopping");
        // Asked again, still nothing but undoing.
        runtime.block_on(std::future::pending::<()>());
    });
    Ok(())
}

fn load_average() -> String {
    let text = peer::text(Path::new("/proc/loadavg"));
    text.split(' ').next().unwrap_or_default().to_owned()
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
