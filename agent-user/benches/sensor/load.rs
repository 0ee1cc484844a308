//! What makes events: a copy of this program, in the cgroup that is watched.

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use rustix::net::{AddressFamily, SocketType, connect, socket};
use serde::{Deserialize, Serialize};
use std::{
    io::Read,
    net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// What is done over and over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// A tiny program is started and waited for: fork, exec, exit.
    Exec,
    /// A UDP socket is connected again: connect.
    Connect,
    /// A TCP connection is refused: connect, close.
    Refused,
    /// A TCP connection is made on loopback and closed: connect, accept, two closes.
    Stream,
}

/// How much of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Amount {
    /// Actions a second; 0 for as fast as possible.
    pub(crate) rate: u64,
    /// For how long.
    pub(crate) seconds: f64,
    /// How many at most.
    pub(crate) most: u64,
    pub(crate) threads: u64,
}

/// What was done.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Done {
    pub(crate) actions: u64,
    pub(crate) seconds: f64,
}

impl Done {
    pub(crate) fn rate(self) -> f64 {
        self.actions as f64 / self.seconds
    }

    pub(crate) fn ns_each(self) -> f64 {
        self.seconds * 1e9 / self.actions as f64
    }
}

/// Has a copy of this program act in a cgroup.
pub(crate) fn act(cgroup: &Path, folder: &Path, kind: Kind, amount: Amount) -> Result<Done> {
    let Amount { rate, seconds, most, threads } = amount;
    let name = kind.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
    let output = Command::new(std::env::current_exe()?)
        .args(["act", &name, &rate.to_string(), &seconds.to_string(), &most.to_string(), &threads.to_string()])
        .args([cgroup, folder])
        .stderr(Stdio::inherit())
        .output()?;
    ensure!(output.status.success(), "the load ended with {}", output.status);
    serde_json::from_slice(&output.stdout).context("the load said something else")
}

/// The part of the copy. It comes into the cgroup from outside, so that its own beginning is not seen.
pub(crate) fn play(arguments: &[String]) -> Result<()> {
    let [kind, rate, seconds, most, threads, cgroup, folder] = arguments else { bail!("wrong arguments") };
    let kind = Kind::from_str(kind, true).map_err(anyhow::Error::msg)?;
    let amount =
        Amount { rate: rate.parse()?, seconds: seconds.parse()?, most: most.parse()?, threads: threads.parse()? };
    let tiny = tiny_program(Path::new(folder))?;
    std::fs::write(Path::new(cgroup).join("cgroup.procs"), "0").context("cannot join the cgroup")?;
    let start = Instant::now();
    let threads: Vec<_> = (0..amount.threads)
        .map(|_| {
            let tiny = tiny.clone();
            std::thread::spawn(move || thread(kind, amount, &tiny))
        })
        .collect();
    let mut actions = 0;
    for thread in threads {
        actions += thread.join().map_err(|_| anyhow::anyhow!("a thread of the load panicked"))??;
    }
    println!("{}", serde_json::to_string(&Done { actions, seconds: start.elapsed().as_secs_f64() })?);
    Ok(())
}

fn thread(kind: Kind, amount: Amount, tiny: &Path) -> Result<u64> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let there = listener.local_addr()?;
    // A port that was just free and nobody listens on.
    let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
    let udp = socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    let mut port = 9;
    paced(amount, || {
        match kind {
            Kind::Exec => ensure!(Command::new(tiny).status()?.success(), "the tiny program failed"),
            Kind::Connect => {
                port ^= 1;
                connect(&udp, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, port))?;
            }
            Kind::Refused => drop(TcpStream::connect(closed)),
            Kind::Stream => {
                let client = TcpStream::connect(there)?;
                let (mut server, _) = listener.accept()?;
                drop(client);
                ensure!(server.read(&mut [0; 1])? == 0, "nobody wrote anything");
            }
        }
        Ok(())
    })
}

fn paced(amount: Amount, mut action: impl FnMut() -> Result<()>) -> Result<u64> {
    let (start, mut done) = (Instant::now(), 0);
    let rate = amount.rate as f64 / amount.threads as f64;
    loop {
        let elapsed = start.elapsed().as_secs_f64();
        if elapsed >= amount.seconds || done >= amount.most {
            return Ok(done);
        }
        if amount.rate == 0 || (done as f64) < elapsed * rate {
            action()?;
            done += 1;
        } else {
            std::thread::sleep(Duration::from_micros(200));
        }
    }
}

/// A static program of one page that does nothing but end: what starting it costs is the kernel's work.
fn tiny_program(folder: &Path) -> Result<std::path::PathBuf> {
    const ENTRY: u64 = 0x40_0078;
    #[cfg(target_arch = "x86_64")]
    let (machine, code) = (62u16, [0x31, 0xff, 0x6a, 0x3c, 0x58, 0x0f, 0x05]);
    #[cfg(target_arch = "aarch64")]
    let (machine, code) = (183u16, [0x00, 0x00, 0x80, 0xd2, 0xa8, 0x0b, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4]);
    let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let size = 0x78 + code.len() as u64;
    elf.extend([2u16, machine].map(u16::to_le_bytes).concat());
    elf.extend(1u32.to_le_bytes());
    elf.extend([ENTRY, 64, 0].map(u64::to_le_bytes).concat());
    elf.extend(0u32.to_le_bytes());
    elf.extend([64u16, 56, 1, 64, 0, 0].map(u16::to_le_bytes).concat());
    elf.extend([1u32, 5].map(u32::to_le_bytes).concat());
    elf.extend([0, 0x40_0000, 0x40_0000, size, size, 4096].map(u64::to_le_bytes).concat());
    elf.extend(code);
    let path = folder.join(format!("tiny-{}", std::process::id()));
    std::fs::write(&path, elf)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
    Ok(path)
}
