//! Coverage-guided fuzzing of whatever reads untrusted bytes, on a stable compiler.
//!
//! The compiler's coverage pass and libFuzzer's engine are all it takes: what is fuzzed is safe Rust, so there is no
//! sanitizer; what it finds are panics, overflows, time and memory without bound, and broken promises about the output.

use crate::shell::{command, root};
use anyhow::{Context, Result, bail};
use std::{fs, path::Path};

/// Every target, by the name of its file in `fuzz/targets`, and the longest input worth trying.
const TARGETS: &[(&str, u32)] = &[
    ("record", 8192),
    ("dns", 1232),
    ("container", 4096),
    ("btf", 4096),
    ("proc", 1024),
    ("journal", 8192),
    ("baseline", 4096),
    ("table", 4096),
    ("condition", 1024),
];

/// What the coverage pass needs to be told; `fuzzing` is what cargo-fuzz sets too.
const FLAGS: &[&str] = &[
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=1",
    "-Cdebug-assertions",
    "--cfg",
    "fuzzing",
];

/// Fuzz what reads untrusted bytes.
#[derive(clap::Args)]
pub(crate) struct FuzzArgs {
    /// How long, per target
    #[arg(long, default_value_t = 30)]
    pub(crate) seconds: u32,
    /// Only these: record, dns, container, btf, proc, journal, baseline, table, condition
    #[arg(value_name = "TARGET")]
    pub(crate) targets: Vec<String>,
}

/// Runs the chore.
pub(crate) fn run(args: &FuzzArgs) -> Result<()> {
    if let Some(unknown) = args.targets.iter().find(|name| TARGETS.iter().all(|(known, _)| known != name)) {
        let names: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
        bail!("fuzz: no target {unknown}; there are {}", names.join(", "));
    }
    let host = host()?;
    build(&host)?;
    let chosen = |name: &str| args.targets.is_empty() || args.targets.iter().any(|target| target == name);
    for (name, max_len) in TARGETS.iter().filter(|(name, _)| chosen(name)) {
        fuzz(&host, name, *max_len, args.seconds)?;
    }
    Ok(())
}

/// The compiler's own platform. Named as the target, it keeps the flags away from build scripts and macros.
fn host() -> Result<String> {
    let output = command(&["rustc", "-vV"]).output().context("cannot start rustc")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let host =
        text.lines().find_map(|line| line.strip_prefix("host: ")).context("fuzz: rustc does not name its host")?;
    Ok(host.to_owned())
}

fn build(host: &str) -> Result<()> {
    let folder = root().join("fuzz");
    let mut cargo = command(&["cargo", "build", "--locked", "--quiet", "--bins", "--target", host]);
    cargo.current_dir(&folder).env("CARGO_TARGET_DIR", folder.join("target"));
    cargo.env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join("\x1f")).env_remove("RUSTFLAGS").env_remove("CARGO_BUILD_TARGET");
    let status = cargo.status().context("cannot start cargo")?;
    anyhow::ensure!(status.success(), "fuzz: cargo build in fuzz ended with {status}");
    Ok(())
}

/// Runs one target on what it found in earlier runs and on its seeds, and says in a line how far it came.
fn fuzz(host: &str, name: &str, max_len: u32, seconds: u32) -> Result<()> {
    let target = root().join("fuzz/target");
    let (corpus, seeds) = (target.join("corpus").join(name), root().join("fuzz/seeds").join(name));
    let crashes = target.join("crashes");
    for folder in [&corpus, &crashes] {
        fs::create_dir_all(folder).with_context(|| format!("fuzz: {}", folder.display()))?;
    }
    let program = target.join(host).join("debug").join(name);
    let mut run = command(&[&program.to_string_lossy()]);
    run.arg(format!("-max_total_time={seconds}")).arg(format!("-max_len={max_len}"));
    run.arg(format!("-artifact_prefix={}/{name}-", crashes.display()));
    run.args(["-rss_limit_mb=512", "-timeout=10", "-print_final_stats=1"]).arg(&corpus);
    if seeds.is_dir() {
        run.arg(&seeds);
    }
    let output = run.output().with_context(|| format!("fuzz: {}", program.display()))?;
    let log = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(crash(name, &log, &crashes));
    }
    println!("{}", summary(name, &log).with_context(|| format!("fuzz: {name} said nothing of its coverage:\n{log}"))?);
    Ok(())
}

/// What the engine's last lines say, as in `#807 DONE cov: 12 ft: 34 corp: 5/678b lim: …` and `stat::…: 9`.
fn summary(name: &str, log: &str) -> Option<String> {
    let stat = |key: &str| log.lines().find_map(|line| line.strip_prefix(key)).map(str::trim);
    let last = log.lines().rfind(|line| line.contains(" cov: "))?;
    let field = |key: &str| last.split_once(key)?.1.split_whitespace().next();
    Some(format!(
        "fuzz {name:<10} {:>12} runs {:>9} runs/s {:>6} edges   corpus {}",
        stat("stat::number_of_executed_units:")?,
        stat("stat::average_exec_per_sec:")?,
        field("cov: ")?,
        field("corp: ")?,
    ))
}

/// The panic's message and the input behind it.
fn crash(name: &str, log: &str, crashes: &Path) -> anyhow::Error {
    let input = log.lines().find_map(|line| line.split_once("Test unit written to ")).map(|(_, path)| path.trim());
    let lines: Vec<&str> = log.lines().filter(|line| !line.starts_with(['#', '\t', 'I', 'W'])).take(12).collect();
    let place = input.map_or_else(|| crashes.display().to_string(), str::to_owned);
    anyhow::anyhow!("fuzz: {name} fails on the input in {place}:\n{}", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engine_is_understood() {
        let log = "#2\tINITED cov: 3 ft: 3 corp: 1/1b exec/s: 0 rss: 26Mb\n\
            #807\tDONE   cov: 12 ft: 34 corp: 5/678b lim: 9 exec/s: 80 rss: 28Mb\n\
            stat::number_of_executed_units: 807\nstat::average_exec_per_sec:     80\n";
        let line = summary("dns", log).unwrap();
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(words, ["fuzz", "dns", "807", "runs", "80", "runs/s", "12", "edges", "corpus", "5/678b"]);
        assert_eq!(summary("dns", ""), None);
    }

    #[test]
    fn every_target_has_a_file() {
        let mut files: Vec<String> = fs::read_dir(root().join("fuzz/targets"))
            .unwrap()
            .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
            .collect();
        files.sort();
        let mut names: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
        names.sort_unstable();
        assert_eq!(files, names);
    }
}
