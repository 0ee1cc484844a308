//! Paths, followed from the last name to the root. The helper that does this is not lent to tracepoints.

use crate::{maps::offset, scratch::Scratch, task::Kernel};
use events::{PATH_DEPTH, PATH_MAX};

/// A `struct path`: where a name is, and in which mount.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Place {
    dentry: Kernel,
    mount: Kernel,
}

/// What a name says: what it is called, and which folder it is in.
struct Name {
    parent: Kernel,
    text: Kernel,
}

impl Name {
    /// Both lie close together, so that one read does: a call of a helper costs more than what it copies.
    #[inline(always)]
    fn of(dentry: Kernel) -> Self {
        let (parent, text) = (offset!(dentry_parent), offset!(dentry_name));
        if text == parent + 16 {
            let [parent, _, text]: [usize; 3] = dentry.read(parent);
            return Self { parent: Kernel(parent as *const u8), text: Kernel(text as *const u8) };
        }
        Self { parent: dentry.follow(parent), text: dentry.follow(text) }
    }
}

impl Place {
    #[inline(always)]
    fn of(path: Kernel) -> Self {
        Self { dentry: path.follow(offset!(path_dentry)), mount: path.follow(offset!(path_mnt)) }
    }
}

/// Appends the names of a `struct path`, seen from a root: last first, each followed by `/`. Returns whether it was
/// too long or too deep to be followed to its end.
#[inline(always)]
pub fn append(scratch: &mut Scratch, path: Kernel, root: Kernel) -> bool {
    let (mut at, root) = (Place::of(path), Place::of(root));
    let start = scratch.len();
    let mut top = at.mount.follow(offset!(vfsmount_root));
    for _ in 0..PATH_DEPTH {
        if at == root {
            return false;
        }
        if at.dentry == top {
            let mount = Kernel(at.mount.0.wrapping_sub(offset!(mount_vfsmount)));
            let parent = mount.follow(offset!(mount_parent));
            if parent == mount {
                return false;
            }
            at = Place { dentry: mount.follow(offset!(mount_mountpoint)), mount: parent.at(offset!(mount_vfsmount)) };
            top = at.mount.follow(offset!(vfsmount_root));
            continue;
        }
        let name = Name::of(at.dentry);
        let before = scratch.len();
        if !scratch.name(name.text) || scratch.len() - start > PATH_MAX {
            scratch.cut(before);
            return true;
        }
        if name.parent == at.dentry {
            return false;
        }
        at.dentry = name.parent;
    }
    true
}
