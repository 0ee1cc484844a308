//! What the running kernel offers, before anything is loaded: rights, type information, offsets, cgroups, boot.

use crate::error::AgentError;
use events::{ABSENT, Offsets, Scope};
use parse::btf::{Btf, BtfError};
use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

/// Where the kernel shows its own types.
pub const BTF_PATH: &str = "/sys/kernel/btf/vmlinux";

const CAPABILITIES: &[(u32, &str)] = &[(12, "CAP_NET_ADMIN"), (38, "CAP_PERFMON"), (39, "CAP_BPF")];
const CAP_SYS_ADMIN: u32 = 21;

/// Names of the rights that this process lacks; empty if it may load programs.
#[must_use]
pub fn missing_rights() -> Vec<&'static str> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let held = effective.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0);
    let has = |bit: u32| held >> bit & 1 == 1;
    let missing = CAPABILITIES.iter().filter(|(bit, _)| !has(*bit) && !has(CAP_SYS_ADMIN));
    missing.map(|(_, name)| *name).collect()
}

/// Fails if a right is missing.
///
/// # Errors
/// [`AgentError::Rights`] names what is missing.
pub fn require_rights() -> Result<(), AgentError> {
    let missing = missing_rights();
    if missing.is_empty() { Ok(()) } else { Err(AgentError::Rights(missing.join(", "))) }
}

/// What the programs need to know of the kernel.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    /// Where members lie.
    pub offsets: Offsets,
    /// The exit tracepoint says whether the last thread went.
    pub exit_says_last: bool,
    /// Iterators may have the kernel make a socket's cookie.
    pub socket_cookies: bool,
}

/// Looks every member up in the type information at `path`.
///
/// # Errors
/// [`AgentError::Btf`] if the file cannot be read or lacks a member.
pub fn layout(path: &Path) -> Result<Layout, AgentError> {
    let fail = |why: String| AgentError::Btf { path: path.into(), why };
    let bytes = fs::read(path).map_err(|error| fail(error.to_string()))?;
    let btf = Btf::parse(&bytes).map_err(|error| fail(error.to_string()))?;
    let mut offsets = Offsets::ZERO;
    for (slot, member) in
        bytemuck::cast_slice_mut::<_, u32>(std::slice::from_mut(&mut offsets)).iter_mut().zip(Offsets::MEMBERS)
    {
        *slot = match btf.offset(member.structure, member.path) {
            Err(BtfError::Missing(_)) if member.optional => ABSENT,
            found => found.map_err(|error| fail(error.to_string()))?,
        };
    }
    if offsets.cgroup_ancestor_ids == ABSENT && offsets.cgroup_ancestors == ABSENT {
        return Err(fail("this kernel has neither cgroup.ancestor_ids nor cgroup.ancestors".into()));
    }
    // The socket program tests this bit of `sk_flags` by its number.
    if btf.enumerator("SOCK_DONE") != Some(1) {
        return Err(fail("SOCK_DONE is not 1".into()));
    }
    let exit_says_last = btf.tracepoint_arguments("sched_process_exit").is_some_and(|arguments| arguments > 1);
    let socket_cookies = btf.has_function("bpf_get_socket_ptr_cookie");
    Ok(Layout { offsets, exit_says_last, socket_cookies })
}

/// Where cgroup v2 is mounted.
///
/// # Errors
/// [`AgentError::NoCgroup2`] if it is not.
pub fn cgroup2_mount() -> Result<PathBuf, AgentError> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let mount = mounts.lines().find_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let path = fields.next()?;
        (fields.next()? == "cgroup2").then(|| PathBuf::from(path))
    });
    mount.ok_or(AgentError::NoCgroup2("no cgroup2 mount; mount -t cgroup2 none /sys/fs/cgroup"))
}

/// A cgroup to watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cgroup {
    /// Its folder.
    pub path: PathBuf,
    /// What the programs compare.
    pub scope: Scope,
}

/// The cgroup at `path`, or the root of the hierarchy.
///
/// # Errors
/// [`AgentError::NoCgroup2`] without a hierarchy, [`AgentError::NotCgroup`] if the path is not in it.
pub fn cgroup(path: Option<&Path>) -> Result<Cgroup, AgentError> {
    let mount = cgroup2_mount()?;
    let path = path.unwrap_or(&mount).to_path_buf();
    let fail = |why: String| AgentError::NotCgroup { path: path.clone(), why, mount: mount.clone() };
    let found = path.canonicalize().map_err(|error| fail(error.to_string()))?;
    let below = found.strip_prefix(&mount).map_err(|_| fail("it lies elsewhere".into()))?;
    if !found.join("cgroup.procs").exists() {
        return Err(fail("it holds no cgroup.procs".into()));
    }
    let inode = |path: &Path| fs::metadata(path).map(|meta| meta.ino()).map_err(|error| fail(error.to_string()));
    // The root of the hierarchy is inode 1. In a cgroup namespace the mount shows a deeper one, and depth cannot be told.
    if inode(&mount)? != 1 {
        return Err(AgentError::NoCgroup2("the mount shows a cgroup namespace; run the agent outside of it"));
    }
    let level = below.components().count() as u64;
    let scope = if level == 0 { Scope::default() } else { Scope { cgroup: inode(&found)?, level } };
    Ok(Cgroup { path: found, scope })
}

/// The boot id as text.
///
/// # Errors
/// [`AgentError::Read`] without `/proc`.
pub fn boot_id() -> Result<String, AgentError> {
    let path = "/proc/sys/kernel/random/boot_id";
    let text = fs::read_to_string(path);
    text.map(|text| text.trim().to_owned())
        .map_err(|error| AgentError::Read { what: path.into(), why: error.to_string() })
}

/// The first four bytes of a boot id.
#[must_use]
pub fn boot_prefix(boot_id: &str) -> [u8; 4] {
    u32::from_str_radix(boot_id.get(..8).unwrap_or_default(), 16).unwrap_or(0).to_be_bytes()
}

/// A name for what begins now: the boot, and when in it.
#[must_use]
pub fn run_id(boot_id: &str) -> String {
    format!("{}-{:x}", boot_id.get(..8).unwrap_or("unknown"), boot_time())
}

/// Nanoseconds since boot, as the kernel programs count them.
#[must_use]
pub fn boot_time() -> u64 {
    nanoseconds(rustix::time::clock_gettime(rustix::time::ClockId::Boottime))
}

/// Nanoseconds from boot time to UTC.
#[must_use]
pub fn utc_offset() -> i64 {
    let utc = nanoseconds(rustix::time::clock_gettime(rustix::time::ClockId::Realtime));
    utc as i64 - boot_time() as i64
}

/// The time now, in nanoseconds UTC.
#[must_use]
pub fn utc_now() -> i64 {
    nanoseconds(rustix::time::clock_gettime(rustix::time::ClockId::Realtime)) as i64
}

/// A time in nanoseconds UTC as RFC 3339.
#[must_use]
pub fn utc_text(time: i64) -> String {
    store::time_text(time).replacen(' ', "T", 1) + "Z"
}

fn nanoseconds(time: rustix::time::Timespec) -> u64 {
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32).as_nanos() as u64
}

/// Name and version of the kernel.
#[must_use]
pub fn release() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

/// The host's own name.
#[must_use]
pub fn host_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    // A machine may be without.
    if name.is_empty() { "localhost".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boot_prefix_takes_any_text() {
        assert_eq!(boot_prefix("0123abcd-0000"), [0x01, 0x23, 0xab, 0xcd]);
        assert_eq!(boot_prefix("é"), [0; 4]);
    }

    #[test]
    fn a_folder_elsewhere_is_not_a_cgroup() {
        if cgroup2_mount().is_ok() {
            assert!(matches!(cgroup(Some(Path::new("/proc"))), Err(AgentError::NotCgroup { .. })));
            assert!(matches!(cgroup(Some(Path::new("/nonexistent"))), Err(AgentError::NotCgroup { .. })));
        }
    }

    #[test]
    fn foreign_type_information_is_refused() {
        assert!(matches!(layout(Path::new("/proc/self/maps")), Err(AgentError::Btf { .. })));
        assert!(matches!(layout(Path::new("/nonexistent")), Err(AgentError::Btf { .. })));
    }
}
