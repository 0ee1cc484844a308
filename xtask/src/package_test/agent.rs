//! The installed agent, started as its unit would start it.

use super::machine::Machine;
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// A loaded machine is slow; what takes longer than this hangs.
const PATIENCE: Duration = Duration::from_secs(100);
const UNIT: &str = "lib/systemd/system/ebbline-agent.service";
/// What the agent notifies, as it sees it.
const NOTIFY: &str = "/run/notify";

pub(super) struct Agent<'a> {
    machine: &'a Machine,
    child: Child,
    notify: UnixDatagram,
}

impl<'a> Agent<'a> {
    /// Starts it with the unit's rights, and waits until it says that it is ready.
    pub(super) fn start(machine: &'a Machine) -> Result<Self> {
        let unit = std::fs::read_to_string(machine.at(UNIT))?;
        for check in values(&unit, "ExecStartPre") {
            machine.says(&words(&check))?;
        }
        // What RuntimeDirectory= gives.
        let _ = std::fs::create_dir(machine.at("run/ebbline"));
        let path = machine.at(NOTIFY);
        let _ = std::fs::remove_file(&path);
        let notify = UnixDatagram::bind(&path).context("cannot listen as systemd would")?;
        notify.set_read_timeout(Some(Duration::from_secs(1)))?;
        let capabilities: Vec<String> =
            values(&unit, "CapabilityBoundingSet").iter().flat_map(|line| words(line)).map(lower).collect();
        ensure!(!capabilities.is_empty(), "the unit bounds no capabilities");
        let bound = format!("-all,+{}", capabilities.join(",+"));
        let start = values(&unit, "ExecStart").pop().context("the unit starts nothing")?;
        let line = [&["setpriv", "--no-new-privs", "--bounding-set", &bound, "--"], words(&start).as_slice()].concat();
        let child = machine.command(&line).env("NOTIFY_SOCKET", NOTIFY).spawn().context("chroot")?;
        let mut agent = Self { machine, child, notify };
        agent.hear("READY=1")?;
        agent.hear("WATCHDOG=1")?;
        Ok(agent)
    }

    /// Waits until the agent notifies this.
    fn hear(&mut self, what: &str) -> Result<()> {
        let asked = Instant::now();
        let mut text = [0; 256];
        while asked.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait()? {
                bail!("the agent ended with {status}; its message is above");
            }
            match self.notify.recv(&mut text) {
                Ok(size) if text[..size].split(|byte| *byte == b'\n').any(|line| line == what.as_bytes()) => {
                    return Ok(());
                }
                _ => {}
            }
        }
        bail!("the agent did not say {what} in {PATIENCE:?}")
    }

    /// The status that anybody on the machine gets with the command.
    pub(super) fn status(&self) -> Result<Value> {
        Ok(serde_json::from_str(&self.machine.says(&["ebbline-agent", "status", "--json"])?)?)
    }

    /// Waits until so many execs were received.
    pub(super) fn wait_for_execs(&self, execs: u64) -> Result<()> {
        let asked = Instant::now();
        loop {
            let status = self.status()?;
            if status["events"]["exec"]["received"].as_u64() >= Some(execs) {
                return Ok(());
            }
            ensure!(asked.elapsed() < PATIENCE, "too few execs: {status}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    pub(super) fn stop(mut self) -> Result<()> {
        let killed = Command::new("kill").arg("-TERM").arg(self.child.id().to_string()).status()?;
        ensure!(killed.success(), "kill ended with {killed}");
        let asked = Instant::now();
        while asked.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait()? {
                ensure!(status.success(), "the agent ended with {status}");
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        bail!("the agent did not end in {PATIENCE:?}")
    }
}

impl Drop for Agent<'_> {
    fn drop(&mut self) {
        // Already ended after `stop`; on any other way out it must not stay behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Values of a key of the unit, in order.
fn values(unit: &str, key: &str) -> Vec<String> {
    unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('=')).map(str::to_owned).collect()
}

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

/// `CAP_BPF` as setpriv has it.
fn lower(name: &str) -> String {
    name.trim_start_matches("CAP_").to_lowercase()
}
