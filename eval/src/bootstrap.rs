//! Bootstrap intervals (Efron 1979): what would be measured on sets drawn from this one, cluster by cluster.

use rayon::prelude::*;

use crate::metrics::{Areas, Ranking};

/// Drawn sets. A percentile of 2.5 % then has ten beyond it.
pub(crate) const DRAWS: usize = 400;

/// Of each drawn set AUROC and average precision, `None` where no attack was drawn, or nothing else. Deterministic; draw
/// number i of one ranking goes with draw number i of another.
pub(crate) fn draws(ranking: &Ranking, seed: u64) -> Vec<Option<Areas>> {
    let clusters = ranking.clusters();
    let draw = |number: usize| {
        let mut rng = Rng::new(seed, number as u64);
        let mut times = vec![0u32; clusters];
        for _ in 0..clusters {
            times[rng.below(clusters)] += 1;
        }
        ranking.weighed(|cluster| times[cluster as usize])
    };
    (0..DRAWS).into_par_iter().map(draw).collect()
}

/// The 2.5 % and 97.5 % percentiles.
pub(crate) fn percentiles(values: impl IntoIterator<Item = f64>) -> Option<(f64, f64)> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let last = values.len().checked_sub(1)?;
    let at = |share: f64| values[(share * last as f64).round() as usize];
    Some((at(0.025), at(0.975)))
}

/// SplitMix64 (Steele, Lea and Flood 2014).
struct Rng(u64);

impl Rng {
    fn new(seed: u64, number: u64) -> Self {
        let mut rng = Self(seed ^ number.wrapping_mul(0xD134_2543_DE82_EF95));
        rng.bits();
        rng
    }

    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ z >> 31
    }

    /// A number below `n`.
    fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.bits()) * n as u128) >> 64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Outcome;

    fn ranking(things: u32) -> Ranking {
        let outcome = |i: u32| Outcome {
            score: u64::from(i.wrapping_mul(2_654_435_761) >> 24) + u64::from(i.is_multiple_of(4)) * 60,
            log2_n: 0,
            attack: i.is_multiple_of(4),
            cluster: i,
            day: 0,
        };
        Ranking::new(&(0..things).map(outcome).collect::<Vec<_>>())
    }

    #[test]
    fn draws_are_the_same_each_time_and_differ_from_each_other() {
        let ranking = ranking(200);
        let (first, again) = (draws(&ranking, 7), draws(&ranking, 7));
        assert_eq!(first, again);
        assert_ne!(first, draws(&ranking, 8));
        assert_ne!(first[0], first[1]);
    }

    #[test]
    fn the_interval_holds_the_value_and_narrows_with_more() {
        let width = |things| {
            let ranking = ranking(things);
            let (low, high) = percentiles(draws(&ranking, 1).into_iter().flatten().map(|a| a.auroc)).unwrap();
            let value = ranking.areas().unwrap().auroc;
            assert!(low < value && value < high, "{low} {value} {high}");
            high - low
        };
        let ratio = width(100) / width(6_400);
        assert!((4.0..16.0).contains(&ratio), "eight times as wide is expected: {ratio}");
    }
}
