//! Paths, followed from the last name to the root. The helper that does this is not lent to tracepoints.

use crate::{maps::offset, scratch::Scratch, task::Kernel};
use events::{PATH_DEPTH, PATH_MAX};

/// A `struct path`: where a name is, and in which mount.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Place {
    dentry: Kernel,
    mount: Kernel,
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
    for _ in 0..PATH_DEPTH {
        if at == root {
            return false;
        }
        if at.dentry == at.mount.follow(offset!(vfsmount_root)) {
            let mount = Kernel(at.mount.0.wrapping_sub(offset!(mount_vfsmount)));
            let parent = mount.follow(offset!(mount_parent));
            if parent == mount {
                return false;
            }
            at = Place { dentry: mount.follow(offset!(mount_mountpoint)), mount: parent.at(offset!(mount_vfsmount)) };
            continue;
        }
        let parent = at.dentry.follow(offset!(dentry_parent));
        let before = scratch.len();
        if !scratch.name(at.dentry.follow(offset!(dentry_name))) || scratch.len() - start > PATH_MAX {
            scratch.cut(before);
            return true;
        }
        if parent == at.dentry {
            return false;
        }
        at.dentry = parent;
    }
    true
}
