//! The arithmetic of the overhead benchmark, against figures known from elsewhere.

#![allow(missing_docs)]

#[path = "../benches/overhead/stats.rs"]
mod stats;

use stats::{Random, bootstrap, median, signed_rank};

#[test]
fn a_median_is_the_middle_or_the_mean_of_the_two_in_the_middle() {
    assert_eq!(median([3.0, 1.0, 2.0]), 2.0);
    assert_eq!(median([4.0, 1.0, 2.0, 3.0]), 2.5);
    assert!(median([]).is_nan());
}

#[test]
fn the_signed_rank_test_is_exact() {
    // All of six one way: 2 of 64 ways are as far out.
    assert_eq!(signed_rank(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), 2.0 / 64.0);
    assert_eq!(signed_rank(&[-1.0, -2.0, -3.0, -4.0, -5.0, -6.0]), 2.0 / 64.0);
    // The smallest the other way: two sums are as small, in each tail.
    assert_eq!(signed_rank(&[-1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), 4.0 / 64.0);
    // Darwin's maize, as R's wilcox.test(exact) has it: 0.04126.
    let maize = [49.0, -67.0, 8.0, 16.0, 6.0, 23.0, 28.0, 41.0, 14.0, 29.0, 56.0, 24.0, 75.0, 60.0, -48.0];
    assert!((signed_rank(&maize) - 0.041_26).abs() < 1e-5, "{}", signed_rank(&maize));
}

#[test]
fn differences_of_nothing_and_ties_say_nothing() {
    assert_eq!(signed_rank(&[0.0; 5]), 1.0);
    assert_eq!(signed_rank(&[]), 1.0);
    assert_eq!(signed_rank(&[1.0, -1.0, 1.0, -1.0]), 1.0);
}

#[test]
fn an_interval_holds_its_middle_and_narrows_with_rounds() {
    let mut random = Random(7);
    let values: Vec<f64> = (0..400).map(|_| random.below(1000) as f64).collect();
    let interval = |count: usize| bootstrap(count, |rounds| median(rounds.iter().map(|round| values[*round])));
    let (few, many) = (interval(15), interval(400));
    assert!(few.low <= few.middle && few.middle <= few.high);
    assert!(many.high - many.low < few.high - few.low);
    let same = bootstrap(9, |rounds| median(rounds.iter().map(|_| 5.0)));
    assert_eq!((same.low, same.middle, same.high), (5.0, 5.0, 5.0));
}

#[test]
fn a_shuffle_keeps_what_it_shuffles_and_reaches_every_order() {
    let mut random = Random(3);
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..200 {
        let mut order = [1, 2, 3];
        random.shuffle(&mut order);
        seen.insert(order);
    }
    assert_eq!(seen.len(), 6);
    assert!(seen.iter().all(|order| order.iter().sum::<i32>() == 6));
}
