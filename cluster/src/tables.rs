//! Archive, scores and findings as tables of SQL: every row says its file and its number in it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, StringArray, UInt64Array, new_null_array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DataFusionError, Result};
use datafusion::datasource::TableType;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::ExecutionPlan;
use serde::{Deserialize, Serialize};
use store::{ArchiveFile, discover, findings_schema, read_findings, sidecar_schema};

use crate::read::ReadExec;

/// Rows of a batch.
const ROWS: usize = 8192;

/// What the rows of a table are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    /// Rows of a table of the archive.
    Rows,
    /// A score for each.
    Scores,
    /// Findings.
    Findings,
    /// Which rows belong to which finding.
    FindingRows,
}

/// A table: what it holds, and columns of the kind's own before those of its files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Spec {
    pub(crate) kind: Kind,
    /// The table of the archive; of others empty.
    pub(crate) table: String,
    /// A file that shows the columns of a table that is not Ebbline's own.
    pub(crate) sample: PathBuf,
}

impl Spec {
    /// The columns; those of a file that is not there are an error in words.
    pub(crate) fn schema(&self) -> Result<SchemaRef> {
        let own = |names: &[&str]| {
            let kind = |name: &&str| if *name == "row" { DataType::UInt64 } else { DataType::Utf8 };
            names.iter().map(|name| Arc::new(Field::new(*name, kind(name), false))).collect::<Vec<_>>()
        };
        let with = |names: &[&str], of_file: &SchemaRef| {
            let of_file = of_file.fields().iter().filter(|field| !names.contains(&field.name().as_str())).cloned();
            Arc::new(Schema::new(own(names).into_iter().chain(of_file).collect::<Vec<_>>()))
        };
        Ok(match (self.kind, self.table.as_str()) {
            (Kind::Rows, events::PROCESS) => with(&["file", "row"], &events::process_schema()),
            (Kind::Rows, events::CONNECTION) => with(&["file", "row"], &events::connection_schema()),
            (Kind::Rows, events::DNS) => with(&["file", "row"], &events::dns_schema()),
            (Kind::Rows, events::HEARTBEAT) => with(&["file", "row"], &events::heartbeat_schema()),
            (Kind::Rows, _) => {
                let file = ArchiveFile::open(&self.sample).map_err(|error| DataFusionError::External(error.into()))?;
                with(&["file", "row"], &Arc::new(file.schema().as_ref().clone().with_metadata(Default::default())))
            }
            (Kind::Scores, _) => with(&["baseline", "file", "row"], &sidecar_schema()),
            (Kind::Findings, _) => with(&["baseline"], &findings_schema()),
            (Kind::FindingRows, _) => Arc::new(Schema::new(own(&["baseline", "finding", "file", "row"]))),
        })
    }
}

/// A file of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) path: PathBuf,
    /// Path below the archive, which rows, scores and findings share.
    pub(crate) file: String,
    /// Id of the baseline; of rows empty.
    pub(crate) baseline: String,
}

/// A table of files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Table {
    pub(crate) spec: Spec,
    pub(crate) files: Vec<Entry>,
    /// Parts to read at a time.
    pub(crate) parts: usize,
}

#[async_trait]
impl TableProvider for Table {
    fn schema(&self) -> SchemaRef {
        // Looked at when the table was made.
        self.spec.schema().unwrap_or_else(|_| Arc::new(Schema::empty()))
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let external = |error: postcard::Error| DataFusionError::External(error.into());
        let schema = Arc::new(Schema::new(vec![Field::new("entry", DataType::Binary, false)]));
        let mut parts: Vec<Vec<Vec<u8>>> = vec![Vec::new(); self.parts.clamp(1, self.files.len().max(1))];
        for (number, entry) in self.files.iter().enumerate() {
            let at = number % parts.len();
            parts[at].push(postcard::to_stdvec(entry).map_err(external)?);
        }
        let batch = |entries: Vec<Vec<u8>>| {
            let bytes = datafusion::arrow::array::BinaryArray::from_iter_values(entries);
            Ok(vec![RecordBatch::try_new(schema.clone(), vec![Arc::new(bytes)])?])
        };
        let parts = parts.into_iter().map(batch).collect::<Result<Vec<_>>>()?;
        let entries = MemorySourceConfig::try_new_exec(&parts, schema.clone(), None)?;
        Ok(Arc::new(ReadExec::new(entries, self.spec.clone(), projection.cloned())?))
    }
}

/// The tables of an archive, by name: those that its folders name.
pub(crate) fn of_archive(folder: &Path) -> anyhow::Result<BTreeMap<String, Table>> {
    let mut tables: BTreeMap<String, Table> = BTreeMap::new();
    for source in discover(&[folder])? {
        let Some((table, _)) = source.relative.split_once('/') else { continue };
        let (path, file) = source.absolute();
        let spec = || Spec { kind: Kind::Rows, table: table.to_owned(), sample: path.clone() };
        let known =
            tables.entry(table.to_owned()).or_insert_with(|| Table { spec: spec(), files: Vec::new(), parts: 1 });
        known.files.push(Entry { path, file, baseline: String::new() });
    }
    Ok(tables)
}

/// `scores`, `findings` and `finding_rows` of a folder of results.
pub(crate) fn of_results(folder: &Path) -> anyhow::Result<BTreeMap<String, Table>> {
    let mut tables = BTreeMap::new();
    let kinds = [
        ("scores", "scores", Kind::Scores),
        ("findings", "findings", Kind::Findings),
        ("finding_rows", "findings", Kind::FindingRows),
    ];
    for (name, below, kind) in kinds {
        let mut files = Vec::new();
        for baseline in std::fs::read_dir(folder.join(below)).into_iter().flatten().flatten() {
            let (id, path) =
                (baseline.file_name().to_string_lossy().into_owned(), std::path::absolute(baseline.path())?);
            let found = match discover(&[&path]) {
                Err(store::StoreError::NothingFound(_)) => Vec::new(),
                found => found?,
            };
            files.extend(found.into_iter().map(|source| Entry {
                file: source.relative,
                path: source.path,
                baseline: id.clone(),
            }));
        }
        let spec = Spec { kind, table: String::new(), sample: PathBuf::new() };
        tables.insert(name.to_owned(), Table { spec, files, parts: 1 });
    }
    Ok(tables)
}

/// Hands the wanted columns of a file to `take`, batch by batch, until there are no more or it wants none.
pub(crate) fn read(
    spec: &Spec,
    wanted: &SchemaRef,
    entry: &Entry,
    take: &mut dyn FnMut(RecordBatch) -> bool,
) -> Result<()> {
    let external = |error: store::StoreError| DataFusionError::External(error.into());
    if spec.kind == Kind::FindingRows {
        let found = read_findings(&entry.path).map_err(external)?;
        take(finding_rows(wanted, entry, &found.findings)?);
        return Ok(());
    }
    let file = ArchiveFile::open(&entry.path).map_err(external)?;
    let own = match spec.kind {
        Kind::Rows => &["file", "row"][..],
        Kind::Scores => &["baseline", "file"],
        Kind::Findings | Kind::FindingRows => &["baseline"],
    };
    let has = |name: &&str| !own.contains(name) && file.schema().column_with_name(name).is_some();
    let columns: Vec<&str> = wanted.fields().iter().map(|field| field.name().as_str()).filter(has).collect();
    let mut first = 0;
    for batch in file.batches(&columns, ROWS).map_err(external)? {
        let batch = batch.map_err(external)?;
        let rows = batch.num_rows();
        let column = |field: &Arc<Field>| -> Result<ArrayRef> {
            let texts = |text: &str| -> ArrayRef { Arc::new(StringArray::from(vec![text; rows])) };
            Ok(match (field.name().as_str(), own.contains(&field.name().as_str())) {
                ("file", true) => texts(&entry.file),
                ("baseline", true) => texts(&entry.baseline),
                ("row", true) => Arc::new(UInt64Array::from_iter_values(first..first + rows as u64)),
                (name, _) => match batch.column_by_name(name) {
                    Some(column) => cast(column, field.data_type())?,
                    None => new_null_array(field.data_type(), rows),
                },
            })
        };
        let columns = wanted.fields().iter().map(column).collect::<Result<Vec<_>>>()?;
        if !take(of(wanted, columns, rows)?) {
            return Ok(());
        }
        first += rows as u64;
    }
    Ok(())
}

fn of(schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(schema.clone(), columns, &options)?)
}

fn finding_rows(wanted: &SchemaRef, entry: &Entry, findings: &[store::Finding]) -> Result<RecordBatch> {
    let all: Vec<(&str, &store::FindingRow)> =
        findings.iter().flat_map(|finding| finding.rows.iter().map(|row| (finding.id.as_str(), row))).collect();
    let column = |field: &Arc<Field>| -> ArrayRef {
        match field.name().as_str() {
            "finding" => Arc::new(StringArray::from_iter_values(all.iter().map(|(id, _)| id))),
            "file" => Arc::new(StringArray::from_iter_values(all.iter().map(|(_, row)| &row.file))),
            "row" => Arc::new(UInt64Array::from_iter_values(all.iter().map(|(_, row)| row.row))),
            _ => Arc::new(StringArray::from(vec![entry.baseline.as_str(); all.len()])),
        }
    };
    of(wanted, wanted.fields().iter().map(column).collect(), all.len())
}
