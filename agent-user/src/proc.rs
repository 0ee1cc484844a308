//! What `/proc` says of processes that started before the agent, as it was read elsewhere ([`crate::facts`]).

use crate::lineage::Credentials;
use parse::{proc_files, proc_stat};
use std::sync::Arc;

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

impl Seen {
    /// From the link `exe` and the files `status` and `stat` of a process, if it is the one that started at `start`
    /// nanoseconds after boot: numbers are reused.
    #[must_use]
    pub fn read(exe: Option<&[u8]>, status: Option<&[u8]>, stat: &[u8], start: u64) -> Option<Self> {
        let stat = proc_stat::parse(stat).filter(|stat| stat.start_ticks == start / TICK)?;
        Some(Self {
            comm: stat.comm,
            exe: exe.map(exe_name),
            parent: stat.parent,
            session: stat.session,
            credentials: status.and_then(proc_files::status).map(Credentials::from).unwrap_or_default(),
        })
    }
}

/// Whether this is the file `stat` of a process that started at `start` nanoseconds after boot.
#[must_use]
pub fn started_at(stat: &[u8], start: u64) -> bool {
    proc_stat::parse(stat).is_some_and(|stat| stat.start_ticks == start / TICK)
}

/// The thread group that a thread is in, by its file `status`.
#[must_use]
pub fn leader(status: &[u8]) -> Option<u32> {
    let line = status.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"Tgid:"))?;
    str::from_utf8(line).ok()?.trim().parse().ok()
}

/// The file that a process runs, by its link `exe`.
#[must_use]
pub fn exe_name(link: &[u8]) -> Arc<str> {
    let path = String::from_utf8_lossy(link);
    let path = path.strip_suffix(" (deleted)").unwrap_or(&path);
    match path.strip_prefix("/memfd:") {
        Some(name) => format!("memfd:{name}").into(),
        None => path.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reused_number_is_not_taken_for_the_process() {
        let stat = std::fs::read("/proc/self/stat").unwrap();
        let start = proc_stat::parse(&stat).unwrap().start_ticks * TICK;
        assert_eq!(Seen::read(None, None, &stat, start).unwrap().session, proc_stat::parse(&stat).unwrap().session);
        assert_eq!(Seen::read(None, None, &stat, start + TICK), None);
        assert!(started_at(&stat, start + TICK - 1) && !started_at(&stat, 0));
    }

    #[test]
    fn images_and_leaders_by_what_the_kernel_writes() {
        assert_eq!(&*exe_name(b"/bin/sh (deleted)"), "/bin/sh");
        assert_eq!(&*exe_name(b"/memfd:x (deleted)"), "memfd:x");
        assert_eq!(leader(b"Name:\tx\nTgid:\t77\nPid:\t78\n"), Some(77));
        assert_eq!(leader(b""), None);
    }
}
