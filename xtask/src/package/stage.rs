//! The folder that becomes the package.

use super::said;
use anyhow::{Context, Result};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, UNIX_EPOCH};

/// Removed when dropped.
pub(super) struct Stage {
    dir: PathBuf,
    root: PathBuf,
}

impl Stage {
    pub(super) fn make(dir: &Path) -> Result<Self> {
        let stage = Self { dir: dir.to_path_buf(), root: dir.join("root") };
        std::fs::create_dir_all(&stage.root).with_context(|| format!("cannot make {}", dir.display()))?;
        Ok(stage)
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// An empty folder beside the package.
    pub(super) fn scratch(&self, name: &str) -> Result<PathBuf> {
        let path = self.dir.join(name);
        if path.exists() {
            std::fs::remove_dir_all(&path)?;
        }
        std::fs::create_dir_all(&path)?;
        Ok(path)
    }

    /// Puts a file at a path of the package; returns where it is now.
    pub(super) fn put(&self, path: &str, content: &[u8], mode: u32) -> Result<PathBuf> {
        let there = self.root.join(path);
        std::fs::create_dir_all(there.parent().context("a path without a folder")?)?;
        std::fs::write(&there, content).with_context(|| there.display().to_string())?;
        std::fs::set_permissions(&there, std::fs::Permissions::from_mode(mode))?;
        Ok(there)
    }

    /// The same through gzip, without a name or time in it.
    pub(super) fn put_compressed(&self, path: &str, content: &[u8]) -> Result<()> {
        let mut gzip = Command::new("gzip").arg("-9nc").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut input = gzip.stdin.take().context("gzip has no input")?;
        let output = std::thread::scope(|scope| {
            scope.spawn(move || input.write_all(content));
            gzip.wait_with_output()
        })?;
        anyhow::ensure!(output.status.success(), "gzip ended with {}", output.status);
        self.put(path, &output.stdout, 0o644).map(drop)
    }

    /// Every file that will be installed, by its path from the root, sorted.
    fn files(&self) -> Result<Vec<String>> {
        let listed = said(Command::new("find").args([".", "-type", "f", "-printf", "%P\n"]).current_dir(&self.root))?;
        let mut files: Vec<String> = listed.lines().map(str::to_owned).collect();
        files.retain(|path| !path.starts_with("DEBIAN/"));
        files.sort();
        Ok(files)
    }

    /// Installed size as `control` counts it: each file rounded up.
    pub(super) fn kib(&self) -> Result<u64> {
        let sizes = self.files()?.into_iter().map(|path| Ok(std::fs::metadata(self.root.join(path))?.len()));
        sizes.map(|size: Result<u64>| Ok(size?.div_ceil(1024))).sum()
    }

    pub(super) fn sums(&self) -> Result<String> {
        Ok(said(Command::new("md5sum").args(self.files()?).current_dir(&self.root))? + "\n")
    }

    /// Gives everything one time, and folders one mode, whatever the umask was.
    pub(super) fn settle(&self, epoch: u64) -> Result<()> {
        let time = UNIX_EPOCH + Duration::from_secs(epoch);
        let all = said(Command::new("find").args([".", "-depth", "-printf", "%p\n"]).current_dir(&self.root))?;
        for path in all.lines().map(|path| self.root.join(path)) {
            if path.is_dir() {
                std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
            }
            std::fs::File::open(&path)?.set_modified(time)?;
        }
        Ok(())
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}
