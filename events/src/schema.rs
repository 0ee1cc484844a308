//! The Arrow schemas of the three tables (`docs/contracts.md`, section 3).

use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use std::{sync::Arc, vec, vec::Vec};

/// Version of the schemas below, kept in every file's footer.
pub const SCHEMA_VERSION: u32 = 1;
/// Name of the table of process events.
pub const PROCESS: &str = "process";
/// Name of the table of socket events.
pub const CONNECTION: &str = "connection";
/// Name of the table of counters.
pub const HEARTBEAT: &str = "heartbeat";

/// The type of a string that repeats.
#[must_use]
pub fn dictionary() -> DataType {
    DataType::Dictionary(DataType::Int32.into(), DataType::Utf8.into())
}

/// The type of a time: nanoseconds since 1970, UTC.
#[must_use]
pub fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()))
}

const KEY: DataType = DataType::FixedSizeBinary(16);

fn required(name: &str, data_type: DataType) -> Field {
    Field::new(name, data_type, false)
}

fn optional(name: &str, data_type: DataType) -> Field {
    Field::new(name, data_type, true)
}

/// The schema of `process`.
#[must_use]
pub fn process_schema() -> SchemaRef {
    let args = DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true)));
    schema(vec![
        required("time", timestamp()),
        required("host", dictionary()),
        required("activity", dictionary()),
        required("process_key", KEY),
        optional("parent_key", KEY),
        required("root_key", KEY),
        required("pid", DataType::UInt32),
        optional("parent_pid", DataType::UInt32),
        optional("session", DataType::UInt32),
        required("uid", DataType::UInt32),
        required("gid", DataType::UInt32),
        required("comm", dictionary()),
        optional("exe", dictionary()),
        optional("parent_exe", dictionary()),
        optional("root_exe", dictionary()),
        optional("script", dictionary()),
        optional("args", args),
        optional("args_bytes", DataType::UInt32),
        optional("args_truncated", DataType::Boolean),
        optional("args_masked", DataType::Boolean),
        optional("exe_unlinked", DataType::Boolean),
        required("cgroup", DataType::UInt64),
        optional("exit_code", DataType::Int32),
        optional("exit_signal", DataType::UInt8),
        optional("agent", dictionary()),
    ])
}

/// The schema of `connection`.
#[must_use]
pub fn connection_schema() -> SchemaRef {
    schema(vec![
        required("time", timestamp()),
        required("host", dictionary()),
        required("activity", dictionary()),
        optional("process_key", KEY),
        optional("root_key", KEY),
        optional("pid", DataType::UInt32),
        optional("uid", DataType::UInt32),
        optional("comm", dictionary()),
        optional("exe", dictionary()),
        optional("parent_exe", dictionary()),
        optional("root_exe", dictionary()),
        required("protocol", dictionary()),
        optional("direction", dictionary()),
        optional("local_ip", dictionary()),
        optional("remote_ip", dictionary()),
        optional("local_port", DataType::UInt16),
        optional("remote_port", DataType::UInt16),
        optional("bytes_out", DataType::UInt64),
        optional("bytes_in", DataType::UInt64),
        optional("duration_ns", DataType::UInt64),
        optional("outcome", dictionary()),
        required("cookie", DataType::UInt64),
    ])
}

/// The schema of `heartbeat`.
#[must_use]
pub fn heartbeat_schema() -> SchemaRef {
    schema(vec![
        required("time", timestamp()),
        required("host", dictionary()),
        required("stage", dictionary()),
        required("event", dictionary()),
        required("outcome", dictionary()),
        optional("reason", dictionary()),
        required("count", DataType::UInt64),
    ])
}

fn schema(fields: Vec<Field>) -> SchemaRef {
    Arc::new(Schema::new(fields))
}
