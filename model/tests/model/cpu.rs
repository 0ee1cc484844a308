//! The CPU backend against docs/model.md §4 written again, with maps of values in the place of hashed keys.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use ebbline_model::keys::{FLEET, scoped};
use ebbline_model::log2::lg;
use ebbline_model::testing::{self, Plan, Rng};
use ebbline_model::{Backend, CellCounter, CpuBackend, EncodedBatch, Scores, SegmentBuilder, Snapshot, StageCounters};

type Value = Option<String>;
/// View, context number, context values.
type Context = (usize, usize, Vec<Value>);

/// Hosts that have a cell, by the values of its child.
type Hosts = BTreeMap<Vec<Value>, BTreeSet<Value>>;

/// Counts by plain values.
#[derive(Default)]
struct Naive {
    /// Per host.
    host: HashMap<(Value, Context), BTreeMap<Vec<Value>, u32>>,
    /// Hosts of a group that have a cell.
    group: HashMap<(&'static str, Context), Hosts>,
    /// Whether groups count.
    grouped: bool,
    /// Hosts that have a cell.
    fleet: HashMap<Context, Hosts>,
}

fn values(batch: &EncodedBatch, fields: &[u32], row: usize) -> Vec<Value> {
    fields.iter().map(|f| batch.fields[*f as usize].value(row).map(str::to_owned)).collect()
}

fn applies(snapshot: &Snapshot, view: usize, batch: &EncodedBatch, row: usize) -> bool {
    snapshot.views[view].class_mask >> batch.class[row] & 1 == 1
}

impl Naive {
    fn learn(snapshot: &Snapshot, batch: &EncodedBatch, grouped: bool) -> Self {
        let mut naive = Naive { grouped, ..Naive::default() };
        for row in 0..batch.rows {
            let host: Value = batch.host.value(row).map(str::to_owned);
            for (v, view) in snapshot.views.iter().enumerate().filter(|(v, _)| applies(snapshot, *v, batch, row)) {
                let child = values(batch, &view.child, row);
                for (c, fields) in view.contexts.iter().enumerate() {
                    let context = (v, c, values(batch, fields, row));
                    *naive
                        .host
                        .entry((host.clone(), context.clone()))
                        .or_default()
                        .entry(child.clone())
                        .or_default() += 1;
                    if let Some(group) = naive.group_of(&host) {
                        let hosts = naive.group.entry((group, context.clone())).or_default();
                        hosts.entry(child.clone()).or_default().insert(host.clone());
                    }
                    naive.fleet.entry(context).or_default().entry(child.clone()).or_default().insert(host.clone());
                }
            }
        }
        naive
    }

    fn group_of(&self, host: &Value) -> Option<&'static str> {
        testing::group_of(host.as_deref()).filter(|_| self.grouped)
    }

    /// (n, N, T) of a cell in its host's, its group's and the fleet's scope.
    fn levels(&self, host: &Value, context: &Context, child: &[Value]) -> Vec<(u32, u32, u32)> {
        let own = self.host.get(&(host.clone(), context.clone()));
        let own = own.map_or((0, 0, 0), |c| (c.get(child).copied().unwrap_or(0), c.values().sum(), c.len() as u32));
        let hosts = |c: Option<&Hosts>| {
            c.map_or((0, 0, 0), |c| {
                let total = c.values().map(BTreeSet::len).sum::<usize>();
                (c.get(child).map_or(0, BTreeSet::len) as u32, total as u32, c.len() as u32)
            })
        };
        let group = self.group_of(host).map(|group| hosts(self.group.get(&(group, context.clone()))));
        [Some(own), group, Some(hosts(self.fleet.get(context)))].into_iter().flatten().collect()
    }

    fn surprisal(
        &self,
        snapshot: &Snapshot,
        v: usize,
        batch: &EncodedBatch,
        row: usize,
        work: &mut StageCounters,
    ) -> u16 {
        let view = &snapshot.views[v];
        let child = values(batch, &view.child, row);
        let host: Value = batch.host.value(row).map(str::to_owned);
        let mut s = 0;
        work.backoffs += 1;
        let round = |s: u32| ((s + 32) >> 6).min(65535) as u16;
        for (c, fields) in view.contexts.iter().enumerate() {
            for (n, total, kinds) in self.levels(&host, &(v, c, values(batch, fields, row)), &child) {
                let lookups = if total > 0 { 2 } else { 1 };
                work.keys += lookups;
                work.lookups += lookups;
                if total == 0 {
                    continue;
                }
                if n > 0 {
                    return round(s + lg(total + kinds) - lg(n));
                }
                s += lg(total + kinds) - lg(kinds);
            }
        }
        let last = view.contexts.len() - 1;
        let vocabulary = self.fleet.get(&(v, last, Vec::new())).map_or(0, BTreeMap::len) as u32;
        round(s + lg(vocabulary + 1))
    }
}

fn score(snapshot: &Arc<Snapshot>, batch: &EncodedBatch) -> (Scores, StageCounters) {
    let mut backend = CpuBackend::new(Arc::clone(snapshot));
    let mut scores = Scores::default();
    backend.score(batch, &mut scores).unwrap();
    (scores, backend.counters())
}

fn compare(plan: Plan, seed: u64) {
    compare_with(plan, seed, false);
}

fn compare_with(plan: Plan, seed: u64, grouped: bool) {
    let mut rng = Rng(seed);
    let lens = testing::lens(&plan, &mut rng);
    let learned = testing::batch(&plan, plan.learned, 0, &mut rng);
    let segments = testing::segments(&lens, &testing::key(), &learned);
    let slots = ebbline_model::compile::compile(&testing::key(), &segments);
    let calibration = testing::calibration(lens.views().len(), &mut rng);
    let mut snapshot = Snapshot::new(lens, &testing::key(), slots, calibration).unwrap();
    if grouped {
        testing::add_groups(&mut snapshot, &segments);
    }
    let snapshot = Arc::new(snapshot);
    let naive = Naive::learn(&snapshot, &learned, grouped);
    let batch = testing::batch(&plan, plan.rows, plan.unknown, &mut rng);
    let (scores, counters) = score(&snapshot, &batch);
    let mut work = StageCounters { sums: batch.rows as u64, ..StageCounters::default() };
    for row in 0..batch.rows {
        let mut bits = Vec::new();
        for view in 0..snapshot.views.len() {
            let got = scores.surprisal[view * batch.rows + row];
            if applies(&snapshot, view, &batch, row) {
                let want = naive.surprisal(&snapshot, view, &batch, row, &mut work);
                assert_eq!(got, want, "view {view}, row {row}");
                bits.push((std::cmp::Reverse(snapshot.calibration.view_bits(view, want)), view as u16));
            } else {
                assert_eq!(got, 0, "view {view}, row {row}");
            }
        }
        let sum: u32 = bits.iter().map(|b| u32::from(b.0.0)).sum();
        assert_eq!(scores.bits[row], sum);
        assert_eq!(scores.log2_n[row], snapshot.calibration.row_log2_n(sum));
        bits.sort();
        bits.retain(|b| b.0.0 > 0);
        let want: Vec<_> = bits.iter().take(3).map(|b| (b.1, b.0.0)).collect();
        let got: Vec<_> = scores.reasons[row].iter().filter(|r| r.view != u16::MAX).map(|r| (r.view, r.bits)).collect();
        assert_eq!(got, want);
    }
    assert_eq!(counters, work);
}

#[test]
fn equals_the_naive_model() {
    let plan = Plan::default();
    for seed in 0..8 {
        compare(plan, seed);
    }
    compare(Plan { hosts: 40, values: 200, ..plan }, 20);
    compare(Plan { null: true, ..plan }, 21);
    compare(Plan { learned: 0, ..plan }, 22);
    compare(Plan { classes: 31, views: 40, ..plan }, 23);
}

#[test]
fn equals_the_naive_model_with_groups() {
    for (seed, hosts) in [(30, 4), (31, 20), (32, 100)] {
        compare_with(Plan { hosts, values: 50, ..Plan::default() }, seed, true);
    }
}

#[test]
fn cases_are_consistent_and_score() {
    for case in testing::cases(1) {
        assert!(case.batch.is_consistent(case.snapshot.lens.fields().len()), "{}", case.name);
        let (scores, counters) = score(&case.snapshot, &case.batch);
        assert_eq!(scores.bits.len(), case.batch.rows, "{}", case.name);
        assert_eq!(counters.sums, case.batch.rows as u64, "{}", case.name);
        if case.name == "no view applies" {
            assert!(scores.bits.iter().all(|b| *b == 0));
        }
    }
}

#[test]
fn a_batch_of_another_lens_is_refused() {
    let case = testing::case("x", Plan::default(), 3);
    let mut batch = case.batch.clone();
    batch.fields.pop();
    assert!(CpuBackend::new(Arc::clone(&case.snapshot)).score(&batch, &mut Scores::default()).is_err());
    let mut batch = case.batch;
    batch.fields[0].codes[0] = u32::MAX;
    assert!(CpuBackend::new(case.snapshot).score(&batch, &mut Scores::default()).is_err());
}

#[test]
fn fleet_scope_is_no_host() {
    assert_ne!(scoped([1, 2], FLEET), scoped([1, 2], testing::key().value(Some("host"))));
}

#[test]
fn rows_score_the_same_where_no_surprisals_are_wanted() {
    let mut rows = Scores::of_rows();
    for case in testing::cases(5) {
        let (whole, _) = score(&case.snapshot, &case.batch);
        let mut backend = CpuBackend::new(Arc::clone(&case.snapshot));
        // What was kept of one batch is not seen in the next.
        for batch in [&case.batch, &testing::batch(&Plan::default(), 0, 0, &mut Rng(1)), &case.batch] {
            if batch.is_consistent(case.snapshot.lens.fields().len()) {
                backend.score(batch, &mut rows).unwrap();
            }
        }
        assert!(rows.surprisal.is_empty(), "{}", case.name);
        assert!(rows == Scores { only_rows: true, surprisal: Vec::new(), ..whole }, "{}", case.name);
    }
}

#[test]
fn vector_instructions_and_thread_counts_change_no_bit() {
    for case in testing::cases(3) {
        let mut plain = CpuBackend::plain(Arc::clone(&case.snapshot));
        let mut want = Scores::default();
        plain.score(&case.batch, &mut want).unwrap();
        let (_, work) = score(&case.snapshot, &case.batch);
        for threads in [1, 2, 7] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let (got, counters) = pool.install(|| score(&case.snapshot, &case.batch));
            assert!(got == want, "{}: {threads} threads", case.name);
            assert_eq!(counters, work, "{}: {threads} threads", case.name);
        }
    }
}

#[test]
fn rows_that_a_view_cannot_tell_apart_score_as_each_by_itself() {
    let few = Plan { rows: 70_000, values: 6, hosts: 5, ..Plan::default() };
    let several = Plan { rows: 20_000, values: 20, hosts: 8, classes: 3, ..Plan::default() };
    let many = Plan { rows: 10_000, values: 30_000, hosts: 500, ..Plan::default() };
    for (plan, seed, repeat) in [(few, 40, true), (several, 41, true), (many, 42, false)] {
        for case in [testing::case("kinds", plan, seed), testing::grouped_case("kinds in groups", plan, seed)] {
            let mut plain = CpuBackend::plain(Arc::clone(&case.snapshot));
            let mut want = Scores::default();
            plain.score(&case.batch, &mut want).unwrap();
            let (got, counters) = score(&case.snapshot, &case.batch);
            assert!(got == want, "{plan:?}");
            let each = plain.counters();
            assert!(!repeat || counters.lookups < each.lookups, "{plan:?}: {counters:?}, {each:?}");
        }
    }
}

/// Rows `rows` of a batch.
fn slice(batch: &EncodedBatch, rows: std::ops::Range<usize>) -> EncodedBatch {
    let mut part = batch.clone();
    part.rows = rows.len();
    for column in part.fields.iter_mut().chain([&mut part.host]) {
        column.codes = column.codes[rows.clone()].to_vec();
    }
    part.class = part.class[rows.clone()].to_vec();
    part.time = part.time[rows.clone()].to_vec();
    part.units.clear();
    part
}

#[test]
fn the_size_of_batches_changes_no_bit() {
    let plan = Plan { rows: 3000, hosts: 20, views: 5, fields: 5, ..Plan::default() };
    let case = testing::grouped_case("batches", plan, 4);
    let (whole, _) = score(&case.snapshot, &case.batch);
    for size in [1, 7, 256] {
        for start in (0..plan.rows).step_by(size) {
            let rows = start..plan.rows.min(start + size);
            let (part, _) = score(&case.snapshot, &slice(&case.batch, rows.clone()));
            assert_eq!(part.bits, whole.bits[rows.clone()], "{size} rows from {start}");
            assert_eq!(part.log2_n, whole.log2_n[rows.clone()]);
            assert_eq!(part.reasons, whole.reasons[rows.clone()]);
            for (view, part) in part.surprisal.chunks(rows.len()).enumerate() {
                assert_eq!(*part, whole.surprisal[view * plan.rows..][rows.clone()]);
            }
        }
    }
}

#[test]
fn a_million_rows_are_scored_as_in_parts() {
    let plan = Plan { rows: 1 << 20, hosts: 9, views: 2, fields: 2, ..Plan::default() };
    let case = testing::grouped_case("a million rows", plan, 5);
    let (whole, counters) = score(&case.snapshot, &case.batch);
    let mut work = StageCounters::default();
    for start in (0..plan.rows).step_by(65_536) {
        let rows = start..start + 65_536;
        let (part, counters) = score(&case.snapshot, &slice(&case.batch, rows.clone()));
        work += counters;
        assert!(part.bits == whole.bits[rows.clone()] && part.reasons == whole.reasons[rows], "rows from {start}");
    }
    assert_eq!(counters, work);
}

#[test]
fn counting_by_many_threads_makes_the_same_segment() {
    let plan = Plan { learned: 20_000, values: 200, views: 6, ..Plan::default() };
    let mut rng = Rng(6);
    let lens = testing::lens(&plan, &mut rng);
    let batch = testing::batch(&plan, plan.learned, 0, &mut rng);
    let key = testing::key();
    let rows: Vec<u32> = (0..plan.learned as u32).filter(|row| row % 5 != 0).collect();
    let mut want = SegmentBuilder::new(&lens, &key, Some("a"), 3);
    want.add(&batch, &rows);
    let want = want.finish();
    for (threads, size) in [(1, 20_000), (2, 256), (7, 20_000), (7, 7)] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let got = pool.install(|| {
            let mut counter = CellCounter::new(&lens, key.seed(&lens.digest()));
            rows.chunks(size).for_each(|rows| counter.count_into(&batch, rows));
            let mut builder = SegmentBuilder::new(&lens, &key, Some("a"), 3);
            assert!(builder.add_counted(rows.len() as u64, counter.finish()));
            builder.finish()
        });
        assert!(got == want, "{threads} threads, {size} rows at a time");
    }
}
