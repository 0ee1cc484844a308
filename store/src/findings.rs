//! Findings: one row per unit over the line, with its evidence (`docs/contracts.md` §4).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use sha2::{Digest, Sha256};

use crate::error::StoreError;
use crate::properties::{ROW_GROUP_ROWS, properties};
use crate::read::ArchiveFile;
use crate::whole::{WholeFile, complete, hex, make_folders};
use crate::{META_BASELINE, META_EXPECTED, META_SCHEMA_VERSION};

mod columns;

/// Findings decoded at a time: each has reasons and rows.
const BATCH_ROWS: usize = 1024;

/// A unit over the line. Bits are exact multiples of 1/1024.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Finding {
    /// Stable id, see [`finding_id`].
    pub id: String,
    /// Host.
    pub host: String,
    /// Kind of the unit, from the lens.
    pub unit_kind: String,
    /// Key of the unit as text.
    pub unit_key: String,
    /// Start of the unit's window, nanoseconds, UTC.
    pub window: i64,
    /// Time of its most surprising row, nanoseconds, UTC.
    pub time: i64,
    /// That row in words.
    pub title: String,
    /// Sum over the unit's few most surprising rows.
    pub bits: f32,
    /// Units like this are expected 1 in 2^log2_n.
    pub log2_n: f32,
    /// Why, most bits first.
    pub reasons: Vec<FindingReason>,
    /// The rows, most bits first.
    pub rows: Vec<FindingRow>,
    /// Response taken (reserved).
    pub action: Option<String>,
}

/// One reason: what was seen (child) under what (context), and the counts of the level that cost most.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FindingReason {
    /// View.
    pub view: String,
    /// What was seen.
    pub child: String,
    /// Under what.
    pub context: String,
    /// Whose habits: `host` or `fleet`.
    pub scope: String,
    /// Times the child was seen in the context.
    pub n: u32,
    /// Times anything was seen in the context.
    pub total: u32,
    /// Distinct things seen in the context.
    pub distinct: u32,
    /// Calibrated bits.
    pub bits: f32,
}

/// One row of the evidence.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FindingRow {
    /// Path relative to the archive.
    pub file: String,
    /// Row in it.
    pub row: u64,
    /// Table.
    pub table: String,
    /// Bits of the row.
    pub bits: f32,
}

/// Findings read back, with where they come from.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredFindings {
    /// Baseline id from the footer, empty if it has none.
    pub baseline: String,
    /// The findings.
    pub findings: Vec<Finding>,
}

/// The stable id of a unit: the first 16 hex digits of SHA-256 over baseline, kind, key and window.
#[must_use]
pub fn finding_id(baseline: &str, kind: &str, key: &str, window: i64) -> String {
    let mut hash = Sha256::new();
    for text in [baseline, kind, key] {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    }
    hash.update(window.to_le_bytes());
    hex(&hash.finalize()[..8])
}

/// The schema of a findings file.
#[must_use]
pub fn findings_schema() -> SchemaRef {
    let required = |name: &str, kind: DataType| Field::new(name, kind, false);
    let list = |fields: Fields| DataType::List(Arc::new(Field::new_list_field(DataType::Struct(fields), false)));
    Arc::new(Schema::new(vec![
        required("id", DataType::Utf8),
        required("host", events::dictionary()),
        required("unit_kind", events::dictionary()),
        required("unit_key", DataType::Utf8),
        required("window", events::timestamp()),
        required("time", events::timestamp()),
        required("title", DataType::Utf8),
        required("bits", DataType::Float32),
        required("log2_n", DataType::Float32),
        required("reasons", list(columns::reason_fields())),
        required("rows", list(columns::row_fields())),
        Field::new("action", DataType::Utf8, true),
    ]))
}

/// Writes `OUT/findings/BASELINE/NAME.parquet`, replacing one of that name; `expected` is how many false ones are expected
/// a day. Returns its path.
///
/// # Errors
/// [`StoreError::Write`] naming the path; nothing is left behind.
pub fn write_findings(
    out: &Path,
    baseline: &str,
    name: &str,
    findings: &[Finding],
    expected: Option<f64>,
) -> Result<PathBuf, StoreError> {
    let folder = make_folders(out, &Path::new("findings").join(baseline))?;
    let path = folder.join(format!("{name}.parquet"));
    let schema = findings_schema();
    let batch = columns::to_batch(&schema, findings)
        .map_err(|e| StoreError::Write { path: path.clone(), why: e.to_string() })?;
    let version = events::SCHEMA_VERSION.to_string();
    let expected = expected.map(|n| n.to_string());
    let mut meta = vec![(META_SCHEMA_VERSION, version.as_str()), (META_BASELINE, baseline)];
    meta.extend(expected.as_ref().map(|n| (META_EXPECTED, n.as_str())));
    let properties = properties(&schema, ROW_GROUP_ROWS, &meta);
    let whole = WholeFile::replace(&path).map_err(|e| StoreError::write(&path, &e))?;
    let write = |whole| {
        let mut parquet = ArrowWriter::try_new(whole, schema.clone(), Some(properties))?;
        parquet.write(&batch)?;
        Ok(parquet)
    };
    complete(write(whole).map_err(|e| StoreError::write_parquet(&path, &e))?)?;
    Ok(path)
}

/// The findings of one file, in its order.
///
/// # Errors
/// As [`ArchiveFile::open`], and when a column is missing or of another type.
pub fn read_findings(path: &Path) -> Result<StoredFindings, StoreError> {
    let mut findings = Vec::new();
    let baseline = each_finding(path, |finding| findings.push(finding))?;
    Ok(StoredFindings { baseline, findings })
}

/// Hands on the findings of one file, in its order, some at a time. Returns the baseline id from the footer, empty if it has
/// none.
///
/// # Errors
/// As for [`read_findings`].
pub fn each_finding(path: &Path, mut each: impl FnMut(Finding)) -> Result<String, StoreError> {
    let file = ArchiveFile::open(path)?;
    let schema = findings_schema();
    check_schema(&file, &schema, "findings")?;
    let names: Vec<_> = schema.fields().iter().map(|f| f.name().as_str()).collect();
    for batch in file.batches(&names, BATCH_ROWS)? {
        let mut some = Vec::new();
        columns::from_batch(&batch?, &mut some).map_err(|why| StoreError::damaged(path, why))?;
        some.into_iter().for_each(&mut each);
    }
    Ok(file.footer(META_BASELINE).unwrap_or_default())
}

/// Every finding below the folder `out`, most surprising first. Of findings with one id the one in the file that was
/// written last counts.
///
/// # Errors
/// When there is no findings folder, or a file in it cannot be read.
pub fn read_all_findings(out: &Path) -> Result<Vec<Finding>, StoreError> {
    let mut findings: Vec<Finding> = findings_by_baseline(out)?.into_values().flatten().collect();
    findings
        .sort_by(|a, b| b.log2_n.total_cmp(&a.log2_n).then(b.bits.total_cmp(&a.bits)).then_with(|| a.id.cmp(&b.id)));
    Ok(findings)
}

/// The same by the id of the baseline that they were found with, each in the order of ids.
///
/// # Errors
/// As for [`read_all_findings`].
pub fn findings_by_baseline(out: &Path) -> Result<BTreeMap<String, Vec<Finding>>, StoreError> {
    let mut latest = BTreeMap::new();
    for path in findings_files(out)? {
        let StoredFindings { baseline, findings } = read_findings(&path)?;
        latest.extend(findings.into_iter().map(|finding| (finding.id.clone(), (baseline.clone(), finding))));
    }
    let mut sorted: BTreeMap<String, Vec<Finding>> = BTreeMap::new();
    for (baseline, finding) in latest.into_values() {
        sorted.entry(baseline).or_default().push(finding);
    }
    Ok(sorted)
}

/// How many false findings a day the file that was written last expects; `None` if it does not say.
///
/// # Errors
/// When there is no findings folder, or that file cannot be read.
pub fn expected_per_day(out: &Path) -> Result<Option<f64>, StoreError> {
    let Some(last) = findings_files(out)?.pop() else { return Ok(None) };
    Ok(ArchiveFile::open(&last)?.footer(META_EXPECTED).and_then(|n| n.parse().ok()))
}

/// Findings files below `out`, oldest first: of findings with one id the last counts.
///
/// # Errors
/// When there is no findings folder, or it cannot be listed.
pub fn findings_files(out: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let root = out.join("findings");
    if !root.is_dir() {
        let why = "no folder findings in it; name the folder that was given to --out".to_owned();
        return Err(StoreError::Read { path: out.into(), why });
    }
    let mut files = Vec::new();
    for baseline in listing(&root)? {
        for path in if baseline.is_dir() { listing(&baseline)? } else { Vec::new() } {
            if path.extension().is_some_and(|ext| ext == "parquet") {
                let meta = path.metadata().map_err(|e| StoreError::read(&path, &e))?;
                files.push((meta.modified().map_err(|e| StoreError::read(&path, &e))?, path));
            }
        }
    }
    files.sort();
    Ok(files.into_iter().map(|(_, path)| path).collect())
}

fn listing(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let error = |e: std::io::Error| StoreError::read(folder, &e);
    std::fs::read_dir(folder).map_err(error)?.map(|entry| entry.map(|e| e.path()).map_err(error)).collect()
}

/// A file must have the columns of `wanted`, with their types.
pub(crate) fn check_schema(file: &ArchiveFile, wanted: &Schema, table: &str) -> Result<(), StoreError> {
    for field in wanted.fields() {
        let path = file.path().to_path_buf();
        let (column, table) = (field.name().clone(), table.to_owned());
        let Ok(found) = file.schema().field_with_name(field.name()) else {
            return Err(StoreError::MissingColumn { path, column, table });
        };
        if found.data_type() != field.data_type() {
            let (found, wanted) = (found.data_type().to_string(), field.data_type().to_string());
            return Err(StoreError::WrongType { path, column, found, wanted, table });
        }
    }
    Ok(())
}
