//! `cargo xtask test`: everything that has to hold before a change lands.

use crate::{aarch64, cluster, ebpf, fuzz, package_test, report, setup, shell, vm};
use anyhow::{Context, Result};
use clap::Args;
use std::time::Instant;

/// Install what the tests need where that is allowed, then run every check and test.
#[derive(Args)]
pub(crate) struct TestArgs {
    /// Install nothing; tests that miss something say so.
    #[arg(long)]
    no_install: bool,
}

pub(crate) fn run(args: TestArgs) -> Result<()> {
    let start = Instant::now();
    let python = prepare(args.no_install)?;
    let driver = if args.no_install { None } else { second_driver() };
    step("format", || {
        shell::run(&["cargo", "fmt", "--all", "--check"])?;
        shell::run(&["cargo", "fmt", "--manifest-path", "fuzz/Cargo.toml", "--check"])?;
        shell::run(&["cargo", "fmt", "--manifest-path", "cluster/Cargo.toml", "--check"])
    })?;
    step("build", || shell::run(&["cargo", "build", "--workspace", "--bins", "--locked"]))?;
    step("kernel object", || kernel_object(!args.no_install))?;
    step("pages", || missed(report::check(&report::ReportCheckArgs { install: !args.no_install }), report::ready))?;
    step("aarch64", || {
        missed(aarch64::run(&aarch64::Aarch64Args { install: !args.no_install, link: false }), aarch64::ready)
    })?;
    step("clippy", || {
        shell::run(&["cargo", "clippy", "--workspace", "--all-targets", "--locked", "--quiet", "--", "-D", "warnings"])
    })?;
    step("tests", || tests(python.as_deref(), driver.as_deref()))?;
    step("old kernels", || {
        let args = vm::VmTestArgs { quick: true, install: !args.no_install, ..vm::VmTestArgs::default() };
        missed(vm::run(&args), vm::ready)
    })?;
    step("fuzz", short_fuzz)?;
    step("cluster", || cluster::run(&cluster::ClusterArgs::default()))?;
    step("demo", || demo(&[]))?;
    step("demo, replayed", || demo(&["--replay"]))?;
    step("package", || package_test::run(&package_test::PackageTestArgs::default()))?;
    eprintln!("all checks passed in {} s", start.elapsed().as_secs());
    Ok(())
}

fn prepare(no_install: bool) -> Result<Option<std::path::PathBuf>> {
    if no_install {
        return Ok(None);
    }
    step("packages", setup::packages)?;
    match setup::python() {
        Ok(python) => Ok(Some(python)),
        Err(error) if std::env::var_os("CI").is_some() => Err(error),
        Err(error) => {
            eprintln!(
                "no Python with pyarrow, duckdb, polars and pandas ({error:#}); the tests that use it will say so"
            );
            Ok(None)
        }
    }
}

/// One more driver to compare the bits of; the tests do without where there is none.
fn second_driver() -> Option<std::path::PathBuf> {
    setup::swiftshader().inspect_err(|error| eprintln!("scores are compared on one driver: {error:#}")).ok()
}

/// The committed object against its source.
fn kernel_object(install: bool) -> Result<()> {
    missed(ebpf::run(ebpf::EbpfArgs { check: true, install }), ebpf::ready)
}

/// A check whose compilers are not there tells nothing, and says so: CI must have them.
fn missed(result: Result<()>, ready: fn() -> bool) -> Result<()> {
    match result {
        Err(error) if std::env::var_os("CI").is_none() && !ready() => {
            eprintln!("NOT CHECKED: {error:#}");
            Ok(())
        }
        result => result,
    }
}

/// Live tests share one kernel and one machine: one test program and one test at a time where it matters is
/// theirs to arrange; here all test programs run one after the other, as cargo does.
fn tests(python: Option<&std::path::Path>, driver: Option<&std::path::Path>) -> Result<()> {
    let mut command = shell::command(&["cargo", "test", "--workspace", "--locked", "--no-fail-fast"]);
    // Mesa's device selection layer prints errors wherever there is no desktop.
    command.env("NODEVICE_SELECT", "1");
    if let Some(python) = python {
        command.env("EBBLINE_PYTHON", python);
    }
    if let Some(driver) = driver {
        command.env("VK_ADD_DRIVER_FILES", driver);
    }
    let status = command.status().context("cannot start cargo test")?;
    anyhow::ensure!(status.success(), "tests failed ({status})");
    Ok(())
}

/// A short run: it finds what a change just broke. Without a C++ compiler it cannot be built: CI must have one.
fn short_fuzz() -> Result<()> {
    if std::env::var_os("CI").is_none() && !shell::works(&["c++", "--version"]) {
        eprintln!("NOT CHECKED: fuzz targets need a C++ compiler");
        return Ok(());
    }
    fuzz::run(&fuzz::FuzzArgs { seconds: 30, targets: Vec::new() })
}

/// The demo is a promise too. Where it cannot capture it replays, which in CI is not enough.
fn demo(extra: &[&str]) -> Result<()> {
    // Not a private temporary folder: the demo's jobs run under several users.
    let path = std::env::temp_dir().join(format!("ebbline-demo-{}", std::process::id()));
    let mut line = vec!["cargo", "xtask", "demo", "--dir", path.to_str().context("temporary folder is not UTF-8")?];
    line.extend(extra);
    if std::env::var_os("CI").is_some() && extra.is_empty() {
        line.push("--must-capture");
    }
    shell::run(&line)?;
    std::fs::remove_dir_all(&path).with_context(|| format!("cannot remove {}", path.display()))
}

fn step(name: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
    let start = Instant::now();
    eprintln!("── {name}");
    work().with_context(|| name.to_owned())?;
    eprintln!("── {name}: {} s", start.elapsed().as_secs());
    Ok(())
}
