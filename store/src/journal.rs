//! The journal of a host: rows are in it at once, and become Parquet later (decision 0014).

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;

use crate::error::StoreError;
use crate::writer::{Finished, Placed};

/// What a journal is of, and when its segments are closed.
#[derive(Debug, Clone)]
pub struct JournalOptions {
    /// Host whose rows these are.
    pub host: String,
    /// Boot id, for the footers.
    pub boot_id: String,
    /// A segment is closed when its first frame is this old.
    pub rotate_age: Duration,
    /// A segment is closed when it has this many bytes.
    pub rotate_bytes: u64,
    /// Rows of a Parquet row group, at most 65,536.
    pub max_row_group_rows: usize,
    /// The tables and their columns.
    pub tables: Vec<(&'static str, SchemaRef)>,
}

/// Rows of one table, to be committed.
#[derive(Debug, Clone, Copy)]
pub struct Part<'a> {
    /// One of the tables of the options.
    pub table: &'static str,
    /// The rows; the column `time` decides where they go.
    pub rows: &'a RecordBatch,
    /// One byte a row that comes back on replay, or none.
    pub tags: &'a [u8],
}

/// Rows that an earlier process committed and that are not Parquet yet.
#[derive(Debug, Clone)]
pub struct Replayed {
    /// One of the tables of the options.
    pub table: &'static str,
    /// The rows.
    pub rows: RecordBatch,
    /// Their tags, as committed.
    pub tags: Vec<u8>,
    /// Where they will stand.
    pub placed: Vec<Placed>,
}

/// What a journal held when it was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovered {
    /// The note of the last whole frame.
    pub note: Option<Vec<u8>>,
    /// When that was written, in nanoseconds since 1970.
    pub note_time: Option<i64>,
    /// Whole frames.
    pub frames: u64,
    /// Rows in them.
    pub rows: u64,
    /// Bytes at the ends of segments that are no whole frame.
    pub torn_bytes: u64,
    /// What could not be read, a line each.
    pub damaged: Vec<String>,
}

/// What the closing thread did.
#[derive(Debug)]
pub enum Closed {
    /// A file stands in the archive.
    File(Finished),
    /// A segment could not become Parquet now. It stays, and is tried again.
    Deferred(StoreError),
    /// Rows are gone, because bytes of the segment are damaged.
    Lost {
        /// The file in which they would have stood. If other rows of it are left, its [`Closed::File`] comes next.
        relative: Arc<str>,
        /// How many.
        rows: u64,
        /// What is wrong with the bytes.
        why: String,
    },
}

/// The journal of a host, open in this process alone.
pub struct Journal {}

impl Journal {
    /// Opens the journal of a host below an archive and replays what it holds, in order.
    ///
    /// # Errors
    /// [`StoreError::Busy`] if another process has it open, [`StoreError::Write`] if its folder cannot be made.
    pub fn open(
        root: &Path,
        options: JournalOptions,
        replay: &mut dyn FnMut(Replayed),
    ) -> Result<(Self, Recovered), StoreError> {
        let _ = (root, options, replay);
        Err(StoreError::Busy(root.into()))
    }

    /// Writes all parts and the note as one frame, or nothing. Says for each part where its rows will stand.
    ///
    /// # Errors
    /// [`StoreError::Write`]; the next call tries again.
    pub fn commit(&mut self, parts: &[Part<'_>], note: &[u8]) -> Result<Vec<Vec<Placed>>, StoreError> {
        let _ = (parts, note);
        Ok(Vec::new())
    }

    /// Hands segments that are due to the closing thread, and has the open one made durable now and then.
    pub fn tend(&mut self, now: Instant) {
        let _ = now;
    }

    /// Hands everything to the closing thread and waits until it has tried each segment once.
    pub fn close_all(&mut self) {}

    /// What the closing thread did since the last call.
    pub fn take_closed(&mut self) -> Vec<Closed> {
        Vec::new()
    }

    /// Bytes on disk of segments that are not closed yet.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        0
    }
}
