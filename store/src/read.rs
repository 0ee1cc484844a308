//! Reading archive files, ours and those of other programs.

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, FieldRef, Fields, Schema, SchemaRef};
use arrow_select::concat::concat_batches;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder, RowSelection,
    statistics::StatisticsConverter,
};

use parquet::file::metadata::RowGroupMetaData;
use parquet::file::reader::Length;
use parquet::file::statistics::Statistics;

use crate::discover::Source;
use crate::error::StoreError;
use crate::guard::guarded;
use crate::input::Input;
use crate::ranges::Ranged;
use crate::{META_SCHEMA_VERSION, META_TABLE};

/// Rows of a batch unless asked otherwise.
pub const DEFAULT_BATCH_ROWS: usize = 8_192;

const MAGIC: &[u8; 4] = b"PAR1";

/// What the footer says of a column: an entry for each row group, null where it says nothing.
#[derive(Debug)]
pub struct Bounds {
    /// No value is less; it may be less than every value.
    pub least: ArrayRef,
    /// No value is more.
    pub most: ArrayRef,
}

/// What of a file to read.
enum Part<'a> {
    Groups(Option<&'a [usize]>),
    Rows(RowSelection),
}

/// A Parquet file whose footer has been read and checked.
#[derive(Debug)]
pub struct ArchiveFile {
    path: PathBuf,
    input: Input,
    metadata: ArrowReaderMetadata,
    table: Option<String>,
    rows: u64,
}

impl ArchiveFile {
    /// Opens a file, reads its footer and checks schema version and, for Ebbline's own tables, the column types.
    ///
    /// # Errors
    /// Unreadable, empty, not Parquet, truncated, damaged, of another schema version, or with a missing or wrong column.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        // Opening a FIFO would wait for somebody to write to it.
        if !std::fs::metadata(path).map_err(|e| StoreError::read(path, &e))?.is_file() {
            return Err(StoreError::Read { path: path.into(), why: "it is not a regular file".to_owned() });
        }
        let file = File::open(path).map_err(|e| StoreError::read(path, &e))?;
        Self::of(path, Input::File(file))
    }

    /// As [`ArchiveFile::open`], wherever the file is: of an object the end is fetched.
    ///
    /// # Errors
    /// As for [`ArchiveFile::open`].
    pub fn open_source(source: &Source) -> Result<Self, StoreError> {
        match &source.object {
            Some(object) => Self::open_object(&source.path, object),
            None => Self::open(&source.path),
        }
    }

    pub(crate) fn open_object(path: &Path, object: &Arc<dyn Ranged>) -> Result<Self, StoreError> {
        if object.size() == 0 {
            return Err(StoreError::Empty(path.into()));
        }
        Self::of(path, Input::object(object).map_err(|e| StoreError::read(path, &e))?)
    }

    fn of(path: &Path, input: Input) -> Result<Self, StoreError> {
        check_frame(path, &input)?;
        let loaded = guarded(|| ArrowReaderMetadata::load(&input, ArrowReaderOptions::new()));
        let metadata =
            loaded.map_err(|e| StoreError::damaged(path, e))?.map_err(|e| StoreError::damaged(path, e.to_string()))?;
        let metadata = guarded(|| with_dictionaries(&metadata)).ok().flatten().unwrap_or(metadata);
        let rows = u64::try_from(metadata.metadata().file_metadata().num_rows())
            .map_err(|_| StoreError::damaged(path, "the footer gives a negative number of rows"))?;
        let mut this = Self { path: path.into(), input, metadata, table: None, rows };
        let older = this.check_version()?;
        this.table = match this.footer(META_TABLE) {
            Some(table) => {
                this.check_types(&table, older)?;
                Some(table)
            }
            None => table_of_schema(this.schema()).map(str::to_owned),
        };
        Ok(this)
    }

    /// Where the file is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Table: from the footer, else from the columns, else unknown.
    #[must_use]
    pub fn table(&self) -> Option<&str> {
        self.table.as_deref()
    }

    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Columns and their types.
    #[must_use]
    pub fn schema(&self) -> &SchemaRef {
        self.metadata.schema()
    }

    /// Value of a key of the footer's metadata.
    #[must_use]
    pub fn footer(&self, key: &str) -> Option<String> {
        let entries = self.metadata.metadata().file_metadata().key_value_metadata()?;
        entries.iter().find(|entry| entry.key == key)?.value.clone()
    }

    /// Batches of at most `batch_rows` rows of the named columns, in the file's column order.
    ///
    /// # Errors
    /// When a column is missing; each batch can fail as damaged.
    pub fn batches(&self, columns: &[&str], batch_rows: usize) -> Result<Batches, StoreError> {
        self.reader(self.projection(columns)?, batch_rows, Part::Groups(None))
    }

    /// The named columns of the given rows, which must rise.
    ///
    /// # Errors
    /// As for [`ArchiveFile::batches`], and when the file has fewer rows.
    pub fn read_rows(&self, columns: &[&str], rows: &[u64]) -> Result<RecordBatch, StoreError> {
        self.rows_of(self.projection(columns)?, rows)
    }

    fn rows_of(&self, mask: ProjectionMask, rows: &[u64]) -> Result<RecordBatch, StoreError> {
        if let Some(row) = rows.last().filter(|row| **row >= self.rows) {
            let why = format!("row {row} asked for, the file has {} (rows count from 0)", self.rows);
            return Err(StoreError::Read { path: self.path.clone(), why });
        }
        let ranges = rows.iter().map(|row| *row as usize..*row as usize + 1);
        let selection = RowSelection::from_consecutive_ranges(ranges, self.rows as usize);
        let batches = self.reader(mask, DEFAULT_BATCH_ROWS, Part::Rows(selection))?;
        let schema = batches.schema();
        let batches = batches.collect::<Result<Vec<_>, _>>()?;
        concat_batches(&schema, &batches).map_err(|e| StoreError::damaged(&self.path, e.to_string()))
    }

    /// Whether it holds one of Ebbline's own tables.
    pub(crate) fn is_own(&self) -> bool {
        self.table().is_some_and(|table| own_schema(table).is_some())
    }

    /// As [`ArchiveFile::batches`], of some row groups alone if they are given.
    pub(crate) fn batches_in(
        &self,
        columns: &[&str],
        batch_rows: usize,
        groups: Option<&[usize]>,
    ) -> Result<Batches, StoreError> {
        self.reader(self.projection(columns)?, batch_rows, Part::Groups(groups))
    }

    /// As [`ArchiveFile::batches_in`], of columns given by the steps of their paths.
    pub(crate) fn batches_of(
        &self,
        paths: &[&[String]],
        batch_rows: usize,
        groups: Option<&[usize]>,
    ) -> Result<Batches, StoreError> {
        self.reader(self.leaves(paths), batch_rows, Part::Groups(groups))
    }

    /// The rows of each row group.
    pub(crate) fn groups(&self) -> Vec<Range<u64>> {
        let mut end = 0u64;
        let groups = self.metadata.metadata().row_groups().iter().map(|group| {
            let first = end;
            end = end.saturating_add(u64::try_from(group.num_rows()).unwrap_or(0));
            first..end
        });
        groups.collect()
    }

    /// What the footer says of a column of the top level; nothing where that cannot be relied on.
    pub(crate) fn bounds(&self, column: &str) -> Option<Bounds> {
        let (metadata, schema) = (self.metadata.metadata(), self.metadata.parquet_schema());
        let groups = metadata.row_groups();
        let converter = StatisticsConverter::try_new(column, self.schema(), schema).ok()?;
        let leaf = converter.parquet_column_index()?;
        // Early writers compared texts in another order.
        let old = |group: &RowGroupMetaData| {
            group.columns().get(leaf).and_then(|c| c.statistics()).is_some_and(Statistics::is_min_max_deprecated)
        };
        if groups.iter().any(old) {
            return None;
        }
        let both = guarded(|| Some((converter.row_group_mins(groups).ok()?, converter.row_group_maxes(groups).ok()?)));
        both.ok().flatten().map(|(least, most)| Bounds { least, most })
    }

    /// As [`ArchiveFile::read_rows`], of columns given by the steps of their paths.
    pub(crate) fn read_rows_of(&self, paths: &[&[String]], rows: &[u64]) -> Result<RecordBatch, StoreError> {
        self.rows_of(self.leaves(paths), rows)
    }

    fn leaves(&self, paths: &[&[String]]) -> ProjectionMask {
        let schema = self.metadata.parquet_schema();
        let wanted = |leaf: &usize| {
            let column = schema.column(*leaf);
            paths.iter().any(|path| column.path().parts().starts_with(path))
        };
        ProjectionMask::leaves(schema, (0..schema.num_columns()).filter(wanted))
    }

    fn reader(&self, mask: ProjectionMask, batch_rows: usize, part: Part<'_>) -> Result<Batches, StoreError> {
        let input = self.input.planned(|| self.ranges(&mask, &part)).map_err(|e| StoreError::read(&self.path, &e))?;
        let expected = match &part {
            Part::Rows(selection) => selection.row_count() as u64,
            Part::Groups(None) => self.rows,
            Part::Groups(Some(groups)) => {
                let rows = self.groups();
                let of = |group: &usize| rows.get(*group).map_or(0, |rows| rows.end - rows.start);
                groups.iter().map(of).fold(0, u64::saturating_add)
            }
        };
        let built = guarded(|| {
            let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(input, self.metadata.clone())
                .with_batch_size(batch_rows)
                .with_projection(mask);
            match part {
                Part::Rows(selection) => builder.with_row_selection(selection).build(),
                Part::Groups(Some(groups)) => builder.with_row_groups(groups.to_vec()).build(),
                Part::Groups(None) => builder.build(),
            }
        });
        match built {
            Ok(Ok(reader)) => Ok(Batches { path: self.path.clone(), reader, expected, seen: 0, ended: false }),
            Ok(Err(error)) => Err(StoreError::damaged(&self.path, error.to_string())),
            Err(panic) => Err(StoreError::damaged(&self.path, panic)),
        }
    }

    /// Where the chunks of some columns lie; what a footer says may be anything.
    fn ranges(&self, mask: &ProjectionMask, part: &Part<'_>) -> Vec<Range<u64>> {
        let is_read = |group: &usize| !matches!(part, Part::Groups(Some(groups)) if !groups.contains(group));
        let groups = self.metadata.metadata().row_groups().iter().enumerate().filter(|(group, _)| is_read(group));
        let chunks = groups.flat_map(|(_, group)| group.columns().iter().enumerate());
        let number = |n: i64| u64::try_from(n).unwrap_or(0);
        let range = chunks.filter(|(leaf, _)| mask.leaf_included(*leaf)).map(|(_, chunk)| {
            let data = number(chunk.data_page_offset());
            let start = chunk.dictionary_page_offset().map_or(data, |dictionary| number(dictionary).min(data));
            start..start.saturating_add(number(chunk.compressed_size())).min(self.input.len())
        });
        range.filter(|range| !range.is_empty()).collect()
    }

    fn projection(&self, columns: &[&str]) -> Result<ProjectionMask, StoreError> {
        let mut roots = Vec::with_capacity(columns.len());
        for column in columns {
            roots.push(self.schema().index_of(column).map_err(|_| self.missing(column, self.table.as_deref()))?);
        }
        Ok(ProjectionMask::roots(self.metadata.parquet_schema(), roots))
    }

    fn missing(&self, column: &str, table: Option<&str>) -> StoreError {
        let table = table.unwrap_or("of this command").to_owned();
        StoreError::MissingColumn { path: self.path.clone(), column: column.into(), table }
    }

    /// Files of this version and all before it can be read. Returns whether it is one before.
    fn check_version(&self) -> Result<bool, StoreError> {
        let Some(found) = self.footer(META_SCHEMA_VERSION) else { return Ok(false) };
        match found.parse::<u32>() {
            Ok(version) if (1..=events::SCHEMA_VERSION).contains(&version) => Ok(version < events::SCHEMA_VERSION),
            _ => {
                let wanted = events::SCHEMA_VERSION.to_string();
                Err(StoreError::SchemaVersion { path: self.path.clone(), found, wanted })
            }
        }
    }

    /// A file that says it holds one of our tables must hold all of its columns, with their types. One of a version
    /// before may lack those that came since, which may all be null.
    fn check_types(&self, table: &str, older: bool) -> Result<(), StoreError> {
        let Some(wanted) = own_schema(table) else { return Ok(()) };
        for field in wanted.fields() {
            let found = match self.schema().field_with_name(field.name()) {
                Ok(found) => found,
                Err(_) if older && field.is_nullable() => continue,
                Err(_) => return Err(self.missing(field.name(), Some(table))),
            };
            if found.data_type() != field.data_type() {
                return Err(StoreError::WrongType {
                    path: self.path.clone(),
                    column: field.name().clone(),
                    found: found.data_type().to_string(),
                    wanted: field.data_type().to_string(),
                    table: table.into(),
                });
            }
        }
        Ok(())
    }
}

/// Texts of other programs' files as dictionaries, where the file has them so: a text that repeats is then looked at once a
/// row group. Our own files say themselves how they are read.
fn with_dictionaries(metadata: &ArrowReaderMetadata) -> Option<ArrowReaderMetadata> {
    let mut entries = metadata.metadata().file_metadata().key_value_metadata().into_iter().flatten();
    if entries.any(|entry| entry.key == META_SCHEMA_VERSION) {
        return None;
    }
    let (schema, parquet) = (metadata.schema(), metadata.parquet_schema());
    let is_dictionary = |name: &str| {
        let leaf = (0..parquet.num_columns()).find(|leaf| parquet.column(*leaf).path().parts() == [name]);
        let mut chunks = metadata.metadata().row_groups().iter().filter_map(|group| group.columns().get(leaf?));
        leaf.is_some() && chunks.all(|chunk| chunk.dictionary_page_offset().is_some())
    };
    let field = |field: &FieldRef| match field.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View if is_dictionary(field.name()) => {
            Arc::new(field.as_ref().clone().with_data_type(events::dictionary()))
        }
        _ => field.clone(),
    };
    let fields: Fields = schema.fields().iter().map(field).collect();
    if fields == *schema.fields() {
        return None;
    }
    let schema = Schema::new_with_metadata(fields, schema.metadata().clone());
    let options = ArrowReaderOptions::new().with_schema(Arc::new(schema));
    ArrowReaderMetadata::try_new(metadata.metadata().clone(), options).ok()
}

/// Batches of a file; a batch that cannot be decoded is an error that names the file and ends the iteration.
pub struct Batches {
    path: PathBuf,
    reader: ParquetRecordBatchReader,
    expected: u64,
    seen: u64,
    ended: bool,
}

impl Batches {
    /// Schema of the batches.
    #[must_use]
    pub fn schema(&self) -> SchemaRef {
        arrow_array::RecordBatchReader::schema(&self.reader)
    }

    /// At the end, the rows must be as many as the footer promised: a row that is missing has no score.
    fn end(&mut self) -> Option<Result<RecordBatch, StoreError>> {
        self.ended = true;
        (self.seen != self.expected).then(|| {
            let why = format!("{} rows in the data, {} in the footer", self.seen, self.expected);
            Err(StoreError::damaged(&self.path, why))
        })
    }
}

impl Iterator for Batches {
    type Item = Result<RecordBatch, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let why = match guarded(|| self.reader.next()) {
            Ok(None) => return self.end(),
            Ok(Some(Ok(batch))) => {
                self.seen += batch.num_rows() as u64;
                return Some(Ok(batch));
            }
            Ok(Some(Err(error))) => error.to_string(),
            Err(panic) => panic,
        };
        self.ended = true;
        Some(Err(StoreError::damaged(&self.path, why)))
    }
}

/// What the first and last bytes tell, before a decoder is asked.
fn check_frame(path: &Path, input: &Input) -> Result<(), StoreError> {
    let exact = |start, length| input.exact(start, length).map_err(|e| StoreError::read(path, &e));
    let bytes = input.len();
    if bytes == 0 {
        return Err(StoreError::Empty(path.into()));
    }
    let truncated = |why: &str| StoreError::Truncated { path: path.into(), why: why.into() };
    let is_parquet = || Ok(bytes >= 4 && exact(0, 4)?.as_ref() == MAGIC);
    // Of an object only the end is here: its beginning is asked for where the end tells nothing.
    if matches!(input, Input::File(_)) && !is_parquet()? {
        return Err(StoreError::NotParquet(path.into()));
    }
    if bytes < 12 {
        return Err(if is_parquet()? { truncated("it holds no footer") } else { StoreError::NotParquet(path.into()) });
    }
    let tail = exact(bytes - 8, 8)?;
    let (length, magic) = tail.split_at(4);
    if magic != MAGIC {
        let why = || truncated("the footer at its end is missing");
        return Err(if is_parquet()? { why() } else { StoreError::NotParquet(path.into()) });
    }
    let length = u32::from_le_bytes(length.try_into().unwrap_or_default());
    if u64::from(length) > bytes - 12 {
        return Err(truncated("its footer is larger than the file"));
    }
    Ok(())
}

/// The contract's schema of one of Ebbline's tables.
fn own_schema(table: &str) -> Option<SchemaRef> {
    match table {
        events::PROCESS => Some(events::process_schema()),
        events::CONNECTION => Some(events::connection_schema()),
        events::DNS => Some(events::dns_schema()),
        events::HEARTBEAT => Some(events::heartbeat_schema()),
        _ => None,
    }
}

/// A file without our metadata, for example rewritten by another program, is known by the columns that never are null.
/// Those of `connection` are among those of `dns`.
fn table_of_schema(schema: &Schema) -> Option<&'static str> {
    [events::PROCESS, events::DNS, events::CONNECTION, events::HEARTBEAT].into_iter().find(|table| {
        own_schema(table).is_some_and(|wanted| {
            wanted.fields().iter().filter(|f| !f.is_nullable()).all(|f| schema.index_of(f.name()).is_ok())
        })
    })
}
