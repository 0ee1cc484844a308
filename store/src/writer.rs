//! The rotating writer of one table of one host.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::{Array, RecordBatch, TimestampNanosecondArray};
use arrow_schema::SchemaRef;
use parquet::arrow::ArrowWriter;

use crate::error::{Lost, StoreError, WriteError};
use crate::layout::{file_name, hour_of, table_folder};
use crate::properties::{ROW_GROUP_ROWS, properties};
use crate::whole::{WholeFile, complete, make_folders};
use crate::{META_BOOT_ID, META_HOST, META_SCHEMA_VERSION, META_TABLE};

/// Late rows around a full hour are normal, so two hours may be open at once.
const OPEN_HOURS: usize = 2;

/// When a file is closed, and what its footer says.
#[derive(Debug, Clone)]
pub struct WriterOptions {
    /// A file is closed when it has been open this long.
    pub rotate_age: Duration,
    /// A file is closed when it has about this many bytes.
    pub rotate_bytes: u64,
    /// Boot id for the footer.
    pub boot_id: String,
    /// Rows held in memory before they are written, at most 65,536.
    pub max_row_group_rows: usize,
}

impl Default for WriterOptions {
    fn default() -> Self {
        Self {
            rotate_age: Duration::from_secs(15 * 60),
            rotate_bytes: 128 << 20,
            boot_id: String::new(),
            max_row_group_rows: ROW_GROUP_ROWS,
        }
    }
}

/// Where a run of rows of a batch landed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// Path of the file relative to the archive; it exists once the file is finished.
    pub relative: Arc<str>,
    /// Row of the file where the run starts.
    pub first_row: u64,
    /// First row of the run in the batch.
    pub offset: usize,
    /// Rows in the run.
    pub rows: usize,
}

/// A file that now stands in the archive under its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// Path relative to the archive.
    pub relative: Arc<str>,
    /// Path on disk.
    pub path: PathBuf,
    /// Rows in it.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of the file in hex, for the sidecar.
    pub sha256: String,
}

struct OpenFile {
    hour: i64,
    relative: Arc<str>,
    path: PathBuf,
    parquet: ArrowWriter<WholeFile>,
    rows: u64,
    opened: Instant,
    used: u64,
}

/// Writes the batches of one table of one host into files cut at UTC hours, and sooner by size or age.
pub struct TableWriter {
    root: PathBuf,
    table: String,
    host: String,
    schema: SchemaRef,
    options: WriterOptions,
    open: Vec<OpenFile>,
    finished: Vec<Finished>,
    sequence: u32,
    clock: u64,
}

impl TableWriter {
    /// A writer below `archive_root`. Nothing is created before the first row.
    #[must_use]
    pub fn new(archive_root: &Path, table: &str, host: &str, schema: SchemaRef, options: WriterOptions) -> Self {
        Self {
            root: archive_root.into(),
            table: table.into(),
            host: host.into(),
            schema,
            options,
            open: Vec::new(),
            finished: Vec::new(),
            sequence: 0,
            clock: 0,
        }
    }

    /// Writes a batch of the table's schema. Runs of rows of one UTC hour go to one file; the result covers the batch
    /// in order.
    ///
    /// # Errors
    /// A [`WriteError`] that says what was placed and which files were given up. The writer can go on.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<Vec<Placed>, WriteError> {
        let mut outcome = Outcome::default();
        match hour_runs(batch) {
            Ok(runs) => {
                for (hour, first_time, offset, rows) in runs {
                    self.write_run(&batch.slice(offset, rows), hour, first_time, offset, &mut outcome);
                }
            }
            Err(why) => outcome.fail(StoreError::Write { path: self.root.join(&self.table), why }),
        }
        outcome.result()
    }

    fn write_run(&mut self, run: &RecordBatch, hour: i64, time: i64, offset: usize, outcome: &mut Outcome) {
        let at = match self.open.iter().position(|file| file.hour == hour) {
            Some(at) => at,
            None => match self.open_file(hour, time) {
                Ok(file) => {
                    self.make_room(outcome);
                    self.open.push(file);
                    self.open.len() - 1
                }
                Err(error) => return outcome.fail(error),
            },
        };
        self.clock += 1;
        let file = &mut self.open[at];
        if let Err(error) = file.parquet.write(run) {
            let file = self.open.swap_remove(at);
            return outcome.lose(&file, StoreError::write_parquet(&file.path, &error));
        }
        let rows = run.num_rows();
        outcome.placed.push(Placed { relative: file.relative.clone(), first_row: file.rows, offset, rows });
        file.rows += rows as u64;
        file.used = self.clock;
        let size = (file.parquet.bytes_written() + file.parquet.in_progress_size()) as u64;
        if size >= self.options.rotate_bytes {
            self.close(at, outcome);
        }
    }

    /// Closes files that are older than the age limit at `now`.
    ///
    /// # Errors
    /// As for [`TableWriter::write`]; other files are closed all the same.
    pub fn rotate_if_due(&mut self, now: Instant) -> Result<(), WriteError> {
        let age = self.options.rotate_age;
        self.close_where(|file| now.saturating_duration_since(file.opened) >= age)
    }

    /// Closes every open file.
    ///
    /// # Errors
    /// As for [`TableWriter::write`]; other files are closed all the same.
    pub fn finish(&mut self) -> Result<(), WriteError> {
        self.close_where(|_| true)
    }

    /// Files that were completed since the last call, by rotation or finish.
    pub fn take_finished(&mut self) -> Vec<Finished> {
        std::mem::take(&mut self.finished)
    }

    fn close_where(&mut self, due: impl Fn(&OpenFile) -> bool) -> Result<(), WriteError> {
        let mut outcome = Outcome::default();
        while let Some(at) = self.open.iter().position(&due) {
            self.close(at, &mut outcome);
        }
        outcome.result().map(|_| ())
    }

    /// The file that was used longest ago gives way to a third hour.
    fn make_room(&mut self, outcome: &mut Outcome) {
        if self.open.len() >= OPEN_HOURS
            && let Some(oldest) = (0..self.open.len()).min_by_key(|i| self.open[*i].used)
        {
            self.close(oldest, outcome);
        }
    }

    fn close(&mut self, at: usize, outcome: &mut Outcome) {
        let OpenFile { relative, path, parquet, rows, .. } = self.open.swap_remove(at);
        match complete(parquet) {
            Ok((bytes, sha256)) => self.finished.push(Finished { relative, path, rows, bytes, sha256 }),
            Err(error) => outcome.lose_rows(relative, rows, error),
        }
    }

    fn open_file(&mut self, hour: i64, time: i64) -> Result<OpenFile, StoreError> {
        let folder = table_folder(&self.table, time, &self.host);
        let on_disk = make_folders(&self.root, Path::new(&folder))?;
        let (name, whole) = self.free_name(&on_disk, time)?;
        let path = whole.path().to_path_buf();
        let origin = Origin { table: &self.table, host: &self.host, boot_id: &self.options.boot_id };
        let parquet = table_file(whole, &self.schema, &origin, self.options.max_row_group_rows)?;
        let relative = Arc::from(format!("{folder}/{name}"));
        Ok(OpenFile { hour, relative, path, parquet, rows: 0, opened: Instant::now(), used: self.clock })
    }

    /// The next sequence number whose name is free: a restart never overwrites, nor trips over what a crash left.
    fn free_name(&mut self, folder: &Path, time: i64) -> Result<(String, WholeFile), StoreError> {
        loop {
            self.sequence += 1;
            let name = file_name(time, self.sequence);
            let path = folder.join(&name);
            match WholeFile::create_new(&path) {
                Ok(whole) => return Ok((name, whole)),
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists && self.sequence < 999_999 => {}
                Err(e) => return Err(StoreError::write(&path, &e)),
            }
        }
    }
}

/// What the footer of a table's file says of where its rows come from.
pub(crate) struct Origin<'a> {
    pub(crate) table: &'a str,
    pub(crate) host: &'a str,
    pub(crate) boot_id: &'a str,
}

/// Begins a file of a table.
pub(crate) fn table_file(
    whole: WholeFile,
    schema: &SchemaRef,
    origin: &Origin<'_>,
    row_group_rows: usize,
) -> Result<ArrowWriter<WholeFile>, StoreError> {
    let path = whole.path().to_path_buf();
    let version = events::SCHEMA_VERSION.to_string();
    let meta = [
        (META_SCHEMA_VERSION, version.as_str()),
        (META_TABLE, origin.table),
        (META_HOST, origin.host),
        (META_BOOT_ID, origin.boot_id),
    ];
    let properties = properties(schema, row_group_rows, &meta);
    ArrowWriter::try_new(whole, schema.clone(), Some(properties)).map_err(|e| StoreError::write_parquet(&path, &e))
}

/// Runs of consecutive rows of one UTC hour: (hour, time of the first row, offset, rows).
pub(crate) fn hour_runs(batch: &RecordBatch) -> Result<Vec<(i64, i64, usize, usize)>, String> {
    let times = batch
        .column_by_name("time")
        .and_then(|column| column.as_any().downcast_ref::<TimestampNanosecondArray>())
        .ok_or("the batch has no column time of timestamps in nanoseconds")?;
    if times.null_count() > 0 {
        return Err("the column time holds a null".into());
    }
    let mut runs: Vec<(i64, i64, usize, usize)> = Vec::new();
    for (row, time) in times.values().iter().enumerate() {
        match runs.last_mut() {
            Some(run) if run.0 == hour_of(*time) => run.3 += 1,
            _ => runs.push((hour_of(*time), *time, row, 1)),
        }
    }
    Ok(runs)
}

/// What a call achieved, file by file.
#[derive(Default)]
struct Outcome {
    placed: Vec<Placed>,
    lost: Vec<Lost>,
    cause: Option<StoreError>,
}

impl Outcome {
    fn fail(&mut self, error: StoreError) {
        self.cause.get_or_insert(error);
    }

    fn lose(&mut self, file: &OpenFile, error: StoreError) {
        self.lose_rows(file.relative.clone(), file.rows, error);
    }

    /// `rows` counts all rows of the lost file; those that this call had placed there are taken back.
    fn lose_rows(&mut self, relative: Arc<str>, rows: u64, error: StoreError) {
        let mut earlier_rows = rows;
        self.placed.retain(|placed| {
            let gone = placed.relative == relative;
            if gone {
                earlier_rows -= placed.rows as u64;
            }
            !gone
        });
        self.lost.push(Lost { relative, earlier_rows });
        self.fail(error);
    }

    fn result(self) -> Result<Vec<Placed>, WriteError> {
        match self.cause {
            None => Ok(self.placed),
            Some(cause) => Err(WriteError { placed: self.placed, lost: self.lost, cause: Box::new(cause) }),
        }
    }
}
