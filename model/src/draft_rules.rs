//! What a column holds and probably means, by its name, its type and its values.

use std::collections::HashSet;
use std::net::IpAddr;

use arrow_array::Array;
use arrow_cast::cast;
use arrow_schema::DataType;

use crate::kind::mask::cut;
use crate::kind::transform::apply;
use crate::kind::{Kind, Part, is_windows_path};
use crate::lens_check::percent;
use crate::raw::{self, Form, Raw, RawColumn};

/// Values shown of a column.
const SHOWN: usize = 3;
/// Bytes shown of a value.
const SHOWN_BYTES: usize = 40;
/// Distinct values looked at.
const SAMPLE: usize = 1_000;
/// As few numbers as this are names of something.
const FEW_NUMBERS: usize = 32;
/// 2000 and 2100, in seconds since 1970: numbers between them can be times.
const CENTURY: std::ops::Range<f64> = 946_684_800.0..4_102_444_800.0;
/// Texts longer than this on average are not names.
const LONG_TEXT: usize = 40;

/// A column as it was looked at.
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) form: Form,
    /// Distinct values that are not null, in order of occurrence.
    pub(crate) values: Vec<Raw>,
    /// By value: rows that have it.
    counts: Vec<u64>,
    /// By row: number of its value, or `u32::MAX`.
    pub(crate) codes: Vec<u32>,
    pub(crate) rows: usize,
}

impl Column {
    pub(crate) fn new(name: &str, array: &dyn Array) -> Option<Self> {
        let found = array.data_type();
        let form = raw::form(found)?;
        let plain = match found {
            DataType::Dictionary(_, values) => cast(array, values).ok()?,
            _ => arrow_array::make_array(array.to_data()),
        };
        let RawColumn { codes, values } = raw::read(&plain);
        let mut this = Self {
            name: name.to_owned(),
            form,
            values: Vec::new(),
            counts: Vec::new(),
            codes: Vec::with_capacity(codes.len()),
            rows: codes.len(),
        };
        let mut number = vec![None; values.len()];
        for code in codes {
            let raw = &values[code as usize];
            if is_missing(raw) {
                this.codes.push(u32::MAX);
                continue;
            }
            let at = *number[code as usize].get_or_insert_with(|| {
                this.values.push(raw.clone());
                this.counts.push(0);
                this.values.len() - 1
            });
            this.counts[at] += 1;
            this.codes.push(at as u32);
        }
        Some(this)
    }

    pub(crate) fn distinct(&self) -> usize {
        self.values.len()
    }

    pub(crate) fn filled(&self) -> usize {
        self.codes.iter().filter(|code| **code != u32::MAX).count()
    }

    /// Its values repeat often enough to have habits: two at least, and every one ten times on average.
    pub(crate) fn has_habits(&self) -> bool {
        self.distinct() >= 2 && self.distinct() * 10 <= self.filled()
    }

    /// Whether a field of this kind and part can be a child at all: it takes more than one value, and not another one in
    /// nearly every row.
    pub(crate) fn varies(&self, kind: Kind, part: Part) -> bool {
        let seen: HashSet<Option<String>> = self.values.iter().map(|raw| apply(kind, part, raw)).collect();
        let nulls = usize::from(self.filled() < self.rows);
        seen.len() + nulls >= 2 && seen.len() * 10 < self.filled().max(10) * 9
    }

    /// Whether all its values are numbers, of seconds, milli-, micro- or nanoseconds between 2000 and 2100.
    pub(crate) fn is_epoch(&self) -> bool {
        !self.values.is_empty() && self.values.iter().all(is_epoch)
    }

    /// Whether it is one of numbers, or of texts that are.
    pub(crate) fn is_numeric(&self) -> bool {
        let number = |raw: &Raw| match raw {
            Raw::Text(text) => text.parse::<f64>().is_ok(),
            _ => matches!(raw, Raw::Int(_) | Raw::Float(_)),
        };
        self.values.iter().all(number)
    }

    /// `12 values, 3 % empty: GET 80 %, POST 17 %`.
    pub(crate) fn words(&self) -> String {
        let mut order: Vec<usize> = (0..self.values.len()).collect();
        order.sort_by_key(|at| (std::cmp::Reverse(self.counts[*at]), *at));
        let share = |n: usize| percent(n as f64 / self.rows.max(1) as f64);
        let shown = order.iter().take(SHOWN).map(|at| {
            let text = self.values[*at].text();
            let plain: String = cut(&text, SHOWN_BYTES).chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            format!("{plain} {}", share(self.counts[*at] as usize))
        });
        let shown: Vec<String> = shown.collect();
        let values = if self.distinct() == 1 { "value" } else { "values" };
        let empty = match self.rows - self.filled() {
            0 => String::new(),
            n => format!(", {} empty", share(n)),
        };
        let colon = if shown.is_empty() { "" } else { ": " };
        format!("{} {values}{empty}{colon}{}", self.distinct(), shown.join(", "))
    }
}

fn is_epoch(raw: &Raw) -> bool {
    let (number, whole) = match raw {
        Raw::Float(number) => (number.get(), false),
        Raw::Text(text) => (text.parse().unwrap_or(f64::NAN), text.bytes().all(|b| b.is_ascii_digit())),
        raw => (raw.int().map_or(f64::NAN, |number| number as f64), true),
    };
    // Fractions are of seconds or milliseconds, as where they are read.
    let scales: &[f64] = if whole { &[1.0, 1e3, 1e6, 1e9] } else { &[1.0, 1e3] };
    scales.iter().any(|scale| CENTURY.contains(&(number / scale)))
}

/// Whether a name says that the column holds times.
pub(crate) fn sounds_like_a_time(name: &str) -> bool {
    const WORDS: [&str; 16] = [
        "time",
        "timestamp",
        "ts",
        "date",
        "datetime",
        "epoch",
        "created",
        "when",
        "at",
        "start",
        "started",
        "begin",
        "began",
        "end",
        "ended",
        "updated",
    ];
    has_word(name, &WORDS)
}

fn is_missing(raw: &Raw) -> bool {
    matches!(raw, Raw::Null) || matches!(raw, Raw::Text(text) if text.is_empty())
}

/// What a column probably means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    Ip,
    Port,
    Url,
    Path,
    Domain,
    Cmdline,
    User,
    Number,
    Text,
    Id,
    /// What lenses do not ask for: times beside that of the row, and names of single things.
    Nothing,
}

impl Meaning {
    /// The fields that it gives: kind, and part unless it is the first.
    pub(crate) fn fields(self) -> &'static [(Kind, Option<Part>)] {
        match self {
            Self::Ip => &[(Kind::Ip, None), (Kind::Ip, Some(Part::Class))],
            Self::Port => &[(Kind::Port, None)],
            Self::Url => &[(Kind::Url, Some(Part::Site)), (Kind::Url, Some(Part::Path))],
            Self::Path => &[(Kind::Path, None), (Kind::Path, Some(Part::Place))],
            Self::Domain => &[(Kind::Domain, Some(Part::Registered)), (Kind::Domain, Some(Part::Shape))],
            Self::Cmdline => &[(Kind::Cmdline, None), (Kind::Cmdline, Some(Part::Flags))],
            Self::User => &[(Kind::User, None)],
            Self::Number => &[(Kind::Number, None)],
            Self::Text => &[(Kind::Text, Some(Part::Shape)), (Kind::Text, Some(Part::Length))],
            Self::Id => &[(Kind::Id, None)],
            Self::Nothing => &[],
        }
    }
}

/// The meaning of a column: by type first, then by what nearly all values are, then by words of its name.
pub(crate) fn meaning(column: &Column, is_time: &dyn Fn(&str) -> bool) -> Meaning {
    if column.values.is_empty() {
        return Meaning::Nothing;
    }
    match column.form {
        Form::Null | Form::Time | Form::Key => Meaning::Nothing,
        Form::List => Meaning::Cmdline,
        Form::Bool => Meaning::Id,
        Form::Float if sounds_like_a_time(&column.name) && column.is_epoch() => Meaning::Nothing,
        Form::Float => Meaning::Number,
        Form::Int => number(column),
        Form::Text if nearly_all(column, |text| text.parse::<i128>().is_ok()) => number(column),
        Form::Text if sounds_like_a_time(&column.name) && column.is_epoch() => Meaning::Nothing,
        Form::Text if nearly_all(column, |text| text.parse::<f64>().is_ok()) => Meaning::Number,
        Form::Text => text(column, is_time),
    }
}

fn number(column: &Column) -> Meaning {
    if sounds_like_a_time(&column.name) && column.is_epoch() {
        return Meaning::Nothing;
    }
    let number = |raw: &Raw| raw.int();
    let in_range = |range: std::ops::RangeInclusive<i128>| {
        column.values.iter().all(|v| number(v).is_none_or(|n| range.contains(&n)))
    };
    if has_word(&column.name, &["port", "sport", "dport", "spt", "dpt", "orig_p", "resp_p"]) && in_range(0..=65_535) {
        return Meaning::Port;
    }
    if has_word(&column.name, &["uid", "gid", "euid", "auid", "user"]) && column.distinct() * 10 <= column.filled() {
        return Meaning::User;
    }
    if has_word(&column.name, &["id", "pid", "ppid", "tid", "inode", "cookie", "serial", "sequence", "seq", "uid"])
        && column.distinct() > FEW_NUMBERS
    {
        return Meaning::Nothing;
    }
    if column.distinct() <= FEW_NUMBERS && column.distinct() * 10 <= column.filled() {
        Meaning::Id
    } else {
        Meaning::Number
    }
}

fn text(column: &Column, is_time: &dyn Fn(&str) -> bool) -> Meaning {
    let name = |words: &[&str]| has_word(&column.name, words);
    let space = |text: &str| text.contains(char::is_whitespace);
    if nearly_all(column, |text| text.parse::<IpAddr>().is_ok()) {
        return Meaning::Ip;
    }
    if nearly_all(column, |text| text.contains("://")) || name(&["url", "uri", "href"]) {
        return Meaning::Url;
    }
    if name(&["cmd", "cmdline", "command", "command_line", "commandline", "args", "argv", "proctitle"]) {
        return Meaning::Cmdline;
    }
    if name(&["user_agent", "useragent"]) {
        return Meaning::Text;
    }
    if nearly_all(column, |text| text.contains('@') && !space(text))
        || name(&["user", "username", "account", "login", "principal", "actor", "sender", "recipient", "owner"])
    {
        return Meaning::User;
    }
    if nearly_all(column, |text| text.starts_with('/') || is_windows_path(text)) {
        return Meaning::Path;
    }
    if name(&["domain", "query", "qname", "fqdn", "sni", "server_name", "host", "hostname"])
        && nearly_all(column, is_domain)
    {
        return Meaning::Domain;
    }
    if is_time(&column.name) || column.distinct() * 10 >= column.filled() * 9 && nearly_all(column, is_token) {
        return Meaning::Nothing;
    }
    let long = column.values.iter().take(SAMPLE).map(|v| v.text().len()).sum::<usize>()
        > LONG_TEXT * column.distinct().min(SAMPLE);
    let prose = name(&["message", "msg", "text", "body", "subject", "prompt", "content"]);
    if long || prose || column.distinct() * 2 > column.filled() { Meaning::Text } else { Meaning::Id }
}

/// Whether nine of ten distinct values are so.
fn nearly_all(column: &Column, test: impl Fn(&str) -> bool) -> bool {
    let sample = column.values.iter().take(SAMPLE);
    let good = sample.filter(|raw| matches!(raw, Raw::Text(text) if test(text))).count();
    good * 10 >= column.distinct().min(SAMPLE) * 9
}

fn is_domain(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    text.contains('.') && text.bytes().all(fits)
}

/// Names of single things: GUIDs, hashes, tokens.
fn is_token(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'{' | b'}');
    text.len() >= 8 && text.bytes().all(fits) && text.bytes().any(|b| b.is_ascii_digit())
}

/// Whether a name has one of these words: as a whole, or between dots, underscores, dashes or changes of case.
pub(crate) fn has_word(name: &str, words: &[&str]) -> bool {
    let mut spaced = String::with_capacity(name.len() + 8);
    let mut lower = false;
    for c in name.chars() {
        if c.is_uppercase() && lower {
            spaced.push(' ');
        }
        lower = c.is_lowercase();
        spaced.push(if c.is_alphanumeric() { c.to_ascii_lowercase() } else { ' ' });
    }
    let parts: Vec<&str> = spaced.split_whitespace().collect();
    words.iter().any(|word| {
        let wanted: Vec<&str> = word.split('_').collect();
        parts.windows(wanted.len()).any(|part| part == wanted.as_slice())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_names() {
        assert!(
            has_word("id.resp_p", &["resp_p"]) && has_word("DestinationPort", &["port"]) && has_word("user", &["user"])
        );
        assert!(has_word("process.CommandLine", &["command_line"]) && has_word("src-port", &["port"]));
        assert!(!has_word("report", &["port"]) && !has_word("important", &["port"]) && !has_word("userid", &["user"]));
    }
}
