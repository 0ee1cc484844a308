//! Windows paths: no letter case, two separators, several ways to begin; one form for all of them.

use super::mask::identifiers;

/// Ways to say that what follows is to be taken as it is.
const PREFIXES: [&str; 4] = ["\\\\?\\unc\\", "\\\\?\\", "\\\\.\\", "\\??\\"];
/// Folders whose subfolders are people's, and the subfolders that are nobody's.
const PROFILES: [&str; 2] = ["users", "documents and settings"];
const NOBODYS: [&str; 4] = ["public", "default", "default user", "all users"];

/// Whether a path is one of Windows: it begins with a drive, or has backslashes and no slash.
pub(super) fn is_windows(path: &str) -> bool {
    let bytes = path.as_bytes();
    let drive = bytes.len() > 1 && bytes[0].is_ascii_alphabetic() && bytes[1] == b':';
    let drive = drive && bytes.get(2).is_none_or(|b| matches!(b, b'\\' | b'/'));
    drive || path.contains('\\') && !path.contains('/') && !path.starts_with("memfd:")
}

/// In lower case, with single backslashes, without a prefix, the names of people's folders as `U`, and masked.
pub(super) fn whole(path: &str) -> String {
    identifiers(&plain(path))
}

/// The last component.
pub(super) fn leaf(path: &str) -> String {
    let path = plain(path);
    identifiers(path.rsplit('\\').next().unwrap_or(&path))
}

/// What stands before the last component; `.` for a bare name.
pub(super) fn dir(path: &str) -> String {
    identifiers(folder(&plain(path)))
}

/// The drive or share of the folder and two components more; below somebody's profile again two more.
pub(super) fn place(path: &str) -> String {
    let path = plain(path);
    let dir = folder(&path);
    let skip = if dir.starts_with("\\\\") { 2 } else { usize::from(dir.starts_with('\\')) };
    let components: Vec<&str> = dir[skip..].split('\\').collect();
    let drive = usize::from(components[0].ends_with(':'));
    let profile = components.get(drive + 1).is_some_and(|c| *c == "U");
    let keep = drive + if profile { 4 } else { 2 };
    let place = components[..keep.min(components.len())].join("\\");
    identifiers(&format!("{}{place}", &dir[..skip]))
}

fn folder(path: &str) -> &str {
    match path.rfind('\\') {
        Some(0) => "\\",
        Some(at) => &path[..at],
        None => ".",
    }
}

fn plain(path: &str) -> String {
    let path = path.to_lowercase().replace('/', "\\");
    let known = PREFIXES.iter().find_map(|prefix| Some((prefix, path.strip_prefix(prefix)?)));
    let (share, rest) = match known {
        Some((prefix, rest)) => (prefix.ends_with("unc\\"), rest),
        None => (path.starts_with("\\\\"), path.as_str()),
    };
    let rooted = if rest.starts_with('\\') { "\\" } else { "" };
    let mut components: Vec<&str> = rest.split('\\').filter(|c| !c.is_empty()).collect();
    let profile =
        components.windows(2).take(3).position(|two| PROFILES.contains(&two[0]) && !NOBODYS.contains(&two[1]));
    if let Some(at) = profile {
        components[at + 1] = "U";
    }
    let lead = if share { "\\\\" } else { rooted };
    format!("{lead}{}", components.join("\\"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linux_paths_are_none_of_windows() {
        for path in ["/usr/bin/x", "/tmp/a\\b", "…/a/b", "memfd:a\\b", "sshd", "a/b\\c", "", "a:b", "é:\\"] {
            assert_eq!(is_windows(path), path == "é:\\", "{path}");
        }
        for path in ["C:\\", "c:/x", "D:", "\\\\host\\share\\x", "x\\y", "\\Device\\HarddiskVolume2\\x"] {
            assert!(is_windows(path), "{path}");
        }
    }

    #[test]
    fn one_form_for_every_way_to_write_a_path() {
        let same = [
            "C:\\Windows\\System32\\Tool.EXE",
            "\\\\?\\c:\\windows\\system32\\tool.exe",
            "c:/windows//system32/tool.exe",
        ];
        assert_eq!(same.map(whole), ["c:\\windows\\systemN\\tool.exe"; 3]);
        assert_eq!(whole("\\\\?\\UNC\\Srv1\\Share\\a"), whole("\\\\srv2\\share\\A"));
        assert_eq!(leaf(same[0]), "tool.exe");
        assert_eq!(dir(same[0]), "c:\\windows\\systemN");
        assert_eq!((dir("c:\\x"), dir("x\\"), dir("\\x")), ("c:".into(), ".".into(), "\\".into()));
    }

    #[test]
    fn people_and_identifiers_are_masked() {
        let path = "C:\\Users\\Ada\\AppData\\Local\\Temp\\{6F9619FF-8B86-D011-B42D-00CF4FC964FF}\\Setup.exe";
        assert_eq!(whole(path), "c:\\users\\U\\appdata\\local\\temp\\{N}\\setup.exe");
        assert_eq!(place(path), "c:\\users\\U\\appdata\\local");
        assert_eq!(whole("C:\\Users\\Public\\x"), "c:\\users\\public\\x");
    }

    #[test]
    fn places_are_the_drive_and_two_folders() {
        assert_eq!(place("C:\\Program Files\\Tool\\bin\\x.exe"), "c:\\program files\\tool");
        assert_eq!(place("C:\\Windows\\x.exe"), "c:\\windows");
        assert_eq!(place("\\\\srv\\share\\a\\b\\x"), "\\\\srv\\share");
        assert_eq!(place("\\Device\\HarddiskVolume3\\Windows\\x.exe"), "\\device\\harddiskvolumeN");
    }
}
