//! The checker: what is wrong with a schema, an event or a file, in words; nothing if it is right.

use std::fs::File;
use std::path::Path;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Int32Type, Int64Type};
use arrow_array::{Array, RecordBatch};
use arrow_schema::{DataType, Fields};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::Compression;
use serde_json::{Map, Value};
use store::LAKE_ROW_GROUP_BYTES;

use crate::facts::{Attribute, Class, Facts, Kind, Shape};

/// The types of columns against those of attributes. What is in `unmapped` is free.
pub(crate) fn schema(facts: &Facts, shape: &Shape, fields: &Fields, at: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    for field in fields {
        let name = format!("{at}{}", field.name());
        match shape.attributes.get(field.name()) {
            None => wrong.push(format!("{name}: no such attribute")),
            Some(attribute) => wrong.extend(column(facts, attribute, field.data_type(), &name)),
        }
    }
    wrong
}

fn column(facts: &Facts, attribute: &Attribute, found: &DataType, at: &str) -> Vec<String> {
    let item = match (attribute.is_list, found) {
        (true, DataType::List(item)) => item.data_type(),
        (false, found) => found,
        (true, found) => return vec![format!("{at}: wrong type: {found} where a list is wanted")],
    };
    let wanted = match &attribute.kind {
        Kind::Object(object) if object == "object" => return not_a_struct(item, at),
        Kind::Object(object) => {
            let (Some(shape), DataType::Struct(fields)) = (facts.objects.get(object), item) else {
                return vec![format!("{at}: wrong type: {item} where the object {object} is wanted")];
            };
            return schema(facts, shape, fields, &format!("{at}."));
        }
        Kind::Plain(kind) => match kind.as_str() {
            "integer_t" | "port_t" => DataType::Int32,
            "long_t" | "timestamp_t" => DataType::Int64,
            "boolean_t" => DataType::Boolean,
            _ => DataType::Utf8,
        },
    };
    if *item == wanted { Vec::new() } else { vec![format!("{at}: wrong type: {item} where {wanted} is wanted")] }
}

fn not_a_struct(item: &DataType, at: &str) -> Vec<String> {
    if matches!(item, DataType::Struct(_)) { Vec::new() } else { vec![format!("{at}: wrong type: {item}")] }
}

/// An event of a class against the schema.
pub(crate) fn event(facts: &Facts, class: &Class, event: &Value) -> Vec<String> {
    let profiles = event["metadata"]["profiles"].as_array().cloned().unwrap_or_default();
    let profiles: Vec<&str> = profiles.iter().filter_map(Value::as_str).collect();
    let mut wrong = object(facts, &class.shape, event, &profiles, "");
    let id = event["activity_id"].as_i64();
    let equal = [
        ("class_uid", Value::from(class.uid)),
        ("category_uid", Value::from(class.category)),
        ("class_name", Value::from(class.caption.as_str())),
        ("category_name", Value::from(class.category_name.as_str())),
        ("type_uid", Value::from(class.uid * 100 + id.unwrap_or(-1))),
    ];
    for (name, wanted) in equal {
        if event[name] != wanted {
            wrong.push(format!("{name}: {} where {wanted} is wanted", event[name]));
        }
    }
    let activity = id.and_then(|id| class.shape.attributes["activity_id"].numbers.get(&id));
    let type_name = activity.map(|activity| format!("{}: {activity}", class.caption));
    if event["type_name"].as_str() != type_name.as_deref() {
        wrong.push(format!("type_name: {}", event["type_name"]));
    }
    if event["metadata"]["version"] != "1.3.0" {
        wrong.push(format!("metadata.version: {}", event["metadata"]["version"]));
    }
    wrong
}

fn object(facts: &Facts, shape: &Shape, value: &Value, profiles: &[&str], at: &str) -> Vec<String> {
    let Some(values) = value.as_object() else { return vec![format!("{at}: no object")] };
    let mut wrong = Vec::new();
    for (name, attribute) in &shape.attributes {
        let used = attribute.profile.as_ref().is_none_or(|profile| profiles.contains(&profile.as_str()));
        match values.get(name) {
            None if attribute.required && used => wrong.push(format!("{at}{name}: missing, and required")),
            None => {}
            Some(_) if !used => wrong.push(format!("{at}{name}: of a profile that the event does not name")),
            Some(found) => wrong.extend(one_or_list(facts, attribute, found, profiles, &format!("{at}{name}"))),
        }
        wrong.extend(name_of_number(name, attribute, values, at));
    }
    wrong.extend(
        values
            .keys()
            .filter(|name| !shape.attributes.contains_key(*name))
            .map(|name| format!("{at}{name}: no such attribute")),
    );
    if !shape.at_least_one.is_empty() && !shape.at_least_one.iter().any(|name| values.contains_key(name)) {
        wrong.push(format!("{at}: none of {}", shape.at_least_one.join(", ")));
    }
    wrong
}

/// `severity_id` 3 is called Medium; 99 is called what the source calls it.
fn name_of_number(name: &str, attribute: &Attribute, values: &Map<String, Value>, at: &str) -> Option<String> {
    let stem = name.strip_suffix("_id")?;
    let beside = values.get(if stem == "activity" { "activity_name" } else { stem })?.as_str()?;
    let number = values.get(name)?.as_i64().filter(|number| *number != 99)?;
    let wanted = attribute.numbers.get(&number)?;
    (beside != wanted).then(|| format!("{at}{stem}: {beside:?} where {number} is called {wanted:?}"))
}

fn one_or_list(facts: &Facts, attribute: &Attribute, found: &Value, profiles: &[&str], at: &str) -> Vec<String> {
    match (attribute.is_list, found) {
        (true, Value::Array(items)) => {
            items.iter().flat_map(|item| one(facts, attribute, item, profiles, at)).collect()
        }
        (false, Value::Array(_)) | (true, _) => vec![format!("{at}: wrong type: {found}")],
        (false, found) => one(facts, attribute, found, profiles, at),
    }
}

fn one(facts: &Facts, attribute: &Attribute, found: &Value, profiles: &[&str], at: &str) -> Vec<String> {
    let fits = match &attribute.kind {
        Kind::Object(any) if any == "object" => found.is_object(),
        Kind::Object(name) => match facts.objects.get(name) {
            Some(shape) => return object(facts, shape, found, profiles, &format!("{at}.")),
            None => return vec![format!("{at}: object {name} is not among the facts")],
        },
        Kind::Plain(kind) => fits(kind, found),
    };
    let mut wrong = Vec::new();
    if !fits {
        wrong.push(format!("{at}: wrong type or form: {found}"));
    }
    if let Some(number) =
        found.as_i64().filter(|number| !attribute.numbers.is_empty() && !attribute.numbers.contains_key(number))
    {
        wrong.push(format!("{at}: {number} is not among the numbers"));
    }
    wrong
}

/// Whether a value is of a type, in form and range.
fn fits(kind: &str, value: &Value) -> bool {
    let text = |is: fn(&str) -> bool| value.as_str().is_some_and(|text| text.chars().count() <= 65_535 && is(text));
    match kind {
        "boolean_t" => value.is_boolean(),
        "integer_t" => value.as_i64().is_some_and(|n| i32::try_from(n).is_ok()),
        "port_t" => value.as_i64().is_some_and(|n| (0..=65_535).contains(&n)),
        "long_t" => value.is_i64(),
        "timestamp_t" => value.as_i64().is_some_and(|n| (1..4_102_444_800_000).contains(&n)),
        "ip_t" => text(|text| text.parse::<std::net::IpAddr>().is_ok()),
        "hostname_t" => text(is_host_name),
        "file_hash_t" => text(|text| text.len() <= 64 && text.bytes().all(|b| b.is_ascii_hexdigit())),
        "json_t" => text(|text| serde_json::from_str::<Value>(text).is_ok()),
        _ => text(|_| true),
    }
}

fn is_host_name(text: &str) -> bool {
    text.split('.').all(|label| {
        let bytes = label.as_bytes();
        bytes.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-')
            && bytes.first().is_some_and(u8::is_ascii_alphanumeric)
            && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
    })
}

/// A file against what Security Lake asks of custom sources; `relative` is its path below the folder of the export.
pub(crate) fn file(facts: &Facts, root: &Path, relative: &Path) -> Vec<String> {
    let opened = File::open(root.join(relative)).expect("the file can be opened");
    let reader = ParquetRecordBatchReaderBuilder::try_new(opened).expect("a Parquet file");
    let mut wrong = Vec::new();
    for group in reader.metadata().row_groups() {
        if group.compressed_size() > LAKE_ROW_GROUP_BYTES as i64 {
            wrong.push(format!("row group: {} bytes", group.compressed_size()));
        }
        let other = group.columns().iter().find(|column| !matches!(column.compression(), Compression::ZSTD(_)));
        wrong.extend(other.map(|column| format!("compression: {:?}", column.compression())));
    }
    let parts: Vec<&str> = relative.iter().filter_map(|part| part.to_str()).collect();
    let [class, region, account, day, _] = parts.as_slice() else { return vec![format!("partition: {relative:?}")] };
    let Some(class) = facts.classes.get(*class) else { return vec![format!("partition: no class {class}")] };
    if !region.starts_with("region=") || !account.starts_with("accountId=") {
        wrong.push(format!("partition: {relative:?}"));
    }
    wrong.extend(schema(facts, &class.shape, reader.schema().fields(), ""));
    let mut last = i64::MIN;
    for batch in reader.build().expect("a reader") {
        for value in rows(&batch.expect("a batch")) {
            wrong.extend(event(facts, class, &value));
            let time = value["time"].as_i64().unwrap_or(i64::MIN);
            if time < last {
                wrong.push(format!("order: {time} after {last}"));
            }
            last = time;
            let of_day = format!("eventDay={}", store::day_text(time.saturating_mul(1_000_000)).replace('-', ""));
            if of_day != *day {
                wrong.push(format!("partition: an event of {of_day} in {day}"));
            }
        }
    }
    wrong
}

/// Rows as JSON; what is null is left out.
pub(crate) fn rows(batch: &RecordBatch) -> Vec<Value> {
    let fields = batch.schema().fields().clone();
    (0..batch.num_rows()).map(|row| of_struct(&fields, batch.columns(), row)).collect()
}

fn of_struct(fields: &Fields, columns: &[arrow_array::ArrayRef], row: usize) -> Value {
    let values = fields.iter().zip(columns).filter(|(_, column)| column.is_valid(row));
    Value::Object(values.map(|(field, column)| (field.name().clone(), value(column, row))).collect())
}

fn value(column: &dyn Array, row: usize) -> Value {
    match column.data_type() {
        DataType::Utf8 => column.as_string::<i32>().value(row).into(),
        DataType::Int32 => column.as_primitive::<Int32Type>().value(row).into(),
        DataType::Int64 => column.as_primitive::<Int64Type>().value(row).into(),
        DataType::Float32 => column.as_primitive::<Float32Type>().value(row).into(),
        DataType::Boolean => column.as_boolean().value(row).into(),
        DataType::List(_) => {
            let list = column.as_list::<i32>().value(row);
            (0..list.len()).map(|at| if list.is_null(at) { Value::Null } else { value(&list, at) }).collect()
        }
        DataType::Struct(fields) => of_struct(fields, column.as_struct().columns(), row),
        other => panic!("a type that not every engine reads: {other}"),
    }
}
