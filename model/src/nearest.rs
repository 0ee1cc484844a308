//! What was probably meant by a word that is not known.

/// Names listed in a message at most.
const LISTED: usize = 16;

/// Of `known`, the name that was probably meant: the nearest by letters, whatever their case, else one that begins as the
/// word does, or that the word begins with.
pub fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let folded = word.to_lowercase();
    let all = known.map(|name| (name.to_lowercase(), name));
    let mut near: Vec<(usize, usize, &str)> = Vec::new();
    for (name, written) in all {
        let distance = distance(&folded, &name);
        // Words that share no letter are not near, however short.
        if distance <= 2.max(folded.len() / 3) && distance < folded.len().max(name.len()) {
            near.push((0, distance, written));
        } else if name.len().min(folded.len()) >= 3 && (name.starts_with(&folded) || folded.starts_with(&name)) {
            near.push((1, name.len().abs_diff(folded.len()), written));
        }
    }
    near.into_iter().min().map(|(.., name)| name)
}

/// `no kind "pth"; did you mean "path"? There are path, cmdline, …`
pub fn unknown(what: &str, word: &str, known: &[&str]) -> String {
    let near = nearest(word, known.iter().copied());
    let more = if known.len() > LISTED { ", …" } else { "" };
    let list = known[..known.len().min(LISTED)].join(", ");
    match near {
        Some(near) => format!("no {what} {word:?}; did you mean {near:?}? There are {list}{more}"),
        None if known.is_empty() => format!("no {what} {word:?}"),
        None => format!("no {what} {word:?}; there are {list}{more}"),
    }
}

/// How many bytes to insert, remove or change to make one of the other.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.bytes().enumerate() {
            let changed = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_what_was_meant_and_noise_finds_nothing() {
        let known = || ["rotate_seconds", "rotate_bytes", "path"].into_iter();
        assert_eq!(nearest("rotate_second", known()), Some("rotate_seconds"));
        assert_eq!(nearest("pat", known()), Some("path"));
        assert_eq!(nearest("PATH", known()), Some("path"));
        assert_eq!(nearest("rotate_byte", known()), Some("rotate_bytes"));
        assert_eq!(nearest("rotate", known()), Some("rotate_bytes"), "it begins so");
        assert_eq!(nearest("colour", known()), None);
        assert_eq!(nearest("x", ["a", "id"].into_iter()), None, "they share nothing");
        assert_eq!(distance("kitten", "sitting"), 3);
    }

    #[test]
    fn messages_name_the_nearest_and_what_there_is() {
        assert_eq!(
            unknown("kind", "pth", &["path", "id"]),
            r#"no kind "pth"; did you mean "path"? There are path, id"#
        );
        assert_eq!(unknown("field", "colour", &["exe"]), r#"no field "colour"; there are exe"#);
        assert_eq!(unknown("unit", "x", &[]), r#"no unit "x""#);
    }
}
