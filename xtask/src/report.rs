//! The pages of `pages/`: build them, or check that the committed ones are what the sources give and that a browser shows
//! them as it should.

use crate::setup::{install_missing, is_root};
use crate::shell::{program, root, run as shell, works};
use anyhow::{Context, Result, bail, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;

const ROOM: &str = "pages";
const CHROMIUM: &str = "/usr/bin/chromium";
/// Debian packages, what for, and the program that shows that it is there already.
const PACKAGES: &[(&str, &str, &str)] = &[
    ("nodejs", "runs the bundler", "node"),
    ("npm", "fetches the pinned packages", "npm"),
    ("chromium", "the browser that the page is tried in", CHROMIUM),
];

/// Build the pages that `ebbline` writes from their sources in `pages/web/` into `pages/`.
#[derive(clap::Args)]
pub(crate) struct ReportArgs {
    /// Install node, npm, Chromium (as root on Debian) and the pinned packages first
    #[arg(long)]
    pub(crate) install: bool,
}

/// Check the pages that `ebbline` writes: types, bytes, and in headless Chromium: nothing asked for, no message, no serious
/// fault by axe, 1,000 incidents within 2 s.
#[derive(clap::Args)]
pub(crate) struct ReportCheckArgs {
    /// Install node, npm, Chromium (as root on Debian) and the pinned packages first
    #[arg(long)]
    pub(crate) install: bool,
    /// Also write pictures, of a report on the recording in tests/data and of what this machine does, into this folder
    #[arg(long, value_name = "FOLDER")]
    pub(crate) shots: Option<PathBuf>,
}

/// Builds.
pub(crate) fn build(args: &ReportArgs) -> Result<()> {
    prepare(args.install)?;
    npm("build")
}

/// Checks.
pub(crate) fn check(args: &ReportCheckArgs) -> Result<()> {
    prepare(args.install)?;
    let folder = std::env::temp_dir().join(format!("ebbline-report-{}", std::process::id()));
    std::fs::create_dir(&folder).with_context(|| format!("pages: {}", folder.display()))?;
    let shots = args.shots.as_deref();
    let written = of_recording(&folder).and_then(|report| Ok([report, of_bench(&folder, shots.is_some())?]));
    let checked = written.and_then(|pages| in_browser(&pages, shots));
    std::fs::remove_dir_all(&folder).with_context(|| format!("pages: cannot remove {}", folder.display()))?;
    checked
}

/// Whether all that it takes is there.
pub(crate) fn ready() -> bool {
    PACKAGES.iter().all(|(_, _, program)| works(&[program, "--version"]))
        && root().join(ROOM).join("node_modules").is_dir()
}

fn prepare(install: bool) -> Result<()> {
    if install {
        let missing = PACKAGES.iter().filter(|(_, _, program)| !works(&[program, "--version"]));
        install_missing(&missing.map(|(name, what, _)| (*name, *what)).collect::<Vec<_>>())?;
        shell(&["npm", "--prefix", ROOM, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"])?;
    }
    if !ready() {
        let who = if is_root() { "" } else { ", the packages of Debian as root" };
        bail!("pages: node, npm, Chromium or {ROOM}/node_modules is missing; `--install` brings them{who}");
    }
    Ok(())
}

fn npm(script: &str) -> Result<()> {
    shell(&["npm", "--prefix", ROOM, "--silent", "run", script])
}

/// What `ebbline` itself writes, of the recording in tests/data.
fn of_recording(folder: &Path) -> Result<PathBuf> {
    let recording = root().join("tests/data/recording");
    let (baseline, scored, page) = (folder.join("normal.baseline"), folder.join("scored"), folder.join("report.html"));
    ebbline("learn", &[&recording.join("learn"), Path::new("--out"), &baseline])?;
    let live = recording.join("live");
    ebbline("score", &[&live, Path::new("--baseline"), &baseline, Path::new("--out"), &scored])?;
    ebbline("report", &[&scored, Path::new("--archive"), &live, Path::new("--out"), &page])?;
    Ok(page)
}

/// What this machine does: for pictures a whole quick run, else one of seconds that has figures of each kind.
fn of_bench(folder: &Path, whole: bool) -> Result<PathBuf> {
    let page = folder.join("bench.html");
    let small: &[&str] = if whole { &[] } else { &["--views", "4,8", "--rows", "1024", "--table-mib", "1"] };
    let mut args = vec![Path::new("--quick"), Path::new("--html"), &page];
    args.extend(small.iter().map(Path::new));
    ebbline("bench", &args)?;
    Ok(page)
}

fn ebbline(verb: &str, args: &[&Path]) -> Result<()> {
    // Mesa's device selection layer prints errors wherever there is no desktop.
    let output = Command::new(program("ebbline")).arg(verb).args(args).env("NODEVICE_SELECT", "1").output();
    let output = output.context("pages: cannot start target/debug/ebbline; run cargo build --workspace --bins")?;
    let said = String::from_utf8_lossy(&output.stderr);
    // 3: figures of a slow device were left out, which the page says.
    let done = output.status.success() || (verb == "bench" && output.status.code() == Some(3));
    ensure!(done, "pages: `ebbline {verb}` ended with {}: {}", output.status, said.trim());
    Ok(())
}

fn in_browser(pages: &[PathBuf], shots: Option<&Path>) -> Result<()> {
    npm("check")?;
    let check = |more: &[&Path]| {
        let files = more.iter().copied().chain(pages.iter().map(PathBuf::as_path));
        let mut line = vec!["node".to_owned(), format!("{ROOM}/check.mjs")];
        line.extend(files.map(|file| file.to_string_lossy().into_owned()));
        shell(&line.iter().map(String::as_str).collect::<Vec<_>>())
    };
    check(&[])?;
    shots.map_or(Ok(()), |shots| {
        std::fs::create_dir_all(shots)?;
        check(&[Path::new("--shots"), shots])
    })
}
