//! Ordinary work: long-running services, and the jobs that come and go.

use super::roles;
use super::stage::{SCRIPTS, Stage};
use anyhow::{Context, Result, bail};
use std::net::TcpListener;
use std::path::Path;
use std::process::Child;
use std::time::Duration;

/// Where the services listen, all on loopback.
pub(super) const WEB_PORT: u16 = 18080;
pub(super) const METRICS_PORT: u16 = 19100;
pub(super) const DATABASE_PORT: u16 = 15432;
/// Where other hosts reach this one, if there are any.
pub(super) const DEPLOY_PORT: u16 = 18081;

/// User ids the jobs run under. Numbers without an account are fine: the kernel does not ask.
pub(super) const WEB_USER: u32 = 33;
const JOB_USERS: [u32; 4] = [0, 1000, 1001, 65534];

/// The services, each the leader of a session of its own.
pub(crate) struct Services {
    children: Vec<Child>,
}

impl Services {
    pub(super) fn start(stage: &Stage, reachable: bool) -> Result<Self> {
        let mut services = Self { children: Vec::new() };
        let thumbnail = stage.program("thumbnail");
        let list: [(&str, u16, u32, Option<&Path>); 4] = [
            ("httpd", WEB_PORT, WEB_USER, Some(&thumbnail)),
            ("metricsd", METRICS_PORT, 65534, None),
            ("dbd", DATABASE_PORT, 999, None),
            ("deployd", DEPLOY_PORT, WEB_USER, Some(&thumbnail)),
        ];
        for (name, port, user, helper) in list.into_iter().take(if reachable { 4 } else { 3 }) {
            free(name, port)?;
            let mut command = stage.leader(name, user)?;
            command.arg(port.to_string()).args(helper);
            services.children.push(command.spawn().with_context(|| format!("cannot start {name}"))?);
            services.wait_for(name, port)?;
        }
        Ok(services)
    }

    /// Until the newest service answers on its port, so that no client is refused.
    fn wait_for(&mut self, name: &str, port: u16) -> Result<()> {
        for _ in 0..200 {
            std::thread::sleep(Duration::from_millis(50));
            let ended = self.children.last_mut().map(Child::try_wait).transpose()?.flatten();
            if let Some(status) = ended {
                bail!("{name} ended with {status}; is 127.0.0.1:{port} taken?");
            }
            if roles::ask(&format!("127.0.0.1:{port}"), "/index").is_ok() {
                return Ok(());
            }
        }
        bail!("{name} does not answer on 127.0.0.1:{port}")
    }

    /// Pid of the web server, the root of whatever it starts.
    pub(super) fn web_server(&self) -> u32 {
        self.children[0].id()
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// An error when somebody listens there already: it would answer in the place of our service, out of everybody's sight.
fn free(name: &str, port: u16) -> Result<()> {
    TcpListener::bind(("127.0.0.1", port))
        .map(drop)
        .with_context(|| format!("{name} needs 127.0.0.1:{port}; `ss -ltnp sport = :{port}` says who has it"))
}

/// One round of jobs; which ones depends on the round alone.
pub(super) fn round(stage: &Stage, round: u64, reachable: bool) -> Result<()> {
    let mut jobs = Vec::new();
    let (script, _) = SCRIPTS[(round as usize * 5 + 1) % SCRIPTS.len()];
    jobs.push(cron(stage, script, JOB_USERS[(round as usize / 2) % JOB_USERS.len()])?);
    jobs.push(client(stage, WEB_PORT, if round.is_multiple_of(3) { "/thumb" } else { "/index" }, 1000)?);
    if round.is_multiple_of(2) {
        jobs.push(client(stage, METRICS_PORT, "/metrics", 65534)?);
    }
    if reachable && round.is_multiple_of(4) {
        let path = if round.is_multiple_of(8) { "/thumb" } else { "/index" };
        jobs.push(client(stage, DEPLOY_PORT, path, 1000)?);
    }
    if round.is_multiple_of(3) {
        jobs.push(worker(stage)?);
    }
    if round % 7 == 3 {
        jobs.push(package(stage, round)?);
    }
    for mut job in jobs {
        job.wait()?;
    }
    Ok(())
}

/// A cron job: `crond` starts the script in its own session.
pub(super) fn cron(stage: &Stage, script: &str, user: u32) -> Result<Child> {
    cron_path(stage, &stage.script(script), user)
}

pub(super) fn cron_path(stage: &Stage, script: &Path, user: u32) -> Result<Child> {
    stage.leader("crond", user)?.arg(script).spawn().context("cron job")
}

/// A client that asks one of the services.
pub(super) fn client(stage: &Stage, port: u16, path: &str, user: u32) -> Result<Child> {
    let mut command = stage.leader("fetch", user)?;
    command.arg("--url").arg(format!("http://127.0.0.1:{port}{path}")).spawn().context("client")
}

/// An application worker: asks the database and sends a statistics datagram.
fn worker(stage: &Stage) -> Result<Child> {
    let mut command = stage.leader("worker", 1001)?;
    command.arg(DATABASE_PORT.to_string()).arg(METRICS_PORT.to_string()).spawn().context("worker")
}

/// A package manager at work: unpacks into a fresh temporary folder and runs maintainer scripts from there, so
/// new paths are what it always makes.
fn package(stage: &Stage, round: u64) -> Result<Child> {
    let names = ["zlib", "curl", "perl", "tzdata", "nano", "less", "vim", "jq", "rsync", "git", "bc"];
    let name = names[(round / 7) as usize % names.len()];
    let folder = stage.scratch(&format!("pkg-{round:06x}-{name}"));
    let mut command = stage.leader("pkg", 0)?;
    command.arg("install").arg(format!("{name}-1.{round}")).arg(folder).arg(stage.program("unpack"));
    command.spawn().context("package")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A web server left by a run that was killed used to answer for ours, and the intruder's shell was never seen.
    #[test]
    fn a_port_somebody_has_is_not_shared() {
        let theirs = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let port = theirs.local_addr().expect("its number").port();
        let error = free("httpd", port).expect_err("taken").to_string();
        assert!(error.contains("httpd needs 127.0.0.1:"), "{error}");
        drop(theirs);
        free("httpd", port).expect("free again");
    }
}
