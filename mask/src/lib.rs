//! Hides secrets in argument lists before anything leaves the process.
//!
//! What is hidden becomes `***`; what tells that there was a secret stays: `--password=***`, `curl -u me:***`.
//! Three things give a secret away: its shape (`shapes.rs`), the name it is given (`names.rs`, `named.rs`, `urls.rs`),
//! and the option or place it stands at (`options.rs`, with the tables of `programs.rs`). `values.rs` knows what is
//! plainly none. Everything takes time linear in the input, which whoever starts a program chooses.

mod edit;
mod named;
mod names;
mod options;
mod programs;
mod shapes;
mod urls;
mod values;
mod words;

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use edit::Spans;
use options::Walk;
use shapes::Shapes;
use std::borrow::Cow;
use values::Plain;

/// What stands for a secret.
pub const HIDDEN: &str = "***";

/// Marks without which no value has a telling name, and no option either.
const NAMES: [&str; 17] = [
    "pass",
    "pwd",
    "pw",
    "secret",
    "token",
    "cred",
    "key",
    "auth",
    "cookie",
    "sessionid",
    "sessid",
    "psk",
    "bearer",
    "sig=",
    "signature",
    "hash",
    "/p:",
];
const NAMED: usize = 62;
const URLS: usize = 61;
const OPTIONS: usize = 60;
/// What the name of a program stands for.
const PROGRAM: u64 = 1 << OPTIONS;
/// Masking what is masked changes nothing: what a pass reveals, the next one hides. Two are enough for all but
/// contrived arguments, which are hidden altogether after this many.
const PASSES: usize = 6;

/// Finds and hides secrets.
#[derive(Debug)]
pub struct Masker {
    marks: AhoCorasick,
    /// The bit that each mark stands for.
    bits: Vec<u64>,
    shapes: Shapes,
    plain: Plain,
}

impl Default for Masker {
    #[allow(clippy::expect_used)]
    fn default() -> Self {
        let shapes = Shapes::marks().map(|(family, mark)| (mark, 1 << family));
        let names = NAMES.iter().map(|name| (*name, 1 << NAMED | 1 << OPTIONS));
        let programs = options::programs().map(|program| (program, PROGRAM));
        let all: Vec<(&str, u64)> = shapes.chain(names).chain(programs).chain([("://", 1 << URLS)]).collect();
        let mut builder = AhoCorasick::builder();
        let builder = builder.ascii_case_insensitive(true).kind(Some(AhoCorasickKind::DFA));
        Self {
            marks: builder.build(all.iter().map(|(mark, _)| mark)).expect("a few hundred short constants"),
            bits: all.iter().map(|(_, bit)| *bit).collect(),
            shapes: Shapes::new(),
            plain: Plain::new(),
        }
    }
}

impl Masker {
    /// Looks at a list as the kernel keeps it, each argument ended by a zero byte. `None` if there is nothing to hide;
    /// otherwise the list with its secrets hidden. Bytes that are not UTF-8 become U+FFFD.
    #[must_use]
    pub fn list(&self, joined: &[u8]) -> Option<Vec<String>> {
        let looks = self.looks(joined);
        if looks == 0 {
            return None;
        }
        let whole = joined.strip_suffix(&[0]).unwrap_or(joined);
        let list: Vec<Cow<'_, str>> = whole.split(|&byte| byte == 0).map(String::from_utf8_lossy).collect();
        let list: Vec<&str> = list.iter().map(|argument| &**argument).collect();
        self.settled(&list, looks)
    }

    /// Hides the secrets in a list of arguments, the first of which names the program. Says whether there were any.
    /// An argument of `n` bytes is at most `2 * n + 1` long afterwards.
    pub fn arguments(&self, list: &mut [String]) -> bool {
        let borrowed: Vec<&str> = list.iter().map(String::as_str).collect();
        let looks = borrowed.iter().fold(0, |looks, argument| looks | self.looks(argument.as_bytes()));
        let masked = self.settled(&borrowed, looks);
        let hidden = masked.is_some();
        list.iter_mut().zip(masked.into_iter().flatten()).for_each(|(argument, masked)| *argument = masked);
        hidden
    }

    /// Hides the secrets in a single string, as a URL.
    #[must_use]
    pub fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        match self.settled(&[text], self.looks(text.as_bytes())).and_then(|mut list| list.pop()) {
            Some(masked) => masked.into(),
            None => text.into(),
        }
    }

    /// What is worth looking for, a bit each.
    fn looks(&self, bytes: &[u8]) -> u64 {
        let alone = |at: Option<usize>| !at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_alphanumeric);
        self.marks.find_overlapping_iter(bytes).fold(0, |looks, mark| match self.bits[mark.pattern().as_usize()] {
            // Names of programs are short, and parts of many words.
            PROGRAM if !(alone(mark.start().checked_sub(1)) && alone(Some(mark.end()))) => looks,
            bits => looks | bits,
        })
    }

    /// Masks until nothing changes.
    fn settled(&self, list: &[&str], looks: u64) -> Option<Vec<String>> {
        let mut masked = self.pass(list, looks)?;
        for _ in 1..PASSES {
            let borrowed: Vec<&str> = masked.iter().map(String::as_str).collect();
            match self.pass(&borrowed, looks) {
                Some(more) => masked = more,
                None => return Some(masked),
            }
        }
        Some(vec![HIDDEN.to_owned(); list.len()])
    }

    fn pass(&self, list: &[&str], looks: u64) -> Option<Vec<String>> {
        if looks == 0 {
            return None;
        }
        let mut spans = vec![Spans::new(); list.len()];
        let kinds = words::kinds(list);
        for ((text, kind), spans) in list.iter().zip(&kinds).zip(&mut spans) {
            self.shapes.find(text, looks, spans);
            if looks & (1 << URLS) != 0 {
                urls::find(text, &self.plain, spans);
            }
            if looks & (1 << NAMED) != 0 {
                named::find(text, *kind, &self.plain, spans);
            }
        }
        if looks & (1 << OPTIONS) != 0 {
            let words = words::words(list, &kinds);
            Walk { list, words: &words, plain: &self.plain, spans: &mut spans }.run();
        }
        let masked: Vec<Option<String>> =
            list.iter().zip(&mut spans).map(|(text, spans)| edit::hide(text, spans)).collect();
        masked.iter().any(Option::is_some).then(|| {
            masked.into_iter().zip(list).map(|(masked, text)| masked.unwrap_or_else(|| (*text).to_owned())).collect()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(list: &[&str]) -> Vec<String> {
        let mut list: Vec<String> = list.iter().map(|&argument| argument.to_owned()).collect();
        Masker::default().arguments(&mut list);
        list
    }

    #[test]
    fn a_list_as_the_kernel_keeps_it() {
        let masker = Masker::default();
        assert_eq!(masker.list(b"ls\0-l\0"), None);
        assert_eq!(masker.list(b""), None);
        assert_eq!(masker.list(b"x\0--password=fake\xff\0\0").unwrap(), ["x", "--password=***", ""]);
    }

    #[test]
    fn what_tells_stays() {
        assert_eq!(masked(&["curl", "-u", "me:fake", "h"]), ["curl", "-u", "me:***", "h"]);
        assert_eq!(masked(&["mysql", "-uroot", "-pfake"]), ["mysql", "-uroot", "-p***"]);
        assert_eq!(masked(&["x", "--token", "fake", "on"]), ["x", "--token", "***", "on"]);
        let script = "export DB_PASSWORD='a b'; mysql -p\"$DB_PASSWORD\" -e 'select 1'";
        let hidden = "export DB_PASSWORD='***'; mysql -p\"$DB_PASSWORD\" -e 'select 1'";
        assert_eq!(masked(&["sh", "-c", script]), ["sh", "-c", hidden]);
        assert_eq!(Masker::default().text("postgres://me:fake@host/db"), "postgres://me:***@host/db");
        let header = "Authorization: Bearer fake";
        assert_eq!(masked(&["curl", "-H", header]), ["curl", "-H", "Authorization: Bearer ***"]);
    }
}
