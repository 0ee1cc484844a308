//! What `/proc` says of processes that started before the agent.

use std::{fs, sync::Arc};

/// A process as `/proc` shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// Task name.
    pub comm: String,
    /// The file it runs, if it may be read.
    pub exe: Option<Arc<str>>,
    /// Its parent's thread group id.
    pub parent: u32,
    /// Session id.
    pub session: u32,
}

/// Clock ticks of `/proc` in nanoseconds: `USER_HZ` is 100 on every architecture the agent runs on.
const TICK: u64 = 10_000_000;

/// Looks a process up, and makes sure that it is the one that started at `start` nanoseconds after boot: numbers are reused.
#[must_use]
pub fn look_up(tgid: u32, start: u64) -> Option<Seen> {
    let (seen, ticks) = parse(&fs::read_to_string(format!("/proc/{tgid}/stat")).ok()?)?;
    let exe = exe(tgid);
    (ticks == start / TICK).then_some(Seen { exe, ..seen })
}

/// The file that a process runs.
#[must_use]
pub fn exe(tgid: u32) -> Option<Arc<str>> {
    let path = fs::read_link(format!("/proc/{tgid}/exe")).ok()?;
    let path = path.to_string_lossy();
    let path = path.strip_suffix(" (deleted)").unwrap_or(&path);
    Some(match path.strip_prefix("/memfd:") {
        Some(name) => format!("memfd:{name}").into(),
        None => path.into(),
    })
}

/// Reads a line of `/proc/PID/stat`. The name stands in parentheses and may hold anything, parentheses too.
fn parse(stat: &str) -> Option<(Seen, u64)> {
    let (head, tail) = stat.rsplit_once(") ")?;
    let (_, comm) = head.split_once(" (")?;
    let fields: Vec<&str> = tail.split(' ').collect();
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    let seen = Seen {
        comm: comm.to_owned(),
        exe: None,
        parent: u32::try_from(number(1)?).ok()?,
        session: u32::try_from(number(3)?).unwrap_or(0),
    };
    Some((seen, number(19)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_may_hold_anything() {
        let fields: Vec<String> = (4..=25).map(|field: u32| field.to_string()).collect();
        let stat = format!("7 (a) (b) S {}", fields.join(" "));
        let (seen, ticks) = parse(&stat).unwrap();
        assert_eq!((seen.comm.as_str(), seen.parent, seen.session, ticks), ("a) (b", 4, 6, 22));
        assert_eq!(parse("7 (x) S 1"), None);
        assert_eq!(parse(""), None);
    }

    #[test]
    fn a_reused_number_is_not_taken_for_the_process() {
        assert_eq!(look_up(std::process::id(), 0), None);
    }
}
