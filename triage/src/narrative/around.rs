//! The processes around a row: what led to it, what ran beside it, and what it started.

use std::collections::{BTreeMap, BTreeSet};

use arrow_array::Array;
use arrow_array::cast::AsArray;
use events::ProcessKey;
use model::Lens;
use store::{ArchiveFile, Source, StoreError, stamp};

use super::facts::{Fact, cut, read};
use super::words::sentence_of;
use super::{RowLink, origin};
use crate::archive::Archive;
use crate::cells::{Keys, Times};
use crate::error::TriageError;
use crate::run::Options;

/// Sisters are told that began so long before or after, and what was started so long after.
const NEAR_NS: i64 = 300_000_000_000;
/// Processes above that are told where no row lists them.
const ABOVE: usize = 16;
/// Rows of a process that are looked at.
const ROWS: usize = 6;
/// Rows near in time that are remembered: 56 bytes each.
const REMEMBERED: usize = 1 << 20;
const BATCH_ROWS: usize = 16_384;
const UNKNOWN: &str = "a program that is not known";

/// How many processes around a row are told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Room {
    /// What a person looks over: of the same parent the 24 nearest in time, and the first 100 below.
    #[default]
    Little,
    /// 500 of the same parent, and 1,000 below: some 50 MB while they are read.
    Much,
}

impl Room {
    fn sisters(self) -> usize {
        if self == Self::Little { 24 } else { 500 }
    }

    fn below(self) -> usize {
        if self == Self::Little { 100 } else { 1000 }
    }
}

/// How a process is related to that of the row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kin {
    /// Above it.
    Ancestor,
    /// The one that did what the row says.
    Own,
    /// Of the same parent, near in time.
    Sister,
    /// Started by it, or below it.
    Below,
}

/// One process of the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relative {
    /// How it is related.
    pub kin: Kin,
    /// Steps below the topmost one that is known.
    pub depth: usize,
    /// Its number.
    pub pid: u32,
    /// What it ran last, with arguments where they are known.
    pub name: String,
    /// Its first row near in time.
    pub time: Option<i64>,
    /// How it ended, if it did.
    pub ended: Option<String>,
    /// Where it is in the archive; nothing of those that only others name.
    pub row: Option<RowLink>,
}

/// The processes around a row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Around {
    /// The row in words.
    pub said: String,
    /// When it was.
    pub time: i64,
    /// Where.
    pub host: String,
    /// The tree, in the order in which it is drawn; empty where a row is of no process.
    pub tree: Vec<Relative>,
    /// Sisters and processes below that had no room.
    pub others: usize,
    /// Files that could not be read, and why.
    pub unread: Vec<(std::path::PathBuf, String)>,
}

/// The processes around a row of a table: ancestors, sisters near in time, and what was started below.
///
/// # Errors
/// The archive's folders cannot be listed, or the row cannot be read. Other rows that cannot be are left out, and named.
pub fn around(
    options: &Options,
    row: &RowLink,
    table: &str,
    lenses: &[Lens],
    room: Room,
) -> Result<Around, TriageError> {
    let archive = Archive::open(options.archives())?;
    let fact = read(&archive, &row.file, table, &[row.row], lenses)?.pop().unwrap_or_default();
    let mut around =
        Around { said: sentence_of(&fact), time: fact.time, host: fact.get("host").to_owned(), ..Around::default() };
    if let Ok(key) = fact.get("process_key").parse() {
        let host = Some(around.host.as_str()).filter(|host| !host.is_empty());
        let own = origin::of(&[(key, host)], &archive).remove(&key).unwrap_or_default();
        let family = Family::gather(&archive, key, parent_of(&fact, &own), &around);
        (around.tree, around.others) = family.tree(&archive, &fact, &own, room);
    }
    around.unread = archive.unread();
    Ok(around)
}

/// Its parent, by the row or what is known of its beginning.
fn parent_of(fact: &Fact, own: &[Fact]) -> Option<ProcessKey> {
    std::iter::once(fact).chain(own).find_map(|fact| fact.get("parent_key").parse().ok())
}

/// A row near in time.
#[derive(Debug, Clone, Copy)]
struct Near {
    time: i64,
    key: ProcessKey,
    parent: Option<ProcessKey>,
    file: u32,
    row: u64,
}

/// Who is related, and where that stands.
struct Family<'a> {
    own: ProcessKey,
    parent: Option<ProcessKey>,
    files: Vec<&'a Source>,
    near: Vec<Near>,
    time: i64,
}

impl<'a> Family<'a> {
    fn gather(archive: &'a Archive, own: ProcessKey, parent: Option<ProcessKey>, around: &Around) -> Self {
        let files = files_near(archive, &around.host, around.time);
        let mut near = Vec::new();
        for (source, number) in files.iter().zip(0..) {
            if let Err(error) = rows_near(source, number, around.time, &mut near) {
                archive.cannot_read(source.path.clone(), &error.to_string());
            }
        }
        near.sort_by_key(|row| (row.time, row.file, row.row));
        Self { own, parent, files, near, time: around.time }
    }

    /// Those above as far as rows near in time tell, from the parent on.
    fn above(&self) -> Vec<ProcessKey> {
        let parents: BTreeMap<ProcessKey, ProcessKey> =
            self.near.iter().filter_map(|row| Some((row.key, row.parent?))).collect();
        let up = std::iter::successors(self.parent, |key| parents.get(key).copied());
        up.take(ABOVE).collect()
    }

    /// Those of the same parent, nearest in time first.
    fn sisters(&self) -> Vec<ProcessKey> {
        let mut found: BTreeMap<ProcessKey, i64> = BTreeMap::new();
        for row in &self.near {
            if self.parent.is_some() && row.parent == self.parent && row.key != self.own {
                found.entry(row.key).or_insert(row.time);
            }
        }
        let mut found: Vec<(ProcessKey, i64)> = found.into_iter().collect();
        found.sort_by_key(|(key, time)| (time.abs_diff(self.time), *key));
        found.into_iter().map(|(key, _)| key).collect()
    }

    /// Those below, with their parent, in the order in which they began.
    fn below(&self) -> Vec<(ProcessKey, ProcessKey)> {
        let (mut known, mut found) = (BTreeSet::from([self.own]), Vec::new());
        for row in &self.near {
            if let Some(parent) = row.parent.filter(|parent| known.contains(parent))
                && known.insert(row.key)
            {
                found.push((row.key, parent));
            }
        }
        found
    }

    /// What is known of processes, by their rows.
    fn facts(&self, archive: &Archive, of: &BTreeSet<ProcessKey>) -> BTreeMap<ProcessKey, Vec<Fact>> {
        let mut places: BTreeMap<u32, Vec<(u64, ProcessKey)>> = BTreeMap::new();
        let mut room: BTreeMap<ProcessKey, usize> = of.iter().map(|key| (*key, ROWS)).collect();
        // From the end: how it ended, and what it ran last.
        for row in self.near.iter().rev() {
            if let Some(room) = room.get_mut(&row.key).filter(|room| **room > 0) {
                *room -= 1;
                places.entry(row.file).or_default().push((row.row, row.key));
            }
        }
        let mut facts: BTreeMap<ProcessKey, Vec<Fact>> = BTreeMap::new();
        for (file, mut rows) in places {
            rows.sort_unstable();
            let (source, numbers) = (self.files[file as usize], rows.iter().map(|row| row.0).collect::<Vec<_>>());
            let read = read(archive, &source.relative, events::PROCESS, &numbers, &[]).unwrap_or_default();
            read.into_iter().zip(rows).for_each(|(fact, (_, key))| facts.entry(key).or_default().push(fact));
        }
        facts.values_mut().for_each(|facts| facts.sort_by_key(|fact| fact.time));
        facts
    }

    /// The tree as it is drawn, and how many had no room.
    fn tree(&self, archive: &Archive, fact: &Fact, began: &[Fact], room: Room) -> (Vec<Relative>, usize) {
        let (mut sisters, mut below) = (self.sisters(), self.below());
        let others = sisters.len().saturating_sub(room.sisters()) + below.len().saturating_sub(room.below());
        sisters.truncate(room.sisters());
        below.truncate(room.below());
        let above = self.above();
        let all = sisters.iter().chain(below.iter().map(|(key, _)| key)).chain(&above).chain([&self.own]);
        let mut facts = self.facts(archive, &all.copied().collect());
        let mut own = [began.to_vec(), facts.remove(&self.own).unwrap_or_default()].concat();
        own.sort_by_key(|fact| fact.time);
        if fact.table == events::PROCESS && own.iter().all(|known| known.link != fact.link) {
            own.push(fact.clone());
        }
        let listed = listed_above(archive, fact, &own).unwrap_or_else(|| named_above(&above, fact, &own));
        let mut tree = ancestors(listed, &facts);
        let depth = tree.len();
        sisters.sort_by_key(|key| facts.get(key).and_then(|facts| facts.first()).map(|fact| fact.time));
        let first = own.first().map_or(self.time, |fact| fact.time);
        let mut drawn = false;
        for key in sisters {
            let sister = relative(Kin::Sister, depth, key, facts.get(&key).map_or(&[][..], Vec::as_slice));
            if !drawn && sister.time.is_some_and(|time| time > first) {
                drawn = true;
                self.own_branch(&mut tree, depth, fact, (&own, &below, &facts));
            }
            tree.push(sister);
        }
        if !drawn {
            self.own_branch(&mut tree, depth, fact, (&own, &below, &facts));
        }
        (tree, others)
    }

    /// The process of the row, and those below it, each under its parent.
    fn own_branch(&self, tree: &mut Vec<Relative>, depth: usize, fact: &Fact, known: Known<'_>) {
        let (own, below, facts) = known;
        let mut of_row = relative(Kin::Own, depth, self.own, own);
        if own.iter().all(|fact| fact.get("exe").is_empty()) && !fact.get("exe").is_empty() {
            fact.get("exe").clone_into(&mut of_row.name);
        }
        tree.push(of_row);
        let mut open = vec![(self.own, depth)];
        let mut children: BTreeMap<ProcessKey, Vec<ProcessKey>> = BTreeMap::new();
        below.iter().rev().for_each(|(key, parent)| children.entry(*parent).or_default().push(*key));
        while let Some((key, depth)) = open.pop() {
            if key != self.own {
                tree.push(relative(Kin::Below, depth, key, facts.get(&key).map_or(&[][..], Vec::as_slice)));
            }
            open.extend(children.get(&key).into_iter().flatten().map(|child| (*child, depth + 1)));
        }
    }
}

/// Rows of the process itself, who is below it, and rows of all.
type Known<'a> = (&'a [Fact], &'a [(ProcessKey, ProcessKey)], &'a BTreeMap<ProcessKey, Vec<Fact>>);

/// The files of a host's processes that reach into the time around a moment.
fn files_near<'a>(archive: &'a Archive, host: &str, time: i64) -> Vec<&'a Source> {
    let (since, until) = (stamp(time.saturating_sub(NEAR_NS)), stamp(time.saturating_add(NEAR_NS)));
    let is_near = |source: &&Source| {
        let folder = source.relative.split('/').find_map(|part| part.strip_prefix("host="));
        let name = source.relative.rsplit('/').next().unwrap_or_default();
        let is_ours = folder.is_none_or(|folder| store::is_folder_of(folder, host));
        // A file has the time of its first row in its name, and ends with the hour: `20261121T14`.
        let hour = |stamp: &str| stamp.get(..11).map(str::to_owned);
        let is_named = name.get(..16).is_some_and(|name| name.ends_with('Z'));
        let is_then = !is_named || (hour(name) >= hour(&since) && name.get(..16) <= until.get(..16));
        is_ours && is_then
    };
    archive.of_table(events::PROCESS).into_iter().filter(is_near).collect()
}

/// The rows of a file around a moment.
fn rows_near(source: &Source, file: u32, time: i64, near: &mut Vec<Near>) -> Result<(), StoreError> {
    let mut first = 0;
    for batch in ArchiveFile::open_source(source)?.batches(&["time", "process_key", "parent_key"], BATCH_ROWS)? {
        let batch = batch?;
        let (times, keys) = (Times::of(&batch, "time"), Keys::of(&batch, "process_key"));
        let parents = Keys::of(&batch, "parent_key");
        for row in 0..batch.num_rows() {
            let when = times.at(row);
            if when.abs_diff(time) <= NEAR_NS.unsigned_abs()
                && near.len() < REMEMBERED
                && let Some(key) = keys.at(row)
            {
                near.push(Near { time: when, key, parent: parents.at(row), file, row: first + row as u64 });
            }
        }
        first += batch.num_rows() as u64;
    }
    Ok(())
}

/// A process by its rows.
fn relative(kin: Kin, depth: usize, key: ProcessKey, facts: &[Fact]) -> Relative {
    // What it ran last is told with its arguments by the row that says so; an end has none.
    let named = || facts.iter().rev().filter(|fact| !fact.get("exe").is_empty());
    let ran = named().find(|fact| !fact.args.is_empty()).or_else(|| named().next());
    let name = ran.map_or_else(|| UNKNOWN.to_owned(), name_of);
    let ended =
        facts.iter().rev().find(|fact| fact.get("activity") == "exit").map(|fact| match fact.number("exit_signal") {
            0.0 => format!("exit {}", fact.get("exit_code")),
            signal => format!("signal {signal}"),
        });
    let row = facts.iter().rev().find(|fact| fact.get("activity") == "exec").or(facts.first());
    Relative {
        kin,
        depth,
        pid: key.tgid(),
        name,
        time: facts.first().map(|fact| fact.time),
        ended,
        row: row.map(|fact| fact.link.clone()),
    }
}

/// The image with its arguments; an exit has none, so that of an exec says more.
fn name_of(fact: &Fact) -> String {
    match fact.args.split_first() {
        Some((_, rest)) if !rest.is_empty() => format!("{} {}", fact.get("exe"), cut(&rest.join(" "))),
        _ => fact.get("exe").to_owned(),
    }
}

/// A process above, and its image.
type Above = (ProcessKey, String);

/// Those above, the topmost first, with their rows where they have some near in time.
fn ancestors(above: Vec<Above>, facts: &BTreeMap<ProcessKey, Vec<Fact>>) -> Vec<Relative> {
    let above = above.into_iter().rev().enumerate().map(|(depth, (key, name))| {
        let known = relative(Kin::Ancestor, depth, key, facts.get(&key).map_or(&[][..], Vec::as_slice));
        if known.name == UNKNOWN { Relative { name: cut(&name), ..known } } else { known }
    });
    above.collect()
}

/// Those that a row of the process lists.
fn listed_above(archive: &Archive, fact: &Fact, own: &[Fact]) -> Option<Vec<Above>> {
    let rows = std::iter::once(fact).chain(own);
    let mut named = rows.filter(|fact| fact.table == events::PROCESS && !fact.get("ancestors").is_empty());
    named.find_map(|fact| listed(archive, &fact.link).filter(|list| !list.is_empty()))
}

/// Those that rows near in time tell of; the image of the parent stands in rows of the process, too.
fn named_above(above: &[ProcessKey], fact: &Fact, own: &[Fact]) -> Vec<Above> {
    let exe = std::iter::once(fact).chain(own).map(|fact| fact.get("parent_exe")).find(|exe| !exe.is_empty());
    let name = |at: usize| exe.filter(|_| at == 0).unwrap_or(UNKNOWN).to_owned();
    above.iter().enumerate().map(|(at, key)| (*key, name(at))).collect()
}

/// Keys and images of the list in a row, from the parent on.
fn listed(archive: &Archive, row: &RowLink) -> Option<Vec<(ProcessKey, String)>> {
    let file = ArchiveFile::open_source(archive.source(&row.file)?).ok()?;
    let batch = file.read_rows(&["ancestors"], &[row.row]).ok()?;
    let list = batch.column_by_name("ancestors")?.as_list_opt::<i32>()?.value(0);
    let entries = list.as_struct_opt()?;
    let keys = entries.column_by_name("key")?.as_fixed_size_binary_opt()?;
    let names = entries.column_by_name("exe")?.as_string_opt::<i32>()?;
    let name = |row: usize| if names.is_valid(row) { names.value(row).to_owned() } else { UNKNOWN.to_owned() };
    let key = |row: usize| keys.value(row).try_into().ok().map(ProcessKey::from_bytes);
    (0..entries.len()).map(|row| Some((key(row)?, name(row)))).collect()
}
