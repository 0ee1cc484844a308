//! One row of an archive file, taken apart.

use std::path::Path;
use std::sync::Arc;

use model::baseline::Baseline;
use model::{Backend, CpuBackend, Encoder, Scores, ViewExplanation, explain};
use store::ArchiveFile;

use crate::error::ArchiveError;
use crate::evidence::read_for_titles;
use crate::words::title;

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

/// Explains row `row` (from 0) of a file.
///
/// # Errors
/// As for reading the file; and when the baseline knows no such table or the file has no such row.
pub fn explain_row(path: &Path, row: u64, baseline: &Baseline) -> Result<ExplainedRow, ArchiveError> {
    let file = ArchiveFile::open(path)?;
    let no_lens = |why: String| ArchiveError::NoLens { path: path.into(), why };
    let table = file.table().ok_or_else(|| no_lens("its footer names no table and its columns fit none".into()))?;
    let snapshot = baseline.snapshot(table).ok_or_else(|| no_lens(format!("the baseline knows no table {table}")))?;
    let batch = read_for_titles(&file, &snapshot, &[row])?;
    let encoded =
        Encoder::new(&snapshot.lens, baseline.hash_key()).encode(&batch).map_err(|e| ArchiveError::encode(path, &e))?;
    let mut scores = Scores::default();
    CpuBackend::new(Arc::clone(&snapshot))
        .score(&encoded, &mut scores)
        .map_err(|source| ArchiveError::Backend { path: path.into(), source })?;
    let mut views = explain(&snapshot, &encoded, 0);
    views.retain(|view| view.applies);
    views.sort_by_key(|view| (std::cmp::Reverse(view.bits), view.view));
    Ok(ExplainedRow {
        table: table.to_owned(),
        host: encoded.host.value(0).unwrap_or_default().to_owned(),
        time: encoded.time[0],
        title: title(table, &batch, 0),
        bits: scores.bits[0],
        log2_n: scores.log2_n[0],
        views,
    })
}
