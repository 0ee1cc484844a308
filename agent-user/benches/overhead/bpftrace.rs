//! A bpftrace script that prints the events of the load's cgroup to a file.

use crate::{
    peer::{find, text, with_libraries},
    place::{Owned, Place, wait_until},
    sensor::Recorded,
};
use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

const SCRIPT: &str = include_str!("trace.bt");
/// It knows one place of the kernel's tracing files; where they are not mounted, it sees a mount of its own.
const MOUNTED: &str =
    "[ -d /sys/kernel/debug/tracing/events ] || mount -t debugfs debugfs /sys/kernel/debug; exec \"$@\"";
/// Attaching takes the kernel seconds on a busy machine.
const PATIENCE_S: f64 = 60.0;
/// Looks at it between two requests to end: two seconds.
const ASK_EVERY: u32 = 100;

/// Where it is.
pub(crate) struct Bpftrace(PathBuf);

/// A running script.
pub(crate) struct Running {
    process: Owned,
    lines: PathBuf,
    errors: PathBuf,
}

impl Bpftrace {
    pub(crate) fn new() -> Result<Self> {
        find("bpftrace").map(Self).context("not installed")
    }

    pub(crate) fn start(&self, place: &Place) -> Result<Running> {
        let [script, lines, errors] = ["trace.bt", "trace.out", "trace.err"].map(|name| place.folder.join(name));
        fs::write(&script, SCRIPT.replace("CGROUP", &place.load.0.to_string_lossy()))?;
        let mut command = place.sensor(Path::new("unshare"));
        with_libraries(&mut command, &self.0);
        command.args(["--mount", "--propagation", "private", "sh", "-c", MOUNTED, "sh"]).arg(&self.0);
        command.args(["-B", "full"]).arg(&script).stdin(Stdio::null());
        let process = command.stdout(fs::File::create(&lines)?).stderr(fs::File::create(&errors)?).spawn()?;
        let mut running = Running { process: Owned(process), lines, errors };
        running.wait_for_events(place)?;
        Ok(running)
    }
}

impl Running {
    /// Nothing says that all is attached but events: what it prints comes in blocks, so a few programs are started.
    fn wait_for_events(&mut self, place: &Place) -> Result<()> {
        let (lines, errors, process) = (self.lines.clone(), self.errors.clone(), &mut self.process.0);
        wait_until("bpftrace sees events", PATIENCE_S, || {
            if process.try_wait()?.is_some() {
                bail!("{}", text(&errors).trim().lines().last().unwrap_or("it ended"));
            }
            for _ in 0..10 {
                ensure!(poke(place).status()?.success(), "/bin/true failed");
            }
            Ok(text(&lines).contains("\nexec "))
        })
    }

    /// Ends it; says what it printed.
    pub(crate) fn stop(mut self) -> Result<Recorded> {
        // A signal that comes at a bad moment is forgotten: it is asked until it goes.
        let mut asked = 0;
        wait_until("bpftrace ends", PATIENCE_S, || {
            let ended = self.process.0.try_wait()?.is_some();
            if !ended && asked % ASK_EVERY == 0 {
                kill_process(Pid::from_child(&self.process.0), Signal::INT)?;
            }
            asked += 1;
            Ok(ended)
        })?;
        let lost = text(&self.lines) + &text(&self.errors);
        let lost = lost.lines().filter_map(|line| line.strip_prefix("Lost ")?.split(' ').next()?.parse::<u64>().ok());
        let mut events = BTreeMap::new();
        for line in text(&self.lines).lines() {
            // Arguments may go over several lines: an event has its time second.
            if let [name, time, ..] = line.splitn(3, ' ').collect::<Vec<_>>()[..]
                && time.parse::<u64>().is_ok()
                && name.starts_with(|c: char| c.is_ascii_lowercase())
            {
                *events.entry(name.to_owned()).or_default() += 1;
            }
        }
        Ok(Recorded { events, lost: lost.sum(), own_cpu_s: None })
    }
}

fn poke(place: &Place) -> Command {
    place.load(Path::new("/bin/true"))
}
