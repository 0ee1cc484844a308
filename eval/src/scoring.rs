//! What the model says of chosen rows: learned from some, scored on others, as the product does it.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::RecordBatch;
use model::snapshot::programs;
use model::units::{RowRef, UnitTable};
use model::{Backend, Baseline, Calibration, CpuBackend, Encoder, HashKey, Lens, Scores, Stream, learn};

use crate::data::{Memory, Rows, parts};
use crate::error::EvalError;
use crate::study::Detail;

/// Everything is hashed under this key, so that figures can be had again.
const KEY: [u8; 32] = *b"the hash key of every evaluation";

/// A lens and the columns of a set that it may not read.
pub(crate) struct Judge {
    set: String,
    lens: Lens,
    /// Whether everything is kept that ways of combining are compared by.
    studies: bool,
}

impl Judge {
    /// Reads a lens, which must not name a label.
    pub(crate) fn new(set: &str, toml: &str, labels: &[&str], studies: bool) -> Result<Self, EvalError> {
        let lens = Lens::parse(toml).map_err(|e| EvalError::Lens { set: set.to_owned(), why: e.to_string() })?;
        match lens.columns().into_iter().find(|column| labels.contains(column)) {
            Some(column) => Err(EvalError::Label { set: set.to_owned(), column: column.to_owned() }),
            None => Ok(Self { set: set.to_owned(), lens, studies }),
        }
    }

    /// The same lens with another unit, and nothing kept for studies.
    pub(crate) fn with_unit(
        &self,
        toml: &str,
        labels: &[&str],
        (kind, key): (&str, &str),
        (new_kind, new_key): (&str, &str),
    ) -> Result<Self, EvalError> {
        let toml = toml.replace(&format!("kind = \"{kind}\""), &format!("kind = \"{new_kind}\""));
        let toml = toml.replace(&format!("key = [\"{key}\"]"), &format!("key = [\"{new_key}\"]"));
        Self::new(&self.set, &toml, labels, false)
    }

    pub(crate) fn studies(&self) -> bool {
        self.studies
    }

    pub(crate) fn lens(&self) -> &Lens {
        &self.lens
    }

    /// What the chosen rows of a set teach.
    pub(crate) fn learn(&self, rows: &Rows, chosen: &[u32]) -> Result<Baseline, EvalError> {
        let batch = rows.choose(&self.lens.columns(), chosen)?;
        let source = Memory { table: self.lens.table().to_owned(), batch };
        learn(std::slice::from_ref(&self.lens), HashKey(KEY), &source, &|_, _| {})
            .map_err(|source| EvalError::Learn { set: self.set.clone(), source })
    }

    /// Scores the chosen rows by a baseline.
    pub(crate) fn score(&self, baseline: &Baseline, rows: &Rows, chosen: &[u32]) -> Result<Scored, EvalError> {
        let snapshot = baseline.snapshot(self.lens.table()).ok_or_else(|| self.failed("nothing was learned"))?;
        let mut backend = CpuBackend::new(snapshot.clone());
        let mut units = UnitTable::new(baseline, 1.0);
        let (file, table): (Arc<str>, Arc<str>) = (Arc::from(""), Arc::from(self.lens.table()));
        let mut scored = Scored::default();
        self.encode(rows, chosen, |batch, scores| {
            backend.score(batch, scores).map_err(|e| e.to_string())?;
            let start = scored.bits.len() as u64;
            let locate = |row: usize| RowRef { file: file.clone(), row: start + row as u64, table: table.clone() };
            units.add(&self.lens, batch, scores, &locate);
            if self.studies {
                scored.detail.add(&self.lens, &snapshot.views, &snapshot.calibration, batch, scores);
            }
            scored.bits.extend_from_slice(&scores.bits);
            scored.log2_n.extend_from_slice(&scores.log2_n);
            Ok(())
        })?;
        let known = units.findings().into_iter();
        scored.units = known.map(|unit| ((unit.key, unit.window), (unit.bits, unit.log2_n))).collect();
        Ok(scored)
    }

    /// Scores the chosen rows each by those before it. Nothing is promised of a stream: bits are surprisals.
    pub(crate) fn stream(&self, rows: &Rows, chosen: &[u32]) -> Result<Scored, EvalError> {
        let mut stream = Stream::new(&self.lens, &HashKey(KEY));
        let (views, calibration) = (programs(&self.lens), Calibration::identity(self.lens.views().len()));
        let mut scored = Scored::default();
        self.encode(rows, chosen, |batch, scores| {
            stream.feed(batch, scores).map_err(|e| e.to_string())?;
            if self.studies {
                scored.detail.add(&self.lens, &views, &calibration, batch, scores);
            }
            scored.bits.extend_from_slice(&scores.bits);
            Ok(())
        })?;
        Ok(scored)
    }

    fn encode(
        &self,
        rows: &Rows,
        chosen: &[u32],
        mut f: impl FnMut(&model::EncodedBatch, &mut Scores) -> Result<(), String>,
    ) -> Result<(), EvalError> {
        let batch: RecordBatch = rows.choose(&self.lens.columns(), chosen)?;
        let (mut encoder, mut scores) = (Encoder::new(&self.lens, &HashKey(KEY)), Scores::default());
        for part in parts(&batch) {
            let encoded = encoder.encode(&part).map_err(|e| self.failed(&e.to_string()))?;
            f(&encoded, &mut scores).map_err(|why| self.failed(&why))?;
        }
        Ok(())
    }

    fn failed(&self, why: &str) -> EvalError {
        EvalError::Score { set: self.set.clone(), why: why.to_owned() }
    }
}

/// Scores of rows, in the order in which they were chosen, and of their units.
#[derive(Default)]
pub(crate) struct Scored {
    pub(crate) bits: Vec<u32>,
    pub(crate) log2_n: Vec<u16>,
    /// By key and window: bits and log2_n. What has no bits is missing.
    pub(crate) units: HashMap<(String, i64), (u32, u16)>,
    /// Empty unless ways of combining are compared.
    pub(crate) detail: Detail,
}

impl Scored {
    /// Bits and log2_n of a unit.
    pub(crate) fn unit(&self, key: String, window: i64) -> (u32, u16) {
        self.units.get(&(key, window)).copied().unwrap_or_default()
    }
}
