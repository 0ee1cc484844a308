//! What a journal holds when it is opened. Nothing that is read here is believed before it is checked.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use arrow_schema::SchemaRef;

use super::frame::Frame;
use super::segment::{Bytes, FrameError, Scan, Segment, frame, number_of, scan};
use super::{JournalOptions, Recovered, Replayed, aside};
use crate::error::StoreError;
use crate::layout::{TableFile, safe};
use crate::whole::suffixed;

/// What a folder of segments held.
pub(super) struct Found {
    pub(super) recovered: Recovered,
    /// Segments that can become Parquet, oldest first.
    pub(super) segments: Vec<Segment>,
    /// The number of the next one.
    pub(super) next: u64,
    /// Bytes of all segments.
    pub(super) bytes: u64,
    /// Of these, bytes of segments that nobody here can read.
    pub(super) unread: u64,
}

/// Reads the segments of a folder in order.
pub(super) fn folder(
    root: &Path,
    folder: &Path,
    options: &JournalOptions,
    replay: &mut dyn FnMut(Replayed),
) -> Result<Found, StoreError> {
    let mut found = Found { recovered: Recovered::default(), segments: Vec::new(), next: 1, bytes: 0, unread: 0 };
    for (number, path) in numbered(folder)? {
        found.next = number + 1;
        if !path.symlink_metadata().is_ok_and(|meta| meta.is_file()) {
            continue; // not ours
        }
        let bytes = path.symlink_metadata().map_or(0, |meta| meta.len());
        found.bytes += bytes;
        match segment(folder, number, &path, options, &mut found.recovered, replay) {
            Ok(None) => found.bytes -= bytes,
            Ok(Some(segment)) => {
                let leftover = |relative: &str| suffixed(&root.join(relative), ".tmp");
                segment.targets.iter().for_each(|target| drop(fs::remove_file(leftover(&target.relative))));
                found.segments.push(segment);
            }
            Err(why) => {
                found.unread += bytes;
                found.recovered.unread.push(why);
            }
        }
    }
    Ok(found)
}

fn numbered(folder: &Path) -> Result<Vec<(u64, PathBuf)>, StoreError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(|e| StoreError::read(folder, &e))? {
        let entry = entry.map_err(|e| StoreError::read(folder, &e))?;
        if let Some(number) = entry.file_name().to_str().and_then(number_of) {
            found.push((number, entry.path()));
        }
    }
    found.sort();
    Ok(found)
}

/// Replays one segment, or says why it stays as it is; none if there was nothing in it, and it was set aside.
fn segment(
    folder: &Path,
    number: u64,
    path: &Path,
    options: &JournalOptions,
    recovered: &mut Recovered,
    replay: &mut dyn FnMut(Replayed),
) -> Result<Option<Segment>, String> {
    let unreadable = |error: std::io::Error| StoreError::read(path, &error).to_string();
    let file = File::open(path).map_err(unreadable)?;
    let scan = scan(&file).map_err(unreadable)?;
    if let Some((version, schema)) = scan.other {
        return Err(format!(
            "journal of another version: {}: format {version}, schema {schema}; start the release that wrote it, or move it away",
            path.display()
        ));
    }
    if scan.is_damaged_whole() {
        recovered.damaged.extend(aside::set(folder, path, scan.length)?);
        return Ok(None);
    }
    let mut segment = Segment { path: path.into(), ..Segment::new(folder, number, scan.id.unwrap_or(0), "") };
    replay_all(&file, &scan, &mut segment, options, recovered, replay).map_err(unreadable)?;
    Ok(Some(segment))
}

fn replay_all(
    source: &impl Bytes,
    scan: &Scan,
    segment: &mut Segment,
    options: &JournalOptions,
    recovered: &mut Recovered,
    replay: &mut dyn FnMut(Replayed),
) -> std::io::Result<()> {
    segment.length = scan.length;
    recovered.torn_bytes += scan.torn;
    let name = segment.path.display().to_string();
    for (from, to) in &scan.damaged {
        let line =
            format!("damaged journal: {name}: no frame in bytes {from} to {to}; the rows that were there are gone");
        recovered.damaged.push(line);
    }
    for at in &scan.frames {
        let read = match frame(source, *at, segment.id) {
            Err(FrameError::Io(error)) => return Err(error),
            Err(FrameError::Damaged(why)) => Err(why),
            Ok(frame) => Ok(frame),
        };
        match read.and_then(|frame| checked(&frame, options).map(|parts| (frame, parts))) {
            Ok((frame, parts)) => {
                recovered.frames += 1;
                segment.boot_id = frame.boot_id;
                for (table, part) in parts {
                    recovered.rows += part.rows.num_rows() as u64;
                    segment.enter(table, *at, &part.placed);
                    replay(part);
                }
                (recovered.note, recovered.note_time) = (Some(frame.note), Some(frame.time));
            }
            Err(why) => recovered.damaged.push(format!("damaged journal: {name}: frame at {at}: {why}")),
        }
    }
    Ok(())
}

/// The rows of a frame, if all of them are of known tables and will stand where rows of this host may.
fn checked(frame: &Frame, options: &JournalOptions) -> Result<Vec<(usize, Replayed)>, String> {
    let mut parts = Vec::with_capacity(frame.parts.len());
    let note: std::sync::Arc<[u8]> = frame.note.as_slice().into();
    for part in &frame.parts {
        let at = options.tables.iter().position(|(table, _)| *table == part.table);
        let at = at.ok_or_else(|| format!("there is no table {}", crate::error::one_line(&part.table)))?;
        let (table, schema) = &options.tables[at];
        let rows = part.rows(schema)?;
        let ours = |relative: &str| {
            TableFile::of(relative).is_some_and(|file| file.table == *table && file.host == safe(&options.host))
        };
        if !part.placed.iter().all(|run| ours(&run.relative)) {
            return Err("its rows have no place in the archive".into());
        }
        parts.push((
            at,
            Replayed { table, rows, tags: part.tags.clone(), placed: part.placed.clone(), note: note.clone() },
        ));
    }
    Ok(parts)
}

/// Reads bytes as a segment, as [`super::Journal::open`] does: for tests and fuzzing.
#[doc(hidden)]
pub fn read_segment(
    bytes: &[u8],
    host: &str,
    tables: &[(&'static str, SchemaRef)],
    replay: &mut dyn FnMut(Replayed),
) -> Recovered {
    let options = JournalOptions {
        host: host.into(),
        boot_id: String::new(),
        rotate_age: std::time::Duration::MAX,
        rotate_bytes: u64::MAX,
        sync_every: std::time::Duration::MAX,
        max_row_group_rows: 1,
        tables: tables.to_vec(),
    };
    let mut recovered = Recovered::default();
    match scan(&bytes) {
        Ok(scan) if scan.other.is_none() => {
            let mut segment = Segment::new(Path::new(""), 1, scan.id.unwrap_or(0), "");
            let _ = replay_all(&bytes, &scan, &mut segment, &options, &mut recovered, replay); // bytes in memory can be read
        }
        _ => recovered.damaged.push("of another version".into()),
    }
    recovered
}
