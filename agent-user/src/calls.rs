//! Numbers of the system calls that the kernel side follows, on the architecture that the agent was built for.

use crate::facts::Facts;
use events::{CALL_PATH_CUT, Call, CallHead, CallRecord, EventType};

/// The numbers, in the order of [`Call::ALL`]; `u32::MAX` where the architecture has no such call.
#[must_use]
pub fn numbers() -> [u32; Call::ALL.len()] {
    Call::ALL.map(number)
}

/// The same numbers as a set of bits.
#[must_use]
pub fn followed() -> [u64; 8] {
    let mut set = [0; 8];
    for number in numbers() {
        if let Some(word) = set.get_mut(number as usize / 64) {
            *word |= 1 << (number % 64);
        }
    }
    set
}

/// Where `pt_regs` keeps a call's number and its first three arguments.
#[cfg(target_arch = "x86_64")]
pub const REGISTERS: [u32; 4] = [120, 112, 104, 96];
/// Where `pt_regs` keeps a call's number and its first three arguments.
#[cfg(target_arch = "aarch64")]
pub const REGISTERS: [u32; 4] = [280, 272, 8, 16];

#[cfg(target_arch = "x86_64")]
const fn number(call: Call) -> u32 {
    match call {
        Call::Setuid => 105,
        Call::Setgid => 106,
        Call::Setreuid => 113,
        Call::Setregid => 114,
        Call::Setgroups => 116,
        Call::Setresuid => 117,
        Call::Setresgid => 119,
        Call::Setfsuid => 122,
        Call::Setfsgid => 123,
        Call::Capset => 126,
        Call::Ptrace => 101,
        Call::InitModule => 175,
        Call::FinitModule => 313,
        Call::Bpf => 321,
        Call::Connect => 42,
        Call::Accept => 43,
        Call::Accept4 => 288,
        Call::Socket => 41,
        Call::Socketpair => 53,
    }
}

#[cfg(target_arch = "aarch64")]
const fn number(call: Call) -> u32 {
    match call {
        Call::Setregid => 143,
        Call::Setgid => 144,
        Call::Setreuid => 145,
        Call::Setuid => 146,
        Call::Setresuid => 147,
        Call::Setresgid => 149,
        Call::Setfsuid => 151,
        Call::Setfsgid => 152,
        Call::Setgroups => 159,
        Call::Capset => 91,
        Call::Ptrace => 117,
        Call::InitModule => 105,
        Call::FinitModule => 273,
        Call::Bpf => 280,
        Call::Connect => 203,
        Call::Accept => 202,
        Call::Accept4 => 242,
        Call::Socket => 198,
        Call::Socketpair => 199,
    }
}

/// What a system call did, in words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct What {
    /// The call; for ptrace the request, for bpf what is loaded.
    pub operation: String,
    /// Module file, or name of a BPF program.
    pub target: Option<String>,
    /// The process that is traced.
    pub target_pid: Option<u32>,
    /// The same, if the number means the same to the agent.
    pub traced: Option<u32>,
}

const PTRACE_TRACEME: u32 = 0;
const PTRACE_ATTACH: u32 = 16;

/// Types of BPF programs, in the order of the kernel's numbers.
const PROGRAMS: [&str; 33] = [
    "unspec",
    "socket_filter",
    "kprobe",
    "sched_cls",
    "sched_act",
    "tracepoint",
    "xdp",
    "perf_event",
    "cgroup_skb",
    "cgroup_sock",
    "lwt_in",
    "lwt_out",
    "lwt_xmit",
    "sock_ops",
    "sk_skb",
    "cgroup_device",
    "sk_msg",
    "raw_tracepoint",
    "cgroup_sock_addr",
    "lwt_seg6local",
    "lirc_mode2",
    "sk_reuseport",
    "flow_dissector",
    "cgroup_sysctl",
    "raw_tracepoint_writable",
    "cgroup_sockopt",
    "tracing",
    "struct_ops",
    "ext",
    "lsm",
    "sk_lookup",
    "syscall",
    "netfilter",
];

/// Describes the record of a call.
#[must_use]
pub fn describe(kind: EventType, call: &CallRecord<'_>, facts: &Facts) -> What {
    let head = &call.head;
    match kind {
        EventType::Ptrace => {
            let (pid, traced) = traced(head, facts);
            What { operation: request(head.detail).to_owned(), target_pid: Some(pid), traced, ..What::default() }
        }
        EventType::Bpf => What {
            operation: match PROGRAMS.get(head.target as usize) {
                Some(name) => format!("prog_load:{name}"),
                None => format!("prog_load:{}", head.target),
            },
            target: Some(String::from_utf8_lossy(call.text).into_owned()).filter(|name| !name.is_empty()),
            ..What::default()
        },
        _ => {
            let name = Call::ALL.get(usize::from(head.call)).map_or("unknown", |call| call.name());
            let target = events::path(call.text, head.detail & CALL_PATH_CUT != 0);
            What { operation: name.to_owned(), target, ..What::default() }
        }
    }
}

fn request(number: u32) -> &'static str {
    match number {
        PTRACE_TRACEME => "traceme",
        PTRACE_ATTACH => "attach",
        _ => "seize",
    }
}

/// Who is traced, as the caller numbers it, and that number if it means the same here: with `traceme` the caller, else the process of the thread that it names.
fn traced(head: &CallHead, facts: &Facts) -> (u32, Option<u32>) {
    let pid = match head.detail {
        PTRACE_TRACEME => head.task.tgid,
        // Nobody is traced, and who asks in vain and often is not looked after.
        _ if head.result < 0 => return (head.target, None),
        // Numbers of another pid namespace are not ours.
        _ => match facts.traced(head.task.tgid, head.target) {
            Some(pid) => pid,
            None => return (head.target, None),
        },
    };
    (pid, Some(pid))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Desk;
    use bytemuck::Zeroable;

    fn described(kind: EventType, call: Call, target: u32, detail: u32, text: &[u8]) -> What {
        let head = CallHead { call: call as u16, target, detail, ..CallHead::zeroed() };
        describe(kind, &CallRecord { head, text }, &Facts::here(Desk::new(None)))
    }

    #[test]
    fn calls_in_words() {
        let setuid = described(EventType::Credential, Call::Setuid, 0, 0, b"");
        assert_eq!((setuid.operation.as_str(), setuid.target), ("setuid", None));
        let module = described(EventType::Module, Call::FinitModule, 0, 0, b"x.ko/lib/");
        assert_eq!((module.operation.as_str(), module.target.as_deref()), ("finit_module", Some("/lib/x.ko")));
        let bpf = described(EventType::Bpf, Call::Bpf, 18, 99, b"count");
        assert_eq!((bpf.operation.as_str(), bpf.target.as_deref()), ("prog_load:cgroup_sock_addr", Some("count")));
        assert_eq!(described(EventType::Bpf, Call::Bpf, 99, 9, b"").operation, "prog_load:99");
        let traceme = described(EventType::Ptrace, Call::Ptrace, 0, 0, b"");
        assert_eq!((traceme.operation.as_str(), traceme.target_pid), ("traceme", Some(0)));
        let own = std::process::id();
        assert_eq!(described(EventType::Ptrace, Call::Ptrace, own, 16, b"").target_pid, Some(own));
    }

    #[test]
    fn every_number_is_in_the_set() {
        let set = followed();
        assert!(numbers().iter().all(|number| set[*number as usize / 64] >> (number % 64) & 1 == 1));
        assert_eq!(set.iter().map(|word| word.count_ones()).sum::<u32>() as usize, Call::ALL.len());
    }
}
