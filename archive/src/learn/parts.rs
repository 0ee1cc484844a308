//! Counting by other processes: which files go together, and how a process counts those that it is given.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use model::{HashKey, Lens, Partial};
use store::TableFile;

use super::{Feed, Files, Good};
use crate::error::ArchiveError;
use crate::filter::Filter;
use crate::part::{PartTask, reopen};
use crate::{Silent, split, tables};

/// Has rows counted somewhere else.
pub trait Counter: Sync {
    /// The key to count under, if it is not to be a new one: that of a run which was killed and is taken up again.
    fn key(&self) -> Option<HashKey>;

    /// Counts the files of each part under this key and these lenses, as [`count_part`] does; the results are in the order of
    /// the parts.
    ///
    /// # Errors
    /// [`ArchiveError::Elsewhere`] when nobody can do it.
    fn count(&self, parts: Vec<PartTask>, key: &HashKey, lenses: &[Lens]) -> Result<Vec<Partial>, ArchiveError>;
}

/// Counts the rows of files that another process has found, all of one table; `settings` are those of stores.
///
/// # Errors
/// Those of the files; what may pass when it is tried again says so ([`ArchiveError::may_pass`]).
pub fn count_part(
    task: &PartTask,
    key: &HashKey,
    lenses: &[Lens],
    filter: &Filter,
    settings: &[(String, String)],
) -> Result<Partial, ArchiveError> {
    let mut good = Vec::with_capacity(task.files.len());
    for (path, relative) in &task.files {
        let source = reopen(path, relative, settings)?;
        let file = TableFile::open_source(&source)?;
        let table = tables::table_of(&file, lenses.iter())?;
        good.push(Good { source, table, rows: file.rows().unwrap_or(1) });
    }
    let table = good.first().map(|file| file.table.clone()).unwrap_or_default();
    let lens = lenses.iter().find(|lens| lens.table() == table && good.iter().all(|file| file.table == table));
    let lens = lens.ok_or_else(|| ArchiveError::Learn("files of several tables, or of one without a lens".into()))?;
    let (skipped, failure) = (Vec::new(), Mutex::new(None));
    let files = Files { lenses: lenses.to_vec(), filter: filter.clone(), good, skipped, failure };
    let counted = Partial::count(lens, key, &Feed::new(&files, &Silent));
    match (counted, files.failure()) {
        (_, Some(error)) => Err(error),
        (Err(error), None) => Err(ArchiveError::Learn(error.to_string())),
        (Ok(partial), None) => Ok(partial),
    }
}

/// What others counted, by table.
pub(super) type Counts = BTreeMap<String, Vec<Partial>>;

/// Has all files counted: those of one table, host and day together, as they make one segment; those whose path says neither
/// in one part for each table. Where rows are of another host or day than their path says, so that two parts have the same
/// segment, these are counted again as one.
pub(super) fn counts(files: &Files, counter: &dyn Counter, key: &HashKey) -> Result<Counts, ArchiveError> {
    let mut groups: Vec<Vec<usize>> = groups(files);
    let mut done: BTreeMap<Vec<usize>, Partial> = BTreeMap::new();
    loop {
        let left: Vec<&Vec<usize>> = groups.iter().filter(|group| !done.contains_key(*group)).collect();
        let tasks = left.iter().zip(0..).map(|(group, number)| task(files, group, number)).collect();
        let counted = counter.count(tasks, key, &files.lenses)?;
        if counted.len() != left.len() {
            return Err(ArchiveError::Elsewhere("cannot learn: the cluster: parts are missing".into()));
        }
        let fresh: Vec<(Vec<usize>, Partial)> = left.into_iter().cloned().zip(counted).collect();
        done.extend(fresh);
        let joined = joined(files, &groups, &done);
        if joined.len() == groups.len() {
            break;
        }
        groups = joined;
        done.retain(|group, _| groups.contains(group));
    }
    let mut counts = Counts::new();
    for (group, partial) in done {
        let table = group.first().map(|number| files.good[*number].table.clone()).unwrap_or_default();
        counts.entry(table).or_default().push(partial);
    }
    Ok(counts)
}

fn groups(files: &Files) -> Vec<Vec<usize>> {
    let mut groups: BTreeMap<(&str, Option<&str>), Vec<usize>> = BTreeMap::new();
    for (number, file) in files.good.iter().enumerate().filter(|(_, file)| file.rows > 0) {
        groups.entry((&file.table, split::day_of(&file.source.relative))).or_default().push(number);
    }
    groups.into_values().collect()
}

fn task(files: &Files, group: &[usize], number: u64) -> PartTask {
    let sources = || group.iter().map(|number| &files.good[*number].source);
    let bytes = sources().fold(0, |sum: u64, source| sum.saturating_add(source.bytes()));
    let version =
        sources().map(|source| format!("{} {}\n", source.relative, source.stamp().unwrap_or_default())).collect();
    PartTask { number, files: sources().map(store::Source::absolute).collect(), bytes, version, last: false }
}

/// The groups, those of one table joined that have a segment in common.
fn joined(files: &Files, groups: &[Vec<usize>], done: &BTreeMap<Vec<usize>, Partial>) -> Vec<Vec<usize>> {
    let mut owner: BTreeMap<(&str, Option<&str>, i32), usize> = BTreeMap::new();
    let mut into: Vec<usize> = (0..groups.len()).collect();
    for (at, group) in groups.iter().enumerate() {
        let Some((first, partial)) = group.first().zip(done.get(group)) else { continue };
        for (host, day) in partial.places() {
            let other = *owner.entry((&files.good[*first].table, host, day)).or_insert(at);
            let (a, b) = (root(&into, other), root(&into, at));
            into[a.max(b)] = a.min(b);
        }
    }
    let mut joined: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    for (at, group) in groups.iter().enumerate() {
        joined.entry(root(&into, at)).or_default().extend(group);
    }
    joined.into_values().map(|group| group.into_iter().collect()).collect()
}

fn root(into: &[usize], mut at: usize) -> usize {
    while into[at] != at {
        at = into[at];
    }
    at
}
