//! What an exec record says of the image that runs.

use crate::facts::Facts;
use ahash::RandomState;
use events::{IMAGE_CUT, IMAGE_FOLDER_CUT, IMAGE_SCRIPT, Image};
use std::{collections::HashMap, sync::Arc};

/// The file that runs: its path from the root of the process, `memfd:NAME` for a memory file.
#[must_use]
pub fn exe(image: &Image<'_>) -> Option<Arc<str>> {
    // The one name of a memory file may hold slashes, which are no folders; a file that merely bears such a name has links.
    if image.head.nlink == 0 && image.image.starts_with(b"memfd:") {
        let name = image.image.strip_suffix(b"/").unwrap_or(image.image);
        return Some(String::from_utf8_lossy(name).into());
    }
    Some(events::path(image.image, image.head.flags & IMAGE_CUT != 0)?.into())
}

/// The file named to execve, if an interpreter runs it.
#[must_use]
pub fn script(image: &Image<'_>) -> Option<String> {
    (image.head.flags & IMAGE_SCRIPT != 0).then(|| String::from_utf8_lossy(image.name).into_owned())
}

/// The current folder, and who said so: `kernel`, or `proc` if its path was too deep for the kernel side.
#[must_use]
pub fn folder(image: &Image<'_>, facts: &Facts) -> Option<(Arc<str>, &'static str)> {
    if image.head.flags & IMAGE_FOLDER_CUT == 0 {
        // No names between the folder and the root: it is the root. A task that is on its way out has neither.
        let root = (image.folder.is_empty() && !image.image.is_empty()).then(|| "/".to_owned());
        return Some((root.or_else(|| events::path(image.folder, false))?.into(), "kernel"));
    }
    Some((facts.folder(image.head.task.tgid)?, "proc"))
}

/// Paths that were turned round, by what the kernel walked: most come again and again.
#[derive(Default)]
pub struct Paths {
    /// By whether the path was cut and whether the file has links, as both change its name.
    images: [Known; 4],
    folders: Known,
}

type Known = HashMap<Box<[u8]>, Arc<str>, RandomState>;

/// Paths that are remembered of each kind.
const REMEMBERED: usize = 4096;

impl Paths {
    /// As [`exe`].
    pub fn exe(&mut self, image: &Image<'_>) -> Option<Arc<str>> {
        let linked = usize::from(image.head.nlink > 0);
        let cut = usize::from(image.head.flags & IMAGE_CUT != 0);
        remembered(&mut self.images[2 * cut + linked], image.image, || exe(image))
    }

    /// As [`folder`].
    pub fn folder(&mut self, image: &Image<'_>, facts: &Facts) -> Option<(Arc<str>, &'static str)> {
        if image.head.flags & IMAGE_FOLDER_CUT != 0 || image.folder.is_empty() {
            return folder(image, facts);
        }
        let path = remembered(&mut self.folders, image.folder, || folder(image, facts).map(|(path, _)| path))?;
        Some((path, "kernel"))
    }
}

fn remembered(known: &mut Known, bytes: &[u8], path: impl FnOnce() -> Option<Arc<str>>) -> Option<Arc<str>> {
    if let Some(path) = known.get(bytes) {
        return Some(path.clone());
    }
    if known.len() >= REMEMBERED {
        known.clear();
    }
    let path = path()?;
    known.insert(bytes.into(), path.clone());
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Desk;
    use bytemuck::Zeroable;
    use events::ImageHead;

    fn nobody() -> Facts {
        Facts::here(Desk::new(None))
    }

    fn image<'a>(nlink: u32, flags: u16, name: &'a [u8], path: &'a [u8]) -> Image<'a> {
        let head = ImageHead { nlink, flags, ..ImageHead::zeroed() };
        Image { head, name, image: path, folder: b"tmp/", args: b"" }
    }

    #[test]
    fn images() {
        let plain = image(1, 0, b"ls", b"ls/bin/usr/");
        assert_eq!((exe(&plain).as_deref(), script(&plain)), (Some("/usr/bin/ls"), None));
        assert_eq!(folder(&plain, &nobody()), Some(("/tmp".into(), "kernel")));
        assert_eq!(folder(&Image { folder: b"", ..plain }, &nobody()), Some(("/".into(), "kernel")));
        assert_eq!(folder(&Image { folder: b"", image: b"", ..plain }, &nobody()), None);
        let run = image(1, IMAGE_SCRIPT, b"./run.sh", b"dash/bin/");
        assert_eq!((exe(&run).as_deref(), script(&run).as_deref()), (Some("/bin/dash"), Some("./run.sh")));
        assert_eq!(exe(&image(0, 0, b"/proc/self/fd/3", b"memfd:x/")).as_deref(), Some("memfd:x"));
        assert_eq!(exe(&image(0, 0, b"", b"memfd:/ls/bin/usr/")).as_deref(), Some("memfd:/ls/bin/usr"));
        // A file that merely bears such a name is not a memory file.
        assert_eq!(exe(&image(1, 0, b"/memfd:x", b"memfd:x/")).as_deref(), Some("/memfd:x"));
        assert_eq!(exe(&image(1, IMAGE_CUT, b"x", b"c/b/")).as_deref(), Some("…/b/c"));
    }

    #[test]
    fn what_is_remembered_is_the_same() {
        let mut paths = Paths::default();
        for _ in 0..2 {
            for (nlink, flags) in [(0, 0), (1, 0), (0, IMAGE_CUT), (1, IMAGE_CUT)] {
                let image = image(nlink, flags, b"x", b"memfd:x/");
                assert_eq!(paths.exe(&image), exe(&image));
                assert_eq!(paths.folder(&image, &nobody()), folder(&image, &nobody()));
            }
        }
    }
}
