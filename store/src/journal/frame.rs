//! One frame of a journal, to and from bytes.
//!
//! ```text
//! head   magic "EBJF", version u8, 0, schema version u16, segment u64, length of the body u32, its CRC32 u32,
//!        CRC32 of the bytes before
//! body   wall time i64, boot id, note, number of parts u32, the parts
//! part   table, tags, number of runs u32, runs (path, first row u64, offset u32, rows u32),
//!        zeros up to a multiple of 8, an Arrow IPC stream
//! ```
//!
//! Integers are little endian; texts and bytes have their length, a u32, before them. The head is the same in all
//! versions. The segment is a number nobody can guess: rows that hold the bytes of a frame are not mistaken for one.

use std::sync::Arc;

use arrow_array::{RecordBatch, UInt8Array};
use arrow_ipc::MetadataVersion;
use arrow_ipc::reader::StreamDecoder;
use arrow_ipc::writer::{IpcWriteOptions, StreamWriter};
use arrow_schema::Schema;

use super::Part;
use crate::guard::guarded;
use crate::writer::Placed;

/// Version of the format.
pub(super) const VERSION: u8 = 1;
/// The first bytes of every frame.
pub(super) const MAGIC: &[u8; 4] = b"EBJF";
/// Bytes of a head.
pub(super) const HEAD: usize = 28;
/// Frames are not longer than this, which bounds what a reader needs.
pub(super) const MAX_FRAME: usize = 256 << 20;

/// What stands in front of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) version: u8,
    pub(super) schema: u16,
    pub(super) segment: u64,
    pub(super) length: usize,
    pub(super) crc: u32,
}

impl Head {
    /// A head, if these bytes are one and whole.
    pub(super) fn of(bytes: &[u8; HEAD]) -> Option<Self> {
        let mut cursor = Cursor(bytes);
        let magic = cursor.take(4)?;
        let [version, _] = cursor.take(2)?.try_into().ok()?;
        let schema = u16::from_le_bytes(cursor.take(2)?.try_into().ok()?);
        let head = Self { version, schema, segment: cursor.u64()?, length: cursor.u32()? as usize, crc: cursor.u32()? };
        let whole = cursor.u32()? == crc32fast::hash(&bytes[..HEAD - 4]);
        (magic == MAGIC && whole && head.length <= MAX_FRAME - HEAD).then_some(head)
    }

    /// Whether this program can read what follows.
    pub(super) fn is_ours(&self) -> bool {
        self.version == VERSION && u32::from(self.schema) == events::SCHEMA_VERSION
    }
}

/// Appends a frame. `placed` says for each part where its rows will stand. On an error `into` is of no use.
pub(super) fn encode(
    into: &mut Vec<u8>,
    segment: u64,
    time: i64,
    boot_id: &str,
    note: &[u8],
    parts: &[Part<'_>],
    placed: &[Vec<Placed>],
) -> Result<(), String> {
    into.clear();
    into.resize(HEAD, 0);
    into.extend(time.to_le_bytes());
    put(into, boot_id.as_bytes());
    put(into, note);
    put_u32(into, parts.len());
    for (part, placed) in parts.iter().zip(placed) {
        encode_part(into, part, placed)?;
    }
    if into.len() > MAX_FRAME {
        return Err(format!("a frame of {} bytes; {MAX_FRAME} at most", into.len()));
    }
    let (length, crc) = (into.len() - HEAD, crc32fast::hash(&into[HEAD..]));
    let mut head = Vec::with_capacity(HEAD);
    head.extend(MAGIC);
    head.extend([VERSION, 0]);
    head.extend(u16::try_from(events::SCHEMA_VERSION).unwrap_or(u16::MAX).to_le_bytes());
    head.extend(segment.to_le_bytes());
    put_u32(&mut head, length);
    head.extend(crc.to_le_bytes());
    let check = crc32fast::hash(&head);
    head.extend(check.to_le_bytes());
    into[..HEAD].copy_from_slice(&head);
    Ok(())
}

fn encode_part(into: &mut Vec<u8>, part: &Part<'_>, placed: &[Placed]) -> Result<(), String> {
    put(into, part.table.as_bytes());
    put(into, part.tags);
    put_u32(into, placed.len());
    for run in placed {
        put(into, run.relative.as_bytes());
        into.extend(run.first_row.to_le_bytes());
        put_u32(into, run.offset);
        put_u32(into, run.rows);
    }
    let length_at = into.len();
    put_u32(into, 0);
    into.resize(HEAD + (into.len() - HEAD).next_multiple_of(8), 0);
    let start = into.len();
    // Little padding: most batches are small, and have many columns.
    let options = IpcWriteOptions::try_new(8, false, MetadataVersion::V5).map_err(|e| e.to_string())?;
    let mut stream = StreamWriter::try_new_with_options(&mut *into, &part.rows.schema(), options)
        .and_then(|mut stream| stream.write(part.rows).map(|()| stream))
        .map_err(|e| e.to_string())?;
    stream.finish().map_err(|e| e.to_string())?;
    drop(stream);
    let length = (into.len() - start) as u32; // of no meaning beyond MAX_FRAME, which the caller checks
    into[length_at..length_at + 4].copy_from_slice(&length.to_le_bytes());
    Ok(())
}

fn put(into: &mut Vec<u8>, bytes: &[u8]) {
    put_u32(into, bytes.len());
    into.extend_from_slice(bytes);
}

/// Numbers of things in memory that are part of a frame: where one is cut short here, the frame is too long.
fn put_u32(into: &mut Vec<u8>, number: usize) {
    into.extend((number as u32).to_le_bytes());
}

/// A frame whose bytes are whole. Its rows are decoded when asked for.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) time: i64,
    pub(super) boot_id: String,
    pub(super) note: Vec<u8>,
    pub(super) parts: Vec<StoredPart>,
}

/// Rows of one table.
#[derive(Debug)]
pub(super) struct StoredPart {
    pub(super) table: String,
    pub(super) tags: Vec<u8>,
    pub(super) placed: Vec<Placed>,
    stream: UInt8Array,
}

impl Frame {
    /// Takes a body apart; nothing in it is believed.
    pub(super) fn of(body: Vec<u8>) -> Option<Self> {
        let bytes = UInt8Array::from(body);
        let mut cursor = Cursor(bytes.values());
        let time = cursor.u64()?.cast_signed();
        let boot_id = cursor.text()?.to_owned();
        let note = cursor.bytes()?.to_vec();
        let parts = cursor.u32()?;
        let parts = (0..parts).map(|_| StoredPart::of(&mut cursor, &bytes)).collect::<Option<_>>()?;
        cursor.0.is_empty().then_some(Self { time, boot_id, note, parts })
    }
}

impl StoredPart {
    fn of(cursor: &mut Cursor<'_>, all: &UInt8Array) -> Option<Self> {
        let table = cursor.text()?.to_owned();
        let tags = cursor.bytes()?.to_vec();
        let runs = cursor.u32()?;
        let placed = (0..runs).map(|_| run(cursor)).collect::<Option<_>>()?;
        let length = cursor.u32()? as usize;
        let at = all.len() - cursor.0.len();
        cursor.take(at.next_multiple_of(8) - at)?;
        let start = all.len() - cursor.0.len();
        cursor.take(length)?;
        Some(Self { table, tags, placed, stream: all.slice(start, length) })
    }

    /// The rows, if they have these columns, and tags and runs fit them.
    pub(super) fn rows(&self, schema: &Schema) -> Result<RecordBatch, String> {
        let rows = guarded(|| self.decode())?.map_err(|e| e.to_string())?.ok_or("it holds no rows")?;
        if rows.schema().fields() != schema.fields() {
            return Err(format!("table {} has other columns", self.table));
        }
        let covered = self.placed.iter().try_fold(0, |next, run| {
            let follows = run.offset == next && run.rows > 0 && run.first_row.checked_add(run.rows as u64).is_some();
            follows.then_some(next + run.rows)
        });
        let tagged = self.tags.is_empty() || self.tags.len() == rows.num_rows();
        if covered != Some(rows.num_rows()) || !tagged {
            return Err("rows and places do not fit together".into());
        }
        Ok(rows)
    }

    fn decode(&self) -> Result<Option<RecordBatch>, arrow_schema::ArrowError> {
        // This decoder takes what is there and no more; the one that reads streams allocates what they promise.
        let mut bytes = self.stream.values().inner().clone();
        StreamDecoder::new().decode(&mut bytes)
    }
}

fn run(cursor: &mut Cursor<'_>) -> Option<Placed> {
    let relative = Arc::from(cursor.text()?);
    let first_row = cursor.u64()?;
    Some(Placed { relative, first_row, offset: cursor.u32()? as usize, rows: cursor.u32()? as usize })
}

/// Takes bytes from the front.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take(4)?.try_into().ok().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take(8)?.try_into().ok().map(u64::from_le_bytes)
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let count = self.u32()? as usize;
        self.take(count)
    }

    fn text(&mut self) -> Option<&'a str> {
        str::from_utf8(self.bytes()?).ok()
    }
}
