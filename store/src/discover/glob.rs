//! Patterns for paths, where no shell has expanded them: `*` and `?` within a name, `[a-c]` and `[!a-c]` for a character,
//! `**` for any folders. A name that begins with a dot is matched by a pattern that does.

use std::path::{Component, Path, PathBuf};

use super::{DEPTH, is_hidden, sorted};
use crate::error::StoreError;

/// Whether a text has a sign of a pattern in it.
pub(super) fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

/// Every path that matches, in order; a folder that cannot be read is an error.
pub(super) fn expand(pattern: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let mut found = vec![PathBuf::new()];
    // All below a folder is the folder.
    let pattern = pattern.ancestors().find(|path| path.file_name().is_none_or(|name| name != "**")).unwrap_or(pattern);
    for part in pattern.components() {
        let name = part.as_os_str().to_string_lossy();
        found = match part {
            Component::Normal(_) if is_pattern(&name) => {
                let mut next = Vec::new();
                for folder in &found {
                    step(folder, &name, DEPTH, &mut next)?;
                }
                next
            }
            _ => found.into_iter().map(|folder| folder.join(part)).collect(),
        };
        found.retain(|path| path.as_os_str().is_empty() || path.exists());
    }
    found.sort();
    found.dedup();
    Ok(found)
}

/// What in a folder matches one part of a pattern.
fn step(folder: &Path, pattern: &str, depth: usize, found: &mut Vec<PathBuf>) -> Result<(), StoreError> {
    let listed = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    if !listed.is_dir() {
        return Ok(());
    }
    if pattern == "**" {
        found.push(folder.into());
    }
    for path in sorted(listed)? {
        let Some(name) = path.file_name().map(|name| name.to_string_lossy().into_owned()) else { continue };
        let path = folder.join(&name);
        if pattern == "**" {
            if depth > 0 && !is_hidden(&path) && path.is_dir() {
                step(&path, pattern, depth - 1, found)?;
            }
        } else if matches(pattern, &name) {
            found.push(path);
        }
    }
    Ok(())
}

/// Whether a name matches one part of a pattern.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    if name.starts_with('.') && !pattern.starts_with('.') {
        return false;
    }
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    // The last star, and how much of the name it stands for so far: going back to it is all that is ever needed.
    let (mut p, mut n, mut star) = (0, 0, None);
    while n < name.len() {
        if pattern.get(p) == Some(&'*') {
            star = Some((p, n));
            p += 1;
            continue;
        }
        if let Some(next) = one(&pattern, p, name[n]) {
            (p, n) = (next, n + 1);
            continue;
        }
        match star {
            Some((at, taken)) => {
                star = Some((at, taken + 1));
                (p, n) = (at + 1, taken + 1);
            }
            None => return false,
        }
    }
    pattern[p..].iter().all(|sign| *sign == '*')
}

/// Where the pattern goes on if its sign at `at` takes the character.
fn one(pattern: &[char], at: usize, c: char) -> Option<usize> {
    match pattern.get(at)? {
        '?' => Some(at + 1),
        '[' => {
            let not = matches!(pattern.get(at + 1), Some('!' | '^'));
            let first = at + 1 + usize::from(not);
            // A bracket right after the first one is a character.
            let end = (first + 1..pattern.len()).find(|end| pattern[*end] == ']');
            let Some(end) = end else { return (c == '[').then_some(at + 1) };
            (in_set(&pattern[first..end], c) != not).then_some(end + 1)
        }
        sign => (*sign == c).then_some(at + 1),
    }
}

fn in_set(set: &[char], c: char) -> bool {
    let mut at = 0;
    while at < set.len() {
        match set[at..] {
            [from, '-', to, ..] if (from..=to).contains(&c) => return true,
            [_, '-', _, ..] => at += 3,
            [sign, ..] if sign == c => return true,
            _ => at += 1,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn patterns_match_names() {
        for (pattern, name) in [
            ("*.csv", "a.csv"),
            ("day=2026-11-2[0-3]", "day=2026-11-22"),
            ("a?c", "aéc"),
            ("*a*b", "xaxxb"),
            ("[!x]*", "abc"),
            ("[]]", "]"),
            ("[", "["),
            (".*", ".x"),
            ("a[b-]c", "a-c"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("*.csv", "a.csv.gz"),
            ("*.csv", ".csv"),
            ("day=2026-11-2[0-3]", "day=2026-11-24"),
            ("?", ""),
            ("[!x]", "x"),
            ("ab", "abc"),
        ] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn a_pattern_gives_what_a_shell_would() {
        let root = tempfile::tempdir().unwrap();
        for name in ["a/1/x.csv", "a/2/y.csv", "b/2/z.csv", "b/2/.w.csv", "c"] {
            let path = root.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let expand = |pattern: &str| {
            let found = expand(&root.path().join(pattern)).unwrap();
            let relative = |path: &PathBuf| path.strip_prefix(root.path()).unwrap().to_str().unwrap().to_owned();
            found.iter().map(relative).collect::<Vec<String>>()
        };
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(expand("*/2/*.csv"), names(&["a/2/y.csv", "b/2/z.csv"]));
        assert_eq!(expand("**/*.csv"), names(&["a/1/x.csv", "a/2/y.csv", "b/2/z.csv"]));
        assert_eq!(expand("[ab]/1"), names(&["a/1"]));
        assert_eq!(expand("b/**"), names(&["b"]));
        assert_eq!(expand("*/3"), names(&[]));
    }

    proptest! {
        #[test]
        fn any_pattern_ends(pattern in "[ab*?\\[\\]!-]{0,12}", name in "[ab\\[]{0,12}") {
            let _ = matches(&pattern, &name);
        }

        #[test]
        fn stars_match_as_the_plain_way_says(pattern in "[ab*?]{0,8}", name in "[ab]{0,8}") {
            fn plain(pattern: &[u8], name: &[u8]) -> bool {
                match pattern {
                    [] => name.is_empty(),
                    [b'*', rest @ ..] => (0..=name.len()).any(|taken| plain(rest, &name[taken..])),
                    [sign, rest @ ..] => name.first().is_some_and(|c| *sign == b'?' || sign == c) && plain(rest, &name[1..]),
                }
            }
            prop_assert_eq!(matches(&pattern, &name), plain(pattern.as_bytes(), name.as_bytes()));
        }
    }
}
