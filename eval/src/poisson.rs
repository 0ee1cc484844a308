//! Exact intervals for a Poisson mean (Garwood 1936).

use std::f64::consts::TAU;

/// Bisections of an interval: enough for every bit of a double.
const STEPS: usize = 200;

/// The 95 % interval of the mean of which `count` was observed: below its lower end `count` or more, above its upper end
/// `count` or fewer, would be seen less than 1 time in 40.
#[must_use]
pub fn interval(count: u64) -> (f64, f64) {
    let most = count as f64 + 10.0 * (count as f64 + 1.0).sqrt() + 20.0;
    let low = match count {
        0 => 0.0,
        _ => bisect(0.0, most, |mean| 1.0 - at_most(count - 1, mean) < 0.025),
    };
    (low, bisect(low, most, |mean| at_most(count, mean) > 0.025))
}

/// The point between `low` and `high` up to which `holds` holds.
fn bisect(mut low: f64, mut high: f64, holds: impl Fn(f64) -> bool) -> f64 {
    for _ in 0..STEPS {
        let middle = low + (high - low) / 2.0;
        if middle <= low || middle >= high {
            break;
        }
        if holds(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    low
}

/// The chance of `count` or fewer events of which `mean` are expected.
#[must_use]
pub fn at_most(count: u64, mean: f64) -> f64 {
    if mean <= 0.0 {
        return 1.0;
    }
    // The sum goes down from the largest term that counts, until terms no longer matter; the larger tail is 1 less the other.
    if (count as f64) < mean { below(count, mean) } else { (1.0 - above(count + 1, mean)).max(0.0) }
}

/// Σ of the terms 0 … count, where they fall towards 0.
fn below(count: u64, mean: f64) -> f64 {
    let (mut term, mut sum) = (ln_term(count, mean).exp(), 0.0);
    for k in (0..=count).rev() {
        sum += term;
        if term < sum * 1e-17 {
            break;
        }
        term *= k as f64 / mean;
    }
    sum
}

/// Σ of the terms from count on, where they fall towards infinity.
fn above(count: u64, mean: f64) -> f64 {
    let (mut term, mut sum, mut k) = (ln_term(count, mean).exp(), 0.0, count);
    loop {
        sum += term;
        k += 1;
        term *= mean / k as f64;
        if term <= sum * 1e-17 {
            return sum;
        }
    }
}

fn ln_term(count: u64, mean: f64) -> f64 {
    count as f64 * mean.ln() - mean - ln_factorial(count)
}

/// ln n!: exact sums for small n, else Stirling's series, whose next term is below 1e-12 from 20 on.
fn ln_factorial(n: u64) -> f64 {
    if n < 20 {
        return (2..=n).map(|k| (k as f64).ln()).sum();
    }
    let x = n as f64;
    x * x.ln() - x + (TAU * x).ln() / 2.0 + 1.0 / (12.0 * x) - 1.0 / (360.0 * x.powi(3)) + 1.0 / (1260.0 * x.powi(5))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_those_of_the_tables() {
        // Ulm (1990), Table 1, to its digits.
        for (count, low, high) in
            [(0, 0.0, 3.689), (1, 0.0253, 5.572), (2, 0.2422, 7.225), (5, 1.623, 11.668), (10, 4.795, 18.390)]
        {
            let (l, h) = interval(count);
            assert!((l - low).abs() < 1e-3 && (h - high).abs() < 1e-3, "{count}: {l} {h}");
        }
        let (low, high) = interval(100);
        assert!((low - 81.364).abs() < 2e-3 && (high - 121.627).abs() < 2e-3, "{low} {high}");
    }

    #[test]
    fn the_sums_agree_with_term_by_term_addition() {
        for mean in [0.01, 0.7, 3.0, 19.5, 40.0, 150.0] {
            let (mut term, mut sum) = (f64::exp(-mean), 0.0);
            for count in 0..400u64 {
                sum += term;
                assert!((at_most(count, mean) - sum).abs() < 1e-11, "{count} of {mean}");
                term *= mean / (count + 1) as f64;
            }
        }
    }

    #[test]
    fn large_counts_end_soon_and_near_the_normal() {
        for count in [1_000u64, 1_000_000, 100_000_000] {
            let (low, high) = interval(count);
            let spread = 1.96 * (count as f64).sqrt();
            assert!((count as f64 - low - spread).abs() < 4.0 && (high - count as f64 - spread).abs() < 4.0, "{count}");
        }
    }
}
