//! What can go wrong on the way from the kernel to the archive. Each displays as one line, `WHAT: WHERE: WHY; next step`.

use std::path::PathBuf;

/// Says a line on standard error. Nobody may read it any more, or its disk be full: that ends nothing.
#[macro_export]
macro_rules! say {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), $($text)*);
    }};
}

/// An error of the agent.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The process may not load programs.
    #[error("no rights: process: {0} missing; run as root, or grant CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN")]
    Rights(String),
    /// The kernel's type information cannot be used.
    #[error("no type information: {}: {why}; the kernel must be built with CONFIG_DEBUG_INFO_BTF", .path.display())]
    Btf {
        /// The file.
        path: PathBuf,
        /// Reason in words.
        why: String,
    },
    /// There is no unified cgroup hierarchy.
    #[error("no cgroup v2: /proc/self/mounts: {0}")]
    NoCgroup2(&'static str),
    /// The path given is not a cgroup.
    #[error("not a cgroup v2 folder: {}: {why}; name a folder below {}", .path.display(), .mount.display())]
    NotCgroup {
        /// The path given.
        path: PathBuf,
        /// Reason in words.
        why: String,
        /// Where cgroup v2 is mounted.
        mount: PathBuf,
    },
    /// The archive folder cannot be used.
    #[error("cannot write archive: {}: {why}", .path.display())]
    Archive {
        /// The folder.
        path: PathBuf,
        /// Reason in words.
        why: String,
    },
    /// The kernel refused the maps.
    #[error("cannot load: kernel object: {0}; ebbline-agent doctor says what this kernel takes")]
    Load(String),
    /// A program that capture cannot do without was refused.
    #[error("cannot attach: {hook}: {why}; ebbline-agent doctor says what this kernel takes")]
    Attach {
        /// Name of the program.
        hook: &'static str,
        /// Reason in words.
        why: String,
    },
    /// A ring size that the kernel would not take.
    #[error("bad ring size: {0} bytes: not a power of two of at least a page ({page})", page = rustix::param::page_size())]
    RingSize(u32),
    /// Reading the kernel's counters or waiting for it failed.
    #[error("cannot read: {what}: {why}")]
    Read {
        /// What was read.
        what: String,
        /// Reason in words.
        why: String,
    },
    /// The metrics page cannot be served.
    #[error("no metrics: {address}: {why}; use another --metrics")]
    Metrics {
        /// Where it was to be.
        address: std::net::SocketAddr,
        /// Reason in words.
        why: String,
    },
    /// Nobody listens at a status socket.
    #[error("no agent: {}: {why}; start one with ebbline-agent run", .path.display())]
    NoAgent {
        /// The socket.
        path: PathBuf,
        /// Reason in words.
        why: String,
    },
    /// The status socket is another user's.
    #[error("permission denied: {}: only the agent's user may ask, mostly root; try sudo", .0.display())]
    StatusDenied(PathBuf),
    /// What listens does not answer, or not with a status.
    #[error("no answer: {}: {why}", .path.display())]
    NoAnswer {
        /// The socket.
        path: PathBuf,
        /// Reason in words.
        why: String,
    },
    /// The baseline cannot be used.
    #[error("{0}")]
    Baseline(String),
    /// The backend asked for is not there.
    #[error("{0}")]
    Backend(String),
    /// The process that scores could not be started, said what was wrong, or was sent nonsense.
    #[error("{0}")]
    Scorer(String),
}

/// Text as one line that no terminal acts on: paths can hold anything.
#[must_use]
pub fn one_line(text: &str) -> String {
    let joined = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut out = String::with_capacity(joined.len());
    for c in joined.chars() {
        if terminal::is_hidden(c) { out.extend(c.escape_unicode()) } else { out.push(c) }
    }
    out
}

/// Long causes, as the verifier's, cut to their telling end.
pub(crate) fn last_line(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    let noise = |line: &&str| {
        !line.trim().is_empty()
            && !line.starts_with("processed ")
            && !line.starts_with("verification time")
            && !line.starts_with("stack depth")
    };
    let lines: Vec<&str> = text.lines().filter(noise).collect();
    match lines.as_slice() {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [first, .., last] => format!("{} … {}", first.trim(), last.trim()),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_error_stays_one_line_and_moves_no_cursor() {
        assert_eq!(super::one_line("a\nb \u{1b}[2Jc"), "a b \\u{1b}[2Jc");
    }
}
