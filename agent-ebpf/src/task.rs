//! What the kernel knows of a process.

use crate::maps::{offset, scope};
use aya_ebpf::helpers::generated::{
    bpf_get_current_ancestor_cgroup_id, bpf_get_current_cgroup_id, bpf_get_current_pid_tgid, bpf_get_current_task,
    bpf_get_current_uid_gid, bpf_ktime_get_boot_ns, bpf_probe_read_kernel,
};
use bytemuck::Zeroable;
use core::{mem::MaybeUninit, ptr::read_volatile};
use events::{ABSENT, EventType, Maker, TaskHead};

/// A pointer into the kernel. It may be stale or null: every read is checked by the kernel and gives zeros if it fails.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct Kernel(pub *const u8);

/// A pointer into the kernel that a tracepoint handed over, or was followed from such a one. The verifier knows what it
/// points to, so that reading is one instruction: a helper costs thirty times that where calls are slowed down to keep
/// processors from speculating.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct Typed(pub *const u8);

/// How members are read.
pub trait Pointer: Copy {
    /// The value `offset` bytes behind the pointer.
    fn read<T: Zeroable + Copy>(self, offset: usize) -> T;
    /// The pointer `offset` bytes behind the pointer. `None` if it is null: of some pointers the verifier wants to be told
    /// that they are not, though none of those that are followed is.
    fn follow(self, offset: usize) -> Option<Self>;
    /// The same pointer, to be read by helper.
    fn plain(self) -> Kernel;
}

impl Pointer for Typed {
    #[inline(always)]
    fn read<T: Zeroable + Copy>(self, offset: usize) -> T {
        // SAFETY: the verifier checks that there is a member of this size. A fault gives zeros.
        unsafe { read_volatile(self.0.wrapping_add(offset).cast()) }
    }

    #[inline(always)]
    fn follow(self, offset: usize) -> Option<Self> {
        let to: *const u8 = self.0.wrapping_add(offset);
        // SAFETY: as for `read`.
        let to = unsafe { read_volatile(to.cast::<*const u8>()) };
        (!to.is_null()).then_some(Self(to))
    }

    #[inline(always)]
    fn plain(self) -> Kernel {
        Kernel(self.0)
    }
}

impl Pointer for Kernel {
    #[inline(always)]
    fn read<T: Zeroable + Copy>(self, offset: usize) -> T {
        Kernel::read(self, offset)
    }

    #[inline(always)]
    fn follow(self, offset: usize) -> Option<Self> {
        Some(Kernel::follow(self, offset))
    }

    #[inline(always)]
    fn plain(self) -> Kernel {
        self
    }
}

impl Kernel {
    /// The value `offset` bytes behind the pointer.
    #[inline(always)]
    pub fn read<T: Zeroable>(self, offset: usize) -> T {
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

/// Thread group and real user of the running process.
#[inline(always)]
pub fn ids() -> (u32, u32) {
    // SAFETY: take nothing, change nothing.
    unsafe { ((bpf_get_current_pid_tgid() >> 32) as u32, bpf_get_current_uid_gid() as u32) }
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
pub fn task_in_scope(task: impl Pointer) -> bool {
    scope().cgroup == 0 || cgroup(task).is_some_and(cgroup_in_scope)
}

/// The cgroup of any task, in the unified hierarchy.
#[inline(always)]
pub fn cgroup<P: Pointer>(task: P) -> Option<P> {
    task.follow(offset!(task_cgroups))?.follow(offset!(css_set_cgroup))
}

/// Id of a cgroup.
#[inline(always)]
pub fn cgroup_id(cgroup: impl Pointer) -> Option<u64> {
    Some(cgroup.follow(offset!(cgroup_kn))?.read(offset!(kn_id)))
}

/// Whether a cgroup is the one that the agent watches, or below it.
#[inline(always)]
pub fn cgroup_in_scope(cgroup: impl Pointer) -> bool {
    let scope = scope();
    if scope.cgroup == 0 {
        return true;
    }
    let level = cgroup.read::<u32>(offset!(cgroup_level)) as u64;
    if level == scope.level {
        return cgroup_id(cgroup) == Some(scope.cgroup);
    }
    level > scope.level && ancestor(cgroup.plain(), scope.level) == scope.cgroup
}

/// Id of the cgroup above another, by its level. Kernels before 6.1 keep the ids, later ones the cgroups.
#[inline(always)]
fn ancestor(cgroup: Kernel, level: u64) -> u64 {
    let at = level as usize * size_of::<u64>();
    match offset!(cgroup_ancestor_ids) {
        absent if absent == ABSENT as usize => {
            cgroup.follow(offset!(cgroup_ancestors) + at).follow(offset!(cgroup_kn)).read(offset!(kn_id))
        }
        ids => cgroup.read(ids + at),
    }
}

/// When a process started: its first thread's start, as threads have their own.
#[inline(always)]
pub fn start(leader: impl Pointer) -> u64 {
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
pub fn head(kind: EventType, task: impl Pointer) -> Option<TaskHead> {
    // SAFETY: takes nothing, changes nothing.
    head_in(kind, task, unsafe { bpf_get_current_cgroup_id() })
}

/// What every record says of a task in a cgroup.
#[inline(always)]
pub fn head_in(kind: EventType, task: impl Pointer, cgroup: u64) -> Option<TaskHead> {
    let leader = task.follow(offset!(task_group_leader))?;
    let parent = leader.follow(offset!(task_real_parent))?.follow(offset!(task_group_leader))?;
    let session = task.follow(offset!(task_signal))?.follow(offset!(signal_session))?;
    let cred = task.follow(offset!(task_cred))?;
    Some(TaskHead {
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
        // Its bytes are no numbers, which is how the verifier would have them read.
        comm: task.plain().read(offset!(task_comm)),
    })
}

/// The process that a record's rate counts for.
#[inline(always)]
pub fn maker(head: &TaskHead) -> Maker {
    Maker { start: head.start, tgid: head.tgid as u64 }
}
