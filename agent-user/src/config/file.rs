//! Reads the configuration file: text to values, or the place where it is wrong.

use super::{
    ConfigError, Form, Key, Place,
    keys::{KEYS, SECTIONS, flags},
};
use clap::{
    Command,
    error::{ContextKind, ContextValue},
};
use model::nearest::nearest;
use std::{io::Read, path::Path};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// A configuration is small; more is another file.
const MAX_BYTES: u64 = 1 << 20;

/// A key and the values of its flag.
pub(super) type Found = (&'static Key, Vec<String>);

/// Reads and checks a file.
pub(super) fn read(path: &Path) -> Result<Vec<Found>, ConfigError> {
    let fail = |why: String| ConfigError::Unreadable { path: path.into(), why };
    let open = || {
        // Asked first: opening a pipe waits, and a device may never end.
        if !std::fs::metadata(path)?.is_file() {
            return Err(std::io::Error::other("not a file"));
        }
        let mut text = Vec::new();
        std::fs::File::open(path)?.take(MAX_BYTES + 1).read_to_end(&mut text)?;
        Ok(text)
    };
    let text = open().map_err(|error: std::io::Error| fail(error.to_string()))?;
    if text.len() as u64 > MAX_BYTES {
        return Err(fail(format!("more than {MAX_BYTES} bytes")));
    }
    let text = String::from_utf8(text).map_err(|error| fail(format!("not UTF-8: {error}")))?;
    parse(path, &text)
}

/// Checks the text of a file; `path` is for messages.
pub(super) fn parse(path: &Path, text: &str) -> Result<Vec<Found>, ConfigError> {
    let source = Source { path, text, flags: flags() };
    let table = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        source.fail("not TOML", at, error.message().to_owned())
    })?;
    let mut found = Vec::new();
    for (name, value) in table.get_ref() {
        let section = source.section(name)?;
        let DeValue::Table(keys) = value.get_ref() else {
            let why = format!("{section} is a section; write [{section}] in a line of its own");
            return Err(source.fail("wrong type", value.span().start, why));
        };
        for (name, value) in keys {
            let key = source.key(section, name)?;
            let values = source.values(key, value)?;
            values.iter().try_for_each(|value_text| source.check(key, value_text, value.span().start))?;
            found.push((key, values));
        }
    }
    Ok(found)
}

struct Source<'a> {
    path: &'a Path,
    text: &'a str,
    flags: Command,
}

type Name<'a> = Spanned<std::borrow::Cow<'a, str>>;

impl Source<'_> {
    fn fail(&self, what: &'static str, at: usize, why: String) -> ConfigError {
        let before = self.text.get(..at).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        ConfigError::Wrong { what, place: Place { path: self.path.into(), line, column }, why }
    }

    fn section(&self, name: &Name<'_>) -> Result<&'static str, ConfigError> {
        let word = name.get_ref().as_ref();
        let known = || SECTIONS.iter().map(|(section, _)| *section);
        if let Some(section) = known().find(|section| *section == word) {
            return Ok(section);
        }
        let hint = match (nearest(word, known()), home(word)) {
            (_, Some(section)) => format!("write it below [{section}]"),
            (Some(section), None) => format!("did you mean [{section}]?"),
            (None, None) => format!("sections are {}", known().collect::<Vec<_>>().join(", ")),
        };
        Err(self.fail("unknown section", name.span().start, format!("{word}; {hint}")))
    }

    fn key(&self, section: &str, name: &Name<'_>) -> Result<&'static Key, ConfigError> {
        let word = name.get_ref().as_ref();
        let known = || KEYS.iter().filter(|key| key.section == section);
        if let Some(key) = known().find(|key| key.name == word) {
            return Ok(key);
        }
        let hint = match (home(word), nearest(word, known().map(|key| key.name))) {
            (Some(section), _) => format!("it belongs below [{section}]"),
            (None, Some(name)) => format!("did you mean {name}?"),
            (None, None) => format!("keys are {}", known().map(|key| key.name).collect::<Vec<_>>().join(", ")),
        };
        Err(self.fail("unknown key", name.span().start, format!("{section}.{word}; {hint}")))
    }

    /// The value as its flag takes it.
    fn values(&self, key: &Key, value: &Spanned<DeValue<'_>>) -> Result<Vec<String>, ConfigError> {
        let text = match (key.form, value.get_ref()) {
            (Form::Text | Form::Amount, DeValue::String(text)) => text.to_string(),
            (Form::Number | Form::Amount, DeValue::Integer(number)) => decimal(number),
            (Form::Number, DeValue::Float(number)) => number.as_str().to_owned(),
            (Form::Switch, DeValue::Boolean(on)) => on.to_string(),
            (Form::Pairs, DeValue::Table(pairs)) => return self.pairs(key, pairs),
            (form, other) => return Err(self.wrong_type(key, form.words(), other, value.span().start)),
        };
        Ok(vec![text])
    }

    fn pairs(&self, key: &Key, pairs: &DeTable<'_>) -> Result<Vec<String>, ConfigError> {
        let pair = |(name, value): (&Name<'_>, &Spanned<DeValue<'_>>)| match value.get_ref() {
            DeValue::String(text) => Ok(format!("{}={text}", name.get_ref())),
            other => Err(self.wrong_type(key, "a table of strings", other, value.span().start)),
        };
        pairs.iter().map(pair).collect()
    }

    fn wrong_type(&self, key: &Key, wanted: &str, found: &DeValue<'_>, at: usize) -> ConfigError {
        self.fail("wrong type", at, format!("{} takes {wanted}, not a value of type {}", key.path(), found.type_str()))
    }

    /// Lets the flag alone look at the value.
    fn check(&self, key: &Key, value: &str, at: usize) -> Result<(), ConfigError> {
        // Flags that it excludes are not there to be excluded.
        let flag = key.flag(&self.flags).conflicts_with(clap::builder::Resettable::Reset);
        let alone = Command::new("value").no_binary_name(true).arg(flag);
        let Err(error) = alone.try_get_matches_from([key.argument(&self.flags, value)]) else { return Ok(()) };
        Err(self.fail("bad value", at, format!("{}: {}", key.path(), reason(&error))))
    }
}

/// The section that has this key.
fn home(name: &str) -> Option<&'static str> {
    KEYS.iter().find(|key| key.name == name).map(|key| key.section)
}

/// TOML also writes numbers to other bases.
fn decimal(number: &toml::de::DeInteger<'_>) -> String {
    let parsed = i128::from_str_radix(number.as_str(), number.radix());
    parsed.map_or_else(|_| number.to_string(), |number| number.to_string())
}

/// Why a flag refused a value, without clap's frame.
fn reason(error: &clap::Error) -> String {
    if let Some(source) = std::error::Error::source(error) {
        return source.to_string();
    }
    match error.get(ContextKind::ValidValue) {
        Some(ContextValue::Strings(valid)) if !valid.is_empty() => format!("use {}", valid.join(", ")),
        _ => "it is empty".to_owned(),
    }
}
