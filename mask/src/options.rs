//! Secrets that an option or a position tells of: `--token VALUE`, `mysql -pVALUE`, `curl -u user:VALUE`.

use crate::{
    edit::Spans,
    names,
    programs::{EXCEPTIONS, Form, POSITIONS, Part, Position, RULES, Rule, among},
    values::{Plain, quoted, unquoted},
    words::Word,
};
use std::{collections::HashMap, sync::LazyLock};

/// Options of curl without a value that may stand before `u` in one argument.
const FLAGS: &str = "sSfLkviIgGNOJ#n";

/// Walks over the words of a list.
pub(crate) struct Walk<'a> {
    pub(crate) list: &'a [&'a str],
    pub(crate) words: &'a [Word<'a>],
    pub(crate) plain: &'a Plain,
    /// What is to be hidden in each argument.
    pub(crate) spans: &'a mut [Spans],
}

impl<'a> Walk<'a> {
    /// Finds what is secret.
    pub(crate) fn run(&mut self) {
        let (mut program, mut own) = (0, None);
        for at in 0..self.words.len() {
            let word = self.words[at];
            let runs = word.program();
            let known = PROGRAMS.get(runs);
            if word.first || known.is_some() {
                (program, own) = (at, known);
            }
            self.general(program, at);
            if let Some(own) = own {
                self.rules(own, program, at);
                self.positions(own, program, at);
            }
            self.private_key(at);
        }
    }

    /// `--token VALUE` of any program, `config set NAME VALUE`, `machine … password VALUE`.
    fn general(&mut self, program: usize, at: usize) {
        let word = self.words[at];
        let name = word.text.trim_start_matches('-');
        let dashes = word.text.len() - name.len();
        let option = dashes == 2 || dashes == 1 && name.len() >= 4;
        let before = at.checked_sub(1).map_or("", |before| self.words[before].text);
        let set = dashes == 0 && before.eq_ignore_ascii_case("set");
        let netrc = dashes == 0 && name == "password" && at >= 2 && self.words[at - 2].text == "login";
        if !(option || set || netrc) || name.contains(['=', ':']) || names::kind(name).is_none() {
            return;
        }
        let runs = self.words[program].program();
        let excepted = |(programs, names): &(&str, &str)| among(programs, runs) && among(names, name);
        if !option || !EXCEPTIONS.iter().any(excepted) {
            self.next(at, Part::Whole);
        }
    }

    /// Options of the program that runs.
    fn rules(&mut self, own: &Own, program: usize, at: usize) {
        let word = self.words[at];
        let runs = self.words[program].program();
        for rule in own.rules.iter().filter(|_| at > program) {
            let commands = &self.words[program..at];
            if !rule.command.is_empty() && !commands.iter().any(|word| word.text == rule.command) {
                continue;
            }
            for option in rule.options.split(' ') {
                match word.text.strip_prefix(option) {
                    Some("") if rule.form != Form::Attached => self.next(at, rule.part),
                    Some(rest) if rule.form != Form::Next && (!option.starts_with("--") || rest.starts_with('=')) => {
                        let skip = option.len() + usize::from(rest.starts_with('='));
                        self.value(word, word.start + skip, rule.part);
                    }
                    _ if runs == "curl" && option == "-u" => self.flags(at, rule.part),
                    _ => {}
                }
            }
        }
    }

    /// `curl -sSu user:password`.
    fn flags(&mut self, at: usize, part: Part) {
        let flags = self.words[at].text.strip_prefix('-').and_then(|text| text.split_once('u'));
        match flags {
            Some((flags, rest)) if !flags.is_empty() && flags.chars().all(|c| FLAGS.contains(c)) => match rest {
                "" => self.next(at, part),
                _ => self.value(self.words[at], self.words[at].start + flags.len() + 2, part),
            },
            _ => {}
        }
    }

    /// Words at a place of the program that runs.
    fn positions(&mut self, own: &Own, program: usize, at: usize) {
        let runs = self.words[program].program();
        for rule in &own.positions {
            if among(rule.words, self.words[at].text) || among(rule.words, runs) && at == program {
                let after = self.words[at + 1..].iter().take_while(|word| !word.first);
                let place = after.filter(|word| !word.is_option()).nth(rule.skip).copied();
                if let Some(word) = place {
                    self.value(word, word.start, rule.part);
                }
            }
        }
    }

    /// `-----BEGIN`, `PRIVATE`, `KEY-----` and the lines of the key as arguments of their own.
    fn private_key(&mut self, at: usize) {
        if self.words[at].text != "KEY-----" || at == 0 || self.words[at - 1].text != "PRIVATE" {
            return;
        }
        for word in self.words[at + 1..].iter().take_while(|word| !word.text.starts_with("-----END")) {
            self.spans[word.argument].push(word.start..word.start + word.text.len());
        }
    }

    /// The value in the next word.
    fn next(&mut self, at: usize, part: Part) {
        let Some(word) = self.words.get(at + 1).copied() else { return };
        if word.first || word.text.starts_with("--") || word.text.len() == 2 && word.is_option() {
            return;
        }
        // A quote that starts the word belongs to the value.
        let quote = word.script && word.inside.is_some() && word.inside != self.words[at].inside;
        self.value(word, word.start - usize::from(quote), part);
    }

    /// Hides a part of the value that starts in a word.
    fn value(&mut self, word: Word<'_>, start: usize, part: Part) {
        let text = self.list[word.argument];
        let inside = if start < word.start { None } else { word.inside };
        let (start, end) = match word.script {
            false => (start, text.len()),
            true => quoted(text, start)
                .filter(|_| text.as_bytes().get(start).copied() != inside)
                .unwrap_or_else(|| (start, unquoted(text, start, inside))),
        };
        let value = text.get(start..end).unwrap_or_default();
        let skip = match part {
            Part::Whole => 0,
            Part::After(mark) => match value.find(mark) {
                // `/nolog` of sqlplus.
                Some(0) if mark == '/' => return,
                // A name without a password is a token.
                Some(found) if found + 1 == value.len() && found >= 16 => 0,
                Some(found) => found + 1,
                None => return,
            },
        };
        if !self.plain.is(value) && !self.plain.is(&value[skip..]) {
            self.spans[word.argument].push(start + skip..end);
        }
    }
}

/// What the tables say of one program.
#[derive(Default)]
struct Own {
    rules: Vec<&'static Rule>,
    positions: Vec<&'static Position>,
}

/// The tables by program.
static PROGRAMS: LazyLock<HashMap<&'static str, Own>> = LazyLock::new(|| {
    let mut all: HashMap<&str, Own> = HashMap::new();
    for rule in RULES {
        rule.programs.split(' ').for_each(|program| all.entry(program).or_default().rules.push(rule));
    }
    for rule in POSITIONS {
        rule.programs.split(' ').for_each(|program| all.entry(program).or_default().positions.push(rule));
    }
    for (programs, _) in EXCEPTIONS {
        programs.split(' ').for_each(|program| {
            all.entry(program).or_default();
        });
    }
    all
});

/// Names of programs that have rules of their own.
pub(crate) fn programs() -> impl Iterator<Item = &'static str> {
    PROGRAMS.iter().filter(|(_, own)| !own.rules.is_empty() || !own.positions.is_empty()).map(|(program, _)| *program)
}
