//! Row groups that are left out, and rows that pass: both against a plain reading of the same rows.

use std::sync::Arc;

use arrow_array::{DictionaryArray, Float64Array, Int64Array, StringArray, TimestampNanosecondArray, types::Int32Type};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use proptest::prelude::*;

use super::*;
use crate::rows::Rows;

const LENS: &str = "table = \"t\"\ntime = \"time\"\n[scopes]\nhost = \"host\"\n[fields]\nf = { column = \"s\", kind = \"id\" }\n\
                    [[views]]\nname = \"v\"\nchild = [\"f\"]\ncontext = [[]]\n";

/// Whole seconds since 1970, host, and three columns that may be null.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) time: i64,
    pub(super) host: String,
    pub(super) n: Option<i64>,
    pub(super) x: Option<f64>,
    pub(super) s: Option<String>,
}

fn row() -> impl Strategy<Value = Row> {
    let x = prop_oneof![Just(f64::NAN), (-4i8..4).prop_map(|x| f64::from(x) / 2.0)];
    let all = (0i64..200_000, "[ab]", prop::option::of(-3i64..4), prop::option::of(x), prop::option::of("[ab]{1,2}"));
    all.prop_map(|(time, host, n, x, s)| Row { time, host, n, x, s })
}

fn filter() -> impl Strategy<Value = Filter> {
    let time = || prop::option::of((0i64..200_000).prop_map(|s| s * 1_000_000_000));
    let hosts = prop::collection::btree_set("[abc]", 0..2);
    (time(), time(), hosts, prop::option::of(condition())).prop_map(|(since, until, hosts, condition)| Filter {
        since,
        until,
        hosts,
        condition,
    })
}

pub(super) fn condition() -> impl Strategy<Value = Condition> {
    let number =
        || prop_oneof![(-3i128..4).prop_map(Value::Int), (-8i8..8).prop_map(|x| Value::Float(f64::from(x) / 4.0))];
    let text = || "[ab]{1,2}".prop_map(Value::Text);
    let moment = (0i64..200_000).prop_map(|s| Value::Text(store::rfc3339(s * 1_000_000_000)));
    let by = prop::sample::select(vec![
        Comparison::Equal,
        Comparison::Unequal,
        Comparison::Less,
        Comparison::LessOrEqual,
        Comparison::Greater,
        Comparison::GreaterOrEqual,
    ]);
    let pair = prop_oneof![
        number().prop_map(|value| ("n", value)),
        number().prop_map(|value| ("x", value)),
        text().prop_map(|value| ("s", value)),
        moment.prop_map(|value| ("time", value)),
        number().prop_map(|value| ("absent", value)),
    ];
    let leaf = prop_oneof![
        (pair, by).prop_map(|((column, value), by)| Condition::Compare(column.to_owned(), by, value)),
        prop::collection::vec(number(), 1..3).prop_map(|values| Condition::In("n".to_owned(), values)),
        prop::collection::vec(text(), 1..3).prop_map(|values| Condition::In("s".to_owned(), values)),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        let several = || prop::collection::vec(inner.clone(), 2..4);
        prop_oneof![several().prop_map(Condition::And), several().prop_map(Condition::Or)]
    })
}

/// The plain reading: a comparison with what is not there never holds.
fn plainly(condition: &Condition, row: &Row) -> bool {
    let float = |value: &Value| match value {
        Value::Int(n) => *n as f64,
        Value::Float(x) => *x,
        _ => panic!("a number"),
    };
    let by = |comparison: Comparison, order: Option<Ordering>| match comparison {
        Comparison::Equal => order == Some(Ordering::Equal),
        Comparison::Unequal => order != Some(Ordering::Equal),
        Comparison::Less => order.is_some_and(Ordering::is_lt),
        Comparison::LessOrEqual => order.is_some_and(Ordering::is_le),
        Comparison::Greater => order.is_some_and(Ordering::is_gt),
        Comparison::GreaterOrEqual => order.is_some_and(Ordering::is_ge),
    };
    let compare = |column: &str, comparison: Comparison, value: &Value| match (column, value) {
        ("n", value) => row.n.is_some_and(|n| by(comparison, (n as f64).partial_cmp(&float(value)))),
        ("x", value) => row.x.is_some_and(|x| by(comparison, x.partial_cmp(&float(value)))),
        ("s", Value::Text(text)) => row.s.as_ref().is_some_and(|s| by(comparison, Some(s.cmp(text)))),
        ("time", Value::Text(text)) => by(comparison, Some((row.time * 1_000_000_000).cmp(&moment(text).unwrap()))),
        _ => false,
    };
    match condition {
        Condition::And(all) => all.iter().all(|one| plainly(one, row)),
        Condition::Or(all) => all.iter().any(|one| plainly(one, row)),
        Condition::Compare(column, comparison, value) => compare(column, *comparison, value),
        Condition::In(column, values) => values.iter().any(|value| compare(column, Comparison::Equal, value)),
    }
}

pub(super) fn passes(filter: &Filter, row: &Row) -> bool {
    let time = row.time * 1_000_000_000;
    filter.since.is_none_or(|since| time >= since)
        && filter.until.is_none_or(|until| time < until)
        && (filter.hosts.is_empty() || filter.hosts.contains(&row.host))
        && filter.condition.as_ref().is_none_or(|condition| plainly(condition, row))
}

pub(super) fn write(rows: &[Row], group: usize, path: &std::path::Path) {
    let texts: StringArray = rows.iter().map(|row| row.s.as_deref()).collect();
    let codes: DictionaryArray<Int32Type> = rows.iter().map(|row| Some(row.host.as_str())).collect();
    let columns: Vec<(&str, ArrayRef, bool)> = vec![
        (
            "time",
            Arc::new(TimestampNanosecondArray::from_iter_values(rows.iter().map(|r| r.time * 1_000_000_000))),
            true,
        ),
        ("host", Arc::new(codes), true),
        ("n", Arc::new(rows.iter().map(|row| row.n).collect::<Int64Array>()), true),
        ("x", Arc::new(rows.iter().map(|row| row.x).collect::<Float64Array>()), true),
        ("s", Arc::new(texts), true),
    ];
    let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(group)).build();
    let mut writer =
        ArrowWriter::try_new(std::fs::File::create(path).unwrap(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn what_is_read_is_what_passes(
        mut rows in prop::collection::vec(row(), 1..60),
        sorted in any::<bool>(),
        group in 1usize..20,
        filter in filter(),
    ) {
        if sorted {
            rows.sort_by_key(|row| row.time);
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.parquet");
        write(&rows, group, &path);
        let (file, lens) = (TableFile::open(&path).unwrap(), Lens::parse(LENS).unwrap());
        let mut found = Vec::new();
        for batch in Rows::open(&file, &lens, &filter).unwrap() {
            let (batch, numbers) = batch.unwrap();
            let texts = cast(batch.column_by_name("s").unwrap(), &DataType::Utf8).unwrap();
            let texts = texts.as_string::<i32>();
            for row in 0..batch.num_rows() {
                // The number is that of the very row.
                let number = numbers.of(row);
                prop_assert_eq!(texts.is_valid(row).then(|| texts.value(row)), rows[number as usize].s.as_deref());
                found.push(number);
            }
        }
        let wanted: Vec<u64> = (0..).zip(&rows).filter(|(_, row)| passes(&filter, row)).map(|(at, _)| at).collect();
        prop_assert_eq!(found, wanted);
    }
}

#[test]
fn numbers_and_texts_compare_where_a_text_is_a_number() {
    let of = |array: ArrayRef, condition: &str| {
        let batch = RecordBatch::try_from_iter([("c", array)]).unwrap();
        let found = super::rows(&condition.parse().unwrap(), &batch).unwrap();
        found.values().iter().collect::<Vec<_>>()
    };
    let numbers = || -> ArrayRef { Arc::new(Int64Array::from(vec![Some(9), Some(10), None])) };
    assert_eq!(of(numbers(), "c < '10'"), [true, false, false]);
    assert_eq!(of(numbers(), "c = 10.0"), [false, true, false]);
    assert_eq!(of(numbers(), "c != 'ten'"), [true, true, false]);
    let texts = || -> ArrayRef { Arc::new(StringArray::from(vec![Some("9"), Some("10"), Some("-"), None])) };
    assert_eq!(of(texts(), "c < 10"), [true, false, false, false]);
    assert_eq!(of(texts(), "c < '10'"), [false, false, true, false]);
    assert_eq!(of(texts(), "c != 9"), [false, true, true, false]);
    let times: ArrayRef = Arc::new(TimestampNanosecondArray::from_iter_values([0, DAY]));
    assert_eq!(of(times.clone(), "c >= '1970-01-02'"), [false, true]);
    let batch = RecordBatch::try_from_iter([("c", times)]).unwrap();
    assert!(super::rows(&"c = 5".parse().unwrap(), &batch).unwrap_err().contains("column c: it holds times"));
    let keys: ArrayRef = Arc::new(arrow_array::BinaryArray::from_vec(vec![b"\x0a\xff", b""]));
    assert_eq!(of(keys, "c = '0aff'"), [true, false]);
}

#[test]
fn groups_without_such_rows_are_not_read() {
    let rows: Vec<Row> =
        (0..100).map(|at| Row { time: at * 1_000, host: "a".into(), n: Some(at), x: None, s: None }).collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.parquet");
    write(&rows, 10, &path);
    let file = TableFile::open(&path).unwrap();
    let left = |condition: &str| groups(&file, &condition.parse().unwrap()).unwrap();
    assert_eq!(left("n = 42"), [4]);
    assert_eq!(left("n in (0, 99)"), [0, 9]);
    assert_eq!(left("n < 10 or time >= '1970-01-02T00:00:00Z'"), [0, 8, 9]);
    assert_eq!(left("n > 5 and n <= 20"), [0, 1, 2]);
    assert_eq!(left("host = 'b'"), [0usize; 0]);
    assert_eq!(left("absent = 1"), [0usize; 0]);
    assert_eq!(left("n != 42").len(), 10);
}

#[test]
fn folders_of_other_days_and_hosts_are_passed_over() {
    let day = |day: u32| time_bound(&format!("2026-11-{day:02}"), false);
    let filter = Filter { since: day(10), until: day(12), hosts: ["web1".to_owned()].into(), condition: None };
    let enters = |folder: &str| filter.enters(folder);
    for inside in
        ["archive", "a/process", "a/process/day=2026-11-11", "process/day=2026-11-10/host=web1", "day=2026-01-01"]
    {
        assert!(enters(inside), "{inside}");
    }
    // What lies in a day's folder may begin or end a little outside of it.
    for near in ["process/day=2026-11-09", "process/day=2026-11-12"] {
        assert!(enters(near), "{near}");
    }
    for outside in ["a/process/day=2026-11-08", "dns/day=2026-11-13", "process/day=2026-11-11/host=web2"] {
        assert!(!enters(outside), "{outside}");
    }
    // A name that the layout writes in another way, now and in earlier releases.
    let odd = Filter { hosts: ["a/b".to_owned()].into(), ..Filter::default() };
    assert!(odd.enters("dns/day=2026-11-11/host=a%2Fb") && odd.enters("dns/day=2026-11-11/host=a_b"));
    assert!(!odd.enters("dns/day=2026-11-11/host=ab"));
}

#[test]
fn a_day_as_the_end_is_meant_whole() {
    let at = |text: &str| store::from_rfc3339(text);
    assert_eq!(time_bound("2026-11-21", false), at("2026-11-21T00:00:00Z"));
    assert_eq!(time_bound("2026-11-21", true), at("2026-11-22T00:00:00Z"));
    assert_eq!(time_bound("2026-11-21T14:00:00+02:00", true), at("2026-11-21T12:00:00Z"));
    for wrong in ["", "yesterday", "2026-13-01", "2026-11-31", "14:00"] {
        assert_eq!(time_bound(wrong, false), None, "{wrong}");
    }
}
