//! The archive's files, and passes over them.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Mutex;

use arrow_array::RecordBatch;
use rayon::prelude::*;
use store::{ArchiveFile, Source, StoreError, discover_tables};

/// Rows of a batch.
const BATCH_ROWS: usize = 16_384;

/// The files of one or more archives, by their path in it.
#[derive(Debug, Default)]
pub(crate) struct Archive {
    sources: Vec<Source>,
    by_path: HashMap<String, usize>,
    /// What could not be read, once each, with the reason.
    unread: Mutex<Vec<(PathBuf, String)>>,
}

impl Archive {
    /// Looks for files in folders. None at all is no error: then nothing is known but the findings.
    pub(crate) fn open(folders: &[PathBuf]) -> Result<Self, StoreError> {
        let sources = match discover_tables(folders) {
            Ok(sources) => sources,
            Err(StoreError::NothingFound(_) | StoreError::NoTables(_)) => Vec::new(),
            Err(error) => return Err(error),
        };
        let by_path = sources.iter().enumerate().map(|(at, source)| (source.relative.clone(), at)).collect();
        Ok(Self { sources, by_path, unread: Mutex::default() })
    }

    /// Whether it has any file.
    pub(crate) fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }

    /// All files.
    pub(crate) fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// The file at a path in the archive.
    pub(crate) fn source(&self, relative: &str) -> Option<&Source> {
        self.by_path.get(relative).map(|at| &self.sources[*at])
    }

    /// The files of a table: by the layout, else by what they say.
    pub(crate) fn of_table(&self, table: &str) -> Vec<&Source> {
        let is_of = |source: &&Source| match source.relative.split_once("/day=") {
            Some((folder, _)) => folder.rsplit('/').next() == Some(table),
            None => ArchiveFile::open_source(source).is_ok_and(|file| file.table() == Some(table)),
        };
        self.sources.iter().filter(is_of).collect()
    }

    /// Notes a file that cannot be read: it is said with the coverage, and the others count.
    pub(crate) fn cannot_read(&self, path: PathBuf, why: &str) {
        let mut unread = self.unread.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if unread.iter().all(|(known, _)| *known != path) {
            unread.push((path, why.to_owned()));
        }
    }

    /// What could not be read so far, sorted.
    pub(crate) fn unread(&self) -> Vec<(PathBuf, String)> {
        let mut unread = self.unread.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        unread.sort();
        unread
    }

    /// Goes through a table, files side by side: each batch of the columns to what was made of those before, and in the end
    /// everything together. Columns that a file of an earlier version lacks are missing from its batches.
    pub(crate) fn pass<T: Default + Send>(
        &self,
        table: &str,
        columns: &[&str],
        each: impl Fn(&mut T, &RecordBatch) + Sync,
        join: impl Fn(T, T) -> T + Send + Sync,
    ) -> T {
        let of_file = |mut so_far: T, source: &Source| {
            if let Err(error) = one_file(source, columns, |batch| each(&mut so_far, batch)) {
                self.cannot_read(source.path.clone(), &error.to_string());
            }
            so_far
        };
        let files = self.of_table(table);
        files.into_par_iter().fold(T::default, of_file).reduce(T::default, join)
    }
}

fn one_file(source: &Source, columns: &[&str], mut each: impl FnMut(&RecordBatch)) -> Result<(), StoreError> {
    let file = ArchiveFile::open_source(source)?;
    let there: Vec<&str> = columns.iter().copied().filter(|column| file.schema().index_of(column).is_ok()).collect();
    for batch in file.batches(&there, BATCH_ROWS)? {
        each(&batch?);
    }
    Ok(())
}
