//! System calls that change who a process is or what the kernel runs, seen when they return.
//!
//! The hook runs at the end of every call of the machine: what is not followed must be told apart at once.

use crate::{
    maps::{Ring, count_many, emit, offset, setting},
    path,
    scratch::{CALL_SCRATCH, Scratch},
    socket,
    task::{self, Kernel},
};
use aya_ebpf::{helpers::bpf_probe_read_user, macros::btf_tracepoint, programs::BtfTracePointContext};
use bytemuck::Zeroable;
use core::ptr::read_volatile;
use events::{ABSENT, CALL_PATH_CUT, Call, CallHead, EventType, UNIX_SLOT};

const AF_UNIX: u64 = 1;
const PTRACE_TRACEME: u64 = 0;
const PTRACE_ATTACH: u64 = 16;
const PTRACE_SEIZE: u64 = 0x4206;
const BPF_PROG_LOAD: u64 = 5;
/// Members of `union bpf_attr` when a program is loaded.
const ATTR_TYPE: u64 = 0;
const ATTR_INSTRUCTIONS: u64 = 4;
const ATTR_NAME: u64 = 48;
const ATTR_NAME_END: u64 = 64;
/// A task in a 32-bit call: bit of `thread_info.status` on x86, of `thread_info.flags` on arm64.
const STATUS_COMPAT: u32 = 1 << 1;
const FLAG_32BIT: u64 = 1 << 22;

/// The registers of a call. The verifier knows what they are, so that reading one is one instruction and no helper.
#[derive(Clone, Copy)]
struct Registers(*const u8);

impl Registers {
    #[inline(always)]
    fn number(self) -> u32 {
        let at = self.0.wrapping_add(setting!(registers[0]) as usize);
        // SAFETY: the agent gives an offset within `pt_regs`, which the verifier checks.
        unsafe { read_volatile(at.cast()) }
    }
}

/// What a call was told and what it returned.
struct Returned {
    regs: Kernel,
    call: Call,
    result: i64,
    task: Kernel,
}

/// A call returns.
#[btf_tracepoint(function = "sys_exit")]
#[inline(always)]
pub fn calls_exit(ctx: BtfTracePointContext) -> i32 {
    let regs = ctx.arg::<*const u8>(0);
    let number = Registers(regs).number();
    if number < 512 && followed(number) && task::task_in_scope(task::current()) && !compat(task::current()) {
        returned(Kernel(regs), number, ctx.arg(1));
    }
    0
}

#[inline(always)]
fn followed(number: u32) -> bool {
    setting!(followed[(number >> 6 & 7) as usize]) >> (number & 63) & 1 != 0
}

#[inline(always)]
fn returned(regs: Kernel, number: u32, result: i64) {
    let task = task::current();
    let is = |call: Call| number == setting!(calls[call as usize]);
    let of = |call| Returned { regs, call, result, task };
    if is(Call::Connect) {
        if result < 0 {
            socket::connect_failed(of(Call::Connect).argument(0) as u32, -result as i32);
        }
    } else if is(Call::Accept) || is(Call::Accept4) {
        // With room for the other side's address the call has asked for it, which is where it was seen.
        if result >= 0 && of(Call::Accept).argument(1) == 0 {
            socket::accepted(result as u32);
        }
    } else if is(Call::Socket) || is(Call::Socketpair) {
        let made = if is(Call::Socket) { 1 } else { 2 };
        if result >= 0 && of(Call::Socket).argument(0) == AF_UNIX {
            count_many(UNIX_SLOT, made);
        }
    } else if is(Call::Ptrace) {
        of(Call::Ptrace).ptrace();
    } else if is(Call::Bpf) {
        of(Call::Bpf).bpf();
    } else if is(Call::InitModule) {
        of(Call::InitModule).module(false);
    } else if is(Call::FinitModule) {
        of(Call::FinitModule).module(true);
    } else {
        credential(regs, number, result, task);
    }
}

/// Whether a 32-bit program calls: its calls have other numbers.
#[inline(always)]
fn compat(task: Kernel) -> bool {
    match (offset!(task_status) as u32, offset!(task_flags) as u32) {
        (ABSENT, ABSENT) => false,
        (ABSENT, flags) => task.read::<u64>(flags as usize) & FLAG_32BIT != 0,
        (status, _) => task.read::<u32>(status as usize) & STATUS_COMPAT != 0,
    }
}

/// The calls that are about credentials come first among [`Call::ALL`].
const CREDENTIAL_CALLS: usize = Call::Capset as usize + 1;

#[inline(always)]
fn credential(regs: Kernel, number: u32, result: i64, task: Kernel) {
    for at in 0..CREDENTIAL_CALLS {
        if number == setting!(calls[at]) {
            let head = CallHead { call: at as u16, ..CallHead::zeroed() };
            let any = Returned { regs, call: Call::Capset, result, task };
            any.report(EventType::Credential, head, |_| 0);
            return;
        }
    }
}

impl Returned {
    /// An argument, counted from 0.
    #[inline(always)]
    fn argument(&self, at: usize) -> u64 {
        self.regs.read(setting!(registers[at + 1]) as usize)
    }

    #[inline(always)]
    fn head(&self) -> CallHead {
        CallHead { call: self.call as u16, ..CallHead::zeroed() }
    }

    /// Sends a record. The text is what is appended, and what it says becomes part of the detail.
    #[inline(always)]
    fn report(&self, kind: EventType, mut head: CallHead, text: impl FnOnce(&mut Scratch) -> u32) {
        let (Some(mut scratch), Some(task)) =
            (Scratch::with_head::<CallHead>(&CALL_SCRATCH), task::head(kind, self.task))
        else {
            return;
        };
        let start = scratch.len();
        head.detail |= text(&mut scratch);
        head.text_len = (scratch.len() - start) as u16;
        head.result = self.result as i32;
        head.task = task;
        let (maker, time) = (task::maker(&head.task), head.task.time);
        emit(Ring::Lifecycle, kind, maker, time, scratch.finish(head));
    }

    /// Only the requests that begin to trace.
    #[inline(always)]
    fn ptrace(&self) {
        let request = self.argument(0);
        if matches!(request, PTRACE_TRACEME | PTRACE_ATTACH | PTRACE_SEIZE) {
            let target = if request == PTRACE_TRACEME { 0 } else { self.argument(1) as u32 };
            let head = CallHead { target, detail: request as u32, ..self.head() };
            self.report(EventType::Ptrace, head, |_| 0);
        }
    }

    #[inline(always)]
    fn module(&self, from_file: bool) {
        let file = if from_file { task::file(self.task, self.argument(0) as u32) } else { Kernel(core::ptr::null()) };
        let root = self.task.follow(offset!(task_fs)).at(offset!(fs_root));
        self.report(EventType::Module, self.head(), |scratch| {
            if file.0.is_null() {
                return 0;
            }
            if path::append(scratch, file.at(offset!(file_path)), root) { CALL_PATH_CUT } else { 0 }
        });
    }

    #[inline(always)]
    fn bpf(&self) {
        if self.argument(0) != BPF_PROG_LOAD {
            return;
        }
        let (attributes, size) = (self.argument(1), self.argument(2));
        let number = |at: u64| {
            // SAFETY: the helper checks the address and catches faults.
            unsafe { bpf_probe_read_user::<u32>((attributes + at) as *const u32) }.unwrap_or(0)
        };
        let head = CallHead { target: number(ATTR_TYPE), detail: number(ATTR_INSTRUCTIONS), ..self.head() };
        self.report(EventType::Bpf, head, |scratch| {
            if size >= ATTR_NAME_END {
                scratch.user_name(attributes + ATTR_NAME);
            }
            0
        });
    }
}
