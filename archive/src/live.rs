//! Scoring as rows are captured: the same step, batch by batch, for files that are still being written.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::RecordBatch;
use model::baseline::Baseline;
use model::units::{RowRef, UnitScore, UnitTable};
use model::{EncodedBatch, Encoder, Scores};
use scorer_gpu::Choice;
use store::{Finding, Finished, Placed, SidecarWriter, stamp, write_findings};

use crate::engine::Engines;
use crate::error::ArchiveError;
use crate::evidence::{RowEvidence, finding, of_row};
use crate::file::append_range;

/// Rows expected more often than 1 in 2^this are not worth remembering as evidence.
const TELLING_LOG2: u16 = 4 << 10;
/// Rows whose evidence is kept; the oldest give way.
const KEPT_ROWS: usize = 8_192;
/// Findings whose window is over that one findings file holds.
const FILE_FINDINGS: usize = 4_096;
/// Rows may come this late after the end of a unit's window.
const LATE_NS: i64 = 120_000_000_000;

/// Scores batches against a baseline, writes the sidecars of the files they are placed in, and keeps the findings.
/// Memory is bounded by the units of the open windows and the evidence of a few thousand rows.
pub struct LiveScorer {
    baseline: Arc<Baseline>,
    engines: Engines,
    out: PathBuf,
    encoders: HashMap<String, Encoder>,
    sidecars: HashMap<Arc<str>, SidecarWriter>,
    units: UnitTable,
    evidence: HashMap<RowRef, RowEvidence>,
    order: VecDeque<RowRef>,
    /// By id: findings of windows that are over.
    closed: BTreeMap<String, Finding>,
    session: String,
    sequence: u32,
    scores: Scores,
}

impl LiveScorer {
    /// A scorer that writes below `out`; `started` (nanoseconds, UTC) names its findings files.
    ///
    /// # Errors
    /// When the wished backend is not there.
    pub fn new(
        baseline: Arc<Baseline>,
        choice: Choice,
        adapter: Option<&str>,
        rarer_than: f64,
        out: PathBuf,
        started: i64,
    ) -> Result<Self, ArchiveError> {
        let tables: Vec<String> = baseline.snapshots().iter().map(|s| s.lens.table().to_owned()).collect();
        let engines = Engines::open(choice, adapter, &baseline, tables)?;
        Ok(Self {
            units: UnitTable::new(&baseline, rarer_than),
            engines,
            baseline,
            out,
            encoders: HashMap::new(),
            sidecars: HashMap::new(),
            evidence: HashMap::new(),
            order: VecDeque::new(),
            closed: BTreeMap::new(),
            session: stamp(started),
            sequence: 1,
            scores: Scores::default(),
        })
    }

    /// The engines, for their names and counters.
    #[must_use]
    pub fn engines(&self) -> &Engines {
        &self.engines
    }

    /// Scores a batch that a [`store::TableWriter`] has placed, and appends to the sidecars. Returns the rows scored: 0
    /// if the baseline does not know the table.
    ///
    /// # Errors
    /// When columns do not fit, the backend fails or a sidecar cannot be written; that sidecar is given up, the units
    /// have the rows all the same.
    pub fn score(&mut self, table: &str, batch: &RecordBatch, placed: &[Placed]) -> Result<u64, ArchiveError> {
        let Some(engine) = self.engines.get(table) else { return Ok(0) };
        let encoder = self.encoders.entry(table.to_owned()).or_insert_with(|| engine.encoder());
        let encoded = encoder.encode(batch).map_err(|e| ArchiveError::encode(&self.out, &e))?;
        let mut scores = std::mem::take(&mut self.scores);
        let scored = engine.score(&encoded, &mut scores);
        let result = scored
            .map_err(|source| ArchiveError::Backend { path: self.out.clone(), source })
            .and_then(|()| self.keep(table, batch, &encoded, &scores, placed));
        self.scores = scores;
        result.map(|()| batch.num_rows() as u64)
    }

    fn keep(
        &mut self,
        table: &str,
        batch: &RecordBatch,
        encoded: &EncodedBatch,
        scores: &Scores,
        placed: &[Placed],
    ) -> Result<(), ArchiveError> {
        let Some(engine) = self.engines.get(table) else { return Ok(()) };
        let table_name: Arc<str> = Arc::from(table);
        let locate = |row: usize| locate(placed, row, &table_name);
        self.units.add(&engine.snapshot().lens, encoded, scores, &locate);
        for row in (0..encoded.rows).filter(|row| scores.log2_n[*row] >= TELLING_LOG2) {
            let evidence = of_row(engine.snapshot(), table, batch, encoded, row);
            let at = locate(row);
            self.order.push_back(at.clone());
            self.evidence.insert(at, evidence);
        }
        while self.order.len() > KEPT_ROWS {
            if let Some(oldest) = self.order.pop_front() {
                self.evidence.remove(&oldest);
            }
        }
        let mut first_error = Ok(());
        for run in placed {
            let result = self.append(table, scores, run);
            if result.is_err() {
                self.sidecars.remove(&run.relative);
                first_error = first_error.and(result);
            }
        }
        first_error
    }

    fn append(&mut self, table: &str, scores: &Scores, run: &Placed) -> Result<(), ArchiveError> {
        if run.first_row == 0 {
            let views = self.engines.get(table).map_or(&[][..], |engine| engine.views());
            let sidecar = SidecarWriter::create(&self.out, self.baseline.id(), &run.relative, views)?;
            self.sidecars.insert(run.relative.clone(), sidecar);
        }
        match self.sidecars.get_mut(&run.relative) {
            Some(sidecar) if sidecar.rows() == run.first_row => {
                append_range(sidecar, scores, run.offset..run.offset + run.rows)
            }
            // It was given up, or rows of the file were not offered: a sidecar with a gap would be wrong.
            _ => {
                self.sidecars.remove(&run.relative);
                Ok(())
            }
        }
    }

    /// A file stands in the archive: its sidecar is completed. True if there is one.
    ///
    /// # Errors
    /// When the sidecar cannot be written; it is given up.
    pub fn file_finished(&mut self, file: &Finished) -> Result<bool, ArchiveError> {
        match self.sidecars.remove(&file.relative) {
            Some(sidecar) if sidecar.rows() == file.rows => {
                sidecar.finish(&file.sha256)?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// A file could not be completed: neither is its sidecar.
    pub fn file_lost(&mut self, relative: &str) {
        self.sidecars.remove(relative);
    }

    /// The findings so far: of open windows as they stand at `now` (nanoseconds, UTC), and of those that are over.
    pub fn findings(&mut self, now: i64) -> Vec<Finding> {
        for unit in self.units.close_before(now.saturating_sub(LATE_NS)) {
            let finding = self.finding(&unit);
            self.closed.insert(finding.id.clone(), finding);
        }
        let mut all = self.closed.clone();
        for unit in self.units.findings() {
            let finding = self.finding(&unit);
            all.insert(finding.id.clone(), finding);
        }
        let mut all: Vec<Finding> = all.into_values().collect();
        all.sort_by(|a, b| b.log2_n.total_cmp(&a.log2_n).then(b.bits.total_cmp(&a.bits)).then_with(|| a.id.cmp(&b.id)));
        all
    }

    /// Writes the findings so far, replacing what this scorer wrote before, and returns them. A full file is left as it
    /// is and the next one begun.
    ///
    /// # Errors
    /// When the file cannot be written; the one before stays.
    pub fn write_findings(&mut self, now: i64) -> Result<Vec<Finding>, ArchiveError> {
        let findings = self.findings(now);
        let name = format!("live-{}-{:06}", self.session, self.sequence);
        write_findings(&self.out, self.baseline.id(), &name, &findings)?;
        if self.closed.len() >= FILE_FINDINGS {
            self.closed.clear();
            self.sequence += 1;
        }
        Ok(findings)
    }

    fn finding(&self, unit: &UnitScore) -> Finding {
        finding(unit, self.baseline.id(), |at| self.evidence.get(at))
    }
}

/// Where a row of a batch went; rows that were not placed were lost and get an empty file name.
fn locate(placed: &[Placed], row: usize, table: &Arc<str>) -> RowRef {
    let run = placed.iter().find(|run| (run.offset..run.offset + run.rows).contains(&row));
    match run {
        Some(run) => {
            RowRef { file: run.relative.clone(), row: run.first_row + (row - run.offset) as u64, table: table.clone() }
        }
        None => RowRef { file: Arc::from(""), row: row as u64, table: table.clone() },
    }
}
