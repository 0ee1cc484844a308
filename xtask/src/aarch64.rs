//! Whether what a server installs compiles for aarch64.
//!
//! The compiler is Debian's `rustc-web`, as for the kernel programs, since Debian has its standard library for aarch64 in
//! the very same version. That package is of another architecture: it is unpacked to the side and given as the
//! compiler's root, and the system's packages stay as they are.

use crate::apt::{View, output};
use crate::ebpf::cargo_home;
use crate::package::{Profile, remapped};
use crate::setup::{install_missing, is_root};
use crate::shell::{command, run as shell, target_dir, works};
use anyhow::{Context, Result, bail, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "aarch64-unknown-linux-gnu";
const RUSTC: &str = "/usr/bin/rustc";
const STD: &str = "libstd-rust-web-dev";
/// The C compiler: what build scripts compile, and the linker.
const CC: &str = "aarch64-linux-gnu-gcc";
const EMULATOR: &str = "qemu-aarch64";
/// Where the emulated programs find their libraries.
const LIBRARIES: &str = "/usr/aarch64-linux-gnu";
/// What is kept of checks at most, before it is made anew: a checkout adds a tenth of the 430 MiB of the first.
const KEPT_KIB: u64 = 2 << 20;
const PACKAGES: &[(&str, &str)] = &[
    ("rustc-web", "compiler"),
    ("gcc-aarch64-linux-gnu", "compiler of the C that two dependencies bring"),
    ("libc6-dev-arm64-cross", "its headers"),
];

/// Check that what a server installs compiles for aarch64.
#[derive(clap::Args)]
pub(crate) struct Aarch64Args {
    /// Install the compilers and the standard library first (packages as root on Debian 12); else say what is missing
    #[arg(long)]
    pub(crate) install: bool,
    /// Build the programs as well, and start each under emulation if qemu-user is installed
    #[arg(long)]
    pub(crate) link: bool,
}

/// Runs the chore.
pub(crate) fn run(args: &Aarch64Args) -> Result<()> {
    if cfg!(target_arch = "aarch64") {
        eprintln!("this machine is one: what it builds is for aarch64");
        return Ok(());
    }
    if args.install {
        install()?;
    }
    require_tools()?;
    if !args.link {
        return cargo("check", Profile::Dev, &kept()?);
    }
    let programs = compile(Profile::Dev)?;
    ["ebbline-agent", "ebbline"].iter().try_for_each(|name| start(&programs.join(name)))
}

/// Whether all that it takes is there.
pub(crate) fn ready() -> bool {
    require_tools().is_ok()
}

/// Where programs are built: a folder of its own, as the compiler is another.
fn folder() -> PathBuf {
    target_dir().join("aarch64")
}

/// Where checks are kept. It is shared by all checkouts, beside the standard library: nearly all of it is about the
/// dependencies, which are the same for all.
fn kept() -> Result<PathBuf> {
    let folder = cargo_home()?.join(format!("ebbline/check-{TARGET}"));
    let said = output(Command::new("du").arg("-sk").arg(&folder)).unwrap_or_default();
    let kib: u64 = said.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0);
    if kib > KEPT_KIB {
        std::fs::remove_dir_all(&folder).with_context(|| format!("cannot clear {}", folder.display()))?;
    }
    Ok(folder)
}

/// The version of the compiler's package.
fn version() -> Result<String> {
    let said = output(&mut command(&["dpkg-query", "-W", "-f=${Version}", "rustc-web"])).unwrap_or_default();
    ensure!(!said.is_empty() && works(&[RUSTC, "-vV"]), "aarch64: rustc-web is not installed");
    Ok(said)
}

/// Where the standard library of a version is kept, shared by all checkouts.
fn std_root(version: &str) -> Result<PathBuf> {
    Ok(cargo_home()?.join(format!("ebbline/std-{TARGET}-{version}")))
}

fn has_std(version: &str) -> Result<bool> {
    Ok(std_root(version)?.join("usr/lib/rustlib").join(TARGET).join("lib").is_dir())
}

fn require_tools() -> Result<()> {
    let names: Vec<&str> = PACKAGES.iter().map(|(name, _)| *name).collect();
    let (version, packages) = (version(), names.join(" "));
    if !works(&[CC, "--version"]) || !Path::new(LIBRARIES).join("include/stdlib.h").exists() || version.is_err() {
        bail!(
            "aarch64: a compiler is missing; on Debian 12, as root: apt-get install --no-install-recommends {packages}"
        );
    }
    let version = version?;
    if !has_std(&version)? {
        bail!("aarch64: the standard library {version} is missing; cargo xtask check-aarch64 --install fetches it");
    }
    Ok(())
}

fn install() -> Result<()> {
    install_missing(PACKAGES)?;
    let version = version()?;
    if has_std(&version)? {
        return Ok(());
    }
    let Err(error) = fetch_std(&version) else { return Ok(()) };
    // Debian keeps the newest version only, and the compiler here is an older one.
    if !is_root() {
        return Err(error.context(format!("aarch64: {STD} {version}; is rustc-web up to date?")));
    }
    eprintln!("{error:#}; trying again with the newest compiler");
    shell(&["apt-get", "update", "-qq"])?;
    shell(&["apt-get", "install", "-y", "-qq", "--no-install-recommends", "rustc-web", "libstd-rust-web-dev-bpf"])?;
    let newest = self::version()?;
    ensure!(newest != version, "aarch64: {STD} {version}: {error:#}");
    fetch_std(&newest).with_context(|| format!("aarch64: {STD} {newest}"))
}

/// Downloads and unpacks the standard library.
fn fetch_std(version: &str) -> Result<()> {
    let folder = folder().join("apt");
    let view = View::update(folder.clone(), &["APT::Architecture=arm64", "APT::Architectures=arm64"])?;
    let deb = view.download(&format!("{STD}={version}"), &folder)?;
    let whole = std_root(version)?;
    let part = whole.with_file_name(format!("std-{TARGET}-part-{}", std::process::id()));
    std::fs::create_dir_all(&part).with_context(|| format!("cannot make {}", part.display()))?;
    output(Command::new("dpkg-deb").arg("-x").arg(&deb).arg(&part))?;
    std::fs::remove_file(&deb)?;
    std::fs::rename(&part, &whole).with_context(|| format!("cannot make {}", whole.display()))
}

/// Compiles the programs; returns their folder.
pub(crate) fn compile(profile: Profile) -> Result<PathBuf> {
    require_tools()?;
    cargo("build", profile, &folder())?;
    Ok(folder().join(TARGET).join(profile.folder()))
}

/// What a server installs, features and all, as `cargo xtask package` builds it.
fn cargo(verb: &str, profile: Profile, into: &Path) -> Result<()> {
    let line = ["cargo", verb, "--locked", "--package", "ebbline-agent-user", "--package", "ebbline-cli", "--bins"];
    let mut cargo = command(&line);
    cargo.args(["--target", TARGET]).env("CARGO_TARGET_DIR", into).env("RUSTC", RUSTC);
    // With a target these go to what is compiled for it, not to build scripts.
    let mut flags = vec![format!("--sysroot={}", std_root(&version()?)?.join("usr").display())];
    if matches!(profile, Profile::Release) {
        cargo.arg("--release");
        flags.extend(remapped()?);
    }
    cargo.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"));
    cargo.env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", CC).env(format!("CC_{TARGET}"), CC);
    // Of the other profile nothing runs for long.
    cargo.env("CARGO_PROFILE_DEV_OPT_LEVEL", "0").env("CARGO_PROFILE_DEV_DEBUG", "false").env("CARGO_INCREMENTAL", "0");
    for inherited in ["RUSTFLAGS", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "CARGO_BUILD_TARGET"] {
        cargo.env_remove(inherited);
    }
    eprintln!("$ {} --target {TARGET}", line.join(" "));
    let status = cargo.status().context("cannot start cargo")?;
    ensure!(status.success(), "aarch64: cargo {verb} ended with {status}");
    Ok(())
}

/// Starts a program under emulation. It says its version, so that it was linked and loads.
fn start(program: &Path) -> Result<()> {
    if !works(&[EMULATOR, "--version"]) {
        eprintln!("NOT STARTED: {}: there is no {EMULATOR}", program.display());
        return Ok(());
    }
    let said = output(emulated(program).arg("--version"))?;
    eprintln!("{}: {}", program.display(), said.trim());
    Ok(())
}

/// A program of such a machine, on this one.
pub(crate) fn emulated(program: &Path) -> Command {
    let mut command = Command::new(EMULATOR);
    command.args(["-L", LIBRARIES]).arg(program);
    command
}
