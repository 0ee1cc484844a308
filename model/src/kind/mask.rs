//! Masking: what varies without meaning (numbers, hashes, addresses) becomes a letter.

use std::net::{IpAddr, SocketAddr};

/// Runs of at least this many hex digits count as a hash or identifier.
const HEX_RUN: usize = 6;
/// Runs of at least this many letters and digits can be tokens.
const TOKEN_RUN: usize = 16;

/// Replaces runs of digits, and runs of 6 or more hex digits, by `N`.
pub(crate) fn numbers(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    push_numbers(text, &mut out);
    out
}

/// As [`numbers`], and IP addresses become `A`.
pub(crate) fn numbers_and_addresses(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let (run, after) = split_while(rest, |b| b.is_ascii_hexdigit() || b == b'.' || b == b':');
        push_address_or_numbers(run, &mut out);
        let (other, after) = split_while(after, |b| !(b.is_ascii_hexdigit() || b == b'.' || b == b':'));
        out.push_str(other);
        rest = after;
    }
    out
}

/// As [`numbers`], and runs of letters, digits, `-` and `_` that are GUIDs or look like tokens become `N` as a whole.
pub(crate) fn identifiers(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let (run, after) = split_while(rest, is_word);
        if is_identifier(run) {
            out.push('N');
        } else {
            push_numbers(run, &mut out);
        }
        let (other, after) = split_while(after, |b| !is_word(b));
        out.push_str(other);
        rest = after;
    }
    out
}

/// As [`identifiers`], and IP addresses become `A`.
pub(crate) fn identifiers_and_addresses(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let (run, after) = split_while(rest, |b| b.is_ascii_hexdigit() || b == b'.' || b == b':');
        match address(run) {
            Some(mask) => out.push_str(mask),
            None => out.push_str(run),
        }
        let (other, after) = split_while(after, |b| !(b.is_ascii_hexdigit() || b == b'.' || b == b':'));
        out.push_str(other);
        rest = after;
    }
    identifiers(&out)
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

/// A GUID, or 16 or more characters of which letters and digits change places at an eighth or more.
fn is_identifier(run: &str) -> bool {
    let changes = || {
        let alphanumeric = |two: &&[u8]| two.iter().all(u8::is_ascii_alphanumeric);
        let pairs = run.as_bytes().windows(2).filter(alphanumeric);
        pairs.filter(|two| two[0].is_ascii_digit() != two[1].is_ascii_digit()).count()
    };
    run.len() >= TOKEN_RUN && (is_guid(run) || changes() * 8 >= run.len())
}

fn is_guid(run: &str) -> bool {
    let dash = |at: usize| matches!(at, 8 | 13 | 18 | 23);
    let fits = |(at, b): (usize, u8)| if dash(at) { b == b'-' } else { b.is_ascii_hexdigit() };
    run.len() == 36 && run.bytes().enumerate().all(fits)
}

/// Cuts a text to at most `bytes` bytes, at a character.
pub(crate) fn cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

fn push_address_or_numbers(run: &str, out: &mut String) {
    match address(run) {
        Some(mask) => out.push_str(mask),
        None => push_numbers(run, out),
    }
}

/// What stands for a run that is an address.
fn address(run: &str) -> Option<&'static str> {
    let long_enough = run.len() > 2 && run.bytes().any(|b| b == b'.' || b == b':');
    if long_enough && run.parse::<IpAddr>().is_ok() {
        Some("A")
    } else if long_enough && run.parse::<SocketAddr>().is_ok() {
        Some("A:N")
    } else {
        None
    }
}

fn push_numbers(text: &str, out: &mut String) {
    let mut rest = text;
    while !rest.is_empty() {
        let (hex, after) = split_while(rest, |b| b.is_ascii_hexdigit());
        if hex.len() >= HEX_RUN {
            out.push('N');
        } else {
            push_digits(hex, out);
        }
        let (other, after) = split_while(after, |b| !b.is_ascii_hexdigit());
        out.push_str(other);
        rest = after;
    }
}

fn push_digits(text: &str, out: &mut String) {
    let mut in_number = false;
    for c in text.chars() {
        let digit = c.is_ascii_digit();
        match (digit, in_number) {
            (true, false) => out.push('N'),
            (true, true) => {}
            (false, _) => out.push(c),
        }
        in_number = digit;
    }
}

/// Splits after the longest prefix of bytes that satisfy `keep`, which must treat all non-ASCII bytes alike.
fn split_while(text: &str, keep: impl Fn(u8) -> bool) -> (&str, &str) {
    text.split_at(text.bytes().position(|b| !keep(b)).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn masks() {
        assert_eq!(numbers("/usr/bin/python3.11"), "/usr/bin/pythonN.N");
        assert_eq!(numbers("/tmp/a1b2c3d4e5/x"), "/tmp/N/x");
        assert_eq!(numbers("libé42"), "libéN");
        assert_eq!(numbers_and_addresses("http://10.0.0.1:8080/x"), "http://A:N/x");
        assert_eq!(numbers_and_addresses("--to=fe80::1"), "--to=A");
        assert_eq!(numbers_and_addresses("::"), "::");
        assert_eq!(numbers_and_addresses("[::1]:53"), "[A]:N");
        assert_eq!(cut("aé", 2), "a");
    }

    #[test]
    fn identifiers_go_and_names_stay() {
        assert_eq!(identifiers("{6f9619ff-8b86-d011-b42d-00cf4fc964ff}.x"), "{N}.x");
        assert_eq!(identifiers("a/Zm9vYmFy0XJlY3Rvcmk5x2/b"), "a/N/b");
        for name in ["getAccountBalanceV2", "a-post-about-2024-and-more", "internationalization"] {
            assert_eq!(identifiers(name), numbers(name));
        }
        assert_eq!(identifiers_and_addresses("10.0.0.1:80 v1.2.3"), "A:N vN.N.N");
    }

    proptest! {
        #[test]
        fn masking_is_idempotent_and_never_longer(text in "[a-f0-9:./é -]{0,40}") {
            for mask in [numbers, numbers_and_addresses, identifiers, identifiers_and_addresses] {
                let once = mask(&text);
                prop_assert!(once.len() <= text.len());
                prop_assert!(!once.bytes().any(|b| b.is_ascii_digit()));
            }
        }
    }
}
