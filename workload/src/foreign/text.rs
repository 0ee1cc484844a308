//! Rows as files.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::LogRow;

pub(super) fn json_lines(rows: &[LogRow]) -> String {
    rows.iter().map(|(_, row)| format!("{}\n", Value::Object(row.clone()))).collect()
}

pub(super) fn csv(rows: &[LogRow], delimiter: char) -> String {
    let columns = columns(rows);
    let line = |cells: Vec<String>| format!("{}\n", cells.join(&delimiter.to_string()));
    let mut out = line(columns.iter().map(|(name, _)| quoted(name, delimiter)).collect());
    for row in 0..rows.len() {
        let cell = |values: &[Option<String>]| quoted(values[row].as_deref().unwrap_or_default(), delimiter);
        out.push_str(&line(columns.iter().map(|(_, values)| cell(values)).collect()));
    }
    out
}

fn quoted(text: &str, delimiter: char) -> String {
    match text.contains([delimiter, '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    }
}

pub(super) fn zeek(rows: &[LogRow]) -> String {
    let columns = columns(rows);
    let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
    let of_name = |name: &str| rows.iter().find_map(|(_, row)| row.get(name));
    let types = names.iter().map(|name| match of_name(name) {
        Some(Value::Bool(_)) => "bool",
        Some(Value::Array(_)) => "vector[string]",
        Some(Value::Number(_)) if *name == "ts" => "time",
        Some(Value::Number(n)) if n.is_f64() => "interval",
        Some(Value::Number(_)) => "count",
        _ => "string",
    });
    let types: Vec<&str> = types.collect();
    let mut out = format!(
        "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#fields\t{}\n#types\t{}\n",
        names.join("\t"),
        types.join("\t")
    );
    for row in 0..rows.len() {
        let cell = |(values, of): (&[Option<String>], &str)| match (values[row].as_deref(), of) {
            (None, _) => "-".to_owned(),
            (Some(truth), "bool") => if truth == "true" { "T" } else { "F" }.to_owned(),
            (Some(text), _) => text.to_owned(),
        };
        let cells = columns.iter().map(|(_, values)| values.as_slice()).zip(types.iter().copied());
        out.push_str(&cells.map(cell).collect::<Vec<_>>().join("\t"));
        out.push('\n');
    }
    out
}

pub(super) fn columns(rows: &[LogRow]) -> Vec<(String, Vec<Option<String>>)> {
    let mut columns: BTreeMap<String, Vec<Option<String>>> = BTreeMap::new();
    for (at, (_, row)) in rows.iter().enumerate() {
        flatten("", row, &mut |name, text| {
            columns.entry(name.to_owned()).or_insert_with(|| vec![None; rows.len()])[at] = text;
        });
    }
    columns.into_iter().collect()
}

fn flatten(prefix: &str, row: &Map<String, Value>, found: &mut dyn FnMut(&str, Option<String>)) {
    for (key, value) in row {
        let name = format!("{prefix}{key}");
        match value {
            Value::Object(inside) => flatten(&format!("{name}."), inside, found),
            Value::Null => found(&name, None),
            value => found(&name, Some(scalar(value))),
        }
    }
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(scalar).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}
