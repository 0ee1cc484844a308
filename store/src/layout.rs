//! Names of archive files: `TABLE/day=YYYY-MM-DD/host=NAME/START-SEQUENCE.parquet`, all in UTC.

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use crate::whole::hex;

const HOUR_NS: i64 = 3_600_000_000_000;

/// UTC hour since the epoch that a time in nanoseconds falls in.
#[must_use]
pub fn hour_of(time_ns: i64) -> i64 {
    time_ns.div_euclid(HOUR_NS)
}

fn timestamp(time_ns: i64) -> Timestamp {
    // Every i64 of nanoseconds (years 1677 to 2262) is inside jiff's range.
    Timestamp::from_nanosecond(i128::from(time_ns)).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// `2026-11-21`.
#[must_use]
pub fn day_text(time_ns: i64) -> String {
    timestamp(time_ns).strftime("%Y-%m-%d").to_string()
}

/// What the clock says, in nanoseconds since 1970, UTC.
#[must_use]
pub fn utc_now() -> i64 {
    i64::try_from(Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX)
}

/// `2026-11-21 14:00:05`, UTC, for people.
#[must_use]
pub fn time_text(time_ns: i64) -> String {
    timestamp(time_ns).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// `2026-11-21T14:00:05.123456789Z`, for programs.
#[must_use]
pub fn rfc3339(time_ns: i64) -> String {
    timestamp(time_ns).to_string()
}

/// The time (ns since 1970) that [`rfc3339`] wrote so; `None` if it is none.
#[must_use]
pub fn from_rfc3339(text: &str) -> Option<i64> {
    let time: jiff::Timestamp = text.parse().ok()?;
    i64::try_from(time.as_nanosecond()).ok()
}

/// `20261121T140005Z`, the start of a file name.
#[must_use]
pub fn stamp(time_ns: i64) -> String {
    timestamp(time_ns).strftime("%Y%m%dT%H%M%SZ").to_string()
}

/// Folder of a table, day and host, relative to the archive.
#[must_use]
pub fn table_folder(table: &str, time_ns: i64, host: &str) -> String {
    format!("{}/day={}/host={}", safe(table), day_text(time_ns), safe(host))
}

/// Whether the folder `host=FOLDER` of an archive can be that of a host, also in an archive of an earlier release, which
/// wrote `_` for other characters.
#[must_use]
pub fn is_folder_of(folder: &str, host: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    folder == safe(host) || folder.chars().eq(host.chars().map(|c| if plain(c) { c } else { '_' }))
}

/// File name for the time of the first row and a sequence number.
#[must_use]
pub fn file_name(time_ns: i64, sequence: u32) -> String {
    format!("{}-{sequence:06}.parquet", stamp(time_ns))
}

/// Name of a findings file that is written live: two agents, or two starts of one, never share it.
#[must_use]
pub fn live_name(host: &str, started_ns: i64, process: u32, sequence: u32) -> String {
    let nanos = started_ns.rem_euclid(1_000_000_000);
    format!("live-{}-{}-{nanos:09}-{process}-{sequence:06}", safe(host), stamp(started_ns))
}

/// A file of a table, by its path relative to the archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TableFile<'a> {
    /// Table.
    pub(crate) table: &'a str,
    /// Host, as in the name of its folder.
    pub(crate) host: &'a str,
    /// The time in its name, in nanoseconds since 1970.
    pub(crate) start: i64,
}

impl<'a> TableFile<'a> {
    /// Takes a path apart, if it is of the layout to the letter.
    pub(crate) fn of(relative: &'a str) -> Option<Self> {
        let mut parts = relative.split('/');
        let (table, day, host, name) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let (day, host) = (day.strip_prefix("day=")?, host.strip_prefix("host=")?);
        let (stamp_text, sequence) = name.strip_suffix(".parquet")?.split_once('-')?;
        let numbered = (6..=10).contains(&sequence.len()) && sequence.bytes().all(|b| b.is_ascii_digit());
        let start = start_of(stamp_text)?;
        let plain = parts.next().is_none() && is_safe(table) && is_safe(host);
        (plain && numbered && day_text(start) == day).then_some(Self { table, host, start })
    }
}

/// The time that [`stamp`] writes, to the second.
fn start_of(text: &str) -> Option<i64> {
    let time = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", text).ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    let time = time.timestamp().as_nanosecond().clamp(i64::MIN.into(), i64::MAX.into());
    let time = i64::try_from(time).ok()?;
    (stamp(time) == text).then_some(time)
}

/// Bytes of a name in a path; what stands before and after it must fit, too.
const NAME_BYTES: usize = 200;
/// Digits of the digest at the end of a name that was cut.
const DIGEST_DIGITS: usize = 16;

/// A host name is outside input: nothing in it may leave its folder or hide it. Letters, digits, `_`, `-` and `.` stay, but
/// for a first `.`; other bytes become `%` and two digits, so that two names never share a folder. One that is too long is
/// cut, and ends in `%%` and a digest.
pub(crate) fn safe(name: &str) -> String {
    let escaped: Vec<String> = name.bytes().enumerate().map(|(at, byte)| escaped(at, byte)).collect();
    let bytes: usize = escaped.iter().map(String::len).sum();
    match bytes {
        // Refused where names are taken in: here it only must be no other's.
        0 => "%".to_owned(),
        1..=NAME_BYTES => escaped.concat(),
        _ => {
            let mut room = NAME_BYTES - DIGEST_DIGITS - 2;
            let fits = |one: &&String| {
                room = room.saturating_sub(one.len());
                room > 0
            };
            let kept: String = escaped.iter().take_while(fits).map(String::as_str).collect();
            format!("{kept}%%{}", &hex(&Sha256::digest(name))[..DIGEST_DIGITS])
        }
    }
}

fn escaped(at: usize, byte: u8) -> String {
    match byte {
        b'.' if at > 0 => ".".to_owned(),
        b'_' | b'-' => char::from(byte).to_string(),
        _ if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    }
}

/// Whether [`safe`] may have made this name.
fn is_safe(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'%');
    (1..=NAME_BYTES).contains(&name.len()) && !name.starts_with('.') && name.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_contract() {
        let time = 1_795_269_605_123_456_789; // 2026-11-21 14:00:05 UTC
        assert_eq!(table_folder("process", time, "web1"), "process/day=2026-11-21/host=web1");
        assert_eq!(file_name(time, 1), "20261121T140005Z-000001.parquet");
        assert_eq!(live_name("a/b", time, 7, 1), "live-a%2Fb-20261121T140005Z-123456789-7-000001");
        assert_eq!(hour_of(-1), -1);
        let relative = format!("{}/{}", table_folder("process", time, "web1"), file_name(time, 1));
        let start = time - time.rem_euclid(1_000_000_000);
        assert_eq!(TableFile::of(&relative), Some(TableFile { table: "process", host: "web1", start }));
    }

    #[test]
    fn a_path_that_is_not_of_the_layout_is_nobodys() {
        for relative in [
            "",
            "process/day=2026-11-21/host=web1/20261121T140005Z-000001.parquet.tmp",
            "process/day=2026-11-22/host=web1/20261121T140005Z-000001.parquet",
            "process/day=2026-11-21/host=web1/x/20261121T140005Z-000001.parquet",
            "process/day=2026-11-21/host=web1/20261121T250005Z-000001.parquet",
            "process/day=2026-11-21/host=web1/20261121T140005Z-1.parquet",
            "process/day=2026-11-21/host=../20261121T140005Z-000001.parquet",
            "../day=2026-11-21/host=web1/20261121T140005Z-000001.parquet",
            "/day=2026-11-21/host=web1/20261121T140005Z-000001.parquet",
        ] {
            assert_eq!(TableFile::of(relative), None, "{relative}");
        }
    }

    #[test]
    fn a_host_name_stays_in_its_folder() {
        assert_eq!(safe("../../etc"), "%2E.%2F..%2Fetc");
        assert_eq!(safe("web-1.example_2"), "web-1.example_2");
        assert_eq!(safe("büro"), "b%C3%BCro");
        for name in ["", ".", "..", "a/b", "\0", "é", &"%".repeat(500), &"x".repeat(201)] {
            let safe = safe(name);
            assert!(is_safe(&safe) && safe.len() <= NAME_BYTES, "{name}: {safe}");
        }
    }

    #[test]
    fn two_names_never_share_a_folder() {
        let long = "x".repeat(300);
        let names =
            ["a/b", "a_b", "a b", "a%2Fb", "_b", ".b", "%2Eb", "", "%", "%%", "_", &long, &long[1..], &long[2..]];
        let folders: std::collections::HashSet<_> = names.iter().map(|name| safe(name)).collect();
        assert_eq!(folders.len(), names.len());
    }
}
