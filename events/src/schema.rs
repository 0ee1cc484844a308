//! The Arrow schemas of the tables (`docs/contracts.md`, section 3).

use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use std::{sync::Arc, vec, vec::Vec};

/// Version of the schemas below, kept in every file's footer.
pub const SCHEMA_VERSION: u32 = 3;
/// Name of the table of process events.
pub const PROCESS: &str = "process";
/// Name of the table of socket events.
pub const CONNECTION: &str = "connection";
/// Name of the table of DNS messages.
pub const DNS: &str = "dns";
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

fn list(of: DataType) -> DataType {
    DataType::List(Arc::new(Field::new_list_field(of, true)))
}

/// Fields of one entry of `ancestors`.
#[must_use]
pub fn ancestor_fields() -> Fields {
    vec![required("key", KEY), optional("exe", DataType::Utf8)].into()
}

/// Fields of one entry of `summarised`.
#[must_use]
pub fn summarised_fields() -> Fields {
    vec![required("event", DataType::Utf8), required("count", DataType::UInt64)].into()
}

/// The schema of `process`.
#[must_use]
pub fn process_schema() -> SchemaRef {
    schema(vec![
        required("time", timestamp()),
        required("host", dictionary()),
        required("activity", dictionary()),
        required("process_key", KEY),
        optional("parent_key", KEY),
        required("root_key", KEY),
        optional("ancestors", list(DataType::Struct(ancestor_fields()))),
        required("pid", DataType::UInt32),
        optional("tid", DataType::UInt32),
        optional("parent_pid", DataType::UInt32),
        optional("session", DataType::UInt32),
        required("uid", DataType::UInt32),
        required("gid", DataType::UInt32),
        optional("euid", DataType::UInt32),
        optional("egid", DataType::UInt32),
        optional("login_uid", DataType::UInt32),
        optional("capabilities", DataType::UInt64),
        required("comm", dictionary()),
        optional("exe", dictionary()),
        optional("parent_exe", dictionary()),
        optional("root_exe", dictionary()),
        optional("script", dictionary()),
        optional("args", list(DataType::Utf8)),
        optional("args_bytes", DataType::UInt32),
        optional("args_truncated", DataType::Boolean),
        optional("args_masked", DataType::Boolean),
        optional("cwd", dictionary()),
        optional("cwd_source", dictionary()),
        optional("exe_inode", DataType::UInt64),
        optional("exe_device", DataType::UInt32),
        optional("exe_sha256", dictionary()),
        optional("exe_unlinked", DataType::Boolean),
        required("cgroup", DataType::UInt64),
        optional("cgroup_path", dictionary()),
        optional("container_id", dictionary()),
        optional("container_name", dictionary()),
        optional("image", dictionary()),
        optional("pod", dictionary()),
        optional("exit_code", DataType::Int32),
        optional("exit_signal", DataType::UInt8),
        optional("runtime_ns", DataType::UInt64),
        optional("cpu_ns", DataType::UInt64),
        optional("cpu_user_ns", DataType::UInt64),
        optional("cpu_system_ns", DataType::UInt64),
        optional("max_rss_bytes", DataType::UInt64),
        optional("minor_faults", DataType::UInt64),
        optional("major_faults", DataType::UInt64),
        optional("operation", dictionary()),
        optional("result", DataType::Int32),
        optional("target", dictionary()),
        optional("target_key", KEY),
        optional("target_pid", DataType::UInt32),
        optional("target_exe", dictionary()),
        optional("previous_uid", DataType::UInt32),
        optional("previous_gid", DataType::UInt32),
        optional("previous_euid", DataType::UInt32),
        optional("previous_egid", DataType::UInt32),
        optional("previous_capabilities", DataType::UInt64),
        optional("summarised", list(DataType::Struct(summarised_fields()))),
        optional("agent", dictionary()),
    ])
}

/// Who owns a socket, as columns.
fn owner() -> Vec<Field> {
    vec![
        optional("process_key", KEY),
        optional("root_key", KEY),
        optional("pid", DataType::UInt32),
        optional("uid", DataType::UInt32),
        optional("comm", dictionary()),
        optional("exe", dictionary()),
        optional("parent_exe", dictionary()),
        optional("root_exe", dictionary()),
        optional("container_id", dictionary()),
        optional("image", dictionary()),
        optional("pod", dictionary()),
    ]
}

/// The ends of a socket, as columns.
fn ends() -> Vec<Field> {
    vec![
        required("protocol", dictionary()),
        optional("direction", dictionary()),
        optional("local_ip", dictionary()),
        optional("remote_ip", dictionary()),
        optional("local_port", DataType::UInt16),
        optional("remote_port", DataType::UInt16),
    ]
}

fn what() -> Vec<Field> {
    vec![required("time", timestamp()), required("host", dictionary()), required("activity", dictionary())]
}

/// The schema of `connection`.
#[must_use]
pub fn connection_schema() -> SchemaRef {
    let own = vec![
        optional("bytes_out", DataType::UInt64),
        optional("bytes_in", DataType::UInt64),
        optional("packets_out", DataType::UInt64),
        optional("packets_in", DataType::UInt64),
        optional("duration_ns", DataType::UInt64),
        optional("outcome", dictionary()),
        optional("state", dictionary()),
        required("cookie", DataType::UInt64),
    ];
    schema([what(), owner(), ends(), own].concat())
}

/// The schema of `dns`.
#[must_use]
pub fn dns_schema() -> SchemaRef {
    let own = vec![
        optional("id", DataType::UInt16),
        optional("name", dictionary()),
        optional("type", dictionary()),
        optional("rcode", dictionary()),
        optional("answers", list(DataType::Utf8)),
        optional("answer_count", DataType::UInt16),
        required("bytes", DataType::UInt16),
        required("complete", DataType::Boolean),
        required("cookie", DataType::UInt64),
    ];
    schema([what(), owner(), ends(), own].concat())
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
        optional("count", DataType::UInt64),
        optional("since", timestamp()),
    ])
}

fn schema(fields: Vec<Field>) -> SchemaRef {
    Arc::new(Schema::new(fields))
}
