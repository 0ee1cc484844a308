//! `ebbline bench`.

mod args;
mod auto;
mod compare;
mod load;
mod page;
mod print;
mod progress;
mod stop;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use bench::{Budget, Device, Kind, Plan, Report, SystemClock};

pub(crate) use args::BenchArgs;
use args::BenchCommand;
use progress::Steps;

use crate::output::{print, print_json};

/// Measures, compares, or writes a page; true if figures were left out.
pub(crate) fn run(args: &BenchArgs) -> Result<bool> {
    match &args.command {
        Some(BenchCommand::Compare(args)) => compare::run(args),
        Some(BenchCommand::Page(args)) => page::run(args),
        Some(BenchCommand::Auto(args)) => auto::run(args),
        None => measure(args),
    }
}

fn measure(args: &BenchArgs) -> Result<bool> {
    // First of all: whoever asks to stop while drivers are looked for is heard, too.
    let stop = stop::asked()?;
    let plan = plan(args);
    let devices = devices(&args.device)?;
    if args.device == "all" && devices.iter().all(|device| device.about().kind == Kind::Cpu) {
        eprintln!("note: no Vulkan adapter was found, so the CPU alone is measured; a GPU needs its Vulkan driver");
    }
    [&args.out, &args.html].into_iter().flatten().try_for_each(|file| check_out(file))?;
    if let Some(both) = args.out.as_ref().filter(|out| args.html.as_ref() == Some(out)) {
        bail!("cannot write: {}: it is named for the JSON and for the page; name two files", both.display());
    }
    let steps = Steps::new(plan.time);
    let budget = Budget::new(Arc::new(SystemClock::default()), plan.time, stop);
    let report = bench::run(&plan, &devices, &budget, &steps);
    drop(steps);
    tell(args, &report)
}

/// Gives a result to all who want it: what cannot be written costs nobody the rest.
fn tell(args: &BenchArgs, report: &Report) -> Result<bool> {
    let json = args.out.as_ref().map_or(Ok(()), |path| write(path, report));
    let page = args.html.as_ref().map_or(Ok(()), |path| page::write(path, &[(None, report)]));
    if args.json {
        print_json(&serde_json::to_value(report)?)?;
    } else {
        print(&print::report(report))?;
    }
    json.and(page)?;
    match report.differs() {
        Some(wrong) => bail!("scores are not the CPU's: {}: {}: {}", wrong.device, wrong.what, wrong.why),
        None => Ok(!report.left_out.is_empty()),
    }
}

fn plan(args: &BenchArgs) -> Plan {
    let mut plan = if args.quick { Plan::quick() } else { Plan::full() };
    if !args.views.is_empty() {
        plan.views = once(args.views.iter().copied());
    }
    if !args.table_mib.is_empty() {
        plan.tables = once(args.table_mib.iter().map(|mib| mib << 20));
    }
    if let Some(rows) = args.rows {
        plan.file_rows = plan.file_rows / plan.rows * rows;
        plan.rows = rows;
    }
    if let Some(seconds) = args.seconds {
        plan.time = Duration::from_secs(seconds);
        // Who gives more time has slower devices.
        plan.patience = plan.patience.max(plan.time / 4);
    }
    plan.seed = args.seed;
    plan
}

/// Each once, where it comes first.
fn once(numbers: impl Iterator<Item = usize>) -> Vec<usize> {
    let mut all = Vec::new();
    numbers.for_each(|number| {
        if !all.contains(&number) {
            all.push(number)
        }
    });
    all
}

fn devices(wanted: &str) -> Result<Vec<Arc<dyn Device>>> {
    let found = bench::devices(wanted);
    if found.is_empty() {
        let all: Vec<String> =
            bench::devices("all").iter().map(|device| format!("{:?}", device.about().name)).collect();
        bail!("no such device: {wanted}: use one of {}, or all", all.join(", "));
    }
    Ok(found)
}

/// What would fail after minutes fails before them.
fn check_out(out: &Path) -> Result<()> {
    let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty());
    if out.is_dir() {
        bail!("cannot write: {}: it is a folder; name a file", out.display());
    }
    if folder.is_some_and(|folder| !folder.is_dir()) {
        bail!("cannot write: {}: the folder above it does not exist; create it first", out.display());
    }
    Ok(store::check_whole(out)?)
}

fn write(path: &Path, report: &Report) -> Result<()> {
    let text = serde_json::to_string_pretty(report)?;
    Ok(store::write_whole(path, |to| writeln!(to, "{text}"))?)
}

#[cfg(test)]
mod tests;
