//! Fields that depend on earlier rows, random views and streams agree with the independent reference:
//! `golden/reference.py`, written from docs/model.md alone.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, StringArray, TimestampNanosecondArray};
use model::{Encoder, HashKey, Lens, Scores, Stream};
use serde_json::Value;

const VECTORS: &str = include_str!("../golden/vectors.json");
const SECOND_NS: i64 = 1_000_000_000;

fn vectors() -> Value {
    serde_json::from_str(VECTORS).unwrap()
}

fn key() -> HashKey {
    HashKey(std::array::from_fn(|byte| 200 - byte as u8))
}

fn array(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

/// Rows of seconds and texts as a batch.
fn batch(columns: &[&str], rows: &[(i64, &[Value])]) -> RecordBatch {
    let times = rows.iter().map(|row| row.0 * SECOND_NS);
    let mut arrays: Vec<(&str, ArrayRef)> = vec![("time", Arc::new(TimestampNanosecondArray::from_iter_values(times)))];
    for (at, name) in columns.iter().enumerate() {
        arrays.push((name, Arc::new(StringArray::from_iter(rows.iter().map(|row| row.1[at].as_str())))));
    }
    RecordBatch::try_from_iter_with_nullable(arrays.into_iter().map(|(name, array)| (name, array, true))).unwrap()
}

#[test]
fn fields_that_depend_on_earlier_rows_agree_with_the_reference() {
    let vectors = vectors();
    let lens = Lens::parse(vectors["earlier_lens"].as_str().unwrap()).unwrap();
    let lines = array(&vectors["earlier"]);
    let rows: Vec<(i64, &[Value])> =
        lines.iter().map(|line| (line[0][0].as_i64().unwrap(), &array(&line[0])[1..])).collect();
    for size in [17, 1_000_000] {
        let mut encoder = Encoder::new(&lens, &key());
        for (part, expected) in rows.chunks(size).zip(lines.chunks(size)) {
            let encoded = encoder.encode(&batch(&["host", "process", "exe", "name"], part)).unwrap();
            for (row, expected) in expected.iter().enumerate() {
                for (field, want) in lens.fields().iter().zip(array(&expected[1])) {
                    let at = lens.fields().iter().position(|f| f.name == field.name).unwrap();
                    assert_eq!(encoded.fields[at].value(row), want.as_str(), "{} of {}", field.name, expected[0]);
                }
            }
        }
        assert_eq!(encoder.crowded(), 0);
    }
}

#[test]
fn random_views_agree_with_the_reference() {
    for set in array(&vectors()["random_views"]) {
        let lens = Lens::parse(set["lens"].as_str().unwrap()).unwrap();
        let hex: String = lens.digest().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(set["digest"], hex, "the digest is of the canonical form");
        let names: Vec<&str> = lens.views()[1..].iter().map(|view| view.name.as_str()).collect();
        assert_eq!(set["views"], serde_json::json!(names));
    }
}

#[test]
fn streams_agree_with_the_reference() {
    let vectors = vectors();
    let lens = Lens::parse(vectors["lens"].as_str().unwrap()).unwrap();
    let columns: Vec<&str> = array(&vectors["columns"]).iter().map(|name| name.as_str().unwrap()).collect();
    for set in array(&vectors["streams"]) {
        let lines = array(&set["rows"]);
        let rows: Vec<(i64, &[Value])> =
            lines.iter().map(|line| (line[0].as_i64().unwrap(), array(&line[1]))).collect();
        for size in [1, 33, 1000] {
            let mut encoder = Encoder::new(&lens, &key());
            let tick = set["tick"].as_i64().unwrap();
            let (mut stream, mut scores) = (Stream::new(&lens, &key()).with_tick(tick * SECOND_NS), Scores::default());
            for (part, expected) in rows.chunks(size).zip(lines.chunks(size)) {
                stream.feed(&encoder.encode(&batch(&columns, part)).unwrap(), &mut scores).unwrap();
                for (at, got) in scores.surprisal.iter().enumerate() {
                    let (view, row) = (at / part.len(), at % part.len());
                    assert_eq!(expected[row][2][view], *got, "tick {tick}, {}, view {view}", expected[row]);
                }
            }
        }
    }
}
