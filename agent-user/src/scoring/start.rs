//! Who starts the scorer, and ends it.

use crate::{sandbox::Plan, upload::without_credentials};
use std::{
    io::Result,
    os::{
        fd::OwnedFd,
        unix::net::UnixStream,
        unix::process::{CommandExt, ExitStatusExt},
    },
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

/// Starts scorers, one at a time.
pub trait Starter: Send {
    /// Starts one; its standard input is the other end of the socket.
    ///
    /// # Errors
    /// If the system gives no socket or no process.
    fn start(&mut self) -> Result<UnixStream>;
    /// Ends the one that was started last: it has this long to do so by itself. Returns in words how it ended.
    fn stop(&mut self, patience: Duration) -> String;
}

/// A child of this process, from its own file.
pub struct OwnProcess {
    program: PathBuf,
    /// What it is to keep.
    plan: Option<Plan>,
    child: Option<Child>,
}

impl Default for OwnProcess {
    fn default() -> Self {
        Self::of("/proc/self/exe".into())
    }
}

impl OwnProcess {
    /// Starts this program, which is an `ebbline-agent`.
    #[must_use]
    pub fn of(program: PathBuf) -> Self {
        Self { program, plan: None, child: None }
    }

    /// It locks itself down by a plan.
    #[must_use]
    pub fn confined(mut self, plan: Plan) -> Self {
        self.plan = Some(plan);
        self
    }

    /// Process id of the scorer that runs.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }
}

impl Starter for OwnProcess {
    fn start(&mut self) -> Result<UnixStream> {
        self.stop(Duration::ZERO);
        let (ours, theirs) = UnixStream::pair()?;
        let mut command = Command::new(&self.program);
        without_credentials(&mut command);
        // Standard output is for the agent's status lines.
        command.arg0("ebbline-agent").arg("scorer").stdin(OwnedFd::from(theirs)).stdout(Stdio::null());
        self.plan.iter().for_each(|plan| plan.hand_to(&mut command));
        self.child = Some(command.spawn()?);
        Ok(ours)
    }

    fn stop(&mut self, patience: Duration) -> String {
        let Some(mut child) = self.child.take() else { return "it never began".into() };
        let asked = Instant::now();
        while asked.elapsed() < patience {
            match child.try_wait() {
                Ok(None) => std::thread::sleep(Duration::from_millis(10)),
                Ok(Some(status)) => return words(status),
                Err(error) => return error.to_string(),
            }
        }
        let _ = child.kill(); // it may just have ended
        child.wait().map_or_else(|error| error.to_string(), words)
    }
}

impl Drop for OwnProcess {
    fn drop(&mut self) {
        self.stop(Duration::ZERO);
    }
}

fn words(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (_, Some(signal)) => format!("signal {signal}"),
        _ => status.to_string(),
    }
}
