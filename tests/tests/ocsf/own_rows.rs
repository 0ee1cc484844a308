//! Rows of every activity, from JSON: what the generator does not make.

use std::sync::Arc;

use arrow_array::builder::FixedSizeBinaryBuilder;
use arrow_array::{ArrayRef, BooleanArray, Int64Array, ListArray, RecordBatch, StringArray, new_null_array};
use arrow_cast::cast;
use arrow_schema::{DataType, SchemaRef};
use ebbline_tests::write_archive;
use serde_json::{Value, json};
use workload::columns::{FIRST_DAY, Part};

const SECOND: i64 = 1_000_000_000;
/// A second before the second day of the archive, so that the rows lie on two days.
const START: i64 = FIRST_DAY + 86_400 * SECOND - SECOND;

/// A batch of the schema; columns that a row does not name are null. Keys are hex.
fn batch(schema: &SchemaRef, rows: &[Value]) -> RecordBatch {
    let column = |name: &str, kind: &DataType| -> ArrayRef {
        let cells: Vec<&Value> = rows.iter().map(|row| &row[name]).collect();
        if cells.iter().all(|cell| cell.is_null()) {
            return new_null_array(kind, rows.len());
        }
        match kind {
            DataType::FixedSizeBinary(_) => {
                let mut keys = FixedSizeBinaryBuilder::new(16);
                for cell in cells {
                    match cell.as_u64() {
                        Some(key) => keys.append_value(u128::from(key).to_be_bytes()).expect("16 bytes"),
                        None => keys.append_null(),
                    }
                }
                Arc::new(keys.finish())
            }
            DataType::Boolean => Arc::new(cells.iter().map(|cell| cell.as_bool()).collect::<BooleanArray>()),
            DataType::List(_) => {
                let lists = cells.iter().map(|cell| cell.as_array());
                let texts =
                    |list: &Vec<Value>| list.iter().map(|text| text.as_str().map(str::to_owned)).collect::<Vec<_>>();
                let items: StringArray = lists.clone().flatten().flat_map(texts).collect();
                let lengths = lists.map(|list| list.map_or(0, Vec::len));
                let offsets = arrow_buffer::OffsetBuffer::from_lengths(lengths);
                let nulls = cells.iter().map(|cell| cell.is_array()).collect::<Vec<bool>>();
                let DataType::List(field) = kind else { unreachable!("it is one") };
                Arc::new(ListArray::new(field.clone(), offsets, Arc::new(items), Some(nulls.into())))
            }
            DataType::Dictionary(..) => {
                let texts: ArrayRef = Arc::new(cells.iter().map(|cell| cell.as_str()).collect::<StringArray>());
                cast(&texts, kind).expect("texts are a dictionary")
            }
            _ => {
                let numbers: ArrayRef = Arc::new(cells.iter().map(|cell| cell.as_i64()).collect::<Int64Array>());
                cast(&numbers, kind).expect("a number fits")
            }
        }
    };
    let columns = schema.fields().iter().map(|field| column(field.name(), field.data_type())).collect();
    RecordBatch::try_new(schema.clone(), columns).expect("rows of the schema")
}

/// The rows with what is never null, half a second after each other.
fn filled(host: &str, rows: Vec<Value>, all: Value) -> Vec<Value> {
    let fill = |(at, row): (usize, Value)| {
        let mut full = all.clone();
        full["time"] = (START + at as i64 * SECOND / 2).into();
        full["host"] = host.into();
        for (name, value) in row.as_object().expect("a row") {
            full[name] = value.clone();
        }
        full
    };
    rows.into_iter().enumerate().map(fill).collect()
}

fn process_rows() -> Vec<Value> {
    let rows = vec![
        json!({"activity": "running", "exe": "/usr/lib/systemd/systemd"}),
        json!({"activity": "fork", "parent_key": 1, "parent_pid": 1, "parent_exe": "/usr/sbin/nginx"}),
        json!({"activity": "exec", "parent_key": 1, "parent_pid": 1, "parent_exe": "/usr/sbin/nginx", "exe": "/bin/sh",
            "args": ["sh", "-c", "id; echo 'x'"], "exe_sha256": "ab".repeat(32), "session": 4,
            "container_id": "c0ffee", "image": "web:1", "pod": "web-0", "capabilities": 1, "exe_unlinked": false}),
        json!({"activity": "exec", "exe": "memfd:a/b", "args": [], "exe_unlinked": true}),
        json!({"activity": "credential", "operation": "setuid", "result": 0, "uid": 0, "previous_uid": 1000}),
        json!({"activity": "credential", "operation": "capset", "result": -1}),
        json!({"activity": "ptrace", "operation": "attach", "result": 0, "target_key": 9, "target_pid": 9, "target_exe": "/usr/bin/ssh"}),
        json!({"activity": "ptrace", "operation": "traceme", "result": 0, "target_key": 2, "target_pid": 2, "parent_pid": 1}),
        json!({"activity": "ptrace", "operation": "attach", "result": -1}),
        json!({"activity": "module", "operation": "finit_module", "result": 0, "target": "/lib/x.ko"}),
        json!({"activity": "bpf", "operation": "prog_load:kprobe", "result": 5}),
        json!({"activity": "throttle", "operation": "start"}),
        json!({"activity": "exit", "exit_code": 0, "exit_signal": 9, "runtime_ns": 3_000_000_000_i64}),
    ];
    filled(
        "odd_host",
        rows,
        json!({"process_key": 2, "root_key": 1, "pid": 2, "uid": 1000, "gid": 1000, "comm": "sh", "cgroup": 7}),
    )
}

fn connection_rows() -> Vec<Value> {
    let ends = |activity: &str, direction: Option<&str>, outcome: Option<&str>| {
        json!({"activity": activity, "direction": direction, "outcome": outcome, "local_ip": "10.0.0.5", "local_port": 40_000,
            "remote_ip": "10.0.0.7", "remote_port": 443, "bytes_out": 10, "bytes_in": 20, "duration_ns": 1_500_000_000})
    };
    let mut rows = vec![
        ends("connect", Some("outbound"), None),
        ends("accept", Some("inbound"), None),
        ends("send", Some("outbound"), None),
        ends("flow", Some("inbound"), None),
        ends("open", None, None),
        json!({"activity": "bind", "local_ip": "0.0.0.0", "local_port": 80}),
        json!({"activity": "listen", "local_ip": "::", "local_port": 80}),
        json!({"activity": "open", "state": "unconnected"}),
        json!({"activity": "connect", "direction": "outbound", "local_port": 1, "remote_ip": "::1", "remote_port": 2}),
        json!({"activity": "connect", "direction": "outbound", "remote_port": 2}),
        json!({"activity": "accept", "direction": "inbound", "local_port": 80}),
    ];
    rows.extend(
        ["closed", "refused", "timeout", "unreachable", "aborted"]
            .map(|outcome| ends("close", Some("outbound"), Some(outcome))),
    );
    filled(
        "web1",
        rows,
        json!({"protocol": "tcp", "cookie": 77, "process_key": 2, "root_key": 1, "pid": 2, "uid": 33, "exe": "/usr/bin/curl", "comm": "curl"}),
    )
}

fn dns_rows() -> Vec<Value> {
    let rows = vec![
        json!({"activity": "query", "direction": "outbound", "name": "example.com", "type": "A", "id": 7}),
        json!({"activity": "answer", "direction": "outbound", "name": "example.com", "type": "A", "id": 7, "rcode": "NOERROR",
            "answers": ["93.184.216.34", "10 mail.example.com"], "answer_count": 2}),
        json!({"activity": "answer", "direction": "outbound", "name": "no.example.com", "rcode": "NXDOMAIN", "answers": []}),
        json!({"activity": "answer", "direction": "inbound", "name": "x.example.com", "rcode": "RCODE23", "id": 1}),
        json!({"activity": "query", "direction": "outbound", "name": "_ldap._tcp.example.com", "type": "SRV", "id": 8}),
        json!({"activity": "other", "complete": false}),
    ];
    let all = json!({"protocol": "udp", "cookie": 5, "bytes": 60, "complete": true, "local_ip": "10.0.0.5", "local_port": 5000,
        "remote_ip": "10.0.0.2", "remote_port": 53});
    filled("web1", rows, all)
}

/// Writes them as an archive; returns how many rows of each table there are.
pub(crate) fn write(root: &std::path::Path) -> [usize; 3] {
    let tables = [
        (events::PROCESS, events::process_schema(), process_rows()),
        (events::CONNECTION, events::connection_schema(), connection_rows()),
        (events::DNS, events::dns_schema(), dns_rows()),
    ];
    let counts = [tables[0].2.len(), tables[1].2.len(), tables[2].2.len()];
    let part = |(table, schema, rows): &(&'static str, SchemaRef, Vec<Value>)| {
        let host = rows[0]["host"].as_str().expect("a host").to_owned();
        Part { table, host, batch: batch(schema, rows) }
    };
    write_archive(root, tables.iter().map(part));
    counts
}
