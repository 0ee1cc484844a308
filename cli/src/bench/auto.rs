//! `ebbline bench auto`.

use std::sync::Arc;

use anyhow::{Context, Result};
use archive::{BackendWish, Choice};
use model::Baseline;
use serde_json::{Value, json};

use super::args::AutoArgs;
use crate::output::{print, print_json, table};
use crate::words::{thousands, visible};

/// Says what `auto` takes for each table; nothing is ever skipped.
pub(super) fn run(args: &AutoArgs) -> Result<bool> {
    let baseline = crate::baseline::current(&args.baseline, crate::baseline::today())?;
    let kept = BackendWish::from(Choice::Auto).kept_for_user().kept;
    if let Some(path) = kept.as_ref().filter(|path| args.again && path.exists()) {
        std::fs::remove_file(path).with_context(|| format!("cannot measure again: {}", path.display()))?;
    }
    let callers = [
        ("files", BackendWish::for_files(Choice::Auto, args.adapter.clone(), None)),
        ("live", BackendWish::live(Choice::Auto, args.adapter.clone())),
    ];
    let mut found = Vec::new();
    for (caller, mut wish) in callers {
        wish.kept.clone_from(&kept);
        wish.wish.software_too = args.software_too;
        found.extend(of(&baseline, caller, &wish)?);
    }
    if args.json {
        print_json(&json!({ "kept": kept, "tables": found }))?;
    } else {
        print(&words(&found, kept.as_deref()))?;
    }
    Ok(false)
}

/// What is taken for the tables of a baseline, for a caller's batches.
fn of(baseline: &Baseline, caller: &str, wish: &BackendWish) -> Result<Vec<Value>> {
    let mut memory = wish.memory();
    let mut opener = wish.opener(&mut memory);
    let mut found = Vec::new();
    for snapshot in baseline.snapshots() {
        let table = snapshot.lens.table().to_owned();
        let opened = opener.open(Arc::clone(snapshot))?;
        found.push(json!({
            "table": table,
            "for": caller,
            "backend": opened.backend.name(),
            "device": opened.backend.device(),
            "batch_rows": opened.batch_rows,
            "reason": opened.reason,
            "note": opened.note,
        }));
    }
    Ok(found)
}

fn words(found: &[Value], kept: Option<&std::path::Path>) -> String {
    let text = |value: &Value| visible(value.as_str().unwrap_or("–"));
    let mut table = table(["table", "for", "rows a batch", "takes"], &[2]);
    for one in found {
        let rows = thousands(one["batch_rows"].as_u64().unwrap_or(0));
        let why = [&one["reason"], &one["note"]].into_iter().filter(|part| part.is_string()).map(text);
        table.add_row([text(&one["table"]), text(&one["for"]), rows, why.collect::<Vec<_>>().join("; ")]);
    }
    let kept = kept.map_or_else(
        || "figures are not kept: neither XDG_CACHE_HOME nor HOME names a folder".to_owned(),
        |path| format!("figures are kept in {}", visible(&path.display().to_string())),
    );
    format!("{table}\n{kept}; an agent keeps its own in .backend.json in the folder of its results")
}
