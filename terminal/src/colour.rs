//! Colours. They repeat what words and marks say: without them nothing is missing.

use anstream::{AutoStream, ColorChoice};

/// What a part of a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Text.
    Plain,
    /// Heads.
    Head,
    /// What is beside the point.
    Dim,
    /// What is the point.
    Strong,
    /// All is well.
    Good,
    /// Something is missing, or soon will be.
    Warn,
    /// Something is wrong.
    Bad,
    /// Values that were captured.
    Value,
    /// Numbers of rarity, charts.
    Number,
}

/// The marks of roles, from this one on; the first ends what another began. Noncharacters: no text holds them.
const FIRST: char = '\u{fdd0}';
const ROLES: [Role; 9] =
    [Role::Plain, Role::Head, Role::Dim, Role::Strong, Role::Good, Role::Warn, Role::Bad, Role::Value, Role::Number];

impl Role {
    /// In the terminal's 16 colours, which people have chosen for themselves (ECMA-48, SGR).
    fn code(self) -> &'static str {
        match self {
            Self::Plain => "\x1b[0m",
            Self::Head | Self::Strong => "\x1b[1m",
            Self::Dim => "\x1b[2m",
            Self::Good => "\x1b[32m",
            Self::Warn => "\x1b[33m",
            Self::Bad => "\x1b[1;31m",
            Self::Value | Self::Number => "\x1b[36m",
        }
    }
}

/// When there are colours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Colour {
    /// In a terminal that can, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl std::str::FromStr for Colour {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "always" => Ok(Self::Always),
            "never" => Ok(Self::Never),
            other => Err(format!("{other:?}: use auto, always or never")),
        }
    }
}

/// For all that is printed from now on.
pub fn set_colour(colour: Colour) {
    match colour {
        Colour::Auto => ColorChoice::Auto,
        Colour::Always => ColorChoice::Always,
        Colour::Never => ColorChoice::Never,
    }
    .write_global();
}

/// The text, marked as what it is, unless it is plain or empty.
#[must_use]
pub fn mark(role: Role, text: &str) -> String {
    let place = ROLES.iter().zip(FIRST..).find(|(known, _)| **known == role);
    match place {
        Some((_, mark)) if mark != FIRST && !text.is_empty() => format!("{mark}{text}{FIRST}"),
        _ => text.to_owned(),
    }
}

/// Whether it is one of our marks.
pub(crate) fn is_mark(c: char) -> bool {
    (FIRST..='\u{fdef}').contains(&c)
}

/// Marks as colours, or gone.
pub(crate) fn render(text: &str, coloured: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if !is_mark(c) {
            out.push(c);
        } else if let Some(role) = ROLES.get(c as usize - FIRST as usize).filter(|_| coloured) {
            out.push_str(role.code());
        }
    }
    out
}

/// Whether this stream gets colours.
pub(crate) fn wanted<S: anstream::stream::RawStream>(stream: &S) -> bool {
    AutoStream::choice(stream) != ColorChoice::Never
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_become_colours_or_nothing() {
        let text = format!("a {} b", mark(Role::Bad, "lost"));
        assert_eq!(render(&text, true), "a \x1b[1;31mlost\x1b[0m b");
        assert_eq!(render(&text, false), "a lost b");
        assert_eq!(mark(Role::Plain, "x"), "x");
        assert_eq!(mark(Role::Good, ""), "");
    }

    #[test]
    fn every_role_has_a_mark_of_its_own() {
        let marks: std::collections::HashSet<String> = ROLES.iter().map(|role| mark(*role, "x")).collect();
        assert_eq!(marks.len(), ROLES.len());
        assert!(ROLES.iter().zip(FIRST..).all(|(_, mark)| is_mark(mark)));
    }
}
