//! What the kernel knows of a process.

use crate::maps::{offset, scope};
use aya_ebpf::helpers::generated::{
    bpf_get_current_ancestor_cgroup_id, bpf_get_current_cgroup_id, bpf_get_current_task, bpf_ktime_get_boot_ns,
    bpf_probe_read_kernel,
};
use core::mem::MaybeUninit;
use events::{ABSENT, EventType, Maker, TaskHead};

/// A pointer into the kernel. It may be stale or null: every read is checked by the kernel and gives zeros if it fails.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct Kernel(pub *const u8);

impl Kernel {
    /// The value `offset` bytes behind the pointer.
    #[inline(always)]
    pub fn read<T: bytemuck::Zeroable>(self, offset: usize) -> T {
        let mut value = MaybeUninit::<T>::uninit();
        // No look at what the helper returns: it writes zeros where it cannot read, and each branch doubles what old
        // verifiers have to follow.
        // SAFETY: the helper writes the whole value; `T` may have any bit pattern that the callers ask for.
        unsafe {
            let from = self.0.wrapping_add(offset).cast();
            bpf_probe_read_kernel(value.as_mut_ptr().cast(), size_of::<T>() as u32, from);
            value.assume_init()
        }
    }

    /// The pointer `offset` bytes behind the pointer.
    #[inline(always)]
    pub fn follow(self, offset: usize) -> Self {
        Self(self.read::<usize>(offset) as *const u8)
    }

    /// What lies `offset` bytes behind the pointer.
    #[inline(always)]
    pub fn at(self, offset: usize) -> Self {
        Self(self.0.wrapping_add(offset))
    }
}

/// Nanoseconds since boot, suspend included.
#[inline(always)]
pub fn now() -> u64 {
    // SAFETY: takes nothing, changes nothing.
    unsafe { bpf_ktime_get_boot_ns() }
}

/// The running task. Meaningless in socket callbacks, which run wherever a packet arrives.
#[inline(always)]
pub fn current() -> Kernel {
    // SAFETY: takes nothing, changes nothing.
    Kernel(unsafe { bpf_get_current_task() } as *const u8)
}

/// Whether the running task is in the cgroup that the agent watches, or below it. For programs of sockets: on old
/// kernels the helper is lent to no others.
#[inline(always)]
pub fn in_scope() -> bool {
    let scope = scope();
    // SAFETY: takes a number, changes nothing.
    scope.cgroup == 0 || unsafe { bpf_get_current_ancestor_cgroup_id(scope.level as i32) } == scope.cgroup
}

/// As [`in_scope`], for programs of tracepoints.
#[inline(always)]
pub fn task_in_scope(task: Kernel) -> bool {
    scope().cgroup == 0 || cgroup_in_scope(cgroup(task))
}

/// The cgroup of any task, in the unified hierarchy.
#[inline(always)]
pub fn cgroup(task: Kernel) -> Kernel {
    task.follow(offset!(task_cgroups)).follow(offset!(css_set_cgroup))
}

/// Id of a cgroup.
#[inline(always)]
pub fn cgroup_id(cgroup: Kernel) -> u64 {
    cgroup.follow(offset!(cgroup_kn)).read(offset!(kn_id))
}

/// Whether a cgroup is the one that the agent watches, or below it.
#[inline(always)]
pub fn cgroup_in_scope(cgroup: Kernel) -> bool {
    let scope = scope();
    scope.cgroup == 0
        || scope.level <= cgroup.read::<u32>(offset!(cgroup_level)) as u64
            && ancestor(cgroup, scope.level) == scope.cgroup
}

/// Id of the cgroup at or above another, by its level. Kernels before 6.1 keep the ids, later ones the cgroups.
#[inline(always)]
fn ancestor(cgroup: Kernel, level: u64) -> u64 {
    let at = level as usize * size_of::<u64>();
    match offset!(cgroup_ancestor_ids) {
        absent if absent == ABSENT as usize => cgroup_id(cgroup.follow(offset!(cgroup_ancestors) + at)),
        ids => cgroup.read(ids + at),
    }
}

/// When a process started: its first thread's start, as threads have their own.
#[inline(always)]
pub fn start(leader: Kernel) -> u64 {
    leader.read(offset!(task_start_boottime))
}

/// Real user id.
#[inline(always)]
pub fn uid(task: Kernel) -> u32 {
    task.follow(offset!(task_cred)).read(offset!(cred_uid))
}

/// The file behind a descriptor of a task, null if there is none.
#[inline(always)]
pub fn file(task: Kernel, descriptor: u32) -> Kernel {
    let table = task.follow(offset!(task_files)).follow(offset!(files_fdt));
    if descriptor >= table.read::<u32>(offset!(fdt_max)) {
        return Kernel(core::ptr::null());
    }
    table.follow(offset!(fdt_fd)).follow(descriptor as usize * size_of::<usize>())
}

/// What every record says of the running task.
#[inline(always)]
pub fn head(kind: EventType, task: Kernel) -> TaskHead {
    // SAFETY: takes nothing, changes nothing.
    head_in(kind, task, unsafe { bpf_get_current_cgroup_id() })
}

/// What every record says of a task in a cgroup.
#[inline(always)]
pub fn head_in(kind: EventType, task: Kernel, cgroup: u64) -> TaskHead {
    let leader = task.follow(offset!(task_group_leader));
    let parent = leader.follow(offset!(task_real_parent)).follow(offset!(task_group_leader));
    let session = task.follow(offset!(task_signal)).follow(offset!(signal_session));
    let cred = task.follow(offset!(task_cred));
    TaskHead {
        kind: kind as u16,
        flags: 0,
        tgid: task.read(offset!(task_tgid)),
        time: now(),
        start: start(leader),
        parent_start: start(parent),
        cgroup,
        capabilities: cred.read(offset!(cred_capabilities)),
        parent_tgid: parent.read(offset!(task_tgid)),
        session: session.read(offset!(pid_nr)),
        uid: cred.read(offset!(cred_uid)),
        gid: cred.read(offset!(cred_gid)),
        euid: cred.read(offset!(cred_euid)),
        egid: cred.read(offset!(cred_egid)),
        login_uid: match offset!(task_login_uid) {
            absent if absent == ABSENT as usize => u32::MAX,
            offset => task.read(offset),
        },
        tid: task.read(offset!(task_pid)),
        comm: task.read(offset!(task_comm)),
    }
}

/// The process that a record's rate counts for.
#[inline(always)]
pub fn maker(head: &TaskHead) -> Maker {
    Maker { start: head.start, tgid: head.tgid as u64 }
}
