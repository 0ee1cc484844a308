//! The promise: at a budget of one false alert a day about one comes, over weeks in which hosts and software change.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_array::RecordBatch;
use model::learn::{LearnError, RowSource, learn, learn_onto};
use model::units::{RowRef, UnitScore, UnitTable};
use model::{Backend, Baseline, Budget, CpuBackend, Encoder, HashKey, Line, Scores, Stage, builtin, ops};
use workload::columns::{FIRST_DAY, Part, weeks};

const DAY: i64 = 86_400_000_000_000;
/// Days of a stream.
const DAYS: u32 = 60;
/// Days that are learned before the first is scored.
const LEARNED: u32 = 14;
/// Days that a baseline keeps.
const KEPT: i32 = 28;

struct Rows(Vec<Part>);

impl RowSource for Rows {
    fn tables(&self) -> Vec<String> {
        self.0.iter().map(|part| part.table.to_owned()).collect::<BTreeSet<_>>().into_iter().collect()
    }

    fn for_each(
        &self,
        table: &str,
        f: &mut dyn FnMut(&RecordBatch) -> Result<(), LearnError>,
    ) -> Result<(), LearnError> {
        self.0.iter().filter(|part| part.table == table).try_for_each(|part| f(&part.batch))
    }
}

/// All units of the rows, with how rare each is.
fn units(baseline: &Baseline, rows: &Rows) -> Vec<UnitScore> {
    let mut table = UnitTable::new(baseline, 1.0);
    for snapshot in baseline.snapshots() {
        let (lens, name) = (&snapshot.lens, Arc::from(snapshot.lens.table()));
        let mut encoder = Encoder::new(lens, baseline.hash_key());
        let mut backend = CpuBackend::new(Arc::clone(snapshot));
        let (mut scores, mut first) = (Scores::default(), 0);
        rows.for_each(lens.table(), &mut |batch| {
            let batch = encoder.encode(batch)?;
            backend.score(&batch, &mut scores).expect("it fits");
            let at = |row: usize| RowRef { file: Arc::from("rows"), row: first + row as u64, table: Arc::clone(&name) };
            table.add(lens, &batch, &scores, &at);
            first += batch.rows as u64;
            Ok(())
        })
        .expect("encoded");
    }
    table.findings()
}

/// The exact interval of 95 % for the mean of a Poisson count: the means for which so few, or so many, have 2.5 %.
fn interval(count: u64) -> (f64, f64) {
    // P(X <= k) for mean m.
    let at_most = |k: u64, m: f64| {
        let mut term = (-m).exp();
        let mut sum = term;
        for i in 1..=k {
            term *= m / i as f64;
            sum += term;
        }
        sum
    };
    let solve = |too_low: &dyn Fn(f64) -> bool| {
        let (mut low, mut high) = (0.0, 10.0 * count as f64 + 20.0);
        for _ in 0..60 {
            let middle = f64::midpoint(low, high);
            if too_low(middle) { low = middle } else { high = middle }
        }
        low
    };
    let lower = if count == 0 { 0.0 } else { solve(&|m| 1.0 - at_most(count - 1, m) < 0.025) };
    (lower, solve(&|m| at_most(count, m) > 0.025))
}

fn holds(what: &str, observed: u64, expected: f64) {
    let (low, high) = interval(observed);
    let ratio = observed as f64 / expected;
    println!("{what}: {observed} observed [{low:.1}, {high:.1}], {expected:.1} expected: ratio {ratio:.2}");
    assert!(expected >= 20.0, "{what}: too few are expected to tell");
    assert!((0.5..=2.0).contains(&ratio), "{what}: {observed} observed, {expected:.1} expected");
}

/// Hosts there are on a day: some come later.
fn hosts(day: u32) -> impl Iterator<Item = u32> {
    [0, 0, 0, 24, 38].into_iter().zip(0..).filter(move |(from, _)| day >= *from).map(|(_, host)| host)
}

fn learn_days(rows: Vec<Part>) -> Baseline {
    let lenses = [builtin::process(), builtin::connection()];
    learn(&lenses, HashKey([7; 32]), &Rows(rows), &|_, _| {}).expect("learned")
}

/// Alerts over [`DAYS`], how many were expected, and how many of them were of hosts that were not settled.
fn alerts(seed: u64) -> (u64, f64, usize) {
    let lenses = [builtin::process(), builtin::connection()];
    let mut baseline = learn_days((0..LEARNED).flat_map(|day| weeks(seed, hosts(day), day)).collect());
    let (mut observed, mut expected, mut of_new) = (0, 0.0, 0);
    for day in LEARNED..DAYS {
        let rows = Rows(weeks(seed, hosts(day), day));
        let names = hosts(day).map(|host| Some(format!("host{host}"))).collect();
        let budget = Budget::new(&baseline, &names, Line::AlertsPerDay(1.0));
        let all = units(&baseline, &rows);
        let over: Vec<&UnitScore> = all.iter().filter(|unit| unit.log2_n >= budget.line).collect();
        assert!(over.iter().all(|unit| unit.judged), "there are peers");
        observed += over.len() as u64;
        of_new += over.iter().filter(|unit| unit.stage != Stage::Settled).count();
        expected += budget.expected_a_day();
        let one_in = (f64::from(budget.line) / 1024.0).exp2();
        println!("day {day}: {} of {} units over 1 in {one_in:.0}", over.len(), all.len());
        let grown = learn_onto(baseline, &lenses, &rows, &|_, _| {}).expect("learned");
        let last = (FIRST_DAY / DAY) as i32 + day as i32 - KEPT;
        let old = ops::Forget { to: Some(last), ..ops::Forget::default() };
        baseline = match grown.segments().iter().any(|segment| segment.day <= last) {
            true => ops::forget(grown, &old).expect("there are such days"),
            false => grown,
        };
    }
    (observed, expected, of_new)
}

#[test]
fn one_alert_a_day_is_one_alert_a_day() {
    let streams: u64 = std::env::var("EBBLINE_PROMISE_STREAMS").map_or(1, |n| n.parse().expect("a number of streams"));
    for seed in 1..=streams {
        let (observed, expected, of_new) = alerts(seed);
        println!("{of_new} of them on hosts that were new or learning");
        holds(&format!("stream {seed}, one a day"), observed, expected);
    }
}

#[test]
fn a_host_that_was_not_learned_keeps_the_promise() {
    let known = 0..5;
    let baseline = learn_days((0..10).flat_map(|day| weeks(2, known.clone(), day)).collect());
    let rows = Rows((10..14).flat_map(|day| weeks(2, 20..23, day)).collect());
    let all = units(&baseline, &rows);
    assert!(all.iter().all(|unit| unit.stage == Stage::New && unit.judged));
    for rarer_than in [10.0, 20.0f64] {
        let line = (rarer_than.log2() * 1024.0).ceil() as u16;
        let over = all.iter().filter(|unit| unit.log2_n >= line).count() as u64;
        holds(&format!("new hosts at 1 in {rarer_than}"), over, all.len() as f64 / rarer_than);
    }
}

#[test]
fn a_new_host_without_peers_is_not_judged() {
    let baseline = learn_days((0..4).flat_map(|day| weeks(3, [0], day)).collect());
    let stranger = Rows(weeks(3, [9], 4));
    let all = units(&baseline, &stranger);
    assert!(!all.is_empty() && all.iter().all(|unit| unit.stage == Stage::New && !unit.judged));
    let known = units(&baseline, &Rows(weeks(3, [0], 4)));
    assert!(known.iter().all(|unit| unit.stage == Stage::Learning && unit.judged));
}

#[test]
fn a_baseline_that_grows_day_by_day_is_one_that_was_learned_at_once() {
    let rows = |days: std::ops::Range<u32>| -> Vec<Part> { days.flat_map(|day| weeks(4, 0..2, day)).collect() };
    let lenses = [builtin::process(), builtin::connection()];
    let mut grown = learn_days(rows(0..3));
    for day in 3..5 {
        grown = learn_onto(grown, &lenses, &Rows(rows(day..day + 1)), &|_, _| {}).expect("learned");
    }
    let whole = learn_days(rows(0..5));
    assert_eq!(grown.segments(), whole.segments());
    let of = |baseline: &Baseline| {
        baseline
            .evidence()
            .iter()
            .map(|e| (e.subject.clone(), e.host.clone(), e.day, e.counted))
            .collect::<BTreeSet<_>>()
    };
    assert_eq!(of(&grown), of(&whole));
    for (grown, whole) in grown.snapshots().iter().zip(whole.snapshots()) {
        assert_eq!((grown.calibration.basis, &grown.slots), (whole.calibration.basis, &whole.slots));
        assert_eq!(
            grown.calibration.views, whole.calibration.views,
            "surprisals do not depend on when a day was learned"
        );
    }
}
