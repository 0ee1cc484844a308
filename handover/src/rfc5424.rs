//! Messages of syslog (RFC 5424).

use serde::Deserialize;

use crate::message::{Event, Parcel};
use crate::words::{cut, inline};

/// The longest message: what every receiver should take (RFC 5424, section 6.1).
pub(crate) const MESSAGE_BYTES: usize = 2_048;
/// Facility: security and authorization, for the eyes of few.
const AUTHPRIV: u8 = 10;
/// The number is the one for examples (RFC 5612): the project has none of its own, and the name says whose element it is.
const ELEMENT: &str = "ebbline@32473";
/// The longest host name (section 6).
const HOST_BYTES: usize = 255;
/// Names of hosts, all together.
const HOSTS_BYTES: usize = 400;
/// Any other value.
const VALUE_BYTES: usize = 64;

/// What of a message is said.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Said {
    id: String,
    title: String,
    first: String,
    last: String,
    hosts: Vec<String>,
    findings: Vec<String>,
    bits: f64,
    log2_n: f64,
}

/// A message, from the host of this name.
pub(crate) fn format(parcel: &Parcel, host: &str) -> String {
    let said: Said = serde_json::from_str(&parcel.body).unwrap_or_default();
    let mut text = header(parcel, &said, host);
    text += &element(parcel, &said);
    text += " \u{feff}";
    let room = MESSAGE_BYTES.saturating_sub(text.len()).max('…'.len_utf8());
    text + &cut(&inline(&said.title), room)
}

fn header(parcel: &Parcel, said: &Said, host: &str) -> String {
    let priority = AUTHPRIV * 8 + severity(said.log2_n);
    let time = jiff::Timestamp::from_nanosecond(parcel.at.into()).unwrap_or_default();
    let kind = match parcel.event {
        Event::New => "incident-new",
        Event::Grown => "incident-grown",
    };
    format!("<{priority}>1 {time:.6} {} ebbline - {kind} ", host_name(host))
}

/// By how rare the rarest finding is, as severities of OCSF are: critical, error, warning, notice.
fn severity(log2_n: f64) -> u8 {
    match log2_n {
        20.0.. => 2,
        14.0.. => 3,
        10.0.. => 4,
        _ => 5,
    }
}

/// Printable ASCII, or the nil value.
fn host_name(host: &str) -> &str {
    let fits = (1..=HOST_BYTES).contains(&host.len()) && host.bytes().all(|byte| byte.is_ascii_graphic());
    if fits { host } else { "-" }
}

fn element(parcel: &Parcel, said: &Said) -> String {
    let one_in = said.log2_n.exp2();
    let params = [
        ("delivery", value(&parcel.delivery, VALUE_BYTES)),
        ("incident", value(&said.id, VALUE_BYTES)),
        ("bits", format!("{:.1}", said.bits)),
        ("one_in", format!("{one_in:.0}")),
        ("first", value(&said.first, VALUE_BYTES)),
        ("last", value(&said.last, VALUE_BYTES)),
        ("findings", said.findings.len().to_string()),
        ("hosts", value(&said.hosts.join(","), HOSTS_BYTES)),
    ];
    let params: String = params.iter().map(|(name, value)| format!(" {name}=\"{value}\"")).collect();
    format!("[{ELEMENT}{params}]")
}

/// A value of structured data, with its three escapes (section 6.3.3).
fn value(text: &str, most: usize) -> String {
    let mut out = String::new();
    for c in cut(&inline(text), most).chars() {
        if matches!(c, '"' | '\\' | ']') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    /// A strict reader of what section 6 allows, as far as we make use of it.
    #[derive(Debug, PartialEq)]
    struct Read {
        priority: u32,
        fields: Vec<String>,
        params: Vec<(String, String)>,
        text: String,
    }

    fn read(message: &str) -> Option<Read> {
        let (priority, rest) = message.strip_prefix('<')?.split_once(">1 ")?;
        let (head, rest) = rest.split_once(" [")?;
        let fields: Vec<String> = head.split(' ').map(str::to_owned).collect();
        let graphic = |field: &String| !field.is_empty() && field.bytes().all(|b| b.is_ascii_graphic());
        if fields.len() != 5 || !fields.iter().all(graphic) {
            return None;
        }
        let mut rest = rest.strip_prefix("ebbline@32473")?;
        let mut params = Vec::new();
        while let Some(param) = rest.strip_prefix(' ') {
            let (name, after) = param.split_once("=\"")?;
            let (value, after) = quoted(after)?;
            params.push((name.to_owned(), value));
            rest = after;
        }
        let text = rest.strip_prefix("] \u{feff}")?;
        let text = (!text.chars().any(char::is_control)).then(|| text.to_owned())?;
        Some(Read { priority: priority.parse().ok()?, fields, params, text })
    }

    fn quoted(text: &str) -> Option<(String, &str)> {
        let (mut value, mut chars) = (String::new(), text.char_indices());
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => return Some((value, &text[at + 1..])),
                '\\' => value.push(chars.next().filter(|(_, c)| matches!(c, '"' | '\\' | ']'))?.1),
                ']' => return None,
                c if c.is_control() => return None,
                c => value.push(c),
            }
        }
        None
    }

    fn parcel(title: &str, hosts: &[String]) -> Parcel {
        let body = json!({
            "id": "3f9c00112233", "title": title, "hosts": hosts, "bits": 28.44, "log2_n": 15.0, "findings": ["a", "b"],
            "first": "2026-11-21T14:03:07Z", "last": "2026-11-21T14:05:07.123456789Z",
        });
        let at = 1_763_733_907_123_456_789;
        Parcel { incident: "x".into(), delivery: "ab".into(), event: Event::New, at, body: body.to_string() }
    }

    #[test]
    fn a_message_reads_as_it_should() {
        let message = format(&parcel("a \"shell\"", &["web1".into(), "w]b\\2\"".into()]), "sensor");
        assert_eq!(
            message,
            "<83>1 2025-11-21T14:05:07.123456Z sensor ebbline - incident-new [ebbline@32473 delivery=\"ab\" \
             incident=\"3f9c00112233\" bits=\"28.4\" one_in=\"32768\" first=\"2026-11-21T14:03:07Z\" \
             last=\"2026-11-21T14:05:07.123456789Z\" findings=\"2\" hosts=\"web1,w\\]b\\\\2\\\"\"] \u{feff}a \"shell\""
        );
        let severities = [25.0, 14.0, 10.5, 9.9, 0.0, f64::NAN].map(severity);
        assert_eq!(severities, [2, 3, 4, 5, 5, 5]);
    }

    #[test]
    fn a_host_without_a_name_is_nil() {
        for host in ["", "a b", "ä", &"x".repeat(256)] {
            let message = format(&parcel("t", &[]), host);
            assert_eq!(read(&message).unwrap().fields[1], "-");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_said_reads_back_and_is_bounded(
            title in any::<String>(),
            long in 0usize..3_000,
            hosts in proptest::collection::vec(any::<String>(), 0..8),
        ) {
            let title = title + &"ß".repeat(long);
            let message = format(&parcel(&title, &hosts), "sensor");
            prop_assert!(message.len() <= MESSAGE_BYTES);
            let read = read(&message);
            let read = read.ok_or_else(|| TestCaseError::fail(message.clone()))?;
            let clean = inline(&title);
            match read.text.strip_suffix('…') {
                Some(cut) if read.text != clean => prop_assert!(clean.starts_with(cut)),
                _ => prop_assert_eq!(&read.text, &clean),
            }
            let all = inline(&hosts.join(","));
            let said = &read.params.last().unwrap().1;
            match said.strip_suffix('…') {
                Some(cut) if *said != all => prop_assert!(all.starts_with(cut)),
                _ => prop_assert_eq!(said, &all),
            }
        }
    }
}
