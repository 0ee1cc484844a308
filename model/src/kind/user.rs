//! Users: numbers, names with and without a domain, mail addresses, security identifiers.

use super::Part;
use super::mask::cut;

/// Bytes kept of a name.
const NAME_BYTES: usize = 64;
/// The first number of people's accounts on common distributions.
const FIRST_PERSON: i128 = 1000;
/// Numbers of nobody: of no privileges, and those that mean "none" in 16 and 32 bits.
const NOBODY: [i128; 3] = [65_534, 65_535, 4_294_967_295];

/// The part of a user; `id` is the value as it is.
pub(super) fn apply(part: Part, text: &str, number: Option<i128>) -> String {
    let (domain, name) = split(text);
    match part {
        Part::Name => cut(&name.to_lowercase(), NAME_BYTES).to_owned(),
        Part::Domain => cut(&domain.to_lowercase(), NAME_BYTES).to_owned(),
        Part::Class => class(&domain.to_lowercase(), &name.to_lowercase(), number).to_owned(),
        _ => text.to_owned(),
    }
}

/// Domain and name of `DOMAIN\name` and of `name@domain`; no domain is empty.
fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    match (text.split_once('\\'), text.rsplit_once('@')) {
        (Some(two), _) => two,
        (None, Some((name, domain))) => (domain, name),
        (None, None) => ("", text),
    }
}

/// Whose account it is, as far as its form tells.
fn class(domain: &str, name: &str, number: Option<i128>) -> &'static str {
    match number {
        Some(0) => return "root",
        Some(n) if NOBODY.contains(&n) => return "nobody",
        Some(n) if (0..FIRST_PERSON).contains(&n) => return "system",
        Some(_) => return "person",
        None => {}
    }
    match name {
        "" | "-" | "?" => "none",
        "root" => "root",
        "nobody" | "anonymous" | "anonymous logon" | "guest" => "nobody",
        "system" | "s-1-5-18" | "s-1-5-19" | "s-1-5-20" => "system",
        _ if domain.starts_with("nt ") || matches!(domain, "font driver host" | "window manager") => "system",
        _ if name.starts_with("s-1-5-21-") => "person",
        _ if name.starts_with("s-1-") => "system",
        _ if name.ends_with('$') => "machine",
        _ => "person",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_domains() {
        let of = |text: &str| [Part::Id, Part::Name, Part::Domain].map(|part| apply(part, text, None));
        assert_eq!(of("CORP\\Ada"), ["CORP\\Ada", "ada", "corp"]);
        assert_eq!(of("Ada@Example.com"), ["Ada@Example.com", "ada", "example.com"]);
        assert_eq!(of("ada"), ["ada", "ada", ""]);
        assert_eq!(of(""), ["", "", ""]);
    }

    #[test]
    fn classes_tell_accounts_of_machines_from_those_of_people() {
        let of = |text: &str| apply(Part::Class, text, text.parse().ok());
        assert_eq!(
            ["0", "33", "1000", "65534", "4294967295"].map(of),
            ["root", "system", "person", "nobody", "nobody"]
        );
        assert_eq!(["NT AUTHORITY\\SYSTEM", "CORP\\WEB1$", "CORP\\ada"].map(of), ["system", "machine", "person"]);
        assert_eq!(["S-1-5-18", "S-1-5-21-1-2-3-1104", "-", "-5"].map(of), ["system", "person", "none", "person"]);
    }
}
