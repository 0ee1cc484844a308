//! The process that copies closed files to an object store, seen from its loader.

use ebbline_agent_user::{
    cli::RunArgs,
    sandbox::{Plan, Role, User},
    say,
    upload::Secrets,
};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    ffi::OsString,
    io,
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// The pause before it is started again: twice the last one, from the shortest to the longest.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(300);
/// One that ran for so long was well.
const WELL: Duration = Duration::from_secs(600);
/// What is half sent is sent again by the next: it need not be waited for longer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Starts it, again whenever it ends.
pub(super) struct Uploader {
    line: Vec<OsString>,
    plan: Plan,
    secrets: Secrets,
    running: Option<(Child, Instant)>,
    next: Instant,
    pause: Duration,
    /// How the last one ended: said when another is started, as one that ends with everything is no news.
    ended: Option<String>,
}

impl Uploader {
    /// One for these arguments, if they want any. It is started when it is tended.
    pub(super) fn wanted(args: &RunArgs, user: Option<&User>) -> Option<Self> {
        let to = args.upload.as_ref()?;
        let archive = args.archive.clone();
        let mut write = vec![archive.clone()];
        write.extend(to.strip_prefix("file://").map(PathBuf::from));
        let plan = Plan {
            role: Role::Uploader,
            user: user.cloned(),
            parent: Some(std::process::id()),
            read: Vec::new(),
            write,
        };
        let shown = store::shown_url(to);
        let mut line: Vec<OsString> =
            vec!["upload".into(), "--archive".into(), archive.into(), "--to".into(), shown.into()];
        line.extend(["--every".into(), args.upload_every.to_string().into()]);
        if args.upload_delete {
            line.push("--delete".into());
        }
        if let Some(limit) = args.upload_limit {
            line.extend(["--limit".into(), limit.to_string().into()]);
        }
        let secrets = Secrets::of(to, &args.upload_option);
        Some(Self { line, plan, secrets, running: None, next: Instant::now(), pause: SHORTEST, ended: None })
    }

    /// Sees to it that it runs. To be called now and then.
    pub(super) fn tend(&mut self) {
        if let Some((child, began)) = &mut self.running {
            match child.try_wait() {
                Ok(None) => return,
                Ok(Some(status)) => {
                    if began.elapsed() >= WELL {
                        self.pause = SHORTEST;
                    }
                    self.ended = Some(status.to_string());
                }
                Err(error) => self.ended = Some(error.to_string()),
            }
            self.running = None;
            self.next = Instant::now() + self.pause;
            self.pause = (2 * self.pause).min(LONGEST);
        }
        if Instant::now() >= self.next {
            if let Some(how) = self.ended.take() {
                say!("warning: uploader: {how}; another goes on");
            }
            match self.start() {
                Ok(child) => self.running = Some((child, Instant::now())),
                Err(error) => {
                    say!("warning: cannot start: uploader: {error}");
                    self.next = Instant::now() + LONGEST;
                }
            }
        }
    }

    fn start(&self) -> io::Result<Child> {
        let mut command = Command::new("/proc/self/exe");
        // Standard output is for the agent's status lines.
        command.arg0("ebbline-agent").args(&self.line).stdin(Stdio::null()).stdout(Stdio::null());
        self.plan.hand_to(&mut command);
        self.secrets.hand_to(&mut command);
        command.spawn()
    }
}

impl Drop for Uploader {
    fn drop(&mut self) {
        let Some((mut child, _)) = self.running.take() else { return };
        let _ = kill_process(Pid::from_child(&child), Signal::TERM);
        let asked = Instant::now();
        while asked.elapsed() < PATIENCE && matches!(child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = child.kill();
        let _ = child.wait();
    }
}
