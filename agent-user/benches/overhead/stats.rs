//! Medians, their intervals, and whether pairs differ.

use serde::Serialize;

/// Resamples of a bootstrap.
const RESAMPLES: usize = 2000;

/// A figure and where it lies in 95 of 100 repetitions.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Interval {
    pub(crate) low: f64,
    pub(crate) middle: f64,
    pub(crate) high: f64,
}

/// The middle of the values, or the mean of the two in the middle.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => values[half],
        _ => values[half - 1].midpoint(values[half]),
    }
}

/// A figure of some rounds, and its percentile interval over rounds drawn with replacement.
pub(crate) fn bootstrap(rounds: usize, figure: impl Fn(&[usize]) -> f64) -> Interval {
    let all: Vec<usize> = (0..rounds).collect();
    let mut random = Random(1);
    let mut drawn: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            let some: Vec<usize> = all.iter().map(|_| random.below(rounds)).collect();
            figure(&some)
        })
        .collect();
    drawn.sort_by(f64::total_cmp);
    let at = |share: f64| drawn[((RESAMPLES - 1) as f64 * share) as usize];
    Interval { low: at(0.025), middle: figure(&all), high: at(0.975) }
}

/// Wilcoxon's signed-rank test, two-sided and exact: how likely differences this one-sided are if none is meant.
pub(crate) fn signed_rank(differences: &[f64]) -> f64 {
    let mut sorted: Vec<f64> = differences.iter().copied().filter(|difference| *difference != 0.0).collect();
    sorted.sort_by(|left, right| left.abs().total_cmp(&right.abs()));
    // Twice the rank: equal ones share the mean of theirs, which may be a half.
    let doubled = |value: f64| {
        let below = sorted.iter().filter(|other| other.abs() < value.abs()).count();
        let equal = sorted.iter().filter(|other| other.abs() == value.abs()).count();
        2 * below + equal + 1
    };
    let ranks: Vec<usize> = sorted.iter().map(|value| doubled(*value)).collect();
    let seen: usize = ranks.iter().zip(&sorted).filter(|(_, value)| **value > 0.0).map(|(rank, _)| rank).sum();
    // How many of the ways to give signs lead to each sum.
    let mut ways = vec![0.0; ranks.iter().sum::<usize>() + 1];
    ways[0] = 1.0;
    for rank in &ranks {
        for sum in (*rank..ways.len()).rev() {
            ways[sum] += ways[sum - rank];
        }
    }
    let all: f64 = ways.iter().sum();
    let (low, high): (f64, f64) = (ways[..=seen].iter().sum(), ways[seen..].iter().sum());
    (2.0 * low.min(high) / all).min(1.0)
}

/// Numbers that look random: `SplitMix64`.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub(crate) fn shuffle<T>(&mut self, values: &mut [T]) {
        for last in (1..values.len()).rev() {
            values.swap(last, self.below(last + 1));
        }
    }
}
