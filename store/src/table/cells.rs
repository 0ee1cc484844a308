//! One row of a text file, and the columns that rows become.

use std::sync::Arc;

use arrow_array::builder::{ListBuilder, StringBuilder};
use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions, StringArray, TimestampNanosecondArray};
use arrow_schema::{Field, Schema};

use super::{Form, Wanted, time};

/// The values of one row, by number of the wanted column.
pub(super) struct Row(Vec<Cell>);

/// What a row has for a column: nothing, a text, or a list of them.
#[derive(Default)]
pub(super) struct Cell {
    text: String,
    /// Where each item of `text` ends.
    ends: Vec<usize>,
    is_list: bool,
    /// How deep the path was that gave it; a column of the very name is 0.
    depth: usize,
}

impl Row {
    pub(super) fn new(columns: usize) -> Self {
        Self((0..columns).map(|_| Cell::default()).collect())
    }

    pub(super) fn clear(&mut self) {
        for cell in &mut self.0 {
            cell.text.clear();
            cell.ends.clear();
            cell.is_list = false;
            cell.depth = usize::MAX;
        }
    }

    /// Sets a column, or in a list adds to it. What came by a shorter path stays.
    pub(super) fn put(&mut self, column: usize, depth: usize, in_list: bool, text: &str) {
        if let Some(cell) = self.at(column, depth, in_list) {
            cell.text.push_str(text);
            cell.ends.push(cell.text.len());
        }
    }

    /// Says that a column is a list, which may stay empty.
    pub(super) fn begin_list(&mut self, column: usize, depth: usize) {
        self.at(column, depth, true);
    }

    fn at(&mut self, column: usize, depth: usize, in_list: bool) -> Option<&mut Cell> {
        let cell = self.0.get_mut(column).filter(|cell| cell.depth >= depth)?;
        if cell.depth > depth || !in_list {
            cell.text.clear();
            cell.ends.clear();
        }
        (cell.depth, cell.is_list) = (depth, in_list);
        Some(cell)
    }
}

impl Cell {
    fn items(&self) -> impl Iterator<Item = &str> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.text[start..*end])
    }

    /// As one text; nothing if it is empty.
    fn joined(&self) -> Option<std::borrow::Cow<'_, str>> {
        match self.ends.len() {
            _ if self.text.is_empty() => None,
            1 => Some(self.text.as_str().into()),
            _ => Some(self.items().collect::<Vec<_>>().join(super::JOINED_BY).into()),
        }
    }
}

/// Rows that become a batch.
pub(super) struct Columns {
    wanted: Vec<Wanted>,
    values: Vec<Values>,
    rows: usize,
    bytes: usize,
}

enum Values {
    Text(StringBuilder),
    Time(Vec<Option<i64>>),
    /// Lists or texts, whichever comes first in the file; so many nulls before either.
    Undecided(usize),
    List(ListBuilder<StringBuilder>),
}

impl Columns {
    pub(super) fn new(wanted: &[Wanted]) -> Self {
        let of = |wanted: &Wanted| match wanted.form {
            Form::Time => Values::Time(Vec::new()),
            Form::Text => Values::Text(StringBuilder::new()),
            Form::Words => Values::Undecided(0),
        };
        Self { values: wanted.iter().map(of).collect(), wanted: wanted.to_vec(), rows: 0, bytes: 0 }
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes of the texts held.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds a row, or says why it cannot be one.
    pub(super) fn push(&mut self, row: &Row) -> Result<(), String> {
        for ((wanted, values), cell) in self.wanted.iter().zip(&mut self.values).zip(&row.0) {
            self.bytes += cell.text.len();
            values.push(wanted, cell)?;
        }
        self.rows += 1;
        Ok(())
    }

    /// The rows so far as a batch; whether a column is one of lists stays decided.
    pub(super) fn take(&mut self) -> Result<RecordBatch, String> {
        let rows = std::mem::take(&mut self.rows);
        self.bytes = 0;
        let arrays: Vec<ArrayRef> = self.values.iter_mut().map(Values::finish).collect();
        let fields = self.wanted.iter().zip(&arrays);
        let fields: Vec<Field> =
            fields.map(|(w, array)| Field::new(&w.column, array.data_type().clone(), true)).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options).map_err(|e| e.to_string())
    }
}

impl Values {
    fn push(&mut self, wanted: &Wanted, cell: &Cell) -> Result<(), String> {
        if let Self::Undecided(nulls) = self
            && !cell.ends.is_empty()
        {
            *self = Self::decided(*nulls, cell.is_list);
        }
        match self {
            Self::Text(_) if cell.is_list && !cell.ends.is_empty() && wanted.form == Form::Words => {
                return Err(format!("column {}: a list where the rows before have a text", wanted.column));
            }
            Self::Text(texts) => texts.append_option(cell.joined()),
            Self::Time(times) => times.push(Self::time(wanted, cell)?),
            Self::Undecided(nulls) => *nulls += 1,
            Self::List(lists) if cell.ends.is_empty() => lists.append_null(),
            Self::List(lists) if cell.is_list => lists.append_value(cell.items().map(Some)),
            Self::List(_) => {
                return Err(format!("column {}: a text where the rows before have a list", wanted.column));
            }
        }
        Ok(())
    }

    fn decided(nulls: usize, is_list: bool) -> Self {
        if is_list {
            let mut lists = ListBuilder::new(StringBuilder::new());
            (0..nulls).for_each(|_| lists.append_null());
            return Self::List(lists);
        }
        let mut texts = StringBuilder::new();
        texts.append_nulls(nulls);
        Self::Text(texts)
    }

    fn time(wanted: &Wanted, cell: &Cell) -> Result<Option<i64>, String> {
        match cell.joined() {
            None if wanted.required => Err(format!("column {}: no time", wanted.column)),
            None => Ok(None),
            Some(text) => match time::of_text(&text) {
                Err(why) => Err(format!("column {}: {}", wanted.column, time::no_time(&time::shorten(&text), why))),
                Ok(time) => Ok(Some(time)),
            },
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Text(texts) => Arc::new(texts.finish()),
            Self::Time(times) => Arc::new(TimestampNanosecondArray::from(std::mem::take(times))),
            Self::Undecided(nulls) => Arc::new(StringArray::new_null(std::mem::take(nulls))),
            Self::List(lists) => Arc::new(lists.finish()),
        }
    }
}
