//! Apt's view of packages that are not this machine's, in folders of our own: its lists and its state stay as they are.

use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Names Debian's archive where the machine has none of its own, or one that lacks a suite.
const MIRROR: &str = "EBBLINE_DEBIAN_MIRROR";

/// Where packages of Debian come from: what [`MIRROR`] says, or else what this machine's own apt uses.
pub(crate) fn mirror() -> Result<String> {
    if let Ok(named) = std::env::var(MIRROR) {
        return Ok(named);
    }
    let uris = output(Command::new("apt-get").args(["indextargets", "--format", "$(REPO_URI)"]))?;
    let debian = uris.lines().find(|uri| uri.trim_end_matches('/').ends_with("/debian"));
    let none = || format!("apt has no source of Debian's packages; name one: {MIRROR}=http://HOST/debian");
    debian.map(str::to_owned).with_context(none)
}

/// One such view.
pub(crate) struct View {
    folder: PathBuf,
    /// What it sees, as options of apt.
    options: Vec<String>,
}

impl View {
    /// A view with these options; its lists are fetched.
    pub(crate) fn update(folder: PathBuf, options: &[&str]) -> Result<Self> {
        for needed in ["lists/partial", "cache/archives/partial"] {
            let needed = folder.join(needed);
            std::fs::create_dir_all(&needed).with_context(|| format!("cannot make {}", needed.display()))?;
        }
        std::fs::write(folder.join("status"), "")?;
        let view = Self { folder, options: options.iter().map(|option| (*option).to_owned()).collect() };
        output(view.command("apt-get").args(["-qq", "update"]))?;
        Ok(view)
    }

    /// One of apt's programs, in this view.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let at = |name: &str, path: &str| format!("{name}={}", self.folder.join(path).display());
        let own = [at("Dir::State::lists", "lists"), at("Dir::State::status", "status"), at("Dir::Cache", "cache")];
        let how = ["Acquire::Languages=none", "Acquire::Retries=3", "APT::Sandbox::User=root"].map(str::to_owned);
        for option in own.iter().chain(&how).chain(&self.options) {
            command.args(["-o", option]);
        }
        command
    }

    /// Downloads a package, `NAME` or `NAME=VERSION`, to be the only one in the folder; returns its file.
    pub(crate) fn download(&self, package: &str, folder: &Path) -> Result<PathBuf> {
        for old in debs(folder)? {
            std::fs::remove_file(old)?;
        }
        output(self.command("apt-get").args(["-qq", "download", package]).current_dir(folder))?;
        debs(folder)?.pop().context("apt-get download left no package")
    }
}

fn debs(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder)?.collect::<std::io::Result<Vec<_>>>()?;
    let paths = entries.into_iter().map(|entry| entry.path());
    Ok(paths.filter(|path| path.extension().is_some_and(|extension| extension == "deb")).collect())
}

/// Runs a command quietly; returns what it said.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot start {:?}", command.get_program()))?;
    let (program, errors) = (command.get_program().to_string_lossy(), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "{program} ended with {}: {}", output.status, errors.trim());
    String::from_utf8(output.stdout).ok().with_context(|| format!("{program} said no text"))
}
