//! Every backend agrees with an independent reference: `golden/reference.py`, written from docs/model.md alone.
//!
//! From the same rows, learning must make the same calibration tables and the backends the same scores, reasons and counts.

use arrow_array::{RecordBatch, StringArray, TimestampNanosecondArray};
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use model::compile::{Compiled, Group, Options, compile_with};
use model::explain::{ViewExplanation, explain};
use model::keys::{FLEET, Pair, absorb, context_start, scoped};
use model::learn::{LearnError, RowSource, learn};
use model::snapshot::lay_out;
use model::{Backend, Calibration, CpuBackend, EncodedBatch, HashKey, Lens, Reason, Scores, Snapshot, Stage, sketch};
use serde_json::Value;
use std::process::Command;
use std::sync::Arc;

const VECTORS: &str = include_str!("../golden/vectors.json");
const REFERENCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/golden/reference.py");

const DAY_NS: i64 = 86_400_000_000_000;
const SECOND_NS: i64 = 1_000_000_000;

fn in_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true")
}

/// Rows in the order of `columns`, each with the UTC day it happened on.
struct Rows {
    columns: Vec<String>,
    rows: Vec<(i64, Vec<Option<String>>)>,
}

impl Rows {
    /// Learned lines: day, the columns, and how often.
    fn learned(columns: &[String], lines: &Value) -> Self {
        let mut rows = Vec::new();
        for line in array(lines) {
            let line = array(line);
            let (day, values, times) = (&line[0], texts(&line[1..=columns.len()]), &line[columns.len() + 1]);
            for _ in 0..times.as_u64().unwrap() {
                rows.push((day.as_i64().unwrap(), values.clone()));
            }
        }
        Self { columns: columns.to_vec(), rows }
    }

    fn scored(columns: &[String], scores: &[Value]) -> Self {
        let rows = scores.iter().map(|score| (10, texts(array(&score["row"])))).collect();
        Self { columns: columns.to_vec(), rows }
    }

    /// All rows of a day lie in one hour, so that a host's day is one unit.
    fn batch(&self) -> RecordBatch {
        let time = |(second, row): (usize, &(i64, _))| {
            (20_000 + row.0) * DAY_NS + 36_000 * SECOND_NS + second as i64 * SECOND_NS
        };
        let times: Vec<i64> = self.rows.iter().enumerate().map(time).collect();
        let kind = DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()));
        let mut fields = vec![Field::new("time", kind, false)];
        let mut arrays: Vec<arrow_array::ArrayRef> =
            vec![Arc::new(TimestampNanosecondArray::from(times).with_timezone("UTC"))];
        for (at, name) in self.columns.iter().enumerate() {
            fields.push(Field::new(name, DataType::Utf8, true));
            arrays.push(Arc::new(StringArray::from_iter(self.rows.iter().map(|row| row.1[at].as_deref()))));
        }
        RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
    }
}

impl RowSource for Rows {
    fn tables(&self) -> Vec<String> {
        vec!["golden".to_owned()]
    }

    fn for_each(&self, _: &str, f: &mut dyn FnMut(&RecordBatch) -> Result<(), LearnError>) -> Result<(), LearnError> {
        // In two batches, so that segments are built from more than one.
        let batch = self.batch();
        let half = batch.num_rows() / 2;
        f(&batch.slice(0, half))?;
        f(&batch.slice(half, batch.num_rows() - half))
    }
}

fn array(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

fn texts(values: &[Value]) -> Vec<Option<String>> {
    values.iter().map(|value| value.as_str().map(str::to_owned)).collect()
}

fn table_agrees(place: &str, expected: &Value, got: &[u16]) {
    for (at, (expected, got)) in array(&expected["every_32nd"]).iter().zip(got.iter().step_by(32)).enumerate() {
        assert_eq!(expected, got, "{place}: entry {}", at * 32);
    }
    let sum = |sum: u32, (at, entry): (usize, &u16)| sum.wrapping_add((at as u32).wrapping_mul(u32::from(*entry)));
    let checksum = got.iter().enumerate().fold(0, sum);
    assert_eq!(expected["checksum"], checksum, "{place}: an entry between those listed");
}

fn scores_agree(place: &str, expected: &[Value], got: &Scores) {
    let rows = expected.len();
    for (row, expected) in expected.iter().enumerate() {
        let place = format!("{place}: {}", expected["row"]);
        for (view, expected) in array(&expected["views"]).iter().enumerate() {
            let expected = expected.get("surprisal").map_or(0, |s| s.as_u64().unwrap());
            assert_eq!(u64::from(got.surprisal[view * rows + row]), expected, "{place}: surprisal of view {view}");
        }
        assert_eq!(expected["bits"], got.bits[row], "{place}: bits");
        assert_eq!(expected["log2_n"], got.log2_n[row], "{place}: log2_n");
        let reasons = got.reasons[row].iter().filter(|reason| **reason != Reason::NONE);
        let reasons: Vec<[u16; 2]> = reasons.map(|reason| [reason.view, reason.bits]).collect();
        assert_eq!(expected["reasons"], serde_json::json!(reasons), "{place}: reasons");
    }
}

/// The costliest level: its context number, scope and counts.
fn levels_agree(place: &str, expected: &[Value], snapshot: &Snapshot, batch: &EncodedBatch) {
    for (row, expected) in expected.iter().enumerate() {
        for (view, got) in explain(snapshot, batch, row).iter().enumerate() {
            let expected = &expected["views"][view];
            let place = format!("{place}: row {row}, view {view}");
            assert_eq!(got.applies, !expected.is_null(), "{place}");
            if got.applies {
                assert_eq!(expected["surprisal"], got.surprisal, "{place}");
                assert_eq!(expected["level"], level(got), "{place}");
            }
        }
    }
}

fn level(view: &ViewExplanation) -> Value {
    let Some(level) = view.costliest() else {
        return Value::Null;
    };
    serde_json::json!({
        "context": level.number,
        "scope": level.scope.name(),
        "n": level.seen, "N": level.total, "T": level.kinds,
    })
}

/// Checks one set of vectors on the CPU and on the given adapters.
fn check(lens: &Lens, columns: &[String], set: &Value, adapters: &[scorer_gpu::AdapterInfo]) {
    let name = set["name"].as_str().unwrap();
    let key = HashKey(std::array::from_fn(|byte| 200 - byte as u8));
    let source = Rows::learned(columns, &set["learn"]);
    let baseline = learn(std::slice::from_ref(lens), key.clone(), &source, &|_, _| {}).unwrap();
    let snapshot = baseline.snapshot("golden").unwrap();
    let settled = &snapshot.calibration;
    let learning = snapshot.learning.as_ref().unwrap_or(settled);
    for (stage, of, got) in [
        (Stage::New, "new", snapshot.newcomers.as_ref()),
        (Stage::Learning, "learning", Some(learning)),
        (Stage::Settled, "settled", Some(settled)),
    ] {
        let (expected, place) = (&set["calibrations"][of], format!("{name}: {of}"));
        let judged = baseline.judges("host_hour", stage);
        assert_eq!((expected.is_null(), expected.is_null()), (got.is_none(), !judged), "{place}");
        let Some(got) = got else { continue };
        for (view, expected) in array(&expected["views"]).iter().enumerate() {
            table_agrees(&format!("{place}: table of view {view}"), expected, &got.views[view]);
        }
        table_agrees(&format!("{place}: table of rows"), &expected["rows"], &got.rows);
        let units = baseline.unit_calibration_of("host_hour", stage).unwrap();
        table_agrees(&format!("{place}: table of units"), &expected["units"], units);
    }

    let expected = array(&set["scores"]);
    let batch = Rows::scored(columns, expected).batch();
    let batch = model::Encoder::new(lens, &key).encode(&batch).unwrap();
    levels_agree(name, expected, &snapshot, &batch);
    for backend in &mut backends(&snapshot, adapters) {
        let mut scores = Scores::default();
        backend.score(&batch, &mut scores).unwrap();
        scores_agree(&format!("{name}: {}", backend.device()), expected, &scores);
    }
}

#[test]
fn every_backend_agrees_with_the_reference() {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    let lens = Lens::parse(vectors["lens"].as_str().unwrap()).unwrap();
    let columns: Vec<String> = texts(array(&vectors["columns"])).into_iter().flatten().collect();
    let adapters = scorer_gpu::adapters();
    assert!(!adapters.is_empty() || !in_ci(), "no Vulkan adapter found: install mesa-vulkan-drivers and libvulkan1");
    for set in array(&vectors["sets"]) {
        check(&lens, &columns, set, &adapters);
    }
    println!("cpu and {} Vulkan adapters agree with the reference", adapters.len());
}

/// Checks surprisals and levels of what is compiled with options.
fn check_compiled(lens: &Lens, columns: &[String], set: &Value, adapters: &[scorer_gpu::AdapterInfo]) {
    let name = set["name"].as_str().unwrap();
    let key = HashKey(std::array::from_fn(|byte| 200 - byte as u8));
    let source = Rows::learned(columns, &set["learn"]);
    let learned = learn(std::slice::from_ref(lens), key.clone(), &source, &|_, _| {}).unwrap();
    let group = |(host, name): (&String, &Value)| {
        (host.clone(), Group { name: name.as_str().unwrap().to_owned(), why: String::new() })
    };
    let options = Options {
        as_of: set["as_of"].as_i64().map(|day| 20_000 + day as i32),
        half_life_days: set["half_life"].as_u64().map(|days| days as u32),
        groups: set["groups"].as_object().unwrap().iter().map(group).collect(),
        ..Options::default()
    };
    let compiled = compile_with(&key, learned.segments(), &options);
    let identity = Calibration::identity(lens.views().len());
    let snapshot = Arc::new(Snapshot::of(lens.clone(), &key, compiled, identity).unwrap());
    let expected = array(&set["scores"]);
    let batch = Rows::scored(columns, expected).batch();
    let batch = model::Encoder::new(lens, &key).encode(&batch).unwrap();
    levels_agree(name, expected, &snapshot, &batch);
    for backend in &mut backends(&snapshot, adapters) {
        let mut scores = Scores::default();
        backend.score(&batch, &mut scores).unwrap();
        for (at, score) in scores.surprisal.iter().enumerate() {
            let (view, row) = (at / expected.len(), at % expected.len());
            let want = expected[row]["views"][view].get("surprisal").map_or(0, |s| s.as_u64().unwrap());
            let place = format!("{name}: {}: {}, view {view}", backend.device(), expected[row]["row"]);
            assert_eq!(u64::from(*score), want, "{place}");
        }
    }
}

fn backends(snapshot: &Arc<Snapshot>, adapters: &[scorer_gpu::AdapterInfo]) -> Vec<Box<dyn Backend>> {
    let mut backends: Vec<Box<dyn Backend>> = vec![Box::new(CpuBackend::new(Arc::clone(snapshot)))];
    for adapter in adapters {
        backends.push(Box::new(scorer_gpu::open_adapter(&adapter.name, snapshot).unwrap()));
    }
    backends
}

#[test]
fn groups_and_decay_agree_with_the_reference() {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    let lens = Lens::parse(vectors["lens"].as_str().unwrap()).unwrap();
    let columns: Vec<String> = texts(array(&vectors["columns"])).into_iter().flatten().collect();
    let adapters = scorer_gpu::adapters();
    for set in array(&vectors["compiled"]) {
        check_compiled(&lens, &columns, set, &adapters);
    }
    for line in array(&vectors["weights"]) {
        let (half_life, weights) = (line[0].as_u64().unwrap() as u32, array(&line[1]));
        for (age, want) in (0..).step_by(1 + half_life as usize / 8).zip(weights) {
            assert_eq!(model::decay::weight(age, half_life), want.as_u64().unwrap() as u16, "{age} of {half_life}");
        }
    }
}

#[test]
fn levels_as_no_honest_data_make_them_agree_with_the_reference() {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    let cases = array(&vectors["adversarial"]);
    // A view for each, so that none sees another's counts.
    let mut lens = "table = \"golden\"\ntime = \"time\"\n[scopes]\nhost = \"host\"\n[fields]\n".to_owned();
    lens.push_str("f = { column = \"f\", kind = \"id\" }\ng = { column = \"g\", kind = \"id\" }\n");
    for case in 0..cases.len() {
        lens.push_str(&format!("[[views]]\nname = \"{case}\"\nchild = [\"f\"]\ncontext = [[\"g\"]]\n"));
    }
    let (lens, key) = (Lens::parse(&lens).unwrap(), HashKey([3; 32]));
    let (seed, words) = (key.seed(&lens.digest()), ["h", "f", "g"]);
    let [host, f, g] = words.map(|value| key.value(Some(value)));
    let scopes: [Pair; 3] = [host, key.group("peers"), FLEET];
    let mut entries = Vec::new();
    for (view, case) in (0..).zip(cases) {
        let contexts = [absorb(context_start(seed, view, 0), g), context_start(seed, view, 1)];
        for (at, level) in array(&case["levels"]).iter().enumerate() {
            let [n, total, kinds] = [0, 1, 2].map(|i| level[i].as_u64().unwrap() as u32);
            let (context, scope) = (contexts[at / 3], scopes[at % 3]);
            let slot = |key: Pair, a, b| [key[0], key[1], a, b];
            entries.push(slot(scoped(context, scope), total, kinds));
            entries.push(slot(scoped(absorb(context, f), scope), n, 0));
        }
    }
    let peers = Group { name: "peers".to_owned(), why: String::new() };
    let compiled =
        Compiled { slots: lay_out(entries), groups: [("h".to_owned(), peers)].into(), ..Compiled::default() };
    let identity = Calibration::identity(cases.len());
    let snapshot = Arc::new(Snapshot::of(lens.clone(), &key, compiled, identity).unwrap());
    let row = words.map(|value| Some(value.to_owned())).into();
    let rows = Rows { columns: ["host", "f", "g"].map(str::to_owned).into(), rows: vec![(1, row)] };
    let batch = model::Encoder::new(&lens, &key).encode(&rows.batch()).unwrap();
    for backend in &mut backends(&snapshot, &scorer_gpu::adapters()) {
        let mut scores = Scores::default();
        backend.score(&batch, &mut scores).unwrap();
        for (case, score) in cases.iter().zip(&scores.surprisal) {
            assert_eq!(case["surprisal"], *score, "{}: {}", backend.device(), case["levels"]);
        }
    }
    for (case, view) in cases.iter().zip(explain(&snapshot, &batch, 0)) {
        assert_eq!(case["surprisal"], view.surprisal, "{}", case["levels"]);
    }
}

#[test]
fn the_sketch_agrees_with_the_reference() {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    let number = |value: &Value| value.as_u64().unwrap() as u32;
    let key = |value: &Value| -> Pair { [number(&value[0]), number(&value[1])] };
    for set in array(&vectors["sketches"]) {
        let cells = array(&set["cells"]).iter().map(|cell| (key(&cell[0]), number(&cell[1])));
        let counters = sketch::sketch(&cells.collect::<Vec<_>>());
        assert_eq!(counters, array(&set["counters"]).iter().map(number).collect::<Vec<_>>());
        for said in array(&set["said"]) {
            assert_eq!(sketch::count(&counters, key(&said[0])), number(&said[1]));
        }
    }
}

#[test]
fn the_committed_vectors_are_what_the_reference_prints() {
    let output = match Command::new("python3").arg(REFERENCE).output() {
        Ok(output) => output,
        Err(error) if in_ci() => panic!("python3 is needed to run {REFERENCE}: {error}"),
        Err(error) => {
            println!("skipped: python3: {error}");
            return;
        }
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let same = String::from_utf8_lossy(&output.stdout) == VECTORS;
    assert!(same, "run: python3 tests/golden/reference.py > tests/golden/vectors.json, and look at what changed");
}
