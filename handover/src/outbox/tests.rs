//! An outbox that is cut, killed and written anew.

use super::*;
use crate::message::Event;
use proptest::prelude::*;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

fn target() -> Target {
    Target::parse("syslog+tcp://127.0.0.1").unwrap()
}

fn open(out: &Path) -> Outbox {
    Outbox::open(out, &target(), None).unwrap()
}

fn ids(findings: &[u64]) -> Vec<String> {
    findings.iter().map(|finding| format!("{finding:016x}")).collect()
}

fn draft(incident: &str, findings: &[u64]) -> Draft {
    Draft::new(incident, &ids(findings), json!({ "id": incident, "title": format!("title of {incident}") }))
}

fn log_of(out: &Path) -> PathBuf {
    folder(out, &target(), None).join("log")
}

#[test]
fn what_waits_is_sent_in_order_and_a_later_version_takes_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let mut outbox = open(folder.path());
    outbox.queue(&[draft("a", &[1]), draft("b", &[2])]).unwrap();
    assert!(!outbox.needs("a", &ids(&[1])) && outbox.needs("a", &ids(&[1, 3])) && outbox.needs("c", &[]));
    outbox.queue(&[draft("a", &[3, 1]), draft("b", &[2])]).unwrap();
    let next = outbox.next(10).unwrap();
    let said: Vec<_> = next.iter().map(|parcel| (parcel.incident.as_str(), parcel.event)).collect();
    assert_eq!(said, [("a", Event::New), ("b", Event::New)], "never sent, so new");
    assert!(next[0].delivery == Version::of("a", &ids(&[1, 3])).delivery && next[0].title() == "title of a");
    outbox.sent(&next[..1]).unwrap();
    outbox.queue(&[draft("a", &[1]), draft("a", &[1, 3, 4])]).unwrap();
    drop(outbox);
    let outbox = open(folder.path());
    let next = outbox.next(10).unwrap();
    let said: Vec<_> = next.iter().map(|parcel| (parcel.incident.as_str(), parcel.event)).collect();
    assert_eq!(said, [("b", Event::New), ("a", Event::Grown)], "less than before is nothing new");
}

#[test]
fn the_dead_are_left_alone_until_they_grow_or_somebody_asks() {
    let folder = tempfile::tempdir().unwrap();
    let mut outbox = open(folder.path());
    outbox.queue(&[draft("a", &[1]), draft("b", &[2])]).unwrap();
    let next = outbox.next(10).unwrap();
    outbox.dead(&next, "it answered 400").unwrap();
    assert!(outbox.counts() == (0, 2) && !outbox.needs("a", &ids(&[1])) && outbox.needs("a", &ids(&[1, 2])));
    let dead = dead_letters(folder.path(), &target(), None).unwrap();
    assert_eq!((dead.len(), dead[0].1.why.as_str(), dead[0].1.title.as_str()), (2, "it answered 400", "title of a"));
    assert_eq!(dead[0].1.delivery(), next[0].delivery);
    assert_eq!(outbox.again().unwrap(), 2);
    drop(outbox);
    let mut outbox = open(folder.path());
    assert!(outbox.counts() == (0, 0) && outbox.needs("a", &ids(&[1])));
    outbox.queue(&[draft("a", &[1])]).unwrap();
    assert_eq!(outbox.next(1).unwrap()[0].delivery, next[0].delivery, "the same findings, the same id");
}

#[test]
fn a_message_that_is_refused_lets_others_go_first() {
    let folder = tempfile::tempdir().unwrap();
    let mut outbox = open(folder.path());
    outbox.queue(&[draft("a", &[1]), draft("b", &[2])]).unwrap();
    for _ in 0..PATIENCE {
        let next = outbox.next(1).unwrap();
        assert_eq!(next[0].incident, "a");
        outbox.refused(&next);
    }
    assert_eq!(outbox.next(1).unwrap()[0].incident, "b");
}

#[test]
fn an_outbox_is_for_one_process_and_for_its_user_alone() {
    use std::os::unix::fs::PermissionsExt;
    let out = tempfile::tempdir().unwrap();
    let outbox = open(out.path());
    let error = Outbox::open(out.path(), &target(), None).err().unwrap().to_string();
    assert!(error.starts_with("target in use: syslog+tcp://127.0.0.1:601: another process"), "{error}");
    Outbox::open(out.path(), &target(), Some("0123")).unwrap();
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    let log = log_of(out.path());
    assert_eq!((mode(&log), mode(&log.with_file_name("lock"))), (0o600, 0o600));
    assert_eq!((mode(log.parent().unwrap()), mode(&out.path().join("incidents/handover"))), (0o700, 0o700));
    drop(outbox);
    open(out.path());
    let later = Line::Begun { format: 2, target: String::new() };
    std::fs::write(&log, log::encode(&later).unwrap()).unwrap();
    assert!(Outbox::open(out.path(), &target(), None).err().unwrap().to_string().contains("a later version"));
}

#[test]
fn a_log_that_is_mostly_stale_is_written_anew_and_says_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let mut outbox = open(folder.path());
    let long = "x".repeat(100_000);
    let large = |at: u64| Draft::new(&at.to_string(), &ids(&[at]), json!({ "title": long }));
    for at in 0..30 {
        outbox.queue(&[large(at)]).unwrap();
        let next = outbox.next(1).unwrap();
        match at % 3 {
            0 => outbox.sent(&next).unwrap(),
            1 => outbox.dead(&next, "no").unwrap(),
            _ if at > 15 => {}
            _ => outbox.sent(&next).unwrap(),
        }
        outbox.rest().unwrap();
    }
    let waiting: Vec<String> = outbox.next(99).unwrap().into_iter().map(|parcel| parcel.delivery).collect();
    assert!(std::fs::metadata(log_of(folder.path())).unwrap().len() < 2_500_000);
    drop(outbox);
    let outbox = open(folder.path());
    assert_eq!(outbox.next(99).unwrap().into_iter().map(|parcel| parcel.delivery).collect::<Vec<_>>(), waiting);
    assert!((0..30).all(|at| !outbox.needs(&at.to_string(), &ids(&[at]))));
}

/// What a run of random steps leaves, and what the receiver was given.
fn play(out: &Path, steps: &[(u8, u8, u8)]) -> BTreeMap<String, BTreeSet<u64>> {
    let mut given: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
    let mut outbox = open(out);
    for (step, incident, findings) in steps {
        match step % 4 {
            0 | 1 => {
                let findings: Vec<u64> = (0..u64::from(findings % 6)).collect();
                outbox.queue(&[draft(&(incident % 4).to_string(), &findings)]).unwrap();
            }
            2 => {
                let next = outbox.next(2).unwrap();
                for parcel in &next {
                    let version = &outbox.state.queued[&parcel.incident].version;
                    given.entry(parcel.incident.clone()).or_default().extend(&version.findings);
                }
                outbox.sent(&next).unwrap();
            }
            _ => drop(outbox.dead(&outbox.next(1).unwrap(), "no")),
        }
    }
    given
}

/// Where syncing costs nothing, if there is such a place: thousands of outboxes are opened.
fn folder_in_memory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    /// Wherever the log ends: what is entered as sent was sent, an outbox opens, takes more, and all of it is there again.
    #[test]
    fn an_outbox_recovers_from_any_cut(steps in proptest::collection::vec(any::<(u8, u8, u8)>(), 1..16)) {
        let out = folder_in_memory();
        let given = play(out.path(), &steps);
        let log = log_of(out.path());
        let whole = std::fs::read(&log).unwrap();
        for length in 0..=whole.len() {
            std::fs::write(&log, &whole[..length]).unwrap();
            let mut outbox = open(out.path());
            for (incident, version) in &outbox.state.known {
                let given = given.get(incident);
                prop_assert!(version.findings.iter().all(|finding| given.is_some_and(|given| given.contains(finding))));
            }
            let waiting = outbox.next(99).unwrap();
            let new = draft("new", &[9]);
            outbox.queue(std::slice::from_ref(&new)).unwrap();
            drop(outbox);
            let again = open(out.path()).next(99).unwrap();
            prop_assert_eq!(&again[..waiting.len()], &waiting[..]);
            prop_assert_eq!(&again[waiting.len()].delivery, &new.version.delivery);
        }
    }

    /// A changed byte costs its line at most, which is then sent again.
    #[test]
    fn a_changed_byte_says_nothing_wrong(steps in proptest::collection::vec(any::<(u8, u8, u8)>(), 1..12), at: usize) {
        let out = folder_in_memory();
        let given = play(out.path(), &steps);
        let log = log_of(out.path());
        let mut bytes = std::fs::read(&log).unwrap();
        let at = at % bytes.len();
        bytes[at] ^= 1;
        std::fs::write(&log, &bytes).unwrap();
        let outbox = open(out.path());
        for (incident, version) in &outbox.state.known {
            let given = given.get(incident);
            prop_assert!(version.findings.iter().all(|finding| given.is_some_and(|given| given.contains(finding))));
        }
        prop_assert!(outbox.next(99).is_ok());
    }
}
