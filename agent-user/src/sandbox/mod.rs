//! What a process without rights does to itself before it touches bytes of others: another user, no capability, no way to
//! get one, no file but those it was given, no system call but those it needs (`docs/threat-model.md`).
//!
//! It must be done by the only thread there is: the kernel keeps most of this by thread, and threads inherit it.

mod calls;
mod check;
mod files;
mod rights;

pub use rights::{User, keep};

use serde::{Deserialize, Serialize};
use std::{path::PathBuf, process::Command};

/// Which process this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// Drains the rings, keeps the archive.
    Worker,
    /// Scores batches.
    Scorer {
        /// On a GPU, which its driver reaches through devices, and whose programs it makes while it runs.
        devices: bool,
    },
    /// Copies files to an object store.
    Uploader,
}

/// What a process keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Which process it is.
    pub role: Role,
    /// Whom it runs as; its starter's user if there is none.
    pub user: Option<User>,
    /// The process that started it, and that it does not outlive.
    pub parent: Option<u32>,
    /// Files and folders that it may read.
    pub read: Vec<PathBuf>,
    /// Folders in which it may do what it likes with files.
    pub write: Vec<PathBuf>,
}

/// What holds afterwards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Whom it runs as.
    pub uid: u32,
    /// Capabilities that it holds or could still get: none, unless the kernel would not let them go.
    pub capabilities: u64,
    /// Version of Landlock that confines it.
    pub landlock: Option<i32>,
    /// System calls are limited.
    pub seccomp: bool,
    /// What does not hold, and why.
    pub missing: Vec<String>,
}

/// Why a process does not go on.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// It could not be done.
    #[error("no sandbox: {what}: {why}")]
    Refused {
        /// What.
        what: &'static str,
        /// Reason in words.
        why: String,
    },
    /// It was done and does not hold.
    #[error("no sandbox: {what}: it worked, and must not; this is a defect")]
    Leaks {
        /// What was tried.
        what: String,
    },
    /// There is no such user.
    #[error("no user: {name}: {why}; make one, name another with --user, or none with --user \"\"")]
    NoUser {
        /// The name.
        name: String,
        /// Reason in words.
        why: String,
    },
}

/// The variable that holds the plan of a process: arguments are for everybody to read.
const PLAN: &str = "EBBLINE_PLAN";

impl Plan {
    /// Hands it to a process that is about to be started.
    pub fn hand_to(&self, command: &mut Command) {
        let bytes = postcard::to_stdvec(self).unwrap_or_default();
        command.env(PLAN, bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    }

    /// The plan that this process was started with, if it has one.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn from_environment() -> Result<Option<Self>, SandboxError> {
        let none = |why: &dyn std::fmt::Display| refused("plan", why);
        let Some(text) = std::env::var_os(PLAN) else { return Ok(None) };
        Self::read(&text.to_string_lossy()).map(Some).map_err(|why| none(&why))
    }

    fn read(text: &str) -> Result<Self, String> {
        let byte = |pair: &[u8]| str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok());
        let bytes: Option<Vec<u8>> = text.as_bytes().chunks(2).map(byte).collect();
        postcard::from_bytes(&bytes.ok_or("not hexadecimal")?).map_err(|error| error.to_string())
    }
}

fn refused(what: &'static str, why: &dyn std::fmt::Display) -> SandboxError {
    SandboxError::Refused { what, why: why.to_string() }
}

/// Gives up everything that the plan does not name, then tries whether it is gone.
///
/// # Errors
/// [`SandboxError`]; the process must end then. What the kernel does not have, such as Landlock before Linux 5.13, is no
/// error but in the report.
pub fn lock_down(plan: &Plan) -> Result<Report, SandboxError> {
    crate::usage::prepare();
    let mut missing = Vec::new();
    let capabilities = rights::give_up(plan, &mut missing)?;
    let landlock = files::confine(plan)?;
    let landlock = landlock.map_err(|why| missing.push(format!("landlock: {why}"))).ok();
    let seccomp = calls::limit(plan.role);
    let seccomp = seccomp.map_err(|why| missing.push(format!("seccomp: {why}"))).is_ok();
    let uid = rustix::process::geteuid().as_raw();
    let report = Report { uid, capabilities, landlock, seccomp, missing };
    check::holds(plan, &report)?;
    Ok(report)
}

/// What will hold a worker on this machine: tried by a thread that ends with it.
///
/// # Errors
/// As [`lock_down`]: no worker would run.
pub fn outlook(user: Option<User>) -> Result<Report, SandboxError> {
    let plan = Plan { role: Role::Worker, user, parent: None, read: Vec::new(), write: Vec::new() };
    let before = rustix::process::dumpable_behavior();
    let tried = std::thread::Builder::new().name("sandbox".into()).spawn(move || lock_down(&plan));
    let tried = tried.map_err(|error| refused("a thread", &error))?.join();
    // The only thing that a thread does to all others.
    let _ = before.and_then(rustix::process::set_dumpable_behavior);
    tried.unwrap_or_else(|_| Err(refused("a thread", &"it panicked; this is a defect")))
}

impl Report {
    /// In words, for people.
    #[must_use]
    pub fn text(&self) -> String {
        let landlock = self.landlock.map_or("no landlock".into(), |version| format!("landlock {version}"));
        let rights = if self.capabilities == 0 { "no capabilities" } else { "capabilities left" };
        let seccomp = if self.seccomp { "seccomp" } else { "no seccomp" };
        let mut text = format!("user {}, {rights}, {landlock}, {seccomp}", self.uid);
        for why in &self.missing {
            text += "; ";
            text += why;
        }
        text
    }
}
