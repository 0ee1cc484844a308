//! Other detectors on the labelled sets: an environment of their own, a run, and what `ebbline eval --peers` reads.

use crate::shell::{self, root, target_dir, works};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};

/// The sets of `ebbline eval`, which are those of `benches/peers/accuracy.py`.
const SETS: &[&str] = &["darpa98-edges", "serverless-sysdig", "windows-processes", "enterprise-alerts"];
const FOLDER: &str = "benches/peers";

/// Run other detectors on the labelled sets, by the protocols of `ebbline eval`.
#[derive(clap::Args)]
pub(crate) struct PeersArgs {
    /// The folder of the sets; they are no part of this project
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// The file to write, which `ebbline eval --peers` reads
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Only these sets
    #[arg(value_name = "SET")]
    sets: Vec<String>,
}

/// Runs the chore.
pub(crate) fn run(args: &PeersArgs) -> Result<()> {
    let data = std::path::absolute(&args.data).context("no current folder")?;
    let out = std::path::absolute(&args.out).context("no current folder")?;
    let sets = chosen(&data, &args.sets)?;
    let folder = out.parent().unwrap_or(Path::new("/"));
    if !folder.is_dir() {
        bail!("cannot write: {}: the folder above it does not exist; create it first", out.display());
    }
    let python = environment()?;
    // Whole or not at all.
    let temporary = out.with_extension("tmp");
    let script = script("accuracy.py");
    let [python, data, written] = [&python, &data, &temporary].map(|path| path.to_string_lossy());
    let mut line = vec![&*python, "-B", &*script, &*data, &*written];
    line.extend(sets);
    shell::run(&line)?;
    std::fs::rename(&temporary, &out).with_context(|| format!("cannot write: {}", out.display()))?;
    eprintln!("{}: ebbline eval … --peers shows it beside", out.display());
    Ok(())
}

/// The sets that were asked for, each of which must be there.
fn chosen<'a>(data: &Path, asked: &'a [String]) -> Result<Vec<&'a str>> {
    if let Some(unknown) = asked.iter().find(|name| !SETS.contains(&name.as_str())) {
        bail!("peers: {unknown}: no such set; there are {}", SETS.join(", "));
    }
    let sets: Vec<&str> = if asked.is_empty() { SETS.to_vec() } else { asked.iter().map(String::as_str).collect() };
    for name in &sets {
        let file = data.join(format!("{name}.parquet"));
        if !file.is_file() {
            bail!("no labelled set: {}: it is not there; the sets are no part of this project", file.display());
        }
    }
    Ok(sets)
}

/// Where a script of the comparisons is.
pub(crate) fn script(name: &str) -> String {
    root().join(FOLDER).join(name).to_string_lossy().into_owned()
}

/// A Python with the packages of the requirements, from wherever pip is set up to take them. Made anew when they change.
pub(crate) fn environment() -> Result<PathBuf> {
    let folder = target_dir().join("peers-python");
    let python = folder.join("bin/python3");
    let requirements = root().join(FOLDER).join("requirements.txt");
    let wanted = std::fs::read_to_string(&requirements).with_context(|| format!("cannot read: {FOLDER}"))?;
    let installed = folder.join("requirements.txt");
    let program = python.to_string_lossy().into_owned();
    let same = std::fs::read_to_string(&installed).is_ok_and(|text| text == wanted);
    if same
        && works(&[&program, "-c", "import datafusion, duckdb, numba, pandas, polars, pyarrow, pyod, river, sklearn"])
    {
        return Ok(python);
    }
    shell::run(&["python3", "-m", "venv", "--clear", &folder.to_string_lossy()])?;
    let list = requirements.to_string_lossy();
    shell::run(&[&program, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", &list])?;
    std::fs::write(&installed, wanted).with_context(|| format!("cannot write: {}", installed.display()))?;
    Ok(python)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_that_are_unknown_or_absent_are_named() {
        let error = |asked: &[&str]| {
            let asked: Vec<String> = asked.iter().map(|name| (*name).to_owned()).collect();
            chosen(Path::new("/nowhere"), &asked).unwrap_err().to_string()
        };
        assert!(error(&["darpa"]).starts_with("peers: darpa: no such set; there are darpa98-edges, "));
        let absent = "no labelled set: /nowhere/enterprise-alerts.parquet: it is not there";
        assert!(error(&["enterprise-alerts"]).starts_with(absent), "{}", error(&["enterprise-alerts"]));
    }

    #[test]
    fn the_script_has_these_sets() {
        let script = include_str!("../../benches/peers/accuracy.py");
        let line = script.lines().find(|line| line.starts_with("SETS = {")).expect("the script has sets");
        let names: Vec<&str> = line.split('"').skip(1).step_by(2).collect();
        assert_eq!(names, SETS);
    }
}
