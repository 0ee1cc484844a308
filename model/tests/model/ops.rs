//! Joining, forgetting and compiling whole baselines.

use crate::learn::baseline;
use crate::rows::{Memory, Row, ordinary, process};
use ebbline_model::compile::{Group, Options};
use ebbline_model::ops::{Forget, OpsError, compile, forget, forget_what_came_from, merge};
use ebbline_model::{Baseline, Basis, HashKey, Lens, builtin, learn};
use proptest::prelude::*;

fn bytes(baseline: &Baseline) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("b");
    baseline.save(&path).unwrap();
    std::fs::read(&path).unwrap()
}

fn renamed(mut rows: Vec<Row>, host: &str) -> Vec<Row> {
    rows.iter_mut().for_each(|row| row.host = host.to_owned());
    rows
}

/// Three that overlap: the first two share days of a host, the last is another host's.
fn three() -> [Baseline; 3] {
    let week = ordinary(100..105, 200, 1);
    let in_days = |days: std::ops::Range<i64>| -> Vec<Row> {
        week.iter().filter(|row| days.contains(&(row.time / crate::rows::DAY))).cloned().collect()
    };
    [in_days(100..103), in_days(102..105), renamed(ordinary(101..104, 200, 2), "db7")].map(|rows| baseline(&rows))
}

#[test]
fn a_union_does_not_depend_on_order_and_has_each_part_once() {
    let [a, b, c] = three();
    let all = merge(vec![a.clone(), b.clone(), c.clone()]).unwrap();
    let want = bytes(&all);
    for order in [[&a, &c, &b], [&b, &a, &c], [&b, &c, &a], [&c, &a, &b], [&c, &b, &a]] {
        assert_eq!(bytes(&merge(order.map(Clone::clone).to_vec()).unwrap()), want);
    }
    let left = merge(vec![merge(vec![a.clone(), b.clone()]).unwrap(), c.clone()]).unwrap();
    assert_eq!(bytes(&left), want);
    assert_eq!(bytes(&merge(vec![all.clone(), b.clone(), all.clone()]).unwrap()), want);
    assert_eq!(bytes(&merge(vec![a.clone(), a.clone()]).unwrap()), bytes(&a));
    let rows: u64 = all.segments().iter().map(|s| s.rows).sum();
    assert_eq!(rows, 5 * 200 + 3 * 200, "the day that two of them have counts once");
    let calibration = &all.snapshot("process").unwrap().calibration;
    let of = |baseline: &Baseline| baseline.snapshot("process").unwrap().calibration.rows_used;
    assert_eq!((calibration.basis, calibration.rows_used), (Basis::Forward, of(&a) + of(&b) + of(&c)));
}

#[test]
fn what_a_merge_brought_can_be_taken_back_byte_for_byte() {
    let [a, b, c] = three();
    let joined = merge(vec![a.clone(), b.clone(), c.clone()]).unwrap();
    assert_ne!(joined.id(), a.id());
    let without_c = forget_what_came_from(joined, &c).unwrap();
    assert_eq!(bytes(&without_c), bytes(&merge(vec![a.clone(), b.clone()]).unwrap()));
    let undone = forget_what_came_from(without_c, &b).unwrap();
    assert_eq!(bytes(&undone), bytes(&a), "also the day that both had learned");
    assert!(matches!(forget_what_came_from(a.clone(), &c), Err(OpsError::NothingMatches(_))));
    assert!(matches!(forget_what_came_from(a.clone(), &a), Err(OpsError::NothingLeft(_))));
}

#[test]
fn forgetting_a_host_is_as_if_it_had_never_been_learned() {
    let [a, _, c] = three();
    let both = merge(vec![a.clone(), c]).unwrap();
    let db7 = both.hash_key().value(Some("db7"));
    assert_eq!(both.value(db7), Some("db7"));
    let what = Forget { hosts: vec!["db7".to_owned()], ..Forget::default() };
    let without = forget(both, &what).unwrap();
    assert_eq!(without.value(db7), None, "its words go, too");
    assert!(!without.knows_host(Some("db7")));
    assert_eq!(bytes(&without), bytes(&a));
}

#[test]
fn days_and_single_segments_are_forgotten_with_their_evidence() {
    let a = baseline(&ordinary(100..105, 200, 1));
    let days = Forget { from: Some(102), to: Some(103), ..Forget::default() };
    assert_eq!(days.in_words(), "1970-04-13 to 1970-04-14");
    let without = forget(a.clone(), &days).unwrap();
    let left: std::collections::BTreeSet<i32> = without.segments().iter().map(|s| s.day).collect();
    assert_eq!(left, [100, 101, 104].into());
    assert!(without.evidence().iter().all(|e| left.contains(&e.day)));
    assert!(without.evidence().len() < a.evidence().len());
    let one = a.segments()[0].clone();
    let without = forget(a.clone(), &Forget { segments: vec![one.id.clone()], ..Forget::default() }).unwrap();
    assert_eq!(without.segments().len(), a.segments().len() - 1);
    let of_it = |e: &ebbline_model::Evidence| (&e.host, e.day) == (&one.host, one.day);
    assert!(!without.evidence().iter().any(of_it));
    let nothing = forget(a, &Forget { hosts: vec!["elsewhere".to_owned()], ..Forget::default() });
    assert!(matches!(nothing, Err(OpsError::NothingMatches(_))));
}

#[test]
fn other_keys_and_other_lenses_are_refused_with_what_to_do() {
    let rows = ordinary(100..101, 50, 1);
    let a = baseline(&rows);
    let learned = |lens: Lens, key| learn(&[lens], key, &Memory(vec![process(&rows)]), &|_, _| {}).unwrap();
    let other = learned(builtin::process(), HashKey([9; 32]));
    let error = merge(vec![a.clone(), other]).unwrap_err().to_string();
    assert!(error.contains("different keys") && error.contains("--key-of"), "{error}");
    let toml = builtin::process().source().replace("name = \"exe given parent\"", "name = \"another\"");
    let other = learned(Lens::parse(&toml).unwrap(), a.hash_key().clone());
    let error = merge(vec![a, other]).unwrap_err().to_string();
    assert!(error.contains("table \"process\"") && error.contains("different lenses"), "{error}");
}

#[test]
fn options_are_kept_and_undone() {
    let [a, ..] = three();
    let group = Group { name: "web".to_owned(), why: "given".to_owned() };
    let groups = [("web1".to_owned(), group)].into();
    let options = Options { half_life_days: Some(7), groups, ..Options::default() };
    let other = compile(a.clone(), options.clone()).unwrap();
    let read = Baseline::decode(&bytes(&other), std::path::Path::new("x")).unwrap();
    assert_eq!((read.options(), read.id()), (&options, other.id()));
    assert_ne!(other.id(), a.id());
    assert_eq!(bytes(&compile(read, Options::default()).unwrap()), bytes(&a));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn any_partition_joins_to_the_same(seed: u64, cuts in proptest::collection::vec(100i64..106, 1..4)) {
        let rows = ordinary(100..106, 60, seed);
        let mut cuts = cuts;
        cuts.extend([100, 106]);
        cuts.sort_unstable();
        cuts.dedup();
        let part = |days: &[i64]| -> Vec<Row> {
            rows.iter().filter(|row| (days[0]..days[1]).contains(&(row.time / crate::rows::DAY))).cloned().collect()
        };
        let parts: Vec<Baseline> = cuts.windows(2).map(|days| baseline(&part(days))).collect();
        let joined = merge(parts.clone()).unwrap();
        let whole = baseline(&rows);
        prop_assert_eq!(joined.segments(), whole.segments());
        prop_assert_eq!(&joined.snapshots()[0].slots, &whole.snapshots()[0].slots);
        let backwards = merge(parts.iter().rev().cloned().collect()).unwrap();
        prop_assert_eq!(backwards.id(), joined.id());
        if let [first, rest @ ..] = &parts[..] {
            let undone = rest.iter().fold(joined, |joined, part| forget_what_came_from(joined, part).unwrap());
            prop_assert_eq!(undone.id(), first.id());
        }
    }
}
