//! The encoder on ordinary, foreign and random columns.

use std::sync::Arc;

use crate::rows::{Row, ordinary, process};
use arrow_array::Array;
use arrow_array::types::{Int8Type, Int32Type, UInt64Type};
use arrow_array::{
    ArrayRef, BooleanArray, Date32Array, DictionaryArray, Float64Array, Int64Array, LargeStringArray, NullArray,
    RecordBatch, StringArray, StringViewArray, TimestampMillisecondArray, TimestampSecondArray, UInt16Array,
    UInt64Array,
};
use arrow_cast::cast;
use ebbline_model::encode::NO_UNIT;
use ebbline_model::testing;
use ebbline_model::{EncodeError, Encoder, Lens, builtin};
use proptest::prelude::*;

const LENS: &str = r#"
table = "t"
time = "time"
class = "class"
[scopes]
host = "host"
[fields]
a = { column = "a", kind = "id" }
b = { column = "b", kind = "number" }
[[views]]
name = "v"
when = ["x", "y"]
child = ["a"]
context = [["b"], []]
[[units]]
kind = "u"
key = ["a", "b"]
window = "10m"
"#;

fn encoder() -> Encoder {
    Encoder::new(&Lens::parse(LENS).unwrap(), &testing::key())
}

fn batch(a: ArrayRef, b: ArrayRef) -> RecordBatch {
    let rows = a.len();
    let time: ArrayRef = Arc::new(TimestampSecondArray::from_iter_values((0..rows).map(|i| i as i64)));
    let text =
        |values: [&str; 3]| Arc::new(StringArray::from_iter_values((0..rows).map(|i| values[i % 3]))) as ArrayRef;
    let columns =
        [("a", a), ("b", b), ("time", time), ("class", text(["y", "z", "x"])), ("host", text(["h", "h", "g"]))];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(n, c)| (n, c, true))).unwrap()
}

#[test]
fn every_text_type_gives_the_same_hashes() {
    let texts = [Some("x"), None, Some(""), Some("x"), Some("y")];
    let dictionary: DictionaryArray<Int8Type> = texts.into_iter().collect();
    let of_views = StringViewArray::from_iter(texts);
    let wide = DictionaryArray::<UInt64Type>::new(
        UInt64Array::from(vec![Some(2), None, Some(0), Some(2), Some(3)]),
        Arc::new(LargeStringArray::from(vec![Some(""), None, Some("x"), Some("y")])),
    );
    let columns: [ArrayRef; 5] = [
        Arc::new(StringArray::from_iter(texts)),
        Arc::new(LargeStringArray::from_iter(texts)),
        Arc::new(of_views),
        Arc::new(dictionary),
        Arc::new(wide),
    ];
    for column in columns {
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![0, 1, -5, 100, 9]));
        let encoded = encoder().encode(&batch(Arc::clone(&column), numbers)).unwrap();
        assert!(encoded.is_consistent(2));
        for (row, text) in texts.iter().enumerate() {
            assert_eq!(encoded.fields[0].hash(row), testing::key().value(*text), "{}", column.data_type());
            assert_eq!(encoded.fields[0].value(row), *text);
        }
        let bins: Vec<_> = (0..5).map(|row| encoded.fields[1].text(row)).collect();
        assert_eq!(bins, ["0", "1", "-4-5", "91-127", "8-11"]);
        assert_eq!(encoded.class, [1, 31, 0, 1, 31]);
        assert_eq!(encoded.time, [0, 1, 2, 3, 4].map(|s| s * 1_000_000_000));
        assert_eq!(encoded.host.text(2), "g");
        let unit: Vec<_> = encoded.units[0].codes.iter().map(|c| encoded.units[0].keys.get(*c as usize)).collect();
        assert_eq!(unit[0].map(String::as_str), Some("x|0"));
        assert_eq!(encoded.units[0].codes[1], NO_UNIT);
    }
}

#[test]
fn floats_are_numbers() {
    let numbers = [Some(5.0), None, Some(f64::NAN), Some(0.25), Some(-0.0)];
    let wide: ArrayRef = Arc::new(Float64Array::from(numbers.to_vec()));
    for to in [arrow_schema::DataType::Float16, arrow_schema::DataType::Float32, arrow_schema::DataType::Float64] {
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["x"; 5]));
        let lens = Lens::parse(&LENS.replace("[\"a\", \"b\"]", "[\"a\"]")).unwrap();
        let encoded = Encoder::new(&lens, &testing::key()).encode(&batch(texts, cast(&wide, &to).unwrap())).unwrap();
        let bins: Vec<_> = (0..5).map(|row| encoded.fields[1].value(row)).collect();
        assert_eq!(bins, [Some("4-5"), None, Some("NaN"), Some("2^-2"), Some("0")]);
    }
}

#[test]
fn a_changed_dictionary_is_noticed() {
    let mut encoder = encoder();
    for texts in [["a", "b"], ["c", "d"], ["a", "a"]] {
        let dictionary: DictionaryArray<Int32Type> = texts.into_iter().map(Some).collect();
        let whole = batch(Arc::new(dictionary), Arc::new(Int64Array::from(vec![1, 2])));
        for part in [whole.clone(), whole.slice(1, 1), whole.slice(0, 0)] {
            let encoded = encoder.encode(&part).unwrap();
            let skip = usize::from(part.num_rows() == 1);
            let got: Vec<_> = (0..part.num_rows()).map(|row| encoded.fields[0].text(row)).collect();
            assert_eq!(got, texts[skip..skip + part.num_rows()]);
        }
    }
}

#[test]
fn wrong_columns_are_named() {
    let dates: ArrayRef = Arc::new(Date32Array::from(vec![1]));
    let ints: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let error = encoder().encode(&batch(Arc::clone(&ints), dates)).unwrap_err();
    assert_eq!(error.to_string(), "column \"b\": found Date32, expected a number, or text");
    let floats: ArrayRef = Arc::new(Float64Array::from(vec![1.0]));
    let error = encoder().encode(&batch(floats, Arc::clone(&ints))).unwrap_err();
    assert!(error.to_string().starts_with("column \"a\": found Float64"), "{error}");
    let error = encoder().encode(&batch(Arc::clone(&ints), Arc::new(BooleanArray::from(vec![true])))).unwrap_err();
    assert!(matches!(error, EncodeError::Type { column, .. } if column == "b"));
    let short = batch(Arc::clone(&ints), ints).project(&[0, 2, 3, 4]).unwrap();
    assert_eq!(encoder().encode(&short).unwrap_err(), EncodeError::Missing { column: "b".to_owned() });
}

#[test]
fn times_must_be_there() {
    let mut columns = batch(Arc::new(NullArray::new(2)), Arc::new(UInt16Array::from(vec![1, 2]))).columns().to_vec();
    columns[2] = Arc::new(TimestampMillisecondArray::from(vec![Some(7), None]));
    let names = ["a", "b", "time", "class", "host"];
    let bad =
        RecordBatch::try_from_iter_with_nullable(names.into_iter().zip(columns).map(|(n, c)| (n, c, true))).unwrap();
    assert_eq!(encoder().encode(&bad).unwrap_err(), EncodeError::Null { column: "time".to_owned(), row: 1 });
}

#[test]
fn the_process_table_encodes() {
    let lens = builtin::process();
    let rows: Vec<Row> = ordinary(100..101, 300, 1);
    let encoded = Encoder::new(&lens, &testing::key()).encode(&process(&rows)).unwrap();
    let field = |name: &str| lens.fields().iter().position(|f| f.name == name).unwrap();
    for (i, row) in rows.iter().enumerate() {
        assert_eq!(encoded.fields[field("exe")].value(i), row.exe.as_deref().map(|e| e.replace('3', "N")).as_deref());
        assert_eq!(encoded.fields[field("argument_count")].value(i), row.args.as_ref().map(|_| "3"));
        assert_eq!(encoded.units[0].codes[i] == NO_UNIT, row.root.is_none());
        let class = lens.classes().iter().position(|c| *c == row.activity).unwrap();
        assert_eq!(usize::from(encoded.class[i]), class);
    }
}

#[test]
fn built_in_lenses_are_valid_and_the_digest_is_of_the_meaning() {
    assert!(builtin::all().iter().map(|l| l.views().len()).sum::<usize>() >= 8);
    assert_eq!(builtin::for_table("connection").unwrap().table(), "connection");
    assert!(builtin::for_table("nothing").is_none());
    let spaced = Lens::parse(&LENS.replace(" = ", "=")).unwrap();
    assert_eq!(spaced.digest(), Lens::parse(LENS).unwrap().digest(), "the digest is of the meaning");
    assert_ne!(spaced.digest(), Lens::parse(&LENS.replace("[[\"b\"], []]", "[]")).unwrap().digest());
    assert_eq!(spaced.columns(), ["time", "class", "host", "a", "b"]);
}

proptest! {
    #[test]
    fn random_columns_never_panic(
        texts in proptest::collection::vec(proptest::option::of(".{0,12}"), 1..40),
        numbers in proptest::collection::vec(proptest::option::of(any::<i64>()), 40),
        to in 0usize..6,
    ) {
        use arrow_schema::DataType::*;
        let types = [Utf8, LargeUtf8, Utf8View, Dictionary(Int16.into(), Utf8.into()), Dictionary(UInt32.into(), LargeUtf8.into()), Binary];
        let a: ArrayRef = Arc::new(StringArray::from_iter(&texts));
        let a = cast(&a, &types[to]).unwrap();
        let b: ArrayRef = Arc::new(Int64Array::from(numbers[..texts.len()].to_vec()));
        match encoder().encode(&batch(Arc::clone(&a), b)) {
            Ok(encoded) => {
                prop_assert!(encoded.is_consistent(2));
                for (row, text) in texts.iter().enumerate() {
                    prop_assert_eq!(encoded.fields[0].value(row), text.as_deref());
                }
            }
            Err(error) => prop_assert!(to == 5, "{}", error),
        }
    }
}
