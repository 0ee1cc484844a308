//! `ebbline eval`.

use ::eval::{Options, Set};
use anyhow::{Context, Result, ensure};

use crate::args::EvalArgs;
use crate::output::{print, print_json};

/// Measures sets.
pub(crate) fn run(args: &EvalArgs) -> Result<bool> {
    let sets = if args.all { Set::ALL.to_vec() } else { args.sets.clone() };
    ensure!(args.lens.is_none() || sets.len() == 1, "--lens is for one set");
    let lens = args
        .lens
        .as_ref()
        .map(|path| std::fs::read_to_string(path).with_context(|| format!("cannot read the lens: {}", path.display())));
    let options = Options { data: args.data.clone(), lens: lens.transpose()? };
    let mut reports = Vec::new();
    for set in sets {
        eprintln!("measuring {}", set.name());
        reports.push(::eval::evaluate(set, &options)?);
    }
    if args.json {
        print_json(&serde_json::to_value(&reports)?)?;
    } else {
        print(::eval::report::tables(&reports).trim_end())?;
    }
    Ok(false)
}
