//! Tries what must not work any more.

use super::{Plan, Report, Role, SandboxError, calls::ENOSYS};
use rustix::{
    fs::{Mode, OFlags},
    net::{AddressFamily, SocketType, socket},
};
use std::{path::Path, process::Command};

/// Fails if something works that must not. What the kernel could not be asked to forbid is in the report instead.
pub(super) fn holds(plan: &Plan, report: &Report) -> Result<(), SandboxError> {
    let leaks = |what: &str| Err(SandboxError::Leaks { what: what.to_owned() });
    let given = |path: &str| plan.read.iter().chain(&plan.write).any(|given| Path::new(path).starts_with(given));
    let driver = plan.role == Role::Scorer { devices: true };
    if report.landlock.is_some() {
        let opens = |path, flags| !given(path) && rustix::fs::open(path, flags | OFlags::CLOEXEC, Mode::RUSR).is_ok();
        // Without a name, so that nothing stays behind.
        if opens("/tmp", OFlags::TMPFILE | OFlags::RDWR) {
            return leaks("make a file in /tmp");
        }
        if opens("/proc/1/mem", OFlags::RDONLY) {
            return leaks("read /proc/1/mem");
        }
        if !driver && opens("/etc/passwd", OFlags::RDONLY) {
            return leaks("read /etc/passwd");
        }
    }
    if report.seccomp {
        let family = if plan.role == Role::Uploader { AddressFamily::UNIX } else { AddressFamily::INET };
        if socket(family, SocketType::STREAM, None).is_ok() {
            return leaks("make a socket");
        }
        // Where it fails for want of the file, it would work with another.
        let started = Command::new("/nonexistent/ebbline").spawn();
        if started.map_or_else(|error| error.raw_os_error() != Some(ENOSYS as i32), |_| true) {
            return leaks("start a program");
        }
    }
    Ok(())
}
