//! From rows to a baseline file and back to scores.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Arc;

use crate::rows::{DAY, Memory, Row, ordinary, process};
use arrow_array::RecordBatch;
use ebbline_model::compile::compile;
use ebbline_model::testing::{self, Plan, Rng};
use ebbline_model::{
    Backend, Baseline, Basis, CpuBackend, EncodedBatch, Encoder, LearnError, RowRef, RowSource, Scope, Scores,
    UnitScore, UnitTable, builtin, explain, learn,
};
use proptest::prelude::*;

pub(crate) fn baseline(rows: &[Row]) -> Baseline {
    let batches = rows.chunks(700).map(process).collect();
    learn(&builtin::all(), testing::key(), &Memory(batches), &|_, _| {}).unwrap()
}

pub(crate) fn score(baseline: &Baseline, rows: &[Row]) -> (EncodedBatch, Scores) {
    let snapshot = baseline.snapshot("process").unwrap();
    let batch = Encoder::new(&snapshot.lens, baseline.hash_key()).encode(&process(rows)).unwrap();
    let mut scores = Scores::default();
    CpuBackend::new(snapshot).score(&batch, &mut scores).unwrap();
    (batch, scores)
}

fn locate(row: usize) -> RowRef {
    RowRef { file: "f".into(), row: row as u64, table: "process".into() }
}

fn units(baseline: &Baseline, rows: &[Row], rarer_than: f64) -> Vec<UnitScore> {
    let (batch, scores) = score(baseline, rows);
    let mut table = UnitTable::new(baseline, rarer_than);
    table.add(&builtin::process(), &batch, &scores, &locate);
    table.findings()
}

/// A shell from a temporary folder, that cat should never start.
fn odd(time: i64) -> Row {
    Row {
        time,
        host: "web1".to_owned(),
        activity: "exec".to_owned(),
        root: Some(200),
        exe: Some("/tmp/.x/sh".to_owned()),
        parent_exe: Some("/usr/bin/cat".to_owned()),
        args: Some(vec!["sh".to_owned(), "-c".to_owned(), "id".to_owned()]),
        uid: 33,
    }
}

#[test]
fn the_odd_unit_comes_first_and_says_why() {
    let baseline = baseline(&ordinary(100..105, 2000, 1));
    let mut rows = ordinary(105..106, 2000, 2);
    rows.push(odd(105 * DAY));
    let findings = units(&baseline, &rows, 2.0);
    assert_eq!(findings[0].key, "c8".repeat(16));
    assert_eq!((findings[0].host.as_str(), findings[0].rows[0].0.row), ("web1", 2000));
    assert!(findings.is_sorted_by(|a, b| a.log2_n >= b.log2_n));

    let (batch, scores) = score(&baseline, &rows);
    let snapshot = baseline.snapshot("process").unwrap();
    let views = explain(&snapshot, &batch, 2000);
    for view in &views {
        assert_eq!(view.surprisal, scores.surprisal[view.view * batch.rows + 2000], "{}", view.name);
    }
    assert_eq!(views.iter().map(|v| u32::from(v.bits)).sum::<u32>(), scores.bits[2000]);
    let exe = &views[0];
    let level = exe.costliest().unwrap();
    assert_eq!((level.seen, &level.scope), (0, &Scope::Host));
    let words = exe.to_string();
    assert!(words.starts_with("exe=/tmp/.x/sh") && words.contains(": 0 of "), "{words}");
    assert!(words.ends_with("this host"), "{words}");
}

#[test]
fn calibration_keeps_its_promise() {
    let baseline = baseline(&ordinary(100..106, 3000, 3));
    let calibration = &baseline.snapshot("process").unwrap().calibration;
    assert_eq!((calibration.basis, calibration.rows_used), (Basis::Forward, 15_000));
    let (_, scores) = score(&baseline, &ordinary(106..107, 20_000, 4));
    for bits in [1u16, 3, 5] {
        let over = scores.log2_n.iter().filter(|n| **n >= bits * 1024).count() as f64 / 20_000.0;
        assert!(over < 1.5 * 0.5f64.powi(bits.into()), "{over} of rows claim {bits} bits");
    }
    let expected = units(&baseline, &ordinary(106..107, 3000, 5), 1.0).len() as f64 / 8.0;
    let over = units(&baseline, &ordinary(106..107, 3000, 5), 8.0).len() as f64;
    assert!(over <= 2.0 * expected + 3.0, "{over} units over a line that {expected} should cross");
}

#[test]
fn the_basis_follows_the_days() {
    let basis = |days: i64| {
        let baseline = baseline(&ordinary(100..100 + days, 500, 7));
        let calibration = &baseline.snapshot("process").unwrap().calibration;
        assert!(baseline.units_used("process_tree") > 0);
        assert!(calibration.views[0].iter().any(|b| *b > 0));
        (calibration.basis, calibration.rows_used)
    };
    assert_eq!(basis(1), (Basis::WithinDay, 500));
    assert_eq!(basis(2), (Basis::LeaveOneOut, 1000));
    assert_eq!(basis(3), (Basis::Forward, 1000));
}

#[test]
fn learning_does_not_depend_on_batches_or_their_order() {
    let rows = ordinary(100..104, 1000, 8);
    let learned = |batches: Vec<_>| learn(&builtin::all(), testing::key(), &Memory(batches), &|_, _| {}).unwrap();
    let forwards = learned(rows.chunks(700).map(process).collect());
    let backwards = learned(rows.chunks(333).map(process).rev().collect());
    assert_eq!(forwards.id(), backwards.id());
}

/// Rows that say more of themselves.
struct Telling {
    batches: Vec<RecordBatch>,
    rows: Option<u64>,
    /// Of each batch the first time of those after it.
    rest_from: Vec<Option<i64>>,
    at: Cell<usize>,
    passes: Cell<usize>,
}

impl Telling {
    fn new(parts: &[&[Row]], rows: Option<u64>, is_told: bool) -> Self {
        let first = |at: usize| parts[at + 1..].iter().copied().flatten().map(|row| row.time).min().unwrap_or(i64::MAX);
        let rest_from = (0..parts.len()).map(|at| is_told.then(|| first(at))).collect();
        let batches = parts.iter().map(|rows| process(rows)).collect();
        Self { batches, rows, rest_from, at: Cell::new(0), passes: Cell::new(0) }
    }
}

impl RowSource for Telling {
    fn tables(&self) -> Vec<String> {
        vec!["process".to_owned()]
    }

    fn for_each(
        &self,
        _table: &str,
        f: &mut dyn FnMut(&RecordBatch) -> Result<(), LearnError>,
    ) -> Result<(), LearnError> {
        self.passes.set(self.passes.get() + 1);
        self.batches.iter().enumerate().try_for_each(|(at, batch)| {
            self.at.set(at);
            f(batch)
        })
    }

    fn rows(&self, _table: &str) -> Option<u64> {
        self.rows
    }

    fn rest_from(&self) -> Option<i64> {
        self.rest_from[self.at.get()]
    }
}

#[test]
fn neither_closed_days_nor_a_second_reading_show() {
    let mut rows = ordinary(100..105, 1000, 12);
    let learned = |source: &Telling| learn(&builtin::all(), testing::key(), source, &|_, _| {}).unwrap();
    for sorted in [true, false] {
        if sorted {
            rows.sort_by_key(|row| row.time);
        } else {
            rows.rotate_left(2500);
        }
        let parts: Vec<&[Row]> = rows.chunks(300).collect();
        let plain = Telling::new(&parts, None, false);
        let wanted = learned(&plain);
        for (rows, is_told, passes) in [(None, true, 1), (Some(rows.len() as u64), true, 1), (Some(1 << 40), true, 2)] {
            let source = Telling::new(&parts, rows, is_told);
            assert_eq!(learned(&source).id(), wanted.id(), "{rows:?}");
            assert_eq!(source.passes.get(), passes, "{rows:?}");
        }
        assert_eq!(plain.passes.get(), 1);
    }
}

#[test]
fn rows_later_than_was_told_count_all_the_same() {
    let rows = ordinary(100..104, 1000, 13);
    let parts: Vec<&[Row]> = rows.chunks(300).collect();
    let mut lying = Telling::new(&parts, None, true);
    lying.rest_from = vec![Some(i64::MAX); parts.len()];
    let learned = |source: &Telling| learn(&builtin::all(), testing::key(), source, &|_, _| {}).unwrap();
    let (lied, plain) = (learned(&lying), learned(&Telling::new(&parts, None, false)));
    let (lied, plain) = (lied.snapshot("process").unwrap(), plain.snapshot("process").unwrap());
    assert_eq!(lied.slots, plain.slots, "segments add up");
}

#[test]
fn nothing_to_learn_is_an_error() {
    let empty = learn(&builtin::all(), testing::key(), &Memory(vec![process(&[])]), &|_, _| {});
    assert!(matches!(empty, Err(LearnError::Empty)));
}

#[test]
fn units_do_not_depend_on_the_order_of_batches_and_close() {
    let baseline = baseline(&ordinary(100..104, 1000, 9));
    let (first, second) = (ordinary(104..105, 500, 10), ordinary(104..105, 500, 11));
    let (a, b) = (score(&baseline, &first), score(&baseline, &second));
    let at = |file: &'static str| move |row: usize| RowRef { file: file.into(), ..locate(row) };
    let add = |order: [(&(EncodedBatch, Scores), &'static str); 2]| {
        let mut table = UnitTable::new(&baseline, 1.0);
        for ((batch, scores), file) in order {
            table.add(&builtin::process(), batch, scores, &at(file));
        }
        table
    };
    let mut table = add([(&a, "a"), (&b, "b")]);
    assert_eq!(table.findings(), add([(&b, "b"), (&a, "a")]).findings());
    let (all, noon) = (table.findings(), 104 * DAY + DAY / 2);
    let closed = table.close_before(noon);
    assert!(!closed.is_empty() && closed.iter().all(|u| u.window < noon));
    assert_eq!(closed.len() + table.findings().len(), all.len());
    assert!(all.iter().all(|u| u.rows.len() <= 5 && u.bits == u.rows.iter().map(|r| r.1).sum::<u32>()));
}

#[test]
fn the_oddest_units_stay() {
    let baseline = baseline(&ordinary(100..104, 1000, 9));
    let (batch, scores) = score(&baseline, &ordinary(104..105, 500, 10));
    let mut table = UnitTable::new(&baseline, 1.0);
    let kept = table.add(&builtin::process(), &batch, &scores, &locate);
    assert!(table.rows().all(|at| kept.contains(&(at.row as usize))), "what units hold was reported");
    let all = table.findings();
    assert!(all.len() > 4, "{}", all.len());
    let bits = |units: &[UnitScore]| units.iter().map(|unit| unit.bits).collect::<Vec<_>>();
    let evicted = table.shrink_to(3);
    assert_eq!((table.len(), evicted.len()), (3, all.len() - 3));
    let left = table.findings();
    assert!(bits(&left).iter().min() >= bits(&evicted).iter().max(), "the fewest bits go");
    assert_eq!(table.rows().count(), left.iter().map(|unit| unit.rows.len()).sum::<usize>());
    assert!(table.shrink_to(3).is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn merging_does_not_depend_on_order_and_is_idempotent(seed: u64, swaps in proptest::collection::vec(any::<(u8, u8)>(), 0..20)) {
        let plan = Plan { fields: 3, views: 3, ..Plan::default() };
        let mut rng = Rng(seed);
        let lens = testing::lens(&plan, &mut rng);
        let mut batch = testing::batch(&plan, 300, 0, &mut rng);
        batch.time = (0..300).map(|_| i64::from(rng.below(4)) * DAY).collect();
        let mut segments = testing::segments(&lens, &testing::key(), &batch);
        let want = compile(&testing::key(), &segments);
        for (a, b) in swaps {
            let n = segments.len();
            segments.swap(usize::from(a) % n, usize::from(b) % n);
        }
        segments.push(segments[0].clone());
        prop_assert_eq!(compile(&testing::key(), &segments), want);
    }
}

#[test]
fn compiled_tables_hold_the_counts_and_are_canonical() {
    let plan = Plan::default();
    let mut rng = Rng(16);
    let lens = testing::lens(&plan, &mut rng);
    let batch = testing::batch(&plan, 2000, 0, &mut rng);
    let slots = compile(&testing::key(), &testing::segments(&lens, &testing::key(), &batch));
    assert!(slots.len().is_power_of_two());
    let used: Vec<_> = slots.iter().filter(|s| s[2] != 0).collect();
    assert!(used.len() * 2 <= slots.len() && used.len() * 4 > slots.len());
    let homes: HashMap<[u32; 2], usize> = slots.iter().enumerate().map(|(i, s)| ([s[0], s[1]], i)).collect();
    let mask = slots.len() - 1;
    for slot in used {
        let at = homes[&[slot[0], slot[1]]];
        let mut home = slot[0] as usize & mask;
        while home != at {
            assert_ne!(slots[home][2], 0, "a gap before an entry");
            home = (home + 1) & mask;
        }
    }
    assert_eq!(compile(&testing::key(), &[] as &[ebbline_model::Segment]), vec![[0; 4]; 64]);
    let _ = Arc::new(slots);
}
