//! Backends, opened once per table and lent to whoever scores.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::baseline::Baseline;
use model::{Backend, BackendError, CpuBackend, EncodedBatch, Encoder, Scores, Snapshot, StageCounters};
use scorer_gpu::Choice;

use crate::error::ArchiveError;

/// What scores the rows of one table.
pub struct Engine {
    snapshot: Arc<Snapshot>,
    encoder: Box<dyn Fn() -> Encoder + Send + Sync>,
    views: Vec<String>,
    name: String,
    device: String,
    reason: String,
    /// On the CPU one backend per thread that asks; on a GPU the only one, kept locked while it works.
    backends: Mutex<Vec<Box<dyn Backend>>>,
}

impl Engine {
    /// Opens a backend for the table, if the baseline knows it.
    ///
    /// # Errors
    /// [`ArchiveError::Open`] when the wished backend is not there.
    pub fn open(
        choice: Choice,
        adapter: Option<&str>,
        baseline: &Baseline,
        table: &str,
    ) -> Result<Option<Self>, ArchiveError> {
        let Some(snapshot) = baseline.snapshot(table) else { return Ok(None) };
        let opened = scorer_gpu::open(choice, adapter, snapshot.clone())?;
        let (lens, key) = (snapshot.lens.clone(), baseline.hash_key().clone());
        Ok(Some(Self {
            views: snapshot.lens.views().iter().map(|view| view.name.clone()).collect(),
            encoder: Box::new(move || Encoder::new(&lens, &key)),
            name: opened.backend.name().to_owned(),
            device: opened.backend.device(),
            reason: opened.reason,
            backends: Mutex::new(vec![opened.backend]),
            snapshot,
        }))
    }

    /// The compiled baseline of the table.
    #[must_use]
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    /// A fresh encoder for the table; one per file, since it caches dictionaries.
    #[must_use]
    pub fn encoder(&self) -> Encoder {
        (self.encoder)()
    }

    /// Names of the views, by number.
    #[must_use]
    pub fn views(&self) -> &[String] {
        &self.views
    }

    /// Scores a batch on this table's backend.
    ///
    /// # Errors
    /// What the backend reports.
    pub fn score(&self, batch: &EncodedBatch, out: &mut Scores) -> Result<(), BackendError> {
        let mut backends = self.lock();
        if self.name != "cpu" {
            return match backends.first_mut() {
                Some(backend) => backend.score(batch, out),
                None => Err(BackendError::Batch("no backend is open".into())),
            };
        }
        let idle = backends.pop();
        drop(backends);
        let mut backend = idle.unwrap_or_else(|| Box::new(CpuBackend::new(self.snapshot.clone())));
        let result = backend.score(batch, out);
        self.lock().push(backend);
        result
    }

    /// Work done so far by all backends of the table.
    #[must_use]
    pub fn counters(&self) -> StageCounters {
        let mut sum = StageCounters::default();
        for backend in self.lock().iter() {
            sum += backend.counters();
        }
        sum
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Box<dyn Backend>>> {
        self.backends.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The engines of all tables of a run.
pub struct Engines(BTreeMap<String, Engine>);

impl Engines {
    /// Opens an engine for each of the tables that the baseline knows.
    ///
    /// # Errors
    /// As [`Engine::open`].
    pub fn open<S: AsRef<str>>(
        choice: Choice,
        adapter: Option<&str>,
        baseline: &Baseline,
        tables: impl IntoIterator<Item = S>,
    ) -> Result<Self, ArchiveError> {
        let mut engines = BTreeMap::new();
        for table in tables {
            if let Some(engine) = Engine::open(choice, adapter, baseline, table.as_ref())? {
                engines.insert(table.as_ref().to_owned(), engine);
            }
        }
        Ok(Self(engines))
    }

    /// The engine of a table.
    #[must_use]
    pub fn get(&self, table: &str) -> Option<&Engine> {
        self.0.get(table)
    }

    /// Name of the backend, device in words and the reason for the choice.
    #[must_use]
    pub fn describe(&self) -> (String, String, String) {
        let joined = |of: fn(&Engine) -> &str| {
            let mut all: Vec<&str> = self.0.values().map(of).collect();
            all.dedup();
            all.join(" + ")
        };
        (joined(|e| &e.name), joined(|e| &e.device), joined(|e| &e.reason))
    }

    /// Work done so far, by stage.
    #[must_use]
    pub fn work(&self) -> BTreeMap<String, u64> {
        let mut sum = StageCounters::default();
        for engine in self.0.values() {
            sum += engine.counters();
        }
        let stages = [("keys", sum.keys), ("lookups", sum.lookups), ("backoffs", sum.backoffs), ("sums", sum.sums)];
        stages.into_iter().map(|(stage, count)| (stage.to_owned(), count)).collect()
    }
}
