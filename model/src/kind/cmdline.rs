//! Command lines: a list of arguments, or one text that is split into them.

use std::borrow::Cow;

use super::mask::{cut, identifiers_and_addresses, numbers, numbers_and_addresses};
use super::{Part, logbin, windows};
use crate::raw::Raw;

/// Arguments that make up a command line's shape.
const SHAPE_ARGUMENTS: usize = 6;
/// Bytes kept of each argument and option name.
const ARGUMENT_BYTES: usize = 40;
/// Options kept of a command line.
const MAX_FLAGS: usize = 16;
/// A program whose name ends so is one of Windows.
const ENDINGS: [&str; 4] = [".exe", ".com", ".bat", ".cmd"];
/// What begins with a slash and one of these is a folder of Linux, no option.
const ROOTS: [&str; 20] = [
    "bin", "boot", "dev", "etc", "home", "lib", "lib32", "lib64", "media", "mnt", "opt", "proc", "root", "run", "sbin",
    "srv", "sys", "tmp", "usr", "var",
];

/// The part of a command line.
pub(super) fn apply(part: Part, raw: &Raw) -> String {
    let line = Line::of(raw);
    match part {
        Part::Flags => line.flags(),
        Part::Count => logbin(line.arguments.len() as i128),
        Part::Program => line.program(),
        _ => line.shape(),
    }
}

struct Line<'a> {
    arguments: Vec<Cow<'a, str>>,
    /// It was one text: what was an argument, and what an option, is a matter of rules.
    text: bool,
    /// Its program is one of Windows, where letter case means nothing.
    windows: bool,
}

impl<'a> Line<'a> {
    fn of(raw: &'a Raw) -> Self {
        match raw {
            Raw::List(list) => {
                let arguments = list.iter().map(|a| Cow::Borrowed(a.as_str())).collect();
                Self { arguments, text: false, windows: false }
            }
            Raw::Text(text) => {
                let arguments: Vec<_> = split(text).into_iter().map(Cow::Owned).collect();
                let windows = arguments.first().is_some_and(|program| is_windows(program));
                Self { arguments, text: true, windows }
            }
            _ => Self { arguments: Vec::new(), text: false, windows: false },
        }
    }

    /// The first arguments, masked, cut and joined by spaces; a space inside an argument is escaped.
    fn shape(&self) -> String {
        let first = self.arguments.iter().take(SHAPE_ARGUMENTS).enumerate();
        first.map(|(at, argument)| self.outline(at, argument)).collect::<Vec<_>>().join(" ")
    }

    fn outline(&self, at: usize, argument: &str) -> String {
        let masked = match (self.text, self.windows) {
            (false, _) => numbers_and_addresses(argument),
            (true, false) => identifiers_and_addresses(argument),
            (true, true) if at == 0 => windows::leaf(argument),
            (true, true) => identifiers_and_addresses(&argument.to_lowercase()),
        };
        cut(&masked, ARGUMENT_BYTES).replace(' ', "\\ ")
    }

    /// The sorted set of option names before `--`, without their values, masked.
    fn flags(&self) -> String {
        let before = self.arguments.iter().take_while(|a| *a != "--");
        let mut names: Vec<String> = before.filter_map(|a| self.option(a)).collect();
        names.sort_unstable();
        names.dedup();
        names.truncate(MAX_FLAGS);
        names.join(" ")
    }

    fn option(&self, argument: &str) -> Option<String> {
        let dash = argument.len() > 1 && argument.starts_with('-');
        let ends: &[char] = if self.windows { &['=', ':'] } else { &['='] };
        let name = match (dash, self.text) {
            (true, _) => argument.split(ends).next().unwrap_or(argument),
            (false, true) => slash_option(argument)?,
            (false, false) => return None,
        };
        let folded = if self.windows || !dash { Cow::Owned(name.to_lowercase()) } else { Cow::Borrowed(name) };
        Some(cut(&numbers(&folded), ARGUMENT_BYTES).to_owned())
    }

    /// The name of the program, without its folder.
    fn program(&self) -> String {
        let program = self.arguments.first().map_or("", |a| a.as_ref());
        match windows::is_windows(program) || self.windows {
            true => windows::leaf(program),
            false => numbers(program.rsplit('/').next().unwrap_or(program)),
        }
    }
}

fn is_windows(program: &str) -> bool {
    let program = program.to_ascii_lowercase();
    windows::is_windows(&program) || ENDINGS.iter().any(|ending| program.ends_with(ending))
}

/// `/name`, `/name:value` or `/name=value`, the name of letters, digits, `-`, `_` and `?`, if it is no folder of Linux.
fn slash_option(argument: &str) -> Option<&str> {
    let name = argument.split([':', '=']).next()?;
    let word = name.strip_prefix('/')?;
    let first = word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '?');
    let whole = word.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'?'));
    (first && whole && !ROOTS.contains(&word)).then_some(name)
}

/// The arguments of a text. White space parts them, but not within double quotes. A backslash stands for itself, but for
/// those right before a double quote: two of them are one, and one that is left over makes the quote an ordinary character,
/// as two double quotes within quotes are one. Single quotes group what begins and ends with one, and are else letters.
fn split(text: &str) -> Vec<String> {
    let mut arguments = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (argument, after) = single(rest).unwrap_or_else(|| double(rest));
        arguments.push(argument);
        rest = after.trim_start();
    }
    arguments
}

/// An argument in single quotes, to the first one that is followed by white space or the end.
fn single(text: &str) -> Option<(String, &str)> {
    let inner = text.strip_prefix('\'')?;
    let ends = |at: usize| inner[at + 1..].chars().next().is_none_or(char::is_whitespace);
    let at = inner.match_indices('\'').map(|(at, _)| at).find(|at| ends(*at))?;
    Some((inner[..at].to_owned(), &inner[at + 1..]))
}

fn double(text: &str) -> (String, &str) {
    let mut out = String::new();
    let (mut quoted, mut slashes) = (false, 0);
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if c == '\\' {
            slashes += 1;
            continue;
        }
        let kept = if c == '"' { slashes / 2 } else { slashes };
        out.extend(std::iter::repeat_n('\\', kept));
        let escaped = c == '"' && slashes % 2 == 1;
        slashes = 0;
        match c {
            '"' if escaped => out.push('"'),
            '"' if quoted && chars.next_if(|(_, next)| *next == '"').is_some() => out.push('"'),
            '"' => quoted = !quoted,
            c if c.is_whitespace() && !quoted => return (out, &text[at..]),
            c => out.push(c),
        }
    }
    out.extend(std::iter::repeat_n('\\', slashes));
    (out, "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(part: Part, line: &str) -> String {
        apply(part, &Raw::Text(line.to_owned()))
    }

    #[test]
    fn lists_are_taken_as_they_are() {
        let list =
            Raw::List(["tar", "-xzf", "a b", "--to=10.1.2.3", "-p8", "/q", "--", "-z"].map(String::from).to_vec());
        assert_eq!(apply(Part::Shape, &list), "tar -xzf a\\ b --to=A -pN /q");
        assert_eq!(apply(Part::Flags, &list), "--to -pN -xzf");
        assert_eq!(apply(Part::Count, &list), "8-11");
        assert_eq!(apply(Part::Program, &Raw::List(vec!["/usr/bin/python3".into()])), "pythonN");
        assert_eq!(apply(Part::Program, &Raw::List(vec![])), "");
    }

    #[test]
    fn texts_are_split_by_quotes() {
        assert_eq!(
            split(r#""C:\Program Files\a.exe" /c "say ""hi""" b\"c "#),
            [r"C:\Program Files\a.exe", "/c", "say \"hi\"", "b\"c"]
        );
        assert_eq!(
            split(r#"a "C:\dir\\" C:\x\ "" 'it is' don't 'x"#),
            ["a", r"C:\dir\", r"C:\x\", "", "it is", "don't", "'x"]
        );
        assert_eq!(split("  sh -c 'echo \"a b\"; ls' \"open"), ["sh", "-c", "echo \"a b\"; ls", "open"]);
        assert_eq!(split(" \t "), Vec::<String>::new());
    }

    #[test]
    fn lines_of_windows_have_no_letter_case_and_options_with_slashes() {
        let line = r#""C:\Windows\System32\Net.EXE" USER ada /ADD /Domain:corp -Verb:x 10.0.0.7 {6F9619FF-8B86-D011-B42D-00CF4FC964FF}"#;
        assert_eq!(of(Part::Shape, line), "net.exe user ada /add /domain:corp -verb:x");
        assert_eq!(of(Part::Flags, line), "-verb /add /domain");
        assert_eq!(of(Part::Program, line), "net.exe");
        assert_eq!(of(Part::Shape, "x.exe 10.0.0.7:80 {6F9619FF-8B86-D011-B42D-00CF4FC964FF}"), "x.exe A:N {N}");
    }

    #[test]
    fn what_counts_as_an_option_in_a_text() {
        assert_eq!(of(Part::Flags, "net user ada /add /? /S:host"), "/? /add /s");
        assert_eq!(of(Part::Flags, "ls -la --color=auto /tmp /usr/bin /etc -- -x"), "--color -la");
        assert_eq!(of(Part::Flags, "Tool -X -x /X"), "-X -x /x");
    }

    proptest! {
        #[test]
        fn any_text_splits_and_plain_words_stay(words in prop::collection::vec("[a-z0-9/=.-]{1,9}", 0..9), text: String) {
            prop_assert_eq!(split(&words.join(" ")), words);
            let arguments = split(&text);
            prop_assert!(arguments.iter().map(String::len).sum::<usize>() <= text.len());
        }
    }
}
