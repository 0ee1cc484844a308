//! How much memory this process may still have: of the machine, and of the control groups that it is in.

use std::fs::read_to_string;
use std::path::Path;

use terminal::bytes;

use crate::memory::kib;

/// Where control groups are mounted.
const GROUPS: &str = "/sys/fs/cgroup";

/// Whether so many bytes are there to be had: where they are not, asking for them would end the process, and all figures.
///
/// # Errors
/// Why not, in words.
pub(crate) fn check(needed: u64) -> Result<(), String> {
    if let Some(free) = available().filter(|free| needed > *free) {
        return Err(format!("needs {} of memory, {} are free", bytes(needed), bytes(free)));
    }
    // What is only asked for, and not touched, costs nothing; without the box a compiler may not ask at all.
    let mut room: Vec<u8> = Vec::new();
    let asked = usize::try_from(needed).is_ok_and(|needed| room.try_reserve_exact(needed).is_ok());
    if std::hint::black_box(&room).capacity() as u64 >= needed && asked {
        return Ok(());
    }
    Err(format!("needs {} of memory, which this process may not have (ulimit -v)", bytes(needed)))
}

/// Memory that this process can have without swapping and without being killed for it, in bytes; `None` if nobody says.
fn available() -> Option<u64> {
    let groups = read_to_string("/proc/self/cgroup").unwrap_or_default();
    let of_machine = kib("/proc/meminfo", "MemAvailable:");
    [of_machine, of_groups(Path::new(GROUPS), &groups)].into_iter().flatten().min()
}

/// What the limits of all groups above a process leave; `groups` is its `/proc/PID/cgroup`.
fn of_groups(mount: &Path, groups: &str) -> Option<u64> {
    let free = groups.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?.trim_start_matches('/'));
        match controllers {
            "" => {
                let unified = mount.join("unified");
                let root = if unified.is_dir() { unified } else { mount.to_path_buf() };
                least(&root, path, ["memory.max", "memory.current", "inactive_file "])
            }
            _ if controllers.split(',').any(|one| one == "memory") => {
                let names = ["memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file "];
                least(&mount.join("memory"), path, names)
            }
            _ => None,
        }
    });
    free.min()
}

/// The least that a group or one above it leaves. Pages of files that nobody has used lately make room.
fn least(root: &Path, path: &str, [limit, used, files]: [&str; 3]) -> Option<u64> {
    let number = |folder: &Path, name: &str| read_to_string(folder.join(name)).ok()?.trim().parse::<u64>().ok();
    let of = |path: &Path| {
        let folder = root.join(path);
        let (limit, used) = (number(&folder, limit)?, number(&folder, used)?);
        let text = read_to_string(folder.join("memory.stat")).unwrap_or_default();
        let files = text.lines().find_map(|line| line.strip_prefix(files)?.parse().ok()).unwrap_or(0);
        Some(limit.saturating_sub(used.saturating_sub(files)))
    };
    Path::new(path).ancestors().filter_map(of).min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{create_dir_all, write};

    #[test]
    fn the_narrowest_group_counts() {
        let root = tempfile::tempdir().unwrap();
        let mount = root.path();
        let group = |path: &str, files: [(&str, &str); 3]| {
            create_dir_all(mount.join(path)).unwrap();
            files.iter().for_each(|(name, text)| write(mount.join(path).join(name), text).unwrap());
        };
        let of = |max, current, stat| [("memory.max", max), ("memory.current", current), ("memory.stat", stat)];
        group("a", of("1000\n", "700\n", "anon 1\ninactive_file 100\n"));
        group("a/b", of("max\n", "600\n", ""));
        group("a/c", of("500\n", "450\n", ""));
        assert_eq!(of_groups(mount, "0::/a/b\n"), Some(400));
        assert_eq!(of_groups(mount, "0::/a/c\n"), Some(50));
        assert_eq!(
            (of_groups(mount, "0::/\n"), of_groups(mount, "junk\n3:\n"), of_groups(mount, "")),
            (None, None, None)
        );

        let names = ["memory.limit_in_bytes", "memory.usage_in_bytes", "memory.stat"];
        group(
            "memory/x",
            [(names[0], "900"), (names[1], "800"), (names[2], "inactive_file 7\ntotal_inactive_file 50")],
        );
        assert_eq!(of_groups(mount, "4:memory:/x\n0::/a/b\n1:cpu,memory:/x\n9:cpu:/\n"), Some(150));
        // Beside the older groups the newer ones are in a folder of their own.
        group("unified/a/b", of("30", "10", ""));
        assert_eq!(of_groups(mount, "4:memory:/x\n0::/a/b\n"), Some(20));
    }

    #[test]
    fn this_machine_says_how_much() {
        assert!(available() > Some(1 << 20));
        assert_eq!(check(1 << 10), Ok(()));
        let said = check(1 << 50).unwrap_err();
        assert!(said.starts_with("needs 1048576.0 GiB of memory, "), "{said}");
    }
}
