//! Rows of the two tables, and batches made of them.

use std::{collections::HashMap, sync::Arc};

use arrow_array::builder::{FixedSizeBinaryBuilder, ListBuilder, StringBuilder};
use arrow_array::types::{ArrowPrimitiveType, Int32Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type};
use arrow_array::{
    ArrayRef, BooleanArray, DictionaryArray, PrimitiveArray, RecordBatch, TimestampNanosecondArray, new_null_array,
};
use arrow_schema::{FieldRef, SchemaRef};
use events::ProcessKey;

#[derive(Debug, Clone, Default)]
pub(super) struct ProcessRow {
    pub(super) time: i64,
    pub(super) activity: &'static str,
    pub(super) process_key: ProcessKey,
    pub(super) parent_key: ProcessKey,
    pub(super) root_key: ProcessKey,
    pub(super) pid: u32,
    pub(super) parent_pid: u32,
    pub(super) session: u32,
    pub(super) uid: u32,
    pub(super) exe: String,
    pub(super) parent_exe: String,
    pub(super) root_exe: String,
    pub(super) script: Option<&'static str>,
    pub(super) args: Option<Vec<String>>,
    pub(super) args_bytes: Option<u32>,
    /// Code and signal.
    pub(super) exit: Option<(i32, u8)>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct ConnectionRow {
    pub(super) time: i64,
    pub(super) activity: &'static str,
    pub(super) process_key: ProcessKey,
    pub(super) root_key: ProcessKey,
    pub(super) pid: u32,
    pub(super) uid: u32,
    pub(super) exe: String,
    pub(super) parent_exe: String,
    pub(super) root_exe: String,
    pub(super) protocol: &'static str,
    pub(super) local_ip: String,
    pub(super) remote_ip: String,
    pub(super) local_port: u16,
    pub(super) remote_port: u16,
    pub(super) cookie: u64,
    /// Bytes out, bytes in, duration, outcome.
    pub(super) closed: Option<(u64, u64, u64, &'static str)>,
}

/// Makes columns of rows.
struct Columns<'a, R>(&'a [R]);

impl<R> Columns<'_, R> {
    fn words<'b>(&'b self, of: impl Fn(&'b R) -> Option<&'b str>) -> ArrayRef {
        Arc::new(self.0.iter().map(of).collect::<DictionaryArray<Int32Type>>())
    }

    fn numbers<T: ArrowPrimitiveType>(&self, of: impl Fn(&R) -> Option<T::Native>) -> ArrayRef {
        Arc::new(PrimitiveArray::<T>::from_iter(self.0.iter().map(of)))
    }

    fn times(&self, of: impl Fn(&R) -> i64) -> ArrayRef {
        Arc::new(TimestampNanosecondArray::from_iter_values(self.0.iter().map(of)).with_timezone("UTC"))
    }

    fn keys(&self, of: impl Fn(&R) -> &ProcessKey) -> ArrayRef {
        let mut keys = FixedSizeBinaryBuilder::with_capacity(self.0.len(), 16);
        for row in self.0 {
            keys.append_value(of(row).as_bytes()).expect("a key has 16 bytes");
        }
        Arc::new(keys.finish())
    }
}

fn comm(exe: &str) -> Option<&str> {
    let leaf = exe.rsplit('/').next().unwrap_or(exe);
    leaf.get(..leaf.len().min(15))
}

fn is_exec(row: &ProcessRow) -> bool {
    row.activity == "exec"
}

/// A batch of these columns; what the schema has beyond them is null.
fn batch(schema: &SchemaRef, columns: Vec<(&str, ArrayRef)>, rows: usize) -> RecordBatch {
    let mut given: HashMap<&str, ArrayRef> = columns.into_iter().collect();
    let column = |field: &FieldRef| given.remove(field.name().as_str()).unwrap_or_else(|| null(field, rows));
    let columns = schema.fields().iter().map(column).collect();
    RecordBatch::try_new(schema.clone(), columns).expect("columns follow the schema")
}

fn null(field: &FieldRef, rows: usize) -> ArrayRef {
    new_null_array(field.data_type(), rows)
}

/// A batch of `process`.
pub(super) fn process_batch(host: &str, rows: &[ProcessRow]) -> RecordBatch {
    let of = Columns(rows);
    let mut args = ListBuilder::new(StringBuilder::new());
    for row in rows {
        args.append_option(row.args.as_ref().map(|list| list.iter().map(Some)));
    }
    let flag = |value: fn(&ProcessRow) -> bool| -> ArrayRef {
        Arc::new(rows.iter().map(|r| is_exec(r).then(|| value(r))).collect::<BooleanArray>())
    };
    let columns = vec![
        ("time", of.times(|r| r.time)),
        ("host", of.words(|_| Some(host))),
        ("activity", of.words(|r| Some(r.activity))),
        ("process_key", of.keys(|r| &r.process_key)),
        ("parent_key", of.keys(|r| &r.parent_key)),
        ("root_key", of.keys(|r| &r.root_key)),
        ("pid", of.numbers::<UInt32Type>(|r| Some(r.pid))),
        ("parent_pid", of.numbers::<UInt32Type>(|r| Some(r.parent_pid))),
        ("session", of.numbers::<UInt32Type>(|r| Some(r.session))),
        ("uid", of.numbers::<UInt32Type>(|r| Some(r.uid))),
        ("gid", of.numbers::<UInt32Type>(|r| Some(r.uid))),
        ("comm", of.words(|r| comm(&r.exe))),
        ("exe", of.words(|r| Some(&r.exe))),
        ("parent_exe", of.words(|r| Some(&r.parent_exe))),
        ("root_exe", of.words(|r| Some(&r.root_exe))),
        ("script", of.words(|r| r.script)),
        ("args", Arc::new(args.finish())),
        ("args_bytes", of.numbers::<UInt32Type>(|r| r.args_bytes)),
        ("args_truncated", flag(|_| false)),
        ("args_masked", flag(|_| false)),
        ("exe_unlinked", flag(|_| false)),
        ("cgroup", of.numbers::<UInt64Type>(|r| Some(4_242 + u64::from(r.uid)))),
        ("exit_code", of.numbers::<Int32Type>(|r| r.exit.map(|e| e.0))),
        ("exit_signal", of.numbers::<UInt8Type>(|r| r.exit.map(|e| e.1))),
    ];
    batch(&events::process_schema(), columns, rows.len())
}

/// A batch of `connection`.
pub(super) fn connection_batch(host: &str, rows: &[ConnectionRow]) -> RecordBatch {
    let of = Columns(rows);
    let columns = vec![
        ("time", of.times(|r| r.time)),
        ("host", of.words(|_| Some(host))),
        ("activity", of.words(|r| Some(r.activity))),
        ("process_key", of.keys(|r| &r.process_key)),
        ("root_key", of.keys(|r| &r.root_key)),
        ("pid", of.numbers::<UInt32Type>(|r| Some(r.pid))),
        ("uid", of.numbers::<UInt32Type>(|r| Some(r.uid))),
        ("comm", of.words(|r| comm(&r.exe))),
        ("exe", of.words(|r| Some(&r.exe))),
        ("parent_exe", of.words(|r| Some(&r.parent_exe))),
        ("root_exe", of.words(|r| Some(&r.root_exe))),
        ("protocol", of.words(|r| Some(r.protocol))),
        ("direction", of.words(|_| Some("outbound"))),
        ("local_ip", of.words(|r| Some(&r.local_ip))),
        ("remote_ip", of.words(|r| Some(&r.remote_ip))),
        ("local_port", of.numbers::<UInt16Type>(|r| Some(r.local_port))),
        ("remote_port", of.numbers::<UInt16Type>(|r| Some(r.remote_port))),
        ("bytes_out", of.numbers::<UInt64Type>(|r| r.closed.map(|c| c.0))),
        ("bytes_in", of.numbers::<UInt64Type>(|r| r.closed.map(|c| c.1))),
        ("duration_ns", of.numbers::<UInt64Type>(|r| r.closed.map(|c| c.2))),
        ("outcome", of.words(|r| r.closed.map(|c| c.3))),
        ("cookie", of.numbers::<UInt64Type>(|r| Some(r.cookie))),
    ];
    batch(&events::connection_schema(), columns, rows.len())
}
