//! Who is who: one person's ids count as one, in every table, and a baseline keeps the mapping that it learned with.

use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, StringArray, TimestampSecondArray, UInt32Array};
use ebbline_model::ops::{OpsError, merge};
use ebbline_model::{Baseline, Encoder, Entities, LearnError, Lens, RowSource, learn, testing};

const WHO: &str = "[entity.ada]\nuser = [\"1000@web1\", \"1007\"]\nmail = [\"Ada@example.com\"]\n";

const LOGINS: &str = r#"table = "logins"
time = "time"
[scopes]
host = "host"
[fields]
who = { column = "uid", kind = "user", part = "entity" }
way = { column = "way", kind = "id" }
[[views]]
name = "way given who"
child = ["way"]
context = [["who"], []]
[[units]]
kind = "person"
key = ["who"]
window = "1h"
"#;

fn mails() -> Lens {
    let toml = LOGINS
        .replace("logins", "mails")
        .replace("\"uid\"", "\"sender\"")
        .replace("part = \"entity\"", "part = \"entity\", ids = \"mail\"");
    Lens::parse(&toml).unwrap()
}

fn logins() -> Lens {
    Lens::parse(LOGINS).unwrap()
}

fn who() -> Arc<Entities> {
    Arc::new(Entities::parse(WHO).unwrap())
}

fn batch(column: &str, ids: ArrayRef, hosts: &[&str]) -> RecordBatch {
    let rows = ids.len();
    let time: ArrayRef = Arc::new(TimestampSecondArray::from_iter_values((0..rows).map(|i| i as i64)));
    let way: ArrayRef = Arc::new(StringArray::from_iter_values((0..rows).map(|_| "key")));
    let hosts: ArrayRef = Arc::new(StringArray::from_iter_values(hosts));
    RecordBatch::try_from_iter([("time", time), ("host", hosts), (column, ids), ("way", way)]).unwrap()
}

fn login_rows() -> RecordBatch {
    let ids = UInt32Array::from(vec![Some(1000), Some(1000), Some(1007), None, Some(5)]);
    batch("uid", Arc::new(ids), &["web1", "web2", "web2", "web1", "web1"])
}

struct Rows(RecordBatch, &'static str);

impl RowSource for Rows {
    fn tables(&self) -> Vec<String> {
        vec![self.1.to_owned()]
    }

    fn for_each(&self, _: &str, f: &mut dyn FnMut(&RecordBatch) -> Result<(), LearnError>) -> Result<(), LearnError> {
        f(&self.0)
    }
}

fn learned(lens: Lens, rows: RecordBatch, table: &'static str) -> Baseline {
    learn(&[lens], testing::key(), &Rows(rows, table), &|_, _| {}).unwrap()
}

#[test]
fn ids_become_names_and_rows_of_two_tables_are_of_one_unit() {
    let lens = logins().with_entities(&who());
    let encoded = Encoder::new(&lens, &testing::key()).encode(&login_rows()).unwrap();
    assert!(encoded.is_consistent(2));
    let at = lens.fields().iter().position(|f| f.name == "who").unwrap();
    let seen: Vec<Option<&str>> = (0..5).map(|row| encoded.fields[at].value(row)).collect();
    assert_eq!(seen, [Some("ada"), Some("1000"), Some("ada"), None, Some("5")]);
    assert_eq!(encoded.fields[at].hash(0), testing::key().value(Some("ada")));
    let unit = |encoded: &ebbline_model::EncodedBatch, row: usize| {
        encoded.units[0].keys.get(encoded.units[0].codes[row] as usize).cloned()
    };
    assert_eq!(
        [unit(&encoded, 0), unit(&encoded, 2), unit(&encoded, 3)],
        [Some("ada".into()), Some("ada".into()), None]
    );
    let sender = StringArray::from(vec!["ADA@example.com", "eve@example.com"]);
    let mail = batch("sender", Arc::new(sender), &["mx", "mx"]);
    let encoded = Encoder::new(&mails().with_entities(&who()), &testing::key()).encode(&mail).unwrap();
    assert_eq!([unit(&encoded, 0), unit(&encoded, 1)], [Some("ada".into()), Some("eve@example.com".into())]);
}

#[test]
fn the_mapping_is_part_of_a_lens_that_asks_and_of_no_other() {
    let plain = logins();
    let mapped = plain.clone().with_entities(&who());
    assert_ne!(plain.digest(), mapped.digest());
    assert_eq!(mapped.digest(), mapped.clone().with_entities(&who()).digest(), "once");
    assert_eq!(plain.digest(), plain.clone().with_entities(&Arc::default()).digest(), "an empty one says nothing");
    let other = Lens::parse(&LOGINS.replace(", part = \"entity\"", "")).unwrap();
    assert_eq!(other.digest(), other.clone().with_entities(&who()).digest());
    let ids = Encoder::new(&plain, &testing::key()).encode(&login_rows()).unwrap();
    let at = plain.fields().iter().position(|f| f.name == "who").unwrap();
    assert_eq!(ids.fields[at].value(0), Some("1000"), "without a mapping ids stay as they are");
}

#[test]
fn a_baseline_keeps_its_mapping_and_joins_with_no_other() {
    let baseline = learned(logins().with_entities(&who()), login_rows(), "logins");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.baseline");
    baseline.save(&path).unwrap();
    let loaded = Baseline::load(&path).unwrap();
    assert_eq!((loaded.id(), loaded.entities()), (baseline.id(), Some(&who())));
    assert_eq!(loaded.lens("logins").unwrap().digest(), baseline.lens("logins").unwrap().digest());
    assert_eq!(loaded.lens("logins").unwrap().entities(), Some(&who()));
    // A byte of a name, changed: its checksum tells.
    let bytes = std::fs::read(&path).unwrap();
    let at = bytes.windows(7).position(|w| w == b"ada@exa").unwrap();
    let mut damaged = bytes.clone();
    damaged[at] = b'b';
    let why = Baseline::decode(&damaged, Path::new("x")).unwrap_err().to_string();
    assert!(why.contains("entities: checksum"), "{why}");
    let plain = learned(logins(), login_rows(), "logins");
    assert_eq!(plain.entities(), None);
    assert!(matches!(merge(vec![baseline.clone(), plain]), Err(OpsError::OtherLens { .. })));
    let others = Arc::new(Entities::parse(&WHO.replace("ada", "eve")).unwrap());
    let sender: ArrayRef = Arc::new(StringArray::from(vec!["Ada@example.com"]));
    let mail =
        |who: &Arc<Entities>| learned(mails().with_entities(who), batch("sender", sender.clone(), &["mx"]), "mails");
    assert!(matches!(merge(vec![baseline.clone(), mail(&others)]), Err(OpsError::OtherEntities { .. })));
    let joined = merge(vec![baseline, mail(&who())]).unwrap();
    assert_eq!((joined.entities(), joined.snapshots().len()), (Some(&who()), 2));
}

#[test]
fn mistakes_are_placed() {
    let wrong = |from: &str, to: &str| Lens::parse(&LOGINS.replace(from, to)).unwrap_err().to_string();
    assert_eq!(
        wrong("part = \"entity\"", "ids = \"mail\""),
        "lens: line 6, column 46: `ids` goes with `kind = \"user\"` and `part = \"entity\"`"
    );
    let of = "way = { column = \"way\", kind = \"id\", of = \"who\" }";
    let got = wrong("way = { column = \"way\", kind = \"id\" }", of);
    assert_eq!(got, "lens: line 7, column 43: field \"who\" is an entity: name its column instead");
}
