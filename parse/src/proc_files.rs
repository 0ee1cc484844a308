//! The files `cgroup`, `cmdline` and `status` of `/proc/PID`.

/// The path in the cgroup v2 hierarchy: the line `0::/path` of `/proc/PID/cgroup`.
///
/// A process whose cgroup was removed is shown with ` (deleted)` behind the path, which is cut off.
#[must_use]
pub fn cgroup(file: &[u8]) -> Option<&[u8]> {
    let path = file.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"0::"))?;
    path.starts_with(b"/").then(|| path.strip_suffix(b" (deleted)").unwrap_or(path))
}

/// The arguments in `/proc/PID/cmdline`, each ended by a NUL; empty ones are kept. Kernel threads have none.
///
/// A process may write over its arguments: without a NUL at the end, what is there is the last one.
pub fn cmdline(file: &[u8]) -> impl Iterator<Item = &[u8]> {
    let body = file.strip_suffix(&[0]).unwrap_or(file);
    body.split(|byte| *byte == 0).filter(|_| !file.is_empty())
}

/// Whom a process acts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// Real user id.
    pub uid: u32,
    /// Effective user id.
    pub euid: u32,
    /// Real group id.
    pub gid: u32,
    /// Effective group id.
    pub egid: u32,
    /// Effective capabilities, one bit each.
    pub cap_eff: u64,
}

/// Reads the lines `Uid`, `Gid` and `CapEff` of `/proc/PID/status`; the first of each counts.
///
/// The task name comes before them, but the kernel escapes line ends in it.
#[must_use]
pub fn status(file: &[u8]) -> Option<Status> {
    let line = |key: &str| {
        let mut lines = file.split(|byte| *byte == b'\n');
        lines.find_map(|line| str::from_utf8(line.strip_prefix(key.as_bytes())?).ok())
    };
    let pair = |key: &str| {
        let mut ids = line(key)?.split_ascii_whitespace().map(|id| id.parse::<u32>().ok());
        Some((ids.next()??, ids.next()??))
    };
    let ((uid, euid), (gid, egid)) = (pair("Uid:")?, pair("Gid:")?);
    let cap_eff = u64::from_str_radix(line("CapEff:")?.trim_ascii(), 16).ok()?;
    Some(Status { uid, euid, gid, egid, cap_eff })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STATUS: &str = "Name:\tsshd\nUmask:\t0022\nState:\tS (sleeping)\nPid:\t7\nUid:\t1000\t0\t1000\t1000\n\
        Gid:\t100\t101\t100\t100\nFDSize:\t64\nGroups:\t4 24\nCapInh:\t0000000000000000\nCapEff:\t000001ffffffffff\n";

    #[test]
    fn the_unified_line_is_taken() {
        assert_eq!(cgroup(b"0::/user.slice/a b\n"), Some(&b"/user.slice/a b"[..]));
        assert_eq!(cgroup(b"12:memory:/x\n1:name=systemd:/y\n0::/\n"), Some(&b"/"[..]));
        assert_eq!(cgroup(b"0::/gone (deleted)\n"), Some(&b"/gone"[..]));
        assert_eq!(cgroup(b"12:memory:/x\n"), None);
        assert_eq!(cgroup(b""), None);
    }

    #[test]
    fn empty_arguments_are_kept() {
        let list = |file: &'static [u8]| cmdline(file).collect::<Vec<_>>();
        assert_eq!(list(b""), [b""; 0]);
        assert_eq!(list(b"\0"), [b""]);
        assert_eq!(list(b"sh\0-c\0\0"), [&b"sh"[..], b"-c", b""]);
        assert_eq!(list(b"nginx: master"), [b"nginx: master"]);
    }

    #[test]
    fn ids_and_capabilities_are_read() {
        let expected = Status { uid: 1000, euid: 0, gid: 100, egid: 101, cap_eff: 0x1ff_ffff_ffff };
        assert_eq!(status(STATUS.as_bytes()), Some(expected));
        assert_eq!(status(STATUS.replace("Gid:", "Sid:").as_bytes()), None);
        assert_eq!(status(STATUS.replace("0\t1000\t1000", "4294967296").as_bytes()), None);
        assert_eq!(status(b""), None);
    }

    proptest! {
        #[test]
        fn never_panics(bytes: Vec<u8>, cut in 0..STATUS.len()) {
            prop_assert!(cgroup(&bytes).is_none_or(|path| path.len() <= bytes.len()));
            prop_assert!(cmdline(&bytes).count() <= bytes.len());
            let _ = (status(&bytes), status(&STATUS.as_bytes()[..cut]));
        }
    }
}
