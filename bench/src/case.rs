//! What is scored: realistic process rows, lenses of any number of views for them, and tables of any size.

use std::fmt::Write;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_select::concat::concat_batches;
use model::snapshot::lay_out;
use model::testing::{self, Rng};
use model::{Backend, Calibration, CpuBackend, EncodedBatch, Encoder, HashKey, Lens, Scores, Snapshot, compile};

use crate::device::Failure;

/// Hosts that the rows are of.
const HOSTS: u32 = 64;
/// Most rows times views that teach a table: what is learned is a few cells a row, and takes its time.
const TAUGHT: usize = 1 << 22;
/// The most views that are asked for.
pub(crate) const MOST_VIEWS: usize = 256;

/// Fields of the process table: name, column, kind and part.
const FIELDS: [(&str, &str, &str, &str); 11] = [
    ("exe", "exe", "path", "whole"),
    ("parent_exe", "parent_exe", "path", "whole"),
    ("root_exe", "root_exe", "path", "whole"),
    ("arguments", "args", "cmdline", "shape"),
    ("user", "uid", "user", "whole"),
    ("flags", "args", "cmdline", "flags"),
    ("argument_count", "args", "cmdline", "count"),
    ("script", "script", "path", "whole"),
    ("exe_place", "exe", "path", "place"),
    ("exit_code", "exit_code", "id", "whole"),
    ("comm", "comm", "id", "whole"),
];

/// The key of everything that is measured: there is nothing to hide, and equal seeds give equal tables.
pub(crate) fn key() -> HashKey {
    HashKey(std::array::from_fn(|i| i as u8 * 5 + 3))
}

/// A lens of so many views: one field, given two others, given one of them, and alone.
pub(crate) fn lens(views: usize) -> Result<Lens, Failure> {
    let mut toml =
        "table = \"process\"\ntime = \"time\"\nclass = \"activity\"\n[scopes]\nhost = \"host\"\n[fields]\n".to_owned();
    for (name, column, kind, part) in FIELDS {
        let part = if part == "whole" { String::new() } else { format!(", part = \"{part}\"") };
        let _ = writeln!(toml, "{name} = {{ column = \"{column}\", kind = \"{kind}\"{part} }}");
    }
    let triples = (1..FIELDS.len()).flat_map(|step| (1..FIELDS.len()).map(move |leap| (step, leap)));
    let triples = triples.flat_map(|(step, leap)| (0..FIELDS.len()).map(move |first| (first, step, leap)));
    let place = |at: usize| FIELDS[at % FIELDS.len()].0;
    let distinct = triples.filter(|(_, step, leap)| step != leap);
    for (number, (first, step, leap)) in distinct.take(views.clamp(1, MOST_VIEWS)).enumerate() {
        let (child, one, two) = (place(first), place(first + step), place(first + leap));
        let _ = write!(
            toml,
            "[[views]]\nname = \"{number}\"\nchild = [\"{child}\"]\ncontext = [[\"{one}\", \"{two}\"], [\"{one}\"], []]\n"
        );
    }
    Lens::parse(&toml).map_err(|error| Failure::Refused(format!("the lens of {views} views: {error}")))
}

/// Process rows, the same for the same seed.
#[derive(Debug)]
pub(crate) struct Rows {
    /// What is learned from.
    known: RecordBatch,
    /// What is scored.
    pub(crate) scored: RecordBatch,
}

impl Rows {
    /// As many rows to learn from as to score.
    pub(crate) fn new(seed: u64, rows: usize) -> Result<Self, Failure> {
        let mut asked = 3 * rows.max(1000) as u64;
        loop {
            let parts = workload::columns::archive(seed, asked, HOSTS, 1);
            let batches: Vec<RecordBatch> = parts.filter(|p| p.table == events::PROCESS).map(|p| p.batch).collect();
            if batches.iter().map(RecordBatch::num_rows).sum::<usize>() >= 2 * rows {
                let all = concat_batches(&events::process_schema(), &batches);
                let all = all.map_err(|error| Failure::Refused(format!("the rows: {error}")))?;
                return Ok(Self { known: all.slice(0, rows), scored: all.slice(rows, rows) });
            }
            asked *= 2;
        }
    }
}

/// A snapshot of so many views, and what to score with it.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    /// What to score with.
    pub(crate) snapshot: Arc<Snapshot>,
    /// What to score.
    pub(crate) rows: Arc<Rows>,
    /// The same, encoded.
    pub(crate) batch: Arc<EncodedBatch>,
    /// What the CPU says of it.
    pub(crate) expected: Arc<Scores>,
}

impl Case {
    /// Learns a lens of so many views, into a table that is as small as it can be.
    pub(crate) fn new(views: usize, rows: &Arc<Rows>) -> Result<Self, Failure> {
        let lens = lens(views)?;
        let encode = |batch: &RecordBatch| {
            let encoded = Encoder::new(&lens, &key()).encode(batch);
            encoded.map_err(|error| Failure::Refused(format!("the rows: {error}")))
        };
        let taught = rows.known.num_rows().min((TAUGHT / views.max(1)).max(1));
        let segments = testing::segments(&lens, &key(), &encode(&rows.known.slice(0, taught))?);
        let slots = compile::compile(&key(), &segments);
        let batch = Arc::new(encode(&rows.scored)?);
        let calibration = Calibration::identity(lens.views().len());
        let snapshot = Snapshot::new(lens, &key(), slots, calibration)
            .ok_or_else(|| Failure::Refused(format!("the table of {views} views does not fit")))?;
        let mut case = Self { snapshot: Arc::new(snapshot), rows: Arc::clone(rows), batch, expected: Arc::default() };
        case.expect()?;
        Ok(case)
    }

    /// The same with a table of at least so many bytes: entries that nothing asks for fill half of it.
    pub(crate) fn with_table(&self, bytes: usize, seed: u64) -> Result<Self, Failure> {
        let slots = (bytes / 16).next_power_of_two();
        if slots <= self.snapshot.slots.len() {
            return Ok(self.clone());
        }
        let mut entries: Vec<[u32; 4]> = self.snapshot.slots.iter().copied().filter(|slot| slot[2] > 0).collect();
        let mut rng = Rng(seed);
        entries.resize_with(slots / 2, || [rng.bits() as u32, rng.bits() as u32, 1, 1]);
        let mut snapshot = (*self.snapshot).clone();
        snapshot.slots = lay_out(entries);
        snapshot.mask = (snapshot.slots.len() - 1) as u32;
        let mut case = Self { snapshot: Arc::new(snapshot), ..self.clone() };
        case.expect()?;
        Ok(case)
    }

    /// Bytes of the table.
    pub(crate) fn table_bytes(&self) -> usize {
        size_of_val(&self.snapshot.slots[..])
    }

    /// (row, context) pairs that a row of the lens makes when it is learned, at most.
    pub(crate) fn contexts(&self) -> usize {
        self.snapshot.views.iter().map(|view| view.contexts.len()).sum()
    }

    fn expect(&mut self) -> Result<(), Failure> {
        let mut scores = Scores::default();
        CpuBackend::new(Arc::clone(&self.snapshot)).score(&self.batch, &mut scores)?;
        self.expected = Arc::new(scores);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use scorer_gpu::measure::head;

    #[test]
    fn lenses_have_as_many_views_as_asked_all_different() {
        for views in [1, 8, 128, 256] {
            let lens = lens(views).unwrap();
            let mut of_views: Vec<_> = lens.views().iter().map(|v| (v.child.clone(), v.contexts.clone())).collect();
            of_views.sort();
            of_views.dedup();
            assert_eq!((lens.views().len(), of_views.len()), (views, views));
        }
    }

    #[test]
    fn a_larger_table_gives_the_same_scores() {
        let rows = Arc::new(Rows::new(1, 600).unwrap());
        assert_eq!((rows.known.num_rows(), rows.scored.num_rows()), (600, 600));
        let case = Case::new(8, &rows).unwrap();
        assert!(case.expected.bits.iter().any(|bits| *bits > 0) && case.contexts() == 24);
        let larger = case.with_table(1 << 22, 1).unwrap();
        assert_eq!(larger.table_bytes(), 1 << 22);
        assert!(larger.expected == case.expected);
        assert_eq!(case.with_table(64, 1).unwrap().table_bytes(), case.table_bytes());
        let few = head(&case.batch, 10);
        assert!(few.rows == 10 && few.is_consistent(FIELDS.len()));
        let again = Case::new(8, &Arc::new(Rows::new(1, 600).unwrap())).unwrap();
        assert!(again.snapshot.slots == case.snapshot.slots && again.expected == case.expected);
    }
}
