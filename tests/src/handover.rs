//! Incidents that are handed over: where they come from, and what must have arrived.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use sha2::{Digest, Sha256};
use store::Finding;

use crate::{BASELINE, Ended, bin, ebbline, ended, write_plenty};

/// A path as an argument.
///
/// # Panics
/// When it is not UTF-8.
#[must_use]
pub fn text(path: &Path) -> &str {
    path.to_str().expect("test paths are UTF-8")
}

/// Findings that come bit by bit. Whatever does not work is a panic.
pub struct Incidents {
    /// A folder of its own, with `scored/` and `archive/`.
    pub folder: tempfile::TempDir,
    findings: Vec<Finding>,
    shown: usize,
}

#[allow(clippy::missing_panics_doc)] // said above
impl Incidents {
    /// Some findings of so many trees, each in three hours; none of them is there yet.
    #[must_use]
    pub fn new(trees: usize) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the test");
        write_plenty(folder.path(), trees * 3, 2, 1);
        let out = folder.path().join("scored");
        let mut findings = store::read_all_findings(&out).expect("they were written");
        // So that every part has some of new trees and some of old ones.
        findings.sort_by(|a, b| Sha256::digest(&a.id).cmp(&Sha256::digest(&b.id)));
        std::fs::remove_dir_all(out.join("findings")).expect("they can be removed");
        std::fs::create_dir(out.join("findings")).expect("a folder");
        Self { folder, findings, shown: 0 }
    }

    /// One that has all of them.
    #[must_use]
    pub fn whole(trees: usize) -> Self {
        let mut fixture = Self::new(trees);
        fixture.show(usize::MAX);
        fixture
    }

    /// Bytes of what the command remembers.
    #[must_use]
    pub fn state_bytes(&self) -> u64 {
        let states = std::fs::read_dir(self.out().join("incidents/handover")).into_iter().flatten().flatten();
        states.filter_map(|state| Some(state.path().join("log").metadata().ok()?.len())).sum()
    }

    /// How many findings there are in all.
    #[must_use]
    pub fn number(&self) -> usize {
        self.findings.len()
    }

    /// So many more.
    pub fn show(&mut self, number: usize) {
        let until = self.shown.saturating_add(number).min(self.findings.len());
        let some = &self.findings[self.shown..until];
        if !some.is_empty() {
            let name = format!("part-{:06}", self.shown);
            store::write_findings(&self.out(), BASELINE, &name, some, Some(5.0)).expect("written");
        }
        self.shown = until;
    }

    /// The folder of results.
    #[must_use]
    pub fn out(&self) -> PathBuf {
        self.folder.path().join("scored")
    }

    /// The command, for these targets.
    #[must_use]
    pub fn command(&self, to: &[&str], more: &[&str]) -> Command {
        let mut command = Command::new(bin("ebbline"));
        command.arg("handover").arg(self.out()).arg("--archive").arg(self.folder.path().join("archive"));
        to.iter().for_each(|to| _ = command.args(["--to", to]));
        command.args(more);
        for name in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "EBBLINE_HANDOVER_HEADERS", "SSL_CERT_FILE"]
        {
            command.env_remove(name);
        }
        command
    }

    /// Runs it for one.
    #[must_use]
    pub fn run(&self, to: &str, more: &[&str]) -> Ended {
        ended(&mut self.command(&[to], more))
    }

    /// Runs until everything is there.
    pub fn run_to_the_end(&self, to: &str, more: &[&str]) {
        for _ in 0..100 {
            let ended = self.run(to, more);
            match ended.code {
                0 => return,
                3 => {}
                _ => panic!("{ended:?}"),
            }
        }
        panic!("it never ends");
    }

    /// The incidents as they are now.
    #[must_use]
    pub fn incidents(&self) -> Vec<Value> {
        let (out, archive) = (self.out(), self.folder.path().join("archive"));
        let listed = ebbline(["incident", "list", text(&out), "--archive", text(&archive), "--json", "--all"]).json();
        listed["incidents"].as_array().expect("a list").clone()
    }

    /// Their deliveries.
    #[must_use]
    pub fn expected(&self) -> BTreeSet<String> {
        self.incidents().iter().map(delivery).collect()
    }
}

/// Ids of its findings, sorted.
///
/// # Panics
/// When it is no incident.
#[must_use]
pub fn findings(incident: &Value) -> BTreeSet<String> {
    incident["findings"].as_array().expect("a list").iter().map(|id| id.as_str().expect("an id").to_owned()).collect()
}

/// The id of a delivery, as docs/contracts.md has it.
///
/// # Panics
/// When it is of no incident.
#[must_use]
pub fn delivery(incident: &Value) -> String {
    let mut hash = Sha256::new();
    hash.update(incident["id"].as_str().expect("an id"));
    findings(incident).iter().for_each(|id| hash.update(format!("\n{id}")));
    hash.finalize().iter().take(12).map(|byte| format!("{byte:02x}")).collect()
}

/// Messages by delivery; one that came twice was the same.
///
/// # Panics
/// When it was not, or one is not whole.
#[must_use]
pub fn by_delivery(bodies: &[String]) -> BTreeMap<String, Value> {
    let mut all: BTreeMap<String, Value> = BTreeMap::new();
    for body in bodies {
        let value: Value = serde_json::from_str(body).expect("a whole message");
        let id = value["delivery"].as_str().expect("an id").to_owned();
        assert_eq!(id, delivery(&value), "it is made from incident and findings");
        if let Some(before) = all.insert(id, value.clone()) {
            assert_eq!(before, value, "the same delivery is the same message");
        }
    }
    all
}

/// Nothing lost: each incident is there as it is now. Nothing made up: whatever else is there is an earlier state of one.
///
/// # Panics
/// When it is otherwise.
pub fn assert_whole(fixture: &Incidents, bodies: &[String]) {
    let (all, now) = (by_delivery(bodies), fixture.incidents());
    for incident in &now {
        assert!(all.contains_key(&delivery(incident)), "lost: {}", incident["id"]);
    }
    let expected = fixture.expected();
    for (id, value) in all.iter().filter(|(id, _)| !expected.contains(*id)) {
        let had = findings(value);
        assert!(now.iter().any(|incident| findings(incident).is_superset(&had)), "{id} is of no incident");
    }
}

/// Of each message of syslog the delivery, and the text.
///
/// # Panics
/// When one is not as it should be.
#[must_use]
pub fn syslog_said(frames: &[String]) -> BTreeMap<String, String> {
    let said = |frame: &String| {
        let (_, rest) = frame.split_once("[ebbline@32473 delivery=\"").expect("an element");
        let (id, rest) = rest.split_once('"').expect("an id");
        let (_, text) = rest.split_once("] \u{feff}").expect("a text");
        assert!(frame.starts_with('<') && frame.len() <= 2_048, "{frame}");
        (id.to_owned(), text.to_owned())
    };
    frames.iter().map(said).collect()
}
