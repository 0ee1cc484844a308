//! From how often surprisals occurred to how rare they are (docs/model.md §5).

use crate::log2::lg;
use crate::snapshot::identity_table;

/// Bins are 1/16 bit wide.
const BIN_BITS: f64 = 1.0 / 16.0;
/// The tail may claim a rarity of at most 1 in this many times the rows it has seen.
const BEYOND: f64 = 100.0;
/// The fewest observations beyond the tail's threshold that are asked for.
const TAIL: u64 = 16;

/// Counts values in 1/1024 bit by bins of 1/16 bit.
#[derive(Debug, Clone)]
pub(crate) struct Histogram(Vec<u64>);

impl Histogram {
    pub(crate) fn new(bins: usize) -> Self {
        Self(vec![0; bins])
    }

    /// Adds values of one bin, which is in range.
    pub(crate) fn add_counted(&mut self, bin: usize, count: u32) {
        self.0[bin] += u64::from(count);
    }

    pub(crate) fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// The table of a view: how rare, but never more than the surprisal itself. Under the model a value of surprisal s has
    /// probability 2^-s, so surprisals of s or more have at least that; rarer than so is the data's accident.
    pub(crate) fn view_table(&self) -> Vec<u16> {
        let surprisal = identity_table(self.0.len());
        self.table().into_iter().zip(surprisal).map(|(rare, surprisal)| rare.min(surprisal)).collect()
    }

    /// log2 of how rare each bin and all above it are, in 1/1024 bit; the bins' own lower edges if nothing was counted.
    pub(crate) fn table(&self) -> Vec<u16> {
        let total = self.total();
        if total == 0 {
            return identity_table(self.0.len());
        }
        let mut above = self.0.clone(); // G: how many lie in a bin or above it
        for bin in (1..above.len()).rev() {
            above[bin - 1] += above[bin];
        }
        let threshold = above.iter().position(|g| *g <= TAIL.max(total / 64)).unwrap_or(above.len());
        let counted = |bin: usize| (lg(clamp(total + 1)) - lg(clamp(above[bin] + 1)) + 32) >> 6;
        let mut table: Vec<u16> = (0..threshold).map(|bin| counted(bin) as u16).collect();
        if threshold < above.len() {
            let start = f64::from(counted(threshold)) / 1024.0;
            let most = (BEYOND * total as f64).log2();
            let tail = Tail::fit(&self.0[threshold..]);
            let bits = |bin| (start + tail.bits(f64::from(bin) * BIN_BITS)).min(most);
            table.extend((0..(above.len() - threshold) as u32).map(|bin| (bits(bin) * 1024.0).round() as u16));
        }
        never_falling(&mut table);
        table
    }
}

fn clamp(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn never_falling(table: &mut [u16]) {
    let mut most = 0;
    for bits in table {
        most = most.max(*bits);
        *bits = most;
    }
}

/// A generalised Pareto distribution of the excesses over a threshold, in bits.
struct Tail {
    shape: f64,
    scale: f64,
}

impl Tail {
    /// By probability-weighted moments (Hosking and Wallis 1987) from the counts of the bins above the threshold, each
    /// taken at its middle, and one prior excess of 1 bit. A shape outside 0..=1 is moved to the nearer end, and the
    /// scale then follows from the second moment, a1 = scale / (2 (2 - shape)).
    fn fit(bins: &[u64]) -> Self {
        let mut excesses: Vec<(f64, u64)> =
            bins.iter().enumerate().filter(|b| *b.1 > 0).map(|(i, n)| ((i as f64 + 0.5) * BIN_BITS, *n)).collect();
        excesses.push((1.0, 1));
        excesses.sort_by(|a, b| a.0.total_cmp(&b.0));
        let count: u64 = excesses.iter().map(|e| e.1).sum();
        let (mut a0, mut a1, mut rank) = (0.0, 0.0, 0.0);
        for (excess, n) in excesses {
            // The plotting positions (rank - 0.35) / count of n equal excesses have the mean of the middle one.
            let n = n as f64;
            let position = (rank + (n + 1.0) / 2.0 - 0.35) / count as f64;
            a0 += n * excess;
            a1 += n * excess * (1.0 - position);
            rank += n;
        }
        a0 /= count as f64;
        a1 /= count as f64;
        let spread = a0 - 2.0 * a1;
        let shape = if spread > 0.0 { (2.0 - a0 / spread).clamp(0.0, 1.0) } else { 0.0 };
        Self { shape, scale: (2.0 * a1 * (2.0 - shape)).max(BIN_BITS / 2.0) }
    }

    /// How much rarer than the threshold an excess of `x` bits is, as a logarithm.
    fn bits(&self, x: f64) -> f64 {
        if self.shape < 1e-6 {
            x / (self.scale * std::f64::consts::LN_2)
        } else {
            (self.shape * x / self.scale).ln_1p() / std::f64::consts::LN_2 / self.shape
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::VIEW_BINS;
    use crate::testing::Rng;

    fn histogram(values: impl IntoIterator<Item = u32>) -> Histogram {
        let mut histogram = Histogram::new(VIEW_BINS);
        values.into_iter().for_each(|v| histogram.add_counted(((v >> 6) as usize).min(VIEW_BINS - 1), 1));
        histogram
    }

    #[test]
    fn nothing_counted_keeps_surprisal() {
        let table = histogram([]).table();
        assert_eq!((table[0], table[10], table[1023]), (0, 640, 65472));
    }

    #[test]
    fn geometric_surprisal_is_its_own_rarity() {
        // A value in bin i with chance 2^(-i/16): surprisal is exactly as rare as it says.
        let mut rng = Rng(5);
        let draw = |_| (-((rng.bits() >> 11) as f64 / (1u64 << 53) as f64).log2() * 1024.0) as u32;
        let table = histogram((0..200_000).map(draw)).table();
        for bin in [0usize, 16, 64, 96, 128, 200, 300] {
            let (got, want) = (f64::from(table[bin]) / 1024.0, bin as f64 / 16.0);
            let capped = want.min((100.0 * 200_000.0f64).log2());
            assert!((got - capped).abs() < 0.06 * capped + 0.02, "bin {bin}: {got} bits, expected {capped}");
        }
    }

    #[test]
    fn a_view_never_claims_more_than_its_surprisal() {
        // One row in a thousand has 1 bit, the others none: rare, but the value itself was to be expected every other time.
        let counted = histogram((0..1000).map(|i| if i == 0 { 1024 } else { 0 }));
        assert!(counted.table()[16] > 9 * 1024);
        assert_eq!(counted.view_table()[16], 1024);
    }

    #[test]
    fn tables_start_at_zero_rise_and_are_capped() {
        let mut rng = Rng(6);
        for total in [1, 2, 16, 17, 1000, 5000] {
            let range = rng.below(60_000) + 1;
            let table = histogram((0..total).map(|_| rng.skewed(range))).table();
            assert_eq!(table[0], 0);
            assert!(table.is_sorted());
            let most = (100.0 * f64::from(total)).log2() * 1024.0;
            assert!(f64::from(table[VIEW_BINS - 1]) <= most.max(f64::from(table[0])) + 1.0, "{total}");
        }
        let one_value = histogram(std::iter::repeat_n(2048, 1000)).table();
        assert_eq!(one_value[32], 0, "a value that all rows have says nothing");
        assert!(one_value[33] > 0);
    }
}
