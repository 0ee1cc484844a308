//! An agent that watches one cgroup made for one test, and what it stored.

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::{
    collections::HashSet,
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Output, Stdio},
    sync::{
        Arc, LazyLock, Mutex,
        atomic::{AtomicU32, Ordering},
        mpsc::{Receiver, RecvTimeoutError, channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

#[path = "stored.rs"]
mod stored;

#[allow(unused_imports, reason = "each test program uses a part")]
pub(crate) use stored::{Row, Stored, one};
use stored::{read_file, read_table, walk};

pub(crate) const AGENT: &str = env!("CARGO_BIN_EXE_ebbline-agent");
/// Set for a copy of this test program that makes traffic: what to do.
pub(crate) const ROLE: &str = "EBBLINE_LIVE_ROLE";
/// The cgroup that it joins.
pub(crate) const CGROUP: &str = "EBBLINE_LIVE_CGROUP";
/// The agent's status socket, below the folder.
pub(crate) const SOCKET: &str = "status.sock";
/// The last word of a role.
pub(crate) const END: &str = "end";

/// Says whether live tests can run; with `CI=true` they must.
pub(crate) fn possible() -> bool {
    let why = match ebbline_agent_user::kernel::missing_rights().as_slice() {
        [] if !Path::new(ebbline_agent_user::kernel::BTF_PATH).exists() => "no kernel type information".to_owned(),
        [] => match ebbline_agent_user::kernel::cgroup2_mount() {
            Ok(_) => return true,
            Err(error) => error.to_string(),
        },
        missing => format!("{} missing", missing.join(", ")),
    };
    assert!(std::env::var("CI").as_deref() != Ok("true"), "live tests cannot run: {why}");
    eprintln!("SKIPPED: live tests cannot run: {why}");
    false
}

/// A loaded machine is slow; what takes longer than this hangs. Whoever runs the tests on a slower one says how slow.
static PATIENCE: LazyLock<Duration> = LazyLock::new(|| {
    let seconds = std::env::var("EBBLINE_PATIENCE").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(100))
});

/// What a child says, line by line.
struct Lines {
    lines: Receiver<String>,
    reader: JoinHandle<()>,
}

impl Lines {
    fn of(output: ChildStdout) -> Self {
        let (send, lines) = channel();
        let reader = std::thread::spawn(move || {
            let lines = BufReader::new(output).lines().map_while(Result::ok);
            // Ends when nobody listens any more, which closes the pipe.
            let _ = lines.map(|line| send.send(line)).find(Result::is_err);
        });
        Self { lines, reader }
    }

    /// The next line; `None` at the end.
    fn next(&self, of: &str) -> Option<String> {
        match self.lines.recv_timeout(*PATIENCE) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("{of}: no line in {:?}", *PATIENCE),
        }
    }

    /// Closes the pipe, once another line has come.
    fn close(self) {
        drop(self.lines);
        self.reader.join().unwrap();
    }
}

fn wait(child: &mut Child, of: &str) -> ExitStatus {
    let asked = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if asked.elapsed() > *PATIENCE {
            let _ = child.kill();
            panic!("{of}: still there after {:?}", *PATIENCE);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A role that has played and stays until this is dropped.
struct Actor {
    child: Child,
    stay: Option<ChildStdin>,
}

impl Drop for Actor {
    fn drop(&mut self) {
        drop(self.stay.take());
        let status = wait(&mut self.child, "role");
        assert!(status.success() || std::thread::panicking(), "{status:?}");
    }
}

/// A role that goes on until it is told to end.
pub(crate) struct Load {
    child: Child,
    lines: Lines,
    stay: ChildStdin,
}

impl Load {
    /// Ends it; returns the words it said.
    pub(crate) fn end(mut self) -> Vec<String> {
        drop(self.stay);
        let words = words(&self.lines, "load");
        assert!(wait(&mut self.child, "load").success());
        words
    }
}

/// Removes a cgroup, which is busy for a moment after its last process.
pub(crate) fn remove(cgroup: &Path) {
    let asked = Instant::now();
    while let Err(error) = fs::remove_dir(cgroup) {
        if asked.elapsed() > *PATIENCE {
            eprintln!("left behind: {}: {error}", cgroup.display());
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A cgroup that goes when the test ends.
pub(crate) struct Cgroup(pub(crate) PathBuf);

impl Cgroup {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("ebbline-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = ebbline_agent_user::kernel::cgroup2_mount().unwrap().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn id(&self) -> String {
        fs::metadata(&self.0).unwrap().ino().to_string()
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        remove(&self.0);
    }
}

/// A file system that goes when the test ends.
pub(crate) struct Mounted(PathBuf);

impl Mounted {
    /// A small disk, if this machine lets us.
    pub(crate) fn small_disk(at: &Path) -> Option<Self> {
        Self::new(at, "tmpfs", "size=64k")
    }

    /// A file system with these options, if this machine lets us.
    pub(crate) fn new(at: &Path, kind: &str, options: &str) -> Option<Self> {
        let mut command = Command::new("mount");
        let status = command.args(["-t", kind, "-o", options, "none"]).arg(at).status();
        status.is_ok_and(|status| status.success()).then(|| Self(at.into()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
        let _ = fs::remove_dir(&self.0);
    }
}

/// A running agent.
pub(crate) struct Live {
    // Dropped before the cgroup, which they are in.
    actors: Vec<Actor>,
    pub(crate) cgroup: Cgroup,
    pub(crate) folder: tempfile::TempDir,
    child: Child,
    output: Option<Lines>,
    said: Said,
    stopped: bool,
}

/// What an agent said on standard error so far. It is passed on.
#[derive(Clone, Default)]
struct Said(Arc<Mutex<Vec<String>>>);

impl Said {
    fn hear(&self, errors: ChildStderr) {
        let said = self.clone();
        let hear = move || {
            for line in BufReader::new(errors).lines().map_while(Result::ok) {
                eprintln!("{line}");
                said.0.lock().unwrap().push(line);
            }
        };
        std::thread::spawn(hear);
    }
}

impl Live {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), arguments)
    }

    /// Starts an agent that writes to `archive` below the folder.
    pub(crate) fn start_in(folder: tempfile::TempDir, arguments: &[&str]) -> Self {
        Self::start_on(Cgroup::new(), folder, arguments)
    }

    /// Starts an agent in whose cgroup a role has played already. Returns the words it said, too.
    pub(crate) fn start_after(role: &str) -> (Self, Vec<String>) {
        let cgroup = Cgroup::new();
        let (words, actor) = perform(role, &cgroup);
        let mut live = Self::start_on(cgroup, tempfile::tempdir().unwrap(), &[]);
        live.actors.push(actor);
        (live, words)
    }

    fn start_on(cgroup: Cgroup, folder: tempfile::TempDir, arguments: &[&str]) -> Self {
        let said = Said::default();
        let (child, output) = agent(&cgroup, folder.path(), arguments, &said);
        Self { actors: Vec::new(), cgroup, folder, child, output: Some(output), said, stopped: false }
    }

    /// Kills the agent's loader at once, as it is; all others end with it.
    pub(crate) fn kill(&mut self) {
        let others = children(self.pid());
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let asked = Instant::now();
        while others.iter().any(|other| is_alive(*other)) {
            assert!(asked.elapsed() < *PATIENCE, "a process of the agent outlives its loader: {others:?}");
            std::thread::sleep(Duration::from_millis(1));
        }
        self.stopped = true;
        self.output = None;
    }

    /// Waits until it has ended by itself; its exit code.
    pub(crate) fn ended(&mut self) -> Option<i32> {
        let status = wait(&mut self.child, "agent");
        self.stopped = true;
        status.code()
    }

    /// Starts another agent where this one was killed.
    pub(crate) fn restart(&mut self, arguments: &[&str]) {
        assert!(self.stopped);
        let (child, output) = agent(&self.cgroup, self.folder.path(), arguments, &self.said);
        (self.child, self.output, self.stopped) = (child, Some(output), false);
    }

    /// Runs a command in the cgroup. Its first process comes in from outside, so that only its exec is seen.
    pub(crate) fn inside(&self, line: &[&str]) -> Output {
        let join = r#"echo $$ > "$0/cgroup.procs" && exec "$@""#;
        let mut command = Command::new("/bin/sh");
        command.args(["-c", join]).arg(&self.cgroup.0).args(line);
        command.output().unwrap()
    }

    /// Runs a role of this test program in the cgroup, which it joins by itself: its own exec is not seen. Returns the
    /// words it said, one a line.
    pub(crate) fn role(&self, role: &str) -> Vec<String> {
        perform(role, &self.cgroup).0
    }

    /// Begins a role that goes on until it is told to end.
    pub(crate) fn begin(&self, role: &str) -> Load {
        let mut command = role_command(role);
        command.env(CGROUP, &self.cgroup.0).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = Lines::of(child.stdout.take().unwrap());
        Load { stay: child.stdin.take().unwrap(), lines, child }
    }

    /// As [`Live::role`], but it stays until the agent has stopped: whoever asks for it in `/proc` finds it.
    pub(crate) fn stage(&mut self, role: &str) -> Vec<String> {
        let (words, actor) = perform(role, &self.cgroup);
        self.actors.push(actor);
        words
    }

    /// Lets the role that was staged last go on.
    pub(crate) fn cue(&mut self) {
        let stay = self.actors.last_mut().and_then(|actor| actor.stay.as_mut());
        stay.expect("a role is on stage").write_all(b"\n").unwrap();
    }

    /// Waits until the kernel has reported this many events of a type. What happens in callbacks, as the end of a
    /// connection, may come after the process that caused it is gone.
    #[track_caller]
    pub(crate) fn expect(&self, kind: &str, count: u64) -> Value {
        self.watch(kind, "produced", count)
    }

    /// Waits until this many rows are in files that are not complete.
    pub(crate) fn expect_open(&self, kind: &str, count: u64) {
        let _ = self.watch(kind, "open", count);
    }

    /// The next status line, which comes each second.
    pub(crate) fn next_status(&self) -> Value {
        let line = self.output.as_ref().and_then(|output| output.next("agent")).expect("the agent speaks");
        serde_json::from_str(&line).unwrap()
    }

    fn watch(&self, kind: &str, what: &str, count: u64) -> Value {
        self.until(|status| status["events"][kind][what].as_u64().unwrap() >= count)
    }

    /// Waits for a status that says something.
    #[track_caller]
    pub(crate) fn until(&self, says: impl Fn(&Value) -> bool) -> Value {
        let asked = Instant::now();
        let mut last = Value::Null;
        while asked.elapsed() < *PATIENCE {
            last = self.next_status();
            if says(&last) {
                return last;
            }
        }
        panic!("not said in {:?}: {last}", *PATIENCE);
    }

    /// Lines on standard error that hold this.
    pub(crate) fn said(&self, what: &str) -> Vec<String> {
        self.listener()(what)
    }

    /// As [`Live::said`], for when it has ended.
    pub(crate) fn listener(&self) -> impl Fn(&str) -> Vec<String> + use<> {
        let said = self.said.clone();
        move |what| said.0.lock().unwrap().iter().filter(|line| line.contains(what)).cloned().collect()
    }

    /// Waits until it says this.
    #[track_caller]
    pub(crate) fn hears(&self, what: &str) -> String {
        let asked = Instant::now();
        loop {
            if let Some(line) = self.said(what).pop() {
                return line;
            }
            assert!(asked.elapsed() < *PATIENCE, "not said: {what}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The agent, as people know it: its loader.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The worker that runs.
    pub(crate) fn worker(&self) -> u32 {
        let asked = Instant::now();
        loop {
            if let Some(worker) = children(self.pid()).first() {
                return *worker;
            }
            assert!(asked.elapsed() < *PATIENCE, "no worker");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Kills the worker at once, as it is. Another goes on.
    pub(crate) fn kill_worker(&self) {
        let worker = self.worker();
        kill_process(Pid::from_raw(worker as i32).unwrap(), Signal::KILL).unwrap();
        let asked = Instant::now();
        while children(self.pid()).contains(&worker) {
            assert!(asked.elapsed() < *PATIENCE, "a worker outlives kill -9");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// To the loader; what stops and lets go on is for all of them.
    pub(crate) fn signal(&self, signal: Signal) {
        if [Signal::STOP, Signal::CONT].contains(&signal) {
            for other in children(self.pid()) {
                kill_process(Pid::from_raw(other as i32).unwrap(), signal).unwrap();
            }
        }
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Closes the pipe that the agent speaks into, after a status line.
    pub(crate) fn close_output(&mut self) {
        self.output.take().into_iter().for_each(Lines::close);
    }

    /// As [`Live::stop`] for an agent that cannot say its books: the process rows.
    pub(crate) fn stop_unread(mut self) -> Vec<Row> {
        self.signal(Signal::TERM);
        assert_eq!(wait(&mut self.child, "agent").code(), Some(0));
        self.stopped = true;
        read_table(&self.folder.path().join("archive/process"))
    }

    /// Asks the agent to end and reads what it stored.
    pub(crate) fn stop(mut self) -> Stored {
        self.signal(Signal::TERM);
        let mut last = String::new();
        let output = self.output.take().expect("the agent is heard");
        while let Some(line) = output.next("agent") {
            last = line;
        }
        let status = wait(&mut self.child, "agent");
        self.stopped = true;
        self.stored(status.code(), serde_json::from_str(&last).unwrap())
    }

    /// What is in files now.
    pub(crate) fn stored(&self, code: Option<i32>, status: Value) -> Stored {
        let archive = self.folder.path().join("archive");
        let read = |table| read_table(&archive.join(table));
        Stored {
            code,
            status,
            process: read("process"),
            connection: read("connection"),
            dns: read("dns"),
            heartbeat: read("heartbeat"),
            files: walk(&archive),
            cgroup: self.cgroup.id(),
        }
    }

    /// Reads every file of the archive that is not among `read` yet: what has its name is whole, and stays as it is.
    pub(crate) fn read_new(&self, read: &mut HashSet<PathBuf>) {
        let archive = self.folder.path().join("archive");
        for path in ["process", "connection", "dns", "heartbeat"].iter().flat_map(|table| walk(&archive.join(table))) {
            if path.extension().is_some_and(|extension| extension == "parquet") && read.insert(path.clone()) {
                read_file(&path, &mut |_| {});
            }
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        if !self.stopped {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// What the kernel says of a process, if there is one.
pub(crate) fn status(pid: u32) -> Option<String> {
    fs::read_to_string(format!("/proc/{pid}/status")).ok()
}

/// Whether a process is there, or a thread of it. One that nobody waits for may stay as a name without a process.
pub(crate) fn is_alive(pid: u32) -> bool {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
    threads > 1 || status(pid).is_some_and(|status| !status.contains("State:\tZ"))
}

/// Children of a process, oldest first.
pub(crate) fn children(of: u32) -> Vec<u32> {
    let line = format!("PPid:\t{of}");
    let all = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    let mut found: Vec<u32> =
        all.filter(|pid| status(*pid).is_some_and(|status| status.lines().any(|own| own == line))).collect();
    found.sort_unstable();
    found
}

/// Starts an agent that is ready.
fn agent(cgroup: &Cgroup, folder: &Path, arguments: &[&str], said: &Said) -> (Child, Lines) {
    let mut command = Command::new(AGENT);
    command.args(["run", "--json", "--host", "test", "--archive"]).arg(folder.join("archive"));
    command.arg("--status-socket").arg(folder.join(SOCKET));
    for other in ["--config", "--pin"].into_iter().filter(|other| !arguments.contains(other)) {
        command.args([other, "none"]);
    }
    command.arg("--cgroup").arg(&cgroup.0).args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    said.hear(child.stderr.take().unwrap());
    let output = Lines::of(child.stdout.take().unwrap());
    let first = output.lines.recv_timeout(*PATIENCE);
    if first.as_deref() != Ok(r#"{"ready":true}"#) {
        let _ = child.kill();
        panic!("the agent did not start: {first:?}, {:?}", child.wait());
    }
    (child, output)
}

/// Runs a role in a cgroup until it has said its last word.
fn perform(role: &str, cgroup: &Cgroup) -> (Vec<String>, Actor) {
    let mut command = role_command(role);
    command.env(CGROUP, &cgroup.0).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let lines = Lines::of(child.stdout.take().unwrap());
    let actor = Actor { stay: child.stdin.take(), child };
    (words(&lines, role), actor)
}

/// What a role says until its last word. One that became another program says none.
fn words(lines: &Lines, role: &str) -> Vec<String> {
    let mut words = Vec::new();
    while let Some(line) = lines.next(role) {
        match line.strip_prefix('@') {
            Some(END) => break,
            Some(word) => words.push(word.to_owned()),
            None => {}
        }
    }
    words
}

/// A copy of this test program in a role.
pub(crate) fn role_command(role: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "role", "--nocapture", "--test-threads", "1"]).env(ROLE, role);
    command
}
