//! Field kinds: what a column holds, and the fixed transforms that make its values comparable (docs/contracts.md §5).

mod cmdline;
mod domain;
pub(crate) mod mask;
mod socket;
mod text;
pub(crate) mod transform;
mod url;
mod user;
mod windows;

use serde::Serialize;

use transform::logbin;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A file path.
    Path,
    /// A list of arguments, or one text of them.
    Cmdline,
    /// An address of the web.
    Url,
    /// The name of a host.
    Domain,
    /// An IP address as text.
    Ip,
    /// A port number.
    Port,
    /// What a descriptor refers to: the ends of a socket, or a file.
    Socket,
    /// A user id or name.
    User,
    /// A quantity.
    Number,
    /// A timestamp.
    Time,
    /// Free text.
    Text,
    /// A name taken as it is.
    Id,
    /// A key that names units; views cannot use it.
    Key,
}

/// A transform of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// The value, with numbers masked in paths.
    Whole,
    /// Last component of a path.
    Leaf,
    /// A path without its last component.
    Dir,
    /// The first two components of a path's directory.
    Place,
    /// The masked outline of arguments or text.
    Shape,
    /// The sorted set of option names.
    Flags,
    /// How many, as a logarithmic bin.
    Count,
    /// An address in canonical form.
    Address,
    /// The class of an address.
    Class,
    /// The network of an address.
    Prefix,
    /// A port, with high ones as one.
    Service,
    /// A port as it is.
    Exact,
    /// A user id.
    Id,
    /// A logarithmic bin.
    Logbin,
    /// Hour of the day, UTC.
    Hour,
    /// Hour of the week, UTC.
    HourOfWeek,
    /// A key in hexadecimal.
    Hex,
    /// What a file's name ends in.
    Extension,
    /// The name of a command line's program.
    Program,
    /// What a URL begins with.
    Scheme,
    /// The host of a URL.
    Host,
    /// The registered name of a URL's host.
    Site,
    /// The port of a URL.
    Port,
    /// The masked path of a URL.
    Path,
    /// The names of a URL's parameters.
    Query,
    /// What of a name is registered: the suffix and one label more.
    Registered,
    /// The end of a name that nobody registers.
    Suffix,
    /// How many labels a name has.
    Depth,
    /// A user's name without its domain.
    Name,
    /// A user's domain.
    Domain,
    /// The day of the week, UTC.
    Weekday,
    /// How many characters, as a logarithmic bin.
    Length,
    /// The classes of a text's characters.
    Charset,
    /// The name that a mapping gives to a user's id.
    Entity,
}

const KINDS: [(Kind, &str, &[Part]); 13] = [
    (Kind::Path, "path", &[Part::Whole, Part::Leaf, Part::Dir, Part::Place, Part::Extension]),
    (Kind::Cmdline, "cmdline", &[Part::Shape, Part::Flags, Part::Count, Part::Program]),
    (
        Kind::Url,
        "url",
        &[Part::Shape, Part::Scheme, Part::Host, Part::Site, Part::Port, Part::Path, Part::Query, Part::Extension],
    ),
    (Kind::Domain, "domain", &[Part::Whole, Part::Registered, Part::Suffix, Part::Depth, Part::Shape]),
    (Kind::Ip, "ip", &[Part::Address, Part::Class, Part::Prefix]),
    (Kind::Port, "port", &[Part::Service, Part::Exact]),
    (Kind::Socket, "socket", &[Part::Service, Part::Address]),
    (Kind::User, "user", &[Part::Id, Part::Name, Part::Domain, Part::Class, Part::Entity]),
    (Kind::Number, "number", &[Part::Logbin]),
    (Kind::Time, "time", &[Part::Hour, Part::HourOfWeek, Part::Weekday]),
    (Kind::Text, "text", &[Part::Whole, Part::Shape, Part::Length, Part::Charset]),
    (Kind::Id, "id", &[Part::Whole]),
    (Kind::Key, "key", &[Part::Hex]),
];

const PARTS: [(Part, &str); 34] = [
    (Part::Whole, "whole"),
    (Part::Leaf, "leaf"),
    (Part::Dir, "dir"),
    (Part::Place, "place"),
    (Part::Shape, "shape"),
    (Part::Flags, "flags"),
    (Part::Count, "count"),
    (Part::Address, "address"),
    (Part::Class, "class"),
    (Part::Prefix, "prefix"),
    (Part::Service, "service"),
    (Part::Exact, "exact"),
    (Part::Id, "id"),
    (Part::Logbin, "logbin"),
    (Part::Hour, "hour"),
    (Part::HourOfWeek, "hour_of_week"),
    (Part::Hex, "hex"),
    (Part::Extension, "extension"),
    (Part::Program, "program"),
    (Part::Scheme, "scheme"),
    (Part::Host, "host"),
    (Part::Site, "site"),
    (Part::Port, "port"),
    (Part::Path, "path"),
    (Part::Query, "query"),
    (Part::Registered, "registered"),
    (Part::Suffix, "suffix"),
    (Part::Depth, "depth"),
    (Part::Name, "name"),
    (Part::Domain, "domain"),
    (Part::Weekday, "weekday"),
    (Part::Length, "length"),
    (Part::Charset, "charset"),
    (Part::Entity, "entity"),
];

/// Whether a path is one of Windows.
pub(crate) fn is_windows_path(path: &str) -> bool {
    windows::is_windows(path)
}

/// Longest ending of a file's name that counts as one.
const EXTENSION_BYTES: usize = 8;

/// What a file's name ends in, in lower case: letters and digits after its last dot; empty if there are none.
fn extension(leaf: &str) -> String {
    let ending = leaf.rsplit_once('.').filter(|(name, _)| !name.is_empty()).map_or("", |(_, ending)| ending);
    let fits = ending.len() <= EXTENSION_BYTES && ending.bytes().all(|b| b.is_ascii_alphanumeric());
    if fits { ending.to_ascii_lowercase() } else { String::new() }
}

impl Kind {
    /// The kind a lens calls by this name.
    pub fn parse(name: &str) -> Option<Self> {
        KINDS.iter().find(|k| k.1 == name).map(|k| k.0)
    }

    /// Its name in a lens.
    pub fn name(self) -> &'static str {
        KINDS[self as usize].1
    }

    /// Its parts; the first is the default.
    pub fn parts(self) -> &'static [Part] {
        KINDS[self as usize].2
    }

    /// Every kind.
    pub fn all() -> impl Iterator<Item = Self> {
        KINDS.iter().map(|k| k.0)
    }
}

impl Part {
    /// The part a lens calls by this name.
    pub fn parse(name: &str) -> Option<Self> {
        PARTS.iter().find(|p| p.1 == name).map(|p| p.0)
    }

    /// Its name in a lens.
    pub fn name(self) -> &'static str {
        PARTS[self as usize].1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_and_part_is_where_its_number_says() {
        for (at, (kind, name, parts)) in KINDS.iter().enumerate() {
            assert_eq!((*kind as usize, Kind::parse(name)), (at, Some(*kind)));
            assert!(!parts.is_empty());
        }
        for (at, (part, name)) in PARTS.iter().enumerate() {
            assert_eq!((*part as usize, Part::parse(name)), (at, Some(*part)));
            let json = serde_json::to_string(part).unwrap();
            assert_eq!(json, format!("\"{name}\""), "its name in a lens is that in the digest");
        }
    }
}
