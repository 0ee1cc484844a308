//! Where processes run: paths of cgroups, and the containers that they are.
//!
//! A cgroup's path comes from a process in it, or, if that is gone, from a walk through the hierarchy. Names come from
//! the files of the container's runtime, which may be written a moment after its first process starts.

use crate::{facts::Facts, rows::Place};
use ahash::RandomState;
use parse::container;
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

/// Cgroups that are remembered; what is forgotten comes back when it is asked for.
const REMEMBERED: usize = 8192;
/// Time between two looks at what was not found.
const PATIENCE: Duration = Duration::from_secs(1);
/// Looks for the names of a container.
const LOOKS: u8 = 5;

/// What is known of cgroups, by id.
pub struct Places {
    facts: Facts,
    known: HashMap<u64, Known, RandomState>,
    nowhere: Place,
}

#[derive(Default)]
struct Known {
    place: Place,
    /// Looks left for what is missing, and when the next is due.
    looks: u8,
    due: Option<Instant>,
}

impl Places {
    /// None known yet.
    #[must_use]
    pub fn new(facts: Facts) -> Self {
        Self { facts, known: HashMap::default(), nowhere: Place::default() }
    }

    /// The place with a cgroup id, in which a process with this number is or was.
    pub fn of(&mut self, cgroup: u64, tgid: u32) -> &Place {
        if cgroup == 0 {
            return &self.nowhere;
        }
        let looked = self.known.get(&cgroup).is_some_and(|known| known.due.is_none_or(|due| Instant::now() < due));
        if !looked {
            self.look(cgroup, tgid);
        }
        self.known.get(&cgroup).map_or(&self.nowhere, |known| &known.place)
    }

    fn look(&mut self, cgroup: u64, tgid: u32) {
        if self.known.len() >= REMEMBERED {
            self.known.clear();
        }
        let before = self.known.remove(&cgroup).unwrap_or(Known { looks: LOOKS, ..Known::default() });
        let path = before.place.path.clone().or_else(|| self.facts.cgroup(cgroup, tgid));
        let place = path.map_or_else(Place::default, |path| place(&self.facts, path));
        let complete =
            place.path.is_some() && (place.container.is_none() || place.name.is_some() || place.image.is_some());
        let looks = before.looks.saturating_sub(1);
        let due = (!complete && looks > 0).then(|| Instant::now() + PATIENCE);
        self.known.insert(cgroup, Known { place, looks, due });
    }
}

fn place(facts: &Facts, path: Arc<str>) -> Place {
    let container = container::of_path(&path);
    let names = container.as_ref().and_then(|container| names(facts, &container.id)).unwrap_or_default();
    Place {
        path: Some(path),
        container: container.map(|container| container.id.into()),
        name: names.name.map(Into::into),
        image: names.image.map(Into::into),
        pod: names.pod.map(Into::into),
    }
}

/// What the runtimes' files say of a container.
fn names(facts: &Facts, id: &str) -> Option<container::Names> {
    (0..)
        .zip(container::candidates(id))
        .find_map(|(place, (kind, _))| container::names(kind, &facts.container_file(id, place)?, id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Desk;
    use parse::proc_files;
    use std::{fs, os::unix::fs::MetadataExt, path::Path};

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    /// A folder that stands for the hierarchy, with one container in it; its inode.
    fn hierarchy(root: &Path) -> u64 {
        let scope = root.join(format!("cgroup/system.slice/docker-{ID}.scope"));
        fs::create_dir_all(&scope).unwrap();
        fs::metadata(scope).unwrap().ino()
    }

    fn config(root: &Path) {
        let folder = root.join(format!("var/lib/docker/containers/{ID}"));
        fs::create_dir_all(&folder).unwrap();
        let text = format!(r#"{{"ID":"{ID}","Name":"/shop","Config":{{"Image":"shop:1.2","Labels":{{}}}}}}"#);
        fs::write(folder.join("config.v2.json"), text).unwrap();
    }

    fn places(root: &Path) -> Places {
        Places::new(Facts::here(Desk::new(Some(root.join("cgroup"))).with_files(root)))
    }

    #[test]
    fn a_container_has_the_names_its_runtime_wrote() {
        let root = tempfile::tempdir().unwrap();
        let inode = hierarchy(root.path());
        config(root.path());
        let mut places = places(root.path());
        let place = places.of(inode, u32::MAX).clone();
        assert_eq!(place.path.as_deref(), Some(&*format!("/system.slice/docker-{ID}.scope")));
        assert_eq!(place.container.as_deref(), Some(ID));
        assert_eq!((place.name.as_deref(), place.image.as_deref()), (Some("shop"), Some("shop:1.2")));
        assert_eq!(*places.of(inode + 1_000_000, u32::MAX), Place::default());
        assert_eq!(*places.of(0, 1), Place::default());
    }

    #[test]
    fn names_that_come_late_are_found_by_a_later_look() {
        let root = tempfile::tempdir().unwrap();
        let inode = hierarchy(root.path());
        let mut places = places(root.path());
        assert_eq!(places.of(inode, u32::MAX).name, None);
        config(root.path());
        assert_eq!(places.of(inode, u32::MAX).name, None, "not before it is due");
        places.known.get_mut(&inode).unwrap().due = Some(Instant::now());
        assert_eq!(places.of(inode, u32::MAX).name.as_deref(), Some("shop"));
    }

    #[test]
    fn a_living_process_tells_its_own_cgroup() {
        let Ok(mount) = crate::kernel::cgroup2_mount() else { return };
        let file = fs::read("/proc/self/cgroup").unwrap();
        let Some(path) = proc_files::cgroup(&file) else { return };
        let path = String::from_utf8_lossy(path).into_owned();
        let Ok(meta) = fs::metadata(mount.join(path.trim_start_matches('/'))) else { return };
        let mut places = Places::new(Facts::here(Desk::new(Some(mount))));
        assert_eq!(places.of(meta.ino(), std::process::id()).path.as_deref(), Some(&*path));
    }
}
