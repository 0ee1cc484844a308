//! Processes: creation, exec, end.

use crate::{
    maps::{EXEC_SCRATCH, LIFECYCLE, emit, emit_bytes, exit_says_last, offset},
    task::{self, Kernel},
};
use aya_ebpf::{
    helpers::generated::{bpf_probe_read_kernel_str, bpf_probe_read_user},
    macros::btf_tracepoint,
    programs::BtfTracePointContext,
};
use core::hint::black_box;
use events::{ARGS_MAX, EventType, ExecHead, Exit, PATH_MAX};

/// A task was created; only a new thread group is a new process.
#[btf_tracepoint(function = "sched_process_fork")]
pub fn process_fork(ctx: BtfTracePointContext) -> i32 {
    let child = Kernel(ctx.arg(1));
    let leads = child.read::<u32>(offset!(task_pid)) == child.read::<u32>(offset!(task_tgid));
    if leads && task::in_scope() {
        emit(&LIFECYCLE, EventType::Fork, task::head(EventType::Fork, child));
    }
    0
}

/// A task ends; a process ends with its last one, which need not be its first.
#[btf_tracepoint(function = "sched_process_exit")]
pub fn process_exit(ctx: BtfTracePointContext) -> i32 {
    let task = Kernel(ctx.arg(0));
    let signal = task.follow(offset!(task_signal));
    let last = if exit_says_last() {
        ctx.arg::<u64>(1) & 0xff != 0
    } else {
        // Two last threads can both see 0; user space drops the second record.
        signal.read::<i32>(offset!(signal_live)) == 0
    };
    if last && task::in_scope() {
        let of_group: i32 = signal.read(offset!(signal_group_exit_code));
        let leader = task.follow(offset!(task_group_leader));
        let status = if of_group != 0 { of_group } else { leader.read(offset!(task_exit_code)) } as u32;
        let head = task::head(EventType::Exit, task);
        emit(&LIFECYCLE, EventType::Exit, Exit { task: head, code: status >> 8 & 0xff, signal: status & 0x7f });
    }
    0
}

/// A process runs a new image.
#[btf_tracepoint(function = "sched_process_exec")]
pub fn process_exec(ctx: BtfTracePointContext) -> i32 {
    if task::in_scope() {
        exec(Kernel(ctx.arg(0)), Kernel(ctx.arg(2)));
    }
    0
}

#[inline(always)]
fn exec(task: Kernel, bprm: Kernel) {
    let Some(scratch) = EXEC_SCRATCH.get_ptr_mut(0) else { return };
    let record = scratch.cast::<u8>();
    let file = bprm.follow(offset!(bprm_file));
    let leaf = file.follow(offset!(file_dentry)).follow(offset!(dentry_name));
    let nlink = file.follow(offset!(file_inode)).read(offset!(inode_nlink));

    let mut at = size_of::<ExecHead>();
    let filename_len = append_str(record, at, bprm.follow(offset!(bprm_filename)));
    at += filename_len;
    let interp_len = append_str(record, at, bprm.follow(offset!(bprm_interp)));
    at += interp_len;
    let leaf_len = append_str(record, at, leaf);
    at += leaf_len;
    let (args_len, args_got) = append_args(record, at, task.follow(offset!(task_mm)));
    at += args_got;

    let head = ExecHead {
        task: task::head(EventType::Exec, task),
        args_len,
        nlink,
        filename_len: filename_len as u16,
        interp_len: interp_len as u16,
        leaf_len: leaf_len as u16,
        args_got: args_got as u16,
    };
    // SAFETY: the scratch is this processor's, long enough for the head and, as each part is bounded, for `at` bytes;
    // tracepoint programs are not interrupted by themselves.
    let bytes = unsafe {
        record.cast::<ExecHead>().write(head);
        core::slice::from_raw_parts(record, at)
    };
    emit_bytes(&LIFECYCLE, EventType::Exec, bytes);
}

/// Keeps `len` in sight of the verifier: `max` is a power of two less one.
#[inline(always)]
fn bound(len: usize, max: usize) -> usize {
    let len = if len > max { max } else { len };
    black_box(len) & max
}

/// Copies a kernel string behind `at`; returns its bytes without the NUL.
#[inline(always)]
fn append_str(record: *mut u8, at: usize, text: Kernel) -> usize {
    // SAFETY: `at` is at most 853, so that 256 bytes fit the scratch; the helper catches faults.
    let got = unsafe { bpf_probe_read_kernel_str(record.add(at).cast(), PATH_MAX as u32 + 1, text.0.cast()) };
    if got > 0 { bound(got as usize - 1, PATH_MAX) } else { 0 }
}

/// Copies the argument list behind `at`; returns its true length and the bytes copied.
#[inline(always)]
fn append_args(record: *mut u8, at: usize, mm: Kernel) -> (u32, usize) {
    let first: u64 = mm.read(offset!(mm_arg_start));
    let len = mm.read::<u64>(offset!(mm_arg_end)).wrapping_sub(first);
    let want = bound(len as usize, ARGS_MAX);
    // SAFETY: `at` is at most 853 and `want` at most 4095, together within the scratch; the helper catches faults.
    let failed = unsafe { bpf_probe_read_user(record.add(at).cast(), want as u32, first as *const _) };
    (len as u32, if failed == 0 { want } else { 0 })
}
