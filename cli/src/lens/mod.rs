//! `ebbline lens …`.

pub(crate) mod args;

use std::path::Path;

use anyhow::{Result, bail};
use model::lens_check::{SeenField, Sight, percent};
use model::nearest::nearest;
use model::{Lens, builtin};
use serde_json::{Value, json};

use self::args::{CheckArgs, LensCommand, ListArgs, ShowArgs, SuggestArgs};
use crate::output::{print, print_json, table};
use crate::words::{inline, plural, thousands, visible};

/// Runs a command; true if inputs were skipped.
pub(crate) fn run(command: LensCommand) -> Result<bool> {
    match command {
        LensCommand::Check(args) => check(&args),
        LensCommand::Suggest(args) => suggest(&args),
        LensCommand::List(args) => list(&args),
        LensCommand::Show(args) => show(&args),
    }?;
    Ok(false)
}

/// The first table that cannot be read ends it.
fn check(args: &CheckArgs) -> Result<()> {
    let lens = crate::lenses::read(&args.lens)?;
    let mut all: Vec<(&Path, Sight)> = Vec::new();
    for path in &args.tables {
        all.push((path, archive::check_lens(path, &lens)?));
    }
    if args.json {
        return print_json(&Value::Array(all.iter().map(|(path, sight)| to_json(path, &lens, sight)).collect()));
    }
    let texts: Vec<String> = all.iter().map(|(path, sight)| in_words(path, &lens, sight)).collect();
    print(&texts.join("\n\n"))
}

fn to_json(path: &Path, lens: &Lens, sight: &Sight) -> Value {
    json!({
        "file": path, "table": lens.table(), "rows": sight.rows, "fields": sight.fields, "warnings": sight.warnings,
    })
}

fn in_words(path: &Path, lens: &Lens, sight: &Sight) -> String {
    let mut rows = table(["field", "column, type", "kind", "empty", "distinct", "most often", "an example"], &[3, 4]);
    for field in &sight.fields {
        rows.add_row(row(field, sight.rows));
    }
    let views = plural(lens.views().len() as u64, "view", "views");
    let mut text =
        format!("{}: table {}, {}, {views}\n{rows}", path.display(), lens.table(), plural(sight.rows, "row", "rows"));
    for warning in &sight.warnings {
        text.push_str(&format!("\nwarning: {}", inline(warning)));
    }
    text
}

fn row(field: &SeenField, rows: u64) -> [String; 7] {
    let column = if field.column.is_empty() { String::new() } else { format!("{}, {}", field.column, field.found) };
    let empty = percent(field.nulls as f64 / rows.max(1) as f64);
    let often: Vec<String> =
        field.frequent.iter().map(|(value, share)| format!("{} {}", inline(value), percent(*share))).collect();
    let example = match &field.example {
        Some((raw, seen)) if raw == seen => inline(raw),
        Some((raw, seen)) => inline(&format!("{raw} → {seen}")),
        None => String::new(),
    };
    let distinct = thousands(field.distinct as u64);
    [field.field.clone(), inline(&column), field.kind.clone(), empty, distinct, often.join("\n"), example]
}

fn suggest(args: &SuggestArgs) -> Result<()> {
    let draft = archive::suggest_lens(&args.table)?;
    print(draft.toml.trim_end())?;
    if !draft.has_time {
        let table = args.table.display();
        let next = "fill in the line `time` of the draft, without which it is no lens";
        eprintln!("{}", visible(&format!("no time: {table}: no column holds times in every row; {next}")));
    }
    Ok(())
}

fn list(args: &ListArgs) -> Result<()> {
    let all: Vec<(&str, Lens)> = builtin::names().filter_map(|name| Some((name, builtin::named(name)?))).collect();
    if args.json {
        let one = |(name, lens): &(&str, Lens)| {
            json!({
                "name": name, "table": lens.table(), "about": about(lens), "fields": lens.fields().len(),
                "views": lens.views().len(),
            })
        };
        return print_json(&Value::Array(all.iter().map(one).collect()));
    }
    let mut rows = table(["name", "table", "views", "about"], &[2]);
    for (name, lens) in &all {
        rows.add_row([(*name).to_owned(), lens.table().to_owned(), lens.views().len().to_string(), about(lens)]);
    }
    print(&rows.to_string())
}

/// The comment that a lens begins with, up to its first full stop.
fn about(lens: &Lens) -> String {
    let comment = lens.source().lines().map_while(|line| line.strip_prefix('#')).map(str::trim);
    let comment = comment.collect::<Vec<_>>().join(" ");
    let end = comment.find(". ").map_or(comment.len(), |at| at + 1);
    comment[..end].to_owned()
}

fn show(args: &ShowArgs) -> Result<()> {
    match builtin::source(&args.name) {
        Some(toml) => print(toml.trim_end()),
        None => {
            let meant = nearest(&args.name, builtin::names()).map(|near| format!("did you mean {near}? "));
            let names: Vec<&str> = builtin::names().collect();
            bail!("no such lens: {}: {}there are {}", args.name, meant.unwrap_or_default(), names.join(", "))
        }
    }
}
