//! What this kernel and these rights allow.

use crate::{
    cli::DEFAULT_USER,
    error::AgentError,
    kernel::{self, Cgroup, Layout},
    load::{self, HOOKS, ITERATORS, Loaded, Orders, RingSizes},
    sandbox::{self, User},
};
use serde::Serialize;
use std::path::Path;
use terminal::{Role, inline, mark};

/// One thing that was looked at.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    /// What.
    pub what: String,
    /// Whether `run` needs it.
    pub required: bool,
    /// Whether it is there.
    pub ok: bool,
    /// What was found.
    pub found: String,
    /// What to do if it is not there.
    pub remedy: Option<String>,
}

/// Everything that was looked at.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// `run` would work.
    pub ok: bool,
    /// The answer in words.
    pub verdict: String,
    /// Release of the kernel.
    pub kernel: String,
    /// The checks, in the order in which `run` needs them.
    pub checks: Vec<Check>,
    /// What no kernel shows the hooks: neither reported nor counted.
    pub notes: &'static [&'static str],
}

/// What the hooks do not see anywhere.
const NOTES: &[&str] = &[
    "accept through io_uring without an address: not seen; its connection's end is, without a process",
    "a socket made in the watched cgroup and used outside: no connect, accept or send; the rest names who made it",
    "a socket made outside and used in the watched cgroup: not seen",
    "a datagram counts when it reaches the socket, also if there is no room for it there",
    "connections older than the agent: their bytes count from their beginning, those sent are not known",
    "DNS over TCP: seen where one segment holds one whole message, and again if the segment is sent again",
    "credential, ptrace, module and bpf calls of 32-bit programs: not seen",
    "a process moved into the watched cgroup after the start: known from its next exec or its end on, not from its beginning",
    "a process whose first thread ended before the start: in the snapshot without its image",
    "MPTCP: listen and close only, without a process; UDP-Lite, SCTP and raw sockets: not seen",
];

impl Check {
    fn new(what: &str, result: Result<String, String>, remedy: &str) -> Self {
        let ok = result.is_ok();
        let found = result.unwrap_or_else(|why| why);
        let remedy = (!ok && !remedy.is_empty()).then(|| remedy.to_owned());
        Self { what: what.into(), required: true, ok, found, remedy }
    }
}

/// Looks at everything. Programs are loaded and attached for a moment to an empty cgroup made for it, so that they see
/// nothing.
#[must_use]
pub fn examine(btf: &Path, cgroup: Option<&Path>) -> Report {
    let rights = rights();
    let layout = kernel::layout(btf);
    let group = kernel::cgroup(cgroup);
    let types = layout.as_ref().map(types).map_err(why);
    let place = group.as_ref().map(|group| group.path.display().to_string()).map_err(why);
    let mut checks = vec![
        Check::new("rights", rights, "run as root, or grant CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN"),
        Check::new("type information", types, "boot a kernel built with CONFIG_DEBUG_INFO_BTF"),
        Check::new("cgroup v2", place, "mount -t cgroup2 none /sys/fs/cgroup, or name a folder below its mount"),
    ];
    if let (Ok(layout), Ok(group)) = (&layout, &group) {
        match EmptyCgroup::below(group) {
            Ok(empty) => checks.extend(hooks(btf, layout, &empty.0)),
            Err(error) => checks.push(Check::new("empty cgroup", Err(error), "let the agent write to cgroup v2")),
        }
    }
    checks.push(sandbox());
    let failed = checks.iter().find(|check| check.required && !check.ok);
    let verdict = match failed {
        None => "ebbline-agent run works here".to_owned(),
        Some(check) => format!("ebbline-agent run does not work here: {}: {}", check.what, check.found),
    };
    Report { ok: failed.is_none(), verdict, kernel: kernel::release(), checks, notes: NOTES }
}

fn why(error: &AgentError) -> String {
    error.to_string()
}

fn rights() -> Result<String, String> {
    match kernel::missing_rights().as_slice() {
        [] => Ok("may load programs".into()),
        missing => Err(format!("{} missing", missing.join(", "))),
    }
}

/// What will hold the processes without rights.
fn sandbox() -> Check {
    let user = User::named(DEFAULT_USER).ok().filter(|_| rustix::process::geteuid().is_root());
    let nobody =
        if user.is_none() { format!(", as there is no user \"{DEFAULT_USER}\" to run as") } else { String::new() };
    let report = sandbox::outlook(user).map(|report| report.text() + &nobody).map_err(|error| error.to_string());
    Check::new(
        "sandbox of the worker",
        report,
        "see docs/threat-model.md: what a kernel has not is left out, not refused",
    )
}

fn types(layout: &Layout) -> String {
    let last = if layout.exit_says_last { ", exit says if it is the last thread" } else { "" };
    format!("all {} members found{last}", events::Offsets::MEMBERS.len())
}

/// A cgroup without processes, gone when dropped.
struct EmptyCgroup(Cgroup);

impl EmptyCgroup {
    fn below(group: &Cgroup) -> Result<Self, String> {
        let path = group.path.join(format!("ebbline-doctor-{}", std::process::id()));
        std::fs::create_dir(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        match kernel::cgroup(Some(&path)) {
            Ok(cgroup) => Ok(Self(cgroup)),
            Err(error) => {
                let _ = std::fs::remove_dir(&path);
                Err(why(&error))
            }
        }
    }
}

impl Drop for EmptyCgroup {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0.path);
    }
}

fn hooks(btf: &Path, layout: &Layout, cgroup: &Cgroup) -> Vec<Check> {
    let sizes = RingSizes { lifecycle: 1 << 16, sockets: 1 << 16, shards: 1 };
    let loaded = load::load(btf, &Orders { layout, cgroup, sizes, rate_limit: 0 });
    let maps = loaded.as_ref().map(|_| "ring buffers and maps".to_owned()).map_err(why);
    let mut checks = vec![Check::new("maps", maps, "needs Linux 5.10 or later, and rights")];
    if let Ok(mut loaded) = loaded {
        checks.extend(HOOKS.iter().chain(ITERATORS).map(|hook| one(&mut loaded, hook, layout, cgroup)));
    }
    checks
}

fn one(loaded: &mut Loaded, hook: &load::Hook, layout: &Layout, cgroup: &Cgroup) -> Check {
    let result = loaded
        .load(hook)
        .map_err(|why| format!("does not load: {why}"))
        .and_then(|()| loaded.attach(hook, cgroup).map_err(|why| format!("does not attach: {why}")))
        .and_then(|()| hook.whole(layout).map_err(|why| format!("loads and attaches, but {why}")));
    let remedy = match hook.required {
        true => "needs Linux 5.10 or later with BTF, and rights",
        false => "run goes on without; these events will be missing",
    };
    let result = result.map(|()| format!("loads and attaches, gives {}", hook.gives));
    Check { required: hook.required, ..Check::new(&format!("{} ({})", hook.place, hook.program), result, remedy) }
}

impl Report {
    /// The report as lines for people.
    #[must_use]
    pub fn text(&self) -> String {
        let width = self.checks.iter().map(|check| check.what.len()).max().unwrap_or(0);
        let mut lines = vec![format!("Linux {}", self.kernel)];
        for check in &self.checks {
            let verdict = match (check.ok, check.required) {
                (true, _) => mark(Role::Good, "ok  "),
                (false, true) => mark(Role::Bad, "FAIL"),
                (false, false) => mark(Role::Warn, "miss"),
            };
            lines.push(format!("{verdict}  {:width$}  {}", inline(&check.what), inline(&check.found)));
            lines.extend(check.remedy.iter().map(|remedy| format!("      {:width$}  -> {remedy}", "")));
        }
        lines.extend(self.notes.iter().map(|note| mark(Role::Dim, &format!("note  {note}"))));
        lines.push(match self.ok {
            true => mark(Role::Good, "ebbline-agent run works here"),
            false => mark(Role::Bad, "ebbline-agent run does not work here"),
        });
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_type_information_run_would_not_work() {
        let report = examine(Path::new("/nonexistent"), None);
        assert!(!report.ok);
        let check = report.checks.iter().find(|check| check.what == "type information").unwrap();
        assert!(!check.ok && check.remedy.is_some());
        assert!(report.text().contains("does not work here"));
        assert!(report.text().contains(&format!("\n{}", mark(Role::Dim, &format!("note  {}", NOTES[0])))));
    }

    #[test]
    fn what_will_hold_the_worker_is_said_and_holds_nobody_else() {
        let report = examine(Path::new("/nonexistent"), None);
        let check = report.checks.iter().find(|check| check.what == "sandbox of the worker").unwrap();
        assert!(check.ok && check.found.contains("no capabilities") && check.found.contains("seccomp"), "{check:?}");
        assert!(std::fs::read("/etc/passwd").is_ok() && std::process::Command::new("/bin/true").status().is_ok());
    }
}
