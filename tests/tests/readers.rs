//! Other programs read our files: every value of every table, sidecar and findings file is for pyarrow and for DuckDB
//! what it is for us, to the nanosecond.

use std::path::{Path, PathBuf};
use std::process::Command;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, TimestampNanosecondType};
use arrow_array::{Array, RecordBatch};
use arrow_cast::display::array_value_to_string;
use arrow_schema::DataType;
use ebbline_tests::{ended, python, skip, write_archive};
use serde_json::Value;
use sha2::{Digest, Sha256};
use store::{
    ArchiveFile, Finding, FindingReason, FindingRow, SidecarWriter, discover, sidecar_path, sidecar_schema,
    write_findings,
};
use workload::columns::{FIRST_DAY, archive, intrusion};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/readers.py");

/// One value as the text that `readers.py` makes of it too.
fn canonical(array: &dyn Array, row: usize) -> String {
    if array.is_null(row) {
        return "null".into();
    }
    match array.data_type() {
        DataType::Timestamp(..) => array.as_primitive::<TimestampNanosecondType>().value(row).to_string(),
        DataType::Float32 => format!("{:08x}", array.as_primitive::<Float32Type>().value(row).to_bits()),
        DataType::FixedSizeBinary(_) => {
            array.as_fixed_size_binary().value(row).iter().map(|byte| format!("{byte:02x}")).collect()
        }
        DataType::Dictionary(..) => {
            let dictionary = array.as_any_dictionary();
            canonical(dictionary.values(), dictionary.normalized_keys()[row])
        }
        DataType::List(_) => {
            let list = array.as_list::<i32>().value(row);
            let items: Vec<_> = (0..list.len()).map(|item| canonical(&list, item)).collect();
            format!("[{}]", items.join("|"))
        }
        DataType::Struct(_) => {
            let columns = array.as_struct().columns();
            let items: Vec<_> = columns.iter().map(|column| canonical(column, row)).collect();
            format!("{{{}}}", items.join("|"))
        }
        _ => array_value_to_string(array, row).expect("a value has a text"),
    }
}

/// Per column the SHA-256 of its values.
fn digests(batches: &[RecordBatch]) -> Value {
    let mut columns = serde_json::Map::new();
    for (at, field) in batches[0].schema().fields().iter().enumerate() {
        let mut hash = Sha256::new();
        for batch in batches {
            for row in 0..batch.num_rows() {
                hash.update(canonical(batch.column(at), row));
                hash.update("\n");
            }
        }
        let hex: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        columns.insert(field.name().clone(), hex.into());
    }
    Value::Object(columns)
}

/// What arrow-rs reads from a file.
fn read(path: &Path) -> Vec<RecordBatch> {
    let file = ArchiveFile::open(path).expect("a sound file");
    let names: Vec<String> = file.schema().fields().iter().map(|field| field.name().clone()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    file.batches(&names, 1_000).expect("a reader").map(|batch| batch.expect("a batch")).collect()
}

fn ask(python: &Path, question: &str, path: &Path) -> Value {
    let answer = ended(Command::new(python).args([SCRIPT, question]).arg(path));
    assert_eq!(answer.code, 0, "{answer:?}");
    serde_json::from_str(&answer.stdout).expect("the script prints JSON")
}

/// One file of each kind below `root`.
fn files(root: &Path) -> Vec<PathBuf> {
    write_archive(root, archive(9, 900, 1, 1).filter(|part| part.batch.num_rows() > 3).take(2));
    write_archive(root, intrusion("host1", FIRST_DAY));
    let mut files: Vec<PathBuf> =
        discover(&[root]).expect("there are files").into_iter().map(|source| source.path).collect();
    let mut sidecar = SidecarWriter::create(root, "0123456789abcdef", "x.parquet", &["one", "two"]).expect("made");
    let reason = |row: usize, rank: usize| (rank < row % 4).then_some(((rank % 2) as u16, (row * 100) as u16));
    sidecar.append(&[0, 1, 1025, 70_000], &[0, 512, 1024, 65_535], reason).expect("written");
    sidecar.finish("digest").expect("finished");
    files.push(sidecar_path(root, "0123456789abcdef", "x.parquet"));
    files.push(write_findings(root, "0123456789abcdef", "all", &findings(), Some(5.0)).expect("written"));
    files
}

fn findings() -> Vec<Finding> {
    let reason =
        FindingReason { view: "v".into(), n: 0, total: u32::MAX, distinct: 7, bits: 1.5, ..Default::default() };
    let row = FindingRow { file: "a/b".into(), row: u64::MAX, table: "process".into(), bits: 0.25 };
    let full = Finding {
        id: "0000000000000001".into(),
        host: "web1".into(),
        title: "zażółć 🦀 \"quoted\"".into(),
        window: FIRST_DAY,
        time: FIRST_DAY + 123_456_789,
        reasons: vec![reason.clone(), reason],
        rows: vec![row],
        action: Some("none".into()),
        ..Default::default()
    };
    vec![full, Finding { id: "2".into(), ..Default::default() }]
}

#[test]
fn pyarrow_reads_the_same_values() {
    let Some(python) = python("pyarrow.parquet") else {
        return skip("pyarrow_reads_the_same_values: no pyarrow; set EBBLINE_PYTHON to a Python that has it");
    };
    let root = tempfile::tempdir().expect("a folder");
    for path in files(root.path()) {
        assert_eq!(ask(&python, "pyarrow", &path), digests(&read(&path)), "{}", path.display());
    }
}

#[test]
fn duckdb_answers_the_same() {
    let Some(python) = python("duckdb") else {
        return skip("duckdb_answers_the_same: no duckdb; set EBBLINE_PYTHON to a Python that has it");
    };
    let root = tempfile::tempdir().expect("a folder");
    for path in files(root.path()) {
        assert_eq!(ask(&python, "duckdb", &path), digests(&read(&path)), "{}", path.display());
    }
}

#[test]
fn findings_and_sidecars_come_back_as_written() {
    let root = tempfile::tempdir().expect("a folder");
    files(root.path());
    let mut back = store::read_all_findings(root.path()).expect("readable");
    back.sort_by(|a, b| a.id.cmp(&b.id));
    let mut written = findings();
    written.sort_by(|a, b| a.id.cmp(&b.id));
    assert_eq!(back, written);
    let rows = store::read_sidecar(&sidecar_path(root.path(), "0123456789abcdef", "x.parquet")).expect("readable");
    assert_eq!(rows.len(), 4);
    assert_eq!((rows[3].bits, rows[3].log2_n), (70_000.0 / 1024.0, 65_535.0 / 1024.0));
    let bits = 300.0 / 1024.0;
    assert_eq!(rows[3].reasons, [("one".into(), bits), ("two".into(), bits), ("one".into(), bits)]);
    assert!(rows[0].reasons.is_empty());
    assert_eq!(sidecar_schema().fields().len(), 9);
}
