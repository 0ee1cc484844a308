//! Rows of `process` as Process Activity (docs/contracts.md §9).

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, Int64Array, StringArray};
use arrow_schema::Schema;

use crate::columns::{Result, Rows, Struct, at, ints, lists, longs, number, texts, valid_if};
use crate::event::{self, Class, OTHER, millis};
use crate::shell;

/// Columns that no attribute has, or not as exactly.
const REST: [&str; 38] = [
    "activity",
    "root_key",
    "ancestors",
    "gid",
    "euid",
    "egid",
    "login_uid",
    "capabilities",
    "root_exe",
    "script",
    "args_bytes",
    "args_truncated",
    "args_masked",
    "cwd",
    "cwd_source",
    "exe_inode",
    "exe_device",
    "exe_unlinked",
    "cgroup",
    "cgroup_path",
    "image",
    "pod",
    "exit_signal",
    "runtime_ns",
    "cpu_ns",
    "cpu_user_ns",
    "cpu_system_ns",
    "max_rss_bytes",
    "minor_faults",
    "major_faults",
    "operation",
    "target",
    "previous_uid",
    "previous_gid",
    "previous_euid",
    "previous_egid",
    "previous_capabilities",
    "agent",
];

/// Calls that change the user id; other changes of credentials have no number of their own.
const SET_USER: [&str; 4] = ["setuid", "setreuid", "setresuid", "setfsuid"];

/// Why a row is no event, or nothing if it is one.
pub(crate) fn left_out(rows: &Rows<'_>) -> Result<impl Fn(usize) -> Option<&'static str>> {
    let (activity, targets) = (rows.text("activity")?, rows.long("target_pid")?);
    Ok(move |row| match at(&activity, row) {
        Some("throttle") => Some("it counts events that were summarised, and is none"),
        Some("ptrace") if !targets.is_valid(row) => Some("the traced process is not known"),
        _ => None,
    })
}

/// What a row of `process` is about, by its activity and operation.
struct What {
    activity: StringArray,
    operation: StringArray,
}

impl What {
    fn is(&self, row: usize, activity: &str) -> bool {
        at(&self.activity, row) == Some(activity)
    }

    fn activity_id(&self, row: usize) -> i32 {
        let operation = at(&self.operation, row).unwrap_or_default();
        match at(&self.activity, row) {
            Some("exec") => 1,
            Some("exit") => 2,
            Some("ptrace") => 3,
            Some("credential") if SET_USER.contains(&operation) => 5,
            _ => OTHER,
        }
    }

    /// Whether the parent did it: it started the process, or asked to trace it.
    fn is_parents(&self, row: usize) -> bool {
        let traced = self.is(row, "ptrace") && at(&self.operation, row) == Some("traceme");
        traced || ["exec", "fork", "running"].iter().any(|activity| self.is(row, activity))
    }

    /// Whether it was done to the process that `target_…` names.
    fn is_to_target(&self, row: usize) -> bool {
        self.is(row, "ptrace") && at(&self.operation, row) != Some("traceme")
    }
}

/// The events of rows; `ids` are theirs.
pub(crate) fn events(rows: &Rows<'_>, schema: &Schema, ids: ArrayRef) -> Result<Struct> {
    let (count, times) = (rows.len(), rows.nanos("time")?);
    let what = What { activity: rows.text("activity")?, operation: rows.text("operation")? };
    let mut event = Struct::default();
    let own = |row| at(&what.activity, row).unwrap_or("unknown").to_owned();
    event::classify(&mut event, Class::ProcessActivity, count, |row| what.activity_id(row), own);
    event::severity(&mut event, count, |_| 1);
    event.put("time", longs(count, |row| number(&times, row).map(millis)));
    let results = rows.long("result")?;
    // What is no system call happened, or there would be no row.
    let success = |row| Some(number(&results, row).is_none_or(|result| result >= 0));
    let code = texts(count, |row| number(&results, row).map(|result| result.to_string()));
    event::status(&mut event, count, success, code, Arc::new(what.operation.clone()));
    let source =
        event::Source { profiles: &["host", "container"], log_name: events::PROCESS, log_provider: "ebbline-agent" };
    event.put("metadata", event::metadata(&source, &times, ids, Arc::new(what.activity.clone()))?);
    event.put("device", event::device(&rows.text("host")?, true)?);
    event.put("actor", actor(rows, &what)?);
    event.put("process", process(rows, &what, &times)?);
    event.put("exit_code", Arc::new(rows.int("exit_code")?));
    event.put("unmapped", rows.rest(&REST, schema)?.nested(None)?);
    Ok(event)
}

/// A process as it is told of in a row: number, key and image.
struct Told {
    pid: Int64Array,
    key: StringArray,
    exe: StringArray,
}

impl Told {
    fn of(rows: &Rows<'_>, pid: &str, key: &str, exe: &str) -> Result<Self> {
        Ok(Self { pid: rows.long(pid)?, key: rows.text(key)?, exe: rows.text(exe)? })
    }

    fn is_there(&self, row: usize) -> bool {
        self.pid.is_valid(row) || self.key.is_valid(row)
    }
}

/// Number, key and image of one process or another, row by row.
fn chosen<'a>(rows: usize, of: impl Fn(usize) -> &'a Told) -> Struct {
    let mut process = Struct::default();
    process.put("pid", ints(rows, |row| number(&of(row).pid, row).and_then(|pid| i32::try_from(pid).ok())));
    process.put("uid", texts(rows, |row| at(&of(row).key, row)));
    process
}

/// Who did it: the parent, or the process itself; and as whom.
fn actor(rows: &Rows<'_>, what: &What) -> Result<ArrayRef> {
    let count = rows.len();
    let own = Told::of(rows, "pid", "process_key", "exe")?;
    let parent = Told::of(rows, "parent_pid", "parent_key", "parent_exe")?;
    let of = |row| if what.is_parents(row) { &parent } else { &own };
    let mut process = chosen(count, of);
    let images: StringArray = (0..count).map(|row| at(&of(row).exe, row)).collect();
    let (comm, tid) = (rows.text("comm")?, rows.int("tid")?);
    let itself = |row| !what.is_parents(row);
    process.put("name", texts(count, |row| if itself(row) { at(&comm, row) } else { at(&images, row).map(leaf) }));
    process.put("tid", ints(count, |row| (itself(row) && tid.is_valid(row)).then(|| tid.value(row))));
    process.put("file", event::file(&images, None)?);
    process.put("container", of_own(event::container(rows)?, itself)?);
    let mut actor = Struct::default();
    actor.put("process", process.nested(valid_if(count, |row| of(row).is_there(row)))?);
    actor.put("user", event::user(rows, "uid")?);
    let session = rows.text("session")?;
    let there = session.nulls().cloned();
    let mut session_of = Struct::default();
    session_of.put("uid", Arc::new(session));
    actor.put("session", session_of.nested(there)?);
    actor.nested(None)
}

/// The process it was done to.
fn process(rows: &Rows<'_>, what: &What, times: &Int64Array) -> Result<ArrayRef> {
    let count = rows.len();
    let own = Told::of(rows, "pid", "process_key", "exe")?;
    let target = Told::of(rows, "target_pid", "target_key", "target_exe")?;
    let of = |row| if what.is_to_target(row) { &target } else { &own };
    let mine = |row| !what.is_to_target(row);
    let mut process = chosen(count, of);
    let (comm, tid) = (rows.text("comm")?, rows.int("tid")?);
    process.put("name", texts(count, |row| if mine(row) { at(&comm, row) } else { at(&target.exe, row).map(leaf) }));
    process.put("tid", ints(count, |row| (mine(row) && tid.is_valid(row)).then(|| tid.value(row))));
    process.put("cmd_line", command_lines(rows));
    let runtime = rows.long("runtime_ns")?;
    let is_end = |row| what.is(row, "exit");
    let started = |row| match () {
        () if is_end(row) => Some(number(times, row)?.saturating_sub(number(&runtime, row)?)),
        () if what.is(row, "fork") => number(times, row),
        () => None,
    };
    process.put("created_time", longs(count, |row| started(row).map(millis)));
    process.put("terminated_time", longs(count, |row| number(times, row).filter(|_| is_end(row)).map(millis)));
    let images: StringArray = (0..count).map(|row| at(&of(row).exe, row)).collect();
    let hashes = rows.text("exe_sha256")?;
    let hashes: StringArray =
        (0..count).map(|row| at(&hashes, row).filter(|_| mine(row) && images.is_valid(row))).collect();
    process.put("file", event::file(&images, Some(&hashes))?);
    process.put("user", of_own(event::user(rows, "uid")?, mine)?);
    process.put("container", of_own(event::container(rows)?, mine)?);
    process.put("lineage", of_own(lineage(rows)?, mine)?);
    process.put("parent_process", of_own(parent(rows)?, mine)?);
    process.nested(None)
}

/// A column in the rows that are about the process itself.
fn of_own(column: ArrayRef, mine: impl Fn(usize) -> bool) -> Result<ArrayRef> {
    let not = arrow_array::BooleanArray::from_iter((0..column.len()).map(|row| Some(!mine(row))));
    match not.true_count() {
        0 => Ok(column),
        _ => arrow_select::nullif::nullif(&column, &not),
    }
}

fn parent(rows: &Rows<'_>) -> Result<ArrayRef> {
    let count = rows.len();
    let told = Told::of(rows, "parent_pid", "parent_key", "parent_exe")?;
    let mut parent = chosen(count, |_| &told);
    parent.put("name", texts(count, |row| at(&told.exe, row).map(leaf)));
    parent.put("file", event::file(&told.exe, None)?);
    parent.nested(valid_if(count, |row| told.is_there(row)))
}

/// Arguments as a shell would take them, so that they can be told apart.
fn command_lines(rows: &Rows<'_>) -> ArrayRef {
    let Some(args) = rows.raw("args").and_then(|args| args.as_list_opt::<i32>()) else {
        return texts(rows.len(), |_| None::<&str>);
    };
    texts(rows.len(), |row| {
        let words = args.is_valid(row).then(|| args.value(row))?;
        let words = words.as_string_opt::<i32>()?.clone();
        Some(shell::line(words.iter().flatten()))
    })
}

/// Images of the ancestors that are known, the topmost first.
fn lineage(rows: &Rows<'_>) -> Result<ArrayRef> {
    let ancestors = rows.raw("ancestors").and_then(|list| list.as_list_opt::<i32>());
    let (mut images, mut lengths, mut there) = (Vec::new(), Vec::new(), Vec::new());
    for row in 0..rows.len() {
        let before = images.len();
        let list = ancestors.filter(|list| list.is_valid(row)).map(|list| list.value(row));
        if let Some(exes) =
            list.as_ref().and_then(|list| list.as_struct_opt()).and_then(|list| list.column_by_name("exe"))
        {
            let exes = exes.as_string::<i32>();
            images.extend(exes.iter().rev().flatten().map(str::to_owned));
        }
        there.push(list.is_some());
        lengths.push(images.len() - before);
    }
    lists(Arc::new(StringArray::from(images)), lengths, Some(there.into()))
}

/// The last part of a path; of a memory file all of it.
pub(crate) fn leaf(path: &str) -> &str {
    match path.rsplit('/').next() {
        Some(leaf) if !leaf.is_empty() && !path.starts_with("memfd:") => leaf,
        _ => path,
    }
}
