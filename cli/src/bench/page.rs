//! `ebbline bench page`, and the page of `--html`.

use std::path::Path;

use anyhow::{Result, bail};
use bench::Report;
use pages::Page;
use serde_json::{Value, json};

use super::args::PageArgs;
use super::load::load;
use crate::output::{print, print_json};
use crate::words::plural;

/// Results that a page has room for.
pub(super) const MOST: usize = 12;
/// Format of the data in the page.
const FORMAT: u32 = 1;

/// Writes a page; nothing is ever skipped.
pub(super) fn run(args: &PageArgs) -> Result<bool> {
    if args.results.len() > MOST {
        let (out, results) = (args.out.display(), args.results.len());
        bail!(
            "cannot make a page: {out}: {results} results were named, and a page has room for {MOST}; make several pages"
        );
    }
    let reports: Vec<Report> = args.results.iter().map(|path| load("make a page", path)).collect::<Result<_>>()?;
    let names = names(&args.results);
    let named: Vec<_> = names.iter().map(|name| Some(name.as_str())).zip(&reports).collect();
    write(&args.out, &named)?;
    let bytes = std::fs::metadata(&args.out).map(|meta| meta.len()).unwrap_or_default();
    let (file, results) = (&args.out, reports.len());
    if args.json {
        print_json(&json!({ "file": file, "bytes": bytes, "results": results }))?;
    } else {
        let results = plural(results as u64, "result", "results");
        print(&format!("{}: {results}, {}; open it in a browser", file.display(), terminal::bytes(bytes)))?;
    }
    Ok(false)
}

/// Writes a page of results, each under a name where there are several.
pub(super) fn write(path: &Path, results: &[(Option<&str>, &Report)]) -> Result<()> {
    let results: Vec<Value> = results.iter().map(|(name, report)| json!({ "name": name, "report": report })).collect();
    let data = json!({ "format": FORMAT, "version": env!("CARGO_PKG_VERSION"), "results": results });
    Ok(pages::write(path, Page::Bench, &data)?)
}

/// The names of files without their folders, which are nobody's business who reads the page; equal ones are numbered.
fn names(paths: &[impl AsRef<Path>]) -> Vec<String> {
    let mut names: Vec<String> = Vec::with_capacity(paths.len());
    for path in paths {
        let path = path.as_ref();
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
        // A shell's `<(…)` is the number of a descriptor, which says nothing.
        let is_descriptor = path.parent().is_some_and(|folder| folder.ends_with("fd"));
        let name = if is_descriptor { "pipe" } else { name.strip_suffix(".json").unwrap_or(&name) };
        let number = |n: &usize| if *n == 1 { name.to_owned() } else { format!("{name} {n}") };
        let free = (1..).find(|n| !names.contains(&number(n))).unwrap_or(1);
        names.push(number(&free));
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_result_has_a_name_of_its_own() {
        assert_eq!(names(&["a/card.json", "b/card.json", "card 2.json", "x"]), ["card", "card 2", "card 2 2", "x"]);
        assert_eq!(names(&["/dev/fd/63", "/proc/self/fd/62", "/dev/stdin"]), ["pipe", "pipe 2", "stdin"]);
    }
}
