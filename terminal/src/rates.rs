//! Rates and shares as people read them: three digits, nobody knows more.

/// What stands for a figure that is none.
const NONE: &str = "–";
const SCALES: [(f64, &str); 5] = [(1.0, ""), (1e3, " k"), (1e6, " M"), (1e9, " G"), LARGEST];
const LARGEST: (f64, &str) = (1e12, " T");

/// How many a second, without what of: `980`, `43.2 k`, `4.54 M`.
#[must_use]
pub fn rate(per_second: f64) -> String {
    if !is_good(per_second) {
        return NONE.to_owned();
    }
    let fits = |(scale, _): &&(f64, &str)| per_second / scale < 999.5;
    let (scale, name) = SCALES.iter().find(fits).unwrap_or(&LARGEST);
    let value = per_second / scale;
    // Below a thousand there are whole ones only.
    let digits = if name.is_empty() { format!("{value:.0}") } else { three(value) };
    digits + name
}

/// What memory gives, in the unit in which makers of memory say it: `0.45 GB/s`, `22.1 GB/s`.
#[must_use]
pub fn bandwidth(bytes_per_second: f64) -> String {
    if is_good(bytes_per_second) { three(bytes_per_second / 1e9) + " GB/s" } else { NONE.to_owned() }
}

/// `0.8 %`, `6 %`, `150 %`
#[must_use]
pub fn percent(share: f64) -> String {
    match share {
        share if !share.is_finite() => NONE.to_owned(),
        share if share != 0.0 && share.abs() < 0.01 => format!("{:.1} %", share * 100.0),
        share => format!("{:.0} %", share * 100.0),
    }
}

fn is_good(figure: f64) -> bool {
    figure.is_finite() && figure > 0.0
}

/// `4.54`, `43.2`, `432`
fn three(value: f64) -> String {
    let texts = [format!("{value:.2}"), format!("{value:.1}")];
    texts.into_iter().find(|text| text.len() <= 4).unwrap_or_else(|| format!("{value:.0}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_have_three_digits() {
        let rates = [12.0, 999.4, 999.6, 1234.0, 43_210.0, 999_600.0, 1.25e6, 40.38e6, 432e6, 1.2e9, 5e15].map(rate);
        let read =
            ["12", "999", "1.00 k", "1.23 k", "43.2 k", "1.00 M", "1.25 M", "40.4 M", "432 M", "1.20 G", "5000 T"];
        assert_eq!(rates, read.map(str::to_owned));
        assert_eq!([0.0, -1.0, f64::NAN, f64::INFINITY].map(rate), [NONE; 4].map(str::to_owned));
    }

    #[test]
    fn memory_is_said_as_its_makers_do() {
        let rates = [3.2e9, 22.13e9, 9.996e9, 99.96e9, 3.35e12, 0.453e9, 0.0].map(bandwidth);
        let read = ["3.20 GB/s", "22.1 GB/s", "10.0 GB/s", "100 GB/s", "3350 GB/s", "0.45 GB/s", NONE];
        assert_eq!(rates, read.map(str::to_owned));
    }

    #[test]
    fn shares_are_percent() {
        let shares = [0.0, 0.004, 0.06, 1.5, f64::NAN].map(percent);
        assert_eq!(shares, ["0 %", "0.4 %", "6 %", "150 %", NONE].map(str::to_owned));
    }
}
