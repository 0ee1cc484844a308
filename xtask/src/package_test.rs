//! `cargo xtask package-test`: the package through its life, on a Debian made for it: install, run, upgrade, remove,
//! install again, purge.

mod agent;
mod machine;

use crate::package::{self, Packing, Profile};
use crate::setup;
use crate::shell::{root, target_dir, works};
use agent::Agent;
use anyhow::{Context, Result, ensure};
use clap::Args;
use machine::Machine;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Install, run, upgrade, remove and purge the package on a Debian of its own, in a folder.
#[derive(Args, Default)]
pub(crate) struct PackageTestArgs {
    /// Already in a mount namespace of its own, with the packages built.
    #[arg(long, hide = true)]
    inside: bool,
    /// Compile nothing: take the programs in this folder.
    #[arg(long, value_name = "DIR")]
    programs: Option<PathBuf>,
}

/// Added to the version for an upgrade.
const NEWER: &str = "+newer";
const VERSION: &str = env!("CARGO_PKG_VERSION");
const CONFIG: &str = "etc/ebbline/agent.toml";
const ARCHIVE: &str = "var/lib/ebbline";

pub(crate) fn run(args: &PackageTestArgs) -> Result<()> {
    if let Some(why) = cannot() {
        ensure!(std::env::var("CI").as_deref() != Ok("true"), "the package cannot be tested: {why}");
        eprintln!("SKIPPED: the package cannot be tested: {why}");
        return Ok(());
    }
    let out = target_dir().join("package-test");
    if args.inside {
        return life(&out);
    }
    machine::prepare(&out)?;
    let programs = args.programs.clone().map_or_else(|| package::compile(Profile::Dev), Ok)?;
    let made = package::build(&programs, &out, VERSION, Packing::Fast)?;
    let first = std::fs::read(&made)?;
    ensure!(
        std::fs::read(package::build(&programs, &out, VERSION, Packing::Fast)?)? == first,
        "the package differs when built again"
    );
    package::build(&programs, &out, &format!("{VERSION}{NEWER}"), Packing::Fast)?;
    // Mounts of a namespace go with its last process, however that ends.
    // Not by its name: a build of the whole workspace may just have put another file there.
    let this = format!("/proc/{}/exe", std::process::id());
    let unshare = ["--mount", "--propagation", "private", "--"];
    let status = Command::new("unshare").args(unshare).arg(this).args(["package-test", "--inside"]).status()?;
    ensure!(status.success(), "the package's life ended with {status}");
    Ok(())
}

/// What this machine lacks for it.
fn cannot() -> Option<&'static str> {
    match () {
        () if !setup::is_root() => Some("it takes root"),
        () if !works(&["debootstrap", "--version"]) => Some("debootstrap is not installed"),
        () if !works(&["dpkg-deb", "--version"]) => Some("dpkg-deb is not installed"),
        () => None,
    }
}

fn life(out: &Path) -> Result<()> {
    let machine = Machine::start(out)?;
    let package = |version: &str| -> Result<PathBuf> {
        let architecture = machine.says(&["dpkg", "--print-architecture"])?;
        Ok(out.join(format!("ebbline_{version}_{}.deb", architecture.trim())))
    };
    let newer = format!("{VERSION}{NEWER}");
    let before = machine.files()?;
    let users = machine.users()?;

    step("install", || {
        machine.install(&package(VERSION)?)?;
        installed(&machine)
    })?;
    step("capture", || {
        captured(&machine)?;
        learned(&machine)
    })?;
    step("edit the configuration, upgrade", || {
        machine.edit(
            CONFIG,
            "#baseline = \"/var/lib/ebbline/normal.baseline\"",
            "baseline = \"/var/lib/ebbline/normal.baseline\"",
        )?;
        let kept = machine.contents(&[ARCHIVE, CONFIG])?;
        machine.install(&package(&newer)?)?;
        ensure!(machine.version()? == newer, "the version is {}", machine.version()?);
        ensure!(machine.contents(&[ARCHIVE, CONFIG])? == kept, "the upgrade changed the archive or the configuration");
        Ok(())
    })?;
    step("score, with what was there before the upgrade", || scored(&machine))?;
    let kept = machine.contents(&[ARCHIVE, CONFIG])?;
    step("remove", || {
        machine.apt(&["remove", "-y", "ebbline"])?;
        ensure!(!machine.at("usr/bin/ebbline-agent").exists(), "the program is still there");
        ensure!(machine.contents(&[ARCHIVE, CONFIG])? == kept, "removal changed the archive or the configuration");
        Ok(())
    })?;
    step("install again", || {
        machine.install(&package(&newer)?)?;
        ensure!(machine.contents(&[ARCHIVE, CONFIG])? == kept, "installing changed the archive or the configuration");
        scored(&machine)
    })?;
    step("purge", || {
        machine.apt(&["purge", "-y", "ebbline"])?;
        let after = machine.files()?;
        let left: Vec<&String> = after.difference(&before).collect();
        let gone: Vec<&String> = before.difference(&after).collect();
        ensure!(left.is_empty() && gone.is_empty(), "left behind: {left:?}; taken: {gone:?}");
        let added: Vec<String> = machine.users()?.difference(&users).cloned().collect();
        ensure!(added.iter().all(|line| line.contains("ebbline")), "users: {added:?}");
        Ok(())
    })
}

/// What must be there after the first installation.
fn installed(machine: &Machine) -> Result<()> {
    let stat = machine.says(&["stat", "-c", "%U:%G:%a", "/var/lib/ebbline", "/etc/ebbline/agent.toml"])?;
    ensure!(stat == "ebbline:ebbline:750\nroot:root:644\n", "owners and modes: {stat}");
    let shipped = std::fs::read_to_string(root().join("packaging/agent.toml"))?;
    ensure!(machine.says(&["ebbline-agent", "config"])? == shipped, "the installed file is not what the agent prints");
    machine.says(&["ebbline-agent", "config", "--check", "/etc/ebbline/agent.toml"])?;
    for program in ["ebbline-agent", "ebbline"] {
        ensure!(machine.says(&[program, "--version"])?.contains(VERSION), "{program} has another version");
    }
    let owned = machine.says(&["dpkg", "-L", "ebbline"])?;
    for path in [
        "/usr/share/man/man1/ebbline-agent-run.1.gz",
        "/usr/share/man/man1/ebbline-score.1.gz",
        "/usr/share/bash-completion/completions/ebbline-agent",
        "/usr/share/zsh/vendor-completions/_ebbline",
        "/usr/share/fish/vendor_completions.d/ebbline.fish",
        "/usr/share/doc/ebbline/copyright",
        "/usr/lib/sysusers.d/ebbline.conf",
    ] {
        ensure!(owned.lines().any(|line| line == path), "{path} is not in the package");
    }
    ensure!(machine.says(&["dpkg", "--verify", "ebbline"])?.is_empty(), "files differ from their sums");
    machine.says(&["ebbline-agent", "doctor", "--cgroup", machine.cgroup()]).map(drop)
}

/// The agent starts as its unit says, captures, and stops.
fn captured(machine: &Machine) -> Result<()> {
    machine.edit(CONFIG, "#cgroup = \"/sys/fs/cgroup/system.slice\"", &format!("cgroup = {:?}", machine.cgroup()))?;
    machine.edit(CONFIG, "#host = \"web1\"", "host = \"fresh\"")?;
    let agent = Agent::start(machine)?;
    machine.work(20)?;
    agent.wait_for_execs(20)?;
    agent.stop()
}

fn learned(machine: &Machine) -> Result<()> {
    let baseline = "/var/lib/ebbline/normal.baseline";
    let text = machine.says(&["ebbline", "learn", "/var/lib/ebbline", "--out", baseline, "--json"])?;
    let rows = serde_json::from_str::<serde_json::Value>(&text)?["rows"].as_u64();
    ensure!(rows >= Some(40), "learned {text}");
    machine.says(&["chown", "ebbline:ebbline", baseline]).map(drop)
}

/// The older baseline scores what is captured now, and the older archive still opens.
fn scored(machine: &Machine) -> Result<()> {
    let agent = Agent::start(machine)?;
    machine.work(5)?;
    agent.wait_for_execs(5)?;
    ensure!(agent.status()?["baseline"].is_string(), "the agent has no baseline");
    agent.stop()?;
    learned(machine)?;
    machine.says(&["ebbline", "show", "/var/lib/ebbline"]).map(drop)
}

fn step<T>(name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let start = std::time::Instant::now();
    let result = work().with_context(|| name.to_owned())?;
    eprintln!("{name}: {:.1} s", start.elapsed().as_secs_f64());
    Ok(result)
}
