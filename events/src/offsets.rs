//! Where the kernel keeps what the programs read.
//!
//! Rust has no relocatable field access in eBPF, so the agent looks the offsets up in the running kernel's own type
//! information before it loads the programs and hands them over as one frozen table. This list is the only place to edit.

/// A member of a kernel structure, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// Name of the structure.
    pub structure: &'static str,
    /// Path of the member: nested names with dots between, array elements as `[2]` or `[ENUMERATOR]`.
    pub path: &'static str,
}

macro_rules! offsets {
    ($($field:ident: $structure:literal, $path:literal;)*) => {
        /// Byte offsets of the kernel members that the programs read.
        #[repr(C)]
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
        pub struct Offsets {
            $(#[doc = concat!("`", $structure, ".", $path, "`, in bytes.")] pub $field: u32,)*
        }

        impl Offsets {
            /// The members, in the order of the fields.
            pub const MEMBERS: &'static [Member] = &[$(Member { structure: $structure, path: $path },)*];
            /// A table that holds no offset yet.
            pub const ZERO: Self = Self { $($field: 0,)* };
        }
    };
}

offsets! {
    task_pid: "task_struct", "pid";
    task_tgid: "task_struct", "tgid";
    task_group_leader: "task_struct", "group_leader";
    task_real_parent: "task_struct", "real_parent";
    task_start_boottime: "task_struct", "start_boottime";
    task_comm: "task_struct", "comm";
    task_cred: "task_struct", "real_cred";
    task_mm: "task_struct", "mm";
    task_signal: "task_struct", "signal";
    task_exit_code: "task_struct", "exit_code";
    cred_uid: "cred", "uid.val";
    cred_gid: "cred", "gid.val";
    mm_arg_start: "mm_struct", "arg_start";
    mm_arg_end: "mm_struct", "arg_end";
    signal_live: "signal_struct", "live.counter";
    signal_group_exit_code: "signal_struct", "group_exit_code";
    signal_session: "signal_struct", "pids[PIDTYPE_SID]";
    pid_nr: "pid", "numbers[0].nr";
    bprm_file: "linux_binprm", "file";
    bprm_filename: "linux_binprm", "filename";
    bprm_interp: "linux_binprm", "interp";
    file_inode: "file", "f_inode";
    file_dentry: "file", "f_path.dentry";
    inode_nlink: "inode", "i_nlink";
    dentry_name: "dentry", "d_name.name";
    sock_err: "sock", "sk_err";
    sock_flags: "sock", "__sk_common.skc_flags";
    tcp_snd_una: "tcp_sock", "snd_una";
    tcp_write_seq: "tcp_sock", "write_seq";
}

const _: () = assert!(size_of::<Offsets>() == Offsets::MEMBERS.len() * 4);
