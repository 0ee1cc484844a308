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
<<<<<<< HEAD:agent-user/benches/sensor/agent.rs

    /// Bytes of its maps beside the rings: those that are there once, and those for each processor.
    pub(crate) fn maps(&self) -> Result<(u64, u64)> {
        const PER_CPU: [u64; 3] = [5, 6, 10];
        const RING: u64 = 27;
        let (mut once, mut each) = (0, 0);
        let mut seen = std::collections::BTreeSet::new();
        for of in self.descriptors()? {
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
        Some(Self::pss_of(loader)? + started.filter_map(Self::pss_of).sum::<u64>())
    }

    fn pss_of(pid: u32) -> Option<u64> {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
        Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
    }
=======
>>>>>>> light:agent-user/benches/common/agent.rs
}

impl Drop for Agent {
    fn drop(&mut self) {
        // Ended already after `stop`.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
