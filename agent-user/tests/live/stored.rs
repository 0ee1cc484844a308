//! What an agent stored, row by row.

use arrow_array::{Array, ListArray, cast::AsArray, types::TimestampNanosecondType};
use arrow_cast::display::array_value_to_string;
use serde_json::Value;
use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

/// What an agent stored.
pub(crate) struct Stored {
    pub(crate) code: Option<i32>,
    pub(crate) status: Value,
    pub(crate) process: Vec<Row>,
    pub(crate) connection: Vec<Row>,
    pub(crate) dns: Vec<Row>,
    pub(crate) heartbeat: Vec<Row>,
    /// Every file below the archive.
    pub(crate) files: Vec<PathBuf>,
    pub(crate) cgroup: String,
}

impl Stored {
    pub(crate) fn count(&self, kind: &str, what: &str) -> u64 {
        self.status["events"][kind][what].as_u64().unwrap()
    }

    pub(crate) fn dropped(&self, kind: &str) -> u64 {
        self.status["events"][kind]["dropped"].as_object().unwrap().values().filter_map(Value::as_u64).sum()
    }

    /// Every event type's books are closed, and the files hold what the books say.
    pub(crate) fn assert_exact(&self) {
        for kind in events::EventType::ALL {
            let name = kind.name();
            let (produced, written) = (self.count(name, "produced"), self.count(name, "written"));
            let summarised = self.status["events"][name]["summarised"].as_u64().unwrap_or(0);
            assert_eq!(produced, written + self.dropped(name) + summarised, "{name}: {}", self.status);
            let rows = match kind.table() {
                events::Table::Dns => self.dns.len(),
                _ => self.process.iter().chain(&self.connection).filter(|row| row.get("activity") == name).count(),
            };
            assert_eq!(written, rows as u64, "{name}");
        }
    }

    /// What the last heartbeat says of a counter.
    pub(crate) fn last_beat(&self, stage: &str, event: &str, outcome: &str) -> Option<u64> {
        let wanted = [("stage", stage), ("event", event), ("outcome", outcome)];
        let rows = self.heartbeat.iter().filter(|row| row.is(&wanted));
        rows.max_by_key(|row| row.number("time")).map(|row| row.number("count"))
    }

    /// The last heartbeat and the last status line agree.
    pub(crate) fn assert_last_beat(&self) {
        for kind in events::EventType::ALL.map(events::EventType::name) {
            let beat = |stage, outcome| self.last_beat(stage, kind, outcome).unwrap_or(0);
            assert_eq!(beat("kernel", "produced"), self.count(kind, "produced"), "{kind}");
            assert_eq!(beat("writer", "written"), self.count(kind, "written"), "{kind}");
            assert_eq!((beat("writer", "open"), self.count(kind, "open")), (0, 0), "{kind}");
            let dropped = beat("kernel", "dropped") + beat("agent", "dropped") + beat("writer", "dropped");
            assert_eq!(dropped, self.dropped(kind), "{kind}: {}", self.status);
        }
    }

    /// The only process row that fits.
    pub(crate) fn one(&self, fits: impl Fn(&Row) -> bool) -> &Row {
        one(&self.process, fits)
    }
}

pub(crate) fn one(rows: &[Row], fits: impl Fn(&Row) -> bool) -> &Row {
    let found: Vec<&Row> = rows.iter().filter(|row| fits(row)).collect();
    assert_eq!(found.len(), 1, "{found:#?}\nof {rows:#?}");
    found[0]
}

/// A row as text by column; nulls are left out.
#[derive(Debug, Default)]
pub(crate) struct Row {
    columns: HashMap<String, String>,
    pub(crate) args: Option<Vec<String>>,
    /// Lists of structures, by column.
    entries: HashMap<String, Vec<Vec<String>>>,
}

impl Row {
    pub(crate) fn get(&self, column: &str) -> &str {
        self.columns.get(column).map_or("", String::as_str)
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &str> {
        self.columns.values().map(String::as_str)
    }

    pub(crate) fn is(&self, wanted: &[(&str, &str)]) -> bool {
        wanted.iter().all(|(column, value)| self.get(column) == *value)
    }

    /// Whether these columns and no others hold something, and hold this. A value of `*` is any.
    pub(crate) fn is_all(&self, wanted: &[(&str, &str)]) -> bool {
        self.columns.len() == wanted.len()
            && wanted
                .iter()
                .all(|(column, value)| self.columns.get(*column).is_some_and(|found| *value == "*" || found == value))
    }

    /// A list of structures: the members of each, as text.
    pub(crate) fn entries(&self, column: &str) -> &[Vec<String>] {
        self.entries.get(column).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn number(&self, column: &str) -> u64 {
        self.get(column).parse().unwrap_or_else(|_| panic!("{column} in {self:?}"))
    }
}

pub(crate) fn walk(folder: &Path) -> Vec<PathBuf> {
    // Gone, where that is what a test is about.
    let entries = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

pub(crate) fn read_table(folder: &Path) -> Vec<Row> {
    if !folder.exists() {
        return Vec::new();
    }
    let sources = match store::discover(&[folder]) {
        Err(store::StoreError::NothingFound(_)) => Vec::new(),
        found => found.unwrap(),
    };
    let mut rows = Vec::new();
    for source in sources {
        read_file(&source.path, &mut |batch| rows.extend((0..batch.num_rows()).map(|at| read_row(batch, at))));
    }
    rows
}

pub(crate) fn read_file(path: &Path, each: &mut dyn FnMut(&arrow_array::RecordBatch)) {
    let file = store::ArchiveFile::open(path).unwrap();
    let names: Vec<String> = file.schema().fields().iter().map(|field| field.name().clone()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    file.batches(&names, 1024).unwrap().for_each(|batch| each(&batch.unwrap()));
}

fn read_row(batch: &arrow_array::RecordBatch, at: usize) -> Row {
    let mut row = Row::default();
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        if column.is_null(at) || column.as_any_dictionary_opt().is_some_and(|d| d.keys().is_null(at)) {
            continue;
        }
        if let Some(times) = column.as_primitive_opt::<TimestampNanosecondType>() {
            row.columns.insert(field.name().clone(), times.value(at).to_string());
        } else if let Some(list) = column.as_any().downcast_ref::<ListArray>() {
            let values = list.value(at);
            if let Some(texts) = values.as_string_opt::<i32>() {
                row.args = Some(texts.iter().flatten().map(str::to_owned).collect());
            } else if let Some(entries) = values.as_struct_opt() {
                let text = |at| entries.columns().iter().map(|c| array_value_to_string(c, at).unwrap()).collect();
                row.entries.insert(field.name().clone(), (0..entries.len()).map(text).collect());
            }
        } else {
            row.columns.insert(field.name().clone(), array_value_to_string(column, at).unwrap());
        }
    }
    row
}
