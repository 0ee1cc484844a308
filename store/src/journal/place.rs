//! Where rows will stand: decided when they are committed, and kept in their frame.

use std::sync::Arc;

use super::segment::Segment;
use super::{Journal, Part};
use crate::error::StoreError;
use crate::layout::{file_name, table_folder};
use crate::writer::{Placed, hour_runs};

/// What a commit will change, once its frame is written.
pub(super) struct Staged {
    /// For each part, where its rows will stand.
    pub(super) placed: Vec<Vec<Placed>>,
    /// For each part, its table's place in the options.
    pub(super) tables: Vec<usize>,
    /// Files that get their first rows, with their hours.
    pub(super) fresh: Vec<(Arc<str>, i64)>,
    pub(super) sequences: Vec<u32>,
    /// The latest hour of the rows.
    pub(super) newest: Option<i64>,
    /// Rows of each file after this: table, hour, path, rows.
    files: Vec<(usize, i64, Arc<str>, u64)>,
}

impl Journal {
    /// Places the rows of a frame in the files of a segment.
    pub(super) fn stage(&self, segment: &Segment, parts: &[Part<'_>]) -> Result<Staged, StoreError> {
        let files = segment.targets.iter().map(|t| (t.table, t.hour, t.relative.clone(), t.rows)).collect();
        let mut staged = Staged {
            placed: Vec::with_capacity(parts.len()),
            tables: Vec::with_capacity(parts.len()),
            fresh: Vec::new(),
            sequences: self.sequences.clone(),
            newest: None,
            files,
        };
        for part in parts {
            let refused = |why: String| StoreError::Write { path: segment.path.clone(), why };
            let table = self.table(part).map_err(refused)?;
            let runs = hour_runs(part.rows).map_err(refused)?;
            let placed = runs.into_iter().map(|(hour, time, offset, rows)| {
                let at = self.file_of(&mut staged, table, hour, time);
                let file = &mut staged.files[at];
                let run = Placed { relative: file.2.clone(), first_row: file.3, offset, rows };
                file.3 += rows as u64;
                staged.newest = staged.newest.max(Some(hour));
                run
            });
            let placed = placed.collect();
            staged.placed.push(placed);
            staged.tables.push(table);
        }
        Ok(staged)
    }

    /// A part must be of a table of the options.
    fn table(&self, part: &Part<'_>) -> Result<usize, String> {
        let known = self.options.tables.iter().position(|(table, _)| *table == part.table);
        let table = known.ok_or_else(|| format!("there is no table {}", part.table))?;
        if part.rows.schema().fields() != self.options.tables[table].1.fields() {
            return Err(format!("rows with other columns than those of table {}", part.table));
        }
        if !part.tags.is_empty() && part.tags.len() != part.rows.num_rows() {
            return Err(format!("{} tags for {} rows", part.tags.len(), part.rows.num_rows()));
        }
        Ok(table)
    }

    fn file_of(&self, staged: &mut Staged, table: usize, hour: i64, time: i64) -> usize {
        if let Some(known) = staged.files.iter().position(|file| file.0 == table && file.1 == hour) {
            return known;
        }
        let folder = table_folder(self.options.tables[table].0, time, &self.options.host);
        let relative: Arc<str> = loop {
            staged.sequences[table] = staged.sequences[table].wrapping_add(1);
            let relative = format!("{folder}/{}", file_name(time, staged.sequences[table]));
            let taken =
                self.promised.contains(relative.as_str()) || self.root.join(&relative).symlink_metadata().is_ok();
            if !taken {
                break relative.into();
            }
        };
        staged.fresh.push((relative.clone(), hour));
        staged.files.push((table, hour, relative, 0));
        staged.files.len() - 1
    }
}
