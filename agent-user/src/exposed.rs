//! Folders in which others than the agent can do what they like.

use crate::{error::one_line, sandbox::User};
use rustix::process::{getegid, geteuid};
use std::{fs, os::unix::fs::MetadataExt, path::Path};

/// Who can take names in a folder and remove what is there, beside root, the caller and the agent's user: a line that says
/// what to do. Links are followed, as they are when it is written.
#[must_use]
pub fn exposed(folder: &Path, user: Option<&User>) -> Option<String> {
    let meta = fs::metadata(folder).ok()?;
    let uids = [0, user.map_or(geteuid().as_raw(), |user| user.uid), geteuid().as_raw()];
    let gids = [0, user.map_or(getegid().as_raw(), |user| user.gid), getegid().as_raw()];
    let (mode, uid, gid) = (meta.mode() & 0o7777, meta.uid(), meta.gid());
    let who = if mode & 0o002 != 0 {
        format!("everybody may write to it (mode {mode:04o}); chmod o-w")
    } else if mode & 0o020 != 0 && !gids.contains(&gid) {
        format!("group {gid} may write to it (mode {mode:04o}); chmod g-w")
    } else if !uids.contains(&uid) {
        let name = user.map_or("root", |user| &user.name);
        format!("it belongs to user {uid}; chown {name}")
    } else {
        return None;
    };
    let place = folder.display();
    Some(one_line(&format!(
        "not safe from others: {place}: {who} {place}: what is recorded can be removed or replaced"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, chown};

    #[test]
    fn a_folder_that_others_write_to_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let mode = |mode| fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).unwrap();
        for harmless in [0o700, 0o750, 0o755, 0o770] {
            mode(harmless);
            assert_eq!(exposed(folder.path(), None), None, "{harmless:o}");
        }
        for open in [0o777, 0o1777, 0o702] {
            mode(open);
            let line = exposed(folder.path(), None).unwrap();
            assert!(line.contains(&format!("(mode {open:04o})")) && line.contains("chmod o-w"), "{line}");
        }
        assert_eq!(exposed(&folder.path().join("none"), None), None);
    }

    #[test]
    fn a_folder_of_another_user_or_group_is_named() {
        let folder = tempfile::tempdir().unwrap();
        if !geteuid().is_root() {
            return eprintln!("SKIPPED: only root can give a folder away");
        }
        let user = User { name: "agent".into(), uid: 901, gid: 902 };
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o770)).unwrap();
        for (uid, gid, found) in
            [(901, 902, None), (0, 0, None), (901, 77, Some("group 77")), (78, 902, Some("user 78"))]
        {
            chown(folder.path(), Some(uid), Some(gid)).unwrap();
            let line = exposed(folder.path(), Some(&user));
            assert_eq!(line.is_some(), found.is_some(), "{line:?}");
            assert!(found.is_none_or(|found| line.as_ref().unwrap().contains(found)), "{line:?}");
        }
        // Whoever has the agent's own folder to itself is no other.
        chown(folder.path(), Some(78), Some(0)).unwrap();
        assert!(exposed(folder.path(), None).unwrap().contains("chown root"));
    }
}
