//! Drafts of lenses, and what a lens sees in a table.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampSecondArray};
use ebbline_model::Lens;
use ebbline_model::lens_check::{Check, Sight};
use ebbline_model::lens_suggest::{DraftError, suggest};
use ebbline_model::testing::Rng;

/// Logins of seven people to two machines: from an address each, nearly always at two hours of the day.
fn logins(rows: usize) -> RecordBatch {
    let mut rng = Rng(7);
    let who: Vec<u32> = (0..rows).map(|_| rng.skewed(7)).collect();
    let texts =
        |of: &mut dyn FnMut(usize) -> String| Arc::new(StringArray::from_iter_values((0..rows).map(of))) as ArrayRef;
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("when", Arc::new(TimestampSecondArray::from_iter_values((0..rows).map(|n| n as i64 * 600)))),
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
    let toml = suggest("logins", std::slice::from_ref(&rows), &|_| false).unwrap();
    for line in [
        "table = \"logins\"\ntime = \"when\"",
        "[scopes]\nhost = \"computer\"",
        "# Whose habits: Account Name.",
        "# Left out, as they hold one value, name single things or hold times of their own: session, Image, version.",
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
fn a_table_without_times_or_anything_that_varies_has_no_draft() {
    let rows = logins(200);
    let only = |names: &[&str]| {
        let at: Vec<usize> = names.iter().map(|name| rows.schema().index_of(name).unwrap()).collect();
        suggest("t", &[rows.project(&at).unwrap()], &|_| false).unwrap_err()
    };
    assert_eq!(only(&["method", "port"]), DraftError::NoTime);
    assert_eq!(only(&["when", "version", "session"]), DraftError::Nothing);
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
    assert_eq!(sight.warnings, ["field \"image\" has one value in all rows, which says nothing"]);
}
