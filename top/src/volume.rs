//! Rows of an archive by table and hour, from the footers of its files alone: a file never reaches over an hour.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use store::ArchiveFile;

/// Hours that are shown.
pub const HOURS: usize = 48;
/// Files of which the rows are remembered; of larger archives those of the last hours are.
const FILES: usize = 100_000;

/// Rows by hour.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Volume {
    /// The last hour, hours since 1970, UTC.
    pub last_hour: i64,
    /// By table: rows of each of the last [`HOURS`] hours, the first first.
    pub tables: BTreeMap<String, Vec<u64>>,
    /// Files of these hours that cannot be read.
    pub unread: u64,
}

/// What was read of files so far.
#[derive(Debug, Default)]
pub(crate) struct Footers(HashMap<PathBuf, Option<u64>>);

/// The table and the hour of a file of the layout `TABLE/day=…/host=…/20261121T140000Z-000001.parquet`.
fn place(relative: &str) -> Option<(&str, i64)> {
    let (table, rest) = relative.split_once("/day=")?;
    let name = rest.rsplit('/').next()?;
    let text = name.get(..16)?;
    let (day, time) = (text.get(..8)?, text.get(9..15)?);
    let part = |text: &str, from: usize| text.get(from..from + 2).map(str::to_owned);
    let date = format!("{}-{}-{}", day.get(..4)?, part(day, 4)?, part(day, 6)?);
    let clock = format!("{}:{}:{}", part(time, 0)?, part(time, 2)?, part(time, 4)?);
    let time = store::from_rfc3339(&format!("{date}T{clock}Z"))?;
    Some((table.rsplit('/').next().unwrap_or(table), store::hour_of(time)))
}

impl Footers {
    /// The rows of an archive's last hours. Only files that came since are opened.
    pub(crate) fn volume(&mut self, archives: &[PathBuf]) -> Volume {
        let sources = store::discover(archives).unwrap_or_default();
        let placed: Vec<_> = sources.iter().filter_map(|source| Some((source, place(&source.relative)?))).collect();
        let Some(last_hour) = placed.iter().map(|(_, (_, hour))| *hour).max() else { return Volume::default() };
        let mut volume = Volume { last_hour, ..Volume::default() };
        if self.0.len() > FILES {
            self.0.clear();
        }
        for (source, (table, hour)) in placed {
            let back = last_hour.abs_diff(hour) as usize;
            if table == events::HEARTBEAT || back >= HOURS {
                continue;
            }
            let read = || ArchiveFile::open(&source.path).ok().map(|file| file.rows());
            match *self.0.entry(source.path.clone()).or_insert_with(read) {
                Some(rows) => {
                    let hours = volume.tables.entry(table.to_owned()).or_insert_with(|| vec![0; HOURS]);
                    let sum = &mut hours[HOURS - 1 - back];
                    *sum = sum.saturating_add(rows);
                }
                None => volume.unread += 1,
            }
        }
        volume
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_table_and_hour() {
        let hour = store::hour_of(store::from_rfc3339("2026-11-21T14:59:59Z").unwrap());
        assert_eq!(place("dns/day=2026-11-21/host=a/20261121T145959Z-000001.parquet"), Some(("dns", hour)));
        assert_eq!(place("x/process/day=2026-11-21/host=a/20261121T140000Z-1.parquet"), Some(("process", hour)));
        for odd in ["", "dns/day=", "dns/day=1/host=a/é0261121T140000Z.parquet", "a/b.parquet"] {
            assert_eq!(place(odd), None, "{odd}");
        }
    }
}
