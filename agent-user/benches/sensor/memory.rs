//! What the agent holds in memory.

use crate::agent::Agent;
use anyhow::Result;
use std::{collections::BTreeSet, fs};

/// Bytes of its maps beside the rings: those that are there once, and those for each processor.
pub(crate) fn maps(agent: &Agent) -> Result<(u64, u64)> {
    const PER_CPU: [u64; 3] = [5, 6, 10];
    const RING: u64 = 27;
    let (mut once, mut each) = (0, 0);
    let mut seen = BTreeSet::new();
    for of in agent.descriptors()? {
        let (Some(kind), Some(id), Some(bytes)) = (of.get("map_type"), of.get("map_id"), of.get("memlock")) else {
            continue;
        };
        match seen.insert(*id) && *kind != RING {
            true if PER_CPU.contains(kind) => each += bytes,
            true => once += bytes,
            false => {}
        }
    }
    Ok((once, each))
}

/// Memory in bytes of a loader and the processes it started, shared pages counted in part.
pub(crate) fn pss(loader: u32) -> Option<u64> {
    let line = format!("PPid:\t{loader}");
    let all = fs::read_dir("/proc").ok()?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let status = |pid: u32| fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let started = all.filter(|pid| status(*pid).lines().any(|own| own == line));
    Some(of(loader)? + started.filter_map(of).sum::<u64>())
}

fn of(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}
