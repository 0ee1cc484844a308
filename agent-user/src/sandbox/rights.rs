//! Users and capabilities.

use super::{Plan, SandboxError, refused};
use rustix::{
    io::Errno,
    process::{DumpableBehavior, Gid, Signal, Uid, getppid, set_dumpable_behavior, set_parent_process_death_signal},
    thread::{
        CapabilitySet, CapabilitySets, capabilities, capability_is_in_bounding_set, clear_ambient_capability_set,
        remove_capability_from_bounding_set, set_capabilities, set_no_new_privs, set_thread_groups, set_thread_res_gid,
        set_thread_res_uid,
    },
};
use serde::{Deserialize, Serialize};
use std::fs;

/// Capabilities that any kernel has.
const ALL: u32 = 64;

/// Somebody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Name.
    pub name: String,
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

impl User {
    /// The user with a name, as `/etc/passwd` has it.
    ///
    /// # Errors
    /// [`SandboxError::NoUser`].
    pub fn named(name: &str) -> Result<Self, SandboxError> {
        let fail = |why: String| SandboxError::NoUser { name: name.to_owned(), why };
        let file = fs::read("/etc/passwd").map_err(|error| fail(format!("/etc/passwd: {error}")))?;
        Self::in_file(&String::from_utf8_lossy(&file), name).ok_or_else(|| fail("not in /etc/passwd".into()))
    }

    fn in_file(file: &str, name: &str) -> Option<Self> {
        file.lines().find_map(|line| {
            let mut fields = line.split(':');
            let (found, uid, gid) = (fields.next()?, fields.nth(1)?, fields.next()?);
            let user = || Some(Self { name: name.into(), uid: uid.parse().ok()?, gid: gid.parse().ok()? });
            (found == name && !name.is_empty()).then(user).flatten()
        })
    }
}

/// Becomes the user, without any capability or a way to get one. Returns those that are left.
pub(super) fn give_up(plan: &Plan, missing: &mut Vec<String>) -> Result<u64, SandboxError> {
    // While there is the right to: what is not in this set comes back by no program that is started.
    empty_bounding_set(missing);
    let _ = clear_ambient_capability_set();
    if let Some(user) = &plan.user {
        become_user(user)?;
    }
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })
        .map_err(|error| refused("capabilities", &error))?;
    set_no_new_privs(true).map_err(|error| refused("no new privileges", &error))?;
    // No other process of this user reads its memory or its descriptors.
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(|error| refused("no dumps", &error))?;
    if let Some(parent) = plan.parent {
        die_with(parent)?;
    }
    let held = capabilities(None).map_err(|error| refused("capabilities", &error))?;
    Ok((held.effective | held.permitted | held.inheritable).bits())
}

/// Only now: with another user, a process forgets this.
fn die_with(parent: u32) -> Result<(), SandboxError> {
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(|error| refused("end with its parent", &error))?;
    let now = getppid().map_or(0, |now| now.as_raw_nonzero().get());
    if u32::try_from(now) == Ok(parent) { Ok(()) } else { Err(refused("end with its parent", &"it is gone")) }
}

fn become_user(user: &User) -> Result<(), SandboxError> {
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    if rustix::process::getuid() == uid && rustix::process::geteuid() == uid {
        return Ok(());
    }
    let fail = |error: Errno| refused("another user", &error);
    // In this order: afterwards there is no right to the ones before.
    set_thread_groups(&[]).map_err(fail)?;
    set_thread_res_gid(gid, gid, gid).map_err(fail)?;
    set_thread_res_uid(uid, uid, uid).map_err(fail)
}

fn empty_bounding_set(missing: &mut Vec<String>) {
    for number in 0..ALL {
        let one = CapabilitySet::from_bits_retain(1 << number);
        // The kernel has fewer than there is room for.
        let Ok(held) = capability_is_in_bounding_set(one) else { return };
        if held && let Err(error) = remove_capability_from_bounding_set(one) {
            missing.push(format!("bounding set: {error}, without CAP_SETPCAP it stays"));
            return;
        }
    }
}

/// Gives up all capabilities but these, as far as they are held, and all ways to get others: for the process that needs
/// some to the end.
///
/// # Errors
/// [`SandboxError::Refused`].
pub fn keep(these: CapabilitySet) -> Result<CapabilitySet, SandboxError> {
    let fail = |error: Errno| refused("capabilities", &error);
    let held = capabilities(None).map_err(fail)?.permitted;
    let kept = held & these;
    for number in 0..ALL {
        let one = CapabilitySet::from_bits_retain(1 << number);
        // Those it starts begin with no more. Without the right to this, they give it up themselves.
        if !kept.contains(one) && capability_is_in_bounding_set(one) == Ok(true) {
            let _ = remove_capability_from_bounding_set(one);
        }
    }
    let _ = clear_ambient_capability_set();
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    set_capabilities(None, sets).map_err(fail)?;
    set_no_new_privs(true).map_err(|error| refused("no new privileges", &error))?;
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_its_whole_name() {
        let file =
            "root:x:0:0:root:/root:/bin/bash\nebbline2:x:7:8::/:/x\nebbline:x:100:101::/nonexistent:/x\nbad:x:y:1::\n";
        let user = User::in_file(file, "ebbline").unwrap();
        assert_eq!((user.uid, user.gid), (100, 101));
        for nobody in ["ebb", "bad", "", "x"] {
            assert_eq!(User::in_file(file, nobody), None, "{nobody}");
        }
    }
}
