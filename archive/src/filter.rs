//! Which rows a run takes: by time, host and condition, and which parts of files need not be read for that.
//!
//! A part is left out only where its folder or the statistics in its footer say that no row of it passes, so that the
//! result is that of filtering all rows (docs/decisions/0034-filters.md).

use std::cmp::Ordering;
use std::collections::BTreeSet;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampNanosecondType, UInt64Type};
use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch};
use arrow_cast::cast;
use arrow_schema::{DataType, TimeUnit};
use model::Lens;
use store::{Bounds, TableFile};

use crate::condition::{Comparison, Condition, Value};

/// A day in nanoseconds.
const DAY: i64 = 86_400_000_000_000;

/// Which rows to take; the default takes all.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Filter {
    /// Rows at this time (ns since 1970) or later.
    pub since: Option<i64>,
    /// Rows before this time.
    pub until: Option<i64>,
    /// Rows of these hosts; of all if there is none.
    pub hosts: BTreeSet<String>,
    /// Rows of which this holds.
    pub condition: Option<Condition>,
}

impl Filter {
    /// Whether it takes all rows.
    #[must_use]
    pub fn is_all(&self) -> bool {
        *self == Self::default()
    }

    /// In words that are the same for the same filter; empty if it takes all rows.
    #[must_use]
    pub fn text(&self) -> String {
        let time = |name: &str, time: Option<i64>| time.map(|time| format!("{name} {}", store::rfc3339(time)));
        let hosts: Vec<String> = self.hosts.iter().map(|host| Value::Text(host.clone()).to_string()).collect();
        let hosts = (!hosts.is_empty()).then(|| format!("host {}", hosts.join(", ")));
        let condition = self.condition.as_ref().map(|condition| format!("where {condition}"));
        let parts = [time("since", self.since), time("until", self.until), hosts, condition];
        parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
    }

    /// What must hold of a row of a table with this lens; nothing if all are taken.
    pub(crate) fn of(&self, lens: &Lens) -> Result<Option<Condition>, String> {
        let time = |comparison, time: Option<i64>| {
            time.map(|time| Condition::Compare(lens.time_column().to_owned(), comparison, Value::Time(time)))
        };
        let mut all = Vec::from_iter(time(Comparison::GreaterOrEqual, self.since));
        all.extend(time(Comparison::Less, self.until));
        if !self.hosts.is_empty() {
            let column = lens.host_column().ok_or_else(|| format!("the lens of table {} has no host", lens.table()))?;
            all.push(Condition::In(column.to_owned(), self.hosts.iter().cloned().map(Value::Text).collect()));
        }
        all.extend(self.condition.clone());
        Ok(match all.len() {
            0 | 1 => all.pop(),
            _ => Some(Condition::And(all)),
        })
    }

    /// Whether a folder `TABLE/day=…/host=…` of one of Ebbline's own tables, or one above it, can hold such rows. Days are
    /// taken with one before and after, as other programs may cut them elsewhere.
    #[must_use]
    pub fn enters(&self, folder: &str) -> bool {
        let own = [events::PROCESS, events::CONNECTION, events::DNS, events::HEARTBEAT];
        let parts: Vec<&str> = folder.split('/').collect();
        let Some(at) = parts.iter().rposition(|part| own.contains(part)) else { return true };
        let below = |at: usize, name: &str| parts.get(at).and_then(|part| part.strip_prefix(name));
        let start = below(at + 1, "day=").and_then(|day| store::from_rfc3339(&format!("{day}T00:00:00Z")));
        let late = |start: i64| self.until.is_some_and(|until| start.saturating_sub(DAY) >= until);
        let early = |start: i64| self.since.is_some_and(|since| start.saturating_add(2 * DAY) <= since);
        let host = below(at + 2, "host=").filter(|_| start.is_some() && !self.hosts.is_empty());
        !start.is_some_and(|start| late(start) || early(start))
            && host.is_none_or(|folder| self.hosts.iter().any(|host| store::is_folder_of(folder, host)))
    }
}

/// The row groups of a file that may have rows of which the condition holds.
pub(crate) fn groups(file: &TableFile, condition: &Condition) -> Option<Vec<usize>> {
    let groups = file.groups()?;
    let may = Groups::of(file, condition, groups);
    Some((0..groups).filter(|group| may.of_group(*group)).collect())
}

/// A condition with what footers say about its columns.
enum Groups<'a> {
    And(Vec<Self>),
    Or(Vec<Self>),
    /// Nothing is known.
    Any,
    /// There is no such column.
    None,
    Leaf(Bounds, Vec<(Comparison, &'a Value)>),
}

impl<'a> Groups<'a> {
    fn of(file: &TableFile, condition: &'a Condition, groups: usize) -> Self {
        let leaf = |column: &str, values: Vec<(Comparison, &'a Value)>| match file.bounds(column) {
            _ if !file.has(column) => Self::None,
            Some(bounds) if bounds.least.len() == groups && bounds.most.len() == groups => Self::Leaf(bounds, values),
            _ => Self::Any,
        };
        match condition {
            Condition::And(all) => Self::And(all.iter().map(|one| Self::of(file, one, groups)).collect()),
            Condition::Or(all) => Self::Or(all.iter().map(|one| Self::of(file, one, groups)).collect()),
            Condition::Compare(column, comparison, value) => leaf(column, vec![(*comparison, value)]),
            Condition::In(column, values) => {
                leaf(column, values.iter().map(|value| (Comparison::Equal, value)).collect())
            }
        }
    }

    fn of_group(&self, group: usize) -> bool {
        match self {
            Self::And(all) => all.iter().all(|one| one.of_group(group)),
            Self::Or(all) => all.iter().any(|one| one.of_group(group)),
            Self::Any => true,
            Self::None => false,
            Self::Leaf(bounds, values) => values.iter().any(|(comparison, value)| {
                let order = |array: &ArrayRef| {
                    let cells = Cells::of(&array.slice(group, 1)).ok()?;
                    cells.at(0).filter(|cell| cell.is_like(value)).and_then(|cell| cell.compare(value).ok().flatten())
                };
                let (Some(least), Some(most)) = (order(&bounds.least), order(&bounds.most)) else { return true };
                match comparison {
                    Comparison::Equal => least != Ordering::Greater && most != Ordering::Less,
                    Comparison::Unequal => true,
                    Comparison::Less => least == Ordering::Less,
                    Comparison::LessOrEqual => least != Ordering::Greater,
                    Comparison::Greater => most == Ordering::Greater,
                    Comparison::GreaterOrEqual => most != Ordering::Less,
                }
            }),
        }
    }
}

/// Of which rows of a batch the condition holds. A column that is not there is null.
pub(crate) fn rows(condition: &Condition, batch: &RecordBatch) -> Result<BooleanArray, String> {
    Ok(holds(condition, batch)?.into())
}

fn holds(condition: &Condition, batch: &RecordBatch) -> Result<Vec<bool>, String> {
    let joined = |all: &[Condition], join: fn(bool, bool) -> bool| {
        let mut all = all.iter().map(|one| holds(one, batch));
        let first = all.next().unwrap_or_else(|| Ok(vec![true; batch.num_rows()]));
        all.try_fold(first?, |so_far, next| Ok(so_far.into_iter().zip(next?).map(|(a, b)| join(a, b)).collect()))
    };
    let leaf = |column: &str, values: &[Value], comparison| match batch.column_by_name(column) {
        None => Ok(vec![false; batch.num_rows()]),
        Some(array) => of_column(array, values, comparison).map_err(|why| format!("column {column}: {why}")),
    };
    match condition {
        Condition::And(all) => joined(all, |a, b| a && b),
        Condition::Or(all) => joined(all, |a, b| a || b),
        Condition::Compare(column, comparison, value) => leaf(column, std::slice::from_ref(value), *comparison),
        Condition::In(column, values) => leaf(column, values, Comparison::Equal),
    }
}

/// Where a column compares so with one of the values.
fn of_column(array: &ArrayRef, values: &[Value], comparison: Comparison) -> Result<Vec<bool>, String> {
    if let Some(dictionary) = array.as_any_dictionary_opt() {
        if dictionary.values().is_empty() {
            return Ok(vec![false; array.len()]);
        }
        let entries = of_column(dictionary.values(), values, comparison)?;
        let codes = dictionary.normalized_keys();
        return Ok((0..array.len()).map(|row| array.is_valid(row) && entries[codes[row]]).collect());
    }
    let cells = Cells::of(array)?;
    let row = |row: usize| {
        let Some(cell) = cells.at(row) else { return Ok(false) };
        for value in values {
            if comparison.holds(cell.compare(value)?) {
                return Ok(true);
            }
        }
        Ok(false)
    };
    (0..array.len()).map(row).collect()
}

/// The values of a column, in one of few types.
enum Cells {
    Int(ArrayRef),
    Unsigned(ArrayRef),
    Float(ArrayRef),
    Time(ArrayRef),
    Text(ArrayRef),
    Bytes(ArrayRef),
    Null,
}

enum Cell<'a> {
    Int(i128),
    Float(f64),
    Time(i64),
    Text(std::borrow::Cow<'a, str>),
}

impl Cells {
    fn of(array: &ArrayRef) -> Result<Self, String> {
        let to = |wanted: DataType| cast(array, &wanted).map_err(|error| error.to_string());
        Ok(match array.data_type() {
            DataType::Null => Self::Null,
            kind if kind.is_signed_integer() => Self::Int(to(DataType::Int64)?),
            kind if kind.is_unsigned_integer() => Self::Unsigned(to(DataType::UInt64)?),
            kind if kind.is_floating() => Self::Float(to(DataType::Float64)?),
            DataType::Timestamp(..) => Self::Time(to(DataType::Timestamp(TimeUnit::Nanosecond, None))?),
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Boolean => {
                Self::Text(to(DataType::LargeUtf8)?)
            }
            DataType::Binary | DataType::FixedSizeBinary(_) => Self::Bytes(to(DataType::LargeBinary)?),
            other => return Err(format!("it is {other}, which is not compared")),
        })
    }

    fn at(&self, row: usize) -> Option<Cell<'_>> {
        let array = match self {
            Self::Null => return None,
            Self::Int(a) | Self::Unsigned(a) | Self::Float(a) | Self::Time(a) | Self::Text(a) | Self::Bytes(a) => a,
        };
        array.is_valid(row).then(|| match self {
            Self::Int(array) => Cell::Int(array.as_primitive::<Int64Type>().value(row).into()),
            Self::Unsigned(array) => Cell::Int(array.as_primitive::<UInt64Type>().value(row).into()),
            Self::Float(array) => Cell::Float(array.as_primitive::<Float64Type>().value(row)),
            Self::Time(array) => Cell::Time(array.as_primitive::<TimestampNanosecondType>().value(row)),
            Self::Text(array) => Cell::Text(array.as_string::<i64>().value(row).into()),
            Self::Bytes(array) => Cell::Text(hex(array.as_binary::<i64>().value(row)).into()),
            Self::Null => Cell::Text("".into()),
        })
    }
}

impl Cell<'_> {
    /// How it compares with a value; `None` if the two have no order. What never can be compared is an error.
    fn compare(&self, value: &Value) -> Result<Option<Ordering>, String> {
        let float = |a: f64, b: f64| Ok(a.partial_cmp(&b));
        match (self, value) {
            (Self::Time(time), Value::Time(other)) => Ok(Some(time.cmp(other))),
            (Self::Time(time), Value::Text(text)) => {
                let other = moment(text).ok_or_else(|| format!("'{text}' is no time; use '2026-11-21T14:00:00Z'"))?;
                Ok(Some(time.cmp(&other)))
            }
            (Self::Time(_), _) => Err("it holds times; compare it with '2026-11-21T14:00:00Z'".to_owned()),
            (_, Value::Time(_)) => Err("it holds no times".to_owned()),
            (Self::Int(a), Value::Int(b)) => Ok(Some(a.cmp(b))),
            (Self::Int(a), Value::Float(b)) => float(*a as f64, *b),
            (Self::Float(a), Value::Int(b)) => float(*a, *b as f64),
            (Self::Float(a), Value::Float(b)) => float(*a, *b),
            (Self::Text(a), Value::Text(b)) => Ok(Some(a.as_ref().cmp(b))),
            (_, Value::Text(text)) => number(text).map_or(Ok(None), |number| self.compare(&number)),
            // Numbers in a text file are texts.
            (Self::Text(text), _) => match number(text) {
                Some(Value::Int(number)) => Self::Int(number).compare(value),
                Some(Value::Float(number)) => Self::Float(number).compare(value),
                _ => Ok(None),
            },
        }
    }

    /// Whether the order of such cells is the order of what they are compared as.
    fn is_like(&self, value: &Value) -> bool {
        matches!(
            (self, value),
            (Self::Int(_) | Self::Float(_), Value::Int(_) | Value::Float(_))
                | (Self::Text(_), Value::Text(_))
                | (Self::Time(_), Value::Time(_) | Value::Text(_))
        )
    }
}

fn number(text: &str) -> Option<Value> {
    let text = text.trim();
    text.parse().map(Value::Int).ok().or_else(|| text.parse().map(Value::Float).ok())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A moment (ns since 1970) of RFC 3339, or the start of a day.
pub(crate) fn moment(text: &str) -> Option<i64> {
    store::from_rfc3339(text).or_else(|| store::from_rfc3339(&format!("{text}T00:00:00Z")))
}

/// The times of `--since` and `--until`: a moment of RFC 3339, or a day, which `--until` takes in whole.
#[must_use]
pub fn time_bound(text: &str, is_end: bool) -> Option<i64> {
    let day = (text.len() == 10).then(|| store::from_rfc3339(&format!("{text}T00:00:00Z"))).flatten();
    match day {
        Some(day) => day.checked_add(if is_end { DAY } else { 0 }),
        None => store::from_rfc3339(text),
    }
}

#[cfg(test)]
mod stateful;
#[cfg(test)]
mod tests;
