//! What the demo prints: counters, the findings, and how the unusual compares with ordinary first-evers.

use crate::demo::Folders;
use crate::shell::program;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// One line per event type: how many the kernel produced, how many rows were written, how many were lost and why.
pub(crate) fn books(last: &Value) {
    println!("\n   event      produced   written   dropped");
    for (event, counts) in last["events"].as_object().into_iter().flatten() {
        let dropped: u64 = counts["dropped"].as_object().into_iter().flatten().filter_map(|(_, n)| n.as_u64()).sum();
        let count = |name: &str| counts[name].as_u64().unwrap_or(0);
        println!("   {event:<9} {:>9} {:>9} {dropped:>9}", count("produced"), count("written"));
    }
    println!("   backend: {}", last["backend"].as_str().unwrap_or("none"));
}

/// The findings, and where each thing the workload did on purpose came out.
pub(crate) fn print(folders: &Folders, plan: &Path) -> Result<()> {
    println!("\nFindings\n");
    let status = Command::new(program("ebbline")).arg("show").arg(&folders.scores).args(["--limit", "10"]).status()?;
    ensure!(status.success(), "`ebbline show` ended with {status}");
    let output =
        Command::new(program("ebbline")).arg("show").arg(&folders.scores).args(["--json", "--all"]).output()?;
    let shown: Value = serde_json::from_slice(&output.stdout).context("`ebbline show --json`")?;
    let findings = shown["findings"].as_array().context("`ebbline show --json` has no findings")?;
    let plan: Vec<Value> = serde_json::from_slice(&std::fs::read(plan)?).context("plan")?;
    let ranked: Vec<(usize, &Value)> = plan
        .iter()
        .filter_map(|act| findings.iter().position(|finding| is_of(finding, act)).map(|at| (at + 1, act)))
        .collect();
    let ranks = |kind: &str| {
        let mut ranks: Vec<usize> = ranked.iter().filter(|(_, act)| act["kind"] == kind).map(|(at, _)| *at).collect();
        ranks.sort_unstable();
        ranks.dedup();
        ranks
    };
    let planned = |kind: &str| plan.iter().filter(|act| act["kind"] == kind).count();
    let (unusual, first) = (ranks("unusual"), ranks("first-ever"));
    println!("\n{} unusual things were done, in findings ranked {unusual:?}.", planned("unusual"));
    println!(
        "{} ordinary first-evers were done; {} came over the line, ranked {first:?}.",
        planned("first-ever"),
        first.len()
    );
    for act in plan.iter().filter(|act| act["kind"] == "unusual") {
        let found = ranked.iter().any(|(_, other)| other["label"] == act["label"]);
        ensure!(found, "not found: {}", act["label"]);
    }
    if let (Some(last_unusual), Some(first_ordinary)) = (unusual.last(), first.first()) {
        ensure!(last_unusual < first_ordinary, "an ordinary first-ever ranks above something unusual");
        println!("Every unusual thing ranks above every ordinary first-ever.");
    }
    Ok(())
}

/// True when the finding's unit is the process tree the act ran in: a key ends in the root's pid.
fn is_of(finding: &Value, act: &Value) -> bool {
    let (Some(key), Some(pid)) = (finding["unit_key"].as_str(), act["pid"].as_u64()) else { return false };
    key.len() == 32 && u64::from_str_radix(&key[24..], 16).is_ok_and(|tgid| tgid == pid)
}
