//! The only logarithm of the model: base 2 in Q16, from a table made by integer arithmetic (docs/model.md §4).

/// `LOG[m] = round(65536 · log2(1 + m/2048))`, made at compile time so that no platform's `log2` matters.
pub static LOG: [u32; 2048] = {
    let mut table = [0; 2048];
    let mut m = 0;
    while m < 2048 {
        table[m] = log_of_mantissa(m as u64);
        m += 1;
    }
    table
};

/// `round(65536 · log2(1 + m/2048))` by squaring: each square yields one binary digit of the logarithm.
const fn log_of_mantissa(m: u64) -> u32 {
    let mut x = (2048 + m) << 51; // 1 + m/2048 in Q62
    let mut digits: u32 = 0;
    let mut i = 0;
    while i < 24 {
        let square = (x as u128 * x as u128) >> 62;
        let two = square >> 63;
        digits = digits << 1 | two as u32;
        x = (square >> two) as u64;
        i += 1;
    }
    (digits + 128) >> 8
}

/// `log2(x)` in Q16; `lg(0) = 0`. Exact to rounding for `x < 4096`, above that low by less than 0.0008 bits.
#[inline]
pub const fn lg(x: u32) -> u32 {
    let x = if x == 0 { 1 } else { x };
    let zeros = x.leading_zeros();
    let m = (x << zeros) >> 20 & 2047;
    ((31 - zeros) << 16) + LOG[m as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exact(x: u32) -> f64 {
        f64::from(x).log2() * 65536.0
    }

    #[test]
    fn small_numbers_are_exact_to_rounding() {
        for x in 1..4096 {
            assert_eq!(lg(x), exact(x).round() as u32, "lg({x})");
        }
    }

    #[test]
    fn large_numbers_are_low_by_little() {
        let mut x: u32 = 4096;
        while let Some(next) = x.checked_add(x / 997 + 1) {
            let low = exact(x) - f64::from(lg(x));
            assert!((-0.51..0.0008 * 65536.0).contains(&low), "lg({x}) is low by {low}");
            assert!(lg(next) >= lg(x));
            x = next;
        }
        assert_eq!(lg(u32::MAX), (31 << 16) + LOG[2047]);
        assert_eq!(lg(0), 0);
    }
}
