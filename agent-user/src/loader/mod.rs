//! The process with rights: loads and attaches the programs, holds what must not be lost, answers questions, and starts the
//! worker, again if it dies (decision 0015). It takes nothing apart that others wrote.

mod child;
mod uploader;
mod watch;

use crate::orders::Start;
use anyhow::{Context, Result};
use child::{Child, ScorerPlan};
use ebbline_agent_user::{
    cli::{BackendArg, DEFAULT_USER, RunArgs},
    config::Configuration,
    error::{AgentError, one_line},
    exposed::exposed,
    facts::{Desk, Tables},
    kernel::{self, Cgroup, Layout},
    load::{self, Capture, Orders, Rings},
    pins::Pins,
    sandbox::{self, Plan, Role, User},
    say,
    status::serve::Listeners,
};
use rustix::thread::CapabilitySet;
use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{Arc, Mutex, atomic::AtomicU32},
    time::Duration,
};
use uploader::Uploader;
use watch::{Loader, Signals};

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

/// What outlives a worker.
struct Kept {
    hooks: u64,
    refused: Vec<String>,
    rings: Rings,
    desk: Arc<Mutex<Desk>>,
}

/// Captures until told to stop; the exit code of the worker.
pub(crate) fn run(configuration: Configuration) -> Result<ExitCode> {
    let args = &configuration.args;
    kernel::require_rights()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("event loop")?;
    // From here on; what comes before everything is in place is done then.
    let signals = runtime.block_on(async { Signals::catch() })?;
    let layout = kernel::layout(&args.btf)?;
    let cgroup = kernel::cgroup(args.cgroup.as_deref())?;
    let user = user(&args.user)?;
    let uploader = Uploader::wanted(args, user.as_ref());
    let boot_id = kernel::boot_id()?;
    let listeners = Listeners::open(args.socket(), args.metrics)?;
    let (socket, metrics) = listeners.sockets();
    let scorer = scorer_plan(args, user.as_ref(), Arc::default())?;
    let mut start = Start {
        pid: std::process::id(),
        age: Duration::ZERO,
        restarts: 0,
        begun: false,
        lenient: false,
        scorer: None,
        note: None,
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
    while child.has_opened(Duration::from_secs(1))?.is_none() {}
    let kept = attach(args, &layout, &cgroup, (&start.run, &start.host))?;
    if start.plan.user.is_none() && args.user == DEFAULT_USER && rustix::process::geteuid().is_root() {
        say!("warning: no user \"{DEFAULT_USER}\": the worker stays root, without rights; see --user");
    }
    let folders = std::iter::once(&args.archive).chain(&args.out);
    let exposed = folders.filter_map(|folder| exposed(folder, start.plan.user.as_ref()));
    exposed.chain(args.closed_sooner()).for_each(|line| say!("warning: {line}"));
    sandbox::keep(KEPT)?;
    child.begin(&kept)?;
    (start.begun, start.lenient) = (true, true);
    let loader = Loader::new(configuration, (user, scorer, uploader), start, listeners, kept);
    runtime.block_on(loader.watch(child, signals))
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
fn scorer_plan(args: &RunArgs, user: Option<&User>, last: Arc<AtomicU32>) -> Result<Option<ScorerPlan>> {
    let Some(baseline) = &args.baseline else { return Ok(None) };
    let role = Role::Scorer { devices: args.backend != BackendArg::Cpu };
    let write = vec![folder(args.out.as_deref().unwrap_or(&args.archive), user)?];
    let read = vec![baseline.clone(), args.archive.clone()];
    let plan = Plan { role, user: user.cloned(), parent: Some(std::process::id()), read, write };
    Ok(Some(ScorerPlan { plan, last }))
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
        give(path, user).map_err(|error| fail(error.to_string()))?;
    }
    Ok(path.into())
}

/// Makes a new folder a user's: the one that was just made, not what somebody else put in its place.
fn give(path: &Path, user: &User) -> std::io::Result<()> {
    use rustix::fs::{Gid, Mode, OFlags, Uid, fchown, fstat, open};
    let folder = open(path, OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    if fstat(&folder)?.st_uid != rustix::process::geteuid().as_raw() {
        return Err(std::io::Error::other("it was made by somebody else meanwhile"));
    }
    Ok(fchown(&folder, Some(Uid::from_raw(user.uid)), Some(Gid::from_raw(user.gid)))?)
}

fn attach(args: &RunArgs, layout: &Layout, cgroup: &Cgroup, (run, host): (&str, &str)) -> Result<Kept> {
    let orders = Orders { layout, cgroup, sizes: args.rings(), rate_limit: args.rate_limit };
    let loaded = load::load(&args.btf, &orders)?;
    let mut pins = args.pin().map(|folder| Pins::open(folder, &args.archive, host)).transpose();
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
        say!("warning: {hook}: {}; its events will be missing", one_line(why));
    }
    let Capture { rings, counters, tables, hooks, refused, iterators, attached } = capture;
    let tables = Tables::new(counters, tables, attached, iterators, pins);
    let desk = Desk::new(kernel::cgroup2_mount().ok()).with_kernel(tables);
    let refused = refused.into_iter().map(|(hook, _)| hook.to_owned()).collect();
    Ok(Kept { hooks, refused, rings, desk: Arc::new(Mutex::new(desk)) })
}

fn not_pinned(why: &str) {
    let then = "if the agent is killed, how much it lost will not be known";
    say!("warning: counters not pinned: {}; {then}", one_line(why));
}
