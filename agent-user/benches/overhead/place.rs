//! Where things run, and what they use: a cgroup each for the load and the sensor, a user of the load's own.

use crate::agent::Cgroup;
use anyhow::{Context, Result, anyhow, bail};
use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Child, Command},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::{Duration, Instant},
};

/// The first id that is tried for the load's user.
const FIRST_USER: u32 = 64_321;

/// Somebody asked to stop; what was begun is still undone.
pub(crate) static STOP: AtomicBool = AtomicBool::new(false);

/// The load's cgroup and user, the sensor's cgroup, and a folder.
pub(crate) struct Place {
    pub(crate) load: Cgroup,
    pub(crate) sensor: Cgroup,
    pub(crate) user: u32,
    pub(crate) folder: PathBuf,
}

impl Place {
    pub(crate) fn new(folder: &Path) -> Result<Self> {
        Ok(Self {
            load: Cgroup::new("load")?,
            sensor: Cgroup::new("sensor")?,
            user: unused_user()?,
            folder: folder.into(),
        })
    }

    /// A program of the load's user in the load's cgroup, which ends with this one.
    pub(crate) fn load(&self, program: &Path) -> Command {
        let mut command = inside(&self.load);
        let user = self.user.to_string();
        command.args(["--clear-groups", "--reuid", &user, "--regid", &user, "--"]).arg(program);
        command
    }

    /// A program in the sensor's cgroup, which ends with this one.
    pub(crate) fn sensor(&self, program: &Path) -> Command {
        let mut command = inside(&self.sensor);
        command.arg("--").arg(program);
        command
    }
}

fn inside(cgroup: &Cgroup) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", "echo 0 > \"$0/cgroup.procs\" && exec setpriv --pdeathsig TERM \"$@\""]).arg(&cgroup.0);
    command
}

/// A user id that no account and no process has: rules limited to it see nobody else.
fn unused_user() -> Result<u32> {
    let accounts = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let taken = |id: u32| {
        let named = accounts.lines().any(|line| line.split(':').nth(2) == Some(&id.to_string()));
        let mut entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        named || entries.any(|entry| entry.metadata().is_ok_and(|meta| meta.uid() == id))
    };
    (FIRST_USER..FIRST_USER + 100).find(|id| !taken(*id)).ok_or_else(|| anyhow!("no unused user id"))
}

/// Processor time of a cgroup in microseconds, of processes that ended too.
pub(crate) fn used_us(cgroup: &Path) -> Result<f64> {
    let path = cgroup.join("cpu.stat");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let usage = text.lines().find_map(|line| line.strip_prefix("usage_usec "));
    usage.and_then(|usage| usage.parse().ok()).ok_or_else(|| anyhow!("{}: no usage_usec", path.display()))
}

/// Processor time of the kernel's thread for audit records in microseconds: it is in nobody's cgroup.
pub(crate) fn kauditd_us() -> f64 {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten().map(|entry| entry.path());
    let is = |path: &PathBuf| fs::read(path.join("comm")).is_ok_and(|comm| comm == b"kauditd\n");
    let text = entries.filter(is).find_map(|path| fs::read_to_string(path.join("schedstat")).ok());
    text.and_then(|text| text.split(' ').next()?.parse::<f64>().ok()).unwrap_or(0.0) / 1000.0
}

/// Time that the processors of the machine were not idle in microseconds, to a hundredth of a second.
pub(crate) fn machine_us() -> f64 {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields = text.lines().next().unwrap_or_default().split_whitespace().skip(1);
    let ticks: Vec<f64> = fields.filter_map(|field| field.parse().ok()).collect();
    // User, nice, system, interrupts and soft interrupts; guests are in user already.
    [0, 1, 2, 5, 6].iter().filter_map(|field| ticks.get(*field)).sum::<f64>() * 10_000.0
}

/// Waits until something holds, at most so long, and not when somebody asked to stop.
pub(crate) fn wait_until(what: &str, seconds: f64, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
    let start = Instant::now();
    while !holds()? {
        if STOP.load(Relaxed) {
            bail!("stopped");
        }
        if start.elapsed().as_secs_f64() > seconds {
            bail!("{what}: not within {seconds} s");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// A process that ends with its owner.
pub(crate) struct Owned(pub(crate) Child);

impl Drop for Owned {
    fn drop(&mut self) {
        // Ended already when all went well.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
