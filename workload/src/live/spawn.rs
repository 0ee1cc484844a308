//! Starting a job the way cron and service managers do: in a session of its own, under a user of its own.
//!
//! The only `unsafe` of this crate.

use anyhow::{Context, Result};
use rustix::process::{Signal, set_parent_process_death_signal, setsid};
use rustix::thread::{Gid, Uid, set_thread_groups, set_thread_res_gid, set_thread_res_uid};
use std::fs::File;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// Where jobs run: in this process's cgroup, or in another one which only they enter, so that whoever watches it sees
/// the jobs and not the program that starts them.
pub(super) struct Spawner {
    cgroup: Option<File>,
}

impl Spawner {
    /// For a cgroup v2 folder, or for none.
    pub(super) fn new(cgroup: Option<&Path>) -> Result<Self> {
        let open = |path: &Path| {
            let procs = path.join("cgroup.procs");
            File::options().write(true).open(&procs).with_context(|| format!("cannot write {}", procs.display()))
        };
        Ok(Self { cgroup: cgroup.map(open).transpose()? })
    }

    /// A command that will lead a new session as `user`, with nothing to read or print to.
    pub(super) fn session_leader(&self, program: &Path, user: u32) -> Result<Command> {
        let mut command = Command::new(program);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut cgroup = self.cgroup.as_ref().map(File::try_clone).transpose()?;
        let enter = move || {
            if let Some(procs) = &mut cgroup {
                procs.write_all(b"0")?;
            }
            setsid()?;
            if user != 0 {
                become_user(user)?;
            }
            // After the change of user, which would clear it: nothing stays behind when this program is killed.
            set_parent_process_death_signal(Some(Signal::KILL))?;
            Ok(())
        };
        // SAFETY: between fork and exec only system calls are made; nothing allocates or takes a lock.
        unsafe { command.pre_exec(enter) };
        Ok(command)
    }
}

/// Gives up root for good. Group first: afterwards there is no right to.
fn become_user(user: u32) -> std::io::Result<()> {
    let (uid, gid) = (Uid::from_raw(user), Gid::from_raw(user));
    set_thread_groups(&[])?;
    set_thread_res_gid(gid, gid, gid)?;
    set_thread_res_uid(uid, uid, uid)?;
    Ok(())
}
