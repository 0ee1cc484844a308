//! From units over the line to findings: the rows behind them, read again and explained in exact counts.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use arrow_array::RecordBatch;
use model::baseline::Baseline;
use model::units::{RowRef, UnitScore};
use model::{EncodedBatch, Encoder, Snapshot, ViewExplanation, explain};
use store::{Finding, FindingReason, FindingRow, Form, Source, TableFile, Wanted, bits_f32, finding_id};
use terminal::printable;

use crate::engine::Engines;
use crate::error::ArchiveError;
use crate::file::engine_of;
use crate::filter::Filter;
use crate::rows::Rows;
use crate::tables::wanted;
use crate::words::{TITLE_COLUMNS, title};

/// Reasons of a finding; what the others contribute is the rest up to its bits.
const FINDING_REASONS: usize = 12;
/// A child or context longer than this is cut.
const LONGEST: usize = 160;

/// Where a file is, and the files that come before it where order matters.
pub(crate) struct Place<'a> {
    pub(crate) source: &'a Source,
    pub(crate) before: Vec<&'a Source>,
}

/// What is said about one row.
#[derive(Debug, Clone, Default)]
pub(crate) struct RowEvidence {
    pub(crate) title: String,
    pub(crate) reasons: Vec<FindingReason>,
}

/// The findings for `units`, in their order; `places` leads from a relative path to the file.
pub(crate) fn findings(
    units: &[UnitScore],
    baseline: &Baseline,
    engines: &Engines,
    places: &HashMap<&str, Place<'_>>,
    filter: &Filter,
) -> Result<Vec<Finding>, ArchiveError> {
    let mut wanted: BTreeMap<&str, BTreeSet<u64>> = BTreeMap::new();
    for (at, _) in units.iter().flat_map(|unit| &unit.rows) {
        wanted.entry(&at.file).or_default().insert(at.row);
    }
    let mut evidence: HashMap<(String, u64), RowEvidence> = HashMap::new();
    for (relative, rows) in wanted {
        let Some(place) = places.get(relative) else { continue };
        let rows: Vec<u64> = rows.into_iter().collect();
        for (row, found) in rows.iter().zip(of_file(place, engines, &rows, filter)?) {
            evidence.insert((relative.to_owned(), *row), found);
        }
    }
    let of = |at: &RowRef| evidence.get(&(at.file.to_string(), at.row));
    Ok(units.iter().map(|unit| finding(unit, baseline.id(), of)).collect())
}

/// Evidence of the given rows of a file, which must rise.
fn of_file(
    place: &Place<'_>,
    engines: &Engines,
    rows: &[u64],
    filter: &Filter,
) -> Result<Vec<RowEvidence>, ArchiveError> {
    let file = TableFile::open_source(place.source)?;
    let (table, engine) = engine_of(&file, engines)?;
    let batch = read_for_titles(&file, engine.snapshot(), rows)?;
    let (before, snapshot) = (&place.before, engine.snapshot());
    let encoded = encode_rows(&file, before, snapshot, engine.encoder(), (&batch, rows), filter)?;
    let of = |(at, (encoded, row)): (usize, &(Arc<EncodedBatch>, usize))| {
        of_row(engine.snapshot(), &table, (&batch, at), (encoded, *row))
    };
    Ok(encoded.iter().enumerate().map(of).collect())
}

/// Rows of a file, each as a row of an encoded batch. `batch` holds them alone; where fields depend on earlier rows, all
/// rows up to them are read again, and those of the files before theirs.
pub(crate) fn encode_rows(
    file: &TableFile,
    before: &[&Source],
    snapshot: &Snapshot,
    mut encoder: Encoder,
    (batch, rows): (&RecordBatch, &[u64]),
    filter: &Filter,
) -> Result<Vec<(Arc<EncodedBatch>, usize)>, ArchiveError> {
    let failed = |error| ArchiveError::encode(file.path(), &error);
    if !snapshot.lens.is_stateful() {
        let encoded = Arc::new(encoder.encode(batch).map_err(failed)?);
        return Ok((0..rows.len()).map(|row| (encoded.clone(), row)).collect());
    }
    for source in before {
        // What cannot be read was skipped when it was scored, too.
        let Ok(file) = TableFile::open_source(source) else { continue };
        for batch in Rows::open(&file, &snapshot.lens, filter)? {
            if !batch.is_ok_and(|(batch, _)| encoder.encode(&batch).is_ok()) {
                break;
            }
        }
    }
    let mut out = Vec::with_capacity(rows.len());
    for batch in Rows::open(file, &snapshot.lens, filter)? {
        let (batch, numbers) = batch?;
        let encoded = Arc::new(encoder.encode(&batch).map_err(failed)?);
        let wanted = (0..encoded.rows).filter(|row| rows.binary_search(&numbers.of(*row)).is_ok());
        out.extend(wanted.map(|row| (encoded.clone(), row)));
        if out.len() == rows.len() {
            break;
        }
    }
    Ok(out)
}

/// The columns that scores and titles need.
pub(crate) fn read_for_titles(
    file: &TableFile,
    snapshot: &Snapshot,
    rows: &[u64],
) -> Result<RecordBatch, ArchiveError> {
    let mut columns = wanted(&snapshot.lens);
    let own = if crate::tables::is_foreign(&snapshot.lens) { &[][..] } else { &TITLE_COLUMNS };
    for column in own {
        if columns.iter().all(|known| known.column != *column) && file.has(column) {
            columns.push(Wanted { column: (*column).to_owned(), form: Form::Text, required: false });
        }
    }
    Ok(file.read_rows(&columns, rows)?)
}

/// Title and reasons of one row, most bits first: a row of a batch for the title, and the same as it is encoded.
pub(crate) fn of_row(
    snapshot: &Snapshot,
    table: &str,
    (batch, at): (&RecordBatch, usize),
    (encoded, row): (&EncodedBatch, usize),
) -> RowEvidence {
    let mut views = explain(snapshot, encoded, row);
    views.retain(|view| view.applies && view.bits > 0);
    views.sort_by_key(|view| (std::cmp::Reverse(view.bits), view.view));
    let in_words = || views.first().map(|view| printable(&view.to_string(), LONGEST)).unwrap_or_default();
    RowEvidence { title: title(table, batch, at).unwrap_or_else(in_words), reasons: views.iter().map(reason).collect() }
}

fn reason(view: &ViewExplanation) -> FindingReason {
    let level = view.costliest();
    FindingReason {
        view: view.name.clone(),
        child: printable(&view.child, LONGEST),
        context: level.map(|level| printable(&level.context, LONGEST)).unwrap_or_default(),
        scope: level.map_or_else(|| "none".to_owned(), |level| level.scope.name()),
        n: level.map_or(0, |level| level.seen),
        total: level.map_or(0, |level| level.total),
        distinct: level.map_or(0, |level| level.kinds),
        bits: bits_f32(u32::from(view.bits)),
    }
}

/// A finding from a unit and what is known about its rows.
pub(crate) fn finding<'a>(
    unit: &UnitScore,
    baseline: &str,
    of: impl Fn(&RowRef) -> Option<&'a RowEvidence>,
) -> Finding {
    let mut reasons: Vec<FindingReason> = Vec::new();
    for reason in unit.rows.iter().filter_map(|(at, _)| of(at)).flat_map(|evidence| &evidence.reasons) {
        let same = |known: &&mut FindingReason| {
            (&known.view, &known.child, &known.context) == (&reason.view, &reason.child, &reason.context)
        };
        match reasons.iter_mut().find(same) {
            // Once: the tenth row of a new user is no news. Repeats are part of what is shown as "other". The counts go
            // with the bits, so that what is shown is one row's.
            Some(known) if known.bits < reason.bits => *known = reason.clone(),
            Some(_) => {}
            None => reasons.push(reason.clone()),
        }
    }
    reasons.sort_by(|a, b| b.bits.total_cmp(&a.bits).then_with(|| (&a.view, &a.child).cmp(&(&b.view, &b.child))));
    reasons.truncate(FINDING_REASONS);
    let telling = telling(unit).and_then(of).map(|evidence| evidence.title.clone());
    Finding {
        id: finding_id(baseline, &unit.kind, &unit.key, unit.window),
        host: unit.host.clone(),
        unit_kind: unit.kind.clone(),
        unit_key: unit.key.clone(),
        window: unit.window,
        time: unit.time,
        title: telling.unwrap_or_default(),
        bits: bits_f32(unit.bits),
        log2_n: bits_f32(u32::from(unit.log2_n)),
        reasons,
        rows: unit.rows.iter().map(row).collect(),
        action: None,
    }
}

/// The row that stands for the unit: the first to happen of those at least half as surprising as the most surprising, as
/// what comes later often follows from it. Rows of one file are in order of time.
fn telling(unit: &UnitScore) -> Option<&RowRef> {
    let (top, most) = unit.rows.first()?;
    let near = unit.rows.iter().filter(|(at, bits)| at.table == top.table && *bits >= most / 2);
    near.map(|(at, _)| at).min_by_key(|at| (&at.file, at.row))
}

fn row((at, bits): &(RowRef, u32)) -> FindingRow {
    FindingRow { file: at.file.to_string(), row: at.row, table: at.table.to_string(), bits: bits_f32(*bits) }
}
