//! The agent that is measured, and the cgroups made for it. Shared by the benchmarks of the live sensor.

use anyhow::{Context, Result, ensure};
use aya::programs::loaded_programs;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    time::Duration,
};

/// A cgroup that goes at the end.
pub(crate) struct Cgroup(pub(crate) PathBuf);

impl Cgroup {
    pub(crate) fn new(name: &str) -> Result<Self> {
        let mount = ebbline_agent_user::kernel::cgroup2_mount()?;
        let path = mount.join(format!("ebbline-{name}-{}", std::process::id()));
        fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // Busy for a moment after its last process.
        for _ in 0..200 {
            if fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        eprintln!("left behind: {}", self.0.display());
    }
}

/// The program that is measured.
pub(crate) const AGENT: &str = env!("CARGO_BIN_EXE_ebbline-agent");

/// A running agent.
pub(crate) struct Agent {
    child: Child,
    lines: Receiver<Value>,
    first: Value,
}

/// What an agent did between its first word and its last.
pub(crate) struct Told {
    /// Events by type: produced, and lost for any reason.
    pub(crate) events: BTreeMap<String, (u64, u64)>,
    /// Processor time in seconds.
    pub(crate) cpu_s: f64,
}

impl Told {
    pub(crate) fn lost(&self) -> u64 {
        self.events.values().map(|(_, lost)| lost).sum()
    }
}

impl Agent {
    /// By a command that only lacks the agent's arguments.
    pub(crate) fn start(mut command: Command, cgroup: &Path, folder: &Path) -> Result<Self> {
        let archive = folder.join("archive");
        let _ = fs::remove_dir_all(&archive);
        let mut child = command
            .args([
                "run",
                "--json",
                "--host",
                "bench",
                "--config",
                "none",
                "--status-socket",
                "none",
                "--rate-limit",
                "0",
                "--archive",
            ])
            .arg(archive)
            .arg("--cgroup")
            .arg(cgroup)
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the agent")?;
        let output = BufReader::new(child.stdout.take().context("no output")?);
        let (send, lines) = channel();
        std::thread::spawn(move || {
            let lines = output.lines().map_while(Result::ok);
            lines.filter_map(|line| serde_json::from_str(&line).ok()).for_each(|line| drop(send.send(line)));
        });
        let mut agent = Self { child, lines, first: Value::Null };
        // The first word says that it is ready, the second what it used until then.
        agent.next()?;
        agent.first = agent.next()?;
        Ok(agent)
    }

    fn next(&self) -> Result<Value> {
        self.lines.recv_timeout(Duration::from_secs(60)).context("the agent says nothing")
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end; returns its books.
    pub(crate) fn stop(mut self) -> Result<Told> {
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        ensure!(self.child.wait()?.success(), "the agent failed");
        let last = self.lines.iter().last().context("the agent said nothing")?;
        let events = last["events"].as_object().context("no events")?.iter().map(|(kind, event)| {
            let lost = event["dropped"].as_object().into_iter().flatten().filter_map(|(_, count)| count.as_u64()).sum();
            (kind.clone(), (event["produced"].as_u64().unwrap_or(0), lost))
        });
        let cpu = |line: &Value| line["self"]["cpu_s"].as_f64().unwrap_or(0.0);
        Ok(Told { events: events.collect(), cpu_s: cpu(&last) - cpu(&self.first) })
    }

    /// What the kernel says of each descriptor of the agent, by name.
    pub(crate) fn descriptors(&self) -> Result<Vec<BTreeMap<String, u64>>> {
        let mut all = Vec::new();
        for entry in fs::read_dir(format!("/proc/{}/fdinfo", self.pid()))?.flatten() {
            let text = fs::read_to_string(entry.path()).unwrap_or_default();
            let fields = text.lines().filter_map(|line| line.split_once(':'));
            all.push(fields.filter_map(|(name, value)| Some((name.into(), value.trim().parse().ok()?))).collect());
        }
        Ok(all)
    }

    /// Time and number of runs of each of its programs, by name.
    pub(crate) fn programs(&self) -> Result<BTreeMap<String, (u64, u64)>> {
        let mut names = BTreeMap::new();
        for program in loaded_programs().flatten() {
            names.insert(u64::from(program.id()), String::from_utf8_lossy(program.name()).into_owned());
        }
        let mut programs = BTreeMap::new();
        for of in self.descriptors()? {
            if let (Some(id), Some(time), Some(count)) = (of.get("prog_id"), of.get("run_time_ns"), of.get("run_cnt")) {
                programs.insert(names.get(id).cloned().unwrap_or_else(|| id.to_string()), (*time, *count));
            }
        }
        Ok(programs)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // Ended already after `stop`.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
