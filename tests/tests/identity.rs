//! CPU and every Vulkan adapter at hand give the same bits and do the same work.
//!
//! Equal `StageCounters` prove that keys, look-ups, back-off and sums ran in the shaders: they are counted there.

use model::snapshot::lay_out;
use model::snapshot::programs;
use model::testing::{self, Case, Plan, Rng};
use model::{Backend, CpuBackend, EncodedBatch, Scores, SegmentBuilder, StageCounters};
use scorer_gpu::{AdapterInfo, GpuBackend, GpuCounter, adapters, open_adapter, open_adapter_with_limit};
use std::sync::Arc;

/// As many rows to a part as the backend wants.
const WHOLE: usize = usize::MAX;

fn vulkan_adapters() -> Vec<AdapterInfo> {
    let adapters = adapters();
    assert!(
        !adapters.is_empty(),
        "no Vulkan adapter found: install a driver, for example `apt-get install mesa-vulkan-drivers libvulkan1`"
    );
    for adapter in &adapters {
        println!("adapter: {adapter}");
    }
    adapters
}

fn open(adapter: &AdapterInfo, case: &Case, part: usize) -> GpuBackend {
    let opened = open_adapter(&adapter.name, &case.snapshot);
    let mut gpu = opened.unwrap_or_else(|error| panic!("{}: {error}", case.name));
    gpu.limit_rows(part);
    gpu
}

fn score(backend: &mut dyn Backend, batch: &EncodedBatch) -> Scores {
    let mut scores = Scores::default();
    backend.score(batch, &mut scores).unwrap_or_else(|error| panic!("{}: {error}", backend.name()));
    scores
}

/// Scores a case and then more batches under its snapshot, in parts of at most `part` rows.
fn compare(adapters: &[AdapterInfo], case: &Case, more: &[EncodedBatch], part: usize) {
    let batches: Vec<&EncodedBatch> = [&case.batch].into_iter().chain(more).collect();
    let mut cpu = CpuBackend::new(Arc::clone(&case.snapshot));
    let expected: Vec<Scores> = batches.iter().map(|batch| score(&mut cpu, batch)).collect();
    // Row by row, as shaders work.
    let mut plain = CpuBackend::plain(Arc::clone(&case.snapshot));
    batches.iter().for_each(|batch| _ = score(&mut plain, batch));
    for adapter in adapters {
        let mut gpu = open(adapter, case, part);
        for (batch, expected) in batches.iter().zip(&expected) {
            let got = score(&mut gpu, batch);
            equal(&format!("{}: {adapter}: {} rows", case.name, batch.rows), batch.rows, expected, &got);
        }
        assert_eq!(gpu.counters(), plain.counters(), "{}: {adapter}: counters", case.name);
        rows_alone(adapter, &mut gpu.another_here(), &batches, &expected);
    }
    println!("{}: {} slots, {:?}", case.name, case.snapshot.slots.len(), plain.counters());
}

/// Scores without surprisals of views are the same.
fn rows_alone(adapter: &AdapterInfo, gpu: &mut GpuBackend, batches: &[&EncodedBatch], expected: &[Scores]) {
    let mut got = Scores::of_rows();
    for (batch, expected) in batches.iter().zip(expected) {
        gpu.score(batch, &mut got).unwrap_or_else(|error| panic!("{adapter}: {error}"));
        let rows = Scores { only_rows: true, surprisal: Vec::new(), ..expected.clone() };
        equal(&format!("{adapter}: rows alone: {}", batch.rows), batch.rows, &rows, &got);
    }
}

/// Names the first difference: a dump of two batches tells nobody anything.
fn equal(place: &str, rows: usize, expected: &Scores, got: &Scores) {
    for (at, (expected, got)) in expected.surprisal.iter().zip(&got.surprisal).enumerate() {
        assert_eq!(expected, got, "{place}: surprisal of view {}, row {}", at / rows, at % rows);
    }
    for row in 0..rows {
        let of = |scores: &Scores| (scores.bits[row], scores.log2_n[row], scores.reasons[row]);
        assert_eq!(of(expected), of(got), "{place}: row {row}");
    }
    assert!(expected == got, "{place}: lengths differ");
}

#[test]
fn every_adapter_gives_the_bits_of_the_cpu() {
    let adapters = vulkan_adapters();
    for case in testing::cases(11) {
        compare(&adapters, &case, &[], WHOLE);
    }
}

#[test]
fn large_batches_agree_in_few_parts_and_in_many() {
    let adapters = vulkan_adapters();
    let plan =
        Plan { rows: 100_003, learned: 30_000, hosts: 40, values: 300, fields: 12, views: 32, ..Plan::default() };
    let case = testing::case("100,003 rows, 32 views", plan, 5);
    compare(&adapters, &case, &[], WHOLE);
    compare(&adapters, &case, &[], 20_000);
}

#[test]
fn tables_from_the_smallest_to_more_than_a_million_slots_agree() {
    let adapters = vulkan_adapters();
    let small = testing::case("64 slots", Plan { learned: 1, views: 2, ..Plan::default() }, 6);
    assert_eq!(small.snapshot.slots.len(), 64);
    compare(&adapters, &small, &[], WHOLE);

    let mut large = testing::case("more than a million slots", Plan { values: 5000, ..Plan::default() }, 7);
    let snapshot = Arc::make_mut(&mut large.snapshot);
    let mut rng = Rng(7);
    let filler = (0..700_000).map(|_| [rng.bits() as u32, rng.bits() as u32, 1 + rng.below(9), 1]);
    snapshot.slots = lay_out(snapshot.slots.iter().copied().chain(filler).collect());
    snapshot.mask = (snapshot.slots.len() - 1) as u32;
    assert!(snapshot.slots.len() > 1_000_000);
    compare(&adapters, &large, &[], WHOLE);
}

#[test]
fn a_table_of_several_bindings_agrees() {
    let adapters = vulkan_adapters();
    let plan = Plan { rows: 3000, hosts: 30, views: 6, ..Plan::default() };
    let case = testing::grouped_case("several bindings", plan, 13);
    let table = case.snapshot.slots.len() as u64 * 16;
    let mut cpu = CpuBackend::new(Arc::clone(&case.snapshot));
    let expected = score(&mut cpu, &case.batch);
    for adapter in &adapters {
        for slices in [2, 4] {
            let opened = open_adapter_with_limit(&adapter.name, &case.snapshot, table / slices);
            let mut gpu = opened.unwrap_or_else(|error| panic!("{slices} bindings: {error}"));
            assert_eq!(gpu.slices() as u64, slices);
            equal(&format!("{slices} bindings: {adapter}"), plan.rows, &expected, &score(&mut gpu, &case.batch));
            assert_eq!(gpu.counters(), cpu.counters(), "{slices} bindings: {adapter}");
        }
    }
}

#[test]
fn bits_beyond_the_row_table_agree() {
    let adapters = vulkan_adapters();
    let mut case = testing::case("bits beyond the row table", Plan { views: 40, classes: 0, ..Plan::default() }, 12);
    let calibration = &mut Arc::make_mut(&mut case.snapshot).calibration;
    calibration.views.iter_mut().for_each(|table| table.fill(u16::MAX));
    assert_ne!(calibration.rows[0], calibration.rows[calibration.rows.len() - 1]);
    compare(&adapters, &case, &[], WHOLE);
}

#[test]
fn batches_whose_dictionaries_change_agree() {
    let adapters = vulkan_adapters();
    let plan = Plan { rows: 700, ..Plan::default() };
    let case = testing::case("changing dictionaries", plan, 8);
    let mut rng = Rng(8);
    // Codes of one, two and four bytes, growing and shrinking; the same batch twice; every part size in turn.
    let mut more: Vec<EncodedBatch> = [(3000, 1000), (0, 20), (1, 2), (5000, 70_000), (257, 20), (513, 200)]
        .map(|(rows, values)| testing::batch(&Plan { values, ..plan }, rows, 9, &mut rng))
        .into();
    more.push(more[3].clone());
    for part in [1, 512, 2000, WHOLE] {
        compare(&adapters, &case, &more, part);
    }
}

#[test]
fn drawn_cases_agree() {
    let adapters = vulkan_adapters();
    let mut rng = Rng(2026);
    for seed in 0..10 {
        let plan = Plan {
            rows: rng.skewed(4000) as usize,
            learned: rng.skewed(5000) as usize,
            hosts: 1 + rng.skewed(100),
            values: 1 + rng.skewed(500),
            fields: 1 + rng.below(9),
            views: 1 + rng.below(12),
            classes: rng.below(32),
            unknown: rng.below(30),
            null: false,
        };
        let case = testing::case(&format!("drawn {plan:?}"), plan, seed);
        compare(&adapters, &case, &[], 256 << rng.below(5));
    }
}

#[test]
fn backends_beside_each_other_on_one_device_keep_their_batches_apart() {
    let adapters = vulkan_adapters();
    let plan = Plan { rows: 1500, hosts: 30, views: 6, ..Plan::default() };
    let case = testing::grouped_case("beside each other", plan, 17);
    // Of different sizes, and with values of their own.
    let batches: Vec<EncodedBatch> =
        (0..4).map(|number| testing::batch(&plan, 300 + 700 * number, 10, &mut Rng(number as u64))).collect();
    let mut cpu = CpuBackend::plain(Arc::clone(&case.snapshot));
    let expected: Vec<Scores> = batches.iter().map(|batch| score(&mut cpu, batch)).collect();
    for adapter in &adapters {
        let gpu = open(adapter, &case, 512);
        let one = |batch: &EncodedBatch, expected: &Scores, mut gpu: GpuBackend| {
            for _ in 0..5 {
                equal(&format!("beside: {adapter}"), batch.rows, expected, &score(&mut gpu, batch));
            }
            rows_alone(adapter, &mut gpu, &[batch], std::slice::from_ref(expected));
            gpu.counters()
        };
        let work: Vec<StageCounters> = std::thread::scope(|scope| {
            let all = batches.iter().zip(&expected).map(|(batch, expected)| (batch, expected, gpu.another_here()));
            let threads: Vec<_> =
                all.map(|(batch, expected, gpu)| scope.spawn(move || one(batch, expected, gpu))).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        let lookups: u64 = work.iter().map(|work| work.lookups).sum();
        assert_eq!(lookups, 6 * cpu.counters().lookups, "{adapter}");
    }
}

#[test]
fn an_inconsistent_batch_is_an_error_and_the_next_one_scores() {
    let case = testing::case("inconsistent", Plan::default(), 9);
    let mut bad = [(); 3].map(|()| case.batch.clone());
    bad[0].fields[2].codes[599] = u32::MAX;
    bad[1].host.codes.pop();
    bad[2].fields.clear();
    for adapter in vulkan_adapters() {
        let mut gpu = open(&adapter, &case, WHOLE);
        let mut cpu = CpuBackend::new(Arc::clone(&case.snapshot));
        for batch in &bad {
            let errors = [&mut gpu as &mut dyn Backend, &mut cpu]
                .map(|backend| backend.score(batch, &mut Scores::default()).unwrap_err().to_string());
            assert_eq!(errors[0], errors[1]);
        }
        assert_eq!(score(&mut gpu, &case.batch), score(&mut cpu, &case.batch));
        assert_eq!(gpu.counters(), cpu.counters());
    }
}

#[test]
fn a_segment_learned_on_a_card_is_the_one_of_the_cpu() {
    let plans = [
        Plan { learned: 5000, ..Plan::default() },
        // One cell for all rows, and nearly one for each.
        Plan { learned: 3000, null: true, views: 2, ..Plan::default() },
        Plan { learned: 70_001, values: 40_000, views: 3, fields: 4, ..Plan::default() },
        Plan { learned: 600, views: 40, classes: 31, ..Plan::default() },
    ];
    for adapter in vulkan_adapters() {
        for (seed, plan) in (40..).zip(plans) {
            let mut rng = Rng(seed);
            let lens = testing::lens(&plan, &mut rng);
            let batch = testing::batch(&plan, plan.learned, 0, &mut rng);
            let key = testing::key();
            let rows: Vec<u32> = (0..plan.learned as u32).filter(|row| row % 7 != 3).collect();
            let mut want = SegmentBuilder::new(&lens, &key, Some("a"), 3);
            want.add(&batch, &rows);
            let want = want.finish();
            let seed = key.seed(&lens.digest());
            let mut card = GpuCounter::open(&adapter.name, &programs(&lens), lens.fields().len(), seed).unwrap();
            for size in [plan.learned, 1000] {
                let mut got = SegmentBuilder::new(&lens, &key, Some("a"), 3);
                for rows in rows.chunks(size) {
                    assert!(got.add_counted(rows.len() as u64, card.count(&batch, rows).unwrap()));
                }
                assert!(got.finish() == want, "{adapter}: {plan:?}, {size} rows at a time");
            }
        }
    }
}
