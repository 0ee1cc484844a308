//! The folder the workload plays in: programs under their names, scripts, scratch space.

use super::spawn::Spawner;
use anyhow::{Context, Result};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Names this program takes, so that each role has an image path of its own.
const PROGRAMS: &[&str] =
    &["httpd", "deployd", "thumbnail", "fetch", "metricsd", "crond", "pkg", "unpack", "dbd", "worker"];

/// What cron-like jobs run. Plain tools of any Debian-like system, nothing that leaves the folder.
pub(super) const SCRIPTS: &[(&str, &str)] = &[
    ("backup.sh", "d=$(mktemp -d); cp \"$0\" $d/a; gzip -c $d/a > $d/a.gz; ls -l $d | sort > /dev/null; rm -r $d\n"),
    ("report.sh", "cut -d: -f1 /etc/passwd | sort | uniq -c | head -n 5 > /dev/null\n"),
    ("rotate.sh", "t=$(mktemp); date > $t; mv $t $t.1; rm $t.1\n"),
    ("health.sh", "df / | tail -n 1 | cut -c1-20 > /dev/null; uptime > /dev/null 2>&1; true\n"),
    ("cleanup.sh", "find /tmp -maxdepth 0 -name none > /dev/null; sleep 0.01\n"),
    ("checksum.sh", "sha256sum \"$0\" | cut -c1-16 > /dev/null; wc -l \"$0\" > /dev/null\n"),
];

/// Paths and ports of one run.
pub(crate) struct Stage {
    dir: PathBuf,
    spawner: Spawner,
}

impl Stage {
    /// Names the programs and writes the scripts under `dir`.
    pub(super) fn set(dir: &Path, cgroup: Option<&Path>) -> Result<Self> {
        for sub in ["bin", "cron", "scratch"] {
            let path = dir.join(sub);
            fs::create_dir_all(&path).with_context(|| format!("cannot make folder {}", path.display()))?;
        }
        // Jobs run under several users and must be able to work here.
        fs::set_permissions(dir.join("scratch"), fs::Permissions::from_mode(0o1777))?;
        let dir = dir.canonicalize()?;
        let me = std::env::current_exe()?;
        let stage = Self { dir, spawner: Spawner::new(cgroup)? };
        for name in PROGRAMS {
            install(&me, &stage.program(name))?;
        }
        for (name, body) in SCRIPTS {
            stage.write_script(&stage.script(name), body)?;
        }
        Ok(stage)
    }

    /// A command for one of the programs, as the leader of a session of its own.
    pub(super) fn leader(&self, name: &str, user: u32) -> Result<Command> {
        self.leader_at(&self.program(name), user)
    }

    pub(super) fn leader_at(&self, program: &Path, user: u32) -> Result<Command> {
        self.spawner.session_leader(program, user)
    }

    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.dir.join("bin").join(name)
    }

    pub(super) fn script(&self, name: &str) -> PathBuf {
        self.dir.join("cron").join(name)
    }

    pub(super) fn scratch(&self, name: &str) -> PathBuf {
        self.dir.join("scratch").join(name)
    }

    /// Writes an executable shell script.
    pub(super) fn write_script(&self, path: &Path, body: &str) -> Result<()> {
        fs::write(path, format!("#!/bin/sh\n{body}"))
            .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(0o755)))
            .with_context(|| format!("cannot write {}", path.display()))
    }
}

/// Gives an executable another name, unless that is taken (it may be running).
pub(super) fn install(from: &Path, to: &Path) -> Result<()> {
    if to.exists() || fs::hard_link(from, to).is_ok() {
        return Ok(());
    }
    fs::copy(from, to).with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    Ok(())
}
