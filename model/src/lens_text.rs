//! Reading a lens from TOML: every mistake is named with its line and column, and with the word that was probably meant.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::Deserialize;
use toml::Spanned;

use crate::entities::DEFAULT_IDS;
use crate::kind::{Kind, Part};
use crate::lens::{
    Field, Form, Learning, Lens, MAX_ATTACK, MAX_CLASSES, MAX_CONTEXTS, MAX_FIELDS, MAX_RANDOM_VIEWS, MAX_VIEWS,
    MAX_WIDTH, UnitSpec, View,
};
use crate::lens_state::{self, RawState};
use crate::nearest::unknown;
use crate::{lens_keys, subspace};

/// Why a text is not a lens.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LensError {
    /// Not TOML, a key that does not belong, or a wrong type.
    #[error("lens: line {line}, column {column}: {message}")]
    At {
        /// Line, from 1.
        line: usize,
        /// Column, from 1, in characters.
        column: usize,
        /// What is wrong.
        message: String,
    },
    /// Wrong as a whole.
    #[error("lens: {0}")]
    Whole(String),
    /// The canonical form could not be made.
    #[error("lens: no canonical form: {0}")]
    Digest(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLens {
    table: String,
    time: String,
    class: Option<String>,
    scopes: Option<RawScopes>,
    fields: BTreeMap<String, Spanned<RawField>>,
    views: Vec<RawView>,
    #[serde(default)]
    units: Vec<RawUnit>,
    subspace: Option<RawSubspace>,
    #[serde(default)]
    learning: RawLearning,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSubspace {
    views: Spanned<usize>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawLearning {
    tick: Option<Spanned<String>>,
    count: Option<Spanned<String>>,
    teacher: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawScopes {
    host: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawField {
    pub(crate) column: Option<Spanned<String>>,
    pub(crate) kind: Option<Spanned<String>>,
    pub(crate) part: Option<Spanned<String>>,
    pub(crate) ids: Option<Spanned<String>>,
    pub(crate) of: Option<Spanned<Names>>,
    pub(crate) lag: Option<Spanned<i64>>,
    pub(crate) burst: Option<Spanned<bool>>,
    pub(crate) rate: Option<Spanned<bool>>,
    pub(crate) fanout: Option<Spanned<String>>,
    pub(crate) tick: Option<Spanned<String>>,
}

/// One name or a list of them.
#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum Names {
    One(String),
    Many(Vec<String>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawView {
    name: Spanned<String>,
    #[serde(default)]
    when: Vec<Spanned<String>>,
    child: Spanned<Vec<Spanned<String>>>,
    context: Spanned<Vec<Vec<Spanned<String>>>>,
    #[serde(default)]
    attack: Vec<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawUnit {
    kind: String,
    key: Spanned<Vec<String>>,
    window: Spanned<String>,
}

/// A text while it is read, for turning byte ranges into places.
pub(crate) struct Text<'a>(&'a str);

impl<'a> Text<'a> {
    pub(crate) fn of(text: &'a str) -> Self {
        Self(text)
    }
}

impl Text<'_> {
    pub(crate) fn at(&self, span: Range<usize>, message: impl Into<String>) -> LensError {
        let before = self.0.get(..span.start).unwrap_or("");
        let line_start = before.rfind('\n').map_or(0, |i| i + 1);
        LensError::At {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            message: message.into(),
        }
    }

    /// A field that a row alone gives the value of, or whose own value is looked at.
    fn field(&self, name: &str, raw: &Spanned<RawField>) -> Result<Field, LensError> {
        let field = raw.get_ref();
        let needs = |what| self.at(raw.span(), format!("missing field `{what}`"));
        let column = field.column.as_ref().ok_or_else(|| needs("column"))?;
        let of_kind = field.kind.as_ref().ok_or_else(|| needs("kind"))?;
        let kind = Kind::parse(of_kind.get_ref()).ok_or_else(|| {
            let known: Vec<&str> = Kind::all().map(Kind::name).collect();
            self.at(of_kind.span(), unknown("kind", of_kind.get_ref(), &known))
        })?;
        let part = match &field.part {
            None => kind.parts()[0],
            Some(part) => Part::parse(part.get_ref()).filter(|p| kind.parts().contains(p)).ok_or_else(|| {
                let known: Vec<_> = kind.parts().iter().map(|p| p.name()).collect();
                self.at(part.span(), format!("kind {:?}: {}", kind.name(), unknown("part", part.get_ref(), &known)))
            })?,
        };
        let ids = match (&field.ids, part) {
            (Some(ids), Part::Entity) => Some(ids.get_ref().clone()),
            (Some(ids), _) => {
                return Err(self.at(ids.span(), "`ids` goes with `kind = \"user\"` and `part = \"entity\"`"));
            }
            (None, Part::Entity) => Some(DEFAULT_IDS.to_owned()),
            (None, _) => None,
        };
        Ok(Field { name: name.to_owned(), column: column.get_ref().clone(), kind, part, state: None, ids })
    }

    /// Every field, in order of name.
    fn fields(&self, raw: &BTreeMap<String, Spanned<RawField>>) -> Result<Vec<Field>, LensError> {
        let is_plain = |f: &RawField| f.burst.is_none() && f.rate.is_none() && f.fanout.is_none();
        let mut plain = Vec::new();
        for (name, field) in raw.iter().filter(|(_, f)| is_plain(f.get_ref())) {
            plain.push(self.field(name, field)?);
        }
        let stateful = |name: &str| raw.get(name).is_some_and(|f| lens_state::is_stateful(f.get_ref()));
        let named = |name: &str| plain.iter().find(|f| f.name == name && !stateful(name));
        let mut fields = Vec::new();
        for (name, field) in raw {
            let known = plain.iter().find(|f| f.name == *name).cloned();
            let raw_state = RawState { text: self, name, field, stateful: &stateful, named: &named };
            fields.push(raw_state.field(known)?);
        }
        Ok(fields)
    }

    fn number(&self, fields: &[Field], name: &Spanned<String>) -> Result<usize, LensError> {
        let i = *Lens::numbers(fields).get(name.get_ref().as_str()).ok_or_else(|| {
            let known: Vec<&str> = fields.iter().filter(|f| f.kind != Kind::Key).map(|f| f.name.as_str()).collect();
            self.at(name.span(), unknown("field", name.get_ref(), &known))
        })?;
        if fields[i].kind == Kind::Key {
            return Err(self.at(
                name.span(),
                format!("field {:?} is a key: keys name units, views cannot use them", name.get_ref()),
            ));
        }
        Ok(i)
    }

    fn view(&self, fields: &[Field], classes: &[String], raw: &RawView) -> Result<View, LensError> {
        let list =
            |names: &[Spanned<String>]| names.iter().map(|n| self.number(fields, n)).collect::<Result<Vec<_>, _>>();
        let child = list(raw.child.get_ref())?;
        if child.is_empty() {
            return Err(self.at(raw.child.span(), "a view needs at least one child field"));
        }
        let mut contexts = raw.context.get_ref().iter().map(|c| list(c)).collect::<Result<Vec<_>, _>>()?;
        if contexts.last().is_none_or(|c| !c.is_empty()) {
            contexts.push(Vec::new());
        }
        if contexts.len() > MAX_CONTEXTS {
            return Err(self.at(raw.context.span(), format!("more than {MAX_CONTEXTS} contexts")));
        }
        if contexts[..contexts.len() - 1].iter().any(Vec::is_empty) {
            return Err(self.at(raw.context.span(), "the empty context can only be the last"));
        }
        if child.len() > MAX_WIDTH || contexts.iter().any(|c| c.len() > MAX_WIDTH) {
            return Err(self.at(raw.child.span(), format!("more than {MAX_WIDTH} fields in a child or context")));
        }
        let when: Vec<String> = raw.when.iter().map(|w| w.get_ref().clone()).collect();
        let class_mask = match when.is_empty() {
            true => u32::MAX,
            false => classes.iter().enumerate().filter(|(_, c)| when.contains(c)).fold(0, |mask, (i, _)| mask | 1 << i),
        };
        let attack = self.attack(&raw.attack)?;
        Ok(View { name: raw.name.get_ref().clone(), when, child, contexts, class_mask, attack })
    }

    /// Numbers of techniques, checked for their form alone.
    fn attack(&self, raw: &[Spanned<String>]) -> Result<Vec<String>, LensError> {
        if let Some(extra) = raw.get(MAX_ATTACK) {
            return Err(self.at(extra.span(), format!("more than {MAX_ATTACK} techniques")));
        }
        let digits = |text: &str, n| text.len() == n && text.bytes().all(|b| b.is_ascii_digit());
        let fits = |id: &str| match id.strip_prefix('T').map(|n| n.split_once('.').unwrap_or((n, "000"))) {
            Some((technique, sub)) => digits(technique, 4) && digits(sub, 3),
            None => false,
        };
        let one = |id: &Spanned<String>| match fits(id.get_ref()) {
            true => Ok(id.get_ref().clone()),
            false => Err(self.at(id.span(), "not the number of an ATT&CK technique such as T1071 or T1071.004")),
        };
        raw.iter().map(one).collect()
    }

    fn unit(&self, fields: &[Field], raw: &RawUnit) -> Result<UnitSpec, LensError> {
        if raw.key.get_ref().is_empty() {
            return Err(self.at(raw.key.span(), "a unit needs at least one key column"));
        }
        let window_ns = self.duration(&raw.window)?;
        let (mut key, mut entities) = (Vec::new(), Vec::new());
        for (at, name) in raw.key.get_ref().iter().enumerate() {
            let names = |f: &Field| f.kind == Kind::Key || f.part == Part::Entity && f.state.is_none();
            let field = fields.iter().enumerate().find(|(_, f)| f.name == *name && names(f));
            key.push(field.map_or_else(|| name.clone(), |(_, f)| f.column.clone()));
            entities.extend(field.filter(|(_, f)| f.part == Part::Entity).map(|(number, _)| (at, number)));
        }
        Ok(UnitSpec { kind: raw.kind.clone(), key, window_ns, entities })
    }

    fn random_views(&self, fields: &[Field], raw: &RawLens) -> Result<usize, LensError> {
        let Some(RawSubspace { views }) = &raw.subspace else { return Ok(0) };
        let (wanted, choices) = (*views.get_ref(), subspace::choices(fields));
        if wanted > MAX_RANDOM_VIEWS {
            return Err(self.at(views.span(), format!("more than {MAX_RANDOM_VIEWS} random views")));
        }
        if wanted > choices {
            let message = format!("more than the {choices} ways to take 2 to 8 of the fields that are no keys");
            return Err(self.at(views.span(), message));
        }
        let taken = raw.views.iter().find(|v| v.name.get_ref().starts_with(subspace::PREFIX));
        match taken.filter(|_| wanted > 0) {
            Some(view) => Err(self.at(view.name.span(), "such names are those of the random views")),
            None => Ok(wanted),
        }
    }

    fn learning(&self, units: &[UnitSpec], raw: &RawLearning) -> Result<Learning, LensError> {
        let tick = raw.tick.as_ref().map(|tick| self.duration(tick));
        let teacher = raw.teacher.as_ref();
        if let Some(other) = teacher.filter(|t| !units.iter().any(|u| u.kind == *t.get_ref())) {
            let known: Vec<&str> = units.iter().map(|u| u.kind.as_str()).collect();
            return Err(self.at(other.span(), unknown("unit of kind", other.get_ref(), &known)));
        }
        let count_ticks = self.counts_ticks(raw)?;
        Ok(Learning { tick_ns: tick.transpose()?, teacher: teacher.map(|t| t.get_ref().clone()), count_ticks })
    }

    fn counts_ticks(&self, raw: &RawLearning) -> Result<bool, LensError> {
        let Some(count) = &raw.count else { return Ok(false) };
        match count.get_ref().as_str() {
            "rows" => Ok(false),
            "ticks" if raw.tick.is_none() => Err(self.at(count.span(), "counting ticks needs a `tick`, such as 60s")),
            "ticks" => Ok(true),
            other => Err(self.at(count.span(), unknown("way to count", other, &["rows", "ticks"]))),
        }
    }

    fn classes(&self, raw: &RawLens) -> Result<Vec<String>, LensError> {
        let mut classes: Vec<String> = Vec::new();
        for class in raw.views.iter().flat_map(|v| &v.when) {
            if raw.class.is_none() {
                return Err(self.at(class.span(), "`when` needs a `class` column"));
            }
            if !classes.contains(class.get_ref()) {
                classes.push(class.get_ref().clone());
            }
            if classes.len() > MAX_CLASSES {
                return Err(self.at(class.span(), format!("more than {MAX_CLASSES} classes")));
            }
        }
        Ok(classes)
    }
}

impl Text<'_> {
    pub(crate) fn duration(&self, text: &Spanned<String>) -> Result<i64, LensError> {
        duration(text.get_ref()).ok_or_else(|| {
            let meant = meant_duration(text.get_ref()).map(|meant| format!("; did you mean {meant:?}?"));
            let why = format!("not a duration such as 30s, 10m, 1h or 1d{}", meant.unwrap_or_default());
            self.at(text.span(), why)
        })
    }
}

/// What was probably meant by a text that is no duration: `1 hour`, `60`.
fn meant_duration(text: &str) -> Option<String> {
    let text = text.trim().to_lowercase();
    let (number, unit) = text.split_at(text.bytes().take_while(u8::is_ascii_digit).count());
    let count: i64 = number.parse().ok()?;
    let (count, unit) = match unit.trim() {
        "" | "sec" | "secs" | "second" | "seconds" => (count, "s"),
        "min" | "mins" | "minute" | "minutes" => (count, "m"),
        "hr" | "hrs" | "hour" | "hours" => (count, "h"),
        "day" | "days" => (count, "d"),
        "w" | "week" | "weeks" => (count.checked_mul(7)?, "d"),
        unit @ ("s" | "m" | "h" | "d") => (count, unit),
        _ => return None,
    };
    let meant = format!("{count}{unit}");
    duration(&meant).map(|_| meant)
}

/// Nanoseconds of a whole number of seconds, minutes, hours or days.
pub(crate) fn duration(text: &str) -> Option<i64> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    let count: i64 = number.parse().ok().filter(|n| *n > 0)?;
    count.checked_mul(seconds)?.checked_mul(1_000_000_000)
}

/// The canonical form of a lens text.
pub(crate) fn form(toml: &str) -> Result<Form, LensError> {
    let text = Text(toml);
    lens_keys::check(&text, toml)?;
    let raw: RawLens = toml::from_str(toml).map_err(|e| match e.span() {
        Some(span) => text.at(span, e.message()),
        None => LensError::Whole(e.message().to_owned()),
    })?;
    let fields = text.fields(&raw.fields)?;
    let classes = text.classes(&raw)?;
    let views = raw.views.iter().map(|v| text.view(&fields, &classes, v)).collect::<Result<Vec<_>, _>>()?;
    let units = raw.units.iter().map(|u| text.unit(&fields, u)).collect::<Result<Vec<_>, _>>()?;
    if views.is_empty() {
        return Err(LensError::Whole("no views".to_owned()));
    }
    if views.len() > MAX_VIEWS || fields.len() > MAX_FIELDS {
        return Err(LensError::Whole(format!("more than {MAX_VIEWS} views or {MAX_FIELDS} fields")));
    }
    for (i, view) in views.iter().enumerate() {
        if views[..i].iter().any(|v| v.name == view.name) {
            return Err(text.at(raw.views[i].name.span(), format!("a second view named {:?}", view.name)));
        }
    }
    let random_views = text.random_views(&fields, &raw)?;
    let learning = text.learning(&units, &raw.learning)?;
    let host = raw.scopes.map(|s| s.host);
    let RawLens { table, time, class, .. } = raw;
    Ok(Form { table, time, class, host, classes, fields, views, units, random_views, learning })
}
