//! The keys of a lens, where each belongs and what it takes: checked before anything is read, so that a slip is named with
//! its place and the nearest key.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::lens_text::{LensError, Text};
use crate::nearest::{nearest, unknown};

/// What a key takes.
enum Takes {
    Text,
    Texts,
    TextOrTexts,
    Contexts,
    Number,
    Switch,
    /// A table with these keys; what it is called.
    Table(&'static Place),
    /// A table for each name.
    Named(&'static Place),
    /// A list of tables.
    Tables(&'static Place),
}

/// A table of a lens: what messages call it, how it is written, and its keys: name, what it takes, whether it must be.
struct Place {
    name: &'static str,
    written: &'static str,
    keys: &'static [(&'static str, Takes, bool)],
}

use Takes::{Contexts, Named, Number, Switch, Table, Tables, Text as OneText, TextOrTexts, Texts};

static LENS: Place = Place {
    name: "a lens",
    written: "at the top",
    keys: &[
        ("table", OneText, true),
        ("time", OneText, true),
        ("class", OneText, false),
        ("scopes", Table(&SCOPES), false),
        ("fields", Named(&FIELD), true),
        ("views", Tables(&VIEW), true),
        ("units", Tables(&UNIT), false),
        ("subspace", Table(&SUBSPACE), false),
        ("learning", Table(&LEARNING), false),
    ],
};
static SCOPES: Place = Place { name: "the scopes", written: "in [scopes]", keys: &[("host", OneText, true)] };
static FIELD: Place = Place {
    name: "a field",
    written: "in a field of [fields]",
    keys: &[
        ("column", OneText, false),
        ("kind", OneText, false),
        ("part", OneText, false),
        ("ids", OneText, false),
        ("of", TextOrTexts, false),
        ("lag", Number, false),
        ("burst", Switch, false),
        ("rate", Switch, false),
        ("fanout", OneText, false),
        ("tick", OneText, false),
    ],
};
static VIEW: Place = Place {
    name: "a view",
    written: "in [[views]]",
    keys: &[
        ("name", OneText, true),
        ("when", Texts, false),
        ("child", Texts, true),
        ("context", Contexts, true),
        ("attack", Texts, false),
    ],
};
static UNIT: Place = Place {
    name: "a unit",
    written: "in [[units]]",
    keys: &[("kind", OneText, true), ("key", Texts, true), ("window", OneText, true)],
};
static SUBSPACE: Place = Place { name: "the subspace", written: "in [subspace]", keys: &[("views", Number, true)] };
static LEARNING: Place = Place {
    name: "learning",
    written: "in [learning]",
    keys: &[("tick", OneText, false), ("count", OneText, false), ("teacher", OneText, false)],
};

impl Takes {
    fn words(&self) -> &'static str {
        match self {
            OneText => "a string",
            Texts => "a list of strings",
            TextOrTexts => "a string or a list of strings",
            Contexts => "a list of lists of strings",
            Number => "a whole number",
            Switch => "true or false",
            Table(_) => "a table",
            Named(_) => "a table of tables",
            Tables(_) => "a list of tables",
        }
    }

    fn fits(&self, value: &DeValue<'_>) -> bool {
        let all =
            |test: fn(&DeValue<'_>) -> bool| matches!(value, DeValue::Array(a) if a.iter().all(|v| test(v.get_ref())));
        let text = |v: &DeValue<'_>| matches!(v, DeValue::String(_));
        match self {
            OneText => text(value),
            Texts => all(text),
            TextOrTexts => text(value) || all(text),
            Contexts => {
                all(|v| matches!(v, DeValue::Array(a) if a.iter().all(|v| matches!(v.get_ref(), DeValue::String(_)))))
            }
            Number => matches!(value, DeValue::Integer(_)),
            Switch => matches!(value, DeValue::Boolean(_)),
            Table(_) => matches!(value, DeValue::Table(_)),
            Named(_) => {
                matches!(value, DeValue::Table(t) if t.values().all(|v| matches!(v.get_ref(), DeValue::Table(_))))
            }
            Tables(_) => all(|v| matches!(v, DeValue::Table(_))),
        }
    }
}

/// Checks that every key is known where it stands, has a value of its type, and that none is missing.
pub(crate) fn check(text: &Text<'_>, toml: &str) -> Result<(), LensError> {
    let table = DeTable::parse(toml).map_err(|e| text.at(e.span().unwrap_or_default(), e.message()))?;
    text.place(&LENS, table.get_ref(), 0..0)
}

impl Text<'_> {
    fn place(&self, place: &Place, table: &DeTable<'_>, span: Range<usize>) -> Result<(), LensError> {
        for (name, value) in table {
            let word = name.get_ref().as_ref();
            let Some((_, takes, _)) = place.keys.iter().find(|(key, ..)| *key == word) else {
                return Err(self.at(name.span(), unknown_key(place, word)));
            };
            if !takes.fits(value.get_ref()) {
                let found = value.get_ref().type_str();
                return Err(self.at(value.span(), format!("{word:?} takes {}, not this {found}", takes.words())));
            }
            self.inside(takes, value)?;
        }
        match place.keys.iter().find(|(key, _, needed)| *needed && !table.iter().any(|(n, _)| n.get_ref() == key)) {
            Some((key, ..)) => Err(self.at(span, format!("{} needs the key {key:?}", place.name))),
            None => Ok(()),
        }
    }

    fn inside(&self, takes: &Takes, value: &Spanned<DeValue<'_>>) -> Result<(), LensError> {
        let one = |place, value: &Spanned<DeValue<'_>>| match value.get_ref() {
            DeValue::Table(table) => self.place(place, table, value.span()),
            _ => Ok(()),
        };
        match (takes, value.get_ref()) {
            (Table(place), _) => one(place, value),
            (Named(place), DeValue::Table(table)) => table.values().try_for_each(|value| one(place, value)),
            (Tables(place), DeValue::Array(list)) => list.iter().try_for_each(|value| one(place, value)),
            _ => Ok(()),
        }
    }
}

fn unknown_key(place: &Place, word: &str) -> String {
    let known: Vec<&str> = place.keys.iter().map(|(key, ..)| *key).collect();
    let places = [&LENS, &SCOPES, &FIELD, &VIEW, &UNIT, &SUBSPACE, &LEARNING];
    let home = places.iter().find(|p| p.keys.iter().any(|(key, ..)| *key == word));
    match home.filter(|_| nearest(word, known.iter().copied()).is_none()) {
        Some(home) => format!("no key {word:?} {}; it belongs {}", place.written, home.written),
        None => unknown("key", word, &known).replacen(&format!("{word:?}"), &format!("{word:?} {}", place.written), 1),
    }
}
