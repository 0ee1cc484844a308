//! Incidents: findings that are one story (`docs/contracts.md` §10).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use sha2::{Digest, Sha256};

use crate::META_SCHEMA_VERSION;
use crate::error::StoreError;
use crate::findings::check_schema;
use crate::properties::{ROW_GROUP_ROWS, properties};
use crate::read::ArchiveFile;
use crate::whole::{WholeFile, complete, hex, make_folders};

mod columns;

/// Rows encoded at a time: an incident can have many findings.
const BATCH_ROWS: usize = 4096;

/// Findings that are one story.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Incident {
    /// Stable id, see [`incident_id`].
    pub id: String,
    /// Ids that it had before, or that grew into it.
    pub aliases: Vec<String>,
    /// Start of the window of its anchor, nanoseconds, UTC.
    pub anchor: i64,
    /// Earliest time of its findings.
    pub first: i64,
    /// Latest time of its findings.
    pub last: i64,
    /// Its hosts, sorted.
    pub hosts: Vec<String>,
    /// Title of its rarest finding.
    pub title: String,
    /// Bits of its path.
    pub bits: f32,
    /// Its rarest finding is 1 in 2^log2_n.
    pub log2_n: f32,
    /// Units, and trees that only join others.
    pub steps: u32,
    /// Host of the process that everything else comes from.
    pub root_host: Option<String>,
    /// Key of that process.
    pub root_key: Option<String>,
    /// Ids of its findings, by window.
    pub findings: Vec<String>,
    /// What joined them.
    pub links: Vec<IncidentLink>,
}

/// What joined two findings.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct IncidentLink {
    /// Id of the earlier finding.
    pub from: String,
    /// Id of the later one.
    pub to: String,
    /// `unit`, `lineage`, `destination`, `name`, `user` or `before`.
    pub kind: String,
    /// What they share, in words.
    pub value: String,
    /// Process trees that had it by then; 0 where no rarity is needed.
    pub seen: u32,
    /// Of so many.
    pub of: u64,
}

/// The id of an incident: the first 12 hex digits of SHA-256 over kind, key and window of its anchor.
#[must_use]
pub fn incident_id(kind: &str, key: &str, window: i64) -> String {
    let mut hash = Sha256::new();
    for text in [kind, key] {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    }
    hash.update(window.to_le_bytes());
    hex(&hash.finalize()[..6])
}

/// Where the incidents of a folder of results are: of all baselines, or of one.
#[must_use]
pub fn incidents_path(out: &Path, baseline: Option<&str>) -> PathBuf {
    out.join("incidents").join(format!("{}.parquet", baseline.unwrap_or("all")))
}

/// The schema of a file of incidents.
#[must_use]
pub fn incidents_schema() -> SchemaRef {
    let required = |name: &str, kind: DataType| Field::new(name, kind, false);
    let list = |of: DataType| DataType::List(Arc::new(Field::new_list_field(of, false)));
    Arc::new(Schema::new(vec![
        required("id", DataType::Utf8),
        required("aliases", list(DataType::Utf8)),
        required("anchor", events::timestamp()),
        required("first", events::timestamp()),
        required("last", events::timestamp()),
        required("hosts", list(DataType::Utf8)),
        required("title", DataType::Utf8),
        required("bits", DataType::Float32),
        required("log2_n", DataType::Float32),
        required("steps", DataType::UInt32),
        Field::new("root_host", DataType::Utf8, true),
        Field::new("root_key", DataType::Utf8, true),
        required("findings", list(DataType::Utf8)),
        required("links", list(DataType::Struct(link_fields()))),
    ]))
}

fn link_fields() -> Fields {
    let text = ["from", "to", "kind", "value"].map(|name| Field::new(name, DataType::Utf8, false));
    let counts =
        [("seen", DataType::UInt32), ("of", DataType::UInt64)].map(|(name, kind)| Field::new(name, kind, false));
    text.into_iter().chain(counts).collect()
}

/// Writes the incidents of a folder of results, in place of those before. Returns the path.
///
/// # Errors
/// [`StoreError::Write`] naming the path; nothing is left behind.
pub fn write_incidents(
    out: &Path,
    baseline: Option<&str>,
    incidents: impl Iterator<Item = Incident>,
) -> Result<PathBuf, StoreError> {
    make_folders(out, Path::new("incidents"))?;
    let path = incidents_path(out, baseline);
    let schema = incidents_schema();
    let version = events::SCHEMA_VERSION.to_string();
    let properties = properties(&schema, ROW_GROUP_ROWS, &[(META_SCHEMA_VERSION, version.as_str())]);
    let whole = WholeFile::replace(&path).map_err(|e| StoreError::write(&path, &e))?;
    let wrong = |e| StoreError::write_parquet(&path, &e);
    let mut parquet = ArrowWriter::try_new(whole, schema.clone(), Some(properties)).map_err(wrong)?;
    let mut incidents = incidents.peekable();
    while incidents.peek().is_some() {
        let some: Vec<Incident> = incidents.by_ref().take(BATCH_ROWS).collect();
        let batch: RecordBatch = columns::to_batch(&schema, &some)
            .map_err(|e| StoreError::Write { path: path.clone(), why: e.to_string() })?;
        parquet.write(&batch).map_err(wrong)?;
    }
    complete(parquet)?;
    Ok(path)
}

/// Hands on the incidents of a file, in its order, as long as they are wanted.
///
/// # Errors
/// As [`ArchiveFile::open`], and when a column is missing or of another type.
pub fn read_incidents(path: &Path, mut each: impl FnMut(Incident) -> bool) -> Result<(), StoreError> {
    let file = ArchiveFile::open(path)?;
    let schema = incidents_schema();
    check_schema(&file, &schema, "incidents")?;
    let names: Vec<_> = schema.fields().iter().map(|f| f.name().as_str()).collect();
    for batch in file.batches(&names, BATCH_ROWS)? {
        let mut some = Vec::new();
        columns::from_batch(&batch?, &mut some).map_err(|why| StoreError::damaged(path, why))?;
        if !some.into_iter().all(&mut each) {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let link = IncidentLink {
            from: "a".into(),
            to: "b".into(),
            kind: "lineage".into(),
            value: "below sh".into(),
            seen: 2,
            of: 900,
        };
        let full = Incident {
            id: incident_id("process_tree", "00", 7),
            aliases: vec!["x".into(), "y".into()],
            anchor: 7,
            first: 8,
            last: 9,
            hosts: vec!["h".into()],
            title: "t".into(),
            bits: 20.5,
            log2_n: 12.25,
            steps: 3,
            root_host: Some("h".into()),
            root_key: Some("00".into()),
            findings: vec!["a".into(), "b".into()],
            links: vec![link],
        };
        let all = vec![full, Incident::default()];
        let path = write_incidents(folder.path(), None, all.clone().into_iter()).unwrap();
        assert_eq!(path, incidents_path(folder.path(), None));
        let mut back = Vec::new();
        let keep = |incident| {
            back.push(incident);
            true
        };
        read_incidents(&path, keep).unwrap();
        assert_eq!(back, all);
        // Nothing at all is a file, too.
        write_incidents(folder.path(), Some("0123"), std::iter::empty()).unwrap();
        read_incidents(&incidents_path(folder.path(), Some("0123")), |_| panic!("there is none")).unwrap();
    }

    #[test]
    fn a_damaged_file_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = write_incidents(folder.path(), None, [Incident::default()].into_iter()).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        for cut in [0, 1, bytes.len() / 2, bytes.len() - 1] {
            std::fs::write(&path, &bytes[..cut]).unwrap();
            assert!(read_incidents(&path, |_| true).is_err(), "{cut}");
        }
    }
}
