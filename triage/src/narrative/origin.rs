//! The root process, and how it came to be.

use events::ProcessKey;
use store::{ArchiveFile, StoreError, time_text};

use super::facts::{Fact, read};
use super::{Sentence, links_of, name_of, said, some};
use crate::archive::Archive;
use crate::cells::Keys;

/// Rows of the root's life that are told: its creation, and programs it ran.
const ROWS: usize = 4;

/// The first rows of a process: how it began and what it ran. The files of its host alone are read, if they can be told.
pub(super) fn of(root: ProcessKey, host: Option<&str>, archive: &Archive) -> Vec<Fact> {
    let mut found = Vec::new();
    for source in archive.of_table(events::PROCESS) {
        let folder = source.relative.split('/').find_map(|part| part.strip_prefix("host="));
        if folder.zip(host).is_some_and(|(folder, host)| !store::is_folder_of(folder, host)) {
            continue;
        }
        let rows = rows_of(root, source).unwrap_or_else(|error| {
            archive.cannot_read(source.path.clone(), &error.to_string());
            Vec::new()
        });
        if !rows.is_empty() {
            found.extend(read(archive, &source.relative, events::PROCESS, &rows, &[]).unwrap_or_default());
        }
    }
    found.retain(|fact: &Fact| ["fork", "running", "exec"].contains(&fact.get("activity")));
    found.sort_by(|a, b| a.time.cmp(&b.time).then_with(|| a.link.cmp(&b.link)));
    found.truncate(ROWS);
    found
}

/// The first rows of a file that are of a process.
fn rows_of(root: ProcessKey, source: &store::Source) -> Result<Vec<u64>, StoreError> {
    let file = ArchiveFile::open_source(source)?;
    let (mut rows, mut first) = (Vec::new(), 0);
    for batch in file.batches(&["process_key"], 16_384)? {
        let batch = batch?;
        let keys = Keys::of(&batch, "process_key");
        rows.extend((0..batch.num_rows()).filter(|row| keys.at(*row) == Some(root)).map(|row| first + row as u64));
        first += batch.num_rows() as u64;
        if rows.len() >= 4 * ROWS {
            break;
        }
    }
    rows.truncate(4 * ROWS);
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
