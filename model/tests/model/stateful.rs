//! Fields that depend on earlier rows: the same values however the rows are cut, and in bounded memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::rows::DAY;
use arrow_array::types::Int32Type;
use arrow_array::{ArrayRef, DictionaryArray, RecordBatch, StringArray, TimestampNanosecondArray, UInt64Array};
use ebbline_model::testing::{self, Rng};
use ebbline_model::{EncodedBatch, Encoder, Lens};
use proptest::prelude::*;

const HOUR: i64 = 3_600_000_000_000;
const SECOND: i64 = 1_000_000_000;

const LENS: &str = r#"
table = "t"
time = "time"
[scopes]
host = "host"
[fields]
burst = { burst = true, of = "process", tick = "10s" }
exe = { column = "exe", kind = "path", part = "leaf" }
exe_before = { column = "exe", kind = "path", part = "leaf", of = "process" }
exe_three_before = { column = "exe", kind = "path", part = "leaf", of = "process", lag = 3 }
names_of_exe = { fanout = "name", of = ["exe", "process"], tick = "60s" }
[[views]]
name = "v"
child = ["exe"]
context = [["exe_before", "exe_three_before"], ["exe_before"], []]
[[views]]
name = "w"
child = ["burst", "names_of_exe"]
context = [["exe"], []]
"#;

/// Time, host, process, exe, name.
#[derive(Debug, Clone)]
struct Row(i64, u8, Option<u8>, Option<u8>, Option<u16>);

fn batch(rows: &[Row]) -> RecordBatch {
    let text = |f: &dyn Fn(&Row) -> Option<String>| {
        Arc::new(
            rows.iter().map(f).collect::<Vec<_>>().iter().map(Option::as_deref).collect::<DictionaryArray<Int32Type>>(),
        ) as ArrayRef
    };
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("time", Arc::new(TimestampNanosecondArray::from_iter_values(rows.iter().map(|r| r.0)))),
        ("host", text(&|r| Some(format!("h{}", r.1)))),
        ("process", Arc::new(UInt64Array::from_iter(rows.iter().map(|r| r.2.map(u64::from))))),
        ("exe", text(&|r| r.3.map(|e| format!("/bin/{}", char::from(b'a' + e))))),
        ("name", Arc::new(StringArray::from_iter(rows.iter().map(|r| r.4.map(|n| format!("n{n}")))))),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).unwrap()
}

fn encoder() -> Encoder {
    Encoder::new(&Lens::parse(LENS).unwrap(), &testing::key())
}

/// The values of every field, row by row; each has the hash of its text.
fn values(encoded: &EncodedBatch) -> Vec<Vec<Option<String>>> {
    assert!(encoded.is_consistent(5));
    let value = |row: usize, field: usize| {
        let codes = &encoded.fields[field];
        assert_eq!(codes.hash(row), testing::key().value(codes.value(row)));
        codes.value(row).map(str::to_owned)
    };
    (0..encoded.rows).map(|row| (0..5).map(|field| value(row, field)).collect()).collect()
}

fn by_batches(rows: &[Row], size: usize) -> Vec<Vec<Option<String>>> {
    let mut encoder = encoder();
    rows.chunks(size).flat_map(|rows| values(&encoder.encode(&batch(rows)).unwrap())).collect()
}

/// Each (host, hour) by an encoder of its own.
fn by_host_and_hour(rows: &[Row]) -> Vec<Vec<Option<String>>> {
    let mut groups: BTreeMap<(u8, i64), Vec<usize>> = BTreeMap::new();
    for (at, row) in rows.iter().enumerate() {
        groups.entry((row.1, row.0.div_euclid(HOUR))).or_default().push(at);
    }
    let mut out = vec![Vec::new(); rows.len()];
    for places in groups.values() {
        let part: Vec<Row> = places.iter().map(|at| rows[*at].clone()).collect();
        for (at, values) in places.iter().zip(by_batches(&part, 13)) {
            out[*at] = values;
        }
    }
    out
}

fn random(rows: usize, seed: u64) -> Vec<Row> {
    let mut rng = Rng(seed);
    let row = |at: usize| {
        // Some rows are late, some by more than an hour.
        let late = if rng.below(10) == 0 { i64::from(rng.below(4000)) } else { 0 };
        let time = (at as i64 * 3 * HOUR / rows as i64) - late * SECOND;
        let some = |rng: &mut Rng, n: u32| Some(rng.skewed(n) as u8).filter(|_| rng.below(30) > 0);
        Row(time, rng.below(3) as u8, some(&mut rng, 8), some(&mut rng, 20), some(&mut rng, 200).map(u16::from))
    };
    (0..rows).map(row).collect()
}

#[test]
fn values_do_not_depend_on_how_rows_are_cut() {
    let rows = random(20_000, 1);
    let whole = by_batches(&rows, 1_000_000);
    for size in [1, 7, 256, 4096] {
        assert!(by_batches(&rows, size) == whole, "batches of {size}");
    }
    assert!(by_host_and_hour(&rows) == whole, "each host and hour by itself");
    for field in 0..5 {
        let mut distinct: Vec<_> = whole.iter().map(|row| &row[field]).collect();
        distinct.sort();
        distinct.dedup();
        assert!(distinct.len() > 3, "field {field} says something: {distinct:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn values_do_not_depend_on_batches(seed: u64, size in 1usize..300) {
        let rows = random(500, seed);
        let whole = by_batches(&rows, rows.len());
        prop_assert_eq!(by_batches(&rows, size), whole.clone());
        prop_assert_eq!(by_host_and_hour(&rows), whole);
    }
}

/// One process of one host, at seconds of an hour.
fn of_one(seconds: &[i64]) -> Vec<Row> {
    seconds
        .iter()
        .enumerate()
        .map(|(at, s)| Row(s * SECOND, 0, Some(1), Some(at as u8 % 26), Some(at as u16)))
        .collect()
}

fn column(rows: &[Row], field: usize) -> Vec<String> {
    by_batches(rows, 2).into_iter().map(|row| row[field].clone().unwrap_or_else(|| "-".to_owned())).collect()
}

#[test]
fn the_value_before_is_that_of_the_channel_within_its_hour() {
    let mut rows = of_one(&[0, 1, 2, 3, 4, 3599, 3600, 3601]);
    rows.insert(2, Row(SECOND, 1, Some(1), Some(25), None)); // another host
    rows.insert(3, Row(SECOND, 0, None, Some(25), None)); // of nobody
    assert_eq!(column(&rows, 2), ["-", "a", "-", "-", "b", "c", "d", "e", "-", "g"]);
    assert_eq!(column(&rows, 3), ["-", "-", "-", "-", "-", "a", "b", "c", "-", "-"]);
}

#[test]
fn a_burst_is_told_from_what_is_usual() {
    // One row in each of many ticks, then eight in one, then a late one, then one again.
    let mut seconds: Vec<i64> = (0..60).map(|tick| tick * 10).collect();
    seconds.extend([600; 8]);
    seconds.extend([5, 610]);
    let bursts = column(&of_one(&seconds), 0);
    assert_eq!(bursts[0], "1.0", "twice what nothing is");
    assert_eq!(bursts[59], "0.0");
    assert_eq!(bursts[60..68], ["0.0", "0.5", "1.0", "1.0", "1.5", "1.5", "2.0", "2.0"]);
    assert_eq!(bursts[68..], ["2.0", "-1.0"], "the late row joins the tick that is");
    let rare = column(&of_one(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 20]), 0);
    assert_eq!(rare[16], "-0.5", "{rare:?}");
}

#[test]
fn fan_out_counts_distinct_values_lately() {
    let names = |n: u16, at: i64| (0..n).map(move |i| Row(at * SECOND, 0, Some(1), Some(1), Some(i)));
    let mut rows: Vec<Row> = names(3, 0).collect();
    rows.extend(names(3, 1));
    rows.push(Row(2 * SECOND, 0, Some(1), Some(1), None));
    rows.extend(names(1, 60)); // 3 less an eighth, and it again
    rows.push(Row(600 * SECOND, 0, Some(1), Some(1), None)); // nine ticks later
    assert_eq!(column(&rows, 4), ["1", "2", "3", "3", "3", "3", "3", "3", "1"]);
    let many: Vec<Row> = names(1200, 0).collect();
    assert_eq!(column(&many, 4).last().unwrap(), "1024-1448", "the bin of 1,200");
    let most: Vec<Row> = names(60_000, 0).collect();
    assert_eq!(column(&most, 4).last().unwrap(), "5793-8191", "where the map is full");
}

#[test]
fn a_host_has_so_many_channels_and_the_rest_is_said() {
    let lens = LENS.replace("process\"", "name\"");
    let lens = Lens::parse(&lens).unwrap();
    let mut encoder = Encoder::new(&lens, &testing::key());
    let row = |n: u16| Row(i64::from(n) * 1000, 0, None, Some(1), Some(n));
    let rows: Vec<Row> = (0..50_000).map(row).collect();
    let first = values(&encoder.encode(&batch(&rows)).unwrap());
    let crowded = |value: &Option<String>| value.as_deref() == Some("crowded");
    let from = first.iter().position(|row| crowded(&row[2])).unwrap();
    assert_eq!(from, 32_768);
    assert!(
        first[from..].iter().all(|row| crowded(&row[0]) && crowded(&row[2]) && crowded(&row[3]) && crowded(&row[4]))
    );
    assert_eq!(encoder.crowded(), 4 * (50_000 - 32_768));
    // The channels used last are still there; of those let go nobody can say whether they are new.
    let again = values(&encoder.encode(&batch(&[row(49_999), row(0), row(0)])).unwrap());
    assert_eq!(again[0][2].as_deref(), Some("b"));
    assert!(crowded(&again[1][2]));
    assert_eq!(again[2][2].as_deref(), Some("b"));
    // A new hour begins with nothing.
    let next = values(&encoder.encode(&batch(&[Row(DAY, 0, None, Some(1), Some(1))])).unwrap());
    assert_eq!(next[0][2], None);
}

#[test]
fn old_values_are_swept_out_without_a_trace() {
    // More distinct values than are kept, over many small batches.
    let lens =
        LENS.replace("{ column = \"exe\", kind = \"path\", part = \"leaf\",", "{ column = \"name\", kind = \"id\",");
    let lens = Lens::parse(&lens).unwrap();
    let rows: Vec<Row> = (0..u16::MAX).map(|n| Row(i64::from(n), 0, Some((n % 7) as u8), None, Some(n))).collect();
    let mut rows = [rows.clone(), rows].concat();
    rows.iter_mut().enumerate().for_each(|(at, row)| row.1 = (at / 65_535) as u8);
    let encode = |size: usize| {
        let mut encoder = Encoder::new(&lens, &testing::key());
        let all = rows.chunks(size).map(|rows| values(&encoder.encode(&batch(rows)).unwrap()));
        all.flatten().map(|row| row[3].clone()).collect::<Vec<_>>()
    };
    assert!(encode(5000) == encode(1_000_000));
}

#[test]
fn mistakes_are_placed() {
    let broken = |from: &str, to: &str| Lens::parse(&LENS.replacen(from, to, 1)).unwrap_err().to_string();
    let at = |from: &str, to: &str, message: &str| {
        let got = broken(from, to);
        assert!(got.starts_with("lens: line ") && got.contains(message), "{got}");
    };
    assert_eq!(broken("lag = 3", "lag = 5"), "lens: line 10, column 90: `lag` is a number of rows from 1 to 4");
    assert_eq!(broken("\"10s\"", "\"2h\""), "lens: line 7, column 48: a tick lasts from 1s to 1h");
    at("burst = true, of", "burst = false, of", "a field has one of `burst = true`");
    at(", tick = \"10s\"", "", "needs a `tick`");
    at("of = \"process\", lag", "lag", "needs `of`");
    at("burst = true,", "burst = true, lag = 1,", "`lag` is for fields with a column");
    at("burst = true,", "burst = true, kind = \"id\",", "has no column, kind or part");
    at("of = \"process\", lag", "of = \"exe_before\", lag", "\"exe_before\" itself depends on earlier rows");
    at("of = \"process\", lag", "of = [], lag", "`of` takes 1 to 8");
    at("lag = 3", "tick = \"60s\"", "`tick` goes with");
    at("column = \"exe\", ", "", "missing field `column`");
    at("fanout = \"name\"", "fanout = \"burst\"", "itself depends on earlier rows");
    let reads = Lens::parse(LENS).unwrap();
    assert_eq!(reads.columns(), ["time", "host", "exe", "process", "name"]);
    assert!(reads.is_stateful());
    assert_ne!(reads.digest(), Lens::parse(&LENS.replace("lag = 3", "lag = 2")).unwrap().digest());
}
