//! Numbers of the system calls that the kernel side follows, on the architecture that the agent was built for.

use events::{Call, CallRecord, EventType};

/// The numbers, in the order of [`Call::ALL`]; `u32::MAX` where the architecture has no such call.
#[must_use]
pub fn numbers() -> [u32; Call::ALL.len()] {
    Call::ALL.map(number)
}

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
    /// The call; for ptrace the request.
    pub operation: String,
    /// Module file, or name of a BPF program.
    pub target: Option<String>,
    /// The process that is traced, as the caller numbers it.
    pub target_pid: Option<u32>,
}

/// Describes the record of a call.
#[must_use]
pub fn describe(_kind: EventType, call: &CallRecord<'_>) -> What {
    let name = Call::ALL.get(usize::from(call.head.call)).map_or("unknown", |call| call.name());
    What { operation: name.to_owned(), ..What::default() }
}
