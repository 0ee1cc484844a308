//! Scoring as rows are captured: the same step, batch by batch, for files that are still being written.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::RecordBatch;
use model::baseline::Baseline;
use model::units::{RowRef, UnitScore, UnitTable};
use model::{Budget, EncodedBatch, Encoder, Line, Scores};
use store::{Finding, Finished, Placed, Run, SidecarWriter, live_name, write_findings};

use crate::engine::Engines;
use crate::error::ArchiveError;
use crate::evidence::{RowEvidence, finding, of_row};
use crate::expect::{enter, state};
use crate::file::{append_range, spanned};
use crate::kept::BackendWish;

/// Units of open windows that are kept. Beyond it those with the fewest bits give way, an eighth of them at a time: a loop
/// that starts sessions must not fill the memory, and it must not push out what is odd.
const MAX_UNITS: usize = 10_000;
/// What is left of [`MAX_UNITS`].
const LEFT_UNITS: usize = MAX_UNITS / 8 * 7;
/// Evidence of rows that no unit holds any more is swept out when there may be more than this of it, or as much as half
/// of what is held.
const STALE_ROWS: usize = 1_024;
/// Findings whose window is over that one findings file holds.
const FILE_FINDINGS: usize = 4_096;
/// Rows may come this late after the end of a unit's window.
const LATE_NS: i64 = 120_000_000_000;

/// Scores batches against a baseline, writes the sidecars of the files they are placed in, and keeps the findings.
/// Memory is bounded: 10,000 units of open windows, the few rows that each holds, and their evidence.
pub struct LiveScorer {
    baseline: Arc<Baseline>,
    engines: Engines,
    out: PathBuf,
    /// One per table, over all files: fields that depend on earlier rows know those of the file before.
    encoders: HashMap<String, Encoder>,
    sidecars: HashMap<Arc<str>, SidecarWriter>,
    units: UnitTable,
    budget: Budget,
    line: Line,
    /// Of the first and last row so far.
    times: Option<(i64, i64)>,
    units_evicted: u64,
    /// Of every row that a unit holds, and of some that none holds any more.
    evidence: HashMap<RowRef, RowEvidence>,
    /// Evidence of more rows than this is swept.
    sweep_at: usize,
    /// Rows that stand in no file; they are numbered on.
    lost_rows: u64,
    /// Open files that will have no sidecar, and why.
    given_up: HashMap<Arc<str>, String>,
    /// By id: findings of windows that are over, and of evicted units.
    closed: BTreeMap<String, Finding>,
    /// Those of files that are full.
    closed_before: u64,
    /// Whether all findings so far are on disk.
    written: bool,
    host: String,
    started: i64,
    sequence: u32,
    scores: Scores,
}

impl LiveScorer {
    /// A scorer that writes below `out`; `host` and `started` (nanoseconds, UTC) name its findings files. A budget of alerts
    /// is for this host.
    ///
    /// # Errors
    /// When the wished backend is not there.
    pub fn new(
        baseline: Arc<Baseline>,
        wish: &BackendWish,
        line: Line,
        out: PathBuf,
        host: &str,
        started: i64,
    ) -> Result<Self, ArchiveError> {
        let tables: Vec<String> = baseline.snapshots().iter().map(|s| s.lens.table().to_owned()).collect();
        let mut kept = wish.memory();
        let engines = Engines::open(&mut wish.opener(&mut kept), &baseline, tables)?;
        let budget = Budget::new(&baseline, &[Some(host.to_owned())].into(), line);
        let mut units = UnitTable::new(&baseline, 1.0);
        units.set_line(budget.line);
        Ok(Self {
            units,
            budget,
            line,
            times: None,
            engines,
            baseline,
            out,
            encoders: HashMap::new(),
            sidecars: HashMap::new(),
            units_evicted: 0,
            evidence: HashMap::new(),
            sweep_at: STALE_ROWS,
            lost_rows: 0,
            given_up: HashMap::new(),
            closed: BTreeMap::new(),
            closed_before: 0,
            written: false,
            host: host.to_owned(),
            started,
            sequence: 1,
            scores: Scores::of_rows(),
        })
    }

    /// The engines, for their names and counters.
    #[must_use]
    pub fn engines(&self) -> &Engines {
        &self.engines
    }

    /// Work done so far, by stage; units that were forgotten for want of room are part of it.
    #[must_use]
    pub fn work(&self) -> BTreeMap<String, u64> {
        let mut work = self.engines.work();
        if self.units_evicted > 0 {
            work.insert("units_evicted".to_owned(), self.units_evicted);
        }
        let crowded = self.encoders.values().map(Encoder::crowded).sum();
        if crowded > 0 {
            work.insert("rows_crowded".to_owned(), crowded);
        }
        work
    }

    /// How well this scorer's host is known, in words, and how many false alerts a day are expected.
    #[must_use]
    pub fn promise(&self) -> (String, f64) {
        (state(&self.baseline, Some(&self.host), &BTreeMap::new()).state, self.budget.expected_a_day())
    }

    /// Writes what is expected of this run, and what was found, into its record.
    pub fn enter(&self, run: &mut Run, findings: &[Finding]) {
        enter(run, &self.budget, self.line, self.times, findings);
        run.hosts = vec![state(&self.baseline, Some(&self.host), &self.units.held_back())];
    }

    /// Scores a batch that a [`store::TableWriter`] has placed, and appends to the sidecars. Returns the rows scored: 0
    /// if the baseline does not know the table.
    ///
    /// # Errors
    /// When columns do not fit, the backend fails or a sidecar cannot be written; the sidecars of these files are given
    /// up. If it was a sidecar, the units have the rows all the same.
    pub fn score(&mut self, table: &str, batch: &RecordBatch, placed: &[Placed]) -> Result<u64, ArchiveError> {
        let mut scores = std::mem::take(&mut self.scores);
        let result = self.score_into(&mut scores, table, batch, placed);
        self.scores = scores;
        if let Err(error) = &result {
            placed.iter().for_each(|run| self.give_up(&run.relative, error));
        }
        result
    }

    fn score_into(
        &mut self,
        scores: &mut Scores,
        table: &str,
        batch: &RecordBatch,
        placed: &[Placed],
    ) -> Result<u64, ArchiveError> {
        let Some(engine) = self.engines.get(table) else { return Ok(0) };
        let encoder = self.encoders.entry(table.to_owned()).or_insert_with(|| engine.encoder());
        let encoded = encoder.encode(batch).map_err(|e| ArchiveError::encode(&self.out, &e))?;
        engine.score(&encoded, scores).map_err(|source| ArchiveError::Backend { path: self.out.clone(), source })?;
        self.times = spanned(self.times, &encoded.time);
        self.keep(table, batch, &encoded, scores, placed);
        let mut first_error = Ok(batch.num_rows() as u64);
        for run in placed {
            if let Err(error) = self.append(table, scores, run) {
                self.give_up(&run.relative, &error);
                first_error = first_error.and(Err(error));
            }
        }
        first_error
    }

    /// Rows into units, and the evidence of those that a unit kept.
    fn keep(&mut self, table: &str, batch: &RecordBatch, encoded: &EncodedBatch, scores: &Scores, placed: &[Placed]) {
        let Some(engine) = self.engines.get(table) else { return };
        let table_name: Arc<str> = Arc::from(table);
        let lost_rows = self.lost_rows;
        let locate = |row: usize| locate(placed, row, &table_name, lost_rows);
        for row in self.units.add(&engine.snapshot().lens, encoded, scores, &locate) {
            let of_row = || of_row(engine.snapshot(), table, (batch, row), (encoded, row));
            self.evidence.entry(locate(row)).or_insert_with(of_row);
        }
        let in_files: usize = placed.iter().map(|run| run.rows).sum();
        self.lost_rows += batch.num_rows().saturating_sub(in_files) as u64;
        if self.units.len() > MAX_UNITS {
            let before = self.units.len();
            let evicted = self.units.shrink_to(LEFT_UNITS);
            self.units_evicted += (before - self.units.len()) as u64;
            self.close(&evicted);
            self.sweep();
        } else if self.evidence.len() > self.sweep_at {
            self.sweep();
        }
    }

    /// Forgets the evidence of rows that no unit holds.
    fn sweep(&mut self) {
        let held: HashSet<&RowRef> = self.units.rows().collect();
        self.evidence.retain(|at, _| held.contains(at));
        self.sweep_at = self.evidence.len() + STALE_ROWS.max(self.evidence.len() / 2);
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
                self.give_up(&run.relative, &"rows of it were not scored");
                Ok(())
            }
        }
    }

    /// The first reason counts; the others follow from it.
    fn give_up(&mut self, relative: &Arc<str>, why: &dyn std::fmt::Display) {
        self.sidecars.remove(relative);
        self.given_up.entry(relative.clone()).or_insert_with(|| why.to_string());
    }

    /// A file stands in the archive: its sidecar is completed, or it is said why there is none.
    pub fn file_finished(&mut self, file: &Finished) -> LiveFile {
        let sidecar = self.sidecars.remove(&file.relative);
        if let Some(why) = self.given_up.remove(&file.relative) {
            return LiveFile::Skipped(why);
        }
        match sidecar {
            Some(sidecar) if sidecar.rows() == file.rows => match sidecar.finish(&file.sha256) {
                Ok(_) => LiveFile::Scored,
                Err(error) => LiveFile::Skipped(error.to_string()),
            },
            Some(_) => LiveFile::Skipped("rows of it were not scored".to_owned()),
            None => match file.relative.split('/').next().unwrap_or_default() {
                events::HEARTBEAT => LiveFile::NoEvents,
                table => LiveFile::Skipped(format!("the baseline knows no table {table}")),
            },
        }
    }

    /// A file could not be completed: neither is its sidecar.
    pub fn file_lost(&mut self, relative: &str) {
        self.sidecars.remove(relative);
        self.given_up.remove(relative);
    }

    /// The findings so far: of open windows as they stand at `now` (nanoseconds, UTC), and of those that are over unless
    /// their file is full.
    pub fn findings(&mut self, now: i64) -> Vec<Finding> {
        let over = self.units.close_before(now.saturating_sub(LATE_NS));
        self.close(&over);
        let mut all = self.closed.clone();
        for unit in self.units.findings() {
            keep_stronger(&mut all, self.finding(&unit));
        }
        let mut all: Vec<Finding> = all.into_values().collect();
        all.sort_by(|a, b| b.log2_n.total_cmp(&a.log2_n).then(b.bits.total_cmp(&a.bits)).then_with(|| a.id.cmp(&b.id)));
        all
    }

    fn close(&mut self, units: &[UnitScore]) {
        for unit in units {
            let finding = self.finding(unit);
            keep_stronger(&mut self.closed, finding);
        }
    }

    /// Writes the findings so far, replacing what this scorer wrote before, and returns them. A full file is left as it
    /// is and the next one begun; [`LiveScorer::closed_before`] counts what is in the full ones.
    ///
    /// # Errors
    /// When the file cannot be written; the one before stays.
    pub fn write_findings(&mut self, now: i64) -> Result<Vec<Finding>, ArchiveError> {
        // What is not on disk is kept, though not for ever.
        let full = if self.written { FILE_FINDINGS } else { MAX_UNITS };
        if self.closed.len() >= full {
            self.closed_before += self.closed.len() as u64;
            self.closed.clear();
            self.sequence += 1;
        }
        self.written = false;
        let findings = self.findings(now);
        let name = live_name(&self.host, self.started, std::process::id(), self.sequence);
        let expected = Some(self.budget.expected_a_day());
        write_findings(&self.out, self.baseline.id(), &name, &findings, expected)?;
        self.written = true;
        Ok(findings)
    }

    /// Findings that stand in full files and are not among those of [`LiveScorer::findings`] any more.
    #[must_use]
    pub fn closed_before(&self) -> u64 {
        self.closed_before
    }

    fn finding(&self, unit: &UnitScore) -> Finding {
        finding(unit, self.baseline.id(), |at| self.evidence.get(at))
    }
}

/// What became of a file that was scored while it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LiveFile {
    /// It has a sidecar.
    Scored,
    /// It has none, for this reason.
    Skipped(String),
    /// It holds the agent's counters: nothing to score, nothing wrong.
    NoEvents,
}

/// A unit that was evicted and came again has lost rows: the finding with more bits is the truer one.
fn keep_stronger(findings: &mut BTreeMap<String, Finding>, finding: Finding) {
    if findings.get(&finding.id).is_none_or(|known| known.bits <= finding.bits) {
        findings.insert(finding.id.clone(), finding);
    }
}

/// Where a row of a batch went; rows that were not placed were lost and get an empty file name, and a number from
/// `lost_rows` on so that they are not taken for each other.
fn locate(placed: &[Placed], row: usize, table: &Arc<str>, lost_rows: u64) -> RowRef {
    let run = placed.iter().find(|run| (run.offset..run.offset + run.rows).contains(&row));
    match run {
        Some(run) => {
            RowRef { file: run.relative.clone(), row: run.first_row + (row - run.offset) as u64, table: table.clone() }
        }
        None => RowRef { file: Arc::from(""), row: lost_rows + row as u64, table: table.clone() },
    }
}
