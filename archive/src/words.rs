//! Rows in words, safe to print: what was captured can hold anything, terminal commands included.

use arrow_array::cast::AsArray;
use arrow_array::{Array, RecordBatch};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use model::explain::counts_in_words;
use store::FindingReason;
use terminal::{printable, told};

/// Columns that titles are made of, beside those of the lens.
pub(crate) const TITLE_COLUMNS: [&str; 11] = [
    "activity",
    "exe",
    "parent_exe",
    "root_exe",
    "args",
    "exit_code",
    "exit_signal",
    "protocol",
    "direction",
    "remote_ip",
    "remote_port",
];

/// Titles longer than this are cut.
const LONGEST: usize = 240;

/// A row of one of Ebbline's tables in words; nothing for tables of others.
pub(crate) fn title(table: &str, batch: &RecordBatch, row: usize) -> Option<String> {
    let get = |column: &str| cell(batch, column, row);
    let exe = get("exe").unwrap_or_else(|| "an unknown program".into());
    let below = get("root_exe").map(|root| format!(" below {root}")).unwrap_or_default();
    let by = get("parent_exe").map(|parent| format!(" under {parent}")).unwrap_or_default();
    let activity = get("activity")?;
    let text = match (table, activity.as_str()) {
        (events::PROCESS, "exec") => format!("{} started{by}{below}", command(batch, row, &exe)),
        (events::PROCESS, "fork") => format!("{exe} forked{by}{below}"),
        (events::PROCESS, "exit") => {
            let code = get("exit_code").unwrap_or_else(|| "?".into());
            let signal = get("exit_signal").filter(|s| s != "0").map(|s| format!(", signal {s}")).unwrap_or_default();
            format!("{exe} ended with {code}{signal}{by}{below}")
        }
        (events::CONNECTION, _) => {
            let peer = get("remote_ip").unwrap_or_else(|| "?".into());
            let port = get("remote_port").unwrap_or_else(|| "?".into());
            let protocol = get("protocol").unwrap_or_default();
            let verb = match activity.as_str() {
                "connect" => "connects to",
                "accept" => "accepts",
                "send" => "sends to",
                _ => "closes",
            };
            format!("{exe} {verb} {peer} port {port}/{protocol}{by}{below}")
        }
        _ => return None,
    };
    Some(printable(&text, LONGEST))
}

/// The command line as typed, with the image in place of the name it was called by; where the two differ, both.
fn command(batch: &RecordBatch, row: usize, exe: &str) -> String {
    let list = batch.column_by_name("args").and_then(|column| column.as_list_opt::<i32>());
    let Some(list) = list.filter(|list| list.is_valid(row)) else { return exe.to_owned() };
    let args = list.value(row);
    let Some(args) = args.as_string_opt::<i32>() else { return exe.to_owned() };
    let mut words: Vec<&str> = args.iter().map(Option::unwrap_or_default).collect();
    let leaf = |path: &str| path.rsplit('/').next().unwrap_or(path).to_owned();
    match words.first_mut() {
        Some(first) if leaf(first) == leaf(exe) => *first = exe,
        Some(_) => return format!("{exe} ({})", words.join(" ")),
        None => return exe.to_owned(),
    }
    words.join(" ")
}

/// A cell as text; nothing if it is null or the column is not there.
fn cell(batch: &RecordBatch, column: &str, row: usize) -> Option<String> {
    let array = batch.column_by_name(column)?;
    if array.is_null(row) {
        return None;
    }
    let options = FormatOptions::new();
    let text = ArrayFormatter::try_new(array.as_ref(), &options).ok()?.value(row).try_to_string().ok()?;
    (!text.is_empty()).then_some(text)
}

/// `exe=/usr/bin/curl given parent_exe=/usr/sbin/nginx: 0 of 41,220 (312 kinds), this host`.
#[must_use]
pub fn reason_in_words(reason: &FindingReason) -> String {
    let given = if reason.context.is_empty() { "anything".to_owned() } else { told(&reason.context) };
    format!(
        "{} given {given}: {}",
        told(&reason.child),
        counts_in_words(&reason.scope, reason.n, reason.total, reason.distinct)
    )
}
