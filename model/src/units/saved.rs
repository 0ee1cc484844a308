//! Units as bytes, so that a run that was stopped can go on with them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{RowRef, TopRow, UnitTable};

/// A unit; kinds are by name, since their numbers are a table's own.
#[derive(Serialize, Deserialize)]
struct SavedUnit<'a> {
    kind: &'a str,
    key: &'a str,
    window: i64,
    window_ns: i64,
    #[serde(borrow)]
    rows: Vec<SavedRow<'a>>,
}

#[derive(Serialize, Deserialize)]
struct SavedRow<'a> {
    bits: u32,
    same: u64,
    file: &'a str,
    row: u64,
    table: &'a str,
    time: i64,
    host: &'a str,
}

impl UnitTable {
    /// All units, for [`UnitTable::merge_saved`].
    #[must_use]
    pub fn save(&self) -> Vec<u8> {
        let units = self.units.iter().map(|((kind, key, window), unit)| {
            let rows = unit.top.rows().iter().map(|row| SavedRow {
                bits: row.bits,
                same: row.same,
                file: &row.at.file,
                row: row.at.row,
                table: &row.at.table,
                time: row.time,
                host: &row.host,
            });
            let kind = self.rarity.kinds[*kind].name.as_str();
            SavedUnit { kind, key, window: *window, window_ns: unit.window_ns, rows: rows.collect() }
        });
        // Writing to memory does not fail, and lengths of vectors are known.
        postcard::to_stdvec(&units.collect::<Vec<_>>()).unwrap_or_default()
    }

    /// Adds units that a table for the same baseline has saved, as [`UnitTable::merge`] does. Kinds that this table does not
    /// know are left out.
    ///
    /// # Errors
    /// When these are no such bytes; then nothing is added.
    pub fn merge_saved(&mut self, saved: &[u8]) -> Result<(), postcard::Error> {
        let units: Vec<SavedUnit<'_>> = postcard::from_bytes(saved)?;
        for saved in units {
            let Some(kind) = self.rarity.kinds.iter().position(|kind| kind.name == saved.kind) else { continue };
            let unit = self.units.entry((kind, saved.key.to_owned(), saved.window)).or_default();
            unit.window_ns = unit.window_ns.max(saved.window_ns);
            for SavedRow { bits, same, file, row, table, time, host } in saved.rows {
                let at = RowRef { file: Arc::from(file), row, table: Arc::from(table) };
                let stage = self.rarity.stage(host);
                unit.top.insert(TopRow { bits, same, at, time, host: Arc::from(host), stage });
            }
        }
        Ok(())
    }
}
