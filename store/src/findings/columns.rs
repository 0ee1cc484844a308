//! Between [`Finding`]s and columns.

use std::sync::Arc;

use arrow_array::TimestampNanosecondArray;
use arrow_array::builder::{
    ArrayBuilder, Float32Builder, ListBuilder, StringBuilder, StructBuilder, UInt32Builder, UInt64Builder,
};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Int32Type, TimestampNanosecondType, UInt32Type, UInt64Type};
use arrow_array::{Array, ArrayRef, DictionaryArray, Float32Array, RecordBatch, StringArray, StructArray};
use arrow_schema::{ArrowError, DataType, Field, Fields, SchemaRef};

use super::{Finding, FindingReason, FindingRow};

pub(super) fn reason_fields() -> Fields {
    let text = ["view", "child", "context", "scope"].map(|name| Field::new(name, DataType::Utf8, false));
    let counts = ["n", "N", "T"].map(|name| Field::new(name, DataType::UInt32, false));
    text.into_iter().chain(counts).chain([Field::new("bits", DataType::Float32, false)]).collect()
}

pub(super) fn row_fields() -> Fields {
    Fields::from(vec![
        Field::new("file", DataType::Utf8, false),
        Field::new("row", DataType::UInt64, false),
        Field::new("table", DataType::Utf8, false),
        Field::new("bits", DataType::Float32, false),
    ])
}

pub(super) fn to_batch(schema: &SchemaRef, findings: &[Finding]) -> Result<RecordBatch, ArrowError> {
    let text =
        |of: fn(&Finding) -> &str| -> ArrayRef { Arc::new(StringArray::from_iter_values(findings.iter().map(of))) };
    let words = |of: fn(&Finding) -> &str| -> ArrayRef {
        Arc::new(findings.iter().map(of).collect::<DictionaryArray<Int32Type>>())
    };
    let times = |of: fn(&Finding) -> i64| -> ArrayRef {
        Arc::new(TimestampNanosecondArray::from_iter_values(findings.iter().map(of)).with_timezone("UTC"))
    };
    let floats =
        |of: fn(&Finding) -> f32| -> ArrayRef { Arc::new(Float32Array::from_iter_values(findings.iter().map(of))) };
    let actions: StringArray = findings.iter().map(|f| f.action.as_deref()).collect();
    let columns = vec![
        text(|f| &f.id),
        words(|f| &f.host),
        words(|f| &f.unit_kind),
        text(|f| &f.unit_key),
        times(|f| f.window),
        times(|f| f.time),
        text(|f| &f.title),
        floats(|f| f.bits),
        floats(|f| f.log2_n),
        reasons(findings),
        rows(findings),
        Arc::new(actions),
    ];
    RecordBatch::try_new(schema.clone(), columns)
}

fn lists<T>(
    fields: Fields,
    findings: &[Finding],
    of: fn(&Finding) -> &[T],
    put: fn(&mut StructBuilder, &T),
) -> ArrayRef {
    let item = Arc::new(Field::new_list_field(DataType::Struct(fields.clone()), false));
    let builders = fields.iter().map(|field| builder(field.data_type())).collect();
    let mut list = ListBuilder::new(StructBuilder::new(fields, builders)).with_field(item);
    for finding in findings {
        for entry in of(finding) {
            put(list.values(), entry);
            list.values().append(true);
        }
        list.append(true);
    }
    Arc::new(list.finish())
}

fn builder(kind: &DataType) -> Box<dyn ArrayBuilder> {
    match kind {
        DataType::UInt32 => Box::new(UInt32Builder::new()),
        DataType::UInt64 => Box::new(UInt64Builder::new()),
        DataType::Float32 => Box::new(Float32Builder::new()),
        _ => Box::new(StringBuilder::new()),
    }
}

fn reasons(findings: &[Finding]) -> ArrayRef {
    lists(
        reason_fields(),
        findings,
        |f| &f.reasons,
        |to, reason: &FindingReason| {
            for (at, text) in [&reason.view, &reason.child, &reason.context, &reason.scope].into_iter().enumerate() {
                field::<StringBuilder>(to, at).append_value(text);
            }
            for (at, count) in [reason.n, reason.total, reason.distinct].into_iter().enumerate() {
                field::<UInt32Builder>(to, 4 + at).append_value(count);
            }
            field::<Float32Builder>(to, 7).append_value(reason.bits);
        },
    )
}

fn rows(findings: &[Finding]) -> ArrayRef {
    lists(
        row_fields(),
        findings,
        |f| &f.rows,
        |to, row: &FindingRow| {
            field::<StringBuilder>(to, 0).append_value(&row.file);
            field::<UInt64Builder>(to, 1).append_value(row.row);
            field::<StringBuilder>(to, 2).append_value(&row.table);
            field::<Float32Builder>(to, 3).append_value(row.bits);
        },
    )
}

fn field<B: ArrayBuilder>(of: &mut StructBuilder, at: usize) -> &mut B {
    of.field_builder(at).expect("the builders are made from the same fields")
}

/// Appends the findings of a batch whose schema has been checked.
pub(super) fn from_batch(batch: &RecordBatch, into: &mut Vec<Finding>) -> Result<(), String> {
    let column = |name: &str| batch.column_by_name(name).ok_or_else(|| format!("no column {name}"));
    let text = |name: &str, row: usize| column(name).map(|c| c.as_string::<i32>().value(row).to_owned());
    let number = |name: &str, row: usize| column(name).map(|c| c.as_primitive::<Float32Type>().value(row));
    let time = |name: &str, row: usize| column(name).map(|c| c.as_primitive::<TimestampNanosecondType>().value(row));
    for row in 0..batch.num_rows() {
        let action = column("action")?.as_string::<i32>();
        into.push(Finding {
            id: text("id", row)?,
            host: word(column("host")?, row),
            unit_kind: word(column("unit_kind")?, row),
            unit_key: text("unit_key", row)?,
            window: time("window", row)?,
            time: time("time", row)?,
            title: text("title", row)?,
            bits: number("bits", row)?,
            log2_n: number("log2_n", row)?,
            reasons: read_reasons(column("reasons")?.as_list::<i32>().value(row).as_struct()),
            rows: read_rows(column("rows")?.as_list::<i32>().value(row).as_struct()),
            action: action.is_valid(row).then(|| action.value(row).to_owned()),
        });
    }
    Ok(())
}

fn word(column: &ArrayRef, row: usize) -> String {
    let dictionary = column.as_dictionary::<Int32Type>();
    match dictionary.key(row) {
        Some(key) => dictionary.values().as_string::<i32>().value(key).to_owned(),
        None => String::new(),
    }
}

fn read_reasons(list: &StructArray) -> Vec<FindingReason> {
    let text = |at: usize, row: usize| list.column(at).as_string::<i32>().value(row).to_owned();
    let count = |at: usize, row: usize| list.column(at).as_primitive::<UInt32Type>().value(row);
    let reason = |row| FindingReason {
        view: text(0, row),
        child: text(1, row),
        context: text(2, row),
        scope: text(3, row),
        n: count(4, row),
        total: count(5, row),
        distinct: count(6, row),
        bits: list.column(7).as_primitive::<Float32Type>().value(row),
    };
    (0..list.len()).map(reason).collect()
}

fn read_rows(list: &StructArray) -> Vec<FindingRow> {
    let text = |at: usize, row: usize| list.column(at).as_string::<i32>().value(row).to_owned();
    let row = |row| FindingRow {
        file: text(0, row),
        row: list.column(1).as_primitive::<UInt64Type>().value(row),
        table: text(2, row),
        bits: list.column(3).as_primitive::<Float32Type>().value(row),
    };
    (0..list.len()).map(row).collect()
}
