//! The file of an outbox: lines that are whole, or as if they had never been written.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

use super::Dead;
use crate::message::{Event, Version};

/// Longer lines are none of ours: a message has 1 MiB, and quotes within quotes.
const LINE_BYTES: u64 = 8 << 20;

/// What is written down.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Line {
    /// The first line.
    Begun { format: u32, target: String },
    /// To be sent; in place of what was to be sent of this incident before.
    Queued { incident: String, version: Version, event: Event, at: i64, body: String },
    /// The receiver has it.
    Sent { incident: String, delivery: String },
    /// It cannot be handed over.
    Dead { incident: String, dead: Dead },
    /// The receiver has this, as an earlier log said.
    Known { incident: String, version: Version },
    /// What could not be handed over is to be tried again.
    Again { incident: String },
}

/// Where a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) at: u64,
    pub(super) bytes: u64,
}

pub(super) fn encode(line: &Line) -> io::Result<Vec<u8>> {
    let json = serde_json::to_string(line)?;
    Ok(format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes())).into_bytes())
}

fn decode(line: &[u8]) -> Option<Line> {
    let line = std::str::from_utf8(line).ok()?.strip_suffix('\n')?;
    let (sum, json) = line.split_once(' ')?;
    (sum == format!("{:08x}", crc32fast::hash(json.as_bytes()))).then(|| serde_json::from_str(json).ok())?
}

/// Gives each whole line; returns where the last line end is.
fn read(file: &File, mut each: impl FnMut(Line, Span)) -> io::Result<u64> {
    let mut reader = BufReader::new(file);
    reader.seek(SeekFrom::Start(0))?;
    let (mut end, mut line) = (0, Vec::new());
    loop {
        line.clear();
        let bytes = reader.by_ref().take(LINE_BYTES).read_until(b'\n', &mut line)? as u64;
        if bytes == 0 || line.last() != Some(&b'\n') && bytes < LINE_BYTES {
            return Ok(end);
        }
        if let Some(line) = decode(&line) {
            each(line, Span { at: end, bytes });
        }
        end += bytes;
    }
}

fn options(write: bool) -> OpenOptions {
    let mut options = OpenOptions::new();
    // Whoever can write to the folder shall not send us elsewhere.
    options.read(true).write(write).create(write).mode(0o600).custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
    options
}

/// An open log.
pub(super) struct Log {
    pub(super) path: PathBuf,
    file: File,
    pub(super) end: u64,
}

impl Log {
    /// Opens it, or makes it, and gives what is in it. A line that was cut short is removed: it would spoil the next.
    pub(super) fn open(path: &Path, each: impl FnMut(Line, Span)) -> io::Result<Self> {
        let file = options(true).open(path)?;
        let end = read(&file, each)?;
        file.set_len(end)?;
        Ok(Self { path: path.into(), file, end })
    }

    /// Gives what is in a log that another process may have open; nothing is changed.
    pub(super) fn look(path: &Path, each: impl FnMut(Line, Span)) -> io::Result<()> {
        match options(false).open(path) {
            Ok(file) => read(&file, each).map(drop),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Appends lines, all or none as far as readers see; they are there if this process dies, and after [`Log::sync`] if the
    /// machine does.
    pub(super) fn append(&mut self, lines: &[Line]) -> io::Result<Vec<Span>> {
        let (mut bytes, mut spans) = (Vec::new(), Vec::new());
        for line in lines {
            let line = encode(line)?;
            spans.push(Span { at: self.end + bytes.len() as u64, bytes: line.len() as u64 });
            bytes.extend(line);
        }
        if let Err(error) = self.file.write_all_at(&bytes, self.end) {
            let _ = self.file.set_len(self.end); // else the next line is written over it
            return Err(error);
        }
        self.end += bytes.len() as u64;
        Ok(spans)
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// One line again.
    pub(super) fn get(&self, span: Span) -> io::Result<Line> {
        let mut line = vec![0; span.bytes as usize];
        self.file.read_exact_at(&mut line, span.at)?;
        decode(&line).ok_or_else(changed)
    }

    /// Takes the place of the log with these lines alone, whole or not at all.
    pub(super) fn replace(&self, lines: impl Iterator<Item = io::Result<Line>>) -> io::Result<()> {
        let tmp = self.path.with_extension("tmp");
        let _ = fs::remove_file(&tmp); // left by a process that was killed
        let file = options(true).create_new(true).open(&tmp)?;
        let mut writer = io::BufWriter::new(file);
        for line in lines {
            writer.write_all(&encode(&line?)?)?;
        }
        writer.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        fs::rename(&tmp, &self.path)?;
        sync_folder(&self.path)
    }
}

/// Somebody else wrote to it.
pub(super) fn changed() -> io::Error {
    io::Error::other("a line changed since it was written; run the command again")
}

/// Makes the name of a file durable.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}
