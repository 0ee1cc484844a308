//! The transforms: from a raw column value to the text that is hashed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::mask::{cut, numbers, numbers_and_addresses};
use super::{Kind, Part, cmdline, domain, extension, socket, text, url, user, windows};
use crate::raw::Raw;

/// Bytes kept of a text's shape.
const TEXT_BYTES: usize = 120;
/// Ports from here on are handed out by the system.
const FIRST_EPHEMERAL: i128 = 32768;

/// Applies a kind's part to a raw value; null stays null.
pub(crate) fn apply(kind: Kind, part: Part, raw: &Raw) -> Option<String> {
    let text = || raw.text();
    Some(match (kind, part) {
        _ if matches!(raw, Raw::Null) => return None,
        (Kind::Path, part) => path(part, &text()),
        (Kind::Cmdline, part) => cmdline::apply(part, raw),
        (Kind::Socket, part) => socket::apply(part, &text()),
        (Kind::Url, part) => url::apply(part, &text()),
        (Kind::Domain, part) => domain::apply(part, &text()),
        (Kind::User, part) => user::apply(part, &text(), raw.int()),
        (Kind::Ip, part) => ip(part, &text()),
        (Kind::Port, Part::Service) => match raw.int() {
            Some(port) if port >= FIRST_EPHEMERAL => service(port),
            _ => text(),
        },
        (Kind::Number, _) => match raw {
            Raw::Float(number) => logbin_of_float(number.get()),
            _ => raw.int().map_or_else(|| number_in(text()), logbin),
        },
        (Kind::Time, Part::HourOfWeek) => raw.hour().map_or_else(text, hour_of_week),
        (Kind::Time, Part::Weekday) => raw.hour().map_or_else(text, |h| weekday(h).to_owned()),
        (Kind::Time, _) => raw.hour().map_or_else(text, |h| h.rem_euclid(24).to_string()),
        (Kind::Text, Part::Shape) => cut(&numbers_and_addresses(&text()), TEXT_BYTES).to_owned(),
        (Kind::Text, Part::Length) => logbin(text().chars().count() as i128),
        (Kind::Text, Part::Charset) => text::charset(&text()),
        (Kind::Port | Kind::Text | Kind::Id | Kind::Key, _) => text(),
    })
}

fn path(part: Part, path: &str) -> String {
    match (windows::is_windows(path), part) {
        (true, Part::Leaf) => windows::leaf(path),
        (true, Part::Dir) => windows::dir(path),
        (true, Part::Place) => windows::place(path),
        (true, Part::Extension) => extension(&windows::leaf(path)),
        (true, _) => windows::whole(path),
        (false, Part::Leaf) => numbers(leaf(path)),
        (false, Part::Dir) => numbers(dir(path)),
        (false, Part::Place) => numbers(place(path)),
        (false, Part::Extension) => extension(leaf(path)),
        (false, _) => numbers(path),
    }
}

/// The bin of a number that text spells with a fraction or an exponent; what is none stays as it is.
fn number_in(text: String) -> String {
    text.parse().map_or(text, logbin_of_float)
}

fn leaf(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// What stands before the last component; `/` for a file in the root, `memfd:` for a memory file, `.` for a bare name.
fn dir(path: &str) -> &str {
    if path.starts_with("memfd:") {
        return "memfd:";
    }
    match path.rfind('/') {
        Some(0) => "/",
        Some(at) => &path[..at],
        None => ".",
    }
}

/// The first two components of the directory.
fn place(path: &str) -> &str {
    let dir = dir(path);
    let skip = usize::from(dir.starts_with('/'));
    dir[skip..].match_indices('/').nth(1).map_or(dir, |(at, _)| &dir[..skip + at])
}

/// Below this power of two a fraction is as good as nothing, denormal numbers among them.
const SMALLEST_OCTAVE: i32 = -32;

/// A whole part counts as an integer does; fractions below 1 have an octave each: `2^-3` from 1/8 to below 1/4. NaN is a
/// value of its own, `NaN`, as are `inf` and `-inf`; what is smaller than 2^-32 is `0`. By the bits alone, so that no
/// platform's arithmetic matters.
fn logbin_of_float(number: f64) -> String {
    let sign = if number.is_sign_negative() { "-" } else { "" };
    let octave = (number.to_bits() >> 52 & 0x7FF) as i32 - 1023;
    match octave {
        1024 if number.is_nan() => "NaN".to_owned(),
        1024 => format!("{sign}inf"),
        0.. => logbin(number as i128), // cut towards zero; beyond an i128 it is the last bin
        SMALLEST_OCTAVE.. => format!("{sign}2^{octave}"),
        _ => "0".to_owned(),
    }
}

/// Half-octaves: the numbers from 2^(b/2) up to 2^((b+1)/2) share a bin, written as its range.
pub(crate) fn logbin(number: i128) -> String {
    let magnitude = number.unsigned_abs().min(u128::from(u64::MAX));
    let sign = if number < 0 { "-" } else { "" };
    if magnitude == 0 {
        return "0".to_owned();
    }
    let octave = magnitude.ilog2();
    let upper_half = magnitude * magnitude >= 1 << (2 * octave + 1);
    let bin = 2 * octave + u32::from(upper_half);
    let (low, high) = (bin_start(bin), bin_start(bin + 1) - 1);
    if low == high { format!("{sign}{low}") } else { format!("{sign}{low}-{high}") }
}

/// The smallest whole number that is at least 2^(bin/2).
fn bin_start(bin: u32) -> u128 {
    let octave = 1 << (bin / 2);
    if bin.is_multiple_of(2) { octave } else { (octave * octave * 2 - 1).isqrt() + 1 }
}

fn hour_of_week(hours: i64) -> String {
    format!("{} {}", weekday(hours), hours.rem_euclid(24))
}

fn weekday(hours: i64) -> &'static str {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"]; // 1970 began on a Thursday
    DAYS[hours.div_euclid(24).rem_euclid(7) as usize]
}

/// The port, or `ephemeral` for all that the system hands out.
pub(super) fn service(port: i128) -> String {
    if port >= FIRST_EPHEMERAL { "ephemeral".to_owned() } else { port.to_string() }
}

fn ip(part: Part, text: &str) -> String {
    let Ok(address) = text.parse::<IpAddr>() else {
        return text.to_owned();
    };
    match (part, address.to_canonical()) {
        (Part::Class, a) => class(a).to_owned(),
        (Part::Prefix, IpAddr::V4(a)) => format!("{}/24", Ipv4Addr::from_bits(a.to_bits() & !0xFF)),
        (Part::Prefix, IpAddr::V6(a)) => format!("{}/48", Ipv6Addr::from_bits(a.to_bits() >> 80 << 80)),
        (_, a) => a.to_string(),
    }
}

/// The class of an address in canonical form.
pub(super) fn class(address: IpAddr) -> &'static str {
    match address {
        IpAddr::V4(a) => class_v4(a),
        IpAddr::V6(a) => class_v6(a),
    }
}

fn class_v4(a: Ipv4Addr) -> &'static str {
    let [first, second, ..] = a.octets();
    match a {
        _ if a.is_unspecified() => "unspecified",
        _ if a.is_loopback() => "loopback",
        _ if a.is_private() => "private",
        _ if a.is_link_local() => "link-local",
        _ if a.is_multicast() => "multicast",
        _ if a.is_broadcast() => "broadcast",
        _ if a.is_documentation() => "documentation",
        _ if first == 100 && second & 0xC0 == 64 => "shared",
        _ if first == 0 || first >= 240 => "reserved",
        _ => "public",
    }
}

fn class_v6(a: Ipv6Addr) -> &'static str {
    let head = a.segments();
    match a {
        _ if a.is_unspecified() => "unspecified",
        _ if a.is_loopback() => "loopback",
        _ if a.is_unique_local() => "private",
        _ if a.is_unicast_link_local() => "link-local",
        _ if a.is_multicast() => "multicast",
        _ if head[0] == 0x2001 && head[1] == 0xDB8 => "documentation",
        _ if head[0] & 0xE000 != 0x2000 => "reserved",
        _ => "public",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of_path(part: Part, text: &str) -> String {
        apply(Kind::Path, part, &Raw::Text(text.to_owned())).unwrap()
    }

    #[test]
    fn paths() {
        assert_eq!(of_path(Part::Leaf, "/usr/bin/python3"), "pythonN");
        assert_eq!(of_path(Part::Dir, "/usr/lib/7/x"), "/usr/lib/N");
        assert_eq!(of_path(Part::Dir, "/init"), "/");
        assert_eq!(of_path(Part::Place, "/usr/lib/a/b/c"), "/usr/lib");
        assert_eq!(of_path(Part::Place, "/tmp/x"), "/tmp");
        assert_eq!(of_path(Part::Place, "memfd:x/y"), "memfd:");
        assert_eq!(of_path(Part::Place, ""), ".");
        assert_eq!(of_path(Part::Place, "a/b/c/d"), "a/b");
        assert_eq!(of_path(Part::Extension, "/a.b/archive.tar.GZ"), "gz");
        assert_eq!(of_path(Part::Extension, "/a.b/x"), "");
        assert_eq!(of_path(Part::Extension, "C:\\a\\Setup.EXE"), "exe");
        assert_eq!(of_path(Part::Leaf, "C:\\a\\Setup64.EXE"), "setupN.exe");
    }

    #[test]
    fn command_lines() {
        let list = Raw::List(["tar", "-xzf", "a b", "--to=10.1.2.3", "-p8", "--", "-z"].map(String::from).to_vec());
        assert_eq!(apply(Kind::Cmdline, Part::Shape, &list).unwrap(), "tar -xzf a\\ b --to=A -pN --");
        assert_eq!(apply(Kind::Cmdline, Part::Flags, &list).unwrap(), "--to -pN -xzf");
        assert_eq!(apply(Kind::Cmdline, Part::Count, &list).unwrap(), "6-7");
        assert_eq!(apply(Kind::Cmdline, Part::Shape, &Raw::Null), None);
    }

    #[test]
    fn addresses() {
        let class = |a| ip(Part::Class, a);
        assert_eq!(class("::ffff:10.0.0.1"), "private");
        assert_eq!(class("8.8.8.8"), "public");
        assert_eq!(class("169.254.169.254"), "link-local");
        assert_eq!(class("fd00::1"), "private");
        assert_eq!(class("2606:4700::1"), "public");
        assert_eq!(ip(Part::Prefix, "192.168.7.9"), "192.168.7.0/24");
        assert_eq!(ip(Part::Prefix, "2606:4700:1:2::3"), "2606:4700:1::/48");
        assert_eq!(ip(Part::Address, "not one"), "not one");
    }

    #[test]
    fn times_and_ports() {
        assert_eq!(hour_of_week(4 * 24 + 13), "Mon 13");
        assert_eq!(hour_of_week(-1), "Wed 23");
        assert_eq!(apply(Kind::Time, Part::Weekday, &Raw::Hour(2 * 24)).unwrap(), "Sat");
        let port = |p| apply(Kind::Port, Part::Service, &Raw::Int(p)).unwrap();
        assert_eq!((port(443).as_str(), port(40000).as_str()), ("443", "ephemeral"));
    }

    #[test]
    fn floats_have_the_bins_of_integers_and_rules_for_what_is_no_number() {
        use crate::raw::Float;
        let bin = |number: f64| apply(Kind::Number, Part::Logbin, &Raw::Float(Float::new(number))).unwrap();
        let numbers = [0.0, -0.0, 1.0, 1.9, 5.5, -9.0, 0.5, 0.25, 0.49, -0.125];
        assert_eq!(numbers.map(bin), ["0", "0", "1", "1", "4-5", "-8-11", "2^-1", "2^-2", "2^-2", "-2^-3"]);
        let rest = [f64::NAN, -f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MIN_POSITIVE, 5e-324, 2f64.powi(-32)];
        assert_eq!(rest.map(bin), ["NaN", "NaN", "inf", "-inf", "0", "0", "2^-32"]);
        assert_eq!(bin(f64::MAX), logbin(i128::MAX));
        let spelt = |text: &str| apply(Kind::Number, Part::Logbin, &Raw::Text(text.to_owned())).unwrap();
        assert_eq!(
            ["5", "5.5", "0.25", "1e3", "-9", "5 s"].map(spelt),
            ["4-5", "4-5", "2^-2", "725-1023", "-8-11", "5 s"]
        );
        assert_eq!(Float::new(f64::from_bits(0xFFF0_0000_0000_0001)), Float::new(f64::NAN));
    }

    #[test]
    fn logbins_tile_the_numbers() {
        let names = [0, 1, 2, 3, 4, 5, 6, 7, 8, 11, 12].map(logbin);
        assert_eq!(names, ["0", "1", "2", "3", "4-5", "4-5", "6-7", "6-7", "8-11", "8-11", "12-15"]);
        assert_eq!(logbin(-9), "-8-11");
        assert!(logbin(i128::MIN).starts_with('-'));
    }

    proptest! {
        #[test]
        fn logbins_hold_their_number(number: u64) {
            let bin = logbin(i128::from(number));
            let (low, high) = bin.split_once('-').unwrap_or((&bin, &bin));
            prop_assert!((low.parse::<u128>().unwrap()..=high.parse::<u128>().unwrap()).contains(&u128::from(number)));
        }

        /// Ordinary texts, and ones made of what the transforms look for.
        #[test]
        fn no_text_panics_or_grows(plain: String, made in "([a-zA-Z0-9é]{0,9}|[.:/?&=%@#\\\\'\"-]|xn--|://|%2F| ){0,40}") {
            for text in [plain, made] {
                for kind in Kind::all() {
                    for part in kind.parts() {
                        let out = apply(kind, *part, &Raw::Text(text.clone())).unwrap();
                        let bound = if *part == Part::Charset { 120 } else { 3 * text.len() + 16 };
                        prop_assert!(out.len() <= bound, "{} {}: {out:?}", kind.name(), part.name());
                    }
                }
            }
        }

        #[test]
        fn what_bounds_name_stays_bounded(text in "[a-z0-9./?&=:@ -]{0,20000}") {
            let of = |kind, part| apply(kind, part, &Raw::Text(text.clone())).unwrap().len();
            prop_assert!(of(Kind::Url, Part::Shape) <= 1600 && of(Kind::Domain, Part::Shape) <= 350);
            prop_assert!(of(Kind::Cmdline, Part::Shape) <= 500 && of(Kind::Cmdline, Part::Flags) <= 700);
            prop_assert!(of(Kind::User, Part::Name) <= 64 && of(Kind::Domain, Part::Whole) <= 253);
        }
    }
}
