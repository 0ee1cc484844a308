//! One row of an archive file, taken apart.

use std::path::Path;
use std::sync::Arc;

use model::baseline::Baseline;
use model::{Backend, CpuBackend, Encoder, Scores, ViewExplanation, explain};
use store::{Source, TableFile};

use crate::error::ArchiveError;
use crate::evidence::{encode_rows, read_for_titles};
use crate::filter::Filter;
use crate::words::title;
use crate::{split, tables};

/// A row and every view of it.
#[derive(Debug, Clone)]
pub struct ExplainedRow {
    /// Table.
    pub table: String,
    /// Host, if known.
    pub host: String,
    /// Nanoseconds, UTC.
    pub time: i64,
    /// The row in words, if the table is one of ours.
    pub title: Option<String>,
    /// Bits of all views, in 1/1024.
    pub bits: u32,
    /// Rows like this are expected 1 in 2^(log2_n/1024).
    pub log2_n: u16,
    /// Views that apply, most bits first.
    pub views: Vec<ViewExplanation>,
}

/// Explains row `row` (from 0) of a file. Where fields depend on earlier rows, those of the file and of the files before it
/// in its hour, as they lie beside it, are read too.
///
/// # Errors
/// As for reading the file; and when the baseline knows no such table or the file has no such row.
pub fn explain_row(path: &Path, row: u64, baseline: &Baseline) -> Result<ExplainedRow, ArchiveError> {
    let file = TableFile::open(path)?;
    let no_lens = |why: String| ArchiveError::NoLens { path: path.into(), why };
    let table = &tables::table_of(&file, baseline.lenses())?;
    let snapshot = baseline.snapshot(table);
    let snapshot = snapshot.ok_or_else(|| no_lens(format!("the baseline knows no table {table}")))?;
    let batch = read_for_titles(&file, &snapshot, &[row])?;
    let encoder = Encoder::new(&snapshot.lens, baseline.hash_key());
    let before: Vec<Source> = split::before(path).into_iter().map(Source::file).collect();
    let before: Vec<&Source> = before.iter().collect();
    let encoded = encode_rows(&file, &before, &snapshot, encoder, (&batch, &[row]), &Filter::default())?;
    let none = || no_lens("it ends before the row".into());
    let (encoded, at) = encoded.into_iter().next().ok_or_else(none)?;
    let mut scores = Scores::default();
    CpuBackend::new(Arc::clone(&snapshot))
        .score(&encoded, &mut scores)
        .map_err(|source| ArchiveError::Backend { path: path.into(), source })?;
    let mut views = explain(&snapshot, &encoded, at);
    views.retain(|view| view.applies);
    views.sort_by_key(|view| (std::cmp::Reverse(view.bits), view.view));
    Ok(ExplainedRow {
        table: table.to_owned(),
        host: encoded.host.value(at).unwrap_or_default().to_owned(),
        time: encoded.time[at],
        title: title(table, &batch, 0),
        bits: scores.bits[at],
        log2_n: scores.log2_n[at],
        views,
    })
}
