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
    /// Some kernels are built without it; its offset is then [`ABSENT`].
    pub optional: bool,
}

/// The offset of a member that the running kernel does not have.
pub const ABSENT: u32 = u32::MAX;

macro_rules! offsets {
    ($($field:ident: $structure:literal, $path:literal $(, $optional:ident)?;)*) => {
        /// Byte offsets of the kernel members that the programs read.
        #[repr(C)]
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
        pub struct Offsets {
            $(#[doc = concat!("`", $structure, ".", $path, "`, in bytes.")] pub $field: u32,)*
        }

        impl Offsets {
            /// The members, in the order of the fields.
            pub const MEMBERS: &'static [Member] = &[$(Member {
                structure: $structure,
                path: $path,
                optional: offsets!(@optional $($optional)?),
            },)*];
            /// A table that holds no offset yet.
            pub const ZERO: Self = Self { $($field: 0,)* };
        }
    };
    (@optional) => { false };
    (@optional optional) => { true };
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
    task_fs: "task_struct", "fs";
    task_files: "task_struct", "files";
    task_cgroups: "task_struct", "cgroups";
    task_login_uid: "task_struct", "loginuid.val", optional;
    task_status: "task_struct", "thread_info.status", optional;
    task_flags: "task_struct", "thread_info.flags", optional;
    task_runtime: "task_struct", "se.sum_exec_runtime";
    task_utime: "task_struct", "utime";
    task_stime: "task_struct", "stime";
    task_min_flt: "task_struct", "min_flt";
    task_maj_flt: "task_struct", "maj_flt";
    cred_uid: "cred", "uid.val";
    cred_gid: "cred", "gid.val";
    cred_euid: "cred", "euid.val";
    cred_egid: "cred", "egid.val";
    cred_capabilities: "cred", "cap_effective";
    mm_arg_start: "mm_struct", "arg_start";
    mm_arg_end: "mm_struct", "arg_end";
    mm_exe_file: "mm_struct", "exe_file";
    signal_live: "signal_struct", "live.counter";
    signal_group_exit_code: "signal_struct", "group_exit_code";
    signal_session: "signal_struct", "pids[PIDTYPE_SID]";
    signal_runtime: "signal_struct", "sum_sched_runtime";
    signal_utime: "signal_struct", "utime";
    signal_stime: "signal_struct", "stime";
    signal_min_flt: "signal_struct", "min_flt";
    signal_maj_flt: "signal_struct", "maj_flt";
    signal_maxrss: "signal_struct", "maxrss";
    pid_nr: "pid", "numbers[0].nr";
    bprm_file: "linux_binprm", "file";
    bprm_filename: "linux_binprm", "filename";
    bprm_interp: "linux_binprm", "interp";
    fs_root: "fs_struct", "root";
    fs_pwd: "fs_struct", "pwd";
    path_mnt: "path", "mnt";
    path_dentry: "path", "dentry";
    file_inode: "file", "f_inode";
    file_path: "file", "f_path";
    file_private_data: "file", "private_data";
    inode_nlink: "inode", "i_nlink";
    inode_ino: "inode", "i_ino";
    inode_sb: "inode", "i_sb";
    inode_mode: "inode", "i_mode";
    sb_dev: "super_block", "s_dev";
    dentry_name: "dentry", "d_name.name";
    dentry_parent: "dentry", "d_parent";
    vfsmount_root: "vfsmount", "mnt_root";
    mount_vfsmount: "mount", "mnt";
    mount_parent: "mount", "mnt_parent";
    mount_mountpoint: "mount", "mnt_mountpoint";
    css_set_cgroup: "css_set", "dfl_cgrp";
    cgroup_kn: "cgroup", "kn";
    cgroup_level: "cgroup", "level";
    cgroup_ancestor_ids: "cgroup", "ancestor_ids", optional;
    cgroup_ancestors: "cgroup", "ancestors", optional;
    kn_id: "kernfs_node", "id";
    files_fdt: "files_struct", "fdt";
    fdt_fd: "fdtable", "fd";
    fdt_max: "fdtable", "max_fds";
    socket_sk: "socket", "sk";
    sk_family: "sock", "__sk_common.skc_family";
    sk_state: "sock", "__sk_common.skc_state";
    sk_dport: "sock", "__sk_common.skc_dport";
    sk_daddr: "sock", "__sk_common.skc_daddr";
    sk_saddr: "sock", "__sk_common.skc_rcv_saddr";
    sk_daddr6: "sock", "__sk_common.skc_v6_daddr", optional;
    sk_saddr6: "sock", "__sk_common.skc_v6_rcv_saddr", optional;
    sk_cookie: "sock", "__sk_common.skc_cookie";
    sock_err: "sock", "sk_err";
    sock_flags: "sock", "__sk_common.skc_flags";
    sock_protocol: "sock", "sk_protocol";
    inet_sport: "inet_sock", "inet_sport";
    tcp_snd_una: "tcp_sock", "snd_una";
    tcp_write_seq: "tcp_sock", "write_seq";
    tcp_bytes_acked: "tcp_sock", "bytes_acked";
    tcp_bytes_received: "tcp_sock", "bytes_received";
    tcp_total_retrans: "tcp_sock", "total_retrans";
    tcp_callbacks: "tcp_sock", "bpf_sock_ops_cb_flags";
}

const _: () = assert!(size_of::<Offsets>() == Offsets::MEMBERS.len() * 4);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_members_may_be_missing() {
        assert!(Offsets::MEMBERS.iter().filter(|member| member.optional).count() < 8);
    }
}
