//! The kernel programs' object: build it from source, or check that the committed one is what the sources give.
//!
//! The compiler is Debian's `rustc-web`, which ships `core` for BPF; the linker is built against the same LLVM. The
//! linker is pinned by version, the compiler only by that of its LLVM; the flags are fixed, as debug information and paths
//! change what comes out.

use crate::ebpf_compare::differences;
use crate::setup::is_root;
use crate::shell::{command, root, run as shell, works};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};

const OBJECT: &str = "agent-ebpf/prebuilt/ebbline.bpf.o";
const TARGET: &str = "bpfel-unknown-none";
const PACKAGES: &[&str] = &["rustc-web", "libstd-rust-web-dev-bpf", "llvm-22-dev"];
const RUSTC: &str = "/usr/bin/rustc";
const LLVM: &str = "22";
const LLVM_PREFIX: &str = "/usr/lib/llvm-22";
const LINKER_VERSION: &str = "0.10.3";

/// Build the kernel programs from source into `agent-ebpf/prebuilt`.
#[derive(clap::Args)]
pub(crate) struct EbpfArgs {
    /// Build to the side and fail if a program, a constant, a relocation or a map differs from the committed object
    #[arg(long)]
    pub(crate) check: bool,
    /// Install the BPF compiler and linker first (as root on Debian 12); else say which commands would.
    /// Alone, build nothing.
    #[arg(long)]
    pub(crate) install: bool,
}

/// Runs the chore.
pub(crate) fn run(args: EbpfArgs) -> Result<()> {
    if args.install {
        install()?;
        if !args.check {
            return Ok(());
        }
    }
    require_tools()?;
    let built = build()?;
    let committed = root().join(OBJECT);
    if args.check {
        let differences = differences(&read(&committed)?, &read(&built)?)?;
        if !differences.is_empty() {
            bail!(
                "kernel object: {OBJECT}: differs from its sources in {}; run cargo xtask ebpf",
                differences.join(", ")
            );
        }
        eprintln!("{OBJECT} is what its sources give");
        return Ok(());
    }
    std::fs::create_dir_all(committed.parent().context("the object has no folder")?)?;
    let partial = committed.with_extension("tmp");
    std::fs::copy(&built, &partial)?;
    std::fs::rename(&partial, &committed)?;
    eprintln!("wrote {OBJECT}, {} bytes", read(&committed)?.len());
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("kernel object: {}", path.display()))
}

pub(crate) fn cargo_home() -> Result<PathBuf> {
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo"));
    std::env::var_os("CARGO_HOME").map(PathBuf::from).or(home).context("neither CARGO_HOME nor HOME is set")
}

/// Where the linker is kept, out of the way of other versions and shared by all checkouts.
fn linker_root() -> Result<PathBuf> {
    Ok(cargo_home()?.join(format!("ebbline/bpf-linker-{LINKER_VERSION}-llvm{LLVM}")))
}

fn linker() -> Result<PathBuf> {
    Ok(linker_root()?.join("bin/bpf-linker"))
}

fn compiler_ready() -> bool {
    let version = command(&[RUSTC, "-vV"]).output().map(|output| output.stdout).unwrap_or_default();
    let llvm = format!("LLVM version: {LLVM}.");
    let libdir = command(&[RUSTC, "--print", "target-libdir", "--target", TARGET]).output();
    String::from_utf8_lossy(&version).contains(&llvm)
        && libdir.is_ok_and(|output| Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir())
        && Path::new(LLVM_PREFIX).join("bin/llvm-strip").exists()
}

fn linker_ready() -> Result<bool> {
    Ok(works(&[&linker()?.to_string_lossy(), "--version"]))
}

fn linker_command() -> Result<Vec<String>> {
    let root = linker_root()?.to_string_lossy().into_owned();
    let install = ["cargo", "install", "bpf-linker", "--locked", "--no-default-features", "--features", "llvm-22"];
    let mut line = vec!["env".to_owned(), format!("LLVM_PREFIX={LLVM_PREFIX}")];
    line.push(format!("LLVM_SYS_221_PREFIX={LLVM_PREFIX}"));
    line.extend(install.map(str::to_owned));
    line.extend(["--version".to_owned(), LINKER_VERSION.to_owned(), "--root".to_owned(), root]);
    Ok(line)
}

fn apt_command() -> Vec<&'static str> {
    let mut line = vec!["apt-get", "install", "-y", "-qq", "--no-install-recommends"];
    line.extend(PACKAGES);
    line
}

/// Whether compiler and linker are there.
pub(crate) fn ready() -> bool {
    compiler_ready() && linker_ready().unwrap_or(false)
}

/// Installs what is missing where that is allowed.
fn install() -> Result<()> {
    if !compiler_ready() {
        if !is_root() || !works(&["apt-get", "--version"]) {
            return require_tools();
        }
        shell(&["apt-get", "update", "-qq"])?;
        shell(&apt_command())?;
    }
    if !linker_ready()? {
        shell(&linker_command()?.iter().map(String::as_str).collect::<Vec<_>>())?;
    }
    require_tools()
}

fn require_tools() -> Result<()> {
    let mut commands = Vec::new();
    if !compiler_ready() {
        commands.push(apt_command().join(" "));
    }
    if !linker_ready()? {
        commands.push(linker_command()?.join(" "));
    }
    if commands.is_empty() {
        return Ok(());
    }
    bail!(
        "kernel object: the BPF compiler or linker is missing; on Debian 12 run, the first as root:\n    {}",
        commands.join("\n    ")
    )
}

/// Where cargo unpacks packages: one folder per registry, named after its host, which has no place in the object.
fn registries(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut fetch = command(&["cargo", "fetch", "--locked", "--quiet"]);
    let status = fetch.current_dir(folder).status().context("cannot start cargo")?;
    if !status.success() {
        bail!("kernel object: cargo fetch in agent-ebpf ended with {status}");
    }
    let sources = cargo_home()?.join("registry/src");
    let entries = std::fs::read_dir(&sources).with_context(|| format!("kernel object: {}", sources.display()))?;
    Ok(entries.map(|entry| entry.map(|entry| entry.path())).collect::<std::io::Result<_>>()?)
}

/// Builds and strips; returns where the object lies.
fn build() -> Result<PathBuf> {
    let folder = root().join("agent-ebpf");
    let mut flags = vec![
        format!("-Clinker={}", linker()?.display()),
        "-Cdebuginfo=2".to_owned(),
        "-Clink-arg=--btf".to_owned(),
        format!("--remap-path-prefix={}=.", root().display()),
    ];
    flags.extend(registries(&folder)?.iter().map(|path| format!("--remap-path-prefix={}=crates", path.display())));
    let mut cargo = command(&["cargo", "build", "--release", "--locked", "--target", TARGET]);
    cargo.current_dir(&folder).env("RUSTC", RUSTC);
    // aya-ebpf and one instruction of ours need features that are not stable for this target; no other crate gets them.
    cargo.env("RUSTC_BOOTSTRAP", "aya_ebpf,ebbline_bpf").env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"));
    cargo.env("CARGO_TARGET_DIR", folder.join("target"));
    for inherited in ["RUSTFLAGS", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "CARGO_BUILD_TARGET"] {
        cargo.env_remove(inherited);
    }
    let status = cargo.status().context("cannot start cargo")?;
    if !status.success() {
        bail!("kernel object: cargo build in agent-ebpf ended with {status}");
    }
    let built = folder.join("target").join(TARGET).join("release/ebbline-bpf");
    let stripped = built.with_extension("stripped.o");
    let strip = Path::new(LLVM_PREFIX).join("bin/llvm-strip");
    let paths = [&strip, &stripped, &built].map(|path| path.to_string_lossy());
    shell(&[&paths[0], "--strip-debug", "-o", &paths[1], &paths[2]])?;
    Ok(stripped)
}
