//! The pages of `pages/`: build them, or check that the committed ones are what the sources give and that a browser shows
//! them as it should.

use crate::demo::RARER_THAN;
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
}

/// Builds.
pub(crate) fn build(args: &ReportArgs) -> Result<()> {
    prepare(args.install)?;
    npm("build")
}

/// Checks.
pub(crate) fn check(args: &ReportCheckArgs) -> Result<()> {
    prepare(args.install)?;
    in_folder(|folder| {
        npm("check")?;
        let report = Recording::score(folder)?.report()?;
        in_browser(&[], &[report, of_bench(folder, false)?])
    })
}

/// Does it in a folder that is gone afterwards.
pub(crate) fn in_folder(work: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let folder = std::env::temp_dir().join(format!("ebbline-pages-{}", std::process::id()));
    std::fs::create_dir(&folder).with_context(|| format!("pages: {}", folder.display()))?;
    let done = work(&folder);
    std::fs::remove_dir_all(&folder).with_context(|| format!("pages: cannot remove {}", folder.display()))?;
    done
}

/// Whether all that it takes is there.
pub(crate) fn ready() -> bool {
    PACKAGES.iter().all(|(_, _, program)| works(&[program, "--version"]))
        && root().join(ROOM).join("node_modules").is_dir()
}

pub(crate) fn prepare(install: bool) -> Result<()> {
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

/// The recording in tests/data, learned and scored with the demo's line.
pub(crate) struct Recording {
    pub(crate) live: PathBuf,
    pub(crate) baseline: PathBuf,
    pub(crate) scored: PathBuf,
}

impl Recording {
    pub(crate) fn score(folder: &Path) -> Result<Self> {
        let recording = root().join("tests/data/recording");
        let (baseline, scored, live) = (folder.join("normal.baseline"), folder.join("scored"), recording.join("live"));
        ebbline("learn", &[&recording.join("learn"), Path::new("--out"), &baseline])?;
        let line = [Path::new("--rarer-than"), Path::new(RARER_THAN)];
        ebbline("score", &[&live, Path::new("--baseline"), &baseline, Path::new("--out"), &scored, line[0], line[1]])?;
        Ok(Self { live, baseline, scored })
    }

    pub(crate) fn report(&self) -> Result<PathBuf> {
        let page = self.scored.with_extension("html");
        ebbline("report", &[&self.scored, Path::new("--archive"), &self.live, Path::new("--out"), &page])?;
        Ok(page)
    }
}

/// What this machine does: for pictures a whole quick run, else one of seconds that has figures of each kind.
pub(crate) fn of_bench(folder: &Path, whole: bool) -> Result<PathBuf> {
    let page = folder.join("bench.html");
    let small: &[&str] = if whole { &[] } else { &["--views", "4,8", "--rows", "1024", "--table-mib", "1"] };
    let mut args = vec![Path::new("--quick"), Path::new("--html"), &page];
    args.extend(small.iter().map(Path::new));
    ebbline("bench", &args)?;
    Ok(page)
}

pub(crate) fn ebbline(verb: &str, args: &[&Path]) -> Result<String> {
    // Mesa's device selection layer prints errors wherever there is no desktop.
    let output = Command::new(program("ebbline")).arg(verb).args(args).env("NODEVICE_SELECT", "1").output();
    let output = output.context("pages: cannot start target/debug/ebbline; run cargo build --workspace --bins")?;
    let said = String::from_utf8_lossy(&output.stderr);
    // 3: figures of a slow device were left out, which the page says.
    let done = output.status.success() || (verb == "bench" && output.status.code() == Some(3));
    ensure!(done, "pages: `ebbline {verb}` ended with {}: {}", output.status, said.trim());
    String::from_utf8(output.stdout).with_context(|| format!("pages: `ebbline {verb}`"))
}

/// Opens the pages in Chromium: to check them, or for what else `check.mjs` is told.
pub(crate) fn in_browser(more: &[&Path], pages: &[PathBuf]) -> Result<()> {
    let files = more.iter().copied().chain(pages.iter().map(PathBuf::as_path));
    let mut line = vec!["node".to_owned(), format!("{ROOM}/check.mjs")];
    line.extend(files.map(|file| file.to_string_lossy().into_owned()));
    shell(&line.iter().map(String::as_str).collect::<Vec<_>>())
}
