//! A segment: frames one after the other in a file, and the Parquet files that they will become.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::frame::{Frame, HEAD, Head, MAGIC};
use crate::writer::Placed;

/// Bytes looked through at a time for the next frame after damage.
const SEARCHED: usize = 64 << 10;

/// A file of rows that a segment will become.
#[derive(Debug)]
pub(super) struct Target {
    /// Its table, by place in the options.
    pub(super) table: usize,
    /// Its path relative to the archive.
    pub(super) relative: Arc<str>,
    /// The hour of its rows, as long as more may come.
    pub(super) hour: i64,
    /// Rows that were placed in it.
    pub(super) rows: u64,
    /// Where the frames that hold them begin.
    pub(super) frames: Vec<u64>,
}

/// A segment that is written, or waits to become Parquet.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) path: PathBuf,
    pub(super) number: u64,
    /// The number that its frames carry.
    pub(super) id: u64,
    pub(super) boot_id: String,
    /// Bytes of the file.
    pub(super) length: u64,
    pub(super) targets: Vec<Target>,
}

impl Segment {
    pub(super) fn new(folder: &Path, number: u64, id: u64, boot_id: &str) -> Self {
        let path = folder.join(file_name(number));
        Self { path, number, id, boot_id: boot_id.into(), length: 0, targets: Vec::new() }
    }

    /// What the footers of its Parquet files call it.
    pub(super) fn identity(&self) -> String {
        format!("{:06}-{:016x}", self.number, self.id)
    }

    /// Enters runs of a frame that begins at `at`.
    pub(super) fn enter(&mut self, table: usize, at: u64, placed: &[Placed]) {
        for run in placed {
            let known = self.targets.iter().position(|target| target.relative == run.relative);
            let known = known.unwrap_or_else(|| {
                let relative = run.relative.clone();
                self.targets.push(Target { table, relative, hour: i64::MIN, rows: 0, frames: Vec::new() });
                self.targets.len() - 1
            });
            let target = &mut self.targets[known];
            target.rows = target.rows.max(run.first_row.saturating_add(run.rows as u64));
            if target.frames.last() != Some(&at) {
                target.frames.push(at);
            }
        }
    }
}

/// `000001.journal`.
pub(super) fn file_name(number: u64) -> String {
    format!("{number:06}.journal")
}

/// The number in a segment's file name.
pub(super) fn number_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".journal")?;
    let plain = (6..=18).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}

/// Bytes that can be read at any place.
pub(super) trait Bytes {
    fn length(&self) -> io::Result<u64>;
    /// Fills the buffer, or fails.
    fn read(&self, at: u64, into: &mut [u8]) -> io::Result<()>;
}

impl Bytes for File {
    fn length(&self) -> io::Result<u64> {
        self.metadata().map(|meta| meta.len())
    }

    fn read(&self, at: u64, into: &mut [u8]) -> io::Result<()> {
        self.read_exact_at(into, at)
    }
}

impl Bytes for &[u8] {
    fn length(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }

    fn read(&self, at: u64, into: &mut [u8]) -> io::Result<()> {
        let rest = usize::try_from(at).ok().and_then(|at| self.get(at..)).and_then(|rest| rest.get(..into.len()));
        into.copy_from_slice(rest.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

/// Where the frames of a segment are.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Scan {
    /// Number of the segment, that of its first frame.
    pub(super) id: Option<u64>,
    /// Where whole frames begin.
    pub(super) frames: Vec<u64>,
    /// From and to: bytes before a whole frame that are none.
    pub(super) damaged: Vec<(u64, u64)>,
    /// Bytes at the end that are no whole frame.
    pub(super) torn: u64,
    /// All bytes.
    pub(super) length: u64,
    /// The first frame is of another version: format, schema.
    pub(super) other: Option<(u8, u16)>,
    /// It is the beginning of one frame, as far as it goes.
    begins: bool,
}

impl Scan {
    /// There is no frame, nor the beginning of one that was being written when all ended.
    pub(super) fn is_damaged_whole(&self) -> bool {
        self.frames.is_empty() && !self.begins
    }
}

/// Looks at every byte once, or twice after damage.
pub(super) fn scan(source: &impl Bytes) -> io::Result<Scan> {
    let length = source.length()?;
    let mut scan = Scan { length, begins: begins(source, length)?, ..Scan::default() };
    let (mut at, mut good) = (0, 0);
    while at < length {
        let Some(head) = head(source, at, length)?.filter(|head| scan.id.is_none_or(|id| id == head.segment)) else {
            at = search(source, at + 1, length)?;
            continue;
        };
        let next = at + (HEAD + head.length) as u64;
        if next > length {
            at = search(source, at + 1, length)?;
            continue;
        }
        if !head.is_ours() && scan.frames.is_empty() {
            scan.other = Some((head.version, head.schema));
            return Ok(scan);
        }
        if body(source, at, &head)?.is_some() {
            if at > good {
                scan.damaged.push((good, at));
            }
            scan.id = Some(head.segment);
            scan.frames.push(at);
            good = next;
        }
        at = next; // the head is whole, so this is where the next one is
    }
    scan.torn = length - good;
    Ok(scan)
}

/// Whether the bytes are the first ones of a frame: what comes behind them may be torn off.
fn begins(source: &impl Bytes, length: u64) -> io::Result<bool> {
    if length >= HEAD as u64 {
        let frame = head(source, 0, length)?;
        return Ok(frame.is_some_and(|head| (HEAD + head.length) as u64 >= length));
    }
    let mut bytes = [0; HEAD];
    let bytes = &mut bytes[..length as usize];
    source.read(0, bytes)?;
    Ok(length > 0 && bytes.iter().zip(MAGIC).all(|(byte, magic)| byte == magic))
}

fn head(source: &impl Bytes, at: u64, length: u64) -> io::Result<Option<Head>> {
    if length - at < HEAD as u64 {
        return Ok(None);
    }
    let mut bytes = [0; HEAD];
    source.read(at, &mut bytes)?;
    Ok(Head::of(&bytes))
}

fn body(source: &impl Bytes, at: u64, head: &Head) -> io::Result<Option<Vec<u8>>> {
    let mut body = vec![0; head.length];
    source.read(at + HEAD as u64, &mut body)?;
    Ok((crc32fast::hash(&body) == head.crc).then_some(body))
}

/// The next place from `at` on that may be the beginning of a frame, or the end.
fn search(source: &impl Bytes, mut at: u64, length: u64) -> io::Result<u64> {
    let mut bytes = vec![0; SEARCHED.min((length - at.min(length)) as usize)];
    while length.saturating_sub(at) >= HEAD as u64 {
        let count = bytes.len().min((length - at) as usize);
        source.read(at, &mut bytes[..count])?;
        if let Some(found) = bytes[..count].windows(MAGIC.len()).position(|four| four == MAGIC) {
            return Ok(at + found as u64);
        }
        at += (count - (MAGIC.len() - 1)) as u64; // it may lie across two readings
    }
    Ok(length)
}

/// Why a frame that was whole cannot be read.
#[derive(Debug)]
pub(super) enum FrameError {
    /// The system refuses to read, perhaps not for long.
    Io(io::Error),
    /// The bytes are not what was written.
    Damaged(String),
}

/// The frame of segment `id` at `at`.
pub(super) fn frame(source: &impl Bytes, at: u64, id: u64) -> Result<Frame, FrameError> {
    let damaged = || FrameError::Damaged(format!("the bytes at {at} are not what was written"));
    let read = |error: io::Error| match error.kind() {
        io::ErrorKind::UnexpectedEof => damaged(), // cut short meanwhile
        _ => FrameError::Io(error),
    };
    let length = source.length().map_err(read)?;
    let head = if at < length { head(source, at, length).map_err(read)? } else { None };
    let head = head.filter(|head| head.segment == id).ok_or_else(damaged)?;
    if head.length as u64 > length - at - HEAD as u64 {
        return Err(damaged());
    }
    body(source, at, &head).map_err(read)?.and_then(Frame::of).ok_or_else(damaged)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_segments_are_told_from_others() {
        assert_eq!(number_of(&file_name(7)), Some(7));
        assert_eq!(number_of(&file_name(1_234_567)), Some(1_234_567));
        for name in ["lock", "7.journal", "000007.journal.tmp", "+00007.journal", "0000000000000000000000.journal"] {
            assert_eq!(number_of(name), None, "{name}");
        }
    }
}
