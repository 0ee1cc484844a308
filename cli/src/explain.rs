//! `ebbline explain`.

use anyhow::Result;
use archive::ExplainedRow;
use model::{Baseline, Lens, LevelExplanation, ViewExplanation};
use serde_json::{Value, json};
use store::bits_f32;

use crate::args::ExplainArgs;
use crate::output::{print, print_json, table};
use crate::techniques;
use crate::words::{Role, inline, mark, one_in, thousands};

/// Views whose suggestions are shown in words.
const REASONS: usize = 3;

/// Prints every view of a row.
pub(crate) fn run(args: &ExplainArgs) -> Result<bool> {
    let baseline = crate::baseline::current(&args.baseline, crate::baseline::today())?;
    let row = archive::explain_row(&args.file, args.row, &baseline)?;
    if args.json {
        print_json(&to_json(args, &row, &baseline))?;
    } else {
        print(&in_words(&row, &baseline.parts().lenses))?;
    }
    Ok(false)
}

fn in_words(row: &ExplainedRow, lenses: &[Lens]) -> String {
    let mut table =
        table(["bits", "what, and how often before in which context", "scope", "n", "N", "T"], &[0, 3, 4, 5]);
    for view in &row.views {
        table.add_row([
            format!("{:.2}", bits_f32(u32::from(view.bits))),
            inline(&format!("{}: {}", view.name, terminal::told(&view.child))),
        ]);
        for (at, level) in visited(view).iter().enumerate() {
            let mark = if view.costliest == Some(at) { "▸" } else { "·" };
            let context = if level.context.is_empty() { "(anything)" } else { &inline(&level.context) };
            let [n, total, kinds] = [level.seen, level.total, level.kinds].map(|n| thousands(u64::from(n)));
            let scope = level.scope.name();
            table.add_row([String::new(), format!("{mark} {context}"), scope, n, total, kinds]);
        }
    }
    let what = row.title.clone().unwrap_or_else(|| format!("a row of table {}", row.table));
    let telling = row.views.iter().filter(|view| view.bits > 0).take(REASONS);
    let suggestions = techniques::in_words(telling.map(|view| techniques::of(lenses, &[&row.table], &view.name)));
    let suggestions = suggestions.map_or_else(String::new, |line| format!("\n{}", mark(Role::Dim, &line)));
    format!(
        "{}\n{} UTC, host {}\n{table}\n{:.2} bits in all; rows as odd as this: {}{suggestions}",
        mark(Role::Strong, &inline(&what)),
        store::time_text(row.time),
        if row.host.is_empty() { "unknown".to_owned() } else { inline(&row.host) },
        bits_f32(row.bits),
        mark(Role::Number, &one_in(bits_f32(u32::from(row.log2_n)))),
    )
}

/// The levels that were looked at: up to the one where the child was seen.
fn visited(view: &ViewExplanation) -> &[LevelExplanation] {
    let seen = view.levels.iter().position(|level| level.seen > 0);
    &view.levels[..seen.map_or(view.levels.len(), |at| at + 1)]
}

fn to_json(args: &ExplainArgs, row: &ExplainedRow, baseline: &Baseline) -> Value {
    let lenses = &baseline.parts().lenses;
    let views: Vec<Value> = row
        .views
        .iter()
        .map(|view| {
            let level = |(at, level): (usize, &LevelExplanation)| {
                json!({
                    "context": level.context, "scope": level.scope.name(), "n": level.seen, "N": level.total,
                    "T": level.kinds, "shown": view.costliest == Some(at),
                })
            };
            json!({
                "view": view.name, "child": view.child, "surprisal": bits_f32(u32::from(view.surprisal)),
                "bits": bits_f32(u32::from(view.bits)), "vocabulary": view.vocabulary,
                "attack": techniques::of(lenses, &[&row.table], &view.name),
                "levels": visited(view).iter().enumerate().map(level).collect::<Vec<_>>(),
            })
        })
        .collect();
    let log2_n = bits_f32(u32::from(row.log2_n));
    json!({
        "file": args.file, "row": args.row, "table": row.table, "baseline": baseline.id(), "host": row.host,
        "time": store::rfc3339(row.time), "title": row.title, "bits": bits_f32(row.bits), "log2_n": log2_n,
        "one_in": f64::from(log2_n).exp2(), "views": views,
    })
}
