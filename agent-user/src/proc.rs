//! What `/proc` says of processes that started before the agent.

use crate::lineage::Credentials;
use parse::{proc_files, proc_stat};
use std::{
    fs,
    io::{self, Read},
    sync::Arc,
};

/// A process as `/proc` shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// Task name.
    pub comm: String,
    /// The file it runs, if it may be read.
    pub exe: Option<Arc<str>>,
    /// Its parent's thread group id.
    pub parent: u32,
    /// Session id.
    pub session: u32,
    /// Whom it acts as.
    pub credentials: Credentials,
}

/// Clock ticks of `/proc` in nanoseconds: `USER_HZ` is 100 on every architecture the agent runs on.
const TICK: u64 = 10_000_000;

/// Looks a process up, and makes sure that it is the one that started at `start` nanoseconds after boot: numbers are reused.
#[must_use]
pub fn look_up(tgid: u32, start: u64) -> Option<Seen> {
    let exe = exe(tgid);
    let status = fs::read(format!("/proc/{tgid}/status")).ok().and_then(|file| proc_files::status(&file));
    // Asked last, so that what was read is the process's.
    let stat = proc_stat::parse(&fs::read(format!("/proc/{tgid}/stat")).ok()?)?;
    (stat.start_ticks == start / TICK).then_some(Seen {
        comm: stat.comm,
        exe,
        parent: stat.parent,
        session: stat.session,
        credentials: status.map(Credentials::from).unwrap_or_default(),
    })
}

/// The arguments of the process that started at `start` nanoseconds after boot, each ended by NUL: at most as many bytes
/// as a record holds, and how many there are.
#[must_use]
pub fn arguments(tgid: u32, start: u64) -> Option<(Vec<u8>, u32)> {
    let mut arguments = Vec::new();
    let mut file = fs::File::open(format!("/proc/{tgid}/cmdline")).ok()?;
    file.by_ref().take(events::ARGS_MAX as u64).read_to_end(&mut arguments).ok()?;
    let more = io::copy(&mut file, &mut io::sink()).ok()?;
    // Asked last, so that what was read is the process's.
    let stat = proc_stat::parse(&fs::read(format!("/proc/{tgid}/stat")).ok()?)?;
    let len = arguments.len() as u64 + more;
    (stat.start_ticks == start / TICK).then_some((arguments, len as u32))
}

/// The thread group that a thread is in.
#[must_use]
pub fn leader(tid: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{tid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("Tgid:"))?.trim().parse().ok()
}

/// Whether a process numbers others as the agent does; not so if nobody can tell.
#[must_use]
pub fn same_numbers(tgid: u32) -> bool {
    let space = |name: &str| fs::read_link(format!("/proc/{name}/ns/pid")).ok();
    let other = space(&tgid.to_string());
    other.is_some() && other == space("self")
}

/// The file that a process runs.
#[must_use]
pub fn exe(tgid: u32) -> Option<Arc<str>> {
    let path = fs::read_link(format!("/proc/{tgid}/exe")).ok()?;
    let path = path.to_string_lossy();
    let path = path.strip_suffix(" (deleted)").unwrap_or(&path);
    Some(match path.strip_prefix("/memfd:") {
        Some(name) => format!("memfd:{name}").into(),
        None => path.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reused_number_is_not_taken_for_the_process() {
        assert_eq!(look_up(std::process::id(), 0), None);
    }
}
