//! The process with rights: loads and attaches the programs, holds what must not be lost, answers questions, and starts the
//! worker, again if it dies (decision 0015). It takes nothing apart that others wrote.

mod child;
mod uploader;

use crate::orders::{Order, Start};
use anyhow::{Context, Result};
use child::{Child, End};
use ebbline_agent_user::{
    cli::{BackendArg, DEFAULT_USER, RunArgs},
    config::{Configuration, Effect},
    error::{AgentError, one_line},
    facts::{Desk, Tables},
    kernel::{self, Cgroup, Layout},
    load::{self, Capture, Orders, Rings},
    pins::Pins,
    sandbox::{self, Plan, Role, User},
    status::serve::Listeners,
};
use rustix::thread::CapabilitySet;
use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tokio::signal::unix::{Signal, SignalKind, signal};
use uploader::Uploader;

/// What the loader needs to the end: to read the tables, to look at processes and open their images, and to start others
/// under their own user. `docs/threat-model.md` says what each is for.
const KEPT: CapabilitySet = CapabilitySet::BPF
    .union(CapabilitySet::PERFMON)
    .union(CapabilitySet::SYS_PTRACE)
    .union(CapabilitySet::DAC_READ_SEARCH)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETPCAP)
    .union(CapabilitySet::KILL);

/// The pause before a worker is started again: twice the last one, from the shortest to the longest.
const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);
/// A worker that lived for so long was well.
const WELL: Duration = Duration::from_secs(60);
/// How often the worker is looked at, should a signal be missed.
const LOOK: Duration = Duration::from_secs(1);
/// Exit code of a worker that has done its work, but for some inputs.
const SKIPPED: u8 = 3;
/// Workers that may die while the end is made.
const LAST_TRIES: u64 = 5;

/// What outlives a worker.
struct Kept {
    hooks: u64,
    rings: Rings,
    desk: Arc<Mutex<Desk>>,
}

/// Captures until told to stop; the exit code of the worker.
pub(crate) fn run(configuration: Configuration) -> Result<ExitCode> {
    let args = &configuration.args;
    kernel::require_rights()?;
    let layout = kernel::layout(&args.btf)?;
    let cgroup = kernel::cgroup(args.cgroup.as_deref())?;
    let user = user(&args.user)?;
    let uploader = Uploader::wanted(args, user.as_ref());
    let boot_id = kernel::boot_id()?;
    let listeners = Listeners::open(args.socket(), args.metrics)?;
    let (socket, metrics) = listeners.sockets();
    let scorer = scorer_plan(args, user.as_ref())?;
    let mut start = Start {
        pid: std::process::id(),
        age: Duration::ZERO,
        restarts: 0,
        begun: false,
        lenient: false,
        plan: plan(args, user.clone())?,
        host: args.host.clone().unwrap_or_else(kernel::host_name),
        run: kernel::run_id(&boot_id),
        boot_id,
        socket: socket.is_some(),
        metrics: metrics.is_some(),
        args: RunArgs { upload: None, upload_option: Vec::new(), ..args.clone() },
    };
    // It opens the archive first: without that, nothing is loaded.
    let mut child = Child::start(&start, &listeners, scorer.as_ref())?;
    if !child.is_open() {
        return Ok(child.end()?.code());
    }
    let kept = attach(args, &layout, &cgroup, &start.run)?;
    if start.plan.user.is_none() && args.user == DEFAULT_USER && rustix::process::geteuid().is_root() {
        eprintln!("warning: no user \"{DEFAULT_USER}\": the worker stays root, without rights; see --user");
    }
    sandbox::keep(KEPT)?;
    child.begin(&kept)?;
    (start.begun, start.lenient) = (true, true);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("event loop")?;
    let began = Instant::now();
    let loader =
        Loader { configuration, user, start, scorer, uploader, listeners, kept, began, stopping: None, previous: None };
    runtime.block_on(loader.watch(child))
}

/// Whom the other processes run as.
fn user(name: &str) -> Result<Option<User>> {
    if name.is_empty() || !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    match User::named(name) {
        // Said later: an error before that stays the only line.
        Err(_) if name == DEFAULT_USER => Ok(None),
        user => Ok(Some(user?)),
    }
}

/// What the worker keeps; its folders are made.
fn plan(args: &RunArgs, user: Option<User>) -> Result<Plan> {
    let mut write = vec![folder(&args.archive, user.as_ref())?];
    // A baseline gets its name when it is whole, so that its folder must be writable.
    if let Some(file) = &args.learn {
        let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty());
        write.push(parent.unwrap_or(Path::new(".")).to_path_buf());
    }
    let read = Vec::new();
    Ok(Plan { role: Role::Worker, user, parent: Some(std::process::id()), read, write })
}

/// What the scorer keeps, if there is one.
fn scorer_plan(args: &RunArgs, user: Option<&User>) -> Result<Option<Plan>> {
    let Some(baseline) = &args.baseline else { return Ok(None) };
    let role = Role::Scorer { devices: args.backend != BackendArg::Cpu };
    let write = vec![folder(args.out.as_deref().unwrap_or(&args.archive), user)?];
    let read = vec![baseline.clone(), args.archive.clone()];
    Ok(Some(Plan { role, user: user.cloned(), parent: Some(std::process::id()), read, write }))
}

/// A folder that belongs to the user, if it was not there.
fn folder(path: &Path, user: Option<&User>) -> Result<PathBuf, AgentError> {
    let fail = |why: String| AgentError::Archive { path: path.into(), why };
    let new = fs::symlink_metadata(path).is_err();
    store::ensure_folder(path).map_err(|error| match error {
        store::StoreError::Write { why, .. } => fail(why.to_string()),
        other => fail(other.to_string()),
    })?;
    if let Some(user) = user.filter(|_| new) {
        std::os::unix::fs::chown(path, Some(user.uid), Some(user.gid)).map_err(|error| fail(error.to_string()))?;
    }
    Ok(path.into())
}

fn attach(args: &RunArgs, layout: &Layout, cgroup: &Cgroup, run: &str) -> Result<Kept> {
    let orders = Orders { layout, cgroup, sizes: args.rings(), rate_limit: args.rate_limit };
    let loaded = load::load(&args.btf, &orders)?;
    let mut pins = args.pin().map(|folder| Pins::open(folder, &args.archive)).transpose();
    if let Ok(Some(pins)) = &mut pins
        && let Err(why) = pins.pin(run, &loaded)
    {
        not_pinned(&why);
    }
    let pins = pins.unwrap_or_else(|why| {
        not_pinned(&why);
        None
    });
    let capture = loaded.attach_all(cgroup, if args.follows_calls() { &[] } else { &[load::CALLS] })?;
    for (hook, why) in &capture.refused {
        eprintln!("warning: {hook}: {}; its events will be missing", one_line(why));
    }
    let Capture { rings, counters, tables, hooks, iterators, attached, .. } = capture;
    let tables = Tables::new(counters, tables, attached, iterators, pins);
    let desk = Desk::new(kernel::cgroup2_mount().ok()).with_kernel(tables);
    Ok(Kept { hooks, rings, desk: Arc::new(Mutex::new(desk)) })
}

fn not_pinned(why: &str) {
    let then = "if the agent is killed, how much it lost will not be known";
    eprintln!("warning: counters not pinned: {}; {then}", one_line(why));
}

/// The loader, once everything is in place.
struct Loader {
    configuration: Configuration,
    user: Option<User>,
    start: Start,
    scorer: Option<Plan>,
    uploader: Option<Uploader>,
    listeners: Listeners,
    kept: Kept,
    began: Instant,
    /// Workers that had died when the end was asked for.
    stopping: Option<u64>,
    /// What was in force before the last change.
    previous: Option<(Configuration, RunArgs, Option<Plan>)>,
}

/// The new values, but for those that a run keeps to its end.
fn in_force(next: &RunArgs, now: &RunArgs) -> RunArgs {
    RunArgs {
        baseline: next.baseline.clone(),
        backend: next.backend,
        adapter: next.adapter.clone(),
        rarer_than: next.rarer_than,
        rotate: next.rotate,
        rotate_bytes: next.rotate_bytes,
        keep_days: next.keep_days,
        max_bytes: next.max_bytes,
        ..now.clone()
    }
}

impl Loader {
    /// Starts the worker as often as it dies.
    async fn watch(mut self, mut child: Child) -> Result<ExitCode> {
        let caught = |kind| signal(kind).context("signals");
        let mut signals = Signals {
            interrupt: caught(SignalKind::interrupt())?,
            terminate: caught(SignalKind::terminate())?,
            hangup: caught(SignalKind::hangup())?,
            child: caught(SignalKind::child())?,
        };
        let mut pause = SHORTEST;
        loop {
            let why = match self.live(&mut child, &mut signals).await? {
                End::Replaced => {
                    child = self.replace(&mut signals).await?;
                    continue;
                }
                End::Code(code) if self.is_last(code) => return Ok(ExitCode::from(code)),
                End::Code(code) => format!("at its end with exit code {code}"),
                End::Died(why) => why,
            };
            if self.is_over() {
                self.stopping.get_or_insert(self.start.restarts);
            }
            self.start.restarts += 1;
            if self.stopping.is_some_and(|before| self.start.restarts >= before + LAST_TRIES) {
                anyhow::bail!("worker: it was {why}, and so were those before it");
            }
            eprintln!("warning: worker: it was {why}; another goes on");
            if child.age() >= WELL {
                pause = SHORTEST;
            }
            child = self.another(&mut pause, &mut signals).await?;
        }
    }

    /// Whether nobody goes on after a worker that ended with this code. Whatever else ends one passes: a disk is full, an
    /// archive is elsewhere.
    fn is_last(&self, code: u8) -> bool {
        matches!(code, 0 | SKIPPED) || self.stopping.is_some() || self.is_over()
    }

    /// The time that was asked for is over.
    fn is_over(&self) -> bool {
        self.start.args.limit.is_some_and(|limit| self.began.elapsed() >= limit)
    }

    /// Another worker, as soon as one begins.
    async fn another(&mut self, pause: &mut Duration, signals: &mut Signals) -> Result<Child> {
        loop {
            self.wait(*pause, signals).await;
            *pause = (2 * *pause).min(LONGEST);
            match self.begin() {
                Ok(Some(child)) => return Ok(child),
                // It has said why.
                Ok(None) => {}
                Err(error) => eprintln!("warning: {}", one_line(&format!("{error:#}"))),
            }
            self.start.restarts += 1;
            if self.stopping.is_some_and(|before| self.start.restarts >= before + LAST_TRIES) {
                anyhow::bail!("worker: none begins");
            }
        }
    }

    /// Starts a worker; none if it cannot begin.
    fn begin(&mut self) -> Result<Option<Child>> {
        self.start.age = self.began.elapsed();
        let mut child = Child::start(&self.start, &self.listeners, self.scorer.as_ref())?;
        if !child.is_open() {
            return Ok(None);
        }
        child.begin(&self.kept)?;
        if self.stopping.is_some() {
            child.order(&Order::Stop);
        }
        Ok(Some(child))
    }

    /// Passes signals on until the worker has ended.
    async fn live(&mut self, child: &mut Child, signals: &mut Signals) -> Result<End> {
        let archive = identity(&self.start.args.archive);
        loop {
            // The worker may write to the folder that was there, not to one that took its place.
            if let Some(now) = identity(&self.start.args.archive)
                && archive.is_some_and(|archive| archive != now)
            {
                return child.kill("ended, as its archive is another folder now");
            }
            if let Some(end) = child.ended()? {
                return Ok(end);
            }
            if let Some(uploader) = &mut self.uploader {
                uploader.tend();
            }
            match signals.next(LOOK).await {
                Some(Order::Stop) => {
                    self.stopping.get_or_insert(self.start.restarts);
                    child.order(&Order::Stop);
                }
                Some(Order::Reload) if self.stopping.is_none() && self.reload()? => {
                    // Nothing is lost with a worker that is killed: the next goes on where it was, by the new values.
                    child.kill("")?;
                    return Ok(End::Replaced);
                }
                _ => {}
            }
        }
    }

    /// Reads the configuration again. Whether a worker must begin by it.
    fn reload(&mut self) -> Result<bool> {
        let next = match self.configuration.again() {
            Ok(next) => next,
            Err(error) => {
                eprintln!("warning: not reloaded: {}", one_line(&error.to_string()));
                return Ok(false);
            }
        };
        let changes = self.configuration.changes_to(&next);
        let args = in_force(&next.args, &self.start.args);
        let scorer = match scorer_plan(&args, self.user.as_ref()) {
            Ok(scorer) => scorer,
            Err(error) => {
                eprintln!("warning: not reloaded: {}", one_line(&format!("{error:#}")));
                return Ok(false);
            }
        };
        changes.lines().iter().for_each(|line| eprintln!("reloaded: {}", one_line(line)));
        if changes.lines().is_empty() {
            eprintln!("reloaded: nothing has changed");
        }
        if changes.touches(Effect::Upload) {
            self.uploader = None;
            self.uploader = Uploader::wanted(&next.args, self.user.as_ref());
        }
        let worker = [Effect::Scorer, Effect::Rotate, Effect::Space].into_iter().any(|effect| changes.touches(effect));
        let before = std::mem::replace(&mut self.configuration, next);
        if worker {
            let args = std::mem::replace(&mut self.start.args, args);
            self.previous = Some((before, args, std::mem::replace(&mut self.scorer, scorer)));
        }
        Ok(worker)
    }

    /// Another worker, by the new values; by those before if it cannot begin by them.
    async fn replace(&mut self, signals: &mut Signals) -> Result<Child> {
        // What is asked for must be had; what was there and is gone must not end capture.
        self.start.lenient = false;
        let begun = self.begin();
        self.start.lenient = true;
        if let Ok(Some(child)) = begun {
            return Ok(child);
        }
        eprintln!("warning: not reloaded: the values before stay in force");
        if let Some((configuration, args, scorer)) = self.previous.take() {
            (self.configuration, self.start.args, self.scorer) = (configuration, args, scorer);
        }
        let mut pause = SHORTEST;
        self.another(&mut pause, signals).await
    }

    /// Lets time pass. An end that is asked for meanwhile is made by the next worker.
    async fn wait(&mut self, pause: Duration, signals: &mut Signals) {
        let until = Instant::now() + pause;
        while self.stopping.is_none() && Instant::now() < until {
            let left = until.saturating_duration_since(Instant::now());
            if let Some(Order::Stop) = signals.next(left).await {
                self.stopping = Some(self.start.restarts);
            }
        }
    }
}

/// Which folder this is.
fn identity(folder: &Path) -> Option<(u64, u64)> {
    fs::metadata(folder).ok().map(|meta| (meta.dev(), meta.ino()))
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
    child: Signal,
}

impl Signals {
    /// What is wished by a signal within this time.
    async fn next(&mut self, within: Duration) -> Option<Order> {
        tokio::select! {
            _ = self.interrupt.recv() => Some(Order::Stop),
            _ = self.terminate.recv() => Some(Order::Stop),
            _ = self.hangup.recv() => Some(Order::Reload),
            _ = self.child.recv() => None,
            () = tokio::time::sleep(within) => None,
        }
    }
}
