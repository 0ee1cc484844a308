//! The step that every way of scoring shares: one file in, its sidecar and its summary out.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use model::baseline::Baseline;
use model::units::{RowRef, UnitTable};
use model::{EncodedBatch, Encoder, Lens, Reason, Scores};
use store::{SidecarWriter, Source, TableFile};

use crate::engine::{Engine, Engines};
use crate::error::ArchiveError;
use crate::filter::Filter;
use crate::rows::{Numbers, Rows};
use crate::tables::{self, wanted};
use crate::{Progress, SCORE_ROWS};

/// Batches that may wait between decoding and scoring.
const AHEAD: usize = 2;

/// A baseline that files are scored against, and what scores with it.
pub struct Against<'a> {
    /// The baseline.
    pub baseline: &'a Baseline,
    /// Its engines, of all tables that will come.
    pub engines: Engines,
}

/// What is the same for all files of a run.
pub struct Step<'a> {
    /// One read serves them all.
    pub against: &'a [Against<'a>],
    /// Which rows to take.
    pub filter: &'a Filter,
    /// The folder for sidecars.
    pub out: &'a Path,
    /// Whether to write them; units and findings are the same without.
    pub sidecars: bool,
}

/// Encoders by baseline and table. Where order matters, those that had the files before.
#[derive(Default)]
pub struct Encoders(HashMap<(usize, String), Encoder>);

impl Encoders {
    /// Rows that were one too many for their channels.
    #[must_use]
    pub fn crowded(&self) -> u64 {
        self.0.values().map(Encoder::crowded).sum()
    }
}

/// What is known about a file once it is scored.
pub struct FileSummary {
    /// Path relative to its archive.
    pub relative: String,
    /// Its table.
    pub table: String,
    /// Rows scored; without any that pass the filter there is no sidecar.
    pub rows: u64,
    /// [`Source::digest`].
    pub digest: String,
    /// Its hosts.
    pub hosts: BTreeSet<Option<String>>,
    /// Times of its first and last row, ns since 1970; `None` without rows.
    pub times: Option<(i64, i64)>,
    /// The units that its rows belong to, to be merged with those of other files: number of the baseline, and its units.
    pub units: Vec<(usize, UnitTable)>,
}

/// One baseline's part in the work on a file.
struct Lane<'a> {
    number: usize,
    table: String,
    against: &'a Against<'a>,
    engine: &'a Engine,
}

/// Scores every row of a file that passes the filter, against each baseline that knows its table, and writes a sidecar for
/// each. A file that turns out to be damaged leaves nothing. `units` makes an empty table of units for a baseline.
///
/// # Errors
/// The input's, for which [`ArchiveError::is_input`] holds, and those of writing and of the backend.
pub fn score_file(
    source: &Source,
    step: &Step<'_>,
    encoders: &mut Encoders,
    units: &(dyn Fn(usize) -> UnitTable + Sync),
    progress: &dyn Progress,
) -> Result<FileSummary, ArchiveError> {
    let file = TableFile::open_source(source)?;
    let lanes = lanes(&file, step.against)?;
    let rows = rows_of(&file, &lanes, step.filter)?;
    let digest = source.digest()?;
    let mut outputs = Vec::with_capacity(lanes.len());
    for lane in &lanes {
        outputs.push(Output::new(lane, source, step, units(lane.number))?);
    }
    let mut consumer = Consumer { file: &file, outputs, hosts: BTreeSet::new(), times: None, rows: 0 };
    let mut own: Vec<Encoder> = lanes.iter().map(|lane| encoders.take(lane)).collect();
    let consumed = std::thread::scope(|scope| {
        let (send, receive) = sync_channel(AHEAD);
        let (file, own) = (&file, &mut own);
        scope.spawn(move || produce(file, rows, own, &send));
        consumer.consume(&receive, progress)
    });
    encoders.put(&lanes, own);
    consumed?;
    let Consumer { outputs, hosts, times, rows, .. } = consumer;
    progress.advance(file.rows().unwrap_or(rows).saturating_sub(rows));
    let mut all = Vec::with_capacity(outputs.len());
    for output in outputs {
        if rows > 0 || step.filter.is_all() {
            output.sidecar.map_or(Ok(()), |sidecar| sidecar.finish(&digest).map(drop))?;
        }
        all.push((output.number, output.units));
    }
    let table = lanes.into_iter().next().map(|lane| lane.table).unwrap_or_default();
    Ok(FileSummary { relative: source.relative.clone(), table, rows, digest, hosts, times, units: all })
}

/// The baselines that know the table of a file; an error if none does.
fn lanes<'a>(file: &TableFile, against: &'a [Against<'a>]) -> Result<Vec<Lane<'a>>, ArchiveError> {
    let (mut lanes, mut first_error) = (Vec::new(), None);
    for (number, against) in against.iter().enumerate() {
        match engine_of(file, &against.engines) {
            Ok((table, engine)) => lanes.push(Lane { number, table, against, engine }),
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    match first_error {
        Some(error) if lanes.is_empty() => Err(error),
        _ => Ok(lanes),
    }
}

/// The rows that pass, with the columns of all baselines.
fn rows_of(file: &TableFile, lanes: &[Lane<'_>], filter: &Filter) -> Result<Rows, ArchiveError> {
    let lenses: Vec<&Lens> = lanes.iter().map(|lane| &lane.engine.snapshot().lens).collect();
    let wrong = |why: &str| ArchiveError::NoLens { path: file.path().into(), why: why.to_owned() };
    let (first, others) = lenses.split_first().ok_or_else(|| wrong("no baseline knows its table"))?;
    let mut columns = wanted(first);
    for lens in others {
        if !filter.is_all() && filter.of(lens) != filter.of(first) {
            return Err(wrong("the baselines take time or host from different columns; score with one at a time"));
        }
        for more in wanted(lens) {
            match columns.iter_mut().find(|known| known.column == more.column) {
                None => columns.push(more),
                Some(known) if known.form == more.form => known.required |= more.required,
                Some(_) => {
                    return Err(wrong("the baselines read a column in different ways; score with one at a time"));
                }
            }
        }
    }
    // One read serves all: what is too much for one of them would be its memory's trouble.
    let batch_rows = lanes.iter().map(|lane| lane.engine.batch_rows()).min().unwrap_or(SCORE_ROWS);
    Rows::at_once(file, columns, first, filter, batch_rows)
}

impl Encoders {
    fn take(&mut self, lane: &Lane<'_>) -> Encoder {
        self.0.remove(&(lane.number, lane.table.clone())).unwrap_or_else(|| lane.engine.encoder())
    }

    fn put(&mut self, lanes: &[Lane<'_>], encoders: Vec<Encoder>) {
        for (lane, encoder) in lanes.iter().zip(encoders) {
            self.0.insert((lane.number, lane.table.clone()), encoder);
        }
    }
}

/// Table and engine of a file.
pub(crate) fn engine_of<'a>(file: &TableFile, engines: &'a Engines) -> Result<(String, &'a Engine), ArchiveError> {
    let table = tables::table_of(file, engines.lenses())?;
    let no_lens = || format!("the baseline knows no table {table}");
    let engine =
        engines.get(&table).ok_or_else(|| ArchiveError::NoLens { path: file.path().into(), why: no_lens() })?;
    Ok((table, engine))
}

/// A batch as each baseline encodes it.
type Encoded = Result<(Vec<EncodedBatch>, Numbers), ArchiveError>;

/// Decodes and encodes ahead of the scoring; ends early when nobody listens any more.
fn produce(file: &TableFile, rows: Rows, encoders: &mut [Encoder], send: &SyncSender<Encoded>) {
    for batch in rows {
        let encoded = batch.and_then(|(batch, numbers)| {
            let all = encoders.iter_mut().map(|encoder| encoder.encode(&batch));
            let all = all.collect::<Result<Vec<_>, _>>().map_err(|e| ArchiveError::encode(file.path(), &e))?;
            Ok((all, numbers))
        });
        let failed = encoded.is_err();
        if send.send(encoded).is_err() || failed {
            return;
        }
    }
}

/// What becomes of the rows by one baseline.
struct Output<'a> {
    number: usize,
    engine: &'a Engine,
    sidecar: Option<SidecarWriter>,
    units: UnitTable,
    relative: Arc<str>,
    table: Arc<str>,
    scores: Scores,
}

impl<'a> Output<'a> {
    fn new(lane: &Lane<'a>, source: &Source, step: &Step<'_>, units: UnitTable) -> Result<Self, ArchiveError> {
        let baseline = lane.against.baseline.id();
        let create = || SidecarWriter::create(step.out, baseline, &source.relative, lane.engine.views());
        let mut sidecar = step.sidecars.then(create).transpose()?;
        if let Some(sidecar) = sidecar.as_mut().filter(|_| !step.filter.is_all()) {
            sidecar.note_filter(&step.filter.text());
        }
        Ok(Self {
            number: lane.number,
            engine: lane.engine,
            sidecar,
            units,
            relative: Arc::from(source.relative.as_str()),
            table: Arc::from(lane.table.as_str()),
            scores: Scores::of_rows(),
        })
    }

    fn add(&mut self, batch: &EncodedBatch, numbers: &Numbers, path: &Path) -> Result<(), ArchiveError> {
        let failed = |source| ArchiveError::Backend { path: path.into(), source };
        self.engine.score(batch, &mut self.scores).map_err(failed)?;
        let Scores { bits, log2_n, reasons: of_rows, .. } = &self.scores;
        if let Some(sidecar) = &mut self.sidecar {
            sidecar.append_numbered(|row| numbers.of(row), bits, log2_n, reasons(of_rows))?;
        }
        let locate =
            |row: usize| RowRef { file: self.relative.clone(), row: numbers.of(row), table: self.table.clone() };
        self.units.add(&self.engine.snapshot().lens, batch, &self.scores, &locate);
        Ok(())
    }
}

struct Consumer<'a> {
    file: &'a TableFile,
    outputs: Vec<Output<'a>>,
    hosts: BTreeSet<Option<String>>,
    times: Option<(i64, i64)>,
    rows: u64,
}

impl Consumer<'_> {
    fn consume(&mut self, receive: &Receiver<Encoded>, progress: &dyn Progress) -> Result<(), ArchiveError> {
        while let Ok(batch) = receive.recv() {
            let (all, numbers) = batch?;
            for (output, batch) in self.outputs.iter_mut().zip(&all) {
                output.add(batch, &numbers, self.file.path())?;
                if let Some(trouble) = output.engine.trouble() {
                    progress.note(&trouble);
                }
            }
            // Hosts and times are the rows' own, whatever baseline reads them.
            let Some(batch) = all.first() else { continue };
            let codes: BTreeSet<u32> = batch.host.codes.iter().copied().collect();
            self.hosts.extend(codes.iter().map(|code| batch.host.values[*code as usize].clone()));
            self.times = spanned(self.times, &batch.time);
            self.rows += batch.rows as u64;
            progress.advance(batch.rows as u64);
        }
        Ok(())
    }
}

/// The first and last of some times and of those so far.
pub(crate) fn spanned(so_far: Option<(i64, i64)>, times: &[i64]) -> Option<(i64, i64)> {
    let of_batch = times.iter().min().copied().zip(times.iter().max().copied());
    match (so_far, of_batch) {
        (Some((from, to)), Some((first, last))) => Some((from.min(first), to.max(last))),
        (so_far, of_batch) => so_far.or(of_batch),
    }
}

/// Appends the scores of a range of the rows to a sidecar.
pub(crate) fn append_range(
    sidecar: &mut SidecarWriter,
    scores: &Scores,
    range: std::ops::Range<usize>,
) -> Result<(), ArchiveError> {
    let reasons = reasons(&scores.reasons[range.clone()]);
    Ok(sidecar.append(&scores.bits[range.clone()], &scores.log2_n[range], reasons)?)
}

/// View and bits of a row's reasons, by rank.
fn reasons(reasons: &[[Reason; 3]]) -> impl Fn(usize, usize) -> Option<(u16, u16)> {
    |row, rank| match reasons[row][rank] {
        Reason { view: u16::MAX, .. } => None,
        Reason { view, bits } => Some((view, bits)),
    }
}
