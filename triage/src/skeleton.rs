//! Findings as grouping needs them, read in batches: a million take some hundred bytes each.

use std::path::PathBuf;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, TimestampNanosecondType, UInt64Type};
use arrow_array::{RecordBatch, StringArray, StructArray};
use events::ProcessKey;
use store::{ArchiveFile, StoreError, findings_files, incident_id};

use crate::cells::{Words, hash64};
use crate::error::TriageError;
use crate::item::{Item, Map};

const BATCH_ROWS: usize = 4096;
const COLUMNS: [&str; 8] = ["id", "host", "unit_kind", "unit_key", "window", "time", "log2_n", "rows"];

/// A row that a finding rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ref {
    /// Number of its file.
    pub(crate) file: u32,
    /// Row in it.
    pub(crate) row: u32,
    /// Place of the finding.
    pub(crate) item: u32,
    /// Number of the findings file that says so.
    source: u32,
}

/// All findings of a folder.
#[derive(Debug, Default)]
pub(crate) struct Skeletons {
    /// The findings.
    pub(crate) items: Vec<Item>,
    /// For each the number of the findings file that it comes from.
    pub(crate) sources: Vec<u32>,
    /// Findings files, the oldest first.
    pub(crate) files: Vec<PathBuf>,
    /// Hosts, in the order of names.
    pub(crate) hosts: Vec<String>,
    /// Files of the archive that rows are in, by number.
    pub(crate) rows_of: Vec<String>,
    /// The rows that tell what findings share, sorted.
    pub(crate) refs: Vec<Ref>,
    /// Findings of units that are no process trees: kind and key in words.
    pub(crate) subjects: Map<u64, String>,
}

impl Skeletons {
    /// Reads the findings below `DIR/findings`, of one baseline or of all; of one id the one written last counts.
    pub(crate) fn read(out: &std::path::Path, baseline: Option<&str>) -> Result<Self, TriageError> {
        let mut reader = Reader::default();
        let is_of = |path: &PathBuf| {
            let folder = path.parent().and_then(|folder| folder.file_name());
            baseline.is_none_or(|id| folder.is_some_and(|name| name == id))
        };
        for path in findings_files(out)?.into_iter().filter(is_of) {
            reader.file(path)?;
        }
        Ok(reader.finish())
    }
}

#[derive(Default)]
struct Reader {
    all: Skeletons,
    places: Map<u64, u32>,
    host_numbers: Map<String, u32>,
    row_files: Map<String, u32>,
}

impl Reader {
    fn file(&mut self, path: PathBuf) -> Result<(), TriageError> {
        let file = ArchiveFile::open(&path)?;
        for batch in file.batches(&COLUMNS, BATCH_ROWS)? {
            let batch = batch?;
            let read = self.batch(&batch).map_err(|why| StoreError::Damaged { path: path.clone(), why })?;
            read.ok_or_else(|| TriageError::TooMany(path.display().to_string()))?;
        }
        self.all.files.push(path);
        Ok(())
    }

    /// Takes in a batch; nothing if there are too many findings, a reason if the columns are others.
    fn batch(&mut self, batch: &RecordBatch) -> Result<Option<()>, String> {
        let column = |name: &str| batch.column_by_name(name).ok_or_else(|| format!("no column {name}"));
        let wrong = |name: &str| format!("column {name} is of another type");
        let text = |name: &'static str| column(name)?.as_string_opt::<i32>().ok_or_else(|| wrong(name));
        let time =
            |name: &'static str| column(name)?.as_primitive_opt::<TimestampNanosecondType>().ok_or_else(|| wrong(name));
        let (ids, keys) = (text("id")?, text("unit_key")?);
        let (windows, times) = (time("window")?, time("time")?);
        let log2_n = column("log2_n")?.as_primitive_opt::<Float32Type>().ok_or_else(|| wrong("log2_n"))?;
        let rows = column("rows")?.as_list_opt::<i32>().ok_or_else(|| wrong("rows"))?;
        let (hosts, kinds) = (Words::of(batch, "host"), Words::of(batch, "unit_kind"));
        let members = RowColumns::of(rows.values().as_struct_opt().ok_or_else(|| wrong("rows"))?)?;
        for row in 0..batch.num_rows() {
            let id = u64::from_str_radix(ids.value(row), 16).map_err(|_| format!("id {:?}", ids.value(row)))?;
            let kind = kinds.at(row).unwrap_or_default();
            let key = keys.value(row);
            let tree: Option<ProcessKey> = key.parse().ok();
            let name = incident_id(kind, key, windows.value(row));
            let subject = hash64(format!("{kind}\u{0}{key}").as_bytes());
            if tree.is_none() {
                self.all.subjects.entry(subject).or_insert_with(|| format!("{kind} {key}"));
            }
            let item = Item {
                id,
                name: u64::from_str_radix(&name, 16).unwrap_or_default(),
                subject,
                window: windows.value(row),
                time: times.value(row),
                log2_n: log2_n.value(row),
                host: self.host(hosts.at(row).unwrap_or_default()),
                tree,
            };
            let Some(place) = self.put(item) else { return Ok(None) };
            let (start, end) = (rows.value_offsets()[row], rows.value_offsets()[row + 1]);
            self.rows(place, &members, start as usize..end as usize);
        }
        Ok(Some(()))
    }

    fn put(&mut self, item: Item) -> Option<u32> {
        let source = self.all.files.len() as u32;
        let next = u32::try_from(self.all.items.len()).ok()?;
        let place = *self.places.entry(item.id).or_insert(next);
        if place == next {
            self.all.items.push(item);
            self.all.sources.push(source);
        } else {
            self.all.items[place as usize] = item;
            self.all.sources[place as usize] = source;
        }
        Some(place)
    }

    fn host(&mut self, name: &str) -> u32 {
        if let Some(number) = self.host_numbers.get(name) {
            return *number;
        }
        let number = self.all.hosts.len() as u32;
        self.all.hosts.push(name.to_owned());
        self.host_numbers.insert(name.to_owned(), number);
        number
    }

    /// Keeps the rows that show what findings share: sockets, messages, and of processes the most surprising.
    fn rows(&mut self, item: u32, rows: &RowColumns<'_>, range: std::ops::Range<usize>) {
        let mut process = false;
        for at in range {
            let keep = match rows.tables.value(at) {
                events::CONNECTION | events::DNS => true,
                events::PROCESS => !std::mem::replace(&mut process, true),
                _ => false,
            };
            let Ok(row) = u32::try_from(rows.rows.value(at)) else { continue };
            if keep {
                let file = self.row_file(rows.files.value(at));
                self.all.refs.push(Ref { file, row, item, source: self.all.files.len() as u32 });
            }
        }
    }

    fn row_file(&mut self, path: &str) -> u32 {
        if let Some(number) = self.row_files.get(path) {
            return *number;
        }
        let number = self.all.rows_of.len() as u32;
        self.all.rows_of.push(path.to_owned());
        self.row_files.insert(path.to_owned(), number);
        number
    }

    fn finish(mut self) -> Skeletons {
        let all = &mut self.all;
        // Numbers of hosts go by their names, so that the order of files makes no difference.
        let mut order: Vec<u32> = (0..all.hosts.len() as u32).collect();
        order.sort_by_key(|at| &all.hosts[*at as usize]);
        let mut numbers = vec![0; order.len()];
        order.iter().zip(0..).for_each(|(at, number)| numbers[*at as usize] = number);
        all.items.iter_mut().for_each(|item| item.host = numbers[item.host as usize]);
        all.hosts.sort();
        let sources = &all.sources;
        all.refs.retain(|one| one.source == sources[one.item as usize]);
        all.refs.sort_unstable();
        all.refs.shrink_to_fit();
        self.all
    }
}

/// The members of `rows`, over all findings of a batch.
struct RowColumns<'a> {
    files: &'a StringArray,
    rows: &'a arrow_array::PrimitiveArray<UInt64Type>,
    tables: &'a StringArray,
}

impl<'a> RowColumns<'a> {
    fn of(rows: &'a StructArray) -> Result<Self, String> {
        let wrong = || "column rows is of another type".to_owned();
        let member = |name: &str| rows.column_by_name(name).ok_or_else(wrong);
        Ok(Self {
            files: member("file")?.as_string_opt::<i32>().ok_or_else(wrong)?,
            rows: member("row")?.as_primitive_opt::<UInt64Type>().ok_or_else(wrong)?,
            tables: member("table")?.as_string_opt::<i32>().ok_or_else(wrong)?,
        })
    }
}
