//! Which format a file is of: by its name, else by how it begins (docs/contracts.md §1, "Foreign inputs").

use std::io::BufRead;
use std::path::Path;

use super::{At, Format, unpacked};
use crate::error::StoreError;

/// How Parquet begins.
const PARQUET: &[u8] = b"PAR1";
/// How packed files begin that are not read, and what they are called.
const UNREAD: [(&[u8], &str); 4] =
    [(b"\xFD7zXZ\0", "xz"), (b"BZh", "bzip2"), (b"PK\x03\x04", "zip"), (b"\x04\x22\x4D\x18", "LZ4")];

/// A name in lower case without `.gz` or `.zst`, and whether there was one.
fn unpacked_name(path: &Path) -> Option<(String, bool)> {
    let name = path.file_name()?.to_str()?.to_ascii_lowercase();
    let stem = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst"));
    Some(stem.map_or((name.clone(), false), |stem| (stem.to_owned(), true)))
}

/// A name without what rotation puts behind it: `.1`, `-20261114`, `.2026-11-14`, `-1795269787`.
fn unrotated(name: &str) -> &str {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '-' || c == '.');
    let behind = &name[stem.len()..];
    let rotated = behind.len() > 1 && behind.starts_with(['.', '-']) && behind.ends_with(|c: char| c.is_ascii_digit());
    if rotated { stem } else { name }
}

/// The format by the end of a name, where that says enough.
fn named_format(path: &Path) -> Option<Format> {
    let (name, packed) = unpacked_name(path)?;
    match unrotated(&name).rsplit_once('.')?.1 {
        "parquet" | "pq" if !packed && unrotated(&name) == name => Some(Format::Parquet),
        "jsonl" | "ndjson" | "json" => Some(Format::JsonLines),
        "csv" => Some(Format::Csv),
        "tsv" => Some(Format::Tsv),
        _ => None,
    }
}

/// Whether a folder that is searched for tables gives this file: by its name, `.log` among them.
pub(crate) fn is_table_name(path: &Path) -> bool {
    let log = || unpacked_name(path).is_some_and(|(name, _)| unrotated(&name).ends_with(".log"));
    named_format(path).is_some() || log()
}

pub(super) fn format_of(place: &At) -> Result<Format, StoreError> {
    let path = place.path.as_path();
    let named = named_format(path);
    if named == Some(Format::Parquet) {
        return Ok(Format::Parquet);
    }
    let mut bytes = unpacked(place)?;
    let head = bytes.fill_buf().map_err(|e| StoreError::damaged(path, e.to_string()))?;
    if let Some((_, name)) = UNREAD.iter().find(|(begin, _)| head.starts_with(begin)) {
        return Err(StoreError::Packed { path: path.into(), with: name });
    }
    Ok(match (named, head.trim_ascii_start()) {
        (Some(Format::JsonLines), _) => Format::JsonLines,
        (_, head) if head.starts_with(b"#separator ") || head.starts_with(b"#fields") => Format::Zeek,
        (Some(named), _) => named,
        // Without rows any format of text will do.
        (None, head) if head.starts_with(b"{") || head.is_empty() => Format::JsonLines,
        (None, _) if head.starts_with(PARQUET) => Format::Parquet,
        (None, _) => return Err(StoreError::NoFormat(path.into())),
    })
}
