//! Times of other programs' files, by fixed rules (docs/contracts.md §5, "Times").

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{Array, ArrayRef, TimestampNanosecondArray};
use arrow_cast::cast;
use arrow_schema::{DataType, TimeUnit};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// A number of seconds below this in size is one of seconds; a thousand times more each for milli- and microseconds.
const SECONDS_BELOW: u64 = 100_000_000_000;

/// How web servers write a time: `21/Nov/2026:14:03:07 +0000`.
const LOG_FORMAT: &str = "%d/%b/%Y:%H:%M:%S %z";

/// Times of day differ by this many minutes from UTC at most.
const MAX_OFFSET: u32 = 18 * 60;

/// Nanoseconds since 1970 UTC of a text: a number, RFC 3339, a date and a time without an offset (then UTC) or the format
/// of web servers' logs. Else why it is no time, if there is more to say.
pub(super) fn of_text(text: &str) -> Result<i64, &'static str> {
    const NONE: &str = "";
    let text = text.trim();
    if text.bytes().all(|b| b.is_ascii_digit() || b == b'-') && !text.get(1..).ok_or(NONE)?.contains('-') {
        return of_integer(text.parse().map_err(|_| NONE)?).ok_or(NONE);
    }
    if let Ok(number) = text.parse::<f64>() {
        return of_float(number).ok_or(NONE);
    }
    let offset = offset_of(text);
    if offset.is_some_and(|minutes| minutes > MAX_OFFSET) {
        return Err("offsets reach to 18:00");
    }
    // What people write for UTC behind a time without an offset.
    let plain = [" UTC", " Z", " GMT"].iter().find_map(|end| text.strip_suffix(end)).filter(|_| offset.is_none());
    let plain = plain.unwrap_or(text).trim_end();
    if let Ok(stamp) = text.parse::<Timestamp>() {
        return i64::try_from(stamp.as_nanosecond()).map_err(|_| NONE);
    }
    if let Ok(time) = plain.parse::<DateTime>() {
        if plain.contains('[') {
            return Err("names of time zones are not read; give the offset");
        }
        let stamp = time.to_zoned(TimeZone::UTC).map_err(|_| NONE)?.timestamp();
        return i64::try_from(stamp.as_nanosecond()).map_err(|_| NONE);
    }
    let stamp = Timestamp::strptime(LOG_FORMAT, text.trim_matches(['[', ']'])).map_err(|_| NONE)?;
    i64::try_from(stamp.as_nanosecond()).map_err(|_| NONE)
}

/// Minutes of the offset that ends a text (`+01:00`, `-0430`, `+02`), whatever its sign; a zone in brackets may be behind.
fn offset_of(text: &str) -> Option<u32> {
    let text = text.trim_matches(['[', ']']);
    let text = text.split('[').next()?;
    // The dashes of the date are no signs.
    let time = text.get("2026-11-21".len()..)?;
    let digits: String = time[time.rfind(['+', '-'])? + 1..].chars().filter(|c| *c != ':').collect();
    let (hours, minutes) = (digits.get(..2)?.parse::<u32>().ok()?, digits.get(2..4).unwrap_or("00"));
    Some(hours * 60 + minutes.parse::<u32>().ok()?)
}

/// A value that is no time, in words.
pub(super) fn no_time(shown: &str, why: &str) -> String {
    let colon = if why.is_empty() { "" } else { ": " };
    format!("{shown:?} is no time{colon}{why}")
}

/// Of a whole number since 1970: seconds, milli-, micro- or nanoseconds, by its size.
fn of_integer(number: i64) -> Option<i64> {
    let scale = match number.unsigned_abs() / SECONDS_BELOW {
        0 => 1_000_000_000,
        1..1_000 => 1_000_000,
        1_000..1_000_000 => 1_000,
        _ => 1,
    };
    number.checked_mul(scale)
}

/// Of a fraction since 1970: seconds or milliseconds, by its size, to the nearest microsecond, as no float is finer today.
fn of_float(number: f64) -> Option<i64> {
    let micros = if number.abs() < SECONDS_BELOW as f64 { number * 1e6 } else { number * 1e3 };
    (micros.abs() < 9e15).then(|| (micros.round() as i64) * 1_000)
}

/// The column as timestamps, or the first row whose time cannot be read. What already is a timestamp stays, and so does
/// what can be none.
pub(super) fn of_column(array: &ArrayRef) -> Result<ArrayRef, (usize, String)> {
    let shown = |row: usize, what: &dyn std::fmt::Display| (row, no_time(&what.to_string(), ""));
    let wide = |to: DataType| cast(array, &to).map_err(|e| (0, e.to_string()));
    match array.data_type() {
        DataType::Date32 | DataType::Date64 => wide(DataType::Timestamp(TimeUnit::Nanosecond, None)),
        t if t.is_integer() => {
            let numbers = wide(DataType::Int64)?;
            collect(array, |row| {
                let number = numbers.as_primitive::<Int64Type>().value(row);
                of_integer(number).filter(|_| numbers.is_valid(row)).ok_or_else(|| shown(row, &number))
            })
        }
        t if t.is_floating() => {
            let numbers = wide(DataType::Float64)?;
            collect(array, |row| {
                let number = numbers.as_primitive::<Float64Type>().value(row);
                of_float(number).ok_or_else(|| shown(row, &number))
            })
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Dictionary(..) => {
            let texts = wide(DataType::Utf8)?;
            collect(array, |row| {
                let text = texts.as_string::<i32>().value(row);
                of_text(text).map_err(|why| (row, no_time(&shorten(text), why)))
            })
        }
        _ => Ok(array.clone()),
    }
}

/// The beginning of a text, for messages.
pub(super) fn shorten(text: &str) -> String {
    const SHOWN: usize = 40;
    match text.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

type Failed = (usize, String);

fn collect(array: &ArrayRef, of: impl Fn(usize) -> Result<i64, Failed>) -> Result<ArrayRef, Failed> {
    let times = (0..array.len()).map(|row| if array.is_valid(row) { of(row).map(Some) } else { Ok(None) });
    let times: TimestampNanosecondArray = times.collect::<Result<_, _>>()?;
    Ok(std::sync::Arc::new(times))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-21T14:03:07Z
    const SECOND: i64 = 1_795_269_787;

    #[test]
    fn one_instant_in_many_spellings() {
        let instant = SECOND * 1_000_000_000 + 250_000_000;
        for text in [
            "2026-11-21T14:03:07.25Z",
            "2026-11-21T14:03:07.250+00:00",
            "2026-11-21T15:03:07.250000+0100",
            "2026-11-21 14:03:07.250",
            "2026-11-21T14:03:07,25",
            "1795269787.25",
            "1795269787.250000",
            "1795269787250",
            "1795269787250000",
            "1795269787250000000",
            "1.79526978725e9",
            "2026-11-21 14:03:07.25 UTC",
            "2026-11-21 14:03:07.25 Z",
            "2026-11-21T14:03:07.250  GMT",
            "2026-11-21T15:03:07.25+01:00[Europe/Berlin]",
            "2026-11-22T08:03:07.25+18:00",
        ] {
            assert_eq!(of_text(text), Ok(instant), "{text}");
        }
        assert_eq!(of_text("21/Nov/2026:14:03:07 +0000"), Ok(SECOND * 1_000_000_000));
        assert_eq!(of_text("[21/Nov/2026:15:03:07 +0100]"), Ok(SECOND * 1_000_000_000));
        assert_eq!(of_text("2026-11-21"), Ok((SECOND - 14 * 3600 - 187) * 1_000_000_000));
        assert_eq!((of_text("0"), of_text("-1")), (Ok(0), Ok(-1_000_000_000)));
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in ["", "-", "--", "yesterday", "2026-13-01 00:00:00", "NaN", "inf", "1e300", "12:00", "é", "9-9"] {
            assert_eq!(of_text(text), Err(""), "{text}");
        }
    }

    #[test]
    fn what_would_be_another_time_than_was_meant_is_refused_with_the_reason() {
        let zone = Err("names of time zones are not read; give the offset");
        assert_eq!(of_text("2026-11-10T08:00:00[Europe/Berlin]"), zone);
        assert_eq!(of_text("2026-11-10 08:00[UTC]"), zone);
        let offset = Err("offsets reach to 18:00");
        for text in ["2026-11-10T08:00:00+25:00", "2026-11-10 08:00:00-1801", "10/Nov/2026:08:00:00 +1900"] {
            assert_eq!(of_text(text), offset, "{text}");
        }
        assert_eq!(of_text("2026-11-10T08:00:00+01:00 UTC"), Err(""), "two at once");
    }

    #[test]
    fn microseconds_of_a_float_survive() {
        for micros in [0, 1, 123_456, 499_999, 999_999] {
            let text = format!("{SECOND}.{micros:06}");
            assert_eq!(of_text(&text), Ok(SECOND * 1_000_000_000 + micros * 1_000), "{text}");
        }
    }
}
