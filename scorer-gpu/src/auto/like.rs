//! A model like the one in use, to measure with: as many views, a table as large, rows that repeat as realistic ones do.

use model::testing::{self, Case, Plan, Rng};
use model::{Codes, EncodedBatch, Snapshot};

/// Rows of a batch, at most: as many as files are read in.
pub(crate) const ROWS: usize = 65_536;
/// Larger tables are measured as if they had so many slots (128 MiB): beyond caches size changes little more, and this one is
/// in memory beside the one in use.
const MOST_SLOTS: usize = 1 << 23;
/// Rows that teach the table.
const TAUGHT: usize = 8192;
/// Distinct rows, of which those of a batch are drawn, few of them often: realistic rows repeat, which the processor uses.
const DISTINCT: usize = 8192;

/// How large a model is, as far as it matters for speed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Bytes of the count table, at most 128 MiB.
    pub table_bytes: usize,
    /// Views of the lens.
    pub views: usize,
}

impl Size {
    /// That of a snapshot.
    pub(crate) fn of(snapshot: &Snapshot) -> Self {
        Self { table_bytes: 16 * snapshot.slots.len().min(MOST_SLOTS), views: snapshot.views.len() }
    }
}

/// A model of that size, and a batch for it.
pub(crate) fn like(size: Size) -> Case {
    let views = u32::try_from(size.views).unwrap_or(u32::MAX).clamp(1, 1024);
    let plan = Plan { rows: DISTINCT, learned: TAUGHT, hosts: 64, values: 500, fields: 11, views, ..Plan::default() };
    let mut case = testing::case("like the one in use", plan, 1);
    let slots = size.table_bytes / 16;
    if slots > case.snapshot.slots.len() {
        case.fill(slots);
    }
    case.batch = repeated(&case.batch, ROWS);
    case
}

/// So many rows, drawn from those of a batch, the first ones more often.
fn repeated(batch: &EncodedBatch, rows: usize) -> EncodedBatch {
    let mut rng = Rng(2);
    let drawn: Vec<usize> = (0..rows).map(|_| rng.skewed(batch.rows as u32) as usize).collect();
    let codes = |of: &Codes| Codes { codes: drawn.iter().map(|row| of.codes[*row]).collect(), ..of.clone() };
    EncodedBatch {
        rows,
        fields: batch.fields.iter().map(codes).collect(),
        host: codes(&batch.host),
        class: drawn.iter().map(|row| batch.class[*row]).collect(),
        time: drawn.iter().map(|row| batch.time[*row]).collect(),
        units: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_as_large_as_was_asked_and_always_the_same() {
        let size = Size { table_bytes: 16 << 20, views: 9 };
        let case = like(size);
        assert_eq!(Size::of(&case.snapshot), size);
        assert!(case.batch.rows == ROWS && case.batch.is_consistent(case.snapshot.lens.fields().len()));
        let again = like(size);
        assert!(again.snapshot.slots == case.snapshot.slots && again.batch.host.codes == case.batch.host.codes);
        // A model of one view and almost no table.
        assert_eq!(like(Size { table_bytes: 64, views: 1 }).snapshot.views.len(), 1);
    }
}
