//! System calls, by seccomp: a list of those that may be made, for each role.
//!
//! Anything else fails with ENOSYS, as on a kernel that does not have it. A C library that is newer than the list then
//! falls back to what the kernels of old had, and capture goes on; a process that is taken over learns nothing either way.

use super::Role;
use seccompiler::{
    BackendError, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};
use std::collections::BTreeMap;

/// What the kernel answers to a call that is not on the list.
pub(super) const ENOSYS: u32 = 38;

const PROT_EXEC: u64 = 4;
const CLONE_THREAD: u64 = 0x1_0000;
const AF_UNIX: u64 = 1;
const AF_INET: u64 = 2;
const AF_INET6: u64 = 10;
const AF_NETLINK: u64 = 16;
const PR_SET_NAME: u64 = 15;
const TCGETS: u64 = 0x5401;
const FIONBIO: u64 = 0x5421;

/// A call by its number; `None` where the architecture has no such call.
#[derive(Debug, Clone, Copy)]
struct Number {
    x86_64: Option<i64>,
    aarch64: Option<i64>,
}

impl Number {
    fn here(self) -> Option<i64> {
        if cfg!(target_arch = "x86_64") { self.x86_64 } else { self.aarch64 }
    }
}

const fn both(x86_64: i64, aarch64: i64) -> Number {
    Number { x86_64: Some(x86_64), aarch64: Some(aarch64) }
}

const fn old(x86_64: i64) -> Number {
    Number { x86_64: Some(x86_64), aarch64: None }
}

/// Files: Landlock and the user say which.
const FILES: &[Number] = &[
    both(0, 63),    // read
    both(1, 64),    // write
    both(19, 65),   // readv
    both(20, 66),   // writev
    both(17, 67),   // pread64
    both(18, 68),   // pwrite64
    both(8, 62),    // lseek
    old(2),         // open
    both(257, 56),  // openat
    both(3, 57),    // close
    both(436, 436), // close_range
    old(4),         // stat
    both(5, 80),    // fstat
    old(6),         // lstat
    both(262, 79),  // newfstatat
    both(332, 291), // statx
    old(21),        // access
    both(269, 48),  // faccessat
    both(439, 439), // faccessat2
    old(89),        // readlink
    both(267, 78),  // readlinkat
    both(79, 17),   // getcwd
    old(83),        // mkdir
    both(258, 34),  // mkdirat
    old(87),        // unlink
    both(263, 35),  // unlinkat
    old(84),        // rmdir
    old(82),        // rename
    both(264, 38),  // renameat
    both(316, 276), // renameat2
    both(74, 82),   // fsync
    both(75, 83),   // fdatasync
    both(277, 84),  // sync_file_range
    both(77, 46),   // ftruncate
    both(285, 47),  // fallocate
    both(221, 223), // fadvise64
    both(217, 61),  // getdents64
    both(73, 32),   // flock
    both(137, 43),  // statfs
    both(138, 44),  // fstatfs
    both(326, 285), // copy_file_range
    both(40, 71),   // sendfile
    both(91, 52),   // fchmod
    both(280, 88),  // utimensat
    both(32, 23),   // dup
    old(33),        // dup2
    both(292, 24),  // dup3
    both(72, 25),   // fcntl
    both(293, 59),  // pipe2
];

/// Memory, threads and time.
const ITSELF: &[Number] = &[
    both(11, 215),  // munmap
    both(25, 216),  // mremap
    both(28, 233),  // madvise
    both(12, 214),  // brk
    both(324, 283), // membarrier
    both(273, 99),  // set_robust_list
    both(334, 293), // rseq
    both(204, 123), // sched_getaffinity
    both(24, 124),  // sched_yield
    both(202, 98),  // futex
    both(60, 93),   // exit
    both(231, 94),  // exit_group
    both(186, 178), // gettid
    both(39, 172),  // getpid
    both(110, 173), // getppid
    both(102, 174), // getuid
    both(107, 175), // geteuid
    both(104, 176), // getgid
    both(108, 177), // getegid
    both(13, 134),  // rt_sigaction
    both(14, 135),  // rt_sigprocmask
    both(15, 139),  // rt_sigreturn
    both(131, 132), // sigaltstack
    both(219, 128), // restart_syscall
    both(35, 101),  // nanosleep
    both(230, 115), // clock_nanosleep
    both(228, 113), // clock_gettime
    both(229, 114), // clock_getres
    both(96, 169),  // gettimeofday
    old(201),       // time
    both(318, 278), // getrandom
    both(63, 160),  // uname
    both(99, 179),  // sysinfo
    both(98, 165),  // getrusage
    both(125, 90),  // capget
];

/// Waiting, and sockets that are there already.
const WAITING: &[Number] = &[
    old(7),         // poll
    both(271, 73),  // ppoll
    both(291, 20),  // epoll_create1
    both(233, 21),  // epoll_ctl
    old(232),       // epoll_wait
    both(281, 22),  // epoll_pwait
    both(441, 441), // epoll_pwait2
    both(290, 19),  // eventfd2
    both(283, 85),  // timerfd_create
    both(286, 86),  // timerfd_settime
    both(288, 242), // accept4
    both(51, 204),  // getsockname
    both(52, 205),  // getpeername
    both(54, 208),  // setsockopt
    both(55, 209),  // getsockopt
    both(48, 210),  // shutdown
    both(44, 206),  // sendto
    both(45, 207),  // recvfrom
    both(46, 211),  // sendmsg
    both(47, 212),  // recvmsg
];

const CLONE: Number = both(56, 220);
const MMAP: Number = both(9, 222);
const MPROTECT: Number = both(10, 226);
const IOCTL: Number = both(16, 29);
const PRCTL: Number = both(157, 167);
const PRLIMIT: Number = both(302, 261);
const TGKILL: Number = both(234, 131);
const SOCKETPAIR: Number = both(53, 199);
const SOCKET: Number = both(41, 198);

/// Of whoever reaches out.
const REACHING: &[Number] = &[
    both(42, 203),  // connect
    both(49, 200),  // bind: Landlock leaves it no port, netlink wants it
    both(307, 269), // sendmmsg
    both(299, 243), // recvmmsg
];

/// Of a GPU's driver.
const DRIVER: &[Number] = &[
    both(319, 279), // memfd_create
    both(203, 122), // sched_setaffinity
    both(144, 119), // sched_setscheduler
    both(145, 120), // sched_getscheduler
    both(143, 121), // sched_getparam
    both(141, 140), // setpriority
    both(140, 141), // getpriority
    both(27, 232),  // mincore
    both(149, 228), // mlock
    both(150, 229), // munlock
    both(237, 235), // mbind
    both(239, 236), // get_mempolicy
    both(312, 272), // kcmp
    both(42, 203),  // connect
];

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Limits this thread, and those it starts, to the calls of its role.
pub(super) fn limit(role: Role) -> Result<(), String> {
    let arch = std::env::consts::ARCH.try_into().map_err(|error: BackendError| error.to_string())?;
    let rules = rules(role).map_err(|error| error.to_string())?;
    let filter = SeccompFilter::new(rules, SeccompAction::Errno(ENOSYS), SeccompAction::Allow, arch);
    let program: seccompiler::BpfProgram =
        filter.and_then(TryInto::try_into).map_err(|error: BackendError| error.to_string())?;
    seccompiler::apply_filter(&program).map_err(|error| error.to_string())
}

fn rules(role: Role) -> Result<Rules, BackendError> {
    let driver = role == Role::Scorer { devices: true };
    let mut rules = Rules::new();
    for number in [FILES, ITSELF, WAITING].concat() {
        always(&mut rules, number);
    }
    // Threads, no processes. clone3, whose flags lie in memory, is not on the list: the C library comes back with this.
    only(&mut rules, CLONE, vec![masked(0, CLONE_THREAD, CLONE_THREAD)?])?;
    only(&mut rules, SOCKETPAIR, vec![equal(0, AF_UNIX)?])?;
    only(&mut rules, PRCTL, vec![equal(0, PR_SET_NAME)?])?;
    // Its own limits, to look at.
    only(&mut rules, PRLIMIT, vec![equal(0, 0)?, equal(2, 0)?])?;
    // Its own end, by abort().
    let own = rustix::process::getpid().as_raw_nonzero().get();
    only(&mut rules, TGKILL, vec![equal(0, own as u64)?])?;
    // Code comes from libraries, which the uploader's C library loads when it looks for a host, and from GPU drivers.
    for number in [MMAP, MPROTECT] {
        match role {
            Role::Worker | Role::Scorer { devices: false } => only(&mut rules, number, vec![masked(2, PROT_EXEC, 0)?])?,
            Role::Uploader | Role::Scorer { devices: true } => always(&mut rules, number),
        }
    }
    if driver {
        always(&mut rules, IOCTL);
        DRIVER.iter().for_each(|number| always(&mut rules, *number));
        only(&mut rules, SOCKET, vec![equal(0, AF_UNIX)?])?;
    } else {
        for request in [TCGETS, FIONBIO] {
            only(&mut rules, IOCTL, vec![equal(1, request)?])?;
        }
    }
    if role == Role::Uploader {
        REACHING.iter().for_each(|number| always(&mut rules, *number));
        for family in [AF_INET, AF_INET6, AF_NETLINK] {
            only(&mut rules, SOCKET, vec![equal(0, family)?])?;
        }
    }
    Ok(rules)
}

fn always(rules: &mut Rules, number: Number) {
    rules.extend(number.here().map(|number| (number, Vec::new())));
}

/// One more way in which a call may be made.
fn only(rules: &mut Rules, number: Number, conditions: Vec<SeccompCondition>) -> Result<(), BackendError> {
    if let Some(number) = number.here() {
        rules.entry(number).or_default().push(SeccompRule::new(conditions)?);
    }
    Ok(())
}

fn equal(argument: u8, value: u64) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value)
}

fn masked(argument: u8, mask: u64, value: u64) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Qword, SeccompCmpOp::MaskedEq(mask), value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_gives_rights_is_on_any_list() {
        // execve, execveat, ptrace, bpf, process_vm_*, modules, kexec, mount, chroot, setns, unshare, keys, perf, io_uring,
        // userfaultfd, kill, handles, setuid and its like, capset, clone3: x86_64 and aarch64.
        let (here, never): (usize, &[[i64; 2]]) = (
            usize::from(cfg!(target_arch = "aarch64")),
            &[
                [59, 221],
                [322, 281],
                [101, 117],
                [321, 280],
                [310, 270],
                [311, 271],
                [175, 105],
                [313, 273],
                [246, 104],
                [320, 294],
                [165, 40],
                [161, 51],
                [308, 268],
                [272, 97],
                [248, 217],
                [250, 219],
                [298, 241],
                [425, 425],
                [323, 282],
                [62, 129],
                [304, 265],
                [105, 146],
                [106, 144],
                [116, 159],
                [117, 147],
                [119, 149],
                [126, 91],
                [435, 435],
            ],
        );
        for role in [Role::Worker, Role::Scorer { devices: false }, Role::Scorer { devices: true }, Role::Uploader] {
            let rules = rules(role).unwrap();
            for numbers in never {
                assert!(!rules.contains_key(&numbers[here]), "{role:?} {numbers:?}");
            }
        }
    }

    #[test]
    fn the_worker_makes_no_sockets_and_only_threads() {
        let rules = rules(Role::Worker).unwrap();
        assert!(SOCKET.here().is_some_and(|number| !rules.contains_key(&number)));
        assert!(CLONE.here().is_some_and(|number| !rules[&number].is_empty()));
    }
}
