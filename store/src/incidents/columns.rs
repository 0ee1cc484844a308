//! Between [`Incident`]s and columns.

use std::sync::Arc;

use arrow_array::builder::{ListBuilder, StringBuilder, StructBuilder, UInt32Builder, UInt64Builder};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, TimestampNanosecondType, UInt32Type, UInt64Type};
use arrow_array::{
    Array, ArrayRef, Float32Array, RecordBatch, StringArray, StructArray, TimestampNanosecondArray, UInt32Array,
};
use arrow_schema::{ArrowError, DataType, Field, SchemaRef};

use super::{Incident, IncidentLink, link_fields};

pub(super) fn to_batch(schema: &SchemaRef, incidents: &[Incident]) -> Result<RecordBatch, ArrowError> {
    let all = || incidents.iter();
    let text = |of: fn(&Incident) -> &str| -> ArrayRef { Arc::new(StringArray::from_iter_values(all().map(of))) };
    let maybe = |of: fn(&Incident) -> Option<&str>| -> ArrayRef { Arc::new(all().map(of).collect::<StringArray>()) };
    let times = |of: fn(&Incident) -> i64| -> ArrayRef {
        Arc::new(TimestampNanosecondArray::from_iter_values(all().map(of)).with_timezone("UTC"))
    };
    let floats = |of: fn(&Incident) -> f32| -> ArrayRef { Arc::new(Float32Array::from_iter_values(all().map(of))) };
    let columns = vec![
        text(|i| &i.id),
        texts(incidents, |i| &i.aliases),
        times(|i| i.anchor),
        times(|i| i.first),
        times(|i| i.last),
        texts(incidents, |i| &i.hosts),
        text(|i| &i.title),
        floats(|i| i.bits),
        floats(|i| i.log2_n),
        Arc::new(UInt32Array::from_iter_values(all().map(|i| i.steps))),
        maybe(|i| i.root_host.as_deref()),
        maybe(|i| i.root_key.as_deref()),
        texts(incidents, |i| &i.findings),
        links(incidents),
    ];
    RecordBatch::try_new(schema.clone(), columns)
}

fn texts(incidents: &[Incident], of: fn(&Incident) -> &[String]) -> ArrayRef {
    let item = Arc::new(Field::new_list_field(DataType::Utf8, false));
    let mut list = ListBuilder::new(StringBuilder::new()).with_field(item);
    for incident in incidents {
        of(incident).iter().for_each(|text| list.values().append_value(text));
        list.append(true);
    }
    Arc::new(list.finish())
}

fn links(incidents: &[Incident]) -> ArrayRef {
    let item = Arc::new(Field::new_list_field(DataType::Struct(link_fields()), false));
    let mut list = ListBuilder::new(StructBuilder::from_fields(link_fields(), 0)).with_field(item);
    for incident in incidents {
        for link in &incident.links {
            put(list.values(), link);
        }
        list.append(true);
    }
    Arc::new(list.finish())
}

fn put(to: &mut StructBuilder, link: &IncidentLink) {
    const FIELDS: &str = "the builders are made from the same fields";
    for (at, text) in [&link.from, &link.to, &link.kind, &link.value].into_iter().enumerate() {
        to.field_builder::<StringBuilder>(at).expect(FIELDS).append_value(text);
    }
    to.field_builder::<UInt32Builder>(4).expect(FIELDS).append_value(link.seen);
    to.field_builder::<UInt64Builder>(5).expect(FIELDS).append_value(link.of);
    to.append(true);
}

/// Appends the incidents of a batch whose schema has been checked.
pub(super) fn from_batch(batch: &RecordBatch, into: &mut Vec<Incident>) -> Result<(), String> {
    let column = |name: &str| batch.column_by_name(name).ok_or_else(|| format!("no column {name}"));
    let text = |name: &str, row: usize| column(name).map(|c| c.as_string::<i32>().value(row).to_owned());
    let maybe = |name: &str, row: usize| {
        column(name).map(|c| c.as_string::<i32>()).map(|c| c.is_valid(row).then(|| c.value(row).to_owned()))
    };
    let number = |name: &str, row: usize| column(name).map(|c| c.as_primitive::<Float32Type>().value(row));
    let time = |name: &str, row: usize| column(name).map(|c| c.as_primitive::<TimestampNanosecondType>().value(row));
    let list = |name: &str, row: usize| column(name).map(|c| c.as_list::<i32>().value(row));
    for row in 0..batch.num_rows() {
        into.push(Incident {
            id: text("id", row)?,
            aliases: read_texts(&list("aliases", row)?),
            anchor: time("anchor", row)?,
            first: time("first", row)?,
            last: time("last", row)?,
            hosts: read_texts(&list("hosts", row)?),
            title: text("title", row)?,
            bits: number("bits", row)?,
            log2_n: number("log2_n", row)?,
            steps: column("steps")?.as_primitive::<UInt32Type>().value(row),
            root_host: maybe("root_host", row)?,
            root_key: maybe("root_key", row)?,
            findings: read_texts(&list("findings", row)?),
            links: read_links(list("links", row)?.as_struct()),
        });
    }
    Ok(())
}

fn read_texts(list: &ArrayRef) -> Vec<String> {
    list.as_string::<i32>().iter().map(|text| text.unwrap_or_default().to_owned()).collect()
}

fn read_links(list: &StructArray) -> Vec<IncidentLink> {
    let text = |at: usize, row: usize| list.column(at).as_string::<i32>().value(row).to_owned();
    let link = |row| IncidentLink {
        from: text(0, row),
        to: text(1, row),
        kind: text(2, row),
        value: text(3, row),
        seen: list.column(4).as_primitive::<UInt32Type>().value(row),
        of: list.column(5).as_primitive::<UInt64Type>().value(row),
    };
    (0..list.len()).map(link).collect()
}
