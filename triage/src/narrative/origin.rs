//! The root process, and how it came to be.

use std::collections::{BTreeMap, BTreeSet};

use events::ProcessKey;
use store::{ArchiveFile, StoreError, time_text};

use super::facts::{Fact, read};
use super::{Sentence, links_of, name_of, said, some};
use crate::archive::Archive;
use crate::cells::Keys;

/// Rows of the root's life that are told: its creation, and programs it ran.
const ROWS: usize = 4;

/// A root process, and its host if that is known.
pub(super) type Root<'a> = (ProcessKey, Option<&'a str>);

/// The first rows of processes: how they began and what they ran. The files of their hosts alone are read, if they can be
/// told, once for all of them.
pub(super) fn of(roots: &[Root<'_>], archive: &Archive) -> BTreeMap<ProcessKey, Vec<Fact>> {
    let hosts: Option<BTreeSet<&str>> = roots.iter().map(|(_, host)| *host).collect();
    let keys: BTreeSet<ProcessKey> = roots.iter().map(|(key, _)| *key).collect();
    let mut all: BTreeMap<ProcessKey, Vec<Fact>> = BTreeMap::new();
    for source in archive.of_table(events::PROCESS) {
        let folder = source.relative.split('/').find_map(|part| part.strip_prefix("host="));
        let is_other =
            |(folder, hosts): (&str, &BTreeSet<&str>)| !hosts.iter().any(|host| store::is_folder_of(folder, host));
        if keys.is_empty() || folder.zip(hosts.as_ref()).is_some_and(is_other) {
            continue;
        }
        let rows = rows_of(&keys, source).unwrap_or_else(|error| {
            archive.cannot_read(source.path.clone(), &error.to_string());
            Vec::new()
        });
        let numbers: Vec<u64> = rows.iter().map(|(row, _)| *row).collect();
        if !rows.is_empty() {
            let facts = read(archive, &source.relative, events::PROCESS, &numbers, &[]).unwrap_or_default();
            facts.into_iter().zip(rows).for_each(|(fact, (_, key))| all.entry(key).or_default().push(fact));
        }
    }
    all.values_mut().for_each(first_of);
    all
}

/// How it was created and what it ran first.
fn first_of(found: &mut Vec<Fact>) {
    found.retain(|fact: &Fact| ["fork", "running", "exec"].contains(&fact.get("activity")));
    found.sort_by(|a, b| a.time.cmp(&b.time).then_with(|| a.link.cmp(&b.link)));
    found.truncate(ROWS);
}

/// The first rows of a file that are of each of these processes.
fn rows_of(wanted: &BTreeSet<ProcessKey>, source: &store::Source) -> Result<Vec<(u64, ProcessKey)>, StoreError> {
    let file = ArchiveFile::open_source(source)?;
    let mut left: BTreeMap<ProcessKey, usize> = wanted.iter().map(|key| (*key, 4 * ROWS)).collect();
    let (mut rows, mut first) = (Vec::new(), 0);
    for batch in file.batches(&["process_key"], 16_384)? {
        let batch = batch?;
        let keys = Keys::of(&batch, "process_key");
        for row in 0..batch.num_rows() {
            let Some(key) = keys.at(row) else { continue };
            let Some(room) = left.get_mut(&key).filter(|room| **room > 0) else { continue };
            *room -= 1;
            rows.push((first + row as u64, key));
        }
        first += batch.num_rows() as u64;
        if left.values().all(|room| *room == 0) {
            break;
        }
    }
    Ok(rows)
}

/// What is known of the root, in sentences; where it is not in the archive, what its descendants say of it.
pub(super) fn in_words(origin: &[Fact], facts: &[Fact], root: Option<ProcessKey>) -> Vec<Sentence> {
    let Some(root) = root else { return Vec::new() };
    let mut told = Vec::new();
    for fact in origin {
        let time = time_text(fact.time);
        let user = who(fact);
        let parent = Some(fact.get("parent_exe"))
            .filter(|parent| !parent.is_empty())
            .unwrap_or("a process that was not watched");
        let text = match fact.get("activity") {
            "fork" => format!("Process {} was created by {parent} at {time} UTC, as {user}.", root.tgid()),
            "running" => format!(
                "Process {} ({}) was there already when the agent started, at {time} UTC, as {user}.",
                root.tgid(),
                fact.get("exe")
            ),
            _ => format!("At {time} UTC process {}, under {parent}, ran {}, as {user}.", root.tgid(), program(fact)),
        };
        told.extend(some(said(text, links_of([fact]))));
    }
    if told.is_empty() {
        let key = root.to_string();
        let below: Vec<&Fact> = facts.iter().filter(|fact| fact.get("root_key") == key).collect();
        let exe = below.iter().map(|fact| fact.get("root_exe")).find(|exe| !exe.is_empty()).unwrap_or("unknown");
        let text = format!("Process {} ({exe}) began before the archive does, or where nobody watched.", root.tgid());
        told.extend(some(said(text, links_of(below.into_iter().take(2)))));
    } else {
        let text = format!("It is process {} of this boot, {}; its key is {root}.", root.tgid(), name_of(origin));
        told.extend(some(said(text, links_of(origin))));
    }
    told
}

fn who(fact: &Fact) -> String {
    let login = Some(fact.get("login_uid")).filter(|login| !login.is_empty() && *login != fact.get("uid"));
    let login = login.map_or_else(String::new, |login| format!(", logged in as {login}"));
    format!("user {}{login}", fact.get("uid"))
}

fn program(fact: &Fact) -> String {
    let line = fact.line();
    let script = Some(fact.get("script")).filter(|script| !script.is_empty());
    let script = script.map_or_else(String::new, |script| format!(", the script {script}"));
    if line.is_empty() {
        format!("{}{script}", fact.get("exe"))
    } else {
        format!("{} ({line}){script}", fact.get("exe"))
    }
}
