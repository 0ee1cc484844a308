//! Processes that are there when the agent starts.
//!
//! The records go the way of all others, so that order and books are the same; what the iterators themselves give to read
//! is nothing.

use crate::{
    maps::{Ring, emit, offset},
    process,
    scratch::{ITER_SCRATCH, Scratch},
    task::{self, Kernel},
};
use events::{EventType, ImageHead};

/// What the kernel hands to an iterator over tasks.
#[repr(C)]
pub struct TaskIterator {
    meta: *const u8,
    task: *const u8,
}

/// Called for each thread of the machine, and once with none at the end.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task")]
pub fn snapshot_tasks(ctx: *mut TaskIterator) -> i32 {
    // SAFETY: the kernel gives a context of this shape.
    let task = Kernel(unsafe { core::ptr::read_volatile(&raw const (*ctx).task) });
    if !task.0.is_null() && task.read::<u32>(offset!(task_pid)) == task.read::<u32>(offset!(task_tgid)) {
        running(task);
    }
    0
}

#[inline(always)]
fn running(task: Kernel) -> Option<()> {
    // Before it is known to live: an end that comes meanwhile is later.
    let time = task::now();
    let cgroup = task::cgroup(task)?;
    let lives = task.follow(offset!(task_signal)).read::<i32>(offset!(signal_live)) > 0;
    if !lives || !task::cgroup_in_scope(cgroup) {
        return None;
    }
    let mut scratch = Scratch::with_head::<ImageHead>(&ITER_SCRATCH)?;
    let mm = task.follow(offset!(task_mm));
    // Without memory of its own it is the kernel's.
    let file = if mm.0.is_null() { mm } else { mm.follow(offset!(mm_exe_file)) };
    let mut image = process::image(&mut scratch, task, file)?;
    image.task = task::head_in(EventType::Running, task, task::cgroup_id(cgroup)?)?;
    image.task.time = time;
    let maker = task::maker(&image.task);
    emit(Ring::Lifecycle, EventType::Running, maker, time, scratch.finish(image));
    None
}
