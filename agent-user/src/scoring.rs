//! Scores rows while they are captured: sidecars for the files being written, findings as they arise.

use crate::{books::WriterBooks, cli::RunArgs, error::AgentError, kernel, rows::Batch, sink::Follower};
use archive::{LiveFile, LiveScorer};
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
    run: Run,
    started: Instant,
    wrote: Instant,
    /// There are rows that the findings on disk do not know of.
    stale: bool,
    trouble: Option<String>,
}

impl Scoring {
    /// Opens the baseline and the backend that the arguments ask for; `None` if they name no baseline.
    ///
    /// # Errors
    /// [`AgentError::Baseline`] if it cannot be used, [`AgentError::Backend`] if the backend is not there.
    pub fn open(args: &RunArgs, books: Arc<WriterBooks>) -> Result<Option<Self>, AgentError> {
        let Some(path) = &args.baseline else { return Ok(None) };
        let baseline = load(path)?;
        let out = args.out.clone().unwrap_or_else(|| args.archive.clone());
        let now = kernel::utc_now();
        let baseline_id = baseline.id().to_owned();
        let adapter = args.adapter.as_deref();
        let backend = |error: archive::ArchiveError| AgentError::Backend(error.to_string());
        let folder = |error: store::StoreError| AgentError::Archive { path: out.clone(), why: error.to_string() };
        let host = args.host.clone().unwrap_or_else(kernel::host_name);
        if !baseline.knows_host(Some(&host)) {
            eprintln!("{}", archive::stranger(&host));
        }
        let scorer =
            LiveScorer::new(baseline.into(), args.backend.into(), adapter, args.rarer_than, out.clone(), &host, now)
                .map_err(backend)?;
        store::ensure_folder(&out).map_err(folder)?;
        let (backend, device, reason) = scorer.engines().describe();
        let run = Run {
            command: "run".into(),
            started: kernel::utc_text(now),
            version: env!("CARGO_PKG_VERSION").into(),
            baseline: baseline_id,
            backend,
            device,
            choice: Some(reason),
            rarer_than: args.rarer_than,
            ..Run::default()
        };
        let now = Instant::now();
        Ok(Some(Self { scorer, books, out, run, started: now, wrote: now, stale: false, trouble: None }))
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

    fn check<T>(&mut self, result: Result<T, impl std::fmt::Display>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                let text = error.to_string();
                if self.trouble.as_ref() != Some(&text) {
                    eprintln!("warning: {text}");
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
    Baseline::load(path).map_err(|error| {
        AgentError::Baseline(format!("{error}; make one with: ebbline learn SOURCE --out {}", path.display()))
    })
}

impl Follower for Scoring {
    fn placed(&mut self, batch: &Batch, placed: &[Placed]) {
        let scored = self.scorer.score(batch.table, &batch.rows, placed);
        let rows = self.check(scored).unwrap_or(0);
        self.run.rows += rows;
        self.books.scored.fetch_add(rows, Relaxed);
        self.stale |= rows > 0;
    }

    fn finished(&mut self, file: &Finished) {
        let path = file.relative.to_string();
        match self.scorer.file_finished(file) {
            LiveFile::NoEvents => {}
            LiveFile::Scored => {
                let table = path.split('/').next().unwrap_or_default().to_owned();
                self.run.list_done(InputDone { path, table, rows: file.rows });
            }
            LiveFile::Skipped(reason) => {
                self.check(Err::<(), _>(format!("not scored: {path}: {reason}")));
                self.run.list_skipped(InputSkipped { path, reason });
            }
        }
    }

    fn tick(&mut self) {
        if self.stale && self.wrote.elapsed() >= FINDINGS {
            self.write_findings();
        }
    }

    fn finish(&mut self) -> Option<String> {
        self.write_findings();
        self.run.wall_seconds = self.started.elapsed().as_secs_f64();
        self.run.findings = self.books.findings.load(Relaxed);
        self.run.work = self.scorer.work();
        let written = Manifest::append(&self.out, std::mem::take(&mut self.run));
        self.check(written);
        self.trouble.take()
    }
}
