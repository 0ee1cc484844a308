//! The audit daemon with a configuration and a log of its own, and rules that see the load's user only.

use crate::{
    peer::{find, text, with_libraries},
    place::{Owned, Place, wait_until},
    sensor::Recorded,
};
use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread::sleep,
    time::Duration,
};

/// What Ebbline tells of, as system calls.
#[cfg(target_arch = "x86_64")]
const CALLS: &str = "execve,execveat,fork,vfork,clone,clone3,exit_group,connect,accept,accept4,bind,listen,sendto";
#[cfg(not(target_arch = "x86_64"))]
const CALLS: &str = "execve,execveat,clone,clone3,exit_group,connect,accept,accept4,bind,listen,sendto";
const KEY: &str = "ebbline-overhead";
/// The daemon writes names beside ids and looks unknown ones up for each record, which took it a millisecond.
const NAMED: &str = "mount --bind \"$0/passwd\" /etc/passwd && mount --bind \"$0/group\" /etc/group && exec \"$@\"";
/// How often it is looked whether the daemon has ended, every 10 ms.
const END_TRIES: usize = 1000;
/// What Debian's rules begin with.
const BACKLOG: [(&str, &str); 2] = [("-b", "8192"), ("--backlog_wait_time", "60000")];
/// The kernel prepares no audit of tasks that begin under it. Once auditing was on, it does so for every other, until
/// the machine starts again, and each of their system calls is slower: of sensors that are compared with it, too.
const PREPARE_NOTHING: [&str; 2] = ["-a", "never,task"];

/// Auditing as it was found, which it is again at the end.
pub(crate) struct Audit {
    control: PathBuf,
    daemon: PathBuf,
    user: u32,
    before: BTreeMap<String, String>,
}

/// A running daemon.
pub(crate) struct Running<'a> {
    audit: &'a Audit,
    process: Owned,
    log: PathBuf,
}

impl Audit {
    /// Fails with the reason if it cannot be had, or belongs to somebody.
    pub(crate) fn new(user: u32) -> Result<Self> {
        let (Some(control), Some(daemon)) = (find("auditctl"), find("auditd")) else { bail!("not installed") };
        let mut audit = Self { control, daemon, user, before: BTreeMap::new() };
        let mut before = audit.status()?;
        let mut rules = audit.control(&["-l"])?;
        if !has_daemon(&before) && rules.contains(KEY) && rules.lines().all(|rule| audit.is_ours(rule)) {
            // A run that was killed left them.
            audit.off();
            (before, rules) = (audit.status()?, audit.control(&["-l"])?);
        }
        let off = before.get("enabled").is_some_and(|value| value == "0");
        ensure!(off && !has_daemon(&before), "this machine is audited already");
        let left_by_us = rules.trim() == PREPARE_NOTHING.join(" ");
        ensure!(left_by_us || rules.trim() == "No rules", "this machine has audit rules already");
        if !left_by_us {
            audit.control(&PREPARE_NOTHING)?;
        }
        // From here on there is something to undo.
        audit.before = before;
        Ok(audit)
    }

    fn control(&self, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new(&self.control);
        with_libraries(&mut command, &self.control);
        let output = command.args(arguments).stdin(Stdio::null()).output().context("cannot start auditctl")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "auditctl {}: {}", arguments.join(" "), said.trim());
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn status(&self) -> Result<BTreeMap<String, String>> {
        let said = self.control(&["-s"])?;
        let pairs = said.lines().filter_map(|line| line.split_once(' '));
        Ok(pairs.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect())
    }

    /// The rules: nothing of anybody else, these calls of the load's user.
    fn rules(&self) -> [Vec<String>; 2] {
        let others = ["always,exclude".into(), "-F".into(), format!("uid!={}", self.user)];
        let calls = ["always,exit", "-F", "arch=b64", "-S", CALLS, "-F", &format!("uid={}", self.user), "-k", KEY];
        [others.to_vec(), calls.map(String::from).to_vec()]
    }

    /// Whether a rule, as the kernel lists it, is one of these.
    fn is_ours(&self, rule: &str) -> bool {
        let [others, _] = self.rules();
        rule.ends_with(&format!("key={KEY}")) || rule == format!("-a {}", others.join(" "))
    }

    fn change(&self, how: &str, rule: &[String]) -> Result<()> {
        let line: Vec<&str> = std::iter::once(how).chain(rule.iter().map(String::as_str)).collect();
        self.control(&line).map(drop)
    }

    pub(crate) fn start(&self, place: &Place) -> Result<Running<'_>> {
        let folder = place.folder.join("audit");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(folder.join("plugins.d"))?;
        let log = folder.join("audit.log");
        fs::write(folder.join("auditd.conf"), configuration(&folder))?;
        name_user(&folder, self.user)?;
        let mut command = place.sensor(Path::new("unshare"));
        with_libraries(&mut command, &self.daemon);
        command.args(["--mount", "--propagation", "private", "sh", "-c", NAMED]).arg(&folder).arg(&self.daemon);
        command.args(["-n", "-s", "nochange", "-c"]).arg(&folder);
        let output = fs::File::create(folder.join("output"))?;
        let process = command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output).spawn()?;
        let running = Running { audit: self, process: Owned(process), log };
        let pid = running.process.0.id().to_string();
        wait_until("auditd begins", 20.0, || Ok(self.status()?.get("pid") == Some(&pid)))?;
        for (name, value) in BACKLOG {
            self.control(&[name, value])?;
        }
        self.control(&["--reset-lost"])?;
        for rule in self.rules() {
            self.change("-a", &rule)?;
        }
        self.control(&["-d", PREPARE_NOTHING[1]])?;
        self.control(&["-e", "1"])?;
        Ok(running)
    }

    /// Ends auditing; what was not set is no error.
    fn off(&self) {
        let _ = self.control(&["-e", "0"]);
        for rule in self.rules() {
            let _ = self.change("-d", &rule);
        }
    }
}

impl Drop for Audit {
    fn drop(&mut self) {
        if self.before.is_empty() {
            return;
        }
        self.off();
        let _ = self.control(&["-d", PREPARE_NOTHING[1]]);
        for (name, option) in [("backlog_limit", "-b"), ("backlog_wait_time", "--backlog_wait_time")] {
            if let Some(value) = self.before.get(name) {
                let _ = self.control(&[option, value]);
            }
        }
        let now = self.status().unwrap_or_default();
        let same = |name: &str| now.get(name) == self.before.get(name);
        let empty = self.control(&["-l"]).is_ok_and(|said| said.trim() == "No rules");
        let all_same = ["enabled", "backlog_limit", "backlog_wait_time"].into_iter().all(same);
        if !(empty && all_same && !has_daemon(&now)) {
            eprintln!("auditing is not as it was: look at `auditctl -s` and `auditctl -l`");
        }
    }
}

impl Running<'_> {
    /// Ends it; says what its log holds.
    pub(crate) fn stop(mut self) -> Result<Recorded> {
        let backlog = || Ok(self.audit.status()?.get("backlog").is_none_or(|backlog| backlog == "0"));
        let emptied = wait_until("the audit backlog is empty", 20.0, backlog);
        self.audit.off();
        self.audit.control(&PREPARE_NOTHING)?;
        let lost = self.audit.status()?.get("lost").and_then(|lost| lost.parse().ok()).unwrap_or(0);
        self.end();
        emptied?;
        Ok(Recorded { events: calls(&text(&self.log)), lost, own_cpu_s: None })
    }

    /// Asks it to go: killed outright it would not sign off, and the kernel would hold it for the audit daemon still.
    fn end(&mut self) {
        let _ = kill_process(Pid::from_child(&self.process.0), Signal::TERM);
        for _ in 0..END_TRIES {
            if !matches!(self.process.0.try_wait(), Ok(None)) {
                return;
            }
            sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.audit.off();
        // Ended already after `stop`.
        if matches!(self.process.0.try_wait(), Ok(None)) {
            self.end();
        }
    }
}

/// Accounts as the daemon sees them: with a name for the load's user, as any real user has one.
fn name_user(folder: &Path, user: u32) -> Result<()> {
    let named = [("passwd", format!("load:x:{user}:{user}::/:/bin/sh\n")), ("group", format!("load:x:{user}:\n"))];
    for (name, line) in named {
        fs::write(folder.join(name), text(&Path::new("/etc").join(name)) + &line)?;
    }
    Ok(())
}

/// The kernel keeps the id of a daemon that was killed until it has something to tell it.
fn has_daemon(status: &BTreeMap<String, String>) -> bool {
    let pid = status.get("pid").map_or("0", String::as_str);
    pid != "0" && Path::new("/proc").join(pid).exists()
}

/// Debian's configuration with a log that only grows, and without what acts on the system.
fn configuration(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "local_events = yes
write_logs = yes
log_file = {folder}/audit.log
log_group = root
log_format = ENRICHED
flush = INCREMENTAL_ASYNC
freq = 50
max_log_file = 8
max_log_file_action = IGNORE
num_logs = 0
priority_boost = 4
name_format = NONE
space_left = 75
space_left_action = IGNORE
admin_space_left = 50
admin_space_left_action = IGNORE
disk_full_action = IGNORE
disk_error_action = IGNORE
q_depth = 2000
overflow_action = IGNORE
max_restarts = 10
plugin_dir = {folder}/plugins.d
end_of_event_timeout = 2
"
    )
}

/// Recorded calls by name.
fn calls(log: &str) -> BTreeMap<String, u64> {
    let mut calls = BTreeMap::new();
    let ours = format!("key=\"{KEY}\"");
    for line in log.lines().filter(|line| line.starts_with("type=SYSCALL ") && line.contains(&ours)) {
        let name = line.split([' ', '\u{1d}']).find_map(|field| field.strip_prefix("SYSCALL="));
        *calls.entry(name.unwrap_or("?").to_owned()).or_default() += 1;
    }
    calls
}
