//! How rare single rows are, by their sidecars: bits of rows of different tables do not compare, rarities do.

use std::path::PathBuf;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, UInt64Type};
use store::{ArchiveFile, FindingRow};

use crate::run::Options;

const BATCH_ROWS: usize = 16_384;

/// The sidecars of a folder of results.
#[derive(Debug, Clone, Default)]
pub struct Rarity {
    out: PathBuf,
    /// Baselines that something was scored against.
    baselines: Vec<String>,
}

impl Rarity {
    /// Looks which baselines have scores in the folder; without any every row's rarity is unknown.
    #[must_use]
    pub fn of(options: &Options) -> Self {
        let entries = std::fs::read_dir(options.out.join("scores")).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let fits = |name: &String| options.baseline.as_ref().is_none_or(|id| id == name);
        let mut baselines: Vec<String> = names.filter(fits).collect();
        baselines.sort_unstable();
        Self { out: options.out.clone(), baselines }
    }

    /// The rarest of the rows that findings name, of equals that with the most bits, then the first. Where the sidecar of one is
    /// gone, bits alone decide.
    #[must_use]
    pub fn rarest<'a>(&self, rows: impl IntoIterator<Item = &'a FindingRow>) -> Option<&'a FindingRow> {
        // Rows of one file have one calibration: there more bits are never less rare.
        let mut best: Vec<&FindingRow> = Vec::new();
        for row in rows {
            match best.iter_mut().find(|known| known.file == row.file) {
                Some(known) if known.bits < row.bits => *known = row,
                Some(_) => {}
                None => best.push(row),
            }
        }
        let rarities: Option<Vec<f32>> = best.iter().map(|row| self.log2_n(row)).collect();
        let rarities = rarities.unwrap_or_else(|| vec![0.0; best.len()]);
        let all = best.into_iter().zip(rarities).rev();
        all.max_by(|a, b| a.1.total_cmp(&b.1).then(a.0.bits.total_cmp(&b.0.bits))).map(|(row, _)| row)
    }

    /// A row's rarity, 1 in 2^n; of several baselines' that by which it has its bits.
    fn log2_n(&self, row: &FindingRow) -> Option<f32> {
        let found: Vec<(f32, f32)> =
            self.baselines.iter().filter_map(|baseline| self.in_sidecar(baseline, row)).collect();
        found.iter().find(|(bits, _)| *bits == row.bits).or(found.last()).map(|(_, log2_n)| *log2_n)
    }

    /// Bits and rarity in the sidecar of a baseline.
    fn in_sidecar(&self, baseline: &str, row: &FindingRow) -> Option<(f32, f32)> {
        let file = ArchiveFile::open(&store::sidecar_path(&self.out, baseline, &row.file)).ok()?;
        let columns = ["row", "bits", "log2_n"];
        let at_its_place = (row.row < file.rows()).then(|| file.read_rows(&columns, &[row.row]).ok()).flatten();
        at_its_place.and_then(|batch| cells(&batch, row.row)).or_else(|| {
            // After a filter rows are nearer to the beginning than their numbers say.
            let mut batches = file.batches(&columns, BATCH_ROWS).ok()?;
            batches.find_map(|batch| cells(&batch.ok()?, row.row))
        })
    }
}

fn cells(batch: &arrow_array::RecordBatch, row: u64) -> Option<(f32, f32)> {
    let rows = batch.column_by_name("row")?.as_primitive_opt::<UInt64Type>()?;
    let floats = |name: &str| batch.column_by_name(name)?.as_primitive_opt::<Float32Type>();
    let at = rows.values().binary_search(&row).ok()?;
    Some((floats("bits")?.value(at), floats("log2_n")?.value(at)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use store::SidecarWriter;

    /// A sidecar with rows of bits and rarity, numbered from `first`.
    fn sidecar(out: &std::path::Path, baseline: &str, file: &str, first: u64, rows: &[(u32, u16)]) {
        let mut writer = SidecarWriter::create(out, baseline, file, &["v"]).unwrap();
        let (bits, log2_n): (Vec<u32>, Vec<u16>) = rows.iter().copied().unzip();
        writer.append_numbered(|row| first + row as u64, &bits, &log2_n, |_, _| None).unwrap();
        writer.finish("digest").unwrap();
    }

    fn row(file: &str, row: u64, bits: f32) -> FindingRow {
        FindingRow { file: file.into(), row, table: "t".into(), bits }
    }

    #[test]
    fn the_rarest_row_is_not_the_one_with_the_most_bits() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path();
        let options = Options { out: out.into(), ..Options::default() };
        // 40 bits are 1 in 2^9 in one table, and 20 bits 1 in 2^15 in the other.
        sidecar(out, "b", "process/x.parquet", 0, &[(0, 0), (40 << 10, 9 << 10)]);
        sidecar(out, "b", "dns/x.parquet", 7, &[(20 << 10, 15 << 10), (1, 1)]);
        let rows = [row("process/x.parquet", 1, 40.0), row("process/x.parquet", 0, 0.0), row("dns/x.parquet", 7, 20.0)];
        assert_eq!(Rarity::of(&options).rarest(&rows), Some(&rows[2]));
        assert_eq!(Rarity::of(&options).rarest(&rows[..2]), Some(&rows[0]));
        // As rare: bits decide. Unknown: too.
        sidecar(out, "b", "dns/x.parquet", 7, &[(20 << 10, 9 << 10)]);
        assert_eq!(Rarity::of(&options).rarest(&rows), Some(&rows[0]));
        let gone = [rows[2].clone(), row("process/gone.parquet", 3, 21.0)];
        assert_eq!(Rarity::of(&options).rarest(&gone), Some(&gone[1]));
        assert_eq!(Rarity::of(&Options::default()).rarest(&[]), None);
    }

    #[test]
    fn of_several_baselines_that_counts_by_which_a_row_has_its_bits() {
        let folder = tempfile::tempdir().unwrap();
        let options = Options { out: folder.path().into(), ..Options::default() };
        sidecar(folder.path(), "a", "x.parquet", 0, &[(8 << 10, 3 << 10)]);
        sidecar(folder.path(), "b", "x.parquet", 0, &[(9 << 10, 12 << 10)]);
        sidecar(folder.path(), "a", "y.parquet", 0, &[(30 << 10, 6 << 10)]);
        let rows = [row("x.parquet", 0, 8.0), row("y.parquet", 0, 30.0)];
        assert_eq!(Rarity::of(&options).rarest(&rows), Some(&rows[1]));
        let other = [row("x.parquet", 0, 9.0), rows[1].clone()];
        assert_eq!(Rarity::of(&options).rarest(&other), Some(&other[0]));
    }
}
