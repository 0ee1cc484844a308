//! A Debian in a folder, in a mount namespace of its own: nothing of it is left when the test ends.

use crate::apt;
use anyhow::{Context, Result, ensure};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The release that the package is tested on: the oldest that it is for.
const RELEASE: &str = "bookworm";

/// Makes the Debian that each test begins with; kept, as it takes a minute.
pub(super) fn prepare(out: &Path) -> Result<()> {
    let image = image(out);
    if image.exists() {
        return Ok(());
    }
    std::fs::create_dir_all(out)?;
    let folder = Folder::make(out.join(format!("new-{}", std::process::id())))?;
    let mut debootstrap = Command::new("debootstrap");
    debootstrap.args(["--variant=minbase", RELEASE]).arg(&folder.0).arg(apt::mirror()?);
    quiet(debootstrap.env("DEBIAN_FRONTEND", "noninteractive"))?;
    let unfinished = image.with_extension("unfinished");
    quiet(Command::new("tar").arg("-C").arg(&folder.0).arg("-cf").arg(&unfinished).arg("."))?;
    std::fs::rename(unfinished, image).context("cannot keep the Debian for later")
}

fn image(out: &Path) -> PathBuf {
    out.join(format!("{RELEASE}.tar"))
}

/// Removed when dropped.
struct Folder(PathBuf);

impl Folder {
    fn make(path: PathBuf) -> Result<Self> {
        std::fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            eprintln!("left behind: {}: {error}", self.0.display());
        }
    }
}

/// The running machine: folders, mounts and a cgroup.
pub(super) struct Machine {
    cgroup: String,
    mounts: Vec<PathBuf>,
    root: Folder,
}

impl Machine {
    pub(super) fn start(out: &Path) -> Result<Self> {
        let root = Folder::make(out.join(format!("root-{}", std::process::id())))?;
        quiet(Command::new("tar").arg("-C").arg(&root.0).arg("-xf").arg(image(out)))?;
        let cgroup = format!("/sys/fs/cgroup/ebbline-package-{}", std::process::id());
        let mut machine = Self { cgroup, mounts: Vec::new(), root };
        for (kind, path) in [
            ("proc", "proc"),
            ("sysfs", "sys"),
            ("cgroup2", "sys/fs/cgroup"),
            ("bpf", "sys/fs/bpf"),
            ("tmpfs", "run"),
            ("tmpfs", "tmp"),
        ] {
            let at = machine.root.0.join(path);
            quiet(Command::new("mount").args(["-t", kind, kind]).arg(&at))?;
            machine.mounts.push(at);
        }
        std::fs::create_dir(machine.at(&machine.cgroup)).context("cannot make a cgroup")?;
        Ok(machine)
    }

    /// A path of the machine, seen from outside.
    pub(super) fn at(&self, path: &str) -> PathBuf {
        self.root.0.join(path.trim_start_matches('/'))
    }

    /// The cgroup that is watched, as the machine sees it.
    pub(super) fn cgroup(&self) -> &str {
        &self.cgroup
    }

    /// A command on the machine, with nothing of our environment.
    pub(super) fn command(&self, line: &[&str]) -> Command {
        let mut command = Command::new("chroot");
        command.arg(&self.root.0).args(line).env_clear().current_dir("/");
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C.UTF-8").env("HOME", "/root");
        command.env("DEBIAN_FRONTEND", "noninteractive");
        command
    }

    /// What a command says that must end well.
    pub(super) fn says(&self, line: &[&str]) -> Result<String> {
        Ok(String::from_utf8(quiet(&mut self.command(line))?.stdout)?)
    }

    pub(super) fn apt(&self, arguments: &[&str]) -> Result<()> {
        self.says(&[&["apt-get", "-q", "-o", "APT::Sandbox::User=root"], arguments].concat()).map(drop)
    }

    /// Installs a package file; what it depends on must be there or come from the mirror.
    pub(super) fn install(&self, package: &Path) -> Result<()> {
        std::fs::copy(package, self.at("tmp/ebbline.deb"))?;
        self.apt(&["install", "-y", "--no-install-recommends", "/tmp/ebbline.deb"])
    }

    pub(super) fn version(&self) -> Result<String> {
        self.says(&["dpkg-query", "-W", "-f", "${Version}", "ebbline"])
    }

    /// Changes a line of a file, as an administrator would.
    pub(super) fn edit(&self, file: &str, from: &str, to: &str) -> Result<()> {
        let text = std::fs::read_to_string(self.at(file))?;
        ensure!(text.contains(from), "{file} has no {from:?}");
        Ok(std::fs::write(self.at(file), text.replace(from, to))?)
    }

    /// So many processes in the watched cgroup.
    pub(super) fn work(&self, execs: u32) -> Result<()> {
        let script = format!("echo $$ > {}/cgroup.procs; for i in $(seq {execs}); do /bin/true; done", self.cgroup);
        self.says(&["sh", "-c", &script]).map(drop)
    }

    /// Every path that is not the package manager's own memory or a mount.
    pub(super) fn files(&self) -> Result<BTreeSet<String>> {
        let skip = ["/var/lib/dpkg", "/var/lib/apt", "/var/cache", "/var/log"];
        let text = self.says(&["find", "/", "-xdev"])?;
        let ours = text.lines().filter(|path| !skip.iter().any(|start| path.starts_with(start)));
        // Backups that tools for users make of their files.
        let backup = |path: &str| path.strip_prefix("/etc/").is_some_and(|name| name.ends_with('-'));
        let mut files: BTreeSet<String> = ours.filter(|path| !backup(path)).map(str::to_owned).collect();
        files.remove("/etc/.pwd.lock");
        Ok(files)
    }

    /// Names of users and groups.
    pub(super) fn users(&self) -> Result<BTreeSet<String>> {
        Ok(self
            .says(&["cat", "/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow"])?
            .lines()
            .map(str::to_owned)
            .collect())
    }

    /// Digest and path of every file below these.
    pub(super) fn contents(&self, paths: &[&str]) -> Result<BTreeSet<String>> {
        let list = paths.iter().map(|path| format!("/{path}")).collect::<Vec<_>>().join(" ");
        let text = self.says(&["sh", "-c", &format!("find {list} -type f -exec sha256sum {{}} +")])?;
        Ok(text.lines().map(str::to_owned).collect())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Its processes have ended; the kernel says so a moment later.
        let cgroup = self.at(&self.cgroup);
        for _ in 0..100 {
            if std::fs::remove_dir(&cgroup).is_ok() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        // Before the folder goes: what is mounted there is not ours to empty.
        for mount in self.mounts.iter().rev() {
            if let Err(error) = quiet(Command::new("umount").arg(mount)) {
                eprintln!("{error:#}");
                std::process::abort();
            }
        }
    }
}

/// Runs a command to a good end; what it says is shown only if it is not.
fn quiet(command: &mut Command) -> Result<Output> {
    let output = command.output().with_context(|| format!("cannot start {command:?}"))?;
    let text = |bytes| String::from_utf8_lossy(bytes).trim().to_owned();
    let (said, errors) = (text(&output.stdout), text(&output.stderr));
    ensure!(output.status.success(), "{command:?} ended with {}\n{said}\n{errors}", output.status);
    Ok(output)
}
