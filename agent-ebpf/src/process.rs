//! Processes: creation, exec, end.

use crate::{
    maps::{Ring, emit, emit_all, offset, setting},
    path,
    scratch::{EXEC_SCRATCH, Scratch},
    socket::{BPF_NOEXIST, EEXIST},
    task::{self, Kernel, Pointer, Typed},
};
use aya_ebpf::{
    macros::{btf_tracepoint, map},
    maps::LruHashMap,
    programs::BtfTracePointContext,
};
use events::{EventType, Exit, IMAGE_CUT, IMAGE_FOLDER_CUT, IMAGE_SCRIPT, ImageHead, Maker, TaskHead};

/// Processes that ended lately, where the tracepoint does not say whether the last thread went.
#[map]
static ENDED: LruHashMap<Maker, u8> = LruHashMap::with_max_entries(4096, 0);

/// A task was created; only a new thread group is a new process. It can be made into another cgroup, and as the child of
/// its maker's parent: what counts is where it is and who made it.
#[btf_tracepoint(function = "sched_process_fork")]
pub fn process_fork(ctx: BtfTracePointContext) -> i32 {
    fork(Typed(ctx.arg(0)), Typed(ctx.arg(1)));
    0
}

#[inline(always)]
fn fork(maker: Typed, child: Typed) -> Option<()> {
    let leads = child.read::<u32>(offset!(task_pid)) == child.read::<u32>(offset!(task_tgid));
    let cgroup = task::cgroup(child)?;
    if leads && task::cgroup_in_scope(cgroup) {
        let head = task::head_in(EventType::Fork, child, task::cgroup_id(cgroup)?)?;
        let maker = maker.follow(offset!(task_group_leader))?;
        let maker = Maker { start: task::start(maker), tgid: maker.read::<u32>(offset!(task_tgid)) as u64 };
        emit_all(Ring::Lifecycle, EventType::Fork, maker, head.time, &head);
    }
    None
}

/// A task ends; a process ends with its last one, which need not be its first.
#[btf_tracepoint(function = "sched_process_exit")]
pub fn process_exit(ctx: BtfTracePointContext) -> i32 {
    let last = (setting!(exit_says_last) != 0).then(|| ctx.arg::<u64>(1) & 0xff != 0);
    ends(Typed(ctx.arg(0)), last);
    0
}

/// Older kernels do not say whether it is the last.
#[inline(always)]
fn ends(task: Typed, last: Option<bool>) -> Option<()> {
    let signal = task.follow(offset!(task_signal))?;
    let none_left = last.unwrap_or_else(|| signal.read::<i32>(offset!(signal_live)) == 0);
    if none_left && task::task_in_scope(task) && (last.is_some() || is_first(task)?) {
        exit(task, signal)?;
    }
    None
}

/// Whether nobody has told of this process's end: of two last threads both can see that none is left.
#[inline(always)]
fn is_first(task: Typed) -> Option<bool> {
    let leader = task.follow(offset!(task_group_leader))?;
    let process = Maker { start: task::start(leader), tgid: task.read::<u32>(offset!(task_tgid)) as u64 };
    Some(ENDED.insert(&process, &0, BPF_NOEXIST) != Err(-EEXIST))
}

#[inline(always)]
fn exit(task: Typed, signal: Typed) -> Option<()> {
    let of_group: i32 = signal.read(offset!(signal_group_exit_code));
    let leader = task.follow(offset!(task_group_leader))?;
    let status = if of_group != 0 { of_group } else { leader.read(offset!(task_exit_code)) } as u32;
    // The group holds the sums of threads that are gone, not yet of this last one.
    let sum = |of_group: usize, own: usize| signal.read::<u64>(of_group) + task.read::<u64>(own);
    let record = Exit {
        task: task::head(EventType::Exit, task)?,
        code: status >> 8 & 0xff,
        signal: status & 0x7f,
        cpu: sum(offset!(signal_runtime), offset!(task_runtime)),
        cpu_user: sum(offset!(signal_utime), offset!(task_utime)),
        cpu_system: sum(offset!(signal_stime), offset!(task_stime)),
        max_rss: signal.read(offset!(signal_maxrss)),
        minor_faults: sum(offset!(signal_min_flt), offset!(task_min_flt)),
        major_faults: sum(offset!(signal_maj_flt), offset!(task_maj_flt)),
    };
    emit_all(Ring::Lifecycle, EventType::Exit, task::maker(&record.task), record.task.time, &record);
    None
}

/// A process runs a new image.
#[btf_tracepoint(function = "sched_process_exec")]
pub fn process_exec(ctx: BtfTracePointContext) -> i32 {
    let task = Typed(ctx.arg(0));
    if task::task_in_scope(task) {
        exec(task, Typed(ctx.arg(2)));
    }
    0
}

#[inline(always)]
fn exec(task: Typed, bprm: Typed) -> Option<()> {
    let mut scratch = Scratch::with_head::<ImageHead>(&EXEC_SCRATCH)?;
    let (named, interpreter) = (bprm.read::<usize>(offset!(bprm_filename)), bprm.read(offset!(bprm_interp)));
    let name_len = scratch.string(Kernel(named as *const u8));
    let mut image = image(&mut scratch, task, bprm.follow(offset!(bprm_file))?)?;
    let mm = task.follow(offset!(task_mm))?;
    let first: u64 = mm.read(offset!(mm_arg_start));
    let args_len = mm.read::<u64>(offset!(mm_arg_end)).wrapping_sub(first);
    image.args_got = scratch.arguments(first, args_len) as u16;
    image.args_len = args_len as u32;
    image.name_len = name_len as u16;
    image.flags |= if named == interpreter { 0 } else { IMAGE_SCRIPT };
    image.task = task::head(EventType::Exec, task)?;
    let (maker, time) = (task::maker(&image.task), image.task.time);
    emit(Ring::Lifecycle, EventType::Exec, maker, time, scratch.finish(image));
    None
}

/// Appends the paths of a file that runs and of the folder it runs in, and says what is known of the file.
#[inline(always)]
pub fn image<P: Pointer>(scratch: &mut Scratch, task: P, file: P) -> Option<ImageHead> {
    let inode = file.follow(offset!(file_inode))?;
    let device = inode.follow(offset!(inode_sb))?.read(offset!(sb_dev));
    let (number, nlink) = (inode.read(offset!(inode_ino)), inode.read(offset!(inode_nlink)));
    let fs = task.plain().follow(offset!(task_fs));
    let root = fs.at(offset!(fs_root));
    let start = scratch.len();
    let cut = path::append(scratch, file.plain().at(offset!(file_path)), root);
    let folder_start = scratch.len();
    let folder_cut = path::append(scratch, fs.at(offset!(fs_pwd)), root);
    Some(ImageHead {
        task: bytemuck::Zeroable::zeroed(),
        inode: number,
        device,
        nlink,
        args_len: 0,
        flags: if cut { IMAGE_CUT } else { 0 } | if folder_cut { IMAGE_FOLDER_CUT } else { 0 },
        name_len: 0,
        image_len: (folder_start - start) as u16,
        folder_len: (scratch.len() - folder_start) as u16,
        args_got: 0,
        reserved: 0,
    })
}

const _: () = assert!(size_of::<TaskHead>() == 96);
