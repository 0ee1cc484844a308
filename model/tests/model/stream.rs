//! Scoring while learning: the same bits as learning first and scoring then, row by row and tick by tick.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use ebbline_model::compile::compile;
use ebbline_model::keys::{Pair, join};
use ebbline_model::testing::{self, Plan, Rng};
use ebbline_model::{Backend, Calibration, CpuBackend, EncodedBatch, Lens, Scores, Snapshot, Stream};
use proptest::prelude::*;

const SECOND: i64 = 1_000_000_000;

/// A lens and rows of one day, some of them late.
fn case(rows: usize, seed: u64) -> (Lens, EncodedBatch) {
    let mut rng = Rng(seed);
    let plan = Plan { views: 6, ..Plan::default() };
    let lens = testing::lens(&plan, &mut rng);
    let mut batch = testing::batch(&plan, rows, 0, &mut rng);
    for (row, time) in batch.time.iter_mut().enumerate() {
        *time = (100_000 + row as i64 - i64::from(rng.below(8) / 7 * rng.below(30))) * SECOND;
    }
    (lens, batch)
}

/// The batch with these rows alone.
fn only(batch: &EncodedBatch, rows: &[usize]) -> EncodedBatch {
    let mut part = batch.clone();
    part.rows = rows.len();
    for codes in part.fields.iter_mut().chain([&mut part.host]).map(|c| &mut c.codes) {
        *codes = rows.iter().map(|row| codes[*row]).collect();
    }
    part.class = rows.iter().map(|row| batch.class[*row]).collect();
    part.time = rows.iter().map(|row| batch.time[*row]).collect();
    part.units.clear();
    part
}

fn range(batch: &EncodedBatch, rows: Range<usize>) -> EncodedBatch {
    only(batch, &rows.collect::<Vec<_>>())
}

/// What a backend says of rows, after learning others.
fn learned_first(lens: &Lens, calibration: &Calibration, learned: &EncodedBatch, scored: &EncodedBatch) -> Scores {
    let slots = compile(&testing::key(), &testing::segments(lens, &testing::key(), learned));
    let snapshot = Snapshot::new(lens.clone(), &testing::key(), slots, calibration.clone()).unwrap();
    let mut scores = Scores::default();
    CpuBackend::new(Arc::new(snapshot)).score(scored, &mut scores).unwrap();
    scores
}

/// The scores of one row.
fn of_row(scores: &Scores, row: usize) -> (Vec<u16>, u32, u16, [ebbline_model::Reason; 3]) {
    let rows = scores.bits.len();
    let surprisal = scores.surprisal.iter().skip(row).step_by(rows).copied().collect();
    (surprisal, scores.bits[row], scores.log2_n[row], scores.reasons[row])
}

fn calibration(lens: &Lens) -> Calibration {
    testing::calibration(lens.views().len(), &mut Rng(5))
}

fn stream(lens: &Lens, tick_ns: i64) -> Stream {
    Stream::new(lens, &testing::key()).with_tick(tick_ns).with_calibration(calibration(lens)).unwrap()
}

#[test]
fn each_row_is_scored_by_the_rows_before_it() {
    let (lens, batch) = case(150, 1);
    let mut scores = Scores::default();
    stream(&lens, 0).feed(&batch, &mut scores).unwrap();
    for row in 0..batch.rows {
        let want = learned_first(&lens, &calibration(&lens), &range(&batch, 0..row), &range(&batch, row..row + 1));
        assert_eq!(of_row(&scores, row), of_row(&want, 0), "row {row}");
    }
}

#[test]
fn each_tick_is_scored_by_the_ticks_before_it() {
    let (lens, batch) = case(400, 2);
    let tick_ns = 20 * SECOND;
    let mut scores = Scores::default();
    stream(&lens, tick_ns).feed(&batch, &mut scores).unwrap();
    // The current tick is the latest of any row so far; late rows belong to it.
    let mut now = i64::MIN;
    let tick_of_row: Vec<i64> = batch
        .time
        .iter()
        .map(|time| {
            now = now.max(time.div_euclid(tick_ns));
            now
        })
        .collect();
    assert!(batch.time.iter().zip(&tick_of_row).any(|(time, tick)| time.div_euclid(tick_ns) < *tick), "some are late");
    for row in 0..batch.rows {
        let before = tick_of_row.partition_point(|tick| *tick < tick_of_row[row]);
        let want = learned_first(&lens, &calibration(&lens), &range(&batch, 0..before), &range(&batch, row..row + 1));
        assert_eq!(of_row(&scores, row), of_row(&want, 0), "row {row}");
    }
}

#[test]
fn what_was_learned_before_counts() {
    let (lens, batch) = case(300, 3);
    let mut stream = stream(&lens, 0);
    stream.learn(&range(&batch, 0..200)).unwrap();
    let mut scores = Scores::default();
    stream.feed(&range(&batch, 200..300), &mut scores).unwrap();
    let want = learned_first(&lens, &calibration(&lens), &range(&batch, 0..200), &range(&batch, 200..201));
    assert_eq!(of_row(&scores, 0), of_row(&want, 0));
}

#[test]
fn a_batch_of_another_lens_changes_nothing() {
    let (lens, mut batch) = case(10, 4);
    batch.fields.pop();
    let mut stream = stream(&lens, 0);
    assert!(stream.feed(&batch, &mut Scores::default()).is_err());
    assert!(stream.learn(&batch).is_err());
    assert_eq!(stream.entries(), 0);
    assert!(Stream::new(&lens, &testing::key()).with_calibration(Calibration::identity(1)).is_none());
}

/// The lens with cells that count once in so many seconds.
fn by_ticks(lens: &Lens, seconds: i64) -> Lens {
    Lens::parse(&format!("{}\n[learning]\ntick = \"{seconds}s\"\ncount = \"ticks\"\n", lens.source())).unwrap()
}

#[test]
fn a_flood_counts_once_a_tick_where_ticks_are_counted() {
    let (lens, batch) = case(50, 4);
    let mut flood = batch.clone();
    for codes in flood.fields.iter_mut().chain([&mut flood.host]).map(|codes| &mut codes.codes) {
        *codes = codes.iter().flat_map(|code| [*code; 20]).collect();
    }
    flood.class = flood.class.iter().flat_map(|class| [*class; 20]).collect();
    flood.time = flood.time.iter().flat_map(|time| [*time; 20]).collect();
    flood.rows *= 20;
    flood.units.clear();
    let lens = by_ticks(&lens, 1);
    let table = |batch: &EncodedBatch| {
        let mut stream = Stream::new(&lens, &testing::key());
        stream.learn(batch).unwrap();
        stream.table()
    };
    assert_eq!(table(&flood), table(&batch));
    let segments = |batch: &EncodedBatch| compile(&testing::key(), &testing::segments(&lens, &testing::key(), batch));
    assert_eq!(segments(&flood), segments(&batch));
    // Every row counts where each has a tick of its own.
    let (plain, mut apart) = (case(50, 4).0, batch.clone());
    apart.time.iter_mut().enumerate().for_each(|(row, time)| *time = (100_000 + row as i64) * SECOND);
    let counts = |lens: &Lens| {
        let table = compile(&testing::key(), &testing::segments(lens, &testing::key(), &apart));
        let mut counts: Vec<[u32; 2]> = table.iter().map(|slot| [slot[2], slot[3]]).collect();
        counts.sort_unstable();
        counts
    };
    assert_eq!(counts(&lens), counts(&plain));
    assert_ne!(counts(&by_ticks(&plain, 50)), counts(&plain));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn batches_do_not_matter_and_the_counts_are_those_of_compiling(seed: u64, size in 1usize..400, ticks in 0i64..4) {
        let (lens, batch) = case(350, seed);
        let tick_ns = ticks * 7 * SECOND;
        let mut whole = Scores::default();
        stream(&lens, tick_ns).feed(&batch, &mut whole).unwrap();
        let (mut stream, mut scores) = (stream(&lens, tick_ns), Scores::default());
        for start in (0..batch.rows).step_by(size) {
            let end = batch.rows.min(start + size);
            stream.feed(&range(&batch, start..end), &mut scores).unwrap();
            for row in start..end {
                prop_assert_eq!(of_row(&scores, row - start), of_row(&whole, row));
            }
        }
        stream.finish();
        stream.finish();
        let table = compile(&testing::key(), &testing::segments(&lens, &testing::key(), &batch));
        prop_assert!(stream.table() == table);
    }

    #[test]
    fn so_they_are_where_ticks_are_counted(seed: u64, size in 1usize..400, ticks in 0i64..3, seconds in 1i64..100) {
        let (lens, batch) = case(300, seed);
        let lens = by_ticks(&lens, seconds);
        let mut stream = Stream::new(&lens, &testing::key()).with_tick(ticks * 7 * SECOND);
        let mut scores = Scores::default();
        for start in (0..batch.rows).step_by(size) {
            stream.feed(&range(&batch, start..batch.rows.min(start + size)), &mut scores).unwrap();
        }
        stream.finish();
        let table = compile(&testing::key(), &testing::segments(&lens, &testing::key(), &batch));
        prop_assert!(stream.table() == table);
    }

    #[test]
    fn groups_count_hosts_as_the_fleet_does(seed: u64) {
        // With every host in one group, the group's counts are the fleet's.
        let (lens, batch) = case(200, seed);
        let group: Pair = [7, 9];
        let groups: BTreeMap<u64, Pair> = batch.host.hashes.iter().map(|host| (join(*host), group)).collect();
        let mut stream = Stream::new(&lens, &testing::key()).with_groups(groups);
        stream.learn(&batch).unwrap();
        let alone = compile(&testing::key(), &testing::segments(&lens, &testing::key(), &batch));
        let used = |table: &[[u32; 4]]| table.iter().filter(|slot| slot[2] > 0).count();
        let hosts = batch.host.codes.iter().collect::<std::collections::BTreeSet<_>>().len();
        prop_assert!(hosts > 1 && used(&stream.table()) > used(&alone));
        let of_fleet = |table: &[[u32; 4]]| {
            let mut counts: Vec<[u32; 2]> = table.iter().filter(|s| s[2] > 0).map(|s| [s[2], s[3]]).collect();
            counts.sort_unstable();
            counts
        };
        // What the group adds is once more what the fleet has: the table with the fleet counted twice.
        let mut twice = of_fleet(&alone);
        let mut no_group = Stream::new(&lens, &testing::key());
        no_group.learn(&batch).unwrap();
        prop_assert_eq!(of_fleet(&no_group.table()), twice.clone());
        let extra = of_fleet(&stream.table()).len() - twice.len();
        prop_assert_eq!(extra, fleet_entries(&lens, &batch));
        twice.dedup();
        prop_assert!(twice.iter().all(|entry| of_fleet(&stream.table()).contains(entry)));
    }
}

/// Contexts and cells of the fleet: those of the rows with every host's name taken for one.
fn fleet_entries(lens: &Lens, batch: &EncodedBatch) -> usize {
    let mut one = batch.clone();
    one.host.codes.fill(0);
    let table = compile(&testing::key(), &testing::segments(lens, &testing::key(), &one));
    table.iter().filter(|slot| slot[2] > 0).count() / 2
}
