//! What somebody said is harmless: it is scored so, nothing else changes, and it can be taken back.

use std::collections::BTreeSet;
use std::path::Path;

use crate::learn::baseline;
use crate::rows::{DAY, Memory, Row, ordinary, process};
use ebbline_model::dismissal::Lessons;
use ebbline_model::ops::{Forget, dismiss, expire, forget, merge, take_back};
use ebbline_model::units::UnitName;
use ebbline_model::{Baseline, Dismissal, EncodedBatch, Encoder, Said, builtin, explain, learn_onto};

fn bytes(baseline: &Baseline) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("b");
    baseline.save(&path).unwrap();
    std::fs::read(&path).unwrap()
}

/// What nobody does there, with arguments that nobody gives.
fn odd(host: &str, exe: &str) -> Row {
    Row {
        time: 106 * DAY,
        host: host.to_owned(),
        activity: "exec".to_owned(),
        root: Some(9),
        exe: Some(exe.to_owned()),
        parent_exe: Some("/usr/bin/ls".to_owned()),
        args: Some(vec![exe.to_owned(), "--once".to_owned()]),
        uid: 33,
    }
}

fn encoded(baseline: &Baseline, rows: &[Row]) -> EncodedBatch {
    Encoder::new(baseline.lens("process").unwrap(), baseline.hash_key()).encode(&process(rows)).unwrap()
}

fn said(incident: &str, until: i32) -> Said {
    let (owner, why) = ("ana".to_owned(), "a rollout".to_owned());
    Said { incident: incident.to_owned(), owner, why, at: 106 * DAY, until }
}

fn dismissal(baseline: &Baseline, rows: &[Row], said: Said) -> Dismissal {
    let mut lessons = Lessons::new(baseline.hash_key());
    let all: Vec<u32> = (0..rows.len() as u32).collect();
    lessons.add(baseline.lens("process").unwrap(), &encoded(baseline, rows), &all);
    Dismissal::new(said, lessons.finish())
}

/// Surprisals of all views of each row, in 1/1024 bit.
fn surprisals(baseline: &Baseline, rows: &[Row]) -> Vec<Vec<u16>> {
    let (batch, snapshot) = (encoded(baseline, rows), baseline.snapshot("process").unwrap());
    let of_row = |row| explain(&snapshot, &batch, row).iter().map(|view| view.surprisal).collect();
    (0..rows.len()).map(of_row).collect()
}

fn host(rows: &[Row]) -> String {
    rows[0].host.clone()
}

#[test]
fn what_is_dismissed_costs_nearly_nothing_and_nothing_else_changes() {
    let week = ordinary(100..105, 300, 1);
    let before = baseline(&week);
    let host = host(&week);
    let rows = [odd(&host, "/opt/new"), odd(&host, "/opt/newer")];
    let after = dismiss(before.clone(), dismissal(&before, &rows, said("3f9c", 200))).unwrap();
    assert_ne!(before.id(), after.id());
    let snapshot = after.snapshot("process").unwrap();
    let batch = encoded(&after, &rows);
    for row in 0..rows.len() {
        for view in explain(&snapshot, &batch, row).iter().filter(|view| view.applies) {
            let finest = &view.levels[0];
            assert_eq!(finest.seen, finest.total, "{}: it has all of its context", view.name);
            let most = (f64::from(finest.total + finest.kinds) / f64::from(finest.total)).log2() * 1024.0;
            assert!(f64::from(view.surprisal) <= most + 1.0, "{}: {} of {most}", view.name, view.surprisal);
        }
    }
    assert!(surprisals(&before, &rows).iter().flatten().any(|bits| *bits > 8 * 1024), "it was odd before");
    // What was learned, what is as odd elsewhere, and what is as odd here: it pays a bit more where all of a context was
    // dismissed.
    let others = [&week[..], &[odd("elsewhere", "/opt/new"), odd(&host, "/opt/other")]].concat();
    for (at, (was, is)) in surprisals(&before, &others).iter().zip(surprisals(&after, &others)).enumerate() {
        let more = if at == others.len() - 1 { 1024 } else { 0 };
        assert!(was.iter().zip(&is).all(|(was, is)| *is <= was + more), "row {at} becomes odder: {was:?} {is:?}");
    }
    let fleet = others.iter().position(|row| row.host == "elsewhere").unwrap();
    assert_eq!(surprisals(&before, &others)[fleet], surprisals(&after, &others)[fleet], "it is said of one host");
}

#[test]
fn it_is_taken_back_byte_for_byte_in_any_order_and_by_a_day() {
    let before = baseline(&ordinary(100..105, 200, 1));
    let [one, two] = ["/opt/one", "/opt/two"].map(|exe| vec![odd("web1", exe)]);
    let one = dismissal(&before, &one, said("1111", 150));
    let two = dismissal(&before, &two, said("2222", 160));
    let both = dismiss(dismiss(before.clone(), one.clone()).unwrap(), two.clone()).unwrap();
    let other_way = dismiss(dismiss(before.clone(), two.clone()).unwrap(), one.clone()).unwrap();
    assert_eq!(bytes(&both), bytes(&other_way));
    assert_eq!(bytes(&dismiss(both.clone(), one.clone()).unwrap()), bytes(&both), "twice is once");
    let read = Baseline::decode(&bytes(&both), Path::new("x")).unwrap();
    assert_eq!((read.dismissals(), read.id()), (both.dismissals(), both.id()));

    let only = |dismissal: &Dismissal| bytes(&dismiss(before.clone(), dismissal.clone()).unwrap());
    let (left, gone) = take_back(both.clone(), |dismissal| dismissal.said.incident == "1111").unwrap();
    assert_eq!((bytes(&left), gone), (only(&two), vec![one.clone()]));
    let (all, gone) = expire(both.clone(), 150).unwrap();
    assert_eq!((bytes(&all), gone.len()), (bytes(&both), 0), "on its last day it counts");
    let (left, gone) = expire(both.clone(), 151).unwrap();
    assert_eq!((bytes(&left), gone), (only(&two), vec![one.clone()]));
    let (left, _) = expire(both.clone(), 161).unwrap();
    assert_eq!(bytes(&left), bytes(&before));

    let merged = merge(vec![before.clone(), dismiss(before.clone(), two).unwrap()]).unwrap();
    assert_eq!(merged.dismissals().len(), 1, "a union has what one of them has");
    let more = Memory(vec![process(&ordinary(105..107, 200, 3))]);
    let onto = learn_onto(both, &[builtin::process()], &more, &|_, _| {}).unwrap();
    assert_eq!(onto.dismissals().len(), 2, "learning on keeps what was said");
    let (bare, _) = take_back(onto.clone(), |_| true).unwrap();
    let again = dismiss(bare, one).unwrap();
    let (only_one, _) = take_back(onto, |dismissal| dismissal.said.incident == "2222").unwrap();
    assert_eq!(bytes(&again), bytes(&only_one), "and compiles it as later");
}

#[test]
fn a_host_is_forgotten_with_what_was_dismissed_of_it() {
    let week = ordinary(100..103, 200, 1);
    let before = baseline(&week);
    let hosts: BTreeSet<String> = week.iter().map(|row| row.host.clone()).collect();
    let [first, second]: [&String; 2] = [hosts.first().unwrap(), hosts.last().unwrap()];
    let rows = [odd(first, "/opt/one"), odd(second, "/opt/one")];
    let taught = dismiss(before.clone(), dismissal(&before, &rows, said("3333", 200))).unwrap();
    let what = Forget { hosts: vec![first.clone()], ..Forget::default() };
    let less = forget(taught, &what).unwrap();
    let hosts: Vec<Option<&str>> = less.dismissals().iter().flat_map(Dismissal::hosts).collect();
    assert_eq!(hosts, [Some(second.as_str())]);
}

#[test]
fn a_unit_has_its_rows_and_no_others() {
    let before = baseline(&ordinary(100..103, 200, 1));
    let lens = before.lens("process").unwrap();
    let hour = 3_600_000_000_000;
    let at = |root: u8, time: i64| Row { root: Some(root), time: 106 * DAY + time, ..odd("web1", "/opt/one") };
    let rows = [at(1, 0), at(2, 1), at(1, hour - 1), at(1, hour), at(2, hour), at(1, 5)];
    let batch = encoded(&before, &rows);
    let unit = |root: &str, window: i64| UnitName {
        kind: lens.units()[0].kind.clone(),
        key: root.repeat(16),
        window: 106 * DAY + window,
    };
    let rows_of = |units: &[UnitName]| UnitName::rows(&units.iter().cloned().collect(), lens, &batch);
    assert_eq!(rows_of(&[unit("01", 0)]), [0, 2, 5]);
    assert_eq!(rows_of(&[unit("01", hour), unit("02", 0)]), [1, 3]);
    assert_eq!(rows_of(&[unit("03", 0)]), [0u32; 0]);
    assert_eq!(rows_of(&[UnitName { kind: "other".to_owned(), ..unit("01", 0) }]), [0u32; 0]);
}
