//! Files of format version 1: one body, of which the tables were stored and nothing that they could be made from again.

use std::path::Path;

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::file::{HEADER, Header};
use super::parts::{Origins, Parts, Shown, Words};
use super::{Baseline, BaselineError, LensText, Table, UnitCalibration, UnitTables, parse_lens};
use crate::compile::{Compiled, Options};
use crate::keys::{HashKey, Pair};
use crate::pod;
use crate::segment::{Segment, hex_id};
use crate::snapshot::Calibration;

/// All of a file after its header.
#[derive(Deserialize)]
struct Body {
    key: HashKey,
    lenses: Vec<LensText>,
    segments: Vec<Segment>,
    values: Vec<(Pair, String)>,
    values_complete: bool,
    tables: Vec<Table1>,
    units: Vec<UnitCalibration>,
}

#[derive(Deserialize)]
struct Table1 {
    #[serde(with = "pod")]
    slots: Vec<[u32; 4]>,
    calibration: Calibration,
}

/// Reads what follows the header; the tables stay as they are until something is merged or forgotten.
pub(super) fn decode(header: &Header, body: &[u8], path: &Path) -> Result<Baseline, BaselineError> {
    let path = path.to_owned();
    let (found, expected) = ((HEADER + body.len()) as u64, header.length.saturating_add(HEADER as u64));
    if found < expected {
        return Err(BaselineError::Truncated { path, place: "body".to_owned(), found, expected });
    }
    let malformed = |reason| BaselineError::Malformed { path: path.clone(), reason };
    if found > expected {
        return Err(malformed(format!("{} bytes after its end", found - expected)));
    }
    let digest = Sha256::digest(body);
    if digest[..] != header.digest {
        return Err(BaselineError::Damaged { path, place: "body".to_owned() });
    }
    let (body, rest) = postcard::take_from_bytes::<Body>(body).map_err(|e| malformed(e.to_string()))?;
    if !rest.is_empty() {
        return Err(malformed(format!("{} bytes after the end of its body", rest.len())));
    }
    converted(body, hex_id(&digest)).map_err(malformed)
}

fn converted(body: Body, id: String) -> Result<Baseline, String> {
    if body.lenses.len() != body.tables.len() {
        return Err(format!("{} lenses but {} tables", body.lenses.len(), body.tables.len()));
    }
    let mut tables = Vec::new();
    for (text, table) in body.lenses.iter().zip(body.tables) {
        let compiled = Compiled { slots: table.slots, ..Compiled::default() };
        let table = Table { compiled, calibration: table.calibration, learning: None, newcomers: None };
        tables.push((parse_lens(text, None)?, table));
    }
    tables.sort_by(|a, b| a.0.table().cmp(b.0.table()));
    let (lenses, tables): (Vec<_>, Vec<_>) = tables.into_iter().unzip();
    let mut segments = body.segments;
    segments.sort_by(|a, b| a.id.cmp(&b.id));
    let run = Parts::run(segments.iter().map(|s| s.id.as_str()));
    let all = (0..body.values.len() as u32).collect();
    let shown = Shown { values: all, complete: body.values_complete };
    let words = Words { values: body.values, shown: [(run.0.clone(), shown)].into() };
    let origins: Origins = [run].into();
    let parts = Parts { key: body.key, lenses, segments, evidence: Vec::new(), origins, words };
    let mut settled = body.units;
    settled.sort_by(|a, b| a.kind.cmp(&b.kind));
    let units = UnitTables { settled, ..UnitTables::default() };
    let mut baseline = Baseline::assemble(parts, Options::default(), true, tables, units)?;
    baseline.id = id; // scores of this file are named by it
    Ok(baseline)
}
