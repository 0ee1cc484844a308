//! Masking: what varies without meaning (numbers, hashes, addresses) becomes a letter.

use std::net::{IpAddr, SocketAddr};

/// Runs of at least this many hex digits count as a hash or identifier.
const HEX_RUN: usize = 6;

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

/// Cuts a text to at most `bytes` bytes, at a character.
pub(crate) fn cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

fn push_address_or_numbers(run: &str, out: &mut String) {
    let long_enough = run.len() > 2 && run.bytes().any(|b| b == b'.' || b == b':');
    if long_enough && run.parse::<IpAddr>().is_ok() {
        out.push('A');
    } else if long_enough && run.parse::<SocketAddr>().is_ok() {
        out.push_str("A:N");
    } else {
        push_numbers(run, out);
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

    proptest! {
        #[test]
        fn masking_is_idempotent_and_never_longer(text in "[a-f0-9:./é -]{0,40}") {
            for mask in [numbers, numbers_and_addresses] {
                let once = mask(&text);
                prop_assert!(once.len() <= text.len());
                prop_assert!(!once.bytes().any(|b| b.is_ascii_digit()));
            }
        }
    }
}
