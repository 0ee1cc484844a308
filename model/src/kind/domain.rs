//! Names of hosts: parts that tell whose a name is, and outlines by which generated names look unlike chosen ones.

use std::net::IpAddr;

use super::mask::cut;
use super::{Part, logbin};

/// No name of a host is longer.
const NAME_BYTES: usize = 253;
/// Labels of an outline, counted from the suffix.
const SHAPE_LABELS: usize = 4;
/// Shorter labels say nothing about how they came about.
const RANDOM_LENGTH: usize = 8;
/// Below a country, these are part of the suffix: nobody registers them.
const SECOND_LEVEL: [&str; 26] = [
    "ac", "asn", "co", "com", "edu", "gen", "go", "gob", "gouv", "gov", "govt", "id", "ltd", "me", "mil", "ne", "net",
    "nhs", "nic", "nom", "or", "org", "plc", "police", "sch", "web",
];

/// The part of a name. An address in its place is its own registered name, and has no suffix.
pub(super) fn apply(part: Part, text: &str) -> String {
    let name = plain(text);
    if let Ok(address) = name.parse::<IpAddr>() {
        return match part {
            Part::Suffix => String::new(),
            Part::Depth => "0".to_owned(),
            Part::Shape => "A".to_owned(),
            _ => address.to_canonical().to_string(),
        };
    }
    let labels: Vec<&str> = name.split('.').collect();
    let suffix = suffix(&labels);
    let last = |n: usize| labels[labels.len().saturating_sub(n)..].join(".");
    match part {
        Part::Registered => last(suffix + 1),
        Part::Suffix => last(suffix),
        Part::Depth if name.is_empty() => "0".to_owned(),
        Part::Depth => labels.len().to_string(),
        Part::Shape => shape(&labels, suffix),
        _ => name.to_owned(),
    }
}

/// In lower case, without the last dot, a port or the brackets of an address.
fn plain(text: &str) -> String {
    let text = text.trim();
    let port = |p: &str| p.bytes().all(|b| b.is_ascii_digit());
    let text = match text.rsplit_once(':') {
        Some((host, after)) if port(after) && (!host.contains(':') || host.ends_with(']')) => host,
        _ => text,
    };
    let text = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    cut(&text.trim_end_matches('.').to_lowercase(), NAME_BYTES).to_owned()
}

/// How many of the last labels are a suffix: two below a country where the one before it is of the list, else one.
fn suffix(labels: &[&str]) -> usize {
    match labels {
        [_, .., second, last] if is_country(last) && SECOND_LEVEL.contains(second) => 2,
        _ => 1,
    }
}

fn is_country(label: &str) -> bool {
    label.len() == 2 && label.bytes().all(|b| b.is_ascii_lowercase())
}

/// Each label before the suffix as its [`outline`], the four nearest to it, then the suffix itself.
fn shape(labels: &[&str], suffix: usize) -> String {
    let (names, suffix) = labels.split_at(labels.len() - suffix.min(labels.len()));
    let skipped = names.len().saturating_sub(SHAPE_LABELS);
    let more = (skipped > 0).then(|| "…".to_owned());
    let outlines = names[skipped..].iter().map(|label| outline(label));
    more.into_iter().chain(outlines).chain(suffix.iter().map(|s| (*s).to_owned())).collect::<Vec<_>>().join(".")
}

/// What a label is made of, its length as a logarithmic bin, and `r` if it looks random: `a6-7`, `x23-31r`.
fn outline(label: &str) -> String {
    let of = |test: fn(&char) -> bool| label.chars().any(|c| test(&c));
    let (letters, digits) = (of(char::is_ascii_alphabetic), of(char::is_ascii_digit));
    let class = match (letters, digits) {
        _ if label.starts_with("xn--") => 'p',
        _ if of(|c| !c.is_ascii_alphanumeric() && *c != '-') => 'o',
        (true, true) => 'x',
        (false, true) => 'n',
        _ => 'a',
    };
    let random = if class != 'p' && looks_random(label) { "r" } else { "" };
    format!("{class}{}{random}", logbin(label.chars().count() as i128))
}

/// Whether a label of eight letters and digits or more looks generated: letters and digits change places at an eighth of
/// its places and at least twice, or it has five consonants in a row, or fewer vowels than a fifth of eight letters or more.
fn looks_random(label: &str) -> bool {
    let bytes: Vec<u8> = label.bytes().filter(u8::is_ascii_alphanumeric).collect();
    let vowel = |b: &u8| matches!(b, b'a' | b'e' | b'i' | b'o' | b'u' | b'y');
    let letters: Vec<&u8> = bytes.iter().filter(|b| b.is_ascii_alphabetic()).collect();
    let vowels = letters.iter().filter(|b| vowel(b)).count();
    let changes = bytes.windows(2).filter(|two| two[0].is_ascii_digit() != two[1].is_ascii_digit()).count();
    let consonants = bytes.split(|b| !b.is_ascii_alphabetic() || vowel(b)).any(|run| run.len() >= 5);
    let few = letters.len() >= RANDOM_LENGTH && vowels * 5 < letters.len();
    bytes.len() >= RANDOM_LENGTH && (changes >= 2 && changes * 8 >= bytes.len() || consonants || few)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_a_registered_part_and_a_suffix() {
        let of = |name: &str| [Part::Whole, Part::Registered, Part::Suffix, Part::Depth].map(|part| apply(part, name));
        assert_eq!(of("WWW.Example.COM."), ["www.example.com", "example.com", "com", "3"]);
        assert_eq!(of("a.b.example.co.uk:8443"), ["a.b.example.co.uk", "example.co.uk", "co.uk", "5"]);
        assert_eq!(of("www.example.de"), ["www.example.de", "example.de", "de", "3"]);
        assert_eq!(of("co.uk"), ["co.uk", "co.uk", "uk", "2"]);
        assert_eq!(of("1.2.0.192.in-addr.arpa"), ["1.2.0.192.in-addr.arpa", "in-addr.arpa", "arpa", "6"]);
        assert_eq!(of("localhost"), ["localhost", "localhost", "localhost", "1"]);
        assert_eq!(of("[2001:DB8::1]:53"), ["2001:db8::1", "2001:db8::1", "", "0"]);
        assert_eq!(of("192.0.2.7:80"), ["192.0.2.7", "192.0.2.7", "", "0"]);
        assert_eq!(of(""), ["", "", "", "0"]);
    }

    #[test]
    fn generated_labels_look_unlike_chosen_ones() {
        let shape = |name| apply(Part::Shape, name);
        assert_eq!(shape("www.example.com"), "a3.a6-7.com");
        assert_eq!(shape("k3q9x7m2v8t4.example.co.uk"), "x12-15r.a6-7.co.uk");
        assert_eq!(shape("xkcdwqjzrtvb.net"), "a12-15r.net");
        assert_eq!(shape("documentation.internal"), "a12-15.internal");
        assert_eq!(shape("a.b.c.d.e.example.org"), "….a1.a1.a1.a6-7.org");
        assert_eq!(shape("_dmarc.xn--bcher-kva.example"), "o6-7.p12-15.example");
        assert_eq!(shape("7.0.2001.example"), "n1.n1.n4-5.example");
        for chosen in ["windowsupdate", "googleapis", "cloudfront", "mail-archive", "kubernetes", "download2"] {
            assert!(!looks_random(chosen), "{chosen}");
        }
        for generated in ["4fa91bc07e", "q8w7e6r5t4", "zxqvbnmkpl", "mfrggzdfmztwq2lk"] {
            assert!(looks_random(generated), "{generated}");
        }
    }
}
