//! A lens says what the columns of a table mean: which fields, which views of them, which units (docs/contracts.md §5).

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::entities::Entities;
use crate::kind::{Kind, Part};
use crate::lens_text::{self, LensError};
use crate::subspace;

/// Most classes a lens may name: a row's class is a bit of a 32-bit mask, and bit 31 stands for "none of them".
pub const MAX_CLASSES: usize = 31;
/// The class of a row whose class column holds none of the lens's classes.
pub const NO_CLASS: u8 = 31;
/// Most views that a lens writes out.
pub const MAX_VIEWS: usize = 256;
/// Most random views of a lens, beside those.
pub const MAX_RANDOM_VIEWS: usize = 256;
/// Most fields of a lens.
pub const MAX_FIELDS: usize = 256;
/// Most contexts of a view, the empty one included.
pub const MAX_CONTEXTS: usize = 8;
/// Most fields of a view's child, of each of its contexts, and of a channel's name.
pub const MAX_WIDTH: usize = 8;
/// Most suggestions of a view.
pub const MAX_ATTACK: usize = 8;
/// How many rows back a field may look.
pub const MAX_LAG: u8 = 4;

/// A parsed and validated lens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lens {
    pub(crate) form: Form,
    pub(crate) source: String,
    pub(crate) digest: [u8; 32],
    /// Who is who, if it has fields that ask.
    pub(crate) entities: Option<Arc<Entities>>,
}

/// The canonical form of a lens, whose JSON is digested: all that has a meaning, nothing of how it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Form {
    pub(crate) table: String,
    pub(crate) time: String,
    pub(crate) class: Option<String>,
    pub(crate) host: Option<String>,
    pub(crate) classes: Vec<String>,
    pub(crate) fields: Vec<Field>,
    pub(crate) views: Vec<View>,
    pub(crate) units: Vec<UnitSpec>,
    // What came later is left out where it is absent: the digests of older lenses stay.
    /// How many random views there are; they follow from the digest, and so are not in it.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) random_views: usize,
    #[serde(skip_serializing_if = "Learning::is_default")]
    pub(crate) learning: Learning,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // as serde calls it
fn is_zero(n: &usize) -> bool {
    *n == 0
}

/// How rows teach.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Learning {
    /// Length of a tick of event time in nanoseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tick_ns: Option<i64>,
    /// The unit kind whose lessons are capped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) teacher: Option<String>,
    /// Whether a cell counts once a tick.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) count_ticks: bool,
}

impl Learning {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// A column seen through a transform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Field {
    /// What views and explanations call it.
    pub name: String,
    /// The column it reads; empty if it counts rows.
    pub column: String,
    /// What the column holds.
    pub kind: Kind,
    /// Which transform of the kind applies.
    pub part: Part,
    /// What it takes from earlier rows; `None` if a row alone gives its value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
    /// The sort of ids it holds, of a field whose part is `entity`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ids: Option<String>,
}

/// A column and how it is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Source {
    /// The column.
    pub column: String,
    /// What it holds.
    pub kind: Kind,
    /// Which transform applies.
    pub part: Part,
}

/// What a field takes from earlier rows of its channel: the rows of one host with equal values of `of`, within a UTC hour
/// (docs/model.md §1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct State {
    /// What names the channel, beside the host.
    pub of: Vec<Source>,
    /// What of its rows is of interest.
    pub sort: Sort,
}

/// What of a channel's rows is of interest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Sort {
    /// The field's own value, so many rows back.
    Lag(u8),
    /// How many rows the tick has, against what is usual.
    Burst {
        /// Length of a tick in nanoseconds.
        tick_ns: i64,
    },
    /// How many rows there were lately.
    Rate {
        /// Length of a tick in nanoseconds.
        tick_ns: i64,
    },
    /// How many distinct values the tick has.
    Fanout {
        /// Values of what.
        value: Source,
        /// Length of a tick in nanoseconds.
        tick_ns: i64,
    },
}

/// A question asked of every row: how surprising is the child, given the contexts?
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct View {
    /// For people.
    pub name: String,
    /// Classes it applies to; empty: all rows.
    pub when: Vec<String>,
    /// Field numbers of the child.
    pub child: Vec<usize>,
    /// Field numbers of each context, fine to coarse; the last is empty.
    pub contexts: Vec<Vec<usize>>,
    /// `when` as bits over the lens's classes; all ones if `when` is empty.
    #[serde(skip)]
    pub class_mask: u32,
    /// Numbers of ATT&CK techniques that what stands out in it may belong to. Prose: not part of the digest.
    #[serde(skip)]
    pub attack: Vec<String>,
}

/// What is alerted on: rows that share a key within a window of time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnitSpec {
    /// The same kind in two lenses is one unit.
    pub kind: String,
    /// Columns whose values together name the unit.
    pub key: Vec<String>,
    /// Length of the window in nanoseconds.
    pub window_ns: i64,
    /// Of the key: which columns count as the entity that a field makes of them, by place and number of the field.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub entities: Vec<(usize, usize)>,
}

impl State {
    /// Every column it reads beside the field's own.
    fn columns(&self) -> impl Iterator<Item = &str> {
        self.sources().map(|source| source.column.as_str())
    }

    /// What it reads beside the field's own column: what names the channel, then what is counted.
    pub(crate) fn sources(&self) -> impl Iterator<Item = &Source> {
        let value = match &self.sort {
            Sort::Fanout { value, .. } => Some(value),
            Sort::Lag(_) | Sort::Burst { .. } | Sort::Rate { .. } => None,
        };
        self.of.iter().chain(value)
    }
}

impl UnitSpec {
    /// Start of the window that holds `time`, both in ns since 1970 UTC.
    pub fn window_start(&self, time: i64) -> i64 {
        time.div_euclid(self.window_ns).saturating_mul(self.window_ns)
    }

    /// The same, if the window of another time is known: that of the row before, mostly, which spares the division.
    pub(crate) fn window_near(&self, known: Option<i64>, time: i64) -> i64 {
        let holds = |start: &i64| {
            *start > i64::MIN && time.checked_sub(*start).is_some_and(|after| (0..self.window_ns).contains(&after))
        };
        known.filter(holds).unwrap_or_else(|| self.window_start(time))
    }
}

impl Lens {
    /// Reads a lens from TOML and checks that it makes sense.
    pub fn parse(toml: &str) -> Result<Self, LensError> {
        let mut form = lens_text::form(toml)?;
        let json = serde_json::to_vec(&form).map_err(|e| LensError::Digest(e.to_string()))?;
        let digest = Sha256::digest(&json).into();
        form.views.extend(subspace::views(&form.fields, form.random_views, &digest));
        Ok(Self { digest, form, source: toml.to_owned(), entities: None })
    }

    /// The same lens, seeing who is who by this mapping, if it has fields that ask. The mapping is then part of what it
    /// means: its digest is the SHA-256 of its own followed by the mapping's.
    pub fn with_entities(mut self, entities: &Arc<Entities>) -> Self {
        if self.entities.is_none() && self.asks_for_entities() && entities.ids() > 0 {
            self.digest = Sha256::digest([self.digest, entities.digest()].concat()).into();
            self.entities = Some(Arc::clone(entities));
        }
        self
    }

    /// Whether some field gives an entity.
    pub fn asks_for_entities(&self) -> bool {
        self.form.fields.iter().any(|field| field.ids.is_some())
    }

    /// Who is who for its fields.
    pub fn entities(&self) -> Option<&Arc<Entities>> {
        self.entities.as_ref()
    }

    /// Name of the table it reads.
    pub fn table(&self) -> &str {
        &self.form.table
    }

    /// The TOML it was parsed from.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// SHA-256 of its canonical JSON form, and of its entities if it has any: equal for lenses that mean the same.
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// Every column it reads, each once: time, class, host, fields, unit keys.
    pub fn columns(&self) -> Vec<&str> {
        let form = &self.form;
        let mut columns = vec![form.time.as_str()];
        columns.extend(form.class.as_deref());
        columns.extend(form.host.as_deref());
        columns.extend(form.fields.iter().map(|f| f.column.as_str()).filter(|c| !c.is_empty()));
        columns.extend(form.fields.iter().filter_map(|f| f.state.as_ref()).flat_map(State::columns));
        columns.extend(form.units.iter().flat_map(|u| &u.key).map(String::as_str));
        let mut seen = std::collections::BTreeSet::new();
        columns.retain(|c| seen.insert(*c));
        columns
    }

    /// Whether some field sees this column as a kind of this name.
    fn reads_as(&self, column: &str, kind: Kind) -> bool {
        let stateful = self.form.fields.iter().filter_map(|f| f.state.as_ref()).flat_map(State::sources);
        let plain = self.form.fields.iter().any(|f| f.column == column && f.kind == kind);
        plain || stateful.into_iter().any(|source| source.column == column && source.kind == kind)
    }

    /// Whether a column holds times: that of the rows, or one of kind `time`.
    pub fn reads_times(&self, column: &str) -> bool {
        self.form.time == column || self.reads_as(column, Kind::Time)
    }

    /// Whether a column holds lists of words, or text that is split into such: of kind `cmdline`.
    pub fn reads_words(&self, column: &str) -> bool {
        self.reads_as(column, Kind::Cmdline)
    }

    /// The timestamp column.
    pub fn time_column(&self) -> &str {
        &self.form.time
    }

    /// The column whose value selects which views apply.
    pub fn class_column(&self) -> Option<&str> {
        self.form.class.as_deref()
    }

    /// The column that names the host whose habits count.
    pub fn host_column(&self) -> Option<&str> {
        self.form.host.as_deref()
    }

    /// The classes that any view names, in order of first mention.
    pub fn classes(&self) -> &[String] {
        &self.form.classes
    }

    /// Its fields, by name.
    pub fn fields(&self) -> &[Field] {
        &self.form.fields
    }

    /// Its views, in order: those it writes out, then the random ones.
    pub fn views(&self) -> &[View] {
        &self.form.views
    }

    /// How many of its views are random.
    pub fn random_views(&self) -> usize {
        self.form.random_views
    }

    /// Whether some field depends on earlier rows, so that the rows of one (host, UTC hour) must be encoded in order, by
    /// one encoder.
    pub fn is_stateful(&self) -> bool {
        self.form.fields.iter().any(|f| f.state.is_some())
    }

    /// Length in ns of the ticks of event time that streamed learning advances by; 0: row by row.
    pub fn tick_ns(&self) -> i64 {
        self.form.learning.tick_ns.unwrap_or(0)
    }

    /// Length in ns of the ticks in each of which a cell counts once; `None` if it counts with each row.
    pub fn counted_ticks(&self) -> Option<i64> {
        self.form.learning.tick_ns.filter(|_| self.form.learning.count_ticks)
    }

    /// The unit whose lessons are capped, and its number: as given, else the first; none if there are no units.
    pub fn teacher(&self) -> Option<(usize, &UnitSpec)> {
        let given = self.form.learning.teacher.as_ref();
        self.form.units.iter().enumerate().find(|(_, unit)| given.is_none_or(|kind| *kind == unit.kind))
    }

    /// Its units, in order.
    pub fn units(&self) -> &[UnitSpec] {
        &self.form.units
    }

    /// Field numbers by name.
    pub(crate) fn numbers(fields: &[Field]) -> BTreeMap<&str, usize> {
        fields.iter().enumerate().map(|(i, f)| (f.name.as_str(), i)).collect()
    }
}
