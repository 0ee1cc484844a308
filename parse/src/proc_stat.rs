//! The line of `/proc/PID/stat`.

/// What the line says of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stat {
    /// Task name; bytes that are no UTF-8 are replaced.
    pub comm: String,
    /// Its parent's thread group id.
    pub parent: u32,
    /// Session id.
    pub session: u32,
    /// When it started, in clock ticks after boot.
    pub start_ticks: u64,
}

/// Reads the line. The name stands in parentheses and may hold anything, parentheses too.
#[must_use]
pub fn parse(line: &[u8]) -> Option<Stat> {
    let close = line.windows(2).rposition(|pair| pair == b") ")?;
    let open = line[..close].windows(2).position(|pair| pair == b" (")?;
    let comm = String::from_utf8_lossy(&line[open + 2..close]).into_owned();
    let fields = str::from_utf8(&line[close + 2..]).ok()?;
    let number = |at: usize| fields.split(' ').nth(at)?.parse::<u64>().ok();
    Some(Stat {
        comm,
        parent: u32::try_from(number(1)?).ok()?,
        session: u32::try_from(number(3)?).unwrap_or(0),
        start_ticks: number(19)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn line(comm: &[u8]) -> Vec<u8> {
        let fields: Vec<String> = (4..=25).map(|field: u32| field.to_string()).collect();
        [b"7 (", comm, b") S ", fields.join(" ").as_bytes()].concat()
    }

    #[test]
    fn names_may_hold_anything() {
        let stat = |comm: &str| Stat { comm: comm.into(), parent: 4, session: 6, start_ticks: 22 };
        assert_eq!(parse(&line(b"a) (b")), Some(stat("a) (b")));
        assert_eq!(parse(&line(b"")), Some(stat("")));
        assert_eq!(parse(&line(b"\xff")), Some(stat("\u{fffd}")));
        assert_eq!(parse(b"7 (x) S 1"), None);
        assert_eq!(parse(b") ("), None);
        assert_eq!(parse(b""), None);
    }

    proptest! {
        #[test]
        fn never_panics(bytes: Vec<u8>) {
            let _ = parse(&bytes);
            prop_assert!(parse(&line(&bytes)).is_some_and(|stat| stat.comm.len() <= 3 * bytes.len()));
        }
    }
}
