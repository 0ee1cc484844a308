//! What measures a card on a machine without a compiler: programs, tests and benchmarks as they are, and a script that runs them.

use crate::shell::{command, run as shell, target_dir};
use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Pack what measures a card on a machine without a compiler.
#[derive(Args)]
pub(crate) struct CardKitArgs {
    /// Run it here, too: whatever Vulkan drivers there are, software included.
    #[arg(long)]
    run: bool,
}

const SCRIPT: &str = include_str!("card_kit/measure.sh");
/// Tests and benchmarks that know what a card has to do.
const TESTS: &[&str] = &["identity"];
const BENCHES: &[&str] = &["host", "roofline"];

pub(crate) fn run(args: &CardKitArgs) -> Result<()> {
    let kit = target_dir().join("card-kit");
    if kit.exists() {
        fs::remove_dir_all(&kit).with_context(|| kit.display().to_string())?;
    }
    fs::create_dir_all(&kit).with_context(|| kit.display().to_string())?;
    shell(&["cargo", "build", "--workspace", "--locked", "--bins", "--examples"])?;
    let programs = ["ebbline", "examples/generate"].map(|name| target_dir().join("debug").join(name));
    let tests = built(&["test", "--workspace", "--locked", "--no-run"], "--test", TESTS)?;
    let benches = built(&["bench", "--workspace", "--locked", "--profile", "dev", "--no-run"], "--bench", BENCHES)?;
    for program in programs.iter().chain(&tests).chain(&benches) {
        add(program, &kit)?;
    }
    let script = kit.join("measure");
    fs::write(&script, SCRIPT)?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    let (archive, at) = (target_dir().join("card-kit.tar.xz"), target_dir());
    let paths = [&archive, &at].map(|path| path.to_string_lossy());
    shell(&["tar", "-C", &paths[1], "-cJf", &paths[0], "card-kit"])?;
    println!("{}: {:.1} MiB", archive.display(), fs::metadata(&archive)?.len() as f64 / (1 << 20) as f64);
    println!("there: tar -xJf card-kit.tar.xz && card-kit/measure measured");
    if args.run {
        shell(&[&script.to_string_lossy(), &target_dir().join("card-kit-measured").to_string_lossy()])?;
    }
    Ok(())
}

/// Builds tests or benchmarks, and says where cargo put them.
fn built(line: &[&str], kind: &str, names: &[&str]) -> Result<Vec<PathBuf>> {
    let named = names.iter().flat_map(|name| [kind, *name]);
    let line: Vec<&str> = ["cargo"].iter().chain(line).copied().chain(named).chain(["--message-format=json"]).collect();
    eprintln!("$ {}", line.join(" "));
    let output = command(&line).stderr(Stdio::inherit()).output().context("cannot start cargo")?;
    ensure!(output.status.success(), "`{}` ended with {}", line.join(" "), output.status);
    let text = String::from_utf8_lossy(&output.stdout);
    let messages: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let of = |name: &&str| {
        let is_it = |message: &&Value| message["target"]["name"] == **name && message["executable"].is_string();
        let path = messages.iter().find(is_it).and_then(|message| message["executable"].as_str());
        path.map(PathBuf::from).with_context(|| format!("cargo built no {name}"))
    };
    names.iter().map(of).collect()
}

/// Puts a program into the kit, by its name without the `-HASH` that cargo adds, and without what only a debugger reads.
fn add(program: &Path, kit: &Path) -> Result<()> {
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    let name = name.split('-').next().unwrap_or_default();
    let stripped = Command::new("strip").arg("-o").arg(kit.join(name)).arg(program).status();
    ensure!(stripped.context("cannot start strip")?.success(), "strip: {}", program.display());
    Ok(())
}
