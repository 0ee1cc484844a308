//! What `cargo test` runs of it: one small round, so that it does not rot. No peers: auditing changes the machine.

use crate::{load::Load, measure, rounds::Amounts, sensor::Sensor};
use anyhow::{Result, ensure};

const NAME: &str = "one_small_round_measures_every_load_and_loses_nothing";

/// As a test harness would: with a name, it runs if its own holds it.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let mut names = arguments.iter().filter(|argument| !argument.starts_with('-')).peekable();
    if arguments.iter().any(|argument| argument == "--list") {
        println!("{NAME}: test");
        return Ok(());
    }
    if names.peek().is_some() && !names.any(|name| NAME.contains(name.as_str())) {
        return Ok(());
    }
    if let Some(why) = impossible() {
        ensure!(std::env::var("CI").as_deref() != Ok("true"), "{NAME} cannot run: {why}");
        println!("SKIPPED: {NAME}: {why}");
        return Ok(());
    }
    one_small_round_measures_every_load_and_loses_nothing()?;
    println!("test {NAME} ... ok");
    Ok(())
}

fn impossible() -> Option<String> {
    let missing = ebbline_agent_user::kernel::missing_rights();
    if !missing.is_empty() || !rustix::process::geteuid().is_root() {
        return Some(format!("rights missing: root, {}", missing.join(", ")));
    }
    ebbline_agent_user::kernel::cgroup2_mount().err().map(|error| error.to_string())
}

fn one_small_round_measures_every_load_and_loses_nothing() -> Result<()> {
    let counts = [(Load::Spawn, 20), (Load::Connect, 30), (Load::Send, 40), (Load::SendTo, 50), (Load::Build, 1)];
    let amounts = Amounts { rounds: 1, build_rounds: 1, counts: counts.into(), units: 2 };
    let report = measure(amounts, 1, false)?;
    let built = usize::from(report.left_out.is_empty());
    ensure!(report.costs.len() == 2 * (4 + built), "{} costs", report.costs.len());
    for cost in &report.costs {
        ensure!(cost.wall_us > 0.0 && cost.cpu_us > 0.0, "nothing measured: {cost:?}");
    }
    let recorded = &report.whole[&Sensor::Ebbline].recorded;
    for (kind, least) in [("exec", 20), ("exit", 20), ("connect", 30), ("accept", 30)] {
        let count = recorded.events.get(kind).copied().unwrap_or(0);
        ensure!(count >= least, "{count} times {kind}, but it happened {least} times at least");
    }
    ensure!(recorded.lost == 0, "{} lost", recorded.lost);
    ensure!(report.programs.iter().any(|program| program.load == Load::Spawn), "no program was timed");
    Ok(())
}
