//! The agent's own use of the machine.

use serde::{Deserialize, Serialize};
use std::{
    fs::File,
    os::unix::fs::FileExt,
    sync::{Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

/// The kernel walks all pages to say it, a millisecond or two: it is not asked more often than this.
const PSS_AGE: Duration = Duration::from_secs(10);

/// What the agent uses at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// Memory in bytes.
    pub rss_bytes: u64,
    /// Memory in bytes, shared pages counted in part, at most ten seconds old; 0 if the kernel does not say.
    pub pss_bytes: u64,
    /// Processor time in seconds.
    pub cpu_s: f64,
}

impl Usage {
    /// Of two processes.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            rss_bytes: self.rss_bytes + other.rss_bytes,
            pss_bytes: self.pss_bytes + other.pss_bytes,
            cpu_s: self.cpu_s + other.cpu_s,
        }
    }

    /// Reads it from `/proc`; zeros if that fails.
    #[must_use]
    pub fn now() -> Self {
        let statm = text(files().0.as_ref());
        let pages: u64 = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
        let clock = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        let cpu_s = clock.tv_sec as f64 + clock.tv_nsec as f64 / 1e9;
        Self { rss_bytes: pages * rustix::param::page_size() as u64, pss_bytes: recent_pss_bytes(), cpu_s }
    }
}

/// Opens the files that say it, for when they cannot be opened any more.
pub fn prepare() {
    files();
    // These look into /proc when they are first asked.
    rustix::param::page_size();
    let _ = crate::kernel::utc_offset();
}

/// `statm` and `smaps_rollup`.
fn files() -> &'static (Option<File>, Option<File>) {
    static FILES: OnceLock<(Option<File>, Option<File>)> = OnceLock::new();
    let open = |name: &str| File::open(format!("/proc/self/{name}")).ok();
    FILES.get_or_init(|| (open("statm"), open("smaps_rollup")))
}

/// What such a file says now: read from its beginning, it is made anew.
fn text(file: Option<&File>) -> String {
    let mut bytes = [0; 4096];
    let read = file.and_then(|file| file.read_at(&mut bytes, 0).ok()).unwrap_or(0);
    String::from_utf8_lossy(&bytes[..read]).into_owned()
}

fn recent_pss_bytes() -> u64 {
    static LAST: Mutex<Option<(Instant, u64)>> = Mutex::new(None);
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    match *last {
        Some((at, pss)) if at.elapsed() < PSS_AGE => pss,
        _ => {
            let pss = pss_bytes(&text(files().1.as_ref()));
            *last = Some((Instant::now(), pss));
            pss
        }
    }
}

fn pss_bytes(rollup: &str) -> u64 {
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_or_nothing() {
        assert_eq!(
            pss_bytes("55-77 ---p 0 00:00 0 [rollup]\nRss:  9 kB\nPss:     1234 kB\nPss_Dirty: 1 kB\n"),
            1234 * 1024
        );
        assert_eq!(pss_bytes(""), 0);
        assert!(Usage::now().rss_bytes > 0);
    }
}
