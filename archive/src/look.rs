//! What a lens sees in a file, and a first lens for one.

use std::path::Path;

use model::lens_check::{Check, Sight};
use model::lens_suggest::{DRAFT_ROWS, Suggested, suggest};
use model::nearest::nearest;
use model::{Lens, builtin};
use store::{Form, Format, TableFile, Wanted};

use crate::SCORE_ROWS;
use crate::error::ArchiveError;
use crate::tables::wanted;

/// Rows that a check looks at.
pub const CHECK_ROWS: u64 = 200_000;
/// Columns that are listed where one is missing.
const LISTED: usize = 16;
/// Rows of a batch while a draft is made, and for finding out whether a column holds times.
const DRAFT_BATCH: usize = 4_096;

/// What a lens sees in the first 200,000 rows of a file.
///
/// # Errors
/// When the lens cannot read it; every column that is missing is named, with the nearest one that is there.
pub fn check_lens(path: &Path, lens: &Lens) -> Result<Sight, ArchiveError> {
    let file = TableFile::open(path)?;
    let known: Vec<&str> = file.columns().iter().map(String::as_str).collect();
    let missing = lens.columns().into_iter().filter(|column| !file.has(column));
    let missing: Vec<&str> = missing.collect();
    // In JSON lines keys come and go, so that a column that is not there is one of nulls.
    let optional = file.format() == Format::JsonLines && !missing.contains(&lens.time_column());
    let words = unknown(&missing, &known);
    if !missing.is_empty() && !optional {
        return Err(ArchiveError::Encode { path: path.into(), why: words.join("; ") });
    }
    let (mut check, mut rows) = (Check::new(lens), 0);
    for batch in file.batches(&wanted(lens), SCORE_ROWS)? {
        let batch = batch?;
        check.add(&batch).map_err(|e| ArchiveError::encode(path, &e))?;
        rows += batch.num_rows() as u64;
        if rows >= CHECK_ROWS {
            break;
        }
    }
    let mut sight = check.finish();
    sight.warnings.splice(0..0, words);
    if sight.rows == 0 {
        sight.warnings.push("the table has no rows".to_owned());
    }
    Ok(sight)
}

/// Columns that a file lacks, each with the nearest it has; those that it has are listed once, behind the last.
fn unknown(missing: &[&str], known: &[&str]) -> Vec<String> {
    let word = |column: &&str| match nearest(column, known.iter().copied()) {
        Some(near) => format!("no column {column:?}; did you mean {near:?}?"),
        None => format!("no column {column:?}"),
    };
    let mut words: Vec<String> = missing.iter().map(word).collect();
    if let Some(last) = words.last_mut()
        && !known.is_empty()
    {
        let more = if known.len() > LISTED { ", …" } else { "" };
        let list = known[..known.len().min(LISTED)].join(", ");
        last.push_str(&format!("; there are {list}{more}"));
    }
    words
}

/// A first lens for a file, as TOML with comments, from its first 20,000 rows.
///
/// # Errors
/// When the file cannot be read, is of one of Ebbline's own tables, or has nothing that a lens could be made of.
pub fn suggest_lens(path: &Path) -> Result<Suggested, ArchiveError> {
    let file = TableFile::open(path)?;
    let none = |why: String| ArchiveError::NoLens { path: path.into(), why };
    if let Some(own) = file.table().filter(|table| is_own(table)) {
        return Err(none(format!("it holds Ebbline's own table {own}; see its lens with: ebbline lens show {own}")));
    }
    let column = |name: &str, form| Wanted { column: name.to_owned(), form, required: form == Form::Time };
    let columns: Vec<Wanted> = file.columns().iter().map(|name| column(name, Form::Text)).collect();
    let (mut batches, mut rows) = (Vec::new(), 0);
    for batch in file.batches(&columns, DRAFT_BATCH)? {
        let batch = batch?;
        rows += batch.num_rows();
        batches.push(batch);
        if rows >= DRAFT_ROWS {
            break;
        }
    }
    let is_time = |name: &str| {
        let first = file.batches(&[column(name, Form::Time)], DRAFT_BATCH).ok().and_then(|mut batches| batches.next());
        first.is_some_and(|batch| batch.is_ok())
    };
    suggest(&table_name(path), &batches, &is_time).map_err(|error| none(error.to_string()))
}

/// Whether Ebbline writes such a table itself.
fn is_own(table: &str) -> bool {
    table == events::HEARTBEAT || builtin::for_table(table).is_some()
}

/// A name for the table of a file: that of the file, unless Ebbline has such a table.
fn table_name(path: &Path) -> String {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("table");
    let stem = name.trim_start_matches('.').split('.').next().unwrap_or("table");
    let plain: String =
        stem.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' }).collect();
    let plain = plain.trim_matches('_');
    match plain {
        "" => "table".to_owned(),
        own if is_own(own) => format!("my_{own}"),
        plain => plain.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_named_after_their_files() {
        let name = |path: &str| table_name(Path::new(path));
        assert_eq!(name("logs/Web Access-2026.csv.gz"), "web_access_2026");
        assert_eq!((name("dns.jsonl").as_str(), name("é.csv").as_str()), ("my_dns", "table"));
    }
}
