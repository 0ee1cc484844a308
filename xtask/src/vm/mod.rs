//! `cargo xtask vm-test`: the live tests on stock Debian kernels, under software emulation.
//!
//! Each kernel boots with a root file system in memory that holds the agent, the test programs and the libraries they
//! need. What they say comes over a serial line.

mod boot;
mod guest;
mod kernels;
mod page;
mod tests;

use crate::setup::{install_missing, is_root};
use crate::shell::works;
use anyhow::{Result, bail, ensure};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Debian packages that are needed, and what for.
const PACKAGES: &[(&str, &str)] = &[
    ("qemu-system-x86", "emulates a machine"),
    ("busybox-static", "starts the tests inside"),
    ("cpio", "packs the root file system"),
    ("debian-archive-keyring", "who signs the kernels"),
];

/// Run the live tests on stock Debian kernels, under software emulation.
#[derive(Default, clap::Args)]
pub(crate) struct VmTestArgs {
    /// Only this kernel: 5.10, 6.1, 6.12, 6.18 or 7; may be given several times.
    #[arg(long = "kernel", value_name = "VERSION")]
    pub(crate) kernels: Vec<String>,
    /// Only the most telling tests, on the oldest kernels unless others are named: a few minutes.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Only tests whose name contains this; may be given several times.
    #[arg(long = "test", value_name = "TEXT")]
    pub(crate) tests: Vec<String>,
    /// Install what is missing first (as root on Debian); else say which command would. Alone, run nothing.
    #[arg(long)]
    pub(crate) install: bool,
    /// Write the results to docs/kernels.md.
    #[arg(long)]
    pub(crate) write: bool,
}

/// What one kernel did.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Outcome {
    /// As in `uname -r`.
    release: String,
    /// Debian package and version.
    package: String,
    /// Boots that the last run took, those that crashed included.
    boots: u32,
    /// From the start to the end of the last boot.
    seconds: u32,
    /// Tests that ran then.
    ran: usize,
    /// What the doctor says of each hook: null if it is in place, else why not.
    hooks: BTreeMap<String, Option<String>>,
    /// Each test by name, as it ended last: `ok`, `FAILED`, or the reason why it cannot pass.
    tests: BTreeMap<String, String>,
}

/// Runs the chore.
pub(crate) fn run(args: &VmTestArgs) -> Result<()> {
    ensure!(cfg!(target_arch = "x86_64"), "vm-test: the test programs would have to be for x86_64");
    if args.install {
        install_missing(PACKAGES)?;
        if args.kernels.is_empty() && !args.quick && !args.write {
            return Ok(());
        }
    }
    require_tools()?;
    let wanted = kernels::wanted(&args.kernels, args.quick)?;
    let programs = guest::build()?;
    let plan = tests::plan(&programs, args.quick, &args.tests)?;
    let image = guest::pack(&programs, &plan)?;
    let mut outcomes = BTreeMap::new();
    for kernel in wanted {
        let boot = kernels::fetch(kernel)?;
        let outcome = boot::run(kernel, &boot, &image, &plan)?;
        println!("{}", page::summary(kernel.version, &outcome));
        if args.write {
            page::write(kernel.version, &outcome, !args.quick && args.tests.is_empty())?;
        }
        outcomes.insert(kernel.version.to_owned(), outcome);
    }
    let failed: Vec<String> = outcomes.iter().flat_map(|(version, outcome)| tests::failed(version, outcome)).collect();
    ensure!(failed.is_empty(), "vm-test: {}", failed.join(", "));
    Ok(())
}

/// Whether the emulator is there, and what else is needed.
pub(crate) fn ready() -> bool {
    let tools = [&["qemu-system-x86_64", "--version"][..], &["/bin/busybox", "true"], &["cpio", "--version"]];
    cfg!(target_arch = "x86_64") && tools.iter().all(|line| works(line)) && works(&["apt-get", "--version"])
}

fn require_tools() -> Result<()> {
    if ready() {
        return Ok(());
    }
    let names: Vec<&str> = PACKAGES.iter().map(|(name, _)| *name).collect();
    let who = if is_root() { "" } else { " as root" };
    bail!(
        "vm-test: needs Debian's {}; run{who}: apt-get install --no-install-recommends {}",
        names.join(", "),
        names.join(" ")
    )
}
