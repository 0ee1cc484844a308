//! Results that are there already.

use std::fs::{File, FileType, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bench::{MAKE, Report};
use rustix::fs::OFlags;

use crate::words::{thousands, visible};

/// The longest text that is taken for a result; a long one has some 100 KB.
const BYTES_MAX: u64 = 16 << 20;
/// How long somebody is waited for who would write into a pipe.
const WRITER: Duration = Duration::from_secs(5);
/// After how long it is said that a pipe is waited for.
const WORD: Duration = Duration::from_secs(2);
/// How often a pipe is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// Reads a result, to do something with it that the line of an error names.
pub(super) fn load(what: &str, path: &Path) -> Result<Report> {
    let what = || format!("cannot {what}: {}", path.display());
    let text = read(path).with_context(what)?;
    Report::parse(&text).with_context(what)
}

/// The whole text of a file or of a pipe; nothing else is opened, since opening alone may wait or do something.
fn read(path: &Path) -> Result<Vec<u8>> {
    let about = match std::fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => bail!("there is no such file; {MAKE}"),
        about => about?,
    };
    if let Some(other) = other(about.file_type()) {
        bail!("it is {other}; name a file that `ebbline bench --out FILE` wrote");
    }
    let bytes = if about.is_file() { about.len() } else { 0 };
    if bytes > BYTES_MAX {
        let (bytes, most) = (thousands(bytes), BYTES_MAX >> 20);
        bail!("it has {bytes} bytes, and no result of `ebbline bench --json` has more than {most} MiB");
    }
    let file = OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits() as i32).open(path)?;
    if about.file_type().is_fifo() {
        return from_pipe(&file, path);
    }
    let mut text = Vec::new();
    file.take(BYTES_MAX + 1).read_to_end(&mut text)?;
    check_length(text.len() as u64)?;
    Ok(text)
}

/// What it is, if neither a file nor a pipe.
fn other(kind: FileType) -> Option<&'static str> {
    match kind {
        kind if kind.is_file() || kind.is_fifo() => None,
        kind if kind.is_dir() => Some("a folder"),
        kind if kind.is_socket() => Some("a socket"),
        _ => Some("a device"),
    }
}

/// Of what does not say its size before.
fn check_length(bytes: u64) -> Result<()> {
    if bytes > BYTES_MAX {
        bail!("it is longer than {} MiB, so no result of `ebbline bench --json`", BYTES_MAX >> 20);
    }
    Ok(())
}

/// What somebody writes into a pipe, to its end. Who writes may take a while, which is said; nobody is not waited for.
fn from_pipe(mut pipe: &File, path: &Path) -> Result<Vec<u8>> {
    let (begun, mut said, mut text) = (Instant::now(), false, Vec::new());
    loop {
        let had = text.len() as u64;
        let ended = pipe.by_ref().take(BYTES_MAX + 1 - had).read_to_end(&mut text);
        check_length(text.len() as u64)?;
        match ended {
            Ok(_) if !text.is_empty() => return Ok(text),
            Ok(_) if begun.elapsed() > WRITER => {
                let seconds = WRITER.as_secs();
                bail!(
                    "it is a pipe, and nobody wrote into it within {seconds} s; write the result to a file and name that"
                )
            }
            Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error.into()),
            Ok(_) | Err(_) => {}
        }
        if !said && begun.elapsed() > WORD {
            eprintln!("{}", visible(&format!("note: {}: waiting for what comes out of this pipe", path.display())));
            said = true;
        }
        std::thread::sleep(LOOK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn said(path: &Path) -> String {
        crate::words::chain(&load("make a page", path).unwrap_err())
    }

    #[test]
    fn a_pipe_is_read_to_its_end() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&reader));
        let slowly = std::thread::spawn(move || {
            for part in ["{\"form", "at\": ", "9}"] {
                std::thread::sleep(Duration::from_millis(50));
                writer.write_all(part.as_bytes()).unwrap();
            }
        });
        assert_eq!(read(Path::new(&path)).unwrap(), b"{\"format\": 9}");
        slowly.join().unwrap();
        assert!(said(Path::new(&path)).contains("nobody wrote into it within 5 s"));
    }

    #[test]
    fn a_pipe_has_a_bound() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&reader));
        let endless = std::thread::spawn(move || while writer.write_all(&[b' '; 1 << 16]).is_ok() {});
        assert!(said(Path::new(&path)).contains("it is longer than 16 MiB"));
        drop(reader);
        endless.join().unwrap();
    }

    #[test]
    fn what_is_neither_file_nor_pipe_is_not_opened() {
        assert!(said(Path::new("/dev/zero")).starts_with("cannot make a page: /dev/zero: it is a device; name a file"));
        assert!(said(Path::new("/")).contains("it is a folder; "));
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        let _listens = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        assert!(said(&socket).contains("it is a socket; "));
        let huge = folder.path().join("huge");
        File::create(&huge).unwrap().set_len(1 << 40).unwrap();
        assert!(said(&huge).contains("it has 1,099,511,627,776 bytes, and no result of "), "refused by its size");
    }
}
