//! The rows of an incident, read again whole: every cell that is not null, as text.

use std::collections::BTreeMap;

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampNanosecondType;
use arrow_array::{Array, RecordBatch};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use model::{Encoder, HashKey, Lens, View};
use store::{ArchiveFile, Finding, FindingReason, Form, StoreError, TableFile, Wanted};
use terminal::printable;

use super::RowLink;
use crate::archive::Archive;

/// Rows of an incident that are told; the most surprising of a larger one.
pub(super) const ROWS_MAX: usize = 400;
/// A cell is cut beyond so many characters.
const LONGEST: usize = 200;

/// One row.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fact {
    pub(crate) link: RowLink,
    pub(crate) table: String,
    pub(crate) time: i64,
    /// Bits it has in its finding; 0 of rows that only lead to it.
    pub(crate) bits: f32,
    /// Cells by column.
    pub(crate) cells: BTreeMap<String, String>,
    /// The argument list.
    pub(crate) args: Vec<String>,
    /// What each view of its lens asks about in it: `flags=-a`, by the view's name. Empty where that depends on earlier rows.
    pub(crate) asked: BTreeMap<String, String>,
}

impl Fact {
    /// A cell; empty if it is null or not there.
    pub(crate) fn get(&self, column: &str) -> &str {
        self.cells.get(column).map_or("", String::as_str)
    }

    /// Whether it is a row that a reason is about: it says the same where the reason's view looks. Where that is not known, its
    /// cells must be the values themselves.
    pub(crate) fn holds(&self, reason: &FindingReason) -> bool {
        if !self.asked.is_empty() {
            let is_it = |said: &String| match reason.child.strip_suffix('…') {
                Some(cut) => said.starts_with(cut),
                None => *said == reason.child,
            };
            return self.asked.get(&reason.view).is_some_and(is_it);
        }
        let mut pairs = reason.child.split(", ").filter_map(|pair| pair.split_once('=')).peekable();
        pairs.peek().is_some() && pairs.all(|(column, value)| !value.is_empty() && self.get(column) == value)
    }

    /// What it is one of, where several rows tell of the same: a connection has a row for its beginning and one for its end, a
    /// question one for its answer.
    pub(crate) fn event(&self) -> (&str, &str, &str, u64) {
        let (host, cookie) = (self.get("host"), self.get("cookie"));
        match (self.table.as_str(), cookie) {
            (events::CONNECTION, cookie) if !cookie.is_empty() => (host, cookie, "", 0),
            (events::DNS, cookie) if !cookie.is_empty() => (host, cookie, self.get("id"), 0),
            _ => ("", "", self.link.file.as_str(), self.link.row),
        }
    }

    /// The last name of a path.
    pub(crate) fn leaf(&self, column: &str) -> &str {
        self.get(column).rsplit('/').next().unwrap_or_default()
    }

    /// A cell as a number; 0 if it is none.
    pub(crate) fn number(&self, column: &str) -> f64 {
        self.get(column).parse().unwrap_or_default()
    }

    /// The arguments, joined by spaces.
    pub(crate) fn line(&self) -> String {
        self.args.join(" ")
    }
}

/// The rows of findings, in order of time. What cannot be read is noted in the archive.
pub(super) fn of_findings(findings: &[Finding], archive: &Archive, lenses: &[Lens]) -> Vec<Fact> {
    let mut wanted: Vec<(&str, u64, &str, f32)> = findings
        .iter()
        .flat_map(|finding| finding.rows.iter().map(|row| (row.file.as_str(), row.row, row.table.as_str(), row.bits)))
        .collect();
    wanted.sort_by(|a, b| b.3.total_cmp(&a.3).then_with(|| (a.0, a.1).cmp(&(b.0, b.1))));
    wanted.truncate(ROWS_MAX);
    wanted.sort_by(|a, b| (a.0, a.1).cmp(&(b.0, b.1)));
    wanted.dedup_by(|a, b| (a.0, a.1) == (b.0, b.1));
    let mut facts = Vec::new();
    for rows in wanted.chunk_by(|a, b| a.0 == b.0) {
        match read(archive, rows[0].0, rows[0].2, &rows.iter().map(|row| row.1).collect::<Vec<_>>(), lenses) {
            Ok(found) => facts.extend(found.into_iter().zip(rows).map(|(fact, row)| Fact { bits: row.3, ..fact })),
            Err(error) => archive.cannot_read(rows[0].0.into(), &error.to_string()),
        }
    }
    facts.sort_by(|a, b| a.time.cmp(&b.time).then_with(|| a.link.cmp(&b.link)));
    facts
}

/// Rows of a file, which must rise.
pub(super) fn read(
    archive: &Archive,
    path: &str,
    table: &str,
    rows: &[u64],
    lenses: &[Lens],
) -> Result<Vec<Fact>, StoreError> {
    let Some(source) = archive.source(path) else {
        let why = "it is not in the archive; --archive names the folder".to_owned();
        return Err(StoreError::Read { path: path.into(), why });
    };
    let own = [events::PROCESS, events::CONNECTION, events::DNS].contains(&table);
    let lens = lenses.iter().find(|lens| lens.table() == table);
    let (batch, time) = if own {
        let file = ArchiveFile::open_source(source)?;
        let columns: Vec<String> = file.schema().fields().iter().map(|field| field.name().clone()).collect();
        let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
        (file.read_rows(&columns, rows)?, "time".to_owned())
    } else {
        let Some(lens) = lens else {
            let why = format!("no lens for its table {table:?}; --baseline names the one it was scored with");
            return Err(StoreError::Read { path: path.into(), why });
        };
        (TableFile::open_source(source)?.read_rows(&wanted(lens), rows)?, lens.time_column().to_owned())
    };
    let mut asked = lens.map_or_else(Vec::new, |lens| asked(lens, &batch)).into_iter();
    let fact = |(at, row): (usize, &u64)| Fact {
        link: RowLink { file: path.to_owned(), row: *row },
        table: table.to_owned(),
        asked: asked.next().unwrap_or_default(),
        ..of_row(&batch, at, &time)
    };
    Ok(rows.iter().enumerate().map(fact).collect())
}

/// What the views of a lens ask about, row by row, as reasons say it. Nothing of a lens with fields that depend on earlier rows,
/// which are not read here.
fn asked(lens: &Lens, batch: &RecordBatch) -> Vec<BTreeMap<String, String>> {
    if lens.is_stateful() {
        return Vec::new();
    }
    let Ok(encoded) = Encoder::new(lens, &HashKey([0; 32])).encode(batch) else { return Vec::new() };
    let of_row = |row: usize| {
        let applies = lens.views().iter().filter(|view| view.class_mask >> encoded.class[row] & 1 == 1);
        let word = |field: &usize| format!("{}={}", lens.fields()[*field].name, encoded.fields[*field].text(row));
        let words = |view: &View| view.child.iter().map(word).collect::<Vec<_>>().join(", ");
        applies.map(|view| (view.name.clone(), printable(&words(view), usize::MAX))).collect()
    };
    (0..encoded.rows).map(of_row).collect()
}

fn wanted(lens: &Lens) -> Vec<Wanted> {
    let form = |column: &str| match column {
        _ if lens.reads_times(column) => Form::Time,
        _ if lens.reads_words(column) => Form::Words,
        _ => Form::Text,
    };
    let column = |column: &str| Wanted { column: column.to_owned(), form: form(column), required: false };
    lens.columns().into_iter().map(column).collect()
}

fn of_row(batch: &RecordBatch, row: usize, time: &str) -> Fact {
    let mut fact = Fact::default();
    let options = FormatOptions::new();
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        if column.is_null(row) {
            continue;
        }
        if let Some(list) = column.as_list_opt::<i32>()
            && let Some(words) = list.value(row).as_string_opt::<i32>()
        {
            fact.args = words.iter().map(|word| cut(word.unwrap_or_default())).collect();
        }
        let text = ArrayFormatter::try_new(column.as_ref(), &options).ok();
        let text = text.and_then(|cells| cells.value(row).try_to_string().ok()).unwrap_or_default();
        fact.cells.insert(field.name().clone(), cut(&text));
    }
    let times = batch.column_by_name(time).and_then(|column| column.as_primitive_opt::<TimestampNanosecondType>());
    fact.time = times.filter(|times| times.is_valid(row)).map_or(0, |times| times.value(row));
    fact
}

/// Cut to what a person reads, with what a terminal would obey made visible.
pub(super) fn cut(text: &str) -> String {
    let mut out = String::new();
    for (at, c) in text.chars().enumerate() {
        if at == LONGEST {
            out.push('…');
            break;
        }
        if c.is_control() { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out
}
