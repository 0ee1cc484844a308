//! Field kinds: what a column holds, and the fixed transforms that make its values comparable (docs/contracts.md §5).

pub(crate) mod mask;
pub(crate) mod transform;

use serde::Serialize;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A file path.
    Path,
    /// A list of arguments.
    Cmdline,
    /// An IP address as text.
    Ip,
    /// A port number.
    Port,
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
}

const KINDS: [(Kind, &str, &[Part]); 10] = [
    (Kind::Path, "path", &[Part::Whole, Part::Leaf, Part::Dir, Part::Place]),
    (Kind::Cmdline, "cmdline", &[Part::Shape, Part::Flags, Part::Count]),
    (Kind::Ip, "ip", &[Part::Address, Part::Class, Part::Prefix]),
    (Kind::Port, "port", &[Part::Service, Part::Exact]),
    (Kind::User, "user", &[Part::Id]),
    (Kind::Number, "number", &[Part::Logbin]),
    (Kind::Time, "time", &[Part::Hour, Part::HourOfWeek]),
    (Kind::Text, "text", &[Part::Whole, Part::Shape]),
    (Kind::Id, "id", &[Part::Whole]),
    (Kind::Key, "key", &[Part::Hex]),
];

const PARTS: [(Part, &str); 17] = [
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
];

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

    /// The names of all kinds, for messages.
    pub(crate) fn names() -> String {
        KINDS.map(|k| k.1).join(", ")
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
