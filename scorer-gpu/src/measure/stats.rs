//! Figures of repeated runs.

use serde::{Deserialize, Serialize};

/// The median of repeated runs, and how far they lay apart.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// The one in the middle; of an even number the mean of the two.
    pub median: f64,
    /// The least.
    pub least: f64,
    /// The most.
    pub most: f64,
    /// How many there were.
    pub runs: usize,
}

impl Spread {
    /// Of figures; `None` if there are none. What is no number counts as the most.
    #[must_use]
    pub fn of(figures: &[f64]) -> Option<Self> {
        let mut sorted = figures.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (least, most) = (*sorted.first()?, *sorted.last()?);
        let (below, above) = (sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
        Some(Self { median: (below + above) / 2.0, least, most, runs: sorted.len() })
    }

    /// Of so many things done in each of these times, in seconds: how many a second.
    #[must_use]
    pub fn of_rates(things: usize, seconds: &[f64]) -> Option<Self> {
        // A clock that did not move says nothing; a nanosecond is the least it can tell.
        let rates: Vec<f64> = seconds.iter().map(|seconds| things as f64 / seconds.max(1e-9)).collect();
        Self::of(&rates)
    }

    /// Whether some value lies in both.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.least <= other.most && other.least <= self.most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_does_not_depend_on_order_or_on_outliers() {
        assert_eq!(Spread::of(&[]), None);
        assert_eq!(Spread::of(&[3.0]), Some(Spread { median: 3.0, least: 3.0, most: 3.0, runs: 1 }));
        assert_eq!(Spread::of(&[9.0, 1.0, 2.0]), Spread::of(&[1.0, 2.0, 9.0]));
        assert_eq!(Spread::of(&[1.0, 1e9, 2.0]).unwrap().median, 2.0);
        assert_eq!(Spread::of(&[4.0, 1.0, 2.0, 3.0]).unwrap().median, 2.5);
    }

    #[test]
    fn rates_are_of_each_run() {
        let rates = Spread::of_rates(100, &[1.0, 2.0, 4.0]).unwrap();
        assert_eq!((rates.median, rates.least, rates.most, rates.runs), (50.0, 25.0, 100.0, 3));
        assert!(Spread::of_rates(1, &[0.0]).unwrap().median.is_finite());
    }

    #[test]
    fn spreads_overlap_where_they_share_a_value() {
        let of = |least, most| Spread { median: least, least, most, runs: 2 };
        assert!(of(1.0, 3.0).overlaps(&of(3.0, 4.0)) && of(3.0, 4.0).overlaps(&of(1.0, 3.0)));
        assert!(!of(1.0, 2.0).overlaps(&of(3.0, 4.0)));
    }
}
