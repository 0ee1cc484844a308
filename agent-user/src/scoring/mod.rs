//! Scores rows while they are captured: sidecars for the files being written, findings as they arise.
//!
//! ```text
//! writer ─▶ RemoteScoring ─▶ bounded queue ─▶ feeding thread ─socket, Arrow IPC─▶ serve ─▶ Scoring   (a process of its own)
//! ```
//! What talks to drivers may hang or die: the writer never waits for it, and what was not scored is counted and named.

mod feed;
mod message;
mod remote;
mod serve;
mod start;
mod tally;

pub use feed::attempt;
pub use message::{Promise, Settings};
pub use remote::RemoteScoring;
pub use serve::serve;
pub use start::{OwnProcess, Starter};

use crate::{books::WriterBooks, error::AgentError, kernel, rows::Batch, sink::Follower};
use archive::{BackendWish, LiveFile, LiveScorer};
use arrow_array::RecordBatch;
use model::Baseline;
use std::{
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};
use store::{Finished, InputDone, InputSkipped, Manifest, Placed, Run};

/// Findings are written this often while there are new rows.
const FINDINGS: Duration = Duration::from_secs(2);

/// Follows the archive's writer with a scorer.
pub struct Scoring {
    scorer: LiveScorer,
    books: Arc<WriterBooks>,
    out: PathBuf,
    tables: Vec<String>,
    run: Run,
    started: Instant,
    wrote: Instant,
    /// There are rows that the findings on disk do not know of.
    stale: bool,
    trouble: Option<String>,
}

impl Scoring {
    /// Opens the baseline and the backend of the settings.
    ///
    /// # Errors
    /// [`AgentError::Baseline`] if it cannot be used, [`AgentError::Backend`] if the backend is not there.
    pub fn open(settings: &Settings, books: Arc<WriterBooks>) -> Result<Self, AgentError> {
        let baseline = load(Path::new(&settings.baseline))?;
        let out = PathBuf::from(&settings.out);
        let now = kernel::utc_now();
        let baseline_id = baseline.id().to_owned();
        let tables = baseline.snapshots().iter().map(|snapshot| snapshot.lens.table().to_owned()).collect();
        let backend = |error: archive::ArchiveError| AgentError::Backend(error.to_string());
        let folder = |error: store::StoreError| AgentError::Archive { path: out.clone(), why: error.to_string() };
        let (host, line) = (&settings.host, settings.line);
        if !settings.again && !baseline.knows_host(Some(host)) {
            crate::say!("{}", archive::stranger(&baseline, host, None));
        }
        let wish = BackendWish::live(settings.backend.into(), settings.adapter.clone()).kept_in_results(&out);
        let scorer = LiveScorer::new(baseline.into(), &wish, line, out.clone(), host, now);
        let scorer = scorer.map_err(backend)?;
        // Later a disk may be full for a while: that ends nothing.
        let tried = |()| if settings.again { Ok(()) } else { store::try_folder(&out) };
        store::ensure_folder(&out).and_then(tried).map_err(folder)?;
        let (backend, device, reason) = scorer.engines().describe();
        let run = Run {
            command: "run".into(),
            started: kernel::utc_text(now),
            version: env!("CARGO_PKG_VERSION").into(),
            baseline: baseline_id,
            backend,
            device,
            choice: Some(reason),
            ..Run::default()
        };
        let now = Instant::now();
        store::remove_leftovers(&out, settings.left_by);
        Ok(Self { scorer, books, out, tables, run, started: now, wrote: now, stale: false, trouble: None })
    }

    /// Backend, device and reason of the choice, in words.
    #[must_use]
    pub fn backend(&self) -> (&str, &str, &str) {
        (&self.run.backend, &self.run.device, self.run.choice.as_deref().unwrap_or_default())
    }

    /// Baseline id.
    #[must_use]
    pub fn baseline(&self) -> &str {
        &self.run.baseline
    }

    /// What is to be expected.
    #[must_use]
    pub fn promise(&self) -> Promise {
        let (host_state, expected) = self.scorer.promise();
        Promise { host_state, expected_milli: (expected * 1000.0).round() as u64 }
    }

    /// Tables that the baseline knows.
    #[must_use]
    pub fn tables(&self) -> &[String] {
        &self.tables
    }

    /// Scores rows of a table; returns how many.
    pub fn score(&mut self, table: &str, rows: &RecordBatch, placed: &[Placed]) -> u64 {
        let scored = self.scorer.score(table, rows, placed);
        if let Some(trouble) = self.scorer.engines().trouble() {
            crate::say!("warning: {trouble}");
            let (backend, device, reason) = self.scorer.engines().describe();
            (self.run.backend, self.run.device, self.run.choice) = (backend, device, Some(reason));
        }
        let rows = self.check(scored).unwrap_or(0);
        self.run.rows += rows;
        self.books.scored.fetch_add(rows, Relaxed);
        self.stale |= rows > 0;
        rows
    }

    /// Completes the sidecar of a file.
    pub fn file_finished(&mut self, file: &Finished) -> LiveFile {
        let outcome = self.scorer.file_finished(file);
        if let LiveFile::Skipped(reason) = &outcome {
            self.check(Err::<(), _>(format!("not scored: {}: {reason}", file.relative)));
        }
        list(&mut self.run, file, &outcome);
        outcome
    }

    /// Ends as the run of this record, of which this scorer may have done a part.
    fn finish_as(&mut self, record: Run) -> Option<String> {
        let own = std::mem::take(&mut self.run);
        self.run = Run { started: record.started, rows: record.rows, ..own };
        self.run.inputs_done = record.inputs_done;
        self.run.inputs_skipped = record.inputs_skipped;
        self.run.inputs_unlisted = record.inputs_unlisted;
        self.write_findings();
        self.end(Duration::from_secs_f64(record.wall_seconds.max(0.0)), record.findings)
    }

    /// A file will have no sidecar, nor what a scorer that is gone had begun of it.
    fn give_up(&mut self, relative: &str, begun_by: Option<u32>) {
        self.scorer.file_lost(relative);
        let Some(process) = begun_by else { return };
        let removed = store::remove_unfinished_sidecar(&self.out, &self.run.baseline, relative, process);
        self.check(removed);
    }

    /// Findings that are not on disk yet, of an agent that is gone.
    fn abandon(&mut self) {
        if self.stale {
            self.write_findings();
        }
    }

    /// Adds the run to the manifest. Scorers before this one had made `earlier` findings.
    fn end(&mut self, wall: Duration, earlier: u64) -> Option<String> {
        self.run.wall_seconds = wall.as_secs_f64();
        self.run.findings = earlier + self.books.findings.load(Relaxed);
        self.run.work = self.scorer.work();
        let findings = self.scorer.findings(kernel::utc_now());
        self.scorer.enter(&mut self.run, &findings);
        let written = Manifest::append(&self.out, std::mem::take(&mut self.run));
        self.check(written);
        self.trouble.take()
    }

    fn check<T>(&mut self, result: Result<T, impl std::fmt::Display>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                let text = error.to_string();
                if self.trouble.as_ref() != Some(&text) {
                    crate::say!("warning: {text}");
                    self.trouble = Some(text);
                }
                None
            }
        }
    }

    fn write_findings(&mut self) {
        self.stale = false;
        self.wrote = Instant::now();
        let findings = self.scorer.write_findings(kernel::utc_now());
        if let Some(findings) = self.check(findings) {
            self.books.findings.store(self.scorer.closed_before() + findings.len() as u64, Relaxed);
        }
    }
}

/// Loads a baseline.
fn load(path: &Path) -> Result<Baseline, AgentError> {
    let baseline = Baseline::load(path).map_err(|error| {
        AgentError::Baseline(format!("{error}; make one with: ebbline learn SOURCE --out {}", path.display()))
    })?;
    let today = model::segment::day_of(kernel::utc_now());
    let (baseline, over) =
        model::ops::expire(baseline, today).map_err(|error| AgentError::Baseline(error.to_string()))?;
    if !over.is_empty() {
        let number = over.len();
        crate::say!(
            "note: {}: {number} of its dismissals are over; this is baseline {}",
            path.display(),
            baseline.id()
        );
    }
    Ok(baseline)
}

/// Lists what became of a file.
fn list(run: &mut Run, file: &Finished, outcome: &LiveFile) {
    let path = file.relative.to_string();
    match outcome {
        LiveFile::NoEvents => {}
        LiveFile::Scored => {
            let table = path.split('/').next().unwrap_or_default().to_owned();
            run.list_done(InputDone { path, table, rows: file.rows });
        }
        LiveFile::Skipped(reason) => run.list_skipped(InputSkipped { path, reason: reason.clone() }),
    }
}

impl Follower for Scoring {
    fn placed(&mut self, batch: &Batch, placed: &[Placed]) {
        self.score(batch.table, &batch.rows, placed);
    }

    fn finished(&mut self, file: &Finished) {
        self.file_finished(file);
    }

    fn tick(&mut self) {
        if self.stale && self.wrote.elapsed() >= FINDINGS {
            self.write_findings();
        }
    }

    fn finish(&mut self) -> Option<String> {
        self.write_findings();
        self.end(self.started.elapsed(), 0)
    }
}
