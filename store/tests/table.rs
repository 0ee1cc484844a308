//! Reading tables that other programs wrote: equal rows in every format, and damage that ends in one clear line.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::builder::{ListBuilder, StringBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::TimestampNanosecondType;
use arrow_array::{Array, ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, StructArray};
use arrow_cast::display::array_value_to_string;
use arrow_schema::{DataType, Field, Fields, Schema};
use ebbline_store::{Form, Format, PassedOver, Search, StoreError, TableFile, Wanted, discover_tables};
use parquet::arrow::ArrowWriter;
use proptest::prelude::*;
use std::io::Write as _;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }
}

fn column(name: &str, form: Form) -> Wanted {
    Wanted { column: name.to_owned(), form, required: form == Form::Time }
}

fn wanted() -> Vec<Wanted> {
    vec![
        column("time", Form::Time),
        column("peer.address", Form::Text),
        column("bytes", Form::Text),
        column("words", Form::Words),
    ]
}

/// Every row of a file in words, a null as `-`.
fn read(path: &std::path::Path, wanted: &[Wanted]) -> Result<Vec<String>, StoreError> {
    let mut rows = Vec::new();
    for batch in TableFile::open(path)?.batches(wanted, 3)? {
        rows.extend(in_words(&batch?));
    }
    Ok(rows)
}

fn in_words(batch: &RecordBatch) -> Vec<String> {
    let cell = |array: &ArrayRef, row: usize| match array.data_type() {
        _ if array.is_null(row) => "-".to_owned(),
        DataType::Timestamp(..) => array.as_primitive::<TimestampNanosecondType>().value(row).to_string(),
        _ => array_value_to_string(array, row).unwrap(),
    };
    let row = |row: usize| batch.columns().iter().map(|array| cell(array, row)).collect::<Vec<_>>().join(" ");
    (0..batch.num_rows()).map(row).collect()
}

fn error(name: &str, content: impl AsRef<[u8]>) -> String {
    let folder = Folder::new();
    let error = read(&folder.file(name, content), &wanted()).unwrap_err().to_string();
    assert!(!error.contains('\n') && error.contains(name), "{error}");
    error
}

const JSON: &str = r#"{"time":"2026-11-21T14:03:07.5Z","peer":{"address":"10.0.0.1","other":[1,{"a":2}]},"bytes":7,"words":["a","b c"]}

{"peer.address":"10.0.0.2","time":1795269788.25,"bytes":null,"ignored":{"deep":[[[]]]}}
{"time":1795269789000,"peer":{"address":""},"bytes":"0.5","words":[]}
{"time":"1795269790","peer":null,"words":["z"]}
"#;

const ROWS: [&str; 4] = [
    "1795269787500000000 10.0.0.1 7 [a, b c]",
    "1795269788250000000 10.0.0.2 - -",
    "1795269789000000000 - 0.5 -",
    "1795269790000000000 - - [z]",
];

fn parquet() -> Vec<u8> {
    let times =
        StringArray::from(vec!["2026-11-21 14:03:07.500", "1795269788.25", "2026-11-21T14:03:09Z", "1795269790"]);
    let address: ArrayRef =
        Arc::new(StringArray::from(vec![Some("10.0.0.1"), Some("10.0.0.2"), Some(""), Some("hidden")]));
    let inside = Fields::from(vec![Field::new("address", DataType::Utf8, true)]);
    let peers = StructArray::new(inside, vec![address], Some(vec![true, true, true, false].into()));
    let bytes = StringArray::from(vec![Some("7"), None, Some("0.5"), None]);
    let mut words = ListBuilder::new(StringBuilder::new());
    words.append_value([Some("a"), Some("b c")]);
    words.append_null();
    words.append_null();
    words.append_value([Some("z")]);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("time", Arc::new(times)),
        ("peer", Arc::new(peers)),
        ("bytes", Arc::new(bytes)),
        ("words", Arc::new(words.finish())),
        ("unread", Arc::new(Int64Array::from(vec![1, 2, 3, 4]))),
    ];
    parquet_of(columns)
}

fn parquet_of(columns: Vec<(&str, ArrayRef)>) -> Vec<u8> {
    let fields: Vec<Field> = columns.iter().map(|(name, c)| Field::new(*name, c.data_type().clone(), true)).collect();
    let batch =
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.into_iter().map(|c| c.1).collect()).unwrap();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}

fn gzip(text: &str) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(text.as_bytes()).unwrap();
    packed.finish().unwrap()
}

#[test]
fn equal_rows_are_equal_in_every_format() {
    let folder = Folder::new();
    let zstd = zstd::encode_all(JSON.as_bytes(), 1).unwrap();
    for (name, content, format) in [
        ("rows.jsonl", JSON.as_bytes().to_vec(), Format::JsonLines),
        ("bom.json", [b"\xEF\xBB\xBF", JSON.as_bytes()].concat(), Format::JsonLines),
        ("rows.ndjson.gz", gzip(JSON), Format::JsonLines),
        ("rows.jsonl.zst", zstd, Format::JsonLines),
        ("named.log", JSON.as_bytes().to_vec(), Format::JsonLines),
        ("rows.parquet", parquet(), Format::Parquet),
    ] {
        let path = folder.file(name, content);
        assert_eq!(read(&path, &wanted()).unwrap(), ROWS, "{name}");
        let file = TableFile::open(&path).unwrap();
        assert_eq!(file.format(), format, "{name}");
        assert!(file.columns().contains("peer.address") && !file.columns().contains("peer"), "{name}");
        assert!(file.has("time") && !file.has("peer.port"), "{name}");
        let picked = in_words(&file.read_rows(&wanted(), &[1, 3]).unwrap());
        assert_eq!(picked, [ROWS[1], ROWS[3]], "{name}");
        let beyond = file.read_rows(&wanted(), &[0, 4]).unwrap_err().to_string();
        assert!(beyond.contains("row 4"), "{name}: {beyond}");
    }
    // Lists have no place in CSV: one text instead.
    let csv = "words,peer.address,time,bytes\n\"a \"\"b, c\"\"\",10.0.0.1,2026-11-21 14:03:07.5,7\r\n\n,10.0.0.2,1795269788.25,\n";
    let rows = ["1795269787500000000 10.0.0.1 7 a \"b, c\"", "1795269788250000000 10.0.0.2 - -"];
    for (name, content) in [("rows.csv", csv.into()), ("rows.csv.gz", gzip(csv))] {
        let content: Vec<u8> = content;
        assert_eq!(read(&folder.file(name, content), &wanted()).unwrap(), rows, "{name}");
    }
    let found: Vec<String> = discover_tables(&[folder.0.path()]).unwrap().into_iter().map(|s| s.relative).collect();
    assert_eq!(found.len(), 8, "{found:?}");
}

#[test]
fn zeeks_own_format_says_what_is_unset() {
    let log = "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\tx\n#fields\ttime\tpeer.address\tbytes\twords\n\
               #types\ttime\taddr\tcount\tvector[string]\n1795269787.500000\t10.0.0.1\t7\ta,b c\n1795269788.250000\t10.0.0.2\t-\t(empty)\n#close\tx\n";
    let folder = Folder::new();
    let path = folder.file("conn.log", log);
    assert_eq!(read(&path, &wanted()).unwrap(), [ROWS[0], ROWS[1]]);
    assert_eq!(TableFile::open(&path).unwrap().format(), Format::Zeek);
    let truth = log.replace("count", "bool").replace("\t7\t", "\tT\t");
    assert!(read(&folder.file("truth.log", truth), &wanted()).unwrap()[0].contains(" true "));
    assert!(error("short.log", log.replace("\t7\ta,b c", "")).contains("line 8: 2 fields, the head has 4"));
    assert!(error("headless.log", "#fields\ttime\nx\n").contains("line 2: the head"));
    let fewer = error("fewer.log", format!("{log}#fields\ttime\n1795269789.0\n"));
    assert!(fewer.contains("peer.address") && !fewer.contains("gave up"), "a second head with fewer fields: {fewer}");
}

#[test]
fn what_cannot_be_read_is_named_with_its_line() {
    let line = |text: &str| format!("{{\"time\":1,\"bytes\":1}}\n{text}\n");
    for (text, expected) in [
        ("{\"time\":\"soon\"}", "line 2: column time: \"soon\" is no time"),
        ("{\"bytes\":2}", "line 2: column time: no time"),
        ("{\"time\":2,\"bytes\":{\"in\":3}}", "column bytes: an object where a value is wanted"),
        ("[{\"time\":2}]", "line 2: an array"),
        ("{\"time\":2", "line 2: byte 9: EOF"),
        ("{\"time\":2}{}", "line 2: byte 11: trailing"),
        ("2", "line 2: byte 1: invalid type"),
        ("\u{0}\u{1}", "line 2: byte 1: expected value"),
    ] {
        let error = error("rows.jsonl", line(text));
        assert!(error.contains(expected), "{text:?}: {error}");
    }
    let mixed = "{\"time\":1,\"words\":[\"a\"]}\n{\"time\":2,\"words\":\"b\"}\n";
    assert!(error("mixed.jsonl", mixed).contains("line 2: column words: a text where the rows before have a list"));
    let mixed = "{\"time\":1,\"words\":\"b\"}\n{\"time\":2,\"words\":[\"a\"]}\n";
    assert!(error("mixed.jsonl", mixed).contains("line 2: column words: a list where the rows before have a text"));
    let bytes = [b"{\"time\":1,\"bytes\":\"".as_slice(), b"\xFF\xFE\"}\n"].concat();
    assert!(error("bytes.jsonl", bytes).contains("line 1"));
    let deep = format!("{{\"time\":1,\"x\":{}{}}}\n", "[".repeat(100_000), "]".repeat(100_000));
    assert!(error("deep.jsonl", deep).contains("recursion limit"));
    let long = format!("{{\"time\":1,\"bytes\":\"{}\"}}\n", "x".repeat(10 << 20));
    assert!(error("long.jsonl", long).contains("line 1: longer than 4 MiB"));

    let head = "time,peer.address,bytes,words\n";
    let csv = |rows: &str| error("rows.csv", format!("{head}{rows}"));
    assert!(csv("1,a,2,b\n1,a,2\n").contains("line 3: 3 fields, the header has 4"));
    assert!(csv("1,a,2,b\nnever,a,2,b\n").contains("line 3: column time: \"never\" is no time"));
    assert!(csv(&format!("1,\"{}", "x,\n".repeat(4 << 20))).contains("line 2: longer than 4 MiB"));
    assert!(error("twice.csv", format!("time,{head}")).contains("two columns named time"));
    assert!(error("lacks.csv", "time,bytes,words\n").contains("missing column"));
    assert!(error("wide.csv", ",".repeat(5_000)).contains("more than 4096 columns"));
    assert!(error("utf8.csv", [head.as_bytes(), b"1,\xFF,2,b\n"].concat()).contains("column peer.address: not UTF-8"));
    assert!(error("prose.log", "It was a dark night.\n").contains("unknown format: "));
    assert!(error("prose.log", "time,a\n1,b\n").contains(".csv"), "it says how tables are called");
    assert!(error("rows.jsonl.xz", b"\xFD7zXZ\0\0\x04").contains("packed with xz, only gzip and zstd are read"));
    assert!(error("rows.csv.bz2", b"BZh91AY").contains("packed with bzip2"));
    assert!(error("empty.parquet", "").contains("it is empty"));
    let cut = gzip(&JSON.repeat(99));
    assert!(error("cut.jsonl.gz", &cut[..cut.len() / 2]).contains("damaged file"));

    let times: ArrayRef = Arc::new(StringArray::from(vec!["2026-11-21", "later"]));
    let other: ArrayRef = Arc::new(Float64Array::from(vec![1.0, 2.0]));
    let rows = ["time", "peer.address", "bytes", "words"]
        .map(|name| (name, if name == "time" { times.clone() } else { other.clone() }));
    let late = error("late.parquet", parquet_of(rows.to_vec()));
    assert!(late.contains("row 1: column time: \"later\" is no time"), "{late}");
}

#[test]
fn a_quote_that_is_not_closed_is_named_where_it_begins() {
    let head = "time,peer.address,bytes,words\n";
    let rows = |n: usize| "1,\"a\",2,b\n".repeat(n);
    let wrong = |text: String| error("quotes.csv", text);
    let open = format!("{head}{}2,\"c,3,d\n{}", rows(500), "3,e,4,f\n".repeat(20));
    assert!(wrong(open.clone()).contains("line 502: a quote is never closed"), "{}", wrong(open));
    assert!(wrong(format!("{head}{}\"two\nlines\",a,\"", rows(1))).contains("line 4: a quote is never closed"));
    assert!(wrong("time,\"bytes\n1,2\n".into()).contains("line 1: a quote is never closed"));
    // The next quote would close it: the rows between would be one text.
    let swallowed = format!("{head}1,a,2,\"b\n3,c,4,d\n5,f,6,\"g\"\n{}", rows(2));
    assert!(wrong(swallowed).contains("line 2: a quote is not closed before another in line 4"));
    let long = format!("{head}1,\"{}", "x,\n".repeat(4 << 20));
    assert!(wrong(long).contains("line 2: longer than 4 MiB, in a quote that is not closed"));

    let folder = Folder::new();
    let good = "time,bytes\r\n1,\"\"\r\n2,\"a \"\"b\"\"\nc\"\r\n3,d\"e\n4,\"f\"g";
    let wanted = [column("time", Form::Time), column("bytes", Form::Text)];
    let texts = read(&folder.file("good.csv", good), &wanted).unwrap();
    let texts: Vec<&str> = texts.iter().map(|row| row.split_once(' ').unwrap().1).collect();
    assert_eq!(texts, ["-", "a \"b\"\nc", "d\"e", "fg"]);
}

#[test]
fn lines_count_as_in_an_editor() {
    let head = "time,peer.address,bytes,words";
    for end in ["\n", "\r\n"] {
        for blank in 0..3 {
            let rows = format!("{head}{end}{}1,\"a{end}b\",2,c{end}{end}1,2{end}", end.repeat(blank));
            let line = format!("line {}: 2 fields", blank + 5);
            assert!(error("rows.csv", &rows).contains(&line), "{line}: {}", error("rows.csv", &rows));
            let begins = format!("{}{head}{end}never,a,b,c{end}", end.repeat(blank));
            assert!(error("rows.csv", &begins).contains(&format!("line {}: column time", blank + 2)));
        }
    }
}

#[test]
fn semicolons_and_tabs_are_seen_where_the_header_has_no_comma() {
    let folder = Folder::new();
    let wanted = [column("time", Form::Time), column("bytes", Form::Text)];
    for (name, content, text) in [
        ("semicolons.csv", "time;\"a, b\";bytes\n1;x;2,5\n", "2,5"),
        ("tabs.csv", "\n\ntime\tbytes;\tother\tbytes\n1\t2\t3\t4\n", "4"),
        ("commas.csv", "time,bytes,a;b;c;d\n1,2;3,4\n", "2;3"),
        ("tabs.tsv", "time\tbytes,a;b\tbytes\n1\tx\t2;3\n", "2;3"),
    ] {
        let packed = folder.file(&format!("{name}.gz"), gzip(content));
        for path in [folder.file(name, content), packed] {
            assert_eq!(read(&path, &wanted).unwrap(), [format!("1000000000 {text}")], "{name}");
        }
    }
    let one = folder.file("one.csv", "time\n1\n");
    assert_eq!(read(&one, &wanted[..1]).unwrap(), ["1000000000"], "one column has nothing between");
}

#[test]
fn a_file_without_rows_has_none_and_is_not_damaged() {
    let folder = Folder::new();
    for name in ["x.csv", "x.csv.gz", "x.tsv", "x.jsonl", "x.log", "x.log.1.gz", "x.txt"] {
        let content = if name.ends_with(".gz") { gzip("") } else { Vec::new() };
        let path = folder.file(name, content);
        assert!(TableFile::open(&path).unwrap().is_blank(), "{name}");
        assert_eq!(read(&path, &wanted()).unwrap(), Vec::<String>::new(), "{name}");
    }
    let head = folder.file("head.csv", "time,peer.address,bytes,words\n");
    assert!(!TableFile::open(&head).unwrap().is_blank(), "it says of which table it is");
    assert_eq!(read(&head, &wanted()).unwrap(), Vec::<String>::new());
}

#[test]
fn rotated_names_are_taken_and_what_is_not_is_counted() {
    let folder = Folder::new();
    let line = "{\"time\":1}\n";
    let taken = [
        "audit.log",
        "audit.log-2026-11-14",
        "audit.log-20261114.gz",
        "audit.log.1",
        "audit.log.2.gz",
        "rows.csv.3",
        "rows.jsonl-1795269787",
    ];
    for name in taken {
        let text = if name.contains("csv") { "time\n1\n" } else { line };
        folder.file(name, if name.ends_with(".gz") { gzip(text) } else { text.into() });
    }
    for name in ["audit.log.xz", "audit.log.old", "audit.log.1a", "audit.log-", "notes", "x.parquet.1"] {
        folder.file(name, line);
    }
    for name in [".hidden", "x.tmp", "0001.journal", "lens.toml", "normal.baseline"] {
        folder.file(name, line);
    }
    let passed = PassedOver::default();
    let search = Search { tables: true, passed_over: Some(&passed), ..Search::default() };
    let found = search.run(&[folder.0.path()]).unwrap();
    assert_eq!(found.iter().map(|source| source.relative.as_str()).collect::<Vec<_>>(), taken);
    for source in &found {
        let rows: Vec<_> = TableFile::open(&source.path).unwrap().batches(&wanted()[..1], 9).unwrap().collect();
        assert_eq!(rows.len(), 1, "{}", source.relative);
    }
    let words = passed.words().unwrap();
    assert!(
        words.starts_with("passed over 6 files by their names, the first ") && words.contains("audit.log-;"),
        "{words}"
    );
    let nothing = PassedOver::default();
    Search { passed_over: Some(&nothing), ..Search::default() }.run(&[folder.0.path()]).unwrap_err();
    assert_eq!(nothing.words(), None, "where only Ebbline's own tables are looked for, text is none of them");
}

#[test]
fn columns_are_looked_for_by_name_and_then_by_path() {
    let folder = Folder::new();
    let rows = r#"{"time":1,"a.b":"name","a":{"b":"path"},"l":[{"x":1},{"x":[2,"3"]},{"y":4}],"t":true,"f":0.5,"n":-3}
{"time":2,"a":{"b":"path"},"a.b":"name","l":{"x":5}}
{"time":3,"a":{"b":"path","c.d":{"e":"mixed"}},"l":[]}
"#;
    let names = ["a.b", "a.c.d.e", "l.x", "t", "f", "n"];
    let wanted: Vec<Wanted> = names.iter().map(|name| column(name, Form::Text)).collect();
    let path = folder.file("paths.jsonl", rows);
    let expected = ["name - 1,2,3 true 0.5 -3", "name - 5 - - -", "path mixed - - - -"];
    assert_eq!(read(&path, &wanted).unwrap(), expected);
}

#[test]
fn a_batch_is_bounded_in_bytes_too() {
    let folder = Folder::new();
    let long = "x".repeat(1 << 20);
    let rows: String = (0..80).map(|row| format!("{{\"time\":{row},\"bytes\":\"{long}\"}}\n")).collect();
    let path = folder.file("long.jsonl", rows);
    let wanted = [column("time", Form::Time), column("bytes", Form::Text)];
    let batches = TableFile::open(&path).unwrap().batches(&wanted, 65_536).unwrap();
    let sizes: Vec<usize> = batches.map(|batch| batch.unwrap().num_rows()).collect();
    assert_eq!((sizes.iter().sum::<usize>(), sizes.len()), (80, 3), "{sizes:?}");
}

fn csv_of(rows: &[(i64, String, String)]) -> String {
    let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    rows.iter().fold("time,bytes,peer.address\n".to_owned(), |mut out, (time, a, b)| {
        let _ = writeln!(out, "{time},{},{}", quoted(a), quoted(b));
        out
    })
}

fn json_of(rows: &[(i64, String, String)]) -> String {
    let row = |(time, a, b): &(i64, String, String)| {
        format!("{}\n", serde_json::json!({ "time": time, "bytes": a, "peer": { "address": b } }))
    };
    rows.iter().map(row).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn whatever_texts_hold_csv_and_json_agree(rows in prop::collection::vec((0i64..1 << 33, ".{0,12}", ".{0,12}"), 1..20)) {
        let folder = Folder::new();
        let wanted = [column("time", Form::Time), column("bytes", Form::Text), column("peer.address", Form::Text)];
        let csv = read(&folder.file("rows.csv", csv_of(&rows)), &wanted).unwrap();
        let json = read(&folder.file("rows.jsonl", json_of(&rows)), &wanted).unwrap();
        prop_assert_eq!(csv.len(), rows.len());
        prop_assert_eq!(csv, json);
    }

    #[test]
    fn no_bytes_panic_or_pass_for_more_rows(
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
        which in 0usize..5,
    ) {
        let csv = "words,peer.address,time,bytes\n\"a, b\",10.0.0.1,1,7\n,10.0.0.2,2,\n";
        let zeek = "#separator \\x09\n#fields\ttime\tpeer.address\tbytes\twords\n#types\ttime\taddr\tcount\tset[string]\n1\ta\t2\tb\n";
        let (name, mut content) = match which {
            0 => ("x.jsonl", JSON.as_bytes().to_vec()),
            1 => ("x.csv", csv.as_bytes().to_vec()),
            2 => ("x.log", zeek.as_bytes().to_vec()),
            3 => ("x.jsonl.gz", gzip(JSON)),
            _ => ("x.csv.zst", zstd::encode_all(csv.as_bytes(), 1).unwrap()),
        };
        for (at, byte) in flips {
            let at = at.index(content.len());
            content[at] ^= byte;
        }
        content.truncate(cut.index(content.len() + 1));
        let folder = Folder::new();
        match read(&folder.file(name, content), &wanted()) {
            Ok(rows) => prop_assert!(rows.len() <= 64),
            Err(error) => prop_assert!(!error.to_string().contains('\n') && !error.to_string().contains("gave up")),
        }
    }
}
