//! The step that every way of scoring shares: one file in, its sidecar and its summary out.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use model::baseline::Baseline;
use model::units::{RowRef, UnitTable};
use model::{EncodedBatch, Encoder, Reason, Scores};
use store::{SidecarWriter, Source, TableFile};

use crate::engine::{Engine, Engines};
use crate::error::ArchiveError;
use crate::tables::{self, wanted};
use crate::{Progress, SCORE_ROWS};

/// Batches that may wait between decoding and scoring.
const AHEAD: usize = 2;

/// What is known about a file once it is scored.
pub struct FileSummary {
    /// Path relative to its archive.
    pub relative: String,
    /// Its table.
    pub table: String,
    /// Its rows.
    pub rows: u64,
    /// [`Source::digest`].
    pub digest: String,
    /// Its hosts.
    pub hosts: BTreeSet<Option<String>>,
    /// Times of its first and last row, ns since 1970; `None` without rows.
    pub times: Option<(i64, i64)>,
    /// The units that its rows belong to, to be merged with those of other files.
    pub units: UnitTable,
}

/// Scores every row of a file and writes its sidecar below `out`. A file that turns out to be damaged leaves nothing.
/// `encoder` is one of the file's table: fresh, or where order matters the one that had the files before it; `units` is
/// an empty table.
///
/// # Errors
/// The input's, for which [`ArchiveError::is_input`] holds, and those of writing and of the backend.
pub fn score_file(
    source: &Source,
    baseline: &Baseline,
    engines: &Engines,
    encoder: &mut Encoder,
    units: UnitTable,
    out: &Path,
    progress: &dyn Progress,
) -> Result<FileSummary, ArchiveError> {
    let file = TableFile::open_source(source)?;
    let (table, engine) = engine_of(&file, engines)?;
    let digest = source.digest()?;
    let sidecar = SidecarWriter::create(out, baseline.id(), &source.relative, engine.views())?;
    let mut consumer = Consumer {
        file: &file,
        engine,
        sidecar,
        units,
        relative: Arc::from(source.relative.as_str()),
        table: Arc::from(table.as_str()),
        scores: Scores::default(),
        hosts: BTreeSet::new(),
        times: None,
    };
    std::thread::scope(|scope| {
        let (send, receive) = sync_channel(AHEAD);
        let file = &file;
        scope.spawn(move || produce(file, engine, encoder, &send));
        consumer.consume(&receive, progress)
    })?;
    let rows = consumer.sidecar.rows();
    consumer.sidecar.finish(&digest)?;
    Ok(FileSummary {
        relative: source.relative.clone(),
        table,
        rows,
        digest,
        hosts: consumer.hosts,
        times: consumer.times,
        units: consumer.units,
    })
}

/// Table and engine of a file.
pub(crate) fn engine_of<'a>(file: &TableFile, engines: &'a Engines) -> Result<(String, &'a Engine), ArchiveError> {
    let table = tables::table_of(file, engines.lenses())?;
    let no_lens = || format!("the baseline knows no table {table}");
    let engine =
        engines.get(&table).ok_or_else(|| ArchiveError::NoLens { path: file.path().into(), why: no_lens() })?;
    Ok((table, engine))
}

type Encoded = Result<EncodedBatch, ArchiveError>;

/// Decodes and encodes ahead of the scoring; ends early when nobody listens any more.
fn produce(file: &TableFile, engine: &Engine, encoder: &mut Encoder, send: &SyncSender<Encoded>) {
    let batches = match file.batches(&wanted(&engine.snapshot().lens), SCORE_ROWS) {
        Ok(batches) => batches,
        Err(error) => return drop(send.send(Err(error.into()))),
    };
    for batch in batches {
        let encoded = match batch {
            Ok(batch) => encoder.encode(&batch).map_err(|e| ArchiveError::encode(file.path(), &e)),
            Err(error) => Err(error.into()),
        };
        if send.send(encoded).is_err() {
            return;
        }
    }
}

struct Consumer<'a> {
    file: &'a TableFile,
    engine: &'a Engine,
    sidecar: SidecarWriter,
    units: UnitTable,
    relative: Arc<str>,
    table: Arc<str>,
    scores: Scores,
    hosts: BTreeSet<Option<String>>,
    times: Option<(i64, i64)>,
}

impl Consumer<'_> {
    fn consume(&mut self, receive: &Receiver<Encoded>, progress: &dyn Progress) -> Result<(), ArchiveError> {
        while let Ok(batch) = receive.recv() {
            let batch = batch?;
            self.engine
                .score(&batch, &mut self.scores)
                .map_err(|source| ArchiveError::Backend { path: self.file.path().into(), source })?;
            if let Some(trouble) = self.engine.trouble() {
                progress.note(&trouble);
            }
            let codes: BTreeSet<u32> = batch.host.codes.iter().copied().collect();
            self.hosts.extend(codes.iter().map(|code| batch.host.values[*code as usize].clone()));
            self.times = spanned(self.times, &batch.time);
            let first = self.sidecar.rows();
            append_range(&mut self.sidecar, &self.scores, 0..batch.rows)?;
            let locate =
                |row: usize| RowRef { file: self.relative.clone(), row: first + row as u64, table: self.table.clone() };
            self.units.add(&self.engine.snapshot().lens, &batch, &self.scores, &locate);
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
    let reasons = &scores.reasons[range.clone()];
    let reason = |row: usize, rank: usize| match reasons[row][rank] {
        Reason { view: u16::MAX, .. } => None,
        Reason { view, bits } => Some((view, bits)),
    };
    Ok(sidecar.append(&scores.bits[range.clone()], &scores.log2_n[range], reason)?)
}
