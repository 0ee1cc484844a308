//! `cargo xtask demo`: the whole path on this machine's own kernel, in under two minutes after the build.

use crate::demo_report as report;
use crate::shell::{program, root, run as run_loudly};
use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Build everything, watch real kernel events of ordinary work, learn them, and show what stands out.
#[derive(Args)]
pub(crate) struct DemoArgs {
    /// How long to watch ordinary work before learning it.
    #[arg(long, default_value_t = 25, value_name = "SECONDS")]
    learn: u64,
    /// How long to watch while scoring.
    #[arg(long, default_value_t = 25, value_name = "SECONDS")]
    live: u64,
    /// Where everything goes; made anew each time.
    #[arg(long, default_value_os_t = std::env::temp_dir().join("ebbline-demo"))]
    dir: PathBuf,
    /// Do not capture: learn and score the recording in tests/data.
    #[arg(long, conflicts_with = "must_capture")]
    replay: bool,
    /// Fail where live capture is not possible, instead of replaying.
    #[arg(long)]
    must_capture: bool,
}

/// Units rarer than 1 in this many are shown: low, so that ordinary first-evers show up beside the unusual.
pub(crate) const RARER_THAN: &str = "32";

pub(crate) fn run(args: DemoArgs) -> Result<()> {
    run_loudly(&["cargo", "build", "--quiet", "--locked", "--bins", "--workspace"])?;
    let start = Instant::now();
    let folders = Folders::make(&args.dir)?;
    let missing = if args.replay { Some("asked to replay".to_owned()) } else { cannot_capture() };
    let (archive, plan) = match missing {
        Some(why) if args.must_capture => bail!("no live capture: {why}"),
        Some(why) => {
            println!("No live capture ({why}): replaying the recording in tests/data/recording.");
            replay(&folders)?
        }
        None => (folders.live.clone(), live(&args, &folders)?),
    };
    report::print(&folders, &plan)?;
    println!(
        "\nDone in {} s. All of it is Parquet: rows in {}, scores and findings in {}.",
        start.elapsed().as_secs(),
        archive.display(),
        folders.scores.display()
    );
    println!(
        "The same for a browser: target/debug/ebbline report {} --archive {} --out report.html",
        folders.scores.display(),
        archive.display()
    );
    Ok(())
}

/// Where the demo keeps its things.
pub(crate) struct Folders {
    pub(crate) dir: PathBuf,
    pub(crate) learn: PathBuf,
    pub(crate) live: PathBuf,
    pub(crate) scores: PathBuf,
    pub(crate) baseline: PathBuf,
}

impl Folders {
    fn make(dir: &Path) -> Result<Self> {
        // Only a folder this command made before is cleared.
        let mark = dir.join(".ebbline-demo");
        if dir.exists() {
            ensure!(mark.exists(), "{} exists and was not made by this command; use --dir", dir.display());
            std::fs::remove_dir_all(dir).with_context(|| format!("cannot clear {}", dir.display()))?;
        }
        std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
        std::fs::write(&mark, "")?;
        Ok(Self {
            learn: dir.join("archive-learn"),
            live: dir.join("archive-live"),
            scores: dir.join("scored"),
            baseline: dir.join("demo.baseline"),
            dir: dir.to_path_buf(),
        })
    }
}

/// The first thing that keeps the agent from capturing here, if any.
fn cannot_capture() -> Option<String> {
    let output = Command::new(program("ebbline-agent")).args(["doctor", "--json"]).output().ok()?;
    if output.status.success() {
        return None;
    }
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    Some(report["verdict"].as_str().unwrap_or("`ebbline-agent doctor` says why").to_owned())
}

fn live(args: &DemoArgs, folders: &Folders) -> Result<PathBuf> {
    let cgroup = Cgroup::make()?;
    let plan = folders.dir.join("plan.json");

    println!("1. Watching {} s of ordinary work (own cgroup: {})", args.learn, cgroup.path.display());
    let agent = Agent::start(&cgroup, &["--archive", text(&folders.learn)?])?;
    work(&cgroup, folders, args.learn, &[])?;
    agent.stop()?;

    println!("2. Learning it");
    learn(&folders.learn, folders)?;

    println!("3. Watching {} s more, scoring live; first-evers and unusual things mixed in", args.live);
    let agent = Agent::start(
        &cgroup,
        &[
            "--archive",
            text(&folders.live)?,
            "--baseline",
            text(&folders.baseline)?,
            "--out",
            text(&folders.scores)?,
            "--rarer-than",
            RARER_THAN,
        ],
    )?;
    work(&cgroup, folders, args.live, &["--oddities", "--plan", text(&plan)?])?;
    let books = agent.stop()?;
    report::books(&books);
    Ok(plan)
}

/// Learns and scores the recording; returns its archive and its plan.
fn replay(folders: &Folders) -> Result<(PathBuf, PathBuf)> {
    let recording = root().join("tests/data/recording");
    learn(&recording.join("learn"), folders)?;
    let live = recording.join("live");
    finish(
        Command::new(program("ebbline"))
            .arg("score")
            .arg(&live)
            .arg("--baseline")
            .arg(&folders.baseline)
            .arg("--out")
            .arg(&folders.scores)
            .args(["--rarer-than", RARER_THAN]),
    )?;
    Ok((live, recording.join("plan.json")))
}

fn learn(archive: &Path, folders: &Folders) -> Result<()> {
    finish(Command::new(program("ebbline")).arg("learn").arg(archive).arg("--out").arg(&folders.baseline))
}

/// Runs the workload: its services and jobs enter the cgroup, itself it stays outside.
fn work(cgroup: &Cgroup, folders: &Folders, seconds: u64, extra: &[&str]) -> Result<()> {
    // From the demo's own folder, which every user may enter and whose name is the same everywhere.
    let workload = folders.dir.join("ebbline-workload");
    std::fs::copy(program("ebbline-workload"), &workload).context("cannot copy the workload")?;
    finish(
        Command::new(workload)
            .args(["run", "--dir"])
            .arg(folders.dir.join("server"))
            .arg("--cgroup")
            .arg(&cgroup.path)
            .args(["--seconds", &seconds.to_string()])
            .args(extra),
    )
}

fn finish(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start {command:?}"))?;
    ensure!(status.success(), "{command:?} ended with {status}");
    Ok(())
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))
}

/// A running agent, scoped to the demo's cgroup.
struct Agent {
    child: Child,
    lines: std::sync::mpsc::Receiver<serde_json::Value>,
}

impl Agent {
    fn start(cgroup: &Cgroup, extra: &[&str]) -> Result<Self> {
        let mut child = Command::new(program("ebbline-agent"))
            .args(["run", "--json", "--host", "demo", "--config", "none", "--status-socket", "none", "--cgroup"])
            .arg(&cgroup.path)
            .args(extra)
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start ebbline-agent")?;
        let stdout = child.stdout.take().context("agent has no output")?;
        let (send, lines) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(|line| line.ok()) {
                if let Ok(value) = serde_json::from_str(&line) {
                    let _ = send.send(value);
                }
            }
        });
        let agent = Self { child, lines };
        agent.wait_ready()?;
        Ok(agent)
    }

    fn wait_ready(&self) -> Result<()> {
        loop {
            match self.lines.recv_timeout(Duration::from_secs(120)) {
                Ok(line) if line["ready"] == true => return Ok(()),
                Ok(_) => {}
                Err(_) => bail!("the agent did not get ready; its message is above"),
            }
        }
    }

    /// Asks the agent to finish, and gives its last line: the books.
    fn stop(mut self) -> Result<serde_json::Value> {
        finish(Command::new("kill").args(["-TERM", &self.child.id().to_string()]))?;
        let status = self.child.wait()?;
        ensure!(status.success(), "the agent ended with {status}");
        self.lines.iter().last().context("the agent said nothing")
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // Already ended after `stop`; on any other way out it must not stay behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A cgroup of this demo's own; removed at the end.
struct Cgroup {
    path: PathBuf,
}

impl Cgroup {
    fn make() -> Result<Self> {
        let mounts = std::fs::read_to_string("/proc/self/mounts").context("/proc/self/mounts")?;
        let mount = mounts
            .lines()
            .filter_map(|line| Some((line.split(' ').nth(1)?, line.split(' ').nth(2)?)))
            .find_map(|(path, kind)| (kind == "cgroup2").then_some(path))
            .context("no cgroup v2 mount")?;
        let path = Path::new(mount).join(format!("ebbline-demo-{}", std::process::id()));
        std::fs::create_dir(&path).with_context(|| format!("cannot make cgroup {}", path.display()))?;
        Ok(Self { path })
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        for _ in 0..100 {
            if std::fs::remove_dir(&self.path).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        eprintln!("cgroup {} is still in use and was left", self.path.display());
    }
}
