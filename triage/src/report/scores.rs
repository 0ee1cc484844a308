//! Scores of single rows, from the sidecars.

use std::collections::BTreeMap;
use std::path::Path;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, UInt64Type};
use rayon::prelude::*;
use serde::Serialize;
use store::{ArchiveFile, Source, StoreError};

use crate::archive::Archive;

const BATCH_ROWS: usize = 16_384;
/// More bits than this are counted together.
const MOST_BITS: usize = 127;

/// How many rows of a table got how many bits.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Scores {
    /// Table.
    pub table: String,
    /// Rows scored.
    pub rows: u64,
    /// At `i` those of at least i bits and less than i + 1; up to the last that is not 0.
    pub counts: Vec<u64>,
}

/// Where sidecars are.
pub(crate) struct Scored<'a> {
    pub(crate) out: &'a Path,
    pub(crate) baseline: Option<&'a str>,
}

impl Scored<'_> {
    /// Hands on two columns of the sidecar of a file, if it has one: row, and `column`.
    fn each(&self, source: &Source, column: &str, mut each: impl FnMut(u64, f32)) -> Result<bool, StoreError> {
        let Some(baseline) = self.baseline else { return Ok(false) };
        let path = store::sidecar_path(self.out, baseline, &source.relative);
        if !path.is_file() {
            return Ok(false);
        }
        for batch in ArchiveFile::open(&path)?.batches(&["row", column], BATCH_ROWS)? {
            let batch: RecordBatch = batch?;
            let rows = batch.column_by_name("row").and_then(|rows| rows.as_primitive_opt::<UInt64Type>());
            let values = batch.column_by_name(column).and_then(|values| values.as_primitive_opt::<Float32Type>());
            let Some((rows, values)) = rows.zip(values) else {
                return Err(StoreError::Read { path, why: format!("its columns row and {column} are no numbers") });
            };
            (0..batch.num_rows()).for_each(|at| each(rows.value(at), values.value(at)));
        }
        Ok(true)
    }

    /// How rare each row of a file is, 1 in 2^n; nothing for rows, or a file, that were not scored.
    pub(crate) fn log2_n(&self, source: &Source, rows: u64) -> Result<Vec<Option<f32>>, StoreError> {
        let mut all = vec![None; usize::try_from(rows).unwrap_or_default()];
        let scored = self.each(source, "log2_n", |row, log2_n| {
            if let Some(slot) = usize::try_from(row).ok().and_then(|row| all.get_mut(row)) {
                *slot = Some(log2_n);
            }
        })?;
        Ok(if scored { all } else { Vec::new() })
    }
}

/// Bits by table, in the order of their names.
pub(crate) fn scores(archive: &Archive, scored: &Scored<'_>) -> Vec<Scores> {
    let of_file = |source: &Source| -> Option<Scores> {
        let mut counts = vec![0u64; MOST_BITS + 1];
        let read = scored.each(source, "bits", |_, bits| counts[(bits.max(0.0) as usize).min(MOST_BITS)] += 1);
        match read {
            Ok(true) => Some(Scores { table: table_of(source), rows: counts.iter().sum(), counts }),
            Ok(false) => None,
            Err(error) => {
                archive.cannot_read(source.path.clone(), &error.to_string());
                None
            }
        }
    };
    let all: Vec<Scores> = archive.sources().par_iter().filter_map(of_file).collect();
    let mut by_table: BTreeMap<String, Scores> = BTreeMap::new();
    for one in all {
        let sum = by_table.entry(one.table.clone()).or_insert_with(|| Scores { table: one.table, ..Scores::default() });
        sum.rows += one.rows;
        sum.counts.resize(MOST_BITS + 1, 0);
        sum.counts.iter_mut().zip(&one.counts).for_each(|(sum, one)| *sum += one);
    }
    let mut all: Vec<Scores> = by_table.into_values().collect();
    for one in &mut all {
        let used = one.counts.iter().rposition(|count| *count > 0).map_or(0, |last| last + 1);
        one.counts.truncate(used);
    }
    all
}

/// By the layout; files of other programs are called by what they say, or by their folder.
fn table_of(source: &Source) -> String {
    if let Some((folder, _)) = source.relative.split_once("/day=") {
        return folder.rsplit('/').next().unwrap_or(folder).to_owned();
    }
    let said = ArchiveFile::open_source(source).ok().and_then(|file| file.table().map(str::to_owned));
    said.unwrap_or_else(|| "other tables".to_owned())
}
