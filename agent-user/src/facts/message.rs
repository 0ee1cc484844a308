//! The questions, and what answers them.

use crate::{load::KernelCounts, usage::Usage};
use bytemuck::Pod;
use serde::{Deserialize, Serialize};

/// Entries of a table in one message.
pub(super) const PART: usize = 2048;
/// Entries of a table that are taken together: more than any of the tables holds.
pub(super) const LIST_MAX: usize = 1 << 17;

/// Everything that can be asked. Who asks may have been taken over: nothing here changes more than the agent's own
/// tables, and nothing names a file but what a process runs, a cgroup, or the files of container runtimes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Question {
    /// Link `exe`, files `status` and `stat` of a process.
    Process {
        /// Its number.
        tgid: u32,
    },
    /// Link `exe`.
    Exe {
        /// Its number.
        tgid: u32,
    },
    /// Files `cmdline`, as far as a record holds it, and `stat`.
    Arguments {
        /// Its number.
        tgid: u32,
    },
    /// File `status` of a thread, if the process that names it numbers others as the agent does.
    Traced {
        /// The process.
        tracer: u32,
        /// The thread.
        tid: u32,
    },
    /// Link `cwd`.
    Folder {
        /// Its number.
        tgid: u32,
    },
    /// The path of a cgroup.
    Cgroup {
        /// Its id.
        id: u64,
        /// A process that is or was in it.
        tgid: u32,
    },
    /// A file of a container's runtime.
    ContainerFile {
        /// The container's id.
        id: String,
        /// Which of the files that there may be.
        place: u32,
    },
    /// The kernel's counters.
    Counts,
    /// The flows that are over.
    Flows {
        /// At this time, in nanoseconds since boot; all, if there is none.
        now: Option<u64>,
        /// Those that were silent for so many nanoseconds are.
        idle: u64,
    },
    /// Take flows out: plain bytes of each key and of when it began.
    RemoveFlows(Vec<u8>),
    /// The processes that make too many events.
    Throttled,
    /// Take some of them out: plain bytes of each key and of when it began to.
    RemoveThrottled(Vec<u8>),
    /// Take all programs out of the kernel.
    Detach,
    /// New iterators over what is there already.
    Iterators,
    /// The counters that an earlier run left.
    LeftBy {
        /// The run.
        run: String,
    },
    /// What earlier runs left is accounted for.
    Accounted,
    /// Runs that left counters, this one aside.
    Left,
    /// This run has ended well: nobody will have to account for it.
    Ended,
    /// The latest note of the journal, to be kept for whoever goes on.
    Keep(Vec<u8>),
    /// What the process that answers uses.
    Usage,
}

/// What answers a question.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Answer {
    /// It is not there, cannot be told, or is done.
    Nothing,
    /// A file, or the target of a link.
    Bytes(Vec<u8>),
    /// Of a process.
    Process {
        /// Target of its link `exe`.
        exe: Option<Vec<u8>>,
        /// File `status`.
        status: Option<Vec<u8>>,
        /// File `stat`, read last: if it is the process's, the others are.
        stat: Option<Vec<u8>>,
    },
    /// Arguments of a process.
    Arguments {
        /// Those that a record would hold.
        bytes: Option<Vec<u8>>,
        /// How many bytes there are.
        len: u32,
        /// File `stat`, read last.
        stat: Option<Vec<u8>>,
    },
    /// The kernel's counters.
    Counts(Box<KernelCounts>),
    /// Runs, and when each began in nanoseconds UTC.
    Runs(Vec<(String, i64)>),
    /// Entries of a table: plain bytes of each key and value.
    Part {
        /// The entries.
        plain: Vec<u8>,
        /// There are more in a further message.
        more: bool,
    },
    /// What a process uses.
    Usage(Usage),
    /// Names of iterators; their descriptors come with them.
    Iterators(Vec<String>),
    /// The kernel refused.
    Failed {
        /// What was tried.
        what: String,
        /// Reason in words.
        why: String,
    },
}

/// Keys and values as plain bytes, one behind the other.
pub(super) fn plain<K: Pod, V: Pod>(pairs: &[(K, V)]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(pairs.len() * (size_of::<K>() + size_of::<V>()));
    for (key, value) in pairs {
        plain.extend_from_slice(bytemuck::bytes_of(key));
        plain.extend_from_slice(bytemuck::bytes_of(value));
    }
    plain
}

/// The same back, if they are whole.
pub(super) fn pairs<K: Pod, V: Pod>(plain: &[u8]) -> Option<Vec<(K, V)>> {
    let whole = plain.chunks_exact(size_of::<K>() + size_of::<V>());
    let pair = |bytes: &[u8]| {
        let (key, value) = bytes.split_at(size_of::<K>());
        (bytemuck::pod_read_unaligned(key), bytemuck::pod_read_unaligned(value))
    };
    whole.remainder().is_empty().then(|| whole.map(pair).collect())
}
