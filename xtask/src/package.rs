//! `cargo xtask package`: the Debian package. Equal sources and tools give an equal file.

mod depends;
mod machine;
mod stage;
mod third_party;

use crate::aarch64;
use crate::shell::{command, root, run as run_loudly, target_dir};
use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use machine::Machine;
use stage::Stage;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Build the Debian package.
#[derive(Args)]
pub(crate) struct PackageArgs {
    /// Folder for the package; made anew if it is not there.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// How to compile what is in it.
    #[arg(long, value_enum, default_value = "release")]
    profile: Profile,
    /// What to compile for, if not for machines like this one; its tools are those of check-aarch64, and qemu-user.
    #[arg(long, value_enum)]
    arch: Option<Arch>,
    /// Compile nothing: take the programs in this folder.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["profile", "arch"])]
    programs: Option<PathBuf>,
}

/// A profile of cargo.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Profile {
    /// As tests are: quick to build again.
    Dev,
    /// As users get it, without the paths of the machine that built it.
    Release,
}

impl Profile {
    /// Where cargo puts what it builds so.
    pub(crate) fn folder(self) -> &'static str {
        match self {
            Self::Dev => "debug",
            Self::Release => "release",
        }
    }
}

/// Another architecture, by Debian's name.
#[derive(Clone, Copy, ValueEnum)]
enum Arch {
    /// 64-bit Arm.
    Arm64,
}

/// The programs, each with its manual pages and completions.
const PROGRAMS: &[&str] = &["ebbline-agent", "ebbline"];
/// Who answers for the package.
const MAINTAINER: &str = "The Ebbline authors <packages@ebbline.invalid>";
/// What `control` says about it, after the first line.
const DESCRIPTION: &str = "learns what is normal for processes and connections
 ebbline-agent records every process and connection with eBPF, into Parquet
 files. ebbline learns from them what is normal, scores each event by how rare
 it is, and shows what stands out with the reason beside it. Every event is
 stored, or counted as dropped with the reason.
";

pub(crate) fn run(args: &PackageArgs) -> Result<()> {
    let out = args.out.clone().unwrap_or_else(|| target_dir().join("package"));
    std::fs::create_dir_all(&out).with_context(|| format!("cannot make {}", out.display()))?;
    let programs = match (&args.programs, args.arch) {
        (Some(programs), _) => programs.clone(),
        (None, Some(Arch::Arm64)) => aarch64::compile(args.profile)?,
        (None, None) => compile(args.profile)?,
    };
    let made = build(&programs, &out, env!("CARGO_PKG_VERSION"), Packing::Small)?;
    println!("{}", made.display());
    Ok(())
}

/// Compiles the programs; returns their folder.
pub(crate) fn compile(profile: Profile) -> Result<PathBuf> {
    let mut line = vec!["cargo", "build", "--locked", "--bins"];
    match profile {
        // The same features as everywhere in the gate, so that nothing is compiled again.
        Profile::Dev => line.push("--workspace"),
        Profile::Release => {
            line.extend(["--package", "ebbline-agent-user", "--package", "ebbline-cli", "--profile", "release"]);
        }
    }
    let remap;
    if matches!(profile, Profile::Release) {
        remap = format!("build.rustflags={:?}", remapped()?);
        line.extend(["--config", &remap]);
    }
    run_loudly(&line)?;
    Ok(target_dir().join(profile.folder()))
}

/// Flags of the compiler that leave the paths of this machine out of the programs.
pub(crate) fn remapped() -> Result<[String; 2]> {
    let home = std::env::var("CARGO_HOME").or_else(|_| std::env::var("HOME").map(|home| home + "/.cargo"))?;
    let here = root();
    let here = here.to_str().context("the repository's path is not UTF-8")?;
    Ok([format!("--remap-path-prefix={home}=/cargo"), format!("--remap-path-prefix={here}=/ebbline")])
}

/// How the package is compressed.
#[derive(Clone, Copy)]
pub(crate) enum Packing {
    /// For users.
    Small,
    /// For tests.
    Fast,
}

/// Builds the package of this version from programs in a folder. Returns its path.
pub(crate) fn build(programs: &Path, out: &Path, version: &str, packing: Packing) -> Result<PathBuf> {
    let machine = Machine::of(&programs.join(PROGRAMS[0]))?;
    let (architecture, epoch) = (machine.architecture()?, epoch()?);
    let stage = Stage::make(&out.join(format!("stage-{}", std::process::id())))?;
    for name in PROGRAMS {
        program(&stage, machine, &programs.join(name), name)?;
    }
    system_files(&stage)?;
    documents(&stage, machine, version, epoch)?;
    control(&stage, machine, version)?;
    stage.settle(epoch)?;
    let made = out.join(format!("ebbline_{version}_{architecture}.deb"));
    let status = Command::new("dpkg-deb")
        .args(["--root-owner-group", "--build"])
        .args(if matches!(packing, Packing::Small) { ["-Zxz", "-z6"] } else { ["-Zgzip", "-z1"] })
        .args([stage.root(), &made])
        .env("SOURCE_DATE_EPOCH", epoch.to_string())
        .stdout(std::process::Stdio::null())
        .status()
        .context("dpkg-deb: cannot start")?;
    ensure!(status.success(), "dpkg-deb ended with {status}");
    Ok(made)
}

/// A program without symbols, its manual pages, and its completions where each shell looks.
fn program(stage: &Stage, machine: Machine, from: &Path, name: &str) -> Result<()> {
    let there = stage.put(&format!("usr/bin/{name}"), &std::fs::read(from)?, 0o755)?;
    said(Command::new(machine.strip()).args(["-R", ".comment"]).arg(&there))?;
    let pages = stage.scratch("man")?;
    said(machine.start(from).arg("man").arg(&pages))?;
    for page in std::fs::read_dir(&pages)? {
        let page = page?;
        let name = page.file_name().into_string().ok().context("a manual page has a name that is not UTF-8")?;
        stage.put_compressed(&format!("usr/share/man/man1/{name}.gz"), &std::fs::read(page.path())?)?;
    }
    for (shell, path) in [
        ("bash", format!("usr/share/bash-completion/completions/{name}")),
        ("zsh", format!("usr/share/zsh/vendor-completions/_{name}")),
        ("fish", format!("usr/share/fish/vendor_completions.d/{name}.fish")),
    ] {
        stage.put(&path, said(machine.start(from).args(["completions", shell]))?.as_bytes(), 0o644)?;
    }
    Ok(())
}

fn system_files(stage: &Stage) -> Result<()> {
    for (from, to) in [
        ("agent.toml", "etc/ebbline/agent.toml"),
        ("ebbline-agent.service", "lib/systemd/system/ebbline-agent.service"),
        ("sysusers.conf", "usr/lib/sysusers.d/ebbline.conf"),
        ("tmpfiles.conf", "usr/lib/tmpfiles.d/ebbline.conf"),
        ("gpu.conf", "usr/share/doc/ebbline/examples/gpu.conf"),
    ] {
        stage.put(to, &packaged(from)?, 0o644)?;
    }
    for script in ["postinst", "prerm", "postrm"] {
        stage.put(&format!("DEBIAN/{script}"), &packaged(&format!("debian/{script}"))?, 0o755)?;
    }
    stage.put("DEBIAN/conffiles", b"/etc/ebbline/agent.toml\n", 0o644)?;
    Ok(())
}

/// Licences and what changed, where Debian looks for them.
fn documents(stage: &Stage, machine: Machine, version: &str, epoch: u64) -> Result<()> {
    let folder = "usr/share/doc/ebbline";
    let mut copyright = String::from_utf8(packaged("debian/copyright")?)?;
    // The text of the licence, as a field: each line indented, empty ones as a dot.
    for line in std::fs::read_to_string(root().join("LICENSE-MIT"))?.lines().skip(2) {
        copyright.push_str(&format!(" {}\n", if line.is_empty() { "." } else { line }));
    }
    stage.put(&format!("{folder}/copyright"), copyright.as_bytes(), 0o644)?;
    stage.put_compressed(&format!("{folder}/third-party.gz"), third_party::text(&machine.target())?.as_bytes())?;
    let date = said(Command::new("date").args(["-u", "-R", "-d", &format!("@{epoch}")]).env("LC_ALL", "C"))?;
    let changelog =
        format!("ebbline ({version}) unstable; urgency=medium\n\n  * Version {version}.\n\n -- {MAINTAINER}  {date}\n");
    stage.put_compressed(&format!("{folder}/changelog.gz"), changelog.as_bytes())
}

fn control(stage: &Stage, machine: Machine, version: &str) -> Result<()> {
    let programs: Vec<PathBuf> = PROGRAMS.iter().map(|name| stage.root().join("usr/bin").join(name)).collect();
    let scratch = stage.scratch("shlibs")?;
    // The system is asked of its own libraries only.
    let libraries = match machine {
        Machine::Here => depends::libraries(&programs, &scratch)?,
        Machine::Aarch64 => depends::read(&programs)?,
    };
    let architecture = machine.architecture()?;
    let size = stage.kib()?;
    let text = format!(
        "Package: ebbline\nVersion: {version}\nArchitecture: {architecture}\nMaintainer: {MAINTAINER}\n\
         Installed-Size: {size}\nDepends: {libraries}, adduser\nRecommends: systemd\nSuggests: libvulkan1\n\
         Section: admin\nPriority: optional\nDescription: {DESCRIPTION}"
    );
    stage.put("DEBIAN/control", text.as_bytes(), 0o644)?;
    stage.put("DEBIAN/md5sums", stage.sums()?.as_bytes(), 0o644)?;
    Ok(())
}

fn packaged(name: &str) -> Result<Vec<u8>> {
    let path = root().join("packaging").join(name);
    std::fs::read(&path).with_context(|| path.display().to_string())
}

/// The time that files get: `SOURCE_DATE_EPOCH`, or that of the last commit.
fn epoch() -> Result<u64> {
    match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(text) => text.parse().context("SOURCE_DATE_EPOCH is not a number of seconds"),
        Err(_) => said(&mut command(&["git", "log", "-1", "--format=%ct"]))?.parse().context("git: time of the commit"),
    }
}

/// What a command says, which must end well.
fn said(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot start {command:?}"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?} ended with {}: {}", output.status, errors.trim());
    Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
}
