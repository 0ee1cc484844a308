//! How much of what was counted is left after some days, in whole numbers (docs/model.md §3, "Decay").

/// The weight of a day that counts in full.
pub const FULL: u16 = 256;
/// The longest half-life, in days.
pub const MAX_HALF_LIFE: u32 = 730;

/// The weight of what is `age` days old: round(256 · 2^(−age/half_life)), and 0 from eight half-lives on.
///
/// `half_life` is taken as 1 to [`MAX_HALF_LIFE`]. The rounding is exact: w is the greatest whole number with
/// (2w − 1)^half_life ≤ 2^(9 · half_life − age), so that every implementation finds the same one.
pub fn weight(age: u32, half_life: u32) -> u16 {
    let half_life = half_life.clamp(1, MAX_HALF_LIFE);
    if age >= 8 * half_life {
        return 0;
    }
    let fits = |w: u16| bits_of_power(2 * u32::from(w) - 1, half_life) <= 9 * half_life - age;
    // The greatest w that fits, by its bits from the highest down; 1 always fits.
    (0..9).rev().map(|bit| 1 << bit).fold(0, |w, bit| if w + bit <= FULL && fits(w + bit) { w + bit } else { w })
}

/// What is left of `n` occurrences: a part of one is one.
pub fn decayed(n: u32, weight: u16) -> u32 {
    (u64::from(n) * u64::from(weight)).div_ceil(u64::from(FULL)) as u32
}

/// The length in bits of `base` to the power of `exponent`.
fn bits_of_power(base: u32, exponent: u32) -> u32 {
    let mut number = vec![1u32]; // low words first
    for _ in 0..exponent {
        let mut carry = 0u64;
        for word in &mut number {
            carry += u64::from(*word) * u64::from(base);
            *word = carry as u32;
            carry >>= 32;
        }
        if carry > 0 {
            number.push(carry as u32);
        }
    }
    let top = number.last().map_or(0, |word| 32 - word.leading_zeros());
    (number.len() as u32 - 1) * 32 + top
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weight_is_the_rounded_power() {
        for half_life in [1, 2, 3, 7, 30, 90, 365, 730] {
            for age in (0..8 * half_life).step_by(1 + half_life as usize / 20) {
                let exact = 256.0 * (-f64::from(age) / f64::from(half_life)).exp2();
                let got = f64::from(weight(age, half_life));
                assert!((got - exact).abs() < 0.500_001, "{age} days of {half_life}: {got}, {exact}");
            }
            assert_eq!([weight(0, half_life), weight(half_life, half_life)], [256, 128]);
            assert!(weight(8 * half_life - 1, half_life) > 0);
            assert_eq!([weight(8 * half_life, half_life), weight(u32::MAX, half_life)], [0, 0]);
        }
    }

    #[test]
    fn a_part_of_one_is_one_and_nothing_is_nothing() {
        assert_eq!([decayed(1, 1), decayed(256, 1), decayed(257, 1)], [1, 1, 2]);
        assert_eq!([decayed(0, 256), decayed(5, 0)], [0, 0]);
        assert_eq!([decayed(u32::MAX, FULL), decayed(u32::MAX, 128)], [u32::MAX, 1 << 31]);
    }
}
