//! A cluster on loopback for tests: processes that end with the test, each by its id.

#![allow(dead_code)] // each test program uses a part

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use archive::{Choice, LearnOptions, ScoreOptions, Silent};
use model::{Baseline, Line};
use tests::{Ended, ended, files_below};

/// Seconds after which an executor is lost: the least that is allowed.
const LOST_AFTER: &str = "8";

/// A process that is ended when this goes.
pub struct Process(Child);

impl Process {
    /// Starts `ebbline-cluster`; what it says goes to the file.
    pub fn start(args: &[&str], log: &Path) -> Self {
        let log = fs::File::options().create(true).append(true).open(log).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_ebbline-cluster"));
        command.args(args).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        Self(command.spawn().unwrap())
    }

    /// Its exit code, if it has ended.
    pub fn ended(&mut self) -> Option<i32> {
        self.0.try_wait().unwrap().map(|status| status.code().unwrap_or(-1))
    }

    /// Processor time that it has used, in seconds.
    pub fn seconds(&self) -> f64 {
        seconds(self.0.id())[0]
    }

    /// Kills it as a machine that goes away would.
    pub fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A scheduler and executors.
pub struct Cluster {
    pub scheduler: Option<Process>,
    pub executors: Vec<Process>,
    pub address: String,
    folder: PathBuf,
}

impl Cluster {
    /// With so many executors, each of which works on one part at a time; logs go to the folder.
    pub fn start(folder: &Path, executors: usize) -> Self {
        let address = format!("127.0.0.1:{}", free_port());
        let mut this = Self { scheduler: None, executors: Vec::new(), address, folder: folder.into() };
        this.start_scheduler();
        (0..executors).for_each(|_| this.start_executor(&["--backend", "cpu"]));
        this
    }

    pub fn start_scheduler(&mut self) {
        let args = ["scheduler", "--listen", &self.address, "--lost-after", LOST_AFTER];
        self.scheduler = Some(Process::start(&args, &self.folder.join("scheduler.log")));
    }

    pub fn start_executor(&mut self, more: &[&str]) {
        let (port, address) = (free_port().to_string(), self.address.clone());
        let mut args = vec!["executor", "--scheduler", &address, "--port", &port, "--tasks", "1"];
        args.extend(more);
        self.executors.push(Process::start(&args, &self.folder.join("executors.log")));
    }

    /// `submit` with the arguments, to its end.
    pub fn submit(&self, args: &[&str]) -> Ended {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ebbline-cluster"));
        ended(command.arg("submit").args(args).args(["--scheduler", &self.address]))
    }

    /// `submit` with the arguments, begun.
    pub fn begin(&self, args: &[&str], log: &str) -> Process {
        let mut all = vec!["submit"];
        all.extend(args);
        all.extend(["--scheduler", &self.address]);
        Process::start(&all, &self.folder.join(log))
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Processor time in seconds: of a process, and of its children that have ended.
pub fn seconds(process: u32) -> [f64; 2] {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks = |at: usize| fields[at].parse::<f64>().unwrap() / 100.0;
    [ticks(11) + ticks(12), ticks(13) + ticks(14)]
}

/// Waits until something is so.
pub fn wait_until(what: &str, limit: Duration, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < limit, "{what}: not within {limit:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub fn text(path: &Path) -> &str {
    path.to_str().expect("test paths are UTF-8")
}

/// An archive, two baselines of it, and what one process makes of them.
pub struct Fixture {
    pub folder: tempfile::TempDir,
    pub whole: Outputs,
}

/// Sidecars and findings: path and bytes.
pub type Outputs = Vec<(PathBuf, Vec<u8>)>;

/// The line between units and findings.
const LINE: &str = "50";

impl Fixture {
    pub fn new(rows: u64, hosts: u32, days: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        tests::write_archive(&at("archive"), workload::columns::archive(5, rows, hosts, days));
        let learned = archive::learn(&[at("archive")], &LearnOptions::default(), &Silent).unwrap();
        learned.baseline.save(&at("a.baseline")).unwrap();
        let mut this = Self { folder, whole: Outputs::new() };
        this.alone("whole", 0);
        this.whole = outputs(&this.at("whole"));
        let whole = &this.whole;
        assert!(whole.len() > 40 && whole.iter().any(|(path, _)| path.starts_with("findings")), "{}", whole.len());
        this
    }

    /// Scores the archive by this process.
    pub fn alone(&self, out: &str, threads: usize) {
        let line = Line::RarerThan(LINE.parse().unwrap());
        let options = ScoreOptions { line, threads, backend: Choice::Cpu.into(), ..ScoreOptions::default() };
        let baseline = Baseline::load(&self.at("a.baseline")).unwrap();
        archive::score(&[self.at("archive")], &baseline, &self.at(out), &options, &Silent).unwrap();
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `submit score` of the archive into a folder.
    pub fn score(&self, out: &str) -> Vec<String> {
        let (archive, baseline, out) = (self.at("archive"), self.at("a.baseline"), self.at(out));
        let args = ["score", text(&archive), "--baseline", text(&baseline), "--out", text(&out), "--rarer-than", LINE];
        args.map(str::to_owned).to_vec()
    }

    /// Fails unless a folder holds what one process makes, and nothing else.
    pub fn assert_whole(&self, out: &str) {
        let (got, want) = (outputs(&self.at(out)), &self.whole);
        let names = |outputs: &Outputs| outputs.iter().map(|(path, _)| path.clone()).collect::<Vec<_>>();
        assert_eq!(names(&got), names(want));
        for ((path, got), (_, want)) in got.iter().zip(want) {
            assert!(got == want, "{} differs", path.display());
        }
    }
}

/// All that is in a folder of results, less what tells of the run.
pub fn outputs(out: &Path) -> Outputs {
    files_below(out).into_iter().filter(|(path, _)| path != Path::new("manifest.json")).collect()
}

/// Numbers from a seed.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}
