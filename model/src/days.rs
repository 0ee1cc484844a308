//! UTC days, counted from 1970, as people write them.

/// `2026-11-02`.
pub fn day_text(day: i32) -> String {
    let (year, month, day) = civil(i64::from(day));
    format!("{year:04}-{month:02}-{day:02}")
}

/// The day that is written `2026-11-02`; `None` if it is no such day.
pub fn parse_day(text: &str) -> Option<i32> {
    let [year, month, day]: [&str; 3] = text.split('-').collect::<Vec<_>>().try_into().ok()?;
    let number = |text: &str, digits: usize| {
        let plain = text.len() == digits && text.bytes().all(|b| b.is_ascii_digit());
        plain.then(|| text.parse::<i64>().ok()).flatten()
    };
    let (year, month, day) = (number(year, 4)?, number(month, 2)?, number(day, 2)?);
    let count = days(year, month, day);
    (civil(count) == (year, month, day)).then(|| i32::try_from(count).ok()).flatten()
}

/// Days before the first of March of the year 0 that 1970 begins after.
const EPOCH: i64 = 719_468;
/// Days of 400 years.
const ERA: i64 = 146_097;

/// Days since 1970 of a date in the Gregorian calendar; years begin in March, so that leap days end them.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * ERA + of_era * 365 + of_era / 4 - of_era / 100 + of_year - EPOCH
}

/// Year, month and day; the inverse of [`days`].
fn civil(days: i64) -> (i64, i64, i64) {
    let (era, of_era) = ((days + EPOCH).div_euclid(ERA), (days + EPOCH).rem_euclid(ERA));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_texts_are_each_others_inverse() {
        assert_eq!(day_text(0), "1970-01-01");
        assert_eq!(day_text(-1), "1969-12-31");
        assert_eq!(parse_day("2026-11-02"), Some(20_759));
        assert_eq!(parse_day("2000-02-29"), Some(11_016));
        for day in (-700_000..2_900_000).step_by(97) {
            if let Some(parsed) = parse_day(&day_text(day)) {
                assert_eq!(parsed, day);
            }
        }
        for wrong in ["", "2026-11", "2026-13-01", "2026-02-29", "2026-1-1", "2026-11-02-", "20x6-11-02", "+026-11-02"]
        {
            assert_eq!(parse_day(wrong), None, "{wrong}");
        }
    }
}
