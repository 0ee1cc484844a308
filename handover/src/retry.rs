//! How soon again.

use std::time::{Duration, SystemTime};

/// First pause after a failure.
const SHORTEST: Duration = Duration::from_millis(250);
/// Longest pause that we choose.
const LONGEST: Duration = Duration::from_secs(300);
/// Longest pause that a receiver can ask for.
const ASKED: Duration = Duration::from_secs(3_600);

/// The pause after so many failures in a row: twice as long each time, cut by up to a half by chance so that many senders do
/// not come back at once; longer if the receiver asked for it.
pub(crate) fn pause(failures: u32, chance: u32, asked: Option<Duration>) -> Duration {
    let grown = SHORTEST.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(LONGEST);
    let ours = grown / 2 + (grown / 2).mul_f64(f64::from(chance) / f64::from(u32::MAX));
    ours.max(asked.unwrap_or_default().min(ASKED))
}

/// What a header `Retry-After` asks for: seconds, or a date (RFC 9110, section 10.2.3). Anything else asks for nothing.
pub(crate) fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if value.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than a number has are a long time all the same.
        return (!value.is_empty()).then(|| Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    httpdate::parse_http_date(value).ok()?.duration_since(now).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn pauses_grow_to_a_bound_and_chance_cuts_them() {
        assert_eq!(pause(1, u32::MAX, None), SHORTEST);
        assert_eq!(pause(1, 0, None), SHORTEST / 2);
        assert_eq!(pause(3, u32::MAX, None), SHORTEST * 4);
        assert_eq!(pause(10_000, u32::MAX, None), LONGEST);
        assert_eq!(pause(1, 0, Some(Duration::from_secs(7))), Duration::from_secs(7));
        assert_eq!(pause(1, 0, Some(Duration::MAX)), ASKED);
        assert_eq!(pause(10_000, u32::MAX, Some(Duration::from_secs(7))), LONGEST);
    }

    #[test]
    fn a_receiver_asks_in_seconds_or_by_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let seconds = |value| retry_after(value, now).map(|asked| asked.as_secs());
        assert_eq!(seconds("120"), Some(120));
        assert_eq!(seconds(" 0 "), Some(0));
        assert_eq!(seconds("99999999999999999999999"), Some(u64::MAX));
        assert_eq!(seconds("Sun, 06 Nov 1994 08:50:37 GMT"), Some(60));
        assert_eq!(seconds("Sunday, 06-Nov-94 08:50:37 GMT"), Some(60));
        for nothing in ["", "-1", "1.5", "soon", "Sun, 06 Nov 1994 08:48:37 GMT", "１"] {
            assert_eq!(seconds(nothing), None, "{nothing}");
        }
    }

    proptest! {
        #[test]
        fn whatever_it_asks_is_borne(value in "\\PC*", failures: u32, chance: u32) {
            let asked = retry_after(&value, SystemTime::now());
            prop_assert!(pause(failures, chance, asked) <= ASKED);
        }
    }
}
