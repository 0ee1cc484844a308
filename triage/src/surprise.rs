//! How surprising a path is: Fisher's combination of its steps (docs/decisions/0050).

/// The bits of `steps` independent steps whose bits add up to `sum`: −log2 of the probability that so many sum up to as
/// much. A step is 1 in 2^bits; one alone keeps its own.
///
/// With x = sum · ln 2 the probability is e^−x Σ_{i<steps} x^i / i! (Fisher 1932).
#[must_use]
pub fn path_bits(sum: f64, steps: usize) -> f64 {
    let x = sum.max(0.0) * std::f64::consts::LN_2;
    if steps <= 1 || x == 0.0 {
        return if steps == 0 { 0.0 } else { sum.max(0.0) };
    }
    // ln of Σ x^i/i!, term by term: the terms themselves do not fit a number for long paths.
    let (mut term, mut total) = (0.0f64, 0.0f64);
    for i in 1..steps {
        term += x.ln() - (i as f64).ln();
        let (high, low) = if term > total { (term, total) } else { (total, term) };
        total = high + (low - high).exp().ln_1p();
    }
    ((x - total) / std::f64::consts::LN_2).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::path_bits;

    #[test]
    fn one_step_keeps_its_bits_and_none_has_none() {
        assert_eq!(path_bits(13.5, 1), 13.5);
        assert_eq!(path_bits(0.0, 7), 0.0);
        assert_eq!(path_bits(0.0, 0), 0.0);
    }

    #[test]
    fn two_steps_are_the_chi_square_of_four_degrees() {
        // p = 0.01 and 0.05: χ² = 15.2018 with 4 degrees of freedom, upper tail 0.0043004.
        let sum = -(0.01f64.log2() + 0.05f64.log2());
        let p = 2f64.powf(-path_bits(sum, 2));
        assert!((p - 0.004_300_4).abs() < 1e-6, "{p}");
    }

    #[test]
    fn a_step_of_no_bits_takes_away_and_a_rare_one_adds() {
        assert!(path_bits(20.0, 2) < path_bits(20.0, 1));
        assert!(path_bits(32.0, 2) > path_bits(16.0, 1));
        assert!(path_bits(1e6, 1_000_000).is_finite());
        // Ordinary steps, one bit and a bit each, are no surprise however many there are.
        assert!(path_bits(1500.0, 1000) < 4.0, "{}", path_bits(1500.0, 1000));
    }

    proptest::proptest! {
        #[test]
        fn never_more_than_the_sum(sum in 0.0f64..5000.0, steps in 1usize..2000) {
            let bits = path_bits(sum, steps);
            proptest::prop_assert!(bits >= 0.0 && bits <= sum + 1e-9);
        }

        #[test]
        fn more_is_more(sum in 0.0f64..500.0, more in 0.1f64..50.0, steps in 1usize..100) {
            proptest::prop_assert!(path_bits(sum + more, steps) >= path_bits(sum, steps) - 1e-9);
        }
    }
}
