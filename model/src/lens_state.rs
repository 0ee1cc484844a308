//! Reading the fields of a lens that depend on earlier rows (docs/contracts.md §5).

use std::ops::Range;

use toml::Spanned;

use crate::kind::{Kind, Part};
use crate::lens::{Field, MAX_LAG, MAX_WIDTH, Sort, Source, State};
use crate::lens_text::{LensError, Names, RawField, Text};

/// Shortest and longest tick in ns: a channel's state ends with its hour.
const TICKS_NS: std::ops::RangeInclusive<i64> = 1_000_000_000..=3_600_000_000_000;

/// Whether a field is to take something from earlier rows.
pub(crate) fn is_stateful(raw: &RawField) -> bool {
    raw.of.is_some()
        || raw.lag.is_some()
        || raw.burst.is_some()
        || raw.rate.is_some()
        || raw.fanout.is_some()
        || raw.tick.is_some()
}

/// A field as it is written, among the others.
pub(crate) struct RawState<'a> {
    pub(crate) text: &'a Text<'a>,
    pub(crate) name: &'a str,
    pub(crate) field: &'a Spanned<RawField>,
    /// Whether a name is that of a stateful field.
    pub(crate) stateful: &'a dyn Fn(&str) -> bool,
    /// The field of this name that a row alone gives the value of.
    pub(crate) named: &'a dyn Fn(&str) -> Option<&'a Field>,
}

impl RawState<'_> {
    /// The field; `known` is what its column, kind and part say, for fields that have them.
    pub(crate) fn field(&self, known: Option<Field>) -> Result<Field, LensError> {
        let raw = self.field.get_ref();
        if !is_stateful(raw) {
            return known.ok_or_else(|| self.text.at(self.field.span(), "missing field `column`"));
        }
        let of = self.of()?;
        if let Some(field) = known {
            return self.lagged(field, of);
        }
        self.refuse(raw.lag.as_ref().map(Spanned::span), "`lag` is for fields with a column of their own")?;
        for word in [&raw.column, &raw.kind, &raw.part, &raw.ids] {
            self.refuse(word.as_ref().map(Spanned::span), "a field that counts has no column, kind or part")?;
        }
        let tick_ns = self.tick()?;
        let sort = match (&raw.burst, &raw.rate, &raw.fanout) {
            (Some(burst), None, None) if *burst.get_ref() => Sort::Burst { tick_ns },
            (None, Some(rate), None) if *rate.get_ref() => Sort::Rate { tick_ns },
            (None, None, Some(value)) => Sort::Fanout { value: self.source(value.get_ref(), value.span())?, tick_ns },
            (Some(word), ..) | (_, Some(word), _) => {
                let why = "a field has one of `burst = true`, `rate = true` and a `fanout`";
                return Err(self.text.at(word.span(), why));
            }
            (None, None, None) => return Err(self.text.at(self.field.span(), "missing field `column`")),
        };
        let state = Some(State { of, sort });
        let column = String::new();
        Ok(Field { name: self.name.to_owned(), column, kind: Kind::Number, part: Part::Logbin, state, ids: None })
    }

    fn lagged(&self, field: Field, of: Vec<Source>) -> Result<Field, LensError> {
        let raw = self.field.get_ref();
        self.refuse(raw.tick.as_ref().map(Spanned::span), "`tick` goes with `burst`, `rate` or `fanout`")?;
        if field.kind == Kind::Key {
            return Err(self.text.at(self.field.span(), "a key names units, it has no past"));
        }
        let lag = match &raw.lag {
            None => 1,
            Some(lag) => u8::try_from(*lag.get_ref())
                .ok()
                .filter(|n| (1..=MAX_LAG).contains(n))
                .ok_or_else(|| self.text.at(lag.span(), format!("`lag` is a number of rows from 1 to {MAX_LAG}")))?,
        };
        Ok(Field { state: Some(State { of, sort: Sort::Lag(lag) }), ..field })
    }

    fn refuse(&self, span: Option<Range<usize>>, why: &str) -> Result<(), LensError> {
        span.map_or(Ok(()), |span| Err(self.text.at(span, why)))
    }

    fn of(&self) -> Result<Vec<Source>, LensError> {
        let Some(of) = &self.field.get_ref().of else {
            let why = "a field that takes something from earlier rows needs `of`: the rows of one what?";
            return Err(self.text.at(self.field.span(), why));
        };
        let names = match of.get_ref() {
            Names::One(name) => std::slice::from_ref(name),
            Names::Many(names) => names.as_slice(),
        };
        if names.is_empty() || names.len() > MAX_WIDTH {
            return Err(self.text.at(of.span(), format!("`of` takes 1 to {MAX_WIDTH} fields or columns")));
        }
        names.iter().map(|name| self.source(name, of.span())).collect()
    }

    /// A field of this name as it is transformed, else a column of this name as it is.
    fn source(&self, name: &str, span: Range<usize>) -> Result<Source, LensError> {
        if (self.stateful)(name) {
            return Err(self.text.at(span, format!("field {name:?} itself depends on earlier rows")));
        }
        if (self.named)(name).is_some_and(|field| field.part == Part::Entity) {
            return Err(self.text.at(span, format!("field {name:?} is an entity: name its column instead")));
        }
        Ok(match (self.named)(name) {
            Some(field) => Source { column: field.column.clone(), kind: field.kind, part: field.part },
            None => Source { column: name.to_owned(), kind: Kind::Id, part: Part::Whole },
        })
    }

    fn tick(&self) -> Result<i64, LensError> {
        let Some(tick) = &self.field.get_ref().tick else {
            return Err(self.text.at(self.field.span(), "a field that counts needs a `tick`, such as 60s"));
        };
        let ns = self.text.duration(tick)?;
        if !TICKS_NS.contains(&ns) {
            return Err(self.text.at(tick.span(), "a tick lasts from 1s to 1h"));
        }
        Ok(ns)
    }
}
