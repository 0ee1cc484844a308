//! Parquet files for data lakes of others: zstd, pages of 1 MiB, row groups of 256 MiB at most (docs/contracts.md §9).

use std::path::Path;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};

use crate::error::StoreError;
use crate::whole::{WholeFile, make_folders};

/// A row group is closed when it has so many compressed bytes, which are in memory until then.
pub const LAKE_ROW_GROUP_BYTES: usize = 256 << 20;
/// A page is closed when it has so many bytes before compression.
const PAGE_BYTES: usize = 1 << 20;
const ZSTD_LEVEL: i32 = 3;

/// A file that takes its name when it is committed. Dropped before, it leaves nothing.
pub struct LakeFile {
    parquet: ArrowWriter<WholeFile>,
}

impl LakeFile {
    /// Begins the file `relative` below `root`; folders are made, but not the one above `root`. It takes the place of one
    /// of that name.
    ///
    /// # Errors
    /// [`StoreError::Write`] naming the path.
    pub fn create(root: &Path, relative: &Path, schema: &SchemaRef) -> Result<Self, StoreError> {
        make_folders(root, relative.parent().unwrap_or(Path::new("")))?;
        let path = root.join(relative);
        let whole = WholeFile::replace(&path).map_err(|e| StoreError::write(&path, &e))?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL).unwrap_or_default()))
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_created_by(concat!("ebbline ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_data_page_size_limit(PAGE_BYTES)
            .set_max_row_group_bytes(Some(LAKE_ROW_GROUP_BYTES))
            .build();
        let parquet = ArrowWriter::try_new(whole, schema.clone(), Some(properties))
            .map_err(|e| StoreError::write_parquet(&path, &e))?;
        Ok(Self { parquet })
    }

    /// Appends rows of the schema.
    ///
    /// # Errors
    /// [`StoreError::Write`] naming the path.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), StoreError> {
        let done = self.parquet.write(batch);
        done.map_err(|e| StoreError::write_parquet(self.parquet.inner().path(), &e))
    }

    /// Writes what is still in memory, and the footer; nothing can be appended any more.
    ///
    /// # Errors
    /// [`StoreError::Write`] naming the path.
    pub fn close(&mut self) -> Result<(), StoreError> {
        let done = self.parquet.finish().map(|_| ());
        done.map_err(|e| StoreError::write_parquet(self.parquet.inner().path(), &e))
    }

    /// Gives a closed file its name; returns its size in bytes.
    ///
    /// # Errors
    /// [`StoreError::Write`] naming the path.
    pub fn commit(mut self) -> Result<u64, StoreError> {
        let whole = self.parquet.inner_mut();
        whole.commit().map(|(bytes, _)| bytes).map_err(|e| StoreError::write(whole.path(), &e))
    }
}
