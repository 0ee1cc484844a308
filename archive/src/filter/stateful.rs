//! Fields that depend on earlier rows, behind a filter: a row that does not pass did not happen (docs/contracts.md §1).

use std::path::Path;

use model::{HashKey, Lens};
use proptest::prelude::*;

use super::tests::{Row, condition, passes, write};
use super::*;
use crate::{LearnOptions, ScoreOptions, Silent, learn, score};

const LENS: &str = r#"
table = "t"
time = "time"
[scopes]
host = "host"
[fields]
s = { column = "s", kind = "id" }
s_before = { column = "s", kind = "id", of = "n" }
s_two_before = { column = "s", kind = "id", of = "n", lag = 2 }
burst = { burst = true, of = "n", tick = "60s" }
rate = { rate = true, of = "n", tick = "60s" }
names = { fanout = "s", of = "n", tick = "60s" }
[[views]]
name = "before"
child = ["s"]
context = [["s_before", "s_two_before"], ["s_before"], []]
[[views]]
name = "how many"
child = ["burst", "rate", "names"]
context = [["s"], []]
[[units]]
kind = "host"
key = ["host"]
window = "1h"
"#;

fn row() -> impl Strategy<Value = Row> {
    let all = (0i64..9_000, "[ab]", prop::option::of(0i64..3), prop::option::of("[ab]{1,2}"));
    all.prop_map(|(time, host, n, s)| Row { time, host, n, x: None, s })
}

fn filter() -> impl Strategy<Value = Filter> {
    let time = || prop::option::of((0i64..9_000).prop_map(|s| s * 1_000_000_000));
    let hosts = prop::collection::btree_set("[ab]", 0..2);
    (time(), time(), hosts, prop::option::of(condition())).prop_map(|(since, until, hosts, condition)| Filter {
        since,
        until,
        hosts,
        condition,
    })
}

/// The files of a folder, of those rows alone that are wanted; whether there are any.
fn files(folder: &Path, parts: &[&[Row]], group: usize, wanted: impl Fn(&Row) -> bool) -> bool {
    std::fs::create_dir(folder).unwrap();
    let mut any = false;
    for (at, part) in parts.iter().enumerate() {
        let rows: Vec<Row> = part.iter().filter(|row| wanted(row)).cloned().collect();
        if !rows.is_empty() {
            any = true;
            write(&rows, group, &folder.join(format!("{at}.parquet")));
        }
    }
    any
}

/// Number of a row, its bits and its rarity.
type Scored = (u64, f32, f32);

/// The bits of every row, with its rarity, by file.
fn scores(folder: &Path, out: &Path, baseline: &model::Baseline, filter: Filter) -> Vec<(String, Vec<Scored>)> {
    let options = ScoreOptions { backend: crate::Choice::Cpu.into(), filter, ..ScoreOptions::default() };
    let run = score(&[folder], baseline, out, &options, &Silent).unwrap().run;
    let mut names: Vec<String> = run.inputs_done.into_iter().map(|input| input.path).collect();
    names.sort();
    let rows = |name: &String| {
        let rows = store::read_sidecar(&store::sidecar_path(out, baseline.id(), name)).unwrap();
        (name.clone(), rows.into_iter().map(|row| (row.row, row.bits, row.log2_n)).collect())
    };
    names.iter().map(rows).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn rows_that_do_not_pass_did_not_happen(
        rows in prop::collection::vec(row(), 20..150),
        cut in 0usize..20,
        group in 1usize..40,
        filter in filter(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let parts = [&rows[..cut], &rows[cut..]];
        files(&at("all"), &parts, group, |_| true);
        prop_assume!(files(&at("plain"), &parts, group, |row| passes(&filter, row)));
        // A condition on a column that is nowhere is an error, and not a property of rows.
        prop_assume!(!filter.condition.iter().flat_map(Condition::columns).any(|column| column == "absent"));
        let learned = |name: &str, filter: &Filter| {
            let (key, lenses) = (Some(HashKey([7; 32])), Some(vec![Lens::parse(LENS).unwrap()]));
            let options = LearnOptions { key, lenses, filter: filter.clone(), ..LearnOptions::default() };
            learn(&[at(name)], &options, &Silent).unwrap()
        };
        let (filtered, plain) = (learned("all", &filter), learned("plain", &Filter::default()));
        prop_assert_eq!((filtered.rows, filtered.baseline.id()), (plain.rows, plain.baseline.id()));
        let baseline = learned("all", &Filter::default()).baseline;
        let some = scores(&at("all"), &at("some"), &baseline, filter.clone());
        let whole = scores(&at("plain"), &at("whole"), &baseline, Filter::default());
        // The same scores, under the numbers that the rows have among all.
        let numbered = whole.into_iter().map(|(name, scores)| {
            let part = parts[usize::from(name != "0.parquet")];
            let numbers = (0u64..).zip(part).filter(|(_, row)| passes(&filter, row)).map(|(number, _)| number);
            (name, numbers.zip(scores).map(|(number, (_, bits, rare))| (number, bits, rare)).collect::<Vec<_>>())
        });
        prop_assert_eq!(some, numbered.collect::<Vec<_>>());
    }
}
