//! How columns are laid out in Parquet.

use arrow_schema::{DataType, Schema};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::schema::types::ColumnPath;

/// Row groups are flushed at this many rows, or sooner at [`ROW_GROUP_BYTES`]: it bounds the memory of a writer.
pub(crate) const ROW_GROUP_ROWS: usize = 65_536;
const ROW_GROUP_BYTES: usize = 64 << 20;

/// Integers with few distinct values, where a dictionary pays. All others are nearly unique.
const FEW_VALUES: [&str; 7] = ["uid", "gid", "cgroup", "exit_code", "exit_signal", "count", "args_truncated"];

/// Columns of sidecars that name views.
pub(crate) const REASON_VIEWS: [&str; 3] = ["reason1_view", "reason2_view", "reason3_view"];

/// Writer properties for a schema: zstd level 1, statistics on, times as deltas, no dictionary for integers and keys
/// that hardly repeat.
pub(crate) fn properties(schema: &Schema, row_group_rows: usize, meta: &[(&str, &str)]) -> WriterProperties {
    let meta = meta.iter().map(|(k, v)| KeyValue::new((*k).to_owned(), Some((*v).to_owned()))).collect();
    let mut builder = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1).unwrap_or_default()))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_created_by(concat!("ebbline ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_max_row_group_row_count(Some(row_group_rows.clamp(1, ROW_GROUP_ROWS)))
        .set_max_row_group_bytes(Some(ROW_GROUP_BYTES))
        .set_key_value_metadata(Some(meta));
    for field in schema.fields() {
        builder = column(builder, field.name(), field.data_type());
    }
    builder.build()
}

fn column(builder: WriterPropertiesBuilder, name: &str, kind: &DataType) -> WriterPropertiesBuilder {
    let path = ColumnPath::from(name);
    let rises = matches!(kind, DataType::Timestamp(..)) || name == "row";
    match kind {
        _ if rises => builder
            .set_column_dictionary_enabled(path.clone(), false)
            .set_column_encoding(path, Encoding::DELTA_BINARY_PACKED),
        // Which names come first by letter tells nobody anything, and costs more than they do.
        _ if REASON_VIEWS.contains(&name) => builder.set_column_statistics_enabled(path, EnabledStatistics::None),
        DataType::FixedSizeBinary(_) => builder.set_column_dictionary_enabled(path, false),
        // Sums of rows hardly repeat.
        _ if name == "bits" => builder.set_column_dictionary_enabled(path, false),
        kind if kind.is_integer() && !FEW_VALUES.contains(&name) => builder.set_column_dictionary_enabled(path, false),
        _ => builder,
    }
}
