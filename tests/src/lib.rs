//! End-to-end, kernel, fault and golden tests: what they share.

pub mod handover;
mod object_server;
mod plenty;
mod receiver;
mod tmux;

pub use object_server::{ObjectServer, Request};
pub use plenty::{BASELINE, write_plenty};
pub use receiver::{Does, Post, Receiver, read_frame};
pub use tmux::Tmux;

use std::path::{Path, PathBuf};
use std::process::Command;

use store::{TableWriter, WriterOptions};
use workload::columns::Part;

/// A binary of this workspace, beside the running test in the target folder.
///
/// # Panics
/// When it has not been built; the message says how.
#[must_use]
pub fn bin(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own path");
    let folder = test.parent().and_then(Path::parent).expect("tests run in target/PROFILE/deps");
    let path = folder.join(name);
    assert!(path.is_file(), "{} is not built; run: cargo build --workspace --bins", path.display());
    path
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    /// Exit code; −1 if a signal ended it.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Ended {
    /// Standard output as JSON.
    ///
    /// # Panics
    /// When the command failed or the output is not JSON.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        assert!(matches!(self.code, 0 | 3), "{self:?}");
        serde_json::from_str(&self.stdout).expect("the command prints JSON")
    }

    /// The error line of a command that failed with code 1: exactly one line of the agreed form, and no panic.
    ///
    /// # Panics
    /// When it ended in any other way.
    pub fn error(&self) -> &str {
        assert_eq!(self.code, 1, "{self:?}");
        assert!(!self.stderr.contains("panicked"), "{self:?}");
        let errors: Vec<&str> = self.stderr.lines().filter(|line| line.starts_with("error: ")).collect();
        assert_eq!(errors.len(), 1, "one error line: {self:?}");
        assert_eq!(self.stderr.lines().last(), Some(errors[0]), "the error comes last: {self:?}");
        assert!(errors[0].matches(": ").count() >= 2, "error: WHAT: WHERE: {self:?}");
        errors[0]
    }
}

/// Runs `ebbline` with the arguments.
///
/// # Panics
/// When it cannot be started.
pub fn ebbline<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> Ended {
    ended(Command::new(bin("ebbline")).args(args))
}

/// Runs a command to its end.
///
/// # Panics
/// When it cannot be started.
pub fn ended(command: &mut Command) -> Ended {
    let output = command.output().expect("the command starts");
    let text = |bytes| String::from_utf8(bytes).expect("output is UTF-8");
    Ended { code: output.status.code().unwrap_or(-1), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// Says loudly that a test did not run, and why. With `CI=true` that is a failure.
///
/// # Panics
/// With `CI=true`.
pub fn skip(what: &str) {
    assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "must not be skipped in CI: {what}");
    eprintln!("SKIPPED: {what}");
}

/// Python with the module: `EBBLINE_PYTHON` if it is set, else `python3`.
#[must_use]
pub fn python(module: &str) -> Option<PathBuf> {
    let python = std::env::var_os("EBBLINE_PYTHON").map_or_else(|| "python3".into(), PathBuf::from);
    let import = Command::new(&python).args(["-c", &format!("import {module}")]).output();
    import.is_ok_and(|output| output.status.success()).then_some(python)
}

/// Writes parts as an archive, in files like the agent's.
///
/// # Panics
/// When they cannot be written.
pub fn write_archive(root: &Path, parts: impl IntoIterator<Item = Part>) {
    std::fs::create_dir_all(root).expect("the folder can be made");
    let mut writers = std::collections::BTreeMap::new();
    for part in parts {
        let writer = writers.entry((part.table, part.host.clone())).or_insert_with(|| {
            let options = WriterOptions { boot_id: "00000000-test".into(), ..WriterOptions::default() };
            TableWriter::new(root, part.table, &part.host, part.batch.schema(), options)
        });
        writer.write(&part.batch).expect("the batch is written");
    }
    for writer in writers.values_mut() {
        writer.finish().expect("the files are completed");
    }
}

/// Every file below a folder: path relative to it and content, sorted.
///
/// # Panics
/// When it cannot be read.
#[must_use]
pub fn files_below(root: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("the folder can be read") {
            let path = entry.expect("the folder can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let relative = path.strip_prefix(root).expect("it is below").to_path_buf();
                files.push((relative, std::fs::read(&path).expect("the file can be read")));
            }
        }
    }
    files.sort();
    files
}
