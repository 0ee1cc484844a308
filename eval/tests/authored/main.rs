//! The protocols on small sets written by us, in the shape of the labelled ones, with figures and scores that are kept: a
//! protocol, or a score, that changes is seen by whoever has no labelled set. What follows from how a set was made is
//! tested beside that. To write the kept files anew:
//! `EBBLINE_WRITE_GOLDEN=1 cargo test --workspace --test authored`

mod sets;

use std::fmt::Write;
use std::path::PathBuf;

use arrow_array::RecordBatch;
use ebbline_eval::{Measure, Set, SetReport, evaluate_rows};
use sets::{Labels, alerts, calls, creations, edges, twins};

fn measured(set: Set, batch: RecordBatch) -> SetReport {
    evaluate_rows(set, batch).expect("an authored set is in the shape of its protocol")
}

/// A report as text: figures to six digits, and bits at ranks 1, 2, 4, 8, ….
fn text(report: &SetReport) -> String {
    let mut text = format!("{}: {} rows\n", report.set, report.rows);
    for m in &report.measures {
        let _ = writeln!(text, "\n{}: {} {}, {} attacks, {} days", m.name, m.count, m.of, m.attacks, m.days);
        for (name, figure) in [("AUROC", m.auroc), ("average precision", m.average_precision)] {
            let ends = [figure.low, figure.high].map(|end| end.map_or("none".to_owned(), |end| format!("{end:.6}")));
            let _ = writeln!(text, "  {name} {:.6}, {} to {}", figure.value, ends[0], ends[1]);
        }
        for hits in &m.hits {
            let _ =
                writeln!(text, "  at {} a day: {} attacks, {} others", hits.per_day, hits.attacks, hits.false_alerts);
        }
        for promise in &m.false_alerts {
            let _ = writeln!(text, "  1 in {}: {} of {:.1}", promise.one_in, promise.observed, promise.expected);
        }
        for (rank, score) in &m.scores {
            let _ = writeln!(text, "  rank {rank}: {:.3} bits", *score as f64 / 1024.0);
        }
    }
    text
}

#[test]
fn figures_and_scores_of_authored_sets_are_as_kept() {
    let sets = [
        (Set::Darpa98Edges, edges(Labels::True)),
        (Set::ServerlessSysdig, calls()),
        (Set::WindowsProcesses, creations()),
        (Set::EnterpriseAlerts, alerts()),
    ];
    for (set, batch) in sets {
        let found = text(&measured(set, batch));
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{}.txt", set.name()));
        if std::env::var_os("EBBLINE_WRITE_GOLDEN").is_some() {
            std::fs::write(&path, &found).expect("the folder is there");
        }
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        let name = set.name();
        assert_eq!(
            found, kept,
            "{name}: if this is meant, EBBLINE_WRITE_GOLDEN=1 cargo test --workspace --test authored"
        );
    }
}

#[test]
fn labels_are_not_seen_by_the_model() {
    let of = |labels| measured(Set::Darpa98Edges, edges(labels)).measures;
    for (right, turned) in of(Labels::True).iter().zip(of(Labels::Turned)) {
        assert_eq!(right.scores, turned.scores, "{}: labels moved a score", right.name);
        let sum = right.auroc.value + turned.auroc.value;
        assert!((sum - 1.0).abs() < 1e-12, "{}: turned labels turn the ranking: {sum}", right.name);
    }
}

#[test]
fn labels_that_say_nothing_are_worth_a_half() {
    let report = measured(Set::WindowsProcesses, twins());
    for m in &report.measures {
        assert_eq!((m.count, m.attacks), (600, 300), "{}", m.name);
        assert_eq!(
            (m.auroc.value, m.average_precision.value),
            (0.5, 0.5),
            "{}: of two equal rows one is an attack",
            m.name
        );
    }
}

#[test]
fn what_a_protocol_leaves_out_is_left_out() {
    let counts = |m: &Measure| (m.count, m.attacks, m.days);
    let requests = measured(Set::ServerlessSysdig, calls()).measures;
    assert_eq!(counts(&requests[0]), (108, 6, 2), "another variant and the days that are learned are not scored");
    let creations = measured(Set::WindowsProcesses, creations()).measures;
    assert_eq!(counts(&creations[0]), (12 * 24, 24, 12), "ambiguous rows are not measured");
    assert_eq!(counts(&creations[1]), (12 * 24, 24, 12));
    let windows = measured(Set::EnterpriseAlerts, alerts()).measures;
    let names: Vec<&str> = windows.iter().map(|m| m.name.as_str()).collect();
    assert_eq!(names, ["mean of the enterprises", "north", "south"]);
    assert_eq!([windows[1].attacks, windows[2].attacks], [6, 6], "90 minutes, a window with an attack in every 15");
}

#[test]
fn attacks_that_nobody_could_miss_come_first() {
    // Of each run, one attack starts a shell and one reads what was never read; the third does what all do.
    let requests = &measured(Set::ServerlessSysdig, calls()).measures[0];
    assert!(requests.hits[0].attacks >= 4, "{:?}", requests.hits);
    // Programs from a folder that no other recording has: all of them before everything else.
    let creations = &measured(Set::WindowsProcesses, creations()).measures[1];
    assert_eq!((creations.auroc.value, creations.average_precision.value), (1.0, 1.0), "{}", creations.name);
    // A code that was never raised.
    let north = &measured(Set::EnterpriseAlerts, alerts()).measures[1];
    assert_eq!((north.auroc.value, north.average_precision.value), (1.0, 1.0), "{}", north.name);
}

#[test]
fn attacks_of_other_recordings_make_an_attack_less_odd() {
    let measures = measured(Set::WindowsProcesses, creations()).measures;
    let [left_in, taken_out] = [0, 1].map(|at: usize| measures[at].scores[3]);
    assert_eq!(left_in.0, 8);
    assert!(left_in.1 < taken_out.1, "the eighth oddest: {left_in:?}, {taken_out:?}");
}

#[test]
fn an_edge_of_a_minute_has_the_score_of_its_last_row() {
    let [rows, minutes] = measured(Set::Darpa98Edges, edges(Labels::True)).measures.try_into().expect("two measures");
    assert_eq!(rows.count, minutes.count);
    // The flood grows within each of its minutes, so that the last row of a minute is its oddest.
    assert_eq!(rows.scores[0], minutes.scores[0], "the oddest row is the last of its minute");
    let pairs: Vec<_> = rows.scores.iter().zip(&minutes.scores).collect();
    assert!(pairs.iter().all(|(row, minute)| row.0 == minute.0 && row.1 <= minute.1), "{pairs:?}");
    assert!(pairs.iter().any(|(row, minute)| row.1 < minute.1), "{pairs:?}");
}
