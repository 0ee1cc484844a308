//! A list of arguments as words, those of scripts too.

use crate::{named::Text, programs::among};

/// Options whose value is for people.
const MESSAGES: &str = "-m -am --message --grep --body --title --subject --description --notes --comment --reason \
    --summary --annotation --release-notes";
/// Programs whose arguments are for people, or to be searched for.
const TALKERS: &str = "echo printf logger grep egrep rg ag notify-send wall say";

/// A word of an argument.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Word<'a> {
    /// Number of the argument, and where the word is in it.
    pub(crate) argument: usize,
    pub(crate) start: usize,
    pub(crate) text: &'a str,
    /// The argument is a script, and the word is in this quote.
    pub(crate) script: bool,
    pub(crate) inside: Option<u8>,
    /// A command ended before it.
    pub(crate) first: bool,
}

impl<'a> Word<'a> {
    /// The name of the program, if the word is one.
    pub(crate) fn program(&self) -> &'a str {
        let name = self.text.rsplit(['/', '\\']).next().unwrap_or(self.text);
        name.strip_suffix(".exe").unwrap_or(name)
    }

    pub(crate) fn is_option(&self) -> bool {
        self.text.starts_with('-')
    }
}

/// What each argument is.
pub(crate) fn kinds(list: &[&str]) -> Vec<Text> {
    let program = list.first().map_or("", |first| first.rsplit('/').next().unwrap_or(first));
    let talker = among(TALKERS, program);
    let kind = |(at, text): (usize, &&str)| {
        let before = at.checked_sub(1).map_or("", |before| list[before]);
        let code = before.starts_with('-') && !before.starts_with("--") && before.ends_with('c') && before.len() <= 5;
        let message = text.starts_with("--message=") || text.starts_with("--title=") || text.starts_with("--body=");
        let spaces = text.contains(|c: char| c.is_whitespace());
        match spaces {
            _ if code && program != "curl" => Text::Script,
            _ if talker && spaces || message || among(MESSAGES, before) && !text.starts_with('-') => Text::Prose,
            // `PASSWORD=two words` is one value, not a command with a variable.
            true if !assignment(text) => Text::Script,
            _ => Text::Argument,
        }
    };
    list.iter().enumerate().map(kind).collect()
}

/// Whether an argument starts with the name of a secret and `=`.
fn assignment(text: &str) -> bool {
    let name = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    text.split_once('=').is_some_and(|(start, _)| start.chars().all(name) && crate::names::kind(start).is_some())
}

/// The words of a list. Those for people are left out.
pub(crate) fn words<'a>(list: &[&'a str], kinds: &[Text]) -> Vec<Word<'a>> {
    let mut words = Vec::with_capacity(list.len());
    for (argument, (&text, kind)) in list.iter().zip(kinds).enumerate() {
        match kind {
            Text::Argument => {
                words.push(Word { argument, start: 0, text, script: false, inside: None, first: argument == 0 });
            }
            Text::Script => split(argument, text, &mut words),
            Text::Prose => {}
        }
    }
    words
}

/// Splits a script at white space, quotes and marks.
fn split<'a>(argument: usize, text: &'a str, words: &mut Vec<Word<'a>>) {
    let (mut inside, mut begun, mut first) = (None, None, true);
    let bytes = text.as_bytes();
    let mut at = 0;
    while at <= bytes.len() {
        let byte = bytes.get(at).copied().unwrap_or(b' ');
        let quote = matches!(byte, b'"' | b'\'');
        let mark = b";|&()\n`".contains(&byte);
        // A backslash before a quote belongs to the quote; elsewhere it keeps what follows in the word.
        let escaped = byte == b'\\' && matches!(bytes.get(at + 1), Some(b'"' | b'\'' | b'\\'));
        if quote || mark || escaped || byte.is_ascii_whitespace() {
            if let Some((start, inside)) = begun.take() {
                words.push(Word { argument, start, text: &text[start..at], script: true, inside, first });
                first = false;
            }
            first |= mark;
            match inside {
                None if quote => inside = Some(byte),
                Some(open) if open == byte => inside = None,
                _ => {}
            }
            at += usize::from(escaped);
        } else if begun.is_none() {
            begun = Some((at, inside));
        }
        at += 1;
    }
}
