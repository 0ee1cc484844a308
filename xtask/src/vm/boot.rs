//! One kernel: booted, heard over a serial line, and booted again if it crashed.

use super::kernels::{Boot, Kernel};
use super::tests::{Plan, failed, limit};
use super::{Outcome, page};
use crate::shell::target_dir;
use anyhow::{Context, Result, bail, ensure};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Some kernels crash in a third of emulated boots, whatever runs on them.
const BOOTS: u32 = 5;
/// What fails is run once more in another boot: under emulation a busy machine can make a test late.
const TRIES: u32 = 2;
/// A guest that has not come to the tests by then does not.
const START: Duration = Duration::from_secs(240);
/// A guest that says nothing for so long hangs: more than one test may take.
const SILENCE: Duration = Duration::from_secs(1000);

/// Runs the tests on a kernel.
pub(super) fn run(kernel: &Kernel, boot: &Boot, image: &Path, plan: &Plan) -> Result<Outcome> {
    let (mut tries, mut best) = (0, None::<Outcome>);
    for boots in 1..=BOOTS {
        eprintln!("── {}: {} (boot {boots})", kernel.version, boot.package.trim());
        let said = Guest::start(kernel, boot, image)?.hear()?;
        if !said.contains("== booted ") || crashed(&said) {
            let kept = folder().join(format!("{}.crash{boots}", kernel.version));
            std::fs::rename(console(kernel), &kept)?;
            eprintln!("{} crashed or did not start; what its console said is in {}", kernel.version, kept.display());
            continue;
        }
        let mut outcome = read(kernel.version, &said, plan)?;
        (outcome.boots, outcome.package) = (boots, boot.package.trim().to_owned());
        if let Some(before) = best {
            passed_before(kernel.version, &mut outcome, &before);
        }
        tries += 1;
        if tries == TRIES || failed(kernel.version, &outcome).is_empty() {
            return Ok(outcome);
        }
        best = Some(outcome);
    }
    if let Some(outcome) = best {
        return Ok(outcome);
    }
    bail!("vm-test: {} crashed in each of {BOOTS} boots; see {}", kernel.version, folder().display())
}

/// What passed in one of two boots passes, and it is said that it once did not.
fn passed_before(version: &str, outcome: &mut Outcome, before: &Outcome) {
    for (test, result) in &mut outcome.tests {
        match (before.tests.get(test).map(String::as_str), result.as_str()) {
            (Some("ok"), "FAILED") => "ok".clone_into(result),
            (Some("FAILED"), "ok") => eprintln!("{version}: {test} failed once and passed in another boot"),
            _ => {}
        }
    }
}

/// Whether the machine went off in the middle: a kernel that panics reboots, which the emulator takes for the end.
fn crashed(said: &str) -> bool {
    !said.contains("\n== end") && !said.contains(HUNG)
}

fn folder() -> PathBuf {
    target_dir().join("vm")
}

fn console(kernel: &Kernel) -> PathBuf {
    folder().join(format!("{}.console", kernel.version))
}

/// What the kernel is told: stop at a panic, and do without what costs much under emulation and changes nothing here.
const APPEND: &str = "console=ttyS0 loglevel=4 panic=-1 rdinit=/init mitigations=off no5lvl tsc=reliable";

/// Added to what a guest said if it said nothing more.
const HUNG: &str = "\n== hung";

/// A running emulator; ends when dropped.
struct Guest {
    child: std::process::Child,
    results: PathBuf,
}

impl Guest {
    fn start(kernel: &Kernel, boot: &Boot, image: &Path) -> Result<Self> {
        let (console, results) = (console(kernel), folder().join(format!("{}.results", kernel.version)));
        for file in [&console, &results] {
            std::fs::write(file, "")?;
        }
        let mut command = Command::new("qemu-system-x86_64");
        // The first serial line is the kernel's console, the second ours.
        command.args(["-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "3072", "-display", "none"]);
        command.args(["-no-reboot", "-nodefaults", "-serial"]).arg(format!("file:{}", console.display()));
        command.arg("-serial").arg(format!("file:{}", results.display()));
        command.arg("-kernel").arg(&boot.image).arg("-initrd").arg(image);
        command.args(["-append", APPEND]);
        let child = command.stdin(Stdio::null()).spawn().context("cannot start qemu-system-x86_64")?;
        Ok(Self { child, results })
    }

    /// What the guest said until it ended, or hung.
    fn hear(mut self) -> Result<String> {
        let (mut heard, mut shown, mut last) = (0, 0, Instant::now());
        loop {
            let said = String::from_utf8_lossy(&std::fs::read(&self.results)?).into_owned();
            if said.len() != heard {
                (heard, last) = (said.len(), Instant::now());
                shown += show(said.get(shown..).unwrap_or_default());
            }
            let patience = if said.contains("== booted ") { SILENCE } else { START };
            if last.elapsed() > patience {
                return Ok(said + HUNG);
            }
            if said.contains("\n== end") {
                return Ok(said);
            }
            if self.child.try_wait()?.is_some() {
                return Ok(String::from_utf8_lossy(&std::fs::read(&self.results)?).into_owned());
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

/// Shows the tests among whole lines; returns how many bytes these are.
fn show(said: &str) -> usize {
    let lines = said.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    lines.clone().filter(|line| line.starts_with("== test ")).for_each(|line| eprint!("   {}", &line[8..]));
    lines.map(str::len).sum()
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the serial line says, as results. A test that is not heard of failed.
fn read(version: &str, said: &str, plan: &Plan) -> Result<Outcome> {
    let said = said.replace('\r', "");
    let after = |mark: &str| said.split(mark).nth(1).map(|rest| rest.split("\n== ").next().unwrap_or_default());
    let release = after("== booted ").unwrap_or_default().trim().to_owned();
    let doctor = after("== doctor\n").with_context(|| format!("vm-test: {version} ended before the doctor"))?;
    let mut tests: BTreeMap<String, String> =
        plan.tests().map(|test| (test.clone(), limited(version, &test, "not reached"))).collect();
    let ran = tests.len();
    for block in said.split("\n== test ").skip(1) {
        let mut words = block.split_whitespace();
        let (Some(test), Some(code)) = (words.next(), words.next()) else { continue };
        let passed = code == "0";
        tests.insert(test.to_owned(), if passed { "ok".to_owned() } else { limited(version, test, "fails") });
        if !passed {
            eprintln!("{version}: {}", block.split("\n== ").next().unwrap_or_default().trim_end());
        }
    }
    let hooks = page::hooks(doctor.trim())?;
    ensure!(!hooks.is_empty(), "vm-test: {version}: the doctor names no hook: {}", doctor.trim());
    let seconds = after("\n== end ").and_then(|text| text.trim().parse().ok()).unwrap_or(0);
    Ok(Outcome { release, package: String::new(), boots: 0, seconds, ran, hooks, tests })
}

fn limited(version: &str, test: &str, how: &str) -> String {
    match limit(version, test) {
        Some(why) if how == "fails" => why.to_owned(),
        _ => "FAILED".to_owned(),
    }
}
