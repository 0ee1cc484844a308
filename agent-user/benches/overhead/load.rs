//! What is made slower: a copy of this program under the load's user, in the load's cgroup.

use crate::{
    place::{Place, used_us},
    project,
};
use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Signal, set_parent_process_death_signal};
use serde::{Deserialize, Serialize};
use std::{
    fs,
    io::Read,
    net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket},
    path::Path,
    process::{Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

/// What is done over and over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Load {
    /// `/bin/true` is started by `posix_spawn` and waited for.
    Spawn,
    /// A TCP connection on loopback is made, accepted and closed.
    Connect,
    /// A datagram is sent from a connected socket and received.
    Send,
    /// A datagram is sent from an unconnected socket and received.
    SendTo,
    /// A C project is compiled and linked, two at a time.
    Build,
}

impl Load {
    pub(crate) const SHORT: [Self; 4] = [Self::Spawn, Self::Connect, Self::Send, Self::SendTo];

    /// As a person reads it.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Spawn => "spawn of /bin/true",
            Self::Connect => "TCP connect, accept, close",
            Self::Send => "UDP send, connected",
            Self::SendTo => "UDP send, unconnected",
            Self::Build => "parallel build",
        }
    }
}

/// What it took.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Took {
    pub(crate) wall_us: f64,
    /// Of everything in the cgroup.
    pub(crate) cpu_us: f64,
}

/// Has a copy of this program do it so many times.
pub(crate) fn act(place: &Place, load: Load, count: usize) -> Result<Took> {
    let output = place
        .load(&place.folder.join("overhead"))
        .args(["act", &serde_json::to_string(&load)?, &count.to_string()])
        .args([&place.load.0, &place.folder])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()?;
    ensure!(output.status.success(), "{}: the load ended with {}", load.words(), output.status);
    serde_json::from_slice(&output.stdout).context("the load said something else")
}

/// The part of the copy.
pub(crate) fn play(arguments: &[String]) -> Result<()> {
    let [load, count, cgroup, folder] = arguments else { bail!("wrong arguments") };
    // Changing the user took it away.
    set_parent_process_death_signal(Some(Signal::TERM))?;
    let (load, count, cgroup): (Load, usize, _) = (serde_json::from_str(load)?, count.parse()?, Path::new(cgroup));
    let project = project::folder(Path::new(folder));
    if load == Load::Build {
        project::clean(&project)?;
    }
    let mut action = action(load, &project)?;
    let used = settled_us(cgroup)?;
    let start = Instant::now();
    for _ in 0..count {
        action()?;
    }
    let wall_us = start.elapsed().as_secs_f64() * 1e6;
    let took = Took { wall_us, cpu_us: settled_us(cgroup)? - used };
    println!("{}", serde_json::to_string(&took)?);
    Ok(())
}

/// Processor time of the cgroup: the kernel adds what runs when it stops running, at the latest with its next tick.
fn settled_us(cgroup: &Path) -> Result<f64> {
    sleep(Duration::from_millis(1));
    used_us(cgroup)
}

fn action(load: Load, project: &Path) -> Result<Box<dyn FnMut() -> Result<()>>> {
    Ok(match load {
        Load::Spawn => Box::new(|| {
            ensure!(Command::new("/bin/true").status()?.success(), "/bin/true failed");
            Ok(())
        }),
        Load::Connect => stream()?,
        Load::Send => datagram(true)?,
        Load::SendTo => datagram(false)?,
        Load::Build => {
            let project = project.to_path_buf();
            Box::new(move || project::build(&project))
        }
    })
}

fn stream() -> Result<Box<dyn FnMut() -> Result<()>>> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let there = listener.local_addr()?;
    Ok(Box::new(move || {
        let client = TcpStream::connect(there)?;
        let (mut server, _) = listener.accept()?;
        drop(client);
        ensure!(server.read(&mut [0; 1])? == 0, "nobody wrote anything");
        Ok(())
    }))
}

fn datagram(connected: bool) -> Result<Box<dyn FnMut() -> Result<()>>> {
    let receiver = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let sender = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let there = receiver.local_addr()?;
    if connected {
        sender.connect(there)?;
    }
    let mut bytes = [7; 64];
    Ok(Box::new(move || {
        if connected {
            sender.send(&bytes)?
        } else {
            sender.send_to(&bytes, there)?
        };
        ensure!(receiver.recv(&mut bytes)? == 64, "another datagram came");
        Ok(())
    }))
}

/// A copy of this program where the load's user may start it.
pub(crate) fn install(folder: &Path) -> Result<()> {
    fs::copy(std::env::current_exe()?, folder.join("overhead")).context("cannot copy this program")?;
    Ok(())
}
