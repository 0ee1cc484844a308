//! Planted faults: the checker must find each.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow_array::{RecordBatch, UInt32Array};
use arrow_cast::cast;
use arrow_schema::{DataType, Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use serde_json::{Value, json};

use crate::facts::Facts;
use crate::{check, events, files, fixture};

/// Changes a value at a path such as `process.file.name`; none removes it.
fn plant(event: &mut Value, path: &str, value: Option<Value>) {
    let pointer = format!("/{}", path.replace('.', "/"));
    let (parent, name) = pointer.rsplit_once('/').expect("there is a slash");
    let parent = event.pointer_mut(parent).unwrap_or_else(|| panic!("no {path}"));
    match (parent, value) {
        (Value::Object(parent), Some(value)) => drop(parent.insert(name.to_owned(), value)),
        (Value::Object(parent), None) => assert!(parent.remove(name).is_some(), "no {path}"),
        (Value::Array(items), value) => items[name.parse::<usize>().expect("a number")] = value.unwrap_or(Value::Null),
        (other, _) => panic!("{path}: in {other}"),
    }
}

/// What to change in an event of each class, and what must then be said of it.
fn faults() -> Vec<(&'static str, &'static str, Option<Value>, &'static str)> {
    let all = ["process_activity", "network_activity", "detection_finding"];
    let mut faults = Vec::new();
    for class in all {
        let required = ["activity_id", "category_uid", "class_uid", "metadata", "severity_id", "time", "type_uid"];
        faults.extend(required.map(|name| (class, name, None, "missing, and required")));
        faults.extend([
            (class, "class_uid", Some(json!(1001)), "class_uid: 1001"),
            (class, "category_uid", Some(json!(3)), "category_uid: 3"),
            (class, "type_uid", Some(json!(100_702_000)), "type_uid: 100702000"),
            (class, "type_name", Some(json!("Other")), "type_name"),
            (class, "activity_id", Some(json!(42)), "not among the numbers"),
            (class, "severity_id", Some(json!(9)), "not among the numbers"),
            (class, "severity", Some(json!("Dire")), "is called"),
            (class, "time", Some(json!("2026-11-02")), "wrong type"),
            (class, "time", Some(json!(1_793_577_600_i64 * 1_000_000_000)), "wrong type or form"),
            (class, "activity_id", Some(json!("1")), "wrong type"),
            (class, "metadata.version", None, "metadata.version: missing"),
            (class, "metadata.version", Some(json!("1.1.0")), "metadata.version"),
            (class, "metadata.product", None, "metadata.product: missing"),
            (class, "metadata.product.vendor_name", None, "vendor_name: missing"),
            (class, "metadata.profiles", Some(json!("host")), "wrong type"),
            (class, "device.type_id", None, "device.type_id: missing"),
            (class, "device.hostname", Some(json!("no_host!")), "form"),
            (class, "colour", Some(json!("red")), "no such attribute"),
            (class, "unmapped", Some(json!("x")), "wrong type"),
            (class, "action_id", Some(json!(1)), "of a profile"),
        ]);
    }
    let (process, network, finding) = (all[0], all[1], all[2]);
    faults.extend([
        (process, "process", None, "process: missing"),
        (process, "actor", None, "actor: missing"),
        (process, "actor", Some(json!({})), "actor.: none of"),
        (process, "device", None, "device: missing"),
        (process, "process.file.name", None, "process.file.name: missing"),
        (process, "process.file.type_id", Some(json!(50)), "not among the numbers"),
        (process, "process.pid", Some(json!(1_i64 << 40)), "wrong type or form"),
        (process, "process.parent_process", Some(json!({"name": "x"})), "none of pid, uid"),
        (process, "process.lineage", Some(json!(["/a", 1])), "wrong type or form"),
        (process, "device.os.type_id", Some(json!(201_000)), "not among the numbers"),
        (network, "dst_endpoint", None, "dst_endpoint: missing"),
        (network, "dst_endpoint.ip", Some(json!("10.0.0.300")), "form"),
        (network, "dst_endpoint.port", Some(json!(70_000)), "form"),
        (network, "src_endpoint", Some(json!({"port": 1})), "none of ip"),
        (network, "connection_info.direction_id", None, "direction_id: missing"),
        (network, "connection_info.direction_id", Some(json!(7)), "not among the numbers"),
        (network, "connection_info.direction", Some(json!("Sideways")), "is called"),
        (network, "metadata.profiles", Some(json!(["container"])), "of a profile"),
        (finding, "finding_info", None, "finding_info: missing"),
        (finding, "finding_info.uid", None, "finding_info.uid: missing"),
        (finding, "finding_info.title", None, "finding_info.title: missing"),
        (finding, "finding_info.analytic.type_id", Some(json!(12)), "not among the numbers"),
        (finding, "finding_info.related_events.0.uid", None, "related_events.uid: missing"),
        (finding, "evidences.0", Some(json!({})), "evidences.: none of"),
        (finding, "evidences.0.data", Some(json!("{")), "form"),
        (finding, "status_id", Some(json!(5)), "not among the numbers"),
    ]);
    faults
}

/// An event of the class that has what faults are planted in.
fn whole(class: &str) -> Value {
    let is_whole = |event: &Value| {
        event["device"]["hostname"].is_string()
            && match class {
                "process_activity" => {
                    event["process"]["parent_process"].is_object() && event["process"]["file"].is_object()
                }
                "network_activity" => {
                    event["src_endpoint"]["ip"].is_string() && event["dst_endpoint"]["ip"].is_string()
                }
                _ => event["evidences"][0].is_object() && event["finding_info"]["related_events"][0].is_object(),
            }
    };
    let found = events(&fixture().path("lake"), class).into_iter().find(is_whole);
    found.unwrap_or_else(|| panic!("no whole event of {class}"))
}

#[test]
fn every_planted_fault_of_an_event_is_found() {
    let facts = Facts::read();
    let (mut class_of, mut sound) = (None, Value::Null);
    for (class, path, value, expected) in faults() {
        if class_of != Some(class) {
            (class_of, sound) = (Some(class), whole(class));
            let wrong = check::event(&facts, &facts.classes[class], &sound);
            assert!(wrong.is_empty(), "{class} before any fault: {wrong:?}");
        }
        let mut event = sound.clone();
        plant(&mut event, path, value.clone());
        let wrong = check::event(&facts, &facts.classes[class], &event);
        assert!(wrong.iter().any(|wrong| wrong.contains(expected)), "{class}: {path} as {value:?} gives {wrong:?}");
    }
}

/// A file of the fixture, in memory.
fn read(root: &Path, relative: &Path) -> RecordBatch {
    let reader =
        ParquetRecordBatchReaderBuilder::try_new(File::open(root.join(relative)).expect("opened")).expect("Parquet");
    let schema = reader.schema().clone();
    let batches: Vec<RecordBatch> = reader.build().expect("a reader").map(|batch| batch.expect("a batch")).collect();
    arrow_select::concat::concat_batches(&schema, &batches).expect("one schema")
}

fn write(root: &Path, relative: &str, batch: &RecordBatch, compression: Compression) {
    let path = root.join(relative);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    let properties = WriterProperties::builder().set_compression(compression).build();
    let mut writer =
        ArrowWriter::try_new(File::create(path).expect("made"), batch.schema(), Some(properties)).expect("begun");
    writer.write(batch).expect("written");
    writer.close().expect("closed");
}

/// The batch with another column in the place of one, or without it.
fn with_column(batch: &RecordBatch, name: &str, kind: Option<DataType>) -> RecordBatch {
    let at = batch.schema().index_of(name).expect("a column");
    let mut fields: Vec<Arc<Field>> = batch.schema().fields().to_vec();
    let mut columns = batch.columns().to_vec();
    match kind {
        None => {
            fields.remove(at);
            columns.remove(at);
        }
        Some(kind) => {
            columns[at] = cast(&columns[at], &kind).expect("cast");
            fields[at] = Arc::new(Field::new(name, kind, true));
        }
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).expect("a batch")
}

#[test]
fn every_planted_fault_of_a_file_is_found() {
    let (facts, lake) = (Facts::read(), fixture().path("lake"));
    let most = |path: &&std::path::PathBuf| std::fs::metadata(lake.join(path)).expect("there").len();
    let all = files(&lake);
    let path = all.iter().filter(|path| path.starts_with("process_activity")).max_by_key(most).expect("a file");
    let batch = read(&lake, path);
    assert!(batch.num_rows() > 2);
    let folder = tempfile::tempdir().expect("a folder");
    let zstd = Compression::ZSTD(ZstdLevel::default());
    let good = path.to_str().expect("UTF-8").to_owned();
    let found = |relative: &str, batch: &RecordBatch, compression: Compression| {
        write(folder.path(), relative, batch, compression);
        check::file(&facts, folder.path(), Path::new(relative))
    };
    assert_eq!(found(&good, &batch, zstd), Vec::<String>::new(), "written anew without a fault");
    let backwards = UInt32Array::from_iter_values((0..batch.num_rows() as u32).rev());
    let backwards = arrow_select::take::take_record_batch(&batch, &backwards).expect("taken");
    let no_region = good.replace("region=eu-central-1/", "");
    let faults = [
        (good.clone(), backwards, zstd, "order: "),
        (good.clone(), batch.clone(), Compression::SNAPPY, "compression: SNAPPY"),
        (good.clone(), batch.clone(), Compression::UNCOMPRESSED, "compression: UNCOMPRESSED"),
        (
            good.replace("eventDay=20261106", "eventDay=20261107"),
            batch.clone(),
            zstd,
            "partition: an event of eventDay=20261106",
        ),
        (good.replace("region=", "zone="), batch.clone(), zstd, "partition: "),
        (good.replace("accountId=", "account="), batch.clone(), zstd, "partition: "),
        (no_region, batch.clone(), zstd, "partition: "),
        (good.replace("process_activity", "network_activity"), batch.clone(), zstd, "class_uid: 1007 where 4001"),
        (good.replace("process_activity", "ebbline"), batch.clone(), zstd, "no class"),
        (good.clone(), with_column(&batch, "severity_id", None), zstd, "severity_id: missing"),
        (good.clone(), with_column(&batch, "class_uid", Some(DataType::Utf8)), zstd, "class_uid: wrong type"),
        (good.clone(), with_column(&batch, "type_uid", Some(DataType::Int32)), zstd, "type_uid: wrong type"),
        (good.clone(), with_column(&batch, "time", Some(DataType::Utf8)), zstd, "time: wrong type"),
    ];
    for (relative, batch, compression, expected) in faults {
        let wrong = found(&relative, &batch, compression);
        assert!(wrong.iter().any(|wrong| wrong.contains(expected)), "{expected} in {:?}", &wrong[..wrong.len().min(3)]);
    }
}
