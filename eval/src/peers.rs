//! What other detectors made of the same rows, as `benches/peers/accuracy.py` writes it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use serde::Deserialize;

use crate::error::EvalError;
use crate::report::{SetReport, thousands};

/// Figures of other detectors.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Peers {
    /// Versions of the packages they came from.
    packages: BTreeMap<String, String>,
    sets: BTreeMap<String, PeerSet>,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct PeerSet {
    /// Of each measure how many there were, and how many of them attacks.
    counts: BTreeMap<String, (u64, u64)>,
    /// By detector and measure.
    peers: BTreeMap<String, BTreeMap<String, Found>>,
}

/// A figure, or why there is none.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Found {
    Areas { auroc: f64, average_precision: f64 },
    Not(String),
}

impl Peers {
    /// Reads what the script wrote.
    ///
    /// # Errors
    /// The file cannot be read, or is something else.
    pub fn read(path: &Path) -> Result<Self, EvalError> {
        let wrong = |why: String| EvalError::Peers { path: path.to_owned(), why };
        let text = std::fs::read_to_string(path).map_err(|e| wrong(e.to_string()))?;
        serde_json::from_str(&text).map_err(|e| wrong(e.to_string()))
    }

    /// The packages, with their versions.
    #[must_use]
    pub fn packages(&self) -> String {
        let all: Vec<String> = self.packages.iter().map(|(name, version)| format!("{name} {version}")).collect();
        all.join(", ")
    }

    /// The measures on which they did not see what we saw.
    #[must_use]
    pub fn other_rows(&self, report: &SetReport) -> Vec<String> {
        let Some(set) = self.sets.get(&report.set) else { return Vec::new() };
        let ours = |m: &crate::report::Measure| set.counts.get(&m.name).is_some_and(|c| *c != (m.count, m.attacks));
        report.measures.iter().filter(|m| ours(m)).map(|m| m.name.clone()).collect()
    }

    /// A table of the set's figures, best average precision first; what was not run is said.
    pub(crate) fn table(&self, report: &SetReport) -> String {
        let Some(set) = self.sets.get(&report.set) else { return String::new() };
        let mut text = String::new();
        for m in &report.measures {
            let of_measure = |(name, measures): (&String, &BTreeMap<String, Found>)| match measures.get(&m.name) {
                Some(Found::Areas { auroc, average_precision }) => Some((name.clone(), *auroc, *average_precision)),
                _ => None,
            };
            let mut rows: Vec<(String, f64, f64)> = set.peers.iter().filter_map(of_measure).collect();
            if rows.is_empty() {
                continue;
            }
            rows.push(("**Ebbline**".to_owned(), m.auroc.value, m.average_precision.value));
            rows.sort_by(|a, b| b.2.total_cmp(&a.2));
            let _ = writeln!(text, "\n| {}, {} {} | AUROC | average precision |", m.name, thousands(m.count), m.of);
            text.push_str("|---|---:|---:|\n");
            for (name, auroc, precision) in rows {
                let _ = writeln!(text, "| {name} | {auroc:.3} | {precision:.3} |");
            }
        }
        for (name, measures) in &set.peers {
            if let Some(Found::Not(why)) = measures.get("not run") {
                let _ = writeln!(text, "\nNot run: {name}: {why}.");
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Figure, Measure};

    fn report() -> SetReport {
        let figure = |value| Figure { value, low: None, high: None };
        let measure = Measure {
            name: "all".into(),
            of: "rows".into(),
            count: 10,
            attacks: 2,
            days: 1,
            auroc: figure(0.9),
            average_precision: figure(0.5),
            hits: Vec::new(),
            false_alerts: Vec::new(),
            scores: Vec::new(),
        };
        let measures = vec![measure];
        SetReport { set: "set".into(), rows: 10, sha256: String::new(), seconds: 0.0, measures, notes: Vec::new() }
    }

    #[test]
    fn peers_stand_in_order_and_silence_is_said() {
        let text = r#"{"packages": {"a": "1"}, "sets": {"set": {"counts": {"all": [10, 2]}, "peers": {
            "good": {"all": {"auroc": 0.8, "average_precision": 0.7}},
            "bad": {"all": {"auroc": 0.95, "average_precision": 0.1}},
            "slow": {"not run": "too slow"}}}}}"#;
        let peers: Peers = serde_json::from_str(text).unwrap();
        let table = peers.table(&report());
        let at = |name: &str| table.find(name).unwrap();
        assert!(at("| good") < at("**Ebbline**") && at("**Ebbline**") < at("| bad"));
        assert!(table.contains("Not run: slow: too slow."));
        assert!(peers.other_rows(&report()).is_empty());
    }

    #[test]
    fn peers_that_saw_other_rows_are_named() {
        let text = r#"{"packages": {}, "sets": {"set": {"counts": {"all": [11, 2]}, "peers": {}}}}"#;
        let peers: Peers = serde_json::from_str(text).unwrap();
        assert_eq!(peers.other_rows(&report()), ["all"]);
    }
}
