//! `docs/kernels.md`: what works on which kernel, for people and, at its end, for programs.

use super::Outcome;
use crate::shell::root;
use anyhow::{Context, Result};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::PathBuf;

const INTRODUCTION: &str = "# Kernels

Written by `cargo xtask vm-test --write`, which boots stock Debian kernels under software emulation (QEMU, TCG) with nothing but the agent, its live tests and what they call in
memory, and runs each test as root. A result is that of the test's last run on that package; a test without one has not run there. Needed everywhere: exec, fork, exit, TCP, UDP
and exact books. The rest may be missing, hook by hook: `ebbline-agent doctor` says so on the machine itself.

Before Linux 5.11 the kernel counts what programs and maps hold against the locked memory of their user: the agent raises its own limit, which takes CAP_SYS_RESOURCE where it is
not root, and other programs of the same user that load BPF need a higher limit too.
";

type Outcomes = BTreeMap<String, Outcome>;

/// Of a kernel, in one line.
pub(super) fn summary(version: &str, outcome: &Outcome) -> String {
    let (hooks, tests) = (in_place(outcome), passed(outcome));
    let Outcome { release, boots, seconds, .. } = outcome;
    format!("{version:<5} {release:<28} hooks {hooks:<7} tests {tests:<7} boots {boots}   {seconds} s")
}

fn in_place(outcome: &Outcome) -> String {
    format!("{}/{}", outcome.hooks.values().filter(|why| why.is_none()).count(), outcome.hooks.len())
}

fn passed(outcome: &Outcome) -> String {
    format!("{}/{}", outcome.tests.values().filter(|result| *result == "ok").count(), outcome.tests.len())
}

/// The hooks among the doctor's checks: each with the reason if it is not in place.
pub(super) fn hooks(report: &str) -> Result<BTreeMap<String, Option<String>>> {
    let report: Value = serde_json::from_str(report).with_context(|| format!("the doctor's report: {report}"))?;
    let checks = report["checks"].as_array().context("the doctor made no checks")?;
    let of_hook = |check: &Value| {
        let what = check["what"].as_str()?.to_owned();
        let why = (check["ok"] != true).then(|| check["found"].as_str().unwrap_or_default().to_owned());
        what.ends_with(')').then_some((what, why))
    };
    Ok(checks.iter().filter_map(of_hook).collect())
}

fn path() -> PathBuf {
    root().join("docs/kernels.md")
}

/// Enters a kernel's results in the page; those of other kernels stay.
pub(super) fn write(version: &str, outcome: &Outcome, whole: bool) -> Result<()> {
    let mut all = std::fs::read_to_string(path()).ok().and_then(|page| read(&page)).unwrap_or_default();
    enter(&mut all, version, outcome, whole);
    let partial = path().with_extension("tmp");
    std::fs::write(&partial, page(&all)?).with_context(|| format!("cannot write {}", partial.display()))?;
    std::fs::rename(&partial, path())?;
    eprintln!("wrote {}", path().display());
    Ok(())
}

/// Tests that did not run keep their result on the same kernel, unless all that there are ran.
fn enter(all: &mut Outcomes, version: &str, outcome: &Outcome, whole: bool) {
    let mut entered = outcome.clone();
    let before = all.remove(version).filter(|before| !whole && before.package == outcome.package);
    for (test, result) in before.into_iter().flat_map(|before| before.tests) {
        entered.tests.entry(test).or_insert(result);
    }
    all.insert(version.to_owned(), entered);
}

/// The results in a page.
fn read(page: &str) -> Option<Outcomes> {
    let (_, rest) = page.split_once("```json\n")?;
    serde_json::from_str(rest.split_once("\n```")?.0).ok()
}

fn page(outcomes: &Outcomes) -> Result<String> {
    let kernels = sorted(outcomes);
    let mut page = INTRODUCTION.to_owned();
    page.push_str("\n| kernel | package | hooks in place | tests passed | last run |\n|---|---|---|---|---|\n");
    for (_, outcome) in &kernels {
        let (hooks, tests) = (in_place(outcome), passed(outcome));
        let Outcome { release, package, boots, seconds, ran, .. } = outcome;
        let last = format!("{ran} tests, {seconds} s, boots: {boots}");
        writeln!(page, "| {release} | {package} | {hooks} | {tests} | {last} |")?;
    }
    page.push_str("\n## What is missing\n\n");
    page.push_str(&missing(&kernels)?);
    let hooks = |outcome: &Outcome| outcome.hooks.iter().map(|(hook, why)| (hook.clone(), why.is_none())).collect();
    page.push_str("\n## Hooks\n\n");
    page.push_str(&table("hook", &kernels, hooks)?);
    let tests = |outcome: &Outcome| outcome.tests.iter().map(|(test, result)| (test.clone(), result == "ok")).collect();
    page.push_str("\n## Tests\n\n");
    page.push_str(&table("test", &kernels, tests)?);
    let json = serde_json::to_string_pretty(outcomes)?;
    write!(
        page,
        "\n## For programs\n\n`hooks`: null if in place, else why not. `tests`: `ok`, `FAILED`, or why it cannot pass.\n\n```json\n{json}\n```\n"
    )?;
    Ok(page)
}

fn sorted(outcomes: &Outcomes) -> Vec<(&String, &Outcome)> {
    let mut kernels: Vec<_> = outcomes.iter().collect();
    let numbers = |version: &str| version.split('.').filter_map(|part| part.parse().ok()).collect::<Vec<u32>>();
    kernels.sort_by_key(|(version, _)| numbers(version));
    kernels
}

/// Hooks that are not in place and tests that do not pass, with reasons.
fn missing(kernels: &[(&String, &Outcome)]) -> Result<String> {
    let mut lines = String::new();
    for (version, outcome) in kernels {
        for (hook, why) in outcome.hooks.iter().filter_map(|(hook, why)| Some((hook, why.as_ref()?))) {
            writeln!(lines, "- {version}: {hook}: {why}")?;
        }
        for (test, result) in outcome.tests.iter().filter(|(_, result)| *result != "ok") {
            writeln!(lines, "- {version}: `{test}`: {result}")?;
        }
    }
    Ok(if lines.is_empty() { "Nothing of what ran.\n".to_owned() } else { lines })
}

/// A row for each thing, a column for each kernel.
fn table(
    head: &str,
    kernels: &[(&String, &Outcome)],
    of: impl Fn(&Outcome) -> BTreeMap<String, bool>,
) -> Result<String> {
    let columns: Vec<BTreeMap<String, bool>> = kernels.iter().map(|(_, outcome)| of(outcome)).collect();
    let rows: BTreeSet<&String> = columns.iter().flat_map(BTreeMap::keys).collect();
    let names: Vec<&str> = kernels.iter().map(|(version, _)| version.as_str()).collect();
    let mut text = format!("| {head} | {} |\n|---|{}\n", names.join(" | "), "---|".repeat(names.len()));
    for row in rows {
        let mark = |column: &BTreeMap<String, bool>| match column.get(row) {
            Some(true) => "yes",
            Some(false) => "**no**",
            None => "–",
        };
        let marks: Vec<&str> = columns.iter().map(mark).collect();
        writeln!(text, "| {row} | {} |", marks.join(" | "))?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_gives_back_what_it_was_made_of() {
        let hooks = BTreeMap::from([("a (b)".to_owned(), None), ("c (d)".to_owned(), Some("no | way".to_owned()))]);
        let tests =
            BTreeMap::from([("live::x".to_owned(), "ok".to_owned()), ("live::y".to_owned(), "FAILED".to_owned())]);
        let one =
            Outcome { release: "5.10.0".into(), package: "p 1".into(), boots: 2, seconds: 90, ran: 2, hooks, tests };
        let outcomes = BTreeMap::from([("6.1".to_owned(), one.clone()), ("5.10".to_owned(), one)]);
        let page = page(&outcomes).unwrap();
        let again = read(&page).unwrap();
        assert_eq!(serde_json::to_value(&again).unwrap(), serde_json::to_value(&outcomes).unwrap());
        assert!(
            page.contains("| test | 5.10 | 6.1 |")
                && page.contains("| 5.10.0 | p 1 | 1/2 | 1/2 | 2 tests, 90 s, boots: 2 |"),
            "{page}"
        );
        assert!(page.contains("- 5.10: c (d): no | way") && page.contains("| live::y | **no** | **no** |"), "{page}");
    }

    #[test]
    fn a_run_of_some_tests_keeps_the_others_on_the_same_kernel_only() {
        let of = |package: &str, tests: &[(&str, &str)]| {
            let text = |(test, result): &(&str, &str)| ((*test).to_owned(), (*result).to_owned());
            let (package, tests) = (package.to_owned(), tests.iter().map(text).collect());
            Outcome { release: "r".into(), package, boots: 1, seconds: 1, ran: 1, hooks: BTreeMap::new(), tests }
        };
        let (all, some) = (of("p 1", &[("x", "ok"), ("y", "FAILED")]), of("p 1", &[("y", "ok")]));
        let after = |outcome: &Outcome, whole| {
            let mut outcomes = BTreeMap::from([("6.1".to_owned(), all.clone()), ("7".to_owned(), all.clone())]);
            enter(&mut outcomes, "6.1", outcome, whole);
            assert_eq!(outcomes["7"].tests, all.tests);
            outcomes["6.1"].tests.iter().map(|(test, result)| format!("{test} {result}")).collect::<Vec<_>>()
        };
        assert_eq!(after(&some, false), ["x ok", "y ok"]);
        assert_eq!(after(&some, true), ["y ok"]);
        assert_eq!(after(&of("p 2", &[("y", "ok")]), false), ["y ok"]);
    }
}
