//! From Arrow columns to codes: each distinct value of a field is transformed and hashed once (docs/model.md §1).

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::DataType;

use crate::alike::Alike;
use crate::channel::Channels;
use crate::keys::{HashKey, Pair};
use crate::kind::transform::apply;
use crate::kind::{Kind, Part};
use crate::lens::{Lens, NO_CLASS};
use crate::raw::{self, Form, Raw, RawColumn};

/// The unit code of a row that belongs to no unit, because a key column is null.
pub const NO_UNIT: u32 = u32::MAX;

/// A batch of rows as backends read it.
#[derive(Debug, Clone, Default)]
pub struct EncodedBatch {
    /// Number of rows; the length of every per-row vector below.
    pub rows: usize,
    /// One per lens field, in lens order.
    pub fields: Vec<Codes>,
    /// The host, whose value hash is the host scope.
    pub host: Codes,
    /// Index into the lens's classes, or [`crate::lens::NO_CLASS`].
    pub class: Vec<u8>,
    /// ns since 1970 UTC.
    pub time: Vec<i64>,
    /// One per unit of the lens, in its order.
    pub units: Vec<UnitColumn>,
}

/// A column of codes, each an index into the hashes and values of its distinct values. Two codes may have the same
/// value.
#[derive(Debug, Clone, Default)]
pub struct Codes {
    /// One per row.
    pub codes: Vec<u32>,
    /// The keyed hash of each value.
    pub hashes: Arc<Vec<Pair>>,
    /// Each value after its transform; `None` is null.
    pub values: Arc<Vec<Option<String>>>,
}

/// Which unit each row belongs to.
#[derive(Debug, Clone, Default)]
pub struct UnitColumn {
    /// One per row: an index into `keys`, or [`NO_UNIT`].
    pub codes: Vec<u32>,
    /// The key columns as text, joined by `|`.
    pub keys: Vec<String>,
}

/// Why a batch could not be encoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The lens reads a column that the batch lacks.
    #[error("column {column:?}: missing")]
    Missing {
        /// The column.
        column: String,
    },
    /// A column has a type its use cannot read.
    #[error("column {column:?}: found {found}, expected {expected}")]
    Type {
        /// The column.
        column: String,
        /// Its type.
        found: DataType,
        /// What would do.
        expected: &'static str,
    },
    /// A null where there must be a value.
    #[error("column {column:?}: row {row} is null")]
    Null {
        /// The column.
        column: String,
        /// The row in the batch.
        row: usize,
    },
}

impl Codes {
    /// The value of a row as text; null in words.
    pub fn text(&self, row: usize) -> &str {
        self.value(row).unwrap_or("(none)")
    }

    /// The value of a row; `None` is null.
    pub fn value(&self, row: usize) -> Option<&str> {
        self.values[self.codes[row] as usize].as_deref()
    }

    /// The hash of a row's value.
    #[inline]
    pub fn hash(&self, row: usize) -> Pair {
        self.hashes[self.codes[row] as usize]
    }

    fn check(&self, rows: usize) -> bool {
        let distinct = self.hashes.len() as u64;
        self.codes.len() == rows
            && self.values.len() == self.hashes.len()
            && (rows == 0 || u64::from(self.codes.iter().fold(0, |most, c| most.max(*c))) < distinct)
    }
}

impl EncodedBatch {
    /// Whether all parts have `rows` rows, codes are in range and there are `fields` fields.
    pub fn is_consistent(&self, fields: usize) -> bool {
        let units = self.units.iter().all(|u| {
            u.codes.len() == self.rows && u.codes.iter().all(|c| *c == NO_UNIT || (*c as usize) < u.keys.len())
        });
        units
            && self.fields.len() == fields
            && self.fields.iter().chain([&self.host]).all(|c| c.check(self.rows))
            && self.class.len() == self.rows
            && self.class.iter().all(|c| *c <= NO_CLASS)
            && self.time.len() == self.rows
    }
}

/// What an encoded column is used for, which says what types it may have.
#[derive(Clone, Copy)]
enum Use {
    Field(Kind, Part),
    Name,
}

impl Use {
    fn accepts(self, form: Form) -> bool {
        let Use::Field(kind, _) = self else {
            return !matches!(form, Form::List | Form::Time | Form::Float);
        };
        form == Form::Null
            || match kind {
                Kind::Path | Kind::Url | Kind::Domain | Kind::Ip | Kind::Socket | Kind::Text => form == Form::Text,
                Kind::Cmdline => matches!(form, Form::List | Form::Text),
                Kind::Port | Kind::User => matches!(form, Form::Int | Form::Text),
                Kind::Number => matches!(form, Form::Int | Form::Float | Form::Text),
                Kind::Time => form == Form::Time,
                Kind::Id | Kind::Key => !matches!(form, Form::List | Form::Time | Form::Float),
            }
    }

    fn expected(self) -> &'static str {
        match self {
            Use::Field(Kind::Path | Kind::Url | Kind::Domain | Kind::Ip | Kind::Socket | Kind::Text, _) => "text",
            Use::Field(Kind::Cmdline, _) => "a list of text, or text",
            Use::Field(Kind::Port | Kind::User, _) => "an integer or text",
            Use::Field(Kind::Number, _) => "a number, or text",
            Use::Field(Kind::Time, _) => "a timestamp",
            Use::Field(Kind::Id | Kind::Key, _) | Use::Name => "text, an integer, a boolean or 16 bytes",
        }
    }

    fn apply(self, raw: &Raw) -> Option<String> {
        match self {
            Use::Field(kind, part) => apply(kind, part, raw),
            Use::Name => apply(Kind::Id, Part::Whole, raw),
        }
    }
}

/// A field's distinct values: raw code to code, and each code's hash and value.
#[derive(Clone, Default)]
struct Table {
    codes: Vec<u32>,
    hashes: Arc<Vec<Pair>>,
    values: Arc<Vec<Option<String>>>,
}

impl Table {
    fn new(raws: &[Raw], of: Use, key: &HashKey) -> Self {
        let mut known: HashMap<Option<String>, u32, ahash::RandomState> = HashMap::default();
        let codes = raws
            .iter()
            .map(|raw| {
                let next = known.len() as u32;
                *known.entry(of.apply(raw)).or_insert(next)
            })
            .collect();
        let mut values: Vec<(Option<String>, u32)> = known.into_iter().collect();
        values.sort_unstable_by_key(|v| v.1);
        let values: Vec<Option<String>> = values.into_iter().map(|v| v.0).collect();
        let hashes = values.iter().map(|v| key.value(v.as_deref())).collect();
        Self { codes, hashes: Arc::new(hashes), values: Arc::new(values) }
    }

    fn codes(&self, raw: &[u32]) -> Codes {
        let codes = raw.iter().map(|c| self.codes[*c as usize]).collect();
        Codes { codes, hashes: Arc::clone(&self.hashes), values: Arc::clone(&self.values) }
    }
}

/// A column of the lens's table and all that reads it.
struct Column {
    name: String,
    uses: Vec<Use>,
    /// The last dictionary seen, kept alive so that its identity stays its own, and one table per use.
    dictionary: Option<(ArrayRef, Vec<Table>)>,
}

/// A column of one batch: raw codes, and one table per use.
struct Read<'a> {
    codes: Vec<u32>,
    tables: std::borrow::Cow<'a, [Table]>,
}

impl Column {
    fn read<'a>(&'a mut self, array: &dyn Array, key: &HashKey) -> Result<Read<'a>, EncodeError> {
        let found = array.data_type();
        let form = raw::form(found);
        if let Some(of) = self.uses.iter().find(|u| !form.is_some_and(|f| u.accepts(f))) {
            return Err(EncodeError::Type { column: self.name.clone(), found: found.clone(), expected: of.expected() });
        }
        if !matches!(found, DataType::Dictionary(..)) {
            let RawColumn { codes, values } = raw::read(array);
            return Ok(Read { codes, tables: self.tables(&values, key).into() });
        }
        let entries = array.as_any_dictionary().values();
        if !self.dictionary.as_ref().is_some_and(|(last, ..)| last.to_data().ptr_eq(&entries.to_data())) {
            let RawColumn { mut codes, mut values } = raw::read(entries);
            codes.push(values.len() as u32); // what follows the last entry is a null key
            values.push(Raw::Null);
            let mut tables = self.tables(&values, key);
            tables.iter_mut().for_each(|table| table.codes = codes.iter().map(|c| table.codes[*c as usize]).collect());
            self.dictionary = Some((Arc::clone(entries), tables));
        }
        let Some((_, tables)) = &self.dictionary else { unreachable!("filled above") };
        Ok(Read { codes: raw::dictionary_keys(array, entries.len()), tables: tables.into() })
    }

    fn tables(&self, values: &[Raw], key: &HashKey) -> Vec<Table> {
        self.uses.iter().map(|of| Table::new(values, *of, key)).collect()
    }
}

/// Turns record batches of one table into [`EncodedBatch`]es.
///
/// It keeps, per column, the last dictionary and its transformed values: as much again as the largest dictionary seen. If
/// the lens has fields that depend on earlier rows, it keeps their channels too, in bounded memory; the rows of one (host,
/// UTC hour) must then come in order, to one encoder. How they are cut into batches, and what comes between, is all the same.
pub struct Encoder {
    lens: Lens,
    key: HashKey,
    columns: Vec<Column>,
    /// Per field of the lens, then the host, the class and each unit key column: where it is read.
    places: Vec<Option<(usize, usize)>>,
    /// Fields that depend on earlier rows; what each reads beside its own column follows in `places`, in order.
    stateful: Vec<Stateful>,
}

/// A field that depends on earlier rows.
struct Stateful {
    field: usize,
    /// How many columns it reads beside its own.
    sources: usize,
    channels: Channels,
}

impl Encoder {
    /// An encoder for the lens's table, hashing under `key`.
    pub fn new(lens: &Lens, key: &HashKey) -> Self {
        let (columns, places) = (Vec::new(), Vec::new());
        let mut encoder = Self { lens: lens.clone(), key: key.clone(), columns, places, stateful: Vec::new() };
        for field in lens.fields() {
            encoder.add(Some(field.column.as_str()).filter(|c| !c.is_empty()), Use::Field(field.kind, field.part));
        }
        encoder.add(lens.host_column(), Use::Name);
        encoder.add(lens.class_column(), Use::Name);
        for column in lens.units().iter().flat_map(|u| &u.key) {
            encoder.add(Some(column), Use::Name);
        }
        for (number, field) in lens.fields().iter().enumerate() {
            let Some(state) = &field.state else { continue };
            state.sources().for_each(|s| encoder.add(Some(&s.column), Use::Field(s.kind, s.part)));
            let (sources, channels) = (state.sources().count(), Channels::new(state, key));
            encoder.stateful.push(Stateful { field: number, sources, channels });
        }
        encoder
    }

    /// Rows that began a channel when that of their past may have been let go, over all stateful fields.
    pub fn crowded(&self) -> u64 {
        self.stateful.iter().map(|s| s.channels.crowded()).sum()
    }

    fn add(&mut self, column: Option<&str>, of: Use) {
        let Some(name) = column else {
            self.places.push(None);
            return;
        };
        let at = self.columns.iter().position(|c| c.name == name).unwrap_or_else(|| {
            self.columns.push(Column { name: name.to_owned(), uses: Vec::new(), dictionary: None });
            self.columns.len() - 1
        });
        self.columns[at].uses.push(of);
        self.places.push(Some((at, self.columns[at].uses.len() - 1)));
    }

    /// Encodes a batch, which may have more columns than the lens reads, in any order.
    ///
    /// # Errors
    /// A column is missing, has a type its kind cannot read, or is a time with nulls.
    pub fn encode(&mut self, batch: &RecordBatch) -> Result<EncodedBatch, EncodeError> {
        let rows = batch.num_rows();
        let time = times(batch, self.lens.time_column())?;
        let mut reads = Vec::with_capacity(self.columns.len());
        for column in &mut self.columns {
            reads.push(column.read(array(batch, &column.name.clone())?, &self.key)?);
        }
        let columns = self.places.iter().map(|place| match *place {
            Some((column, of)) => reads[column].tables[of].codes(&reads[column].codes),
            None => constant_null(rows, &self.key),
        });
        let columns: Vec<Codes> = columns.collect();
        let mut columns = columns.into_iter();
        let mut fields: Vec<Codes> = columns.by_ref().take(self.lens.fields().len()).collect();
        let host = columns.next().unwrap_or_default();
        if let Some(entities) = self.lens.entities() {
            for (codes, field) in fields.iter_mut().zip(self.lens.fields()) {
                let Some(sort) = &field.ids else { continue };
                *codes = entities.named(sort, codes, &host, &self.key);
            }
        }
        let class = classes(&self.lens, &columns.next().unwrap_or_default());
        let units = self.lens.units().iter();
        let units = units.map(|unit| {
            let mut parts: Vec<Codes> = columns.by_ref().take(unit.key.len()).collect();
            unit.entities.iter().for_each(|(at, field)| parts[*at] = fields[*field].clone());
            unit_column(&parts, rows)
        });
        let units = units.collect();
        for Stateful { field, sources, channels } in &mut self.stateful {
            let sources: Vec<Codes> = columns.by_ref().take(*sources).collect();
            fields[*field] = channels.encode(&fields[*field], &sources, &host, &time);
        }
        Ok(EncodedBatch { rows, fields, host, class, time, units })
    }
}

fn array<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a dyn Array, EncodeError> {
    let column = batch.column_by_name(name);
    column.map(AsRef::as_ref).ok_or_else(|| EncodeError::Missing { column: name.to_owned() })
}

fn times(batch: &RecordBatch, name: &str) -> Result<Vec<i64>, EncodeError> {
    let array = array(batch, name)?;
    let column = name.to_owned();
    let Some(times) = raw::nanoseconds(array) else {
        return Err(EncodeError::Type { column, found: array.data_type().clone(), expected: "a timestamp" });
    };
    match (0..array.len()).find(|row| array.is_null(*row)) {
        Some(row) => Err(EncodeError::Null { column, row }),
        None => Ok(times),
    }
}

fn constant_null(rows: usize, key: &HashKey) -> Codes {
    Codes { codes: vec![0; rows], hashes: Arc::new(vec![key.value(None)]), values: Arc::new(vec![None]) }
}

fn classes(lens: &Lens, column: &Codes) -> Vec<u8> {
    let number = |value: &Option<String>| {
        let at = lens.classes().iter().position(|c| Some(c) == value.as_ref());
        at.map_or(NO_CLASS, |at| at as u8)
    };
    let of_code: Vec<u8> = column.values.iter().map(number).collect();
    column.codes.iter().map(|c| of_code[*c as usize]).collect()
}

/// Joins key columns: rows with equal keys get equal codes, rows with a null in any key none.
fn unit_column(parts: &[Codes], rows: usize) -> UnitColumn {
    let mut alike = Alike::default();
    alike.find(parts.iter().map(|part| (&part.codes[..], part.hashes.len())), rows);
    let mut keys = Vec::new();
    let code = |row: &u32| {
        let words: Option<Vec<&str>> = parts.iter().map(|part| part.value(*row as usize)).collect();
        words.map_or(NO_UNIT, |words| {
            keys.push(words.join("|"));
            (keys.len() - 1) as u32
        })
    };
    let of_kind: Vec<u32> = alike.first.iter().map(code).collect();
    UnitColumn { codes: alike.of.iter().map(|kind| of_kind[*kind as usize]).collect(), keys }
}
