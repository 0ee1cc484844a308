//! `ebbline bench compare`.

use anyhow::{Result, bail};
use bench::compare;

use super::args::CompareArgs;
use super::load::load;
use super::print::spread;
use crate::output::{print, print_json, table};
use crate::words::{plural, visible};

/// Compares; nothing is ever skipped.
pub(super) fn run(args: &CompareArgs) -> Result<bool> {
    let compared = compare(&load("compare", &args.before)?, &load("compare", &args.after)?);
    if args.json {
        print_json(&serde_json::to_value(&compared)?)?;
        return Ok(false);
    }
    compared.notes.iter().for_each(|note| eprintln!("{}", visible(&format!("note: {note}"))));
    if compared.pairs.is_empty() {
        bail!("nothing to compare: {} and {}: no figure is in both", args.before.display(), args.after.display());
    }
    let mut table = table(["device", "figure", "first, rows/s", "second, rows/s", "ratio"], &[2, 3, 4]);
    for pair in &compared.pairs {
        let ratio = if pair.ratio.is_finite() { format!("{:.2}", pair.ratio) } else { "–".to_owned() };
        let ratio = if pair.is_apart { ratio } else { format!("({ratio})") };
        table.add_row([pair.label.clone(), pair.what.clone(), spread(&pair.before), spread(&pair.after), ratio]);
    }
    let more = match compared.unmatched as u64 {
        0 => String::new(),
        n => format!("\n{} in one of them only", plural(n, "figure is", "figures are")),
    };
    print(&format!(
        "{table}\nratios in parentheses: some runs of both were as fast, or there were fewer than three{more}"
    ))?;
    Ok(false)
}
