//! `ebbline bench auto`.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use archive::{BackendWish, Choice, Kept};
use model::Baseline;
use serde_json::{Value, json};

use super::args::AutoArgs;
use crate::output::{print, print_json, table};
use crate::words::{thousands, visible};

/// Says what `auto` takes for each table; nothing is ever skipped.
pub(super) fn run(args: &AutoArgs) -> Result<bool> {
    let files = BackendWish::for_files(Choice::Auto, args.adapter.clone(), None).kept_for_user();
    // Who names a card wants to hear of that one, and not that the CPU does without.
    if let Err(error) = files.wish.check() {
        bail!("cannot choose: --adapter: {}; name one that is there, or leave --adapter away", error.why());
    }
    let baseline = crate::baseline::current(&args.baseline, crate::baseline::today())?;
    if let Some(path) = files.kept.as_ref().filter(|path| args.again && path.exists()) {
        std::fs::remove_file(path).with_context(|| format!("cannot measure again: {}", path.display()))?;
    }
    let live = BackendWish { kept: files.kept.clone(), ..BackendWish::live(Choice::Auto, args.adapter.clone()) };
    let (mut found, mut kept) = (Vec::new(), None);
    for (caller, mut wish) in [("files", files), ("live", live)] {
        wish.wish.software_too = args.software_too;
        let mut memory = wish.memory();
        found.extend(of(&baseline, caller, &wish, &mut memory)?);
        kept = kept.or(memory.holds().map(Path::to_path_buf));
    }
    if args.json {
        print_json(&json!({ "kept": kept, "tables": found }))?;
    } else {
        print(&words(&found, kept.as_deref()))?;
    }
    Ok(false)
}

/// What is taken for the tables of a baseline, for a caller's batches.
fn of(baseline: &Baseline, caller: &str, wish: &BackendWish, memory: &mut Kept) -> Result<Vec<Value>> {
    let mut opener = wish.opener(memory);
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

fn words(found: &[Value], kept: Option<&Path>) -> String {
    let text = |value: &Value| visible(value.as_str().unwrap_or("–"));
    let mut table = table(["table", "for", "rows a batch", "takes"], &[2]);
    for one in found {
        let rows = thousands(one["batch_rows"].as_u64().unwrap_or(0));
        let why = [&one["reason"], &one["note"]].into_iter().filter(|part| part.is_string()).map(text);
        table.add_row([text(&one["table"]), text(&one["for"]), rows, why.collect::<Vec<_>>().join("; ")]);
    }
    let kept = match kept {
        Some(path) => format!(
            "figures are kept in {}; an agent keeps its own in .backend.json in the folder of its results",
            visible(&path.display().to_string())
        ),
        None if found.iter().any(|one| one["note"].is_string()) => {
            "figures are not kept, for the reason above".to_owned()
        }
        None => "no figures are kept, as none were taken".to_owned(),
    };
    format!("{table}\n{kept}")
}
