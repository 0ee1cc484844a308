//! What is handed over of one incident.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::words::{cut, hex};

/// Format of a message.
pub const FORMAT: u32 = 1;
/// Digits of the id of a delivery.
const DELIVERY_DIGITS: usize = 24;
/// A message has at most so many bytes; parts of a larger one are left out and named.
const MESSAGE_BYTES: usize = 1 << 20;
/// Of a title dead letters keep so much.
const TITLE_BYTES: usize = 400;
/// Those parts, the first first.
const PARTS: [&str; 4] = ["links", "narrative", "coverage", "findings"];

/// What an incident is for a receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// It was not handed over before.
    New,
    /// It has findings that it did not have when it was.
    Grown,
}

/// One state of an incident: its id and its findings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Version {
    pub(crate) delivery: String,
    /// Sorted.
    pub(crate) findings: Vec<u64>,
}

impl Version {
    /// Of an incident, by the ids of its findings in any order.
    pub(crate) fn of(incident: &str, findings: &[String]) -> Self {
        let mut findings: Vec<u64> = findings.iter().map(|id| number(id)).collect();
        findings.sort_unstable();
        findings.dedup();
        let mut hash = Sha256::new();
        hash.update(incident);
        findings.iter().for_each(|finding| hash.update(format!("\n{finding:016x}")));
        Self { delivery: hex(&hash.finalize())[..DELIVERY_DIGITS].to_owned(), findings }
    }

    /// Whether there is a finding in it that the other has not.
    pub(crate) fn adds_to(&self, other: &Self) -> bool {
        self.findings.iter().any(|finding| other.findings.binary_search(finding).is_err())
    }
}

/// Ids of findings are 16 hex digits.
fn number(id: &str) -> u64 {
    let digits = u64::from_str_radix(id, 16).ok().filter(|_| id.len() == 16);
    digits.unwrap_or_else(|| Sha256::digest(id).iter().take(8).fold(0, |all, byte| all << 8 | u64::from(*byte)))
}

/// An incident to be handed over.
#[derive(Debug, Clone)]
pub struct Draft {
    pub(crate) incident: String,
    pub(crate) version: Version,
    value: Value,
}

impl Draft {
    /// An incident by its id, with the ids of its findings, and the object that is said of it.
    #[must_use]
    pub fn new(incident: &str, findings: &[String], value: Value) -> Self {
        Self { incident: incident.to_owned(), version: Version::of(incident, findings), value }
    }

    /// The message as it is sent, on one line.
    pub(crate) fn body(&self, event: Event) -> String {
        let mut value = self.value.clone();
        value["format"] = FORMAT.into();
        value["event"] = serde_json::to_value(event).unwrap_or_default();
        value["delivery"] = self.version.delivery.as_str().into();
        let mut text = value.to_string();
        let mut left_out = Vec::new();
        for part in PARTS {
            if text.len() <= MESSAGE_BYTES {
                break;
            }
            if value.as_object_mut().and_then(|object| object.remove(part)).is_some() {
                left_out.push(part);
                value["left_out"] = left_out.as_slice().into();
                text = value.to_string();
            }
        }
        text
    }
}

/// A message on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parcel {
    pub(crate) incident: String,
    pub(crate) delivery: String,
    pub(crate) event: Event,
    /// When it was written down, nanoseconds.
    pub(crate) at: i64,
    pub(crate) body: String,
}

impl Parcel {
    /// As dead letters keep it.
    pub(crate) fn title(&self) -> String {
        let value: Value = serde_json::from_str(&self.body).unwrap_or_default();
        cut(value["title"].as_str().unwrap_or_default(), TITLE_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn ids(ids: &[&str]) -> Vec<String> {
        ids.iter().map(|id| (*id).to_owned()).collect()
    }

    #[test]
    fn a_delivery_is_of_incident_and_findings_in_any_order() {
        let (a, b) = ("00000000000000aa", "00000000000000bb");
        let both = Version::of("1", &ids(&[a, b]));
        assert_eq!(both, Version::of("1", &ids(&[b, a, b])));
        assert_ne!(both.delivery, Version::of("2", &ids(&[a, b])).delivery);
        let one = Version::of("1", &ids(&[a]));
        assert!(both.adds_to(&one) && !one.adds_to(&both) && one.delivery != both.delivery);
        assert!(both.delivery.len() == 24 && both.delivery.bytes().all(|b| b.is_ascii_hexdigit()));
        // It is what receivers know it by: it must not change from version to version.
        assert_eq!(both.delivery, "0646f7eeab7eab7bbc77c3b7");
    }

    #[test]
    fn a_message_has_a_bound_and_says_what_is_left_out() {
        let long = "x".repeat(MESSAGE_BYTES / 2);
        let small = Draft::new("1", &[], json!({ "id": "1", "links": [long] })).body(Event::New);
        let value: Value = serde_json::from_str(&small).unwrap();
        assert_eq!((&value["event"], &value["format"], &value["left_out"]), (&json!("new"), &json!(1), &Value::Null));
        let large = json!({ "id": "1", "links": [long], "narrative": long, "coverage": [long], "title": "t" });
        let large = Draft::new("1", &[], large).body(Event::Grown);
        let value: Value = serde_json::from_str(&large).unwrap();
        assert!(large.len() <= MESSAGE_BYTES && value["title"] == "t" && value["event"] == "grown");
        assert_eq!(value["left_out"], json!(["links", "narrative"]));
    }
}
