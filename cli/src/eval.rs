//! `ebbline eval`.

use std::path::Path;

use ::eval::{EvalError, Options, Peers, Set, report, study};
use anyhow::{Context, Result, ensure};

use crate::args::EvalArgs;
use crate::output::{print, print_json};

/// Measures sets.
pub(crate) fn run(args: &EvalArgs) -> Result<bool> {
    let sets = if args.all { Set::ALL.to_vec() } else { args.sets.clone() };
    ensure!(args.lens.is_none() || sets.len() == 1, "cannot measure: --lens: it is for one set");
    let lens = args
        .lens
        .as_ref()
        .map(|path| std::fs::read_to_string(path).with_context(|| format!("cannot read the lens: {}", path.display())));
    let options = Options { data: args.data.clone(), lens: lens.transpose()? };
    if args.combinations {
        return compare(&sets, &options, args.write.as_deref());
    }
    let peers = args.peers.as_deref().map(Peers::read).transpose()?;
    let mut reports = Vec::new();
    for set in sets {
        eprintln!("measuring {}", set.name());
        let report = ::eval::evaluate(set, &options)?;
        let other = peers.as_ref().map(|peers| peers.other_rows(&report)).unwrap_or_default();
        if !other.is_empty() {
            return Err(EvalError::OtherRows { set: report.set, measures: other.join(", ") }.into());
        }
        reports.push(report);
    }
    if let Some(path) = &args.write {
        write(path, &report::page(&reports, peers.as_ref()))?;
    }
    if args.json {
        print_json(&serde_json::to_value(&reports)?)?;
    } else {
        print(report::tables(&reports, peers.as_ref()).trim_end())?;
    }
    Ok(false)
}

/// Compares ways of combining.
fn compare(sets: &[Set], options: &Options, page: Option<&Path>) -> Result<bool> {
    let mut judged = Vec::new();
    for set in sets {
        eprintln!("comparing on {}", set.name());
        judged.push((set.name().to_owned(), ::eval::compare(*set, options)?));
    }
    let table = study::table(&judged);
    if let Some(path) = page {
        write(path, &format!("{}{table}", study::HEAD))?;
    }
    print(table.trim_end())?;
    Ok(false)
}

/// Whole or not at all.
fn write(path: &Path, text: &str) -> Result<()> {
    let temporary = path.with_extension("tmp");
    let written = std::fs::write(&temporary, text).and_then(|()| std::fs::rename(&temporary, path));
    written.with_context(|| format!("cannot write: {}", path.display()))
}
