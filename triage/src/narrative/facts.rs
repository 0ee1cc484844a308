//! The rows of an incident, read again whole: every cell that is not null, as text.

use std::collections::BTreeMap;

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampNanosecondType;
use arrow_array::{Array, RecordBatch};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use model::Lens;
use store::{ArchiveFile, Finding, Form, StoreError, TableFile, Wanted};

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
}

impl Fact {
    /// A cell; empty if it is null or not there.
    pub(crate) fn get(&self, column: &str) -> &str {
        self.cells.get(column).map_or("", String::as_str)
    }

    /// Whether its cells say the same as a reason does: `exe=/usr/bin/id, user=33`, of columns that it has.
    pub(crate) fn holds(&self, child: &str) -> bool {
        let mut pairs = child.split(", ").filter_map(|pair| pair.split_once('=')).peekable();
        pairs.peek().is_some() && pairs.all(|(column, value)| !value.is_empty() && self.get(column) == value)
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
    let fact = |(at, row): (usize, &u64)| Fact {
        link: RowLink { file: path.to_owned(), row: *row },
        table: table.to_owned(),
        ..of_row(&batch, at, &time)
    };
    Ok(rows.iter().enumerate().map(fact).collect())
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
