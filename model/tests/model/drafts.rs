//! Drafts of lenses, and what a lens sees in a table.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampSecondArray};
use ebbline_model::Lens;
use ebbline_model::lens_check::{Check, Sight};
use ebbline_model::lens_suggest::{DraftError, suggest};
use ebbline_model::testing::Rng;

/// 2026-11-21T14:00:00Z
const START: i64 = 1_795_269_600;

/// Logins of seven people to two machines: from an address each, nearly always at two hours of the day.
fn logins(rows: usize) -> RecordBatch {
    let mut rng = Rng(7);
    let who: Vec<u32> = (0..rows).map(|_| rng.skewed(7)).collect();
    let texts =
        |of: &mut dyn FnMut(usize) -> String| Arc::new(StringArray::from_iter_values((0..rows).map(of))) as ArrayRef;
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("when", Arc::new(TimestampSecondArray::from_iter_values((0..rows).map(|n| START + n as i64 * 600)))),
        ("Account Name", texts(&mut |n| format!("CORP\\user{}", who[n]))),
        ("src_ip", texts(&mut |n| format!("192.0.2.{}", who[n]))),
        ("computer", texts(&mut |n| format!("pc{}", n % 2))),
        ("method", texts(&mut |n| ["password", "key", "ticket", "card"][(who[n] % 4) as usize].to_owned())),
        ("session", texts(&mut |n| format!("{n:08x}-4f2a"))),
        ("Image", texts(&mut |n| format!("C:\\Windows\\System32\\tool{}.exe", n % 3))),
        ("port", Arc::new(Int64Array::from_iter_values((0..rows).map(|n| [22, 3389, 443][n % 3])))),
        ("size", Arc::new(Int64Array::from_iter_values((0..rows).map(|n| (n * 37 % 5_000) as i64)))),
        ("version", texts(&mut |_| "7".to_owned())),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

fn seen(toml: &str, rows: &RecordBatch) -> Sight {
    let mut check = Check::new(&Lens::parse(toml).unwrap());
    check.add(&rows.slice(0, rows.num_rows() / 2)).unwrap();
    check.add(&rows.slice(rows.num_rows() / 2, rows.num_rows() - rows.num_rows() / 2)).unwrap();
    check.finish()
}

#[test]
fn a_draft_asks_what_a_careful_reader_would_ask_and_passes_its_check() {
    let rows = logins(2_000);
    let toml = suggest("logins", std::slice::from_ref(&rows), &|_| false).unwrap().toml;
    for line in [
        "table = \"logins\"\ntime = \"when\"",
        "[scopes]\nhost = \"computer\"",
        "# Whose habits: Account Name.",
        "# Left out, as they hold one value, name single things or hold times of their own: session, Image.",
        "# One value so far: 1 value: 7 100 %\n# version = { column = \"version\", kind = \"id\" }",
        "account_name = { column = \"Account Name\", kind = \"user\" }",
        "src_ip = { column = \"src_ip\", kind = \"ip\" }",
        "port = { column = \"port\", kind = \"port\" }",
        "size = { column = \"size\", kind = \"number\" }",
        "method = { column = \"method\", kind = \"id\" }",
        "name = \"method given account_name\"\nchild = [\"method\"]\ncontext = [[\"account_name\"], []]",
        "name = \"src_ip given method\"\nchild = [\"src_ip\"]\ncontext = [[\"method\", \"account_name\"], [\"method\"], []]",
        "kind = \"account_name\"\nkey = [\"Account Name\"]\nwindow = \"1h\"",
    ] {
        assert!(toml.contains(line), "{line} is not in\n{toml}");
    }
    let sight = seen(&toml, &rows);
    assert_eq!((sight.rows, sight.warnings), (2_000, Vec::<String>::new()), "{toml}");
}

#[test]
fn a_table_without_anything_that_varies_has_no_draft_and_one_without_times_has_a_line_to_fill_in() {
    let rows = logins(200);
    let only = |names: &[&str]| {
        let at: Vec<usize> = names.iter().map(|name| rows.schema().index_of(name).unwrap()).collect();
        suggest("t", &[rows.project(&at).unwrap()], &|_| false)
    };
    let timeless = only(&["method", "port"]).unwrap();
    assert!(!timeless.has_time && timeless.toml.contains("\n# time = \"…\"\n"), "{}", timeless.toml);
    assert!(Lens::parse(&timeless.toml).is_err(), "it is to be filled in");
    Lens::parse(&timeless.toml.replace("# time = \"…\"", "time = \"when\"")).unwrap();
    assert_eq!(only(&["when", "version", "session"]), Err(DraftError::Nothing));
    assert_eq!(suggest("t", &[rows.slice(0, 0)], &|_| false), Err(DraftError::Empty));
    assert_eq!(suggest("t", &[], &|_| false), Err(DraftError::Empty));
}

#[test]
fn a_check_counts_what_the_lens_sees() {
    let rows = logins(1_000);
    let toml = "table = \"t\"\ntime = \"when\"\n[fields]\nimage = { column = \"Image\", kind = \"path\", part = \"leaf\" }\n\
                [[views]]\nname = \"v\"\nchild = [\"image\"]\ncontext = []\n";
    let sight = seen(toml, &rows);
    let field = &sight.fields[0];
    assert_eq!((field.kind.as_str(), field.found.as_str(), field.distinct, field.nulls), ("path leaf", "Utf8", 1, 0));
    assert_eq!(field.frequent, [("toolN.exe".to_owned(), 1.0)]);
    let example = ("C:\\Windows\\System32\\tool0.exe".to_owned(), "toolN.exe".to_owned());
    assert_eq!(field.example, Some(example));
    assert_eq!(
        sight.warnings,
        [
            "field \"image\" has one value in all rows, which says nothing",
            "no [[units]]: rows are scored, but nothing can be a finding",
        ]
    );
}

/// Who, and columns of numbers that may be times.
fn numbers(columns: &[(&str, &dyn Fn(i64) -> String)]) -> RecordBatch {
    let texts = |of: &dyn Fn(i64) -> String| Arc::new(StringArray::from_iter_values((0..400).map(of))) as ArrayRef;
    let user = ("user", texts(&|n| format!("u{}", n % 7)));
    RecordBatch::try_from_iter(columns.iter().map(|(name, of)| (*name, texts(*of))).chain([user])).unwrap()
}

#[test]
fn numbers_of_this_century_are_times_and_those_with_a_name_of_times_come_first() {
    let time = |columns: &[(&str, &dyn Fn(i64) -> String)]| {
        let toml = suggest("t", &[numbers(columns)], &|name| name != "user").unwrap().toml;
        let line = toml.lines().find(|line| line.starts_with("time = ") || line.starts_with("# time = ")).unwrap();
        line.rsplit('"').nth(1).unwrap().to_owned()
    };
    let second = 1_795_269_787;
    let seconds = move |n: i64| (second + n * 60).to_string();
    let bytes = |n: i64| (n * 977 % 5_000).to_string();
    for name in ["created_at", "start", "start_epoch", "epoch", "_time", "requestStart", "number"] {
        for scale in [1, 1_000, 1_000_000, 1_000_000_000] {
            let of = move |n: i64| ((second + n * 60) * scale).to_string();
            assert_eq!(time(&[("bytes", &bytes), (name, &of)]), name, "{scale}");
        }
    }
    let fractions = move |n: i64| format!("{}.25", second + n);
    assert_eq!(time(&[("bytes", &bytes), ("began", &fractions)]), "began");
    assert_eq!(
        time(&[("bytes", &bytes), ("id", &seconds), ("created_at", &seconds), ("start", &seconds)]),
        "created_at"
    );
    assert_eq!(time(&[("time", &bytes), ("start", &seconds)]), "start", "a duration is called time, too");
    assert_eq!(time(&[("time", &bytes), ("bytes", &bytes)]), "time", "counted from the beginning of the recording");
    let late = move |n: i64| if n == 399 { "4102444800".to_owned() } else { (second + n).to_string() };
    assert_eq!(time(&[("bytes", &bytes), ("start", &late)]), "…", "one value is of 2100");
    // A second column of times is none to learn.
    let toml = suggest("t", &[numbers(&[("start", &seconds), ("end", &seconds), ("bytes", &bytes)])], &|n| n != "user");
    let toml = toml.unwrap().toml;
    assert!(toml.contains("hold times of their own: end.") && toml.contains("\nbytes = {"), "{toml}");
}

#[test]
fn a_check_warns_of_what_is_not_what_the_lens_takes_it_for() {
    let columns = [("when", "20261110"), ("size", "12"), ("address", "192.0.2.1"), ("port", "443"), ("exact", "1e3")];
    let text = |good: &'static str, bad: &'static str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values((0..1_200).map(|n| if n % 1_000 == 7 { bad } else { good })))
    };
    let bad = ["", "12 KiB", "host1", "https", "0.5"];
    let mut arrays: Vec<(&str, ArrayRef)> =
        columns.iter().zip(bad).map(|((n, good), bad)| (*n, text(good, bad))).collect();
    arrays[0].1 = Arc::new(TimestampSecondArray::from(vec![20_261_110; 1_200]).with_timezone("Europe/Berlin"));
    let rows = RecordBatch::try_from_iter(arrays).unwrap();
    let toml = "table = \"t\"\ntime = \"when\"\n[fields]\nsize = { column = \"size\", kind = \"number\" }\n\
                address = { column = \"address\", kind = \"ip\" }\nport = { column = \"port\", kind = \"port\" }\n\
                exact = { column = \"exact\", kind = \"number\" }\nhour = { column = \"when\", kind = \"time\" }\n\
                [[views]]\nname = \"v\"\nchild = [\"size\"]\ncontext = []\n";
    let sight = seen(toml, &rows);
    assert_eq!(
        sight.warnings,
        [
            "times lie from 1970-08-23 to 1970-08-23: is column \"when\" the time?",
            "field \"address\" is no ip in 2 of 1,200 rows",
            "field \"hour\" has one value in all rows, which says nothing",
            "field \"port\" is no port in 2 of 1,200 rows",
            "field \"size\" is no number in 2 of 1,200 rows",
            "no [[units]]: rows are scored, but nothing can be a finding",
        ]
    );
    assert_eq!(sight.fields[2].example, Some(("1970-08-23T12:05:10Z".to_owned(), "12".to_owned())));
}
